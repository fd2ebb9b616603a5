"""A mistake as data, the catalogue of them for a cell, and what comes of applying some of them to a case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from typing import Any

import numpy as np

from rnntrace.engine.diagnose.case import Case, Description, Entry, Outputs
from rnntrace.engine.diagnose.catalogue.directions import direction_mistakes
from rnntrace.engine.diagnose.catalogue.equations import equation_mistakes
from rnntrace.engine.diagnose.catalogue.layer_norms import layer_norm_mistakes
from rnntrace.engine.diagnose.catalogue.layers import layer_mistakes
from rnntrace.engine.diagnose.catalogue.outputs import merge_mistakes, output_mistakes
from rnntrace.engine.diagnose.catalogue.precision import precision_mistakes
from rnntrace.engine.diagnose.catalogue.sequences import sequence_mistakes
from rnntrace.engine.diagnose.catalogue.states import state_mistakes
from rnntrace.engine.diagnose.catalogue.variants import clip_mistakes, diagonal_mistakes
from rnntrace.engine.diagnose.catalogue.weights import weight_mistakes
from rnntrace.engine.replay.trace import VALUES, Trace
from rnntrace.equations.cell import Cell
from rnntrace.model.dtypes import Array


@dataclass(frozen=True)
class Mistake(Description):
    """A mistake with a `cell`, as data: it can be pickled and compared, and its functions are found by its id.

    Without a cell nothing that is computed changes, as where right values were merely printed.
    """

    cell: Cell | None = field(default=None, repr=False, hash=False, kw_only=True)

    @cached_property
    def _entry(self) -> Entry:
        return _entries(self.cell)[self.id] if self.cell else Entry(self.id, self.says, self.fix)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_entry"}

    def change(self, case: Case) -> Case | None:
        """The case with the mistake in it; None where it cannot be applied, or makes no difference."""
        return self._entry.change(case)

    def read(self, case: Case, outputs: Outputs) -> Outputs:
        """What is taken for the outputs."""
        return self._entry.read(case, outputs)

    def sequence(self, array: Array) -> Array:
        """An array (T, B, ·) of the changed case, on the axes of the right one."""
        return self._entry.sequence(array)


@cache
def catalogue(cell: Cell) -> tuple[Mistake, ...]:
    """Every mistake that can be made with a cell, in the order in which they act: weights, equations, signals, outputs."""
    names = [part.name for part in fields(Description)]
    return tuple(Mistake(**{name: getattr(entry, name) for name in names}, cell=cell) for entry in _entries(cell).values())


@cache
def _entries(cell: Cell) -> Mapping[str, Entry]:
    """The entries of a cell by id, in this order."""
    kind = cell.slug
    entries = (
        *weight_mistakes(cell, kind),
        *diagonal_mistakes(cell, kind),
        *equation_mistakes(cell, kind),
        *clip_mistakes(cell, kind),
        *layer_norm_mistakes(cell, kind),
        *state_mistakes(kind, cell),
        *sequence_mistakes(kind),
        *direction_mistakes(cell, kind),
        *layer_mistakes(kind),
        *output_mistakes(kind, cell),
        *merge_mistakes(kind),
        *precision_mistakes(kind),
    )
    return {entry.id: entry for entry in entries}


def changed(case: Case, mistakes: Sequence[Mistake]) -> Case | None:
    """The case with all these mistakes in it; None if one of them cannot be made there."""
    found: Case | None = case
    for mistake in mistakes:
        found = mistake.change(found) if found is not None else None
    return found


@dataclass(frozen=True)
class Applied:
    """What comes of mistakes: the trace on the axes of the right case, and what is taken for the outputs."""

    trace: Trace
    outputs: Outputs


def apply(case: Case, mistakes: Sequence[Mistake] = ()) -> Applied | None:
    """What somebody who makes these mistakes computes and gets; None if one of them cannot be made here."""
    wrong = changed(case, mistakes)
    if wrong is None:
        return None
    with np.errstate(all="ignore"):
        trace = wrong.run(wrong)
        outputs: Outputs = trace.outputs
        for mistake in mistakes:
            outputs = mistake.read(wrong, outputs)
    columns = dict(trace.columns)
    for mistake in reversed(mistakes):
        columns = {key: mistake.sequence(values) for key, values in columns.items()}
    return Applied(Trace(case.spec, case.inputs, {VALUES: columns}), outputs)


def outputs_of(case: Case, mistakes: Sequence[Mistake] = ()) -> Outputs | None:
    """The outputs alone."""
    found = apply(case, mistakes)
    return None if found is None else found.outputs


def values_of(case: Case, mistakes: Sequence[Mistake] = ()) -> Mapping[Any, Array] | None:
    """The outputs by name, and every gate and state by key."""
    found = apply(case, mistakes)
    values: dict[Any, Array] = {}
    if found is not None:
        values |= found.outputs
        values |= found.trace.columns
    return values or None
