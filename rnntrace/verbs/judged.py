"""What a verb gives back: a result that shows itself, with the answers to what was asked of it."""

from collections.abc import Mapping, Sequence

from rnntrace.engine.judge.judge import judge
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.rounding import Typed
from rnntrace.errors import UsageError
from rnntrace.model.inputs import Inputs
from rnntrace.model.observation import Observation
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.verbs.displayed import DisplayedResult, displayed


def judged(
    spec: ModuleSpec,
    weights: Weights,
    inputs: Inputs,
    observation: Observation,
    options: JudgeOptions,
    *,
    seed: int | None = None,
    origin: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    typed: Typed | None = None,
) -> DisplayedResult:
    """As `engine.judge`, with deliberate mistakes made in the replay, and with those that it could not have shown."""
    result = judge(spec, weights, inputs, observation, options, seed=seed, origin=origin, warnings=warnings, typed=typed)
    return displayed(_asked_of(result, options) if options.mistakes or options.blind else result)


def _asked_of(result: Result, options: JudgeOptions) -> Result:
    from rnntrace.engine.diagnose.deliberate import with_blindness, with_mistakes

    apart = {
        "`replay=forced`": options.replay == "forced",
        "`replay_dtype`": options.replay_dtype,
        "`show=terms`": options.keep == "terms",
        "`keep=states`": options.keep == "states",
    }
    for option, given in apart.items():
        if options.mistakes and given:
            raise UsageError(f"{option} cannot be combined with `mistake`, which replays in its own way: leave one of them out")
    tolerance = options.tolerance_of_mistakes(result.spec)
    if options.blind:
        result = with_blindness(result, tolerance)
    return with_mistakes(result, options.mistakes, tolerance) if options.mistakes else result
