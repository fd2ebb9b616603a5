"""What there is to tell: a replay beside the framework, with the verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rnntrace.engine.judge.verdict import Comparison, Verdict
from rnntrace.engine.replay.trace import Trace
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.observation import Observation
from rnntrace.model.signals import to_own_layout
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.vocabulary import Name, canonical_names, is_output, output_names
from rnntrace.model.weights import Weights

if TYPE_CHECKING:
    # Few results have any.
    from rnntrace.engine.diagnose.blindness import Blindness
    from rnntrace.engine.diagnose.mistake import Mistake


@dataclass(frozen=True, repr=False)
class Result:
    """A replay beside the framework.

    `trace` is the replay that is shown, free-running or forced, and `replayed_outputs` its output and final states, time-major
    (forced, those of the path that the framework's outputs came from); `comparison` the verdict with its reasons;
    `observation` the framework's side. `seed` is None where nothing was drawn; `origin` says in a word where x and the
    initial states came from. Each step was judged by itself if there are `single_steps`, else the trajectory. `mistakes` were
    made in the replay on purpose, and `blind` says which ones the outputs could not have shown, if that was asked.
    `handed_in` names what was given to judge the replay by, None where a framework was run, and `unused` the arrays that were
    given and mean nothing here; `agrees_to` is the number of decimals to which what was given is right although it fails.
    `contradictions` are sentences on what else does not agree, a FAIL whatever the values. `name` is the module's in its file
    or model, and `assumed` are the fields of its spec that the file does not record. `step` is that of the grid on which what
    was given lies, if it was given as integers, and `levels` is to how many a quantised module rounds its activations.
    """

    spec: ModuleSpec
    weights: Weights
    inputs: Inputs
    trace: Trace
    replayed_outputs: Mapping[str, Array]
    observation: Observation
    comparison: Comparison
    replay: str = "free"
    seed: int | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    mistakes: "tuple[Mistake, ...]" = ()
    single_steps: bool = True
    blind: "Blindness | None" = None
    handed_in: frozenset[Name] | None = None
    unused: tuple[str, ...] = ()
    agrees_to: int | None = None
    contradictions: tuple[str, ...] = ()
    name: str = ""
    assumed: tuple[str, ...] = ()
    step: float | None = None
    levels: int | None = None

    def __repr__(self) -> str:
        return f"<Result {self.verdict}: {self.trace.summary}>"

    @property
    def verdict(self) -> Verdict:
        """IDENTICAL, PASS, PASS (rounded), PASS (drift), FAIL or UNDECIDED."""
        return Verdict.FAIL if self.contradictions else self.comparison.verdict

    @property
    def passed(self) -> bool:
        """Whether replay and framework agree."""
        return self.verdict.passed

    @property
    def judged(self) -> tuple[str, ...]:
        """The names of the outputs, gates and states that the replay was judged by."""
        if self.handed_in is not None:
            # What stands behind the module has a name of its own.
            behind = sorted(name for name in self.handed_in if isinstance(name, str) and not is_output(name))
            return (*canonical_names(self.spec, self.handed_in), *behind)
        names = {difference.name for difference in self.comparison.counted}
        keys = (
            (*column, symbol) for column in self.spec.layer_directions for symbol in self.spec.cell.symbols if symbol in names
        )
        return canonical_names(self.spec, {*names, *keys})

    @property
    def missing(self) -> tuple[str, ...]:
        """Those of output, h_n and other final states that were not given."""
        return tuple(name for name in output_names(self.spec) if name not in self.judged)

    @property
    def framework_values(self) -> Mapping[Key, Array]:
        """The framework's own values as far as they are known, by (layer, direction, symbol)."""
        return self.observation.values

    @property
    def outputs(self) -> dict[str, Array]:
        """The replay's output and final states in the module's own layout."""
        return self.in_own_layout(self.replayed_outputs)

    @property
    def expected(self) -> dict[str, Array]:
        """The framework's output and final states in the module's own layout."""
        return self.in_own_layout(self.observation.outputs)

    def in_own_layout(self, signals: Mapping[str, Array | None]) -> dict[str, Array]:
        """Time-major signals by name (x, h0, output, h_n, …) as the module takes and gives them."""
        unbatched = self.inputs.unbatched
        return {name: to_own_layout(self.spec, name, array, unbatched) for name, array in signals.items() if array is not None}
