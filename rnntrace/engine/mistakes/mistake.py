"""A mistake: a small, declared change of what a replay starts from, of its equations, or of how its results are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnntrace.engine.replay import replay
from rnntrace.engine.trace import Trace
from rnntrace.equations.cells import Cell
from rnntrace.model.dtypes import Array
from rnntrace.model.signals import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

Outputs = Mapping[str, Array]
"""output (T, B, D·R), h_n (L·D, B, R) and c_n (L·D, B, H), as far as they are known."""


@dataclass(frozen=True)
class Case:
    """What a replay starts from, the declaration that it follows, and how it is run."""

    spec: ModuleSpec
    weights: Weights
    inputs: Inputs
    cell: Cell
    run: Callable[["Case"], Trace]

    @classmethod
    def of(cls, spec: ModuleSpec, weights: Weights, inputs: Inputs) -> "Case":
        """The case without any mistake."""
        return cls(spec, weights, inputs, spec.cell, played)

    def with_inputs(self, **signals: object) -> "Case":
        """The same with other signals."""
        return replace(self, inputs=replace(self.inputs, **signals))  # type: ignore[arg-type]

    def with_weights(self, change: Callable[[LayerWeights], LayerWeights]) -> "Case":
        """The same with the weights of every layer and direction changed."""
        columns = {column: change(weights) for column, weights in self.weights.columns.items()}
        return replace(self, weights=Weights(columns))


def played(case: Case) -> Trace:
    """The replay of a case."""
    return replay(case.spec, case.weights, case.inputs, cell=case.cell)


Change = Callable[[Case], Case | None]
"""The case with the mistake in it; None where it cannot be made there, or makes no difference."""
Read = Callable[[Case, Outputs], Outputs]
"""What is taken for the outputs."""


def unchanged(case: Case) -> Case | None:
    """No change of what the replay starts from."""
    return case


def as_they_are(case: Case, outputs: Outputs) -> Outputs:
    """No change of how outputs are read."""
    return outputs


def same_axes(sequence: Array) -> Array:
    """No change of the axes of a sequence."""
    return sequence


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    `id` is stable: `lstm.gate-order.iofc` is kind, family and name. `says` is what went wrong in one sentence, `fix` what to
    do, `frameworks` where it comes from. `sequence` brings an array (T, B, ·) of the changed case to the axes of the right
    one. `causal` says that the first steps of an output depend on the first steps of x alone, `itemwise` that an item's
    output depends on that item alone, both as they should.
    """

    id: str
    says: str
    fix: str
    change: Change = unchanged
    read: Read = as_they_are
    sequence: Callable[[Array], Array] = same_axes
    frameworks: tuple[str, ...] = ()
    causal: bool = True
    itemwise: bool = True

    @property
    def family(self) -> str:
        """What sort of mistake it is; two of one family are not tried together."""
        return self.id.split(".")[1]


def changed(case: Case, mistakes: Sequence[Mistake]) -> Case | None:
    """The case with all these mistakes in it; None if one of them cannot be made there."""
    found: Case | None = case
    for mistake in mistakes:
        found = mistake.change(found) if found is not None else None
    return found


def outputs_of(case: Case, mistakes: Sequence[Mistake] = ()) -> Outputs | None:
    """What somebody who makes these mistakes gets; None if one of them cannot be made here."""
    wrong = changed(case, mistakes)
    if wrong is None:
        return None
    with np.errstate(all="ignore"):
        outputs: Outputs = wrong.run(wrong).outputs
        for mistake in mistakes:
            outputs = mistake.read(wrong, outputs)
    return outputs
