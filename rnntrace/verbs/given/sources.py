"""Where the signals of a run come from: arrays in memory, files, JSON, text, or nothing, and then they are drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from rnntrace.errors import FileError, SignalError, UsageError, show
from rnntrace.files import digits, is_json
from rnntrace.files.columns import Columns
from rnntrace.files.ignored import Ignored
from rnntrace.files.tensors import Tensors
from rnntrace.model.axes import Axes
from rnntrace.model.courses import Course
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs, SignalRequest, State
from rnntrace.model.signals import to_own_layout, to_time_major
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.text import one_hot
from rnntrace.model.vocabulary import Vocabulary, of_signals
from rnntrace.model.weights import Weights
from rnntrace.verbs.given.arrays import array_of, label_of, tensors_of
from rnntrace.verbs.given.course_words import inputs_of
from rnntrace.verbs.given.naming import found_in, listed, unused_in

if TYPE_CHECKING:
    from rnntrace.engine.judge.rounding import Typed

SIGNALS = frozenset(
    {"input", "axes", "text", "alphabet", "h0", "c0", "states", "lengths", "mask", "steps", "batch", "unbatched"}
)
"""What verbs call the things that say what a module is fed."""


@dataclass(frozen=True)
class Sources:
    """The signals asked for.

    `origin` says in a word where each came from, `given` names those that a user gave; `input_size` is that of a text, the
    number of characters of its alphabet. `unused` are the names of other arrays in the same file, and `half_units` are half
    a unit of the last digit of signals that were typed, in the module's own layout. `axes` are those of the file, if
    they are others than the module's own.
    """

    request: SignalRequest = field(default_factory=SignalRequest)
    origin: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    input_size: int | None = None
    unused: tuple[str, ...] = ()
    half_units: Mapping[str, Array] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    axes: Axes | None = None

    def typed(self, spec: ModuleSpec, inputs: Inputs, weights: Weights | None) -> "Typed | None":
        """What missing digits of these signals, and of weights with such half units, leave open; None if all is exact."""
        from rnntrace.engine.judge.rounding import Typed

        states = {
            name.removesuffix("0"): half.reshape(inputs.initial(name.removesuffix("0")).shape)
            for name, half in self.half_units.items()
            if name != "x"
        }
        x = self.half_units.get("x")
        inside = None if x is None else to_time_major(spec, "x", x, inputs.unbatched)
        return Typed(weights, inside, states) if self.half_units or weights else None

    def in_order(self, axes: Axes, batch_first: bool) -> "Sources":
        """The arrays that were given once more, as a file holds them in this order of axes."""
        request = self.request
        given: dict[str, Any] = {f"{state}0": array for state, array in request.states.items() if not isinstance(array, str)}
        given |= {name: array for name, array in (("x", request.x), ("mask", request.mask)) if array is not None}
        unbatched = request.unbatched if request.x is None else request.x.ndim == 2
        found = _in_own_layout(axes, given, batch_first, unbatched)
        states = {
            **request.states,
            **{name.removesuffix("0"): array for name, array in found.items() if name not in ("x", "mask")},
        }
        return replace(
            self,
            request=replace(request, x=found.get("x"), mask=found.get("mask"), states=states),
            half_units=_in_own_layout(axes, self.half_units, batch_first, unbatched),
            warnings=tuple(said for said in self.warnings if said not in _warn_of_axes(request.x, batch_first, ())),
            axes=axes,
        )

    def described(self, spec: ModuleSpec, distribution: str) -> dict[str, str]:
        """A word for where each of x and the initial states comes from, as far as it is not an array that was given."""
        words: dict[str, Any] = {"x": distribution if self.request.x is None else None}
        words |= {f"{state}0": self.request.states.get(state, "zeros") for state in spec.cell.states}
        return {name: word for name, word in words.items() if isinstance(word, str)} | dict(self.origin)


def own_signals(source: Any, options: Mapping[str, Any]) -> Sources | None:
    """The signals of a result once more, unless others were given; `axes` are then those of what it is judged by.

    Raises UsageError for `batch_first`, which its signals contradict.
    """
    from rnntrace.engine.judge.result import Result

    if not isinstance(source, Result) or SIGNALS & {*options} - {"axes"}:
        return None
    if "batch_first" in options and not source.spec.batch_first:
        raise UsageError("`batch_first` contradicts what the trace says of its own signals: leave it out, or give `input`")
    inputs = source.inputs
    own = source.in_own_layout(inputs.signals)
    states: dict[str, State] = {state: own[f"{state}0"] for state in inputs.states}
    mask = None if inputs.mask is None else to_own_layout(source.spec, "x", inputs.mask, inputs.unbatched)
    request = SignalRequest(x=own["x"], states=states, lengths=inputs.lengths, mask=mask)
    axes = Axes.parse(options["axes"]) if "axes" in options else None
    return Sources(request, dict(source.origin), given=frozenset(own), axes=axes)


def read_sources(
    *,
    input: Any = None,
    text: str | Sequence[str] = (),
    alphabet: str | None = None,
    h0: Any = None,
    c0: Any = None,
    states: Mapping[str, Any] | None = None,
    lengths: Sequence[int] | None = None,
    mask: Any = None,
    steps: int | None = None,
    batch: int | None = None,
    unbatched: bool = False,
    batch_first: bool = False,
    axes: str | Axes | None = None,
    columns: Columns | None = None,
    ignored: Ignored | None = None,
    own_states: Iterable[str] = (),
    course: Course | None = None,
) -> Sources:
    """The signals as a user asks for them.

    `input`, `h0`, `c0` and the initial `states` of other names (m0) are arrays, a file or JSON, which for `input` may hold
    all of them: x, h0, c0, lengths, mask and the start of a module's `own_states`; a `mask` of 0 and 1 has the shape of x
    without its last axis. States may be "zeros", which they are where nothing is said, or "random". A `text` is one item, of
    one-hot vectors over `alphabet`. `axes` names the order in which x, mask and states lie where they come from
    ("unit,batch,time"), if it is not the module's own, and `columns` which of a table are x. In the notation of a `course`
    names and axes are its own. What is `ignored` is not read. Raises FileError, SignalError or UsageError.
    """
    texts = [text] if isinstance(text, str) else text
    order = None if axes is None else Axes.parse(axes)
    if order and texts:
        raise UsageError("`axes` is the order of arrays, and `text` has none: leave one of them out")
    initial = _initial(h0, c0, states)
    words = of_signals([*own_states, *(name.removesuffix("0") for name in initial)])
    for option, source in {"input": input, "mask": mask, **initial}.items():
        if isinstance(source, str) and not source:
            raise UsageError(f"`{option}` needs the name of a file, or JSON, and is empty")
    if input is not None and texts:
        raise UsageError("`input` and `text` both give x: leave one of them out")
    if unbatched and batch is not None:
        raise UsageError(
            f"`batch={batch}` cannot be combined with `unbatched`, which feeds one sequence: leave one of them out"
        )
    if alphabet is not None and not texts:
        raise UsageError("`alphabet` belongs to `text`: give a text, or leave it out")
    given: dict[str, Array] = {}
    half_units: dict[str, Array] = {}
    origin: dict[str, str] = {}
    warnings: list[str] = []
    unused: tuple[str, ...] = ()
    if input is not None:
        tensors = (ignored or Ignored()).without(tensors_of(input, columns=columns))
        tensors = inputs_of(course, tensors, input, alone="x", batch_first=batch_first, turned=not (order or unbatched))
        found = _signals(tensors, words, input)
        unused, aside = unused_in(tensors, words, input, [*found.values()])
        if columns is not None:
            columns.check_used(unused)
        warnings += aside
        given, half_units = {name: tensors.arrays[own] for name, own in found.items()}, _half_units(tensors, found)
        if "x" in given:
            origin |= _named("x", input)
    elif texts:
        encoded, text_lengths = one_hot(texts, alphabet)
        origin["x"] = "text, one-hot"
        given["x"], same_length = _arrange(encoded, text_lengths, batch_first, unbatched)
        if not same_length:
            given["lengths"] = np.array(text_lengths, float)
    for name, wanted in initial.items():
        if not _is_word(wanted, "zeros"):
            given.pop(name, None)
            half_units.pop(name, None)
        if not _is_word(wanted, "zeros", "random"):
            tensors = tensors_of(wanted)
            tensors = inputs_of(course, tensors, wanted, alone=name, batch_first=batch_first, turned=not (order or unbatched))
            own = _single(tensors, words, wanted, name)
            given[name], origin[name] = tensors.arrays[own], "given"
            half_units |= _half_units(tensors, {name: own})
    if lengths is not None:
        given["lengths"] = array_of(lengths)
    if mask is not None:
        tensors = tensors_of(mask)
        given["mask"] = tensors.arrays[_single(tensors, words, mask, "mask")]
    if order and not given:
        raise UsageError("`axes` is the order of arrays, and none is given: give `input`, or leave it out")
    if order:
        without_batch = given["x"].ndim == 2 if "x" in given else unbatched
        given = _in_own_layout(order, given, batch_first, without_batch)
        half_units = _in_own_layout(order, half_units, batch_first, without_batch)
        if given.get("x", np.zeros(())).ndim == 3 and len(order.order) == 2:
            raise SignalError(f"`axes={order}` is the order of two axes, and x has three: name that of the batch too")
    if "x" in given:
        warnings += [] if order or course else _warn_of_axes(given["x"], batch_first, texts)
        _check(given["x"], steps, batch, unbatched, batch_first)
    starts: dict[str, State] = {
        name: given.get(name, "random" if isinstance(wanted, str) and wanted == "random" else "zeros")
        for name, wanted in {**dict.fromkeys(name for name in given if name not in ("x", "lengths", "mask")), **initial}.items()
    }
    request = SignalRequest(
        steps=4 if steps is None else steps,
        batch=1 if batch is None else batch,
        unbatched=unbatched,
        x=given.get("x"),
        lengths=whole_numbers(given["lengths"]) if "lengths" in given else None,
        mask=given.get("mask"),
        h0=starts.pop("h0"),
        c0=starts.pop("c0"),
        states={name.removesuffix("0"): start for name, start in starts.items()},
    )
    width = given["x"].shape[-1] if texts else None
    said = frozenset(given) | {name for name, wanted in initial.items() if wanted is not None}
    return Sources(request, origin, tuple(warnings), width, unused, half_units, said, order)


def _in_own_layout(axes: Axes, given: Mapping[str, Array], batch_first: bool, unbatched: bool) -> dict[str, Array]:
    """Signals of which x, mask and states lie in an order of axes, in the module's own layout; lengths stay as they are."""
    found = {name: axes.state(array, unbatched=unbatched) for name, array in given.items()}
    found |= {"lengths": given["lengths"]} if "lengths" in given else {}
    for name, arranged, rank in (("x", axes.sequence, 3), ("mask", axes.mask, 2)):
        if name in given:
            array = arranged(given[name])
            found[name] = array.swapaxes(0, 1) if batch_first and array.ndim == rank else array
    return found


def _initial(h0: Any, c0: Any, states: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is wanted for each initial state by its name, h0 and c0 first. Raises UsageError for a name that is none."""
    initial = {"h0": h0, "c0": c0}
    for name, wanted in (states or {}).items():
        if not name.removesuffix("0") or not name.endswith("0"):
            raise UsageError(f"`states` gives initial states by names that end in 0, such as h0, and not {show(name)!r}")
        if initial.get(name) is not None:
            raise UsageError(f"`{name}` and `states` both give {name}: leave one of them out")
        initial[name] = wanted
    return initial


def _is_word(wanted: Any, *words: str) -> bool:
    """Whether nothing is wanted, or one of these words."""
    return wanted is None or (isinstance(wanted, str) and wanted in words)


def _named(name: str, source: Any) -> dict[str, str]:
    """A word for where a signal comes from; none for arrays in memory."""
    if not isinstance(source, str | Path):
        return {}
    return {name: "from JSON" if is_json(str(source)) else show(Path(source).name)}


def _signals(tensors: Tensors, words: Vocabulary, source: Any) -> dict[str, str]:
    """The names in a file of x, and whatever else of initial states, lengths and mask it holds."""
    found = found_in(tensors, words, source, alone="x")
    if not found:
        _refuse_all(tensors, "x", source)
    return {str(name): own for name, own in found.items()}


def _single(tensors: Tensors, words: Vocabulary, source: Any, name: str) -> str:
    """The name in a file of the array `name`, or of its only array."""
    found = found_in(tensors, words, source, alone=name)
    if name not in found and len({*tensors.arrays, *tensors.refused}) != 1:
        _refuse_all(tensors, name, source)
    return found.get(name) or next(iter(found.values()))


def _refuse_all(tensors: Tensors, name: str, source: Any) -> NoReturn:
    holds = listed([*tensors.arrays, *tensors.refused]) or "none"
    raise FileError(f"{label_of(source)} should hold one array, or one named {name}, and holds {holds}")


def _half_units(tensors: Tensors, found: Mapping[str, str]) -> dict[str, Array]:
    """Half a unit of the last digit of x and initial states, as far as they were typed."""
    halves = {name: tensors.half_units(own, digits.SIGNALS) for name, own in found.items() if name not in ("lengths", "mask")}
    return {name: half for name, half in halves.items() if half is not None}


def _arrange(encoded: Array, lengths: tuple[int, ...], batch_first: bool, unbatched: bool) -> tuple[Array, bool]:
    """One-hot vectors (text, letter, alphabet) as x, and whether all texts are equally long.

    One text is laid out as the module wants it. Several are left as they are written, texts first: what a module without
    batch_first then makes of them is what happens to people, and is warned of.
    """
    same_length = len(set(lengths)) == 1
    if len(lengths) == 1:
        single = encoded[0] if unbatched else encoded if batch_first else encoded.swapaxes(0, 1)
        return single, True
    if unbatched:
        raise UsageError(f"`unbatched` takes one text, and there are {len(lengths)}: leave it out")
    if not same_length and not batch_first:
        raise SignalError("texts of different lengths need `batch_first`: axis 0 of x are then the texts")
    return encoded, same_length


def _warn_of_axes(x: Array | None, batch_first: bool, texts: Sequence[str]) -> list[str]:
    """Say which axis of a given x is taken for time where it may well be another one that was meant."""
    if x is None or x.ndim != 3 or batch_first:
        return []
    axis_0, axis_1 = x.shape[:2]
    taken = f"x has shape {x.shape}, time first: axis 0 ({axis_0}) was taken for time and axis 1 ({axis_1}) for the batch"
    if len(texts) > 1:
        return [
            f"{taken}, though there are {axis_0} texts of {axis_1} characters; `batch_first` reads each text as one sequence"
        ]
    if 1 < axis_0 < axis_1:
        return [f"{taken}; if it is (batch, time, input), pass `batch_first`"]
    return []


def _check(x: Array, steps: int | None, batch: int | None, unbatched: bool, batch_first: bool) -> None:
    """Flags that contradict a given x."""
    if unbatched and x.ndim == 3:
        raise SignalError(f"`unbatched` takes x of shape (time, input), and x has shape {x.shape}: leave it out")
    time_and_batch = {2: (*x.shape[:1], 1), 3: x.shape[1::-1] if batch_first else x.shape[:2]}
    sizes = time_and_batch.get(x.ndim, ())
    for option, wanted, found in zip(("steps", "batch"), (steps, batch), sizes, strict=False):
        if wanted is not None and wanted != found:
            raise SignalError(f"`{option}={wanted}` contradicts x, where it is {found}: leave `{option}` out")


def whole_numbers(lengths: Array) -> tuple[int, ...]:
    """Lengths from an array. Raises SignalError for anything but whole numbers in one dimension."""
    flat = np.atleast_1d(lengths)
    if flat.ndim != 1 or not np.isfinite(flat).all() or not np.all(flat == np.floor(flat)):
        found = str(lengths.tolist())[:40]
        raise SignalError(f"lengths should be whole numbers, one for each item of the batch, not {found}")
    return tuple(int(length) for length in flat)
