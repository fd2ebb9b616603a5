"""`mistakes`: the catalogue."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from rnntrace.engine.diagnose.case import Description
from rnntrace.engine.diagnose.mistake import catalogue
from rnntrace.equations.cell import Cell
from rnntrace.errors import UsageError
from rnntrace.model.kinds import parse_kind
from rnntrace.model.spec import ModuleSpec
from rnntrace.report.mistakes import mistakes_report
from rnntrace.report.table import Report
from rnntrace.verbs.shown import Shown

KINDS = ("RNN", "LSTM", "GRU")


@dataclass(frozen=True, repr=False)
class Mistakes(Shown, Sequence[Description]):
    """Mistakes in the order in which they act; by its id, or the end of it, one of them: `mistakes["gate-order.iofc"]`."""

    found: tuple[Description, ...]

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Description]:
        return iter(self.found)

    @overload
    def __getitem__(self, key: int | str) -> Description: ...
    @overload
    def __getitem__(self, key: slice) -> "Mistakes": ...
    def __getitem__(self, key: int | str | slice) -> "Description | Mistakes":
        """By number or id, or a part of them. IndexError and KeyError say that there is none."""
        if isinstance(key, slice):
            return Mistakes(self.found[key])
        if isinstance(key, int):
            return self.found[key]
        fitting = [mistake for mistake in self.found if f".{mistake.id}".endswith(f".{key}")]
        if len(fitting) != 1:
            raise KeyError(f"{len(fitting)} of these mistakes have an id that ends in {key!r}")
        return fitting[0]

    def report(self) -> Report:
        """A table for each kind and family."""
        return mistakes_report(self.found)


def mistakes(kind: str | ModuleSpec | None = None, *, family: str | None = None, backward: bool = False) -> Mistakes:
    """The mistakes that `diagnose` looks for: of a kind ("lstm"), of a module, or of RNN, LSTM and GRU; or of one family.

    Those of a `backward` pass are in gradients.

    Raises SpecError for an unknown kind and UsageError for an unknown family, such as "gate-order".
    """
    if isinstance(kind, ModuleSpec):
        cells = [kind.cell]
    else:
        kinds = KINDS if kind is None else (parse_kind(str(kind)),)
        cells = [ModuleSpec(kind=kind, input_size=1, hidden_size=1).cell for kind in kinds]
    declared: Callable[[Cell], Sequence[Description]] = catalogue
    if backward:
        from rnntrace.engine.backward.mistakes import gradient_mistakes as declared
    everything = [mistake for cell in cells for mistake in declared(cell)]
    found = tuple(mistake for mistake in everything if family in (None, mistake.family))
    if not found:
        families = dict.fromkeys(mistake.family for mistake in everything)
        raise UsageError(f"unknown family {family!r}: choose one of {', '.join(families)}")
    return Mistakes(found)
