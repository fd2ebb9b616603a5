"""`watch`: the recurrent modules inside a larger model, each traced and judged as it was called."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.tolerance import make_tolerance
from rnntrace.errors import RnnTraceError, UsageError
from rnntrace.model.dtypes import Array
from rnntrace.model.observation import UNKNOWN_PATH
from rnntrace.model.weights import Weights
from rnntrace.verbs.displayed import DisplayedResult
from rnntrace.verbs.given.keywords import pass_on
from rnntrace.verbs.judged import judged

if TYPE_CHECKING:
    from rnntrace.frameworks.torch.watch import Call

MAX_LINES = 40
"""As many calls are named in the text form of `Traces`."""


@contextmanager
def watch(
    model: Any,
    *,
    replay: Literal["free", "forced"] = "free",
    tolerance: str = "torch",
    rtol: float | None = None,
    atol: float | None = None,
    drift: bool = True,
    capture: str = "auto",
    terms: bool = False,
    backward: bool = False,
) -> Iterator["Traces"]:
    """Trace every recurrent module of torch.nn inside a model as it is called while the block runs.

    `with watch(model) as traces: model(batch)`. The model runs as it would without being watched: outputs, gradients, modes,
    hooks and the random generator are the same to the last bit. A call is copied when it happens, and judged when a result is
    first looked at. What is judged is what the caller got; torch's gates come from running the module again. Calls of a cell
    that each start from the state that the one before gave are one trace over t. With dropout between the layers of a module
    in training mode, its first layer is traced alone: what the others were given is not known. The options are those of
    `trace`.

    With `backward` the gradients of `loss.backward()` are followed too, if it is called inside the block: what comes back to
    the outputs of each call is copied, replayed gate by gate, and judged beside torch's own for it, in `traces.gradients`. The
    model's own gradients, its graph and its hooks are as they would be. Raises UsageError if the model holds no module to
    follow.
    """
    keywords = locals()
    from rnntrace.frameworks.torch import watch as framework

    judging = pass_on(JudgeOptions, keywords, keep="terms" if terms else "gates")
    make_tolerance(tolerance, "float32", rtol, atol)
    modules, others = framework.recurrent_modules(model)
    traces = Traces(judging, tuple(modules), others, backward=backward)
    with framework.following(modules, traces._add, None if traces.gradients is None else traces.gradients.of_parameters):
        yield traces


@dataclass(frozen=True, repr=False)
class WatchedResult(DisplayedResult):
    """The result of one call: `call` counts the calls of the module, from 0."""

    call: int = 0

    def __repr__(self) -> str:
        return f"<Result {self.verdict}: {self.title}: {self.trace.summary}>"

    @property
    def title(self) -> str:
        """The call in words."""
        return _title(self.name, self.call)


@dataclass
class _Entry:
    """A call, or the calls of a cell that are one trace; its result once it is judged, or the reason why it cannot be."""

    name: str
    number: int
    calls: list["Call"] = field(default_factory=list)
    reason: str = ""
    result: WatchedResult | None = None

    def __str__(self) -> str:
        if self.result is None:
            return f"not judged: {self.reason}"
        part = f", the first of {self.calls[0].spec.num_layers} layers alone" if self.calls[0].drops else ""
        return f"{self.result.verdict}  {self.result.trace.summary}{part}"


class Traces:
    """The results of a watched model in order of the calls; a number, a name or (name, number of the call) gives one of them.

    `not_judged` says for each call that could not be judged why, and `others` for each module that is not followed. `gradients`
    are those that came back to each call; None unless they were followed.
    """

    def __init__(
        self, judging: JudgeOptions, names: tuple[str, ...], others: Mapping[str, str], *, backward: bool = False
    ) -> None:
        from rnntrace.verbs.watched_backward import WatchedGradients

        self.names, self.others = names, others
        self.gradients = WatchedGradients(judging) if backward else None
        self._judging = judging
        self._entries: list[_Entry] = []
        self._numbers: Counter[str] = Counter()
        self._unfinished: dict[tuple[str, bytes], _Entry] = {}

    def _add(self, name: str, seen: "Call | str") -> None:
        if isinstance(seen, str):
            self._append(name).reason = seen
            return
        if self.gradients is not None:
            self.gradients.add(name, seen)
        entry = None
        if seen.spec.is_cell and seen.states_given:
            entry = self._unfinished.pop((name, _state(*seen.inputs.states.values())), None)
        if entry is None or entry.calls[-1].weights is not seen.weights:
            entry = self._append(name)
        entry.calls.append(seen)
        entry.result = None
        if seen.spec.is_cell:
            self._unfinished[name, _state(*(seen.outputs[f"{state}_n"] for state in seen.spec.cell.states))] = entry

    def _append(self, name: str) -> _Entry:
        self._entries.append(_Entry(name, self._numbers[name]))
        self._numbers[name] += 1
        return self._entries[-1]

    def _judged(self) -> list[_Entry]:
        """The calls so far, each with a result or a reason."""
        for entry in self._entries:
            if not entry.reason and entry.result is None:
                try:
                    result = _result(_joined(entry.calls), self._judging)
                    entry.result = WatchedResult(**{**vars(result), "name": entry.name}, call=entry.number)
                except RnnTraceError as error:
                    entry.reason = str(error)
        return self._entries

    def __iter__(self) -> Iterator[WatchedResult]:
        return (entry.result for entry in self._judged() if entry.result is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return any(key in (result.name, (result.name, result.call)) for result in self)

    def __getitem__(self, key: int | str | tuple[str, int]) -> WatchedResult:
        """`traces[0]`, `traces["encoder.lstm"]` where there is one call, `traces["encoder.lstm", 1]`; -1 is the last.

        IndexError or KeyError says what there is, UsageError why a call was not judged.
        """
        if isinstance(key, int):
            return list(self)[key]
        name, number = (key, None) if isinstance(key, str) else key
        calls = [entry for entry in self._judged() if entry.name == name]
        if not calls and name in self.names:
            raise KeyError(f"{name!r} was not called")
        if not calls:
            raise KeyError(f"no recurrent module {name!r} is followed: choose one of {', '.join(map(repr, self.names))}")
        if number is None and len(calls) > 1:
            last = len(calls) - 1
            raise KeyError(f"{name!r} was called {len(calls)} times: choose a call from ({name!r}, 0) to ({name!r}, {last})")
        try:
            entry = calls[number or 0]
        except IndexError:
            raise KeyError(f"{name!r} has no call {number}: it was called {len(calls)} times, counted from 0") from None
        if entry.result is None:
            raise UsageError(f"{_title(entry.name, entry.number)}, was not judged: {entry.reason}")
        return entry.result

    def keys(self) -> list[tuple[str, int]]:
        """(name, number of the call) of every result."""
        return [(result.name, result.call) for result in self]

    def items(self) -> list[tuple[tuple[str, int], WatchedResult]]:
        """Every result with its key."""
        return [((result.name, result.call), result) for result in self]

    @property
    def not_judged(self) -> dict[tuple[str, int], str]:
        """The reason for every call that could not be judged, by (name, number of the call)."""
        return {(entry.name, entry.number): entry.reason for entry in self._judged() if entry.reason}

    @property
    def passed(self) -> bool:
        """Whether something was judged, all that was called was, and all of it agrees; gradients too, if they were followed."""
        forward = len(self) > 0 and not self.not_judged and all(result.passed for result in self)
        return forward and (self.gradients is None or self.gradients.passed)

    def __repr__(self) -> str:
        rows = [(_title(entry.name, entry.number), str(entry)) for entry in self._judged()]
        if self.gradients is not None:
            said = {key: f"{one.verdict}  {one.trace.summary}" for key, one in self.gradients.items()}
            said |= {key: f"not judged: {why}" for key, why in self.gradients.not_judged.items()}
            rows += [(f"{_title(*key)}, backward", text) for key, text in said.items()]
            rows += [(name or _MODEL, remark) for name, remark in self.gradients.remarks.items()]
        rows += [(name or _MODEL, "not called") for name in self.names if not self._numbers[name]]
        rows += [(name or _MODEL, f"not followed: {reason}") for name, reason in self.others.items()]
        if len(rows) > MAX_LINES:
            left_out = len(rows) - MAX_LINES
            rows[MAX_LINES // 2 : -MAX_LINES // 2] = [("…", f"{left_out} more lines")]
        width = max(len(title) for title, _ in rows)
        calls = f"{len(self._entries)} call" + ("s" if len(self._entries) != 1 else "")
        return "\n".join([f"<Traces of {calls}>", *(f"{title:<{width}}  {text}" for title, text in rows)])


_MODEL = "the model itself"


def _title(name: str, number: int) -> str:
    return f"{name or _MODEL}, call {number}"


def _state(*states: Array) -> bytes:
    """States as the key by which the call that goes on from them finds the call that gave them."""
    return b"".join(values.tobytes() for values in states)


def _joined(calls: list["Call"]) -> "Call":
    """The calls of a cell as one sequence; a single call as it is."""
    first, last = calls[0], calls[-1]
    if first is last:
        return first
    x = np.concatenate([call.inputs.x for call in calls])
    output = np.concatenate([call.outputs["output"] for call in calls])
    return replace(first, inputs=replace(first.inputs, x=x), outputs={**last.outputs, "output": output})


def _result(call: "Call", judging: JudgeOptions) -> DisplayedResult:
    from rnntrace.frameworks.torch import watch as framework

    warnings = []
    if call.drops:
        warnings.append(
            f"dropout {call.spec.dropout:g} acted between the {call.spec.num_layers} layers, in training mode: what it left of "
            f"the first layer's output is not known, so that layer alone is traced, judged by its own states; see model.eval()"
        )
        call = _first_layer(call)
    observation = framework.observe_call(call, judging.capture)
    origin = {} if call.states_given else {f"{state}0": "zeros" for state in call.spec.cell.states}
    result = judged(call.spec, call.weights, call.inputs, observation, judging, origin=origin, warnings=warnings)
    if not result.passed and observation.path == UNKNOWN_PATH:
        hint = "run again on the same input with the same weights, the module gives other values: did a hook change them?"
        result = replace(result, warnings=(*result.warnings, hint))
    return result


def _first_layer(call: "Call") -> "Call":
    """The call of a stack as far as its first layer goes: the last states of that layer are all that is seen of it."""
    spec = replace(call.spec, num_layers=1, dropout=0.0)
    rows = len(spec.layer_directions)
    inputs = call.inputs
    return replace(
        call,
        spec=spec,
        weights=Weights({column: call.weights[column] for column in spec.layer_directions}),
        inputs=replace(inputs, states={state: values[:rows] for state, values in inputs.states.items()}),
        outputs={name: states[:rows] for name, states in call.outputs.items() if name != "output"},
    )
