"""How gradients are worked out, and a mistake in it: what a catalogue of them is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from rnntrace.engine.backward.backward import backward
from rnntrace.engine.backward.gradients import Gradients
from rnntrace.engine.diagnose.case import Description
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.adjoint import Adjoint, adjoint
from rnntrace.model.dtypes import Array
from rnntrace.model.weights import Weights

Read = Callable[[Gradients], Gradients]


@dataclass(frozen=True)
class Calculation:
    """How gradients are worked out: from a forward pass, by an adjoint in each direction, and what is made of them.

    `weigh` (T,) says how much each step adds to the gradients of parameters.
    """

    trace: Trace
    weights: Weights
    loss: Mapping[str, Array]
    adjoints: Mapping[str, Adjoint]
    truncate: int | None = None
    weigh: Array | None = None
    reads: tuple[Read, ...] = ()

    @classmethod
    def of(cls, trace: Trace, weights: Weights, loss: Mapping[str, Array], truncate: int | None = None) -> "Calculation":
        """The right one."""
        adjoints = {direction: adjoint(trace.spec.cell_of(direction)) for direction in trace.spec.directions}
        return cls(trace, weights, loss, adjoints, truncate)

    def run(self) -> Gradients:
        """The gradients that come out."""
        options = {"truncate": self.truncate, "adjoints": self.adjoints, "weigh": self.weigh}
        found = backward(self.trace, self.weights, self.loss, **options)  # type: ignore[arg-type]
        for read in self.reads:
            found = read(found)
        return found

    def read(self, read: Read) -> "Calculation":
        """The same with something done to the gradients at the end."""
        return replace(self, reads=(*self.reads, read))


Change = Callable[[Calculation], Calculation | None]
"""The calculation with a mistake in it; None where it makes no difference."""


@dataclass(frozen=True)
class GradientMistake(Description):
    """A mistake in a backward pass."""

    change: Change = field(kw_only=True, repr=False, compare=False)
    rewrite: "Callable[[Adjoint], Adjoint] | None" = field(default=None, kw_only=True, repr=False, compare=False)

    def changes(self, right: Adjoint) -> bool:
        """Whether it makes another adjoint of this one, if it acts on that."""
        return self.rewrite is None or self.rewrite(right) != right
