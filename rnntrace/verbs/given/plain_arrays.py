"""The recurrent modules of plain arrays in the layout of some framework, which is named or told by their names."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rnntrace.errors import WeightsError, show
from rnntrace.files import digits
from rnntrace.files.tensors import Tensors
from rnntrace.model import beside
from rnntrace.model.arranged import Arranged, Column, Slot, arranged, at_run_time
from rnntrace.model.array_names import ANYWHERE, ARRAY_NAMES, HEADS, framework_of
from rnntrace.model.conventions import BY_NAME, COURSERA, KERAS, TORCH, Convention
from rnntrace.model.courses import COURSES, Head
from rnntrace.model.dtypes import DTYPES, Array
from rnntrace.model.keras_lists import by_position
from rnntrace.model.module import ASK_RESET, Contents, Module, Refused, unrecorded
from rnntrace.model.names import Renaming
from rnntrace.model.spec import FORWARD, REVERSE
from rnntrace.model.weights import Weights

Place = tuple[int, str]
"""Layer and direction."""


@dataclass
class _Group:
    """The arrays of one module by layer, direction and slot, as the file calls them."""

    columns: dict[Place, dict[Slot, str]] = field(default_factory=dict)

    @property
    def parts(self) -> set[str]:
        """Those that there are arrays of."""
        return {part for column in self.columns.values() for part, _ in column}

    @property
    def names(self) -> list[str]:
        """Those of the arrays."""
        return [name for column in self.columns.values() for name in column.values()]


def recognised_in_layout(source: str, tensors: Tensors, row: Convention, names: Renaming) -> Contents:
    """The modules by prefix of arrays as a framework lays them out; none if there are no arrays of such names.

    Names mean what `names` says, else what they mean in the framework; a list of arrays is what Keras' get_weights gives.
    Raises WeightsError if two names mean one thing.
    """
    groups, others = _grouped(source, tensors, (names, Renaming(ARRAY_NAMES.get(row.framework, ())), Renaming(ANYWHERE)))
    complete = {"weight_ih", "weight_hh"}
    remarks: tuple[str, ...] = ()
    if row.framework == KERAS and not any(complete <= group.parts for group in groups.values()):
        found = by_position({name: array.shape for name, array in tensors.arrays.items()})
        groups = {
            str(number) if len(found) > 1 else "": _Group({(0, FORWARD): dict(slots)}) for number, slots in enumerate(found)
        }
        used = {name for group in groups.values() for name in group.names}
        others = [name for name in (*tensors.arrays, *tensors.refused) if name not in used]
        remarks = ("the arrays are read in the order of get_weights: kernel, recurrent kernel, bias",)
    modules: dict[str, Module] = {}
    refused: dict[str, Refused] = {}
    course = COURSES.get(row.framework)
    aside = {name for name in others if course and name in course.words} | {
        name for name in others if row.framework == COURSERA and name.rpartition(".")[2] in HEADS
    }
    saved = beside.signals([name for name in others if not (course and name in course.starts)])
    for prefix, group in groups.items():
        strange = _strangers(tensors, prefix, group, row, [name for name in others if name not in aside])
        where = show(prefix) or "the arrays"
        try:
            module = _module(tensors, group.columns, row)
        except (WeightsError, ValueError) as error:
            refused[prefix] = Refused(where, str(error))
            continue
        if strange:
            kind = f"{module.spec.kind}({module.spec.input_size}, {module.spec.hidden_size})"
            nature, flags = beside.nature(strange), beside.ignoring(prefix and f"{prefix}.", strange, group.names)
            reason = f"beside the arrays of {kind} it has {beside.listed(strange)}, a sign of {nature or 'a cell of its own'}"
            refused[prefix] = Refused(where, f"{reason}: to judge the plain {module.spec.kind}, pass {flags}")
        else:
            head = _head(tensors, prefix, module) if row.framework == COURSERA else None
            modules[prefix] = replace(module, head=head, signals=saved, remarks=(*remarks, *module.remarks))
    return Contents(modules, refused, len(others))


def told_by_names(tensors: Tensors) -> Convention | None:
    """The framework whose own names the arrays have; None if they are anyone's."""
    return BY_NAME.get(framework_of([*tensors.arrays, *tensors.refused]))


def _grouped(source: str, tensors: Tensors, renamings: Sequence[Renaming]) -> tuple[dict[str, _Group], list[str]]:
    """The arrays that are parts of modules, by prefix, and the names of all others."""
    groups: dict[str, _Group] = {}
    others: list[str] = []
    for name in (*tensors.arrays, *tensors.refused):
        plain = name.replace("/", ".")
        # What the user says of a name is asked first.
        named = renamings[0].read(name) or next(filter(None, (renaming.read(plain) for renaming in renamings[1:])), None)
        if named is None:
            others.append(name)
            continue
        column = groups.setdefault(named.prefix.rstrip("./"), _Group()).columns.setdefault(
            (named.layer, REVERSE if named.reverse else FORWARD), {}
        )
        if (slot := (named.part, named.gates)) in column:
            words = " ".join((named.part, *named.gates))
            raise WeightsError(f"{source}: {show(column[slot])} and {show(name)} are both read as {words}: see `names`")
        column[slot] = name
    return groups, others


def _strangers(tensors: Tensors, prefix: str, group: _Group, row: Convention, others: Collection[str]) -> list[str]:
    """Names beside the arrays of a module that may be parts of it: see `beside.strangers`."""
    start = prefix and f"{prefix}."
    shapes: dict[str, tuple[int, ...] | None] = {}
    for column in group.columns.values():
        for number, ((part, _), name) in enumerate(column.items()):
            shape = tensors.arrays[name].shape if name in tensors.arrays else None
            shapes[f"{start}{part}.{number}"] = shape and (shape[::-1] if row.transposed else shape)
    own = [*shapes]
    plain = {name.replace("/", "."): name for name in others}
    shapes |= {dotted: tensors.arrays[name].shape if name in tensors.arrays else None for dotted, name in plain.items()}
    return [plain[name] for name in beside.strangers(start, shapes, own, own)]


def _module(tensors: Tensors, places: Mapping[Place, Mapping[Slot, str]], row: Convention) -> Module:
    names = [name for column in places.values() for name in column.values()]
    for name in names:
        found = tensors.refused.get(name) or tensors.dtypes[name]
        if found not in DTYPES:
            raise WeightsError(f"{show(name)} should hold floats of 16, 32 or 64 bits, and holds {found}")
    dtypes = {tensors.dtypes[name] for name in names}
    dtype = dtypes.pop() if len(dtypes) == 1 else "float32"
    found_module = arranged(row, _columns(places, {name: tensors.arrays[name] for name in names}), dtype)
    weights = at_run_time(row, found_module)
    spec, assumed = found_module.spec, [*unrecorded(found_module.spec), *found_module.assumed]
    remarks = [*_remarks(row, found_module)]
    if row.framework in COURSES:
        spec = replace(spec, batch_first=row.axes.startswith("batch"))
        assumed = [name for name in assumed if name not in ("batch_first", "nonlinearity", "dropout")]
    elif spec.recurrent_activation is not None and row.framework != TORCH:
        assumed.append("recurrent_activation")
        if row.framework == KERAS and any(words for column in places.values() for _, words in column):
            spec = replace(spec, recurrent_activation="hard_sigmoid")
            remarks.append(
                "an array for each gate is Keras 1's way, whose gates are hard_sigmoid by default: see `recurrent_activation`"
            )
    return Module(
        spec,
        weights,
        row.framework,
        tuple(assumed),
        absent=found_module.absent,
        half_units=_half_units(tensors, places, row, names, dtype),
        remarks=tuple(remarks),
    )


def _columns(places: Mapping[Place, Mapping[Slot, str]], arrays: Mapping[str, Array]) -> dict[Place, Column]:
    return {place: {slot: arrays[name] for slot, name in column.items()} for place, column in places.items()}


def _head(tensors: Tensors, prefix: str, module: Module) -> Head | None:
    """The head of a module, if its matrix (n_y, n_a) and its bias (n_y, 1) are there."""
    start = prefix and f"{prefix}."
    inside = {name: tensors.arrays.get(f"{start}{name}") for name in HEADS}
    W, b = inside["Wya"] if inside["Wy"] is None else inside["Wy"], inside["by"]
    if W is None or b is None or W.ndim != 2 or W.shape[1] != module.spec.hidden_size or b.size != len(W):
        return None
    return Head(W, b.reshape(-1))


def _half_units(
    tensors: Tensors, places: Mapping[Place, Mapping[Slot, str]], row: Convention, names: Sequence[str], dtype: str
) -> Weights | None:
    """Half a unit of the last digit of weights that were typed, 0 of others; None if none were."""
    typed = {name: half for name in names if (half := tensors.half_units(name, digits.SIGNALS)) is not None}
    exact = {name: np.zeros_like(tensors.arrays[name]) for name in names}
    return arranged(row, _columns(places, {**exact, **typed}), dtype).weights if typed else None


def _remarks(row: Convention, found: Arranged) -> list[str]:
    """What is done to the weights, and what is taken for granted, that the arrays do not show."""
    family = found.spec.family
    said = {
        f"{row.forget_bias:g} is added to the bias of the forget gate, as {row.framework} does it at run time": (
            family == "LSTM" and row.forget_bias != 0
        ),
        f"{row.framework} keeps the state by 1 - z: weights and biases of z are negated": (
            family == "GRU" and row.keeps == "1 - z"
        ),
        f"the reset gate is taken to act {row.reset} the matrix product, the default of {row.framework}: {ASK_RESET}": (
            "reset_after" in found.assumed
        ),
    }
    return [sentence for sentence, there in said.items() if there]
