"""The gradients of a watched model: what came back to each call of a recurrent module, replayed and judged beside torch's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from rnntrace.engine.backward.judge import judge_backward
from rnntrace.engine.backward.loss import Loss
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.replay.replay import replay
from rnntrace.errors import RnnTraceError, UsageError
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import parameters_of
from rnntrace.model.spec import FORWARD
from rnntrace.verbs.backward import ShownGradients

if TYPE_CHECKING:
    from rnntrace.frameworks.torch.watch import Call

Key = tuple[str, int]
NOTHING = "nothing came back to it while the model was watched"


class WatchedGradients(Mapping[Key, ShownGradients]):
    """By (name of the module, number of the call): the gradients of that call, judged when they are first looked at.

    Every call of a cell stands by itself: what comes back to its states comes from the calls after it as well. `not_judged`
    says for each call without gradients why, and `remarks` for each module whose parameters got another gradient than its calls
    give together. `of_parameters` are these gradients, of all backward passes together.
    """

    def __init__(self, judging: JudgeOptions) -> None:
        self.of_parameters: dict[str, dict[str, Array]] = {}
        self._judging = judging
        self._calls: dict[Key, Call] = {}
        self._found: dict[Key, ShownGradients] = {}
        self._seen: dict[Key, tuple[int, ...]] = {}
        self._reasons: dict[Key, str] = {}

    def add(self, name: str, call: "Call") -> None:
        """A call, as it happens."""
        self._calls[name, sum(other == name for other, _ in self._calls)] = call

    def _judged(self) -> dict[Key, ShownGradients]:
        for key, call in self._calls.items():
            # What comes back later makes other arrays.
            seen = tuple(map(id, (call.passed_back or {}).values()))
            if self._seen.get(key) == seen:
                continue
            self._seen[key] = seen
            self._reasons.pop(key, None)
            try:
                self._found[key] = _result(call, self._judging)
            except RnnTraceError as error:
                self._reasons[key] = str(error)
        return self._found

    @property
    def remarks(self) -> dict[str, str]:
        """By module: that its parameters got another gradient than its calls give together."""
        found = {}
        for name, own in self.of_parameters.items():
            results = [result for (other, _), result in self.items() if other == name]
            if own and results and (where := _apart(own, results)):
                found[name] = f"{where}: the loss reads it elsewhere too, or it changed between the passes"
        return found

    def __getitem__(self, key: str | Key) -> ShownGradients:
        """`gradients["encoder.lstm"]` where there is one call, else `gradients["encoder.lstm", 1]`.

        KeyError says what there is, UsageError why a call has no gradients.
        """
        found = self._judged()
        keys = [own for own in self._calls if own[0] == key] if isinstance(key, str) else [key]
        if len(keys) != 1 or keys[0] not in self._calls:
            raise KeyError(f"{key!r} is no call of a recurrent module, or several: choose one of {[*self._calls]}")
        if keys[0] in self._reasons:
            raise UsageError(
                f"{keys[0][0] or 'the model itself'}, call {keys[0][1]}, has no gradients: {self._reasons[keys[0]]}"
            )
        return found[keys[0]]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._judged())

    def __len__(self) -> int:
        return len(self._judged())

    @property
    def not_judged(self) -> dict[Key, str]:
        """The reason for every call without gradients."""
        self._judged()
        return dict(self._reasons)

    @property
    def passed(self) -> bool:
        """Whether something came back to every call, and all of it agrees."""
        return len(self) > 0 and not self.not_judged and not self.remarks and all(result.passed for result in self.values())


def _apart(own: Mapping[str, Array], results: Sequence[ShownGradients]) -> str:
    """Where the gradients of parameters are others than those of all calls together, in words; empty if nowhere."""
    spec = results[0].spec
    calls = [parameters_of(spec, result.gradients.parameters) for result in results]
    for name, values in own.items():
        if name not in calls[0]:
            continue
        together = sum(call[name].astype(np.float64) for call in calls)
        largest = float(np.abs(values).max(initial=0.0))
        apart = float(np.abs(values - together).max(initial=0.0))
        if not apart <= 100 * len(calls) * spec.precision.eps * np.sqrt(results[0].inputs.steps) * max(largest, 1e-30):
            return f"{name} got another gradient than its calls give together, by {apart:.1e} of {largest:.1e}"
    return ""


def _result(call: "Call", judging: JudgeOptions) -> ShownGradients:
    from rnntrace.frameworks.torch import watch as framework

    if call.drops:
        raise UsageError("dropout acted between its layers, in training mode, and what it left is not known: see model.eval()")
    if not call.passed_back:
        raise UsageError(NOTHING)
    loss = Loss("of the model", _from_outside(call))
    observation = framework.observe_call_backward(call, loss.gradients, judging.capture)
    result = judge_backward(call.spec, call.weights, call.inputs, loss, observation, judging)
    found = replace(result, origin={} if call.states_given else {f"{state}0": "zeros" for state in call.spec.cell.states})
    return ShownGradients(**{field.name: getattr(found, field.name) for field in fields(found)})


def _from_outside(call: "Call") -> Mapping[str, Array]:
    """What came back to the outputs of a call from outside of it.

    On the processor torch's LSTMCell works h out of the very tensor that it gives as c, to which that part comes back as well.
    """
    back = dict(call.passed_back or {})
    if not (call.spec.kind == "LSTMCell" and call.device == "cpu" and {"h_n", "c_n"} <= back.keys()):
        return back
    trace = replay(call.spec, call.weights, call.inputs)
    tanh_c = np.tanh(trace["c", 0, FORWARD])
    return back | {"c_n": back["c_n"] - back["h_n"] * trace["o", 0, FORWARD] * (1 - tanh_c * tanh_c)}
