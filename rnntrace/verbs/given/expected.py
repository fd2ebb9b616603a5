"""What a user gives to judge a replay by: outputs, gates and states, as frameworks write them."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from rnntrace.errors import FileError, SignalError, UsageError, show
from rnntrace.files import digits
from rnntrace.files.columns import Columns
from rnntrace.files.grid import Grid
from rnntrace.files.ignored import Ignored
from rnntrace.model.axes import Axes
from rnntrace.model.courses import COURSES
from rnntrace.model.dtypes import Array
from rnntrace.model.forms import Form, forms, last_output_forms
from rnntrace.model.inputs import Inputs
from rnntrace.model.merges import LAST_OUTPUT
from rnntrace.model.module import Module
from rnntrace.model.observation import Observation
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.vocabulary import Name, of_results, output_names, required
from rnntrace.verbs.given.arrays import label_of, tensors_of
from rnntrace.verbs.given.course_words import results_of, softmax_of
from rnntrace.verbs.given.naming import found_in, listed, unused_in


@dataclass(frozen=True)
class Expected:
    """What a source holds, time-major: outputs by name, gates and states (T, B, ·) by (layer, direction, symbol).

    `half_units` are half a unit of the last digit of each value that was typed, by the same names. An output of the last step
    alone stands under h_n, or, if there is an h_n beside it, in `last_output`, with `last_half_unit`. `names` says what was
    given, `unused` what else there is, `notes` are sentences on how it was read, and `step` that of integers on a grid.
    `softmax` is what a course's head made.
    """

    values: Mapping[Name, Array]
    half_units: Mapping[Name, Array]
    names: frozenset[Name]
    last_output: Array | None = None
    last_half_unit: Array | None = None
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    step: float | None = None
    softmax: Mapping[str, tuple[Array, Array | None]] = field(default_factory=dict)

    def observation(self, spec: ModuleSpec, source: Any) -> Observation:
        """As what a framework made of the inputs. That of the last layer is known from the output, if it was not given."""
        known, half_units = dict(self.values), dict(self.half_units)
        for direction in spec.directions if "output" in known and not spec.merges else ():
            key, units = (spec.num_layers - 1, direction, spec.cell.output), spec.output_units(direction)
            if key not in known:
                known[key] = known["output"][..., units]
                half_units |= {key: half_units["output"][..., units]} if "output" in half_units else {}
        states = {key: values for key, values in known.items() if not isinstance(key, str)}
        return Observation(
            framework="expected",
            version="",
            device="",
            threads=0,
            path=label_of(source),
            outputs={name: known[name] for name in output_names(spec) if name in known},
            hidden={key: values for key, values in states.items() if key[2] == spec.cell.output},
            captured=states if any(not isinstance(name, str) for name in self.names) else {},
            half_units=half_units,
        )


def read_expected(
    module: Module,
    inputs: Inputs,
    source: Any,
    ignored: Ignored | None = None,
    require: Sequence[str] = (),
    axes: Axes | None = None,
    grid: Grid | None = None,
    columns: Columns | None = None,
) -> Expected:
    """The outputs, gates and states that a source holds, under the names of `vocabulary` and in the shapes of `forms`.

    One array alone is the output, whatever its name; a pair is what torch returns. `axes` are those of the file, if they are
    not the module's own, integers lie on a `grid`, and `columns` are those of a table.
    Raises UsageError for a name in `require` that means nothing here;
    FileError for one that is missing, for two names of one thing, for a name that is nearly right, and for an array that
    cannot be read under a right one; SignalError for shapes that do not fit.
    """
    if isinstance(source, str) and not source:
        raise UsageError("`expected` needs the name of a file, or JSON, and is empty")
    words, last = of_results(module.spec), LAST_OUTPUT if module.spec.merges else f"{module.spec.cell.output}_n"
    tensors = (ignored or Ignored()).without(tensors_of(_by_name(source, module.spec), columns=columns))
    tensors = grid(tensors) if grid else tensors
    course = COURSES.get(module.layout)
    softmax = softmax_of(course, tensors)
    turned = axes is None and not inputs.unbatched
    tensors = results_of(course, tensors, source, batch_first=module.spec.batch_first, turned=turned)
    found = found_in(tensors, words, source, alone="output") if tensors.arrays or tensors.refused or not softmax else {}
    if not found and softmax:
        raise FileError(
            f"{label_of(source)} holds {listed([*softmax])} alone, which is judged beside the hidden state: give it too"
        )
    if not found:
        wanted = ", ".join(name for name in words.canonical if isinstance(name, str))
        holds = listed([*tensors.arrays, *tensors.refused]) or "nothing"
        raise FileError(f"{label_of(source)} should hold one array, or some of {wanted}, and holds {holds}")
    in_onnx_words = any(own.lower().startswith("y") for own in found.values())
    values: dict[Name, Array] = {}
    half_units: dict[Name, Array] = {}
    notes = []
    names, last_output, last_half_unit = set(found), None, None
    for name, own in found.items():
        array, half = tensors.arrays[own], tensors.half_units(own, digits.OUTPUTS)
        found_forms = forms(module, inputs, name, in_onnx_words=in_onnx_words, axes=axes)
        is_last, (_, bring, as_words) = _form(
            module,
            inputs,
            words.canonical[name],
            name,
            array,
            source,
            [*found_forms],
            axes,
            is_table=own == "" and own in tensors.typed,
        )
        if is_last and not module.last_output:
            # A module that gives every step has not been given its output.
            names = names - {"output"} | {last}
        if is_last and last in found:
            last_output, last_half_unit = bring(array), None if half is None else bring(half)
            continue
        target = last if is_last else name
        values[target] = bring(array)
        if half is not None:
            half_units[target] = bring(half)
        if as_words and not is_last:
            notes.append(f"{words.canonical[name]} in {label_of(source)} has shape {array.shape}, and is read as {as_words}")
        if is_last:
            notes.append(f"{label_of(source)} holds the output of the final step alone: it is judged as {last}")
        elif isinstance(name, str) and name.endswith("_n") and len(values[name]) < len(module.spec.layer_directions):
            notes.append(f"{name} in {label_of(source)} is that of the last layer alone: the layers below it are not judged")
    _check_required(module.spec, names, require, source)
    step = next((tensors.steps[own] for own in found.values() if own in tensors.steps), None)
    unused, aside = unused_in(tensors, words, source, [*found.values()])
    if columns is not None:
        columns.check_used(unused)
    return Expected(values, half_units, frozenset(names), last_output, last_half_unit, unused, (*notes, *aside), step, softmax)


def _by_name(source: Any, spec: ModuleSpec) -> Any:
    """What a module of torch returns, (output, h_n) or (output, (h_n, c_n)), by name; anything else as it is.

    A cell of one's own has its states in the order of its declaration.
    """
    names = [f"{state}_n" for state in spec.cell.states] if spec.is_custom else ["h_n", "c_n"]
    if not isinstance(source, tuple) or not 2 <= len(source) <= max(len(names), 2) + 1 or not hasattr(source[0], "shape"):
        return source
    output, *states = source
    if len(states) == 1 and isinstance(states[0], tuple):
        states = [*states[0]]
    return {"output": output, **dict(zip(names, states, strict=False))}


def _form(
    module: Module,
    inputs: Inputs,
    word: str,
    name: Name,
    array: Array,
    source: Any,
    found: Sequence[Form],
    axes: Axes | None,
    *,
    is_table: bool,
) -> tuple[bool, Form]:
    """Whether an array is the output of the last step alone, and which of the forms it has."""
    for form in found:
        if array.shape == form[0]:
            return False, form
    for form in last_output_forms(module, inputs, axes) if name == "output" else ():
        if array.shape == form[0]:
            return True, form
    own = found[0][0]
    if is_table and array.ndim == 2 and array.shape[1] != own[-1]:
        raise SignalError(
            f"{label_of(source)}: {word} should have shape {own}, and the table has {array.shape[1]} columns and no headings "
            f"of units: say which they are with `columns`, such as 'h=1-{own[-1]}'"
        )
    raise SignalError(
        f"{label_of(source)}: {word} should have shape {own}, and has shape {array.shape}{_hint(module.spec, array, own)}"
    )


def _check_required(spec: ModuleSpec, found: Set[Name], require: Sequence[str], source: Any) -> None:
    """Raises UsageError and FileError, see `read_expected`."""
    try:
        wanted = required(spec, require)
    except KeyError as error:
        known = ", ".join(of_results(spec).canonical.values())
        raise UsageError(f"`require={show(error.args[0])!r}` means nothing here: choose from {known}") from None
    if missing := [word for word, names in wanted.items() if not found >= {*names}]:
        raise FileError(f"{label_of(source)} does not hold {', '.join(missing)}, which `require` asks for")


def _hint(spec: ModuleSpec, array: Array, shape: tuple[int, ...]) -> str:
    """What may have happened to an array of the wrong shape."""
    if array.ndim == len(shape) == 3 and array.shape == (shape[1], shape[0], shape[2]):
        return ": batch and time are the other way round" + ("" if spec.batch_first else ", see `batch_first`")
    if spec.bidirectional and not spec.merges and array.shape == (*shape[:-1], spec.output_size):
        return ": it is as wide as one direction; if both are summed or averaged, say so with `merge`"
    return ""
