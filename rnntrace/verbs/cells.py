"""`cells`: the built-in cells as texts, to begin a cell of one's own with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rnntrace.equations.cell import Cell
from rnntrace.equations.cells import gru, lstm, rnn
from rnntrace.equations.notation import TEXT, formula
from rnntrace.errors import UsageError
from rnntrace.report.cells import cells_report
from rnntrace.report.table import Report
from rnntrace.verbs.shown import Shown

BUILT_IN: dict[str, Cell] = {
    "rnn": rnn(),
    "rnn-relu": rnn(nonlinearity="relu"),
    "indrnn": rnn(nonlinearity="relu", independent=True),
    "lstm": lstm(),
    "lstm-peepholes": lstm(peepholes=True),
    "lstm-coupled": lstm(coupled=True),
    "lstm-hard-sigmoid": lstm(recurrent_activation="hard_sigmoid"),
    "lstm-clipped": lstm(clip=3.0),
    "lstm-layer-norm": lstm(layer_norm=True),
    "gru": gru(),
    "gru-reset-before": gru(reset_after=False),
}
"""By the name that a user types."""


@dataclass(frozen=True, repr=False)
class Cells(Shown, Mapping[str, str]):
    """Texts of cells by name."""

    found: Mapping[str, Cell]

    def __getitem__(self, name: str) -> str:
        return text_of(self.found[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def report(self) -> Report:
        """A table of names, or the text of a single one."""
        return cells_report(self.found, dict(self))


def cells(name: str | None = None) -> Cells:
    """The built-in cells as texts that `cell` reads, or the one of this name. Raises UsageError for an unknown name."""
    if name is None:
        return Cells(BUILT_IN)
    if (wanted := str(name).lower().replace("_", "-")) not in BUILT_IN:
        raise UsageError(f"unknown cell {name!r}: choose one of {', '.join(BUILT_IN)}")
    return Cells({wanted: BUILT_IN[wanted]})


def text_of(cell: Cell) -> str:
    """The declaration as a text, one equation a line, with the role of each quantity behind it."""
    lines = [formula(step, TEXT, cell.parameters) for step in cell.steps]
    width = max(map(len, lines))
    steps = zip(lines, cell.steps, strict=True)
    return "".join([f"# {cell.title}\n", *(f"{line:{width}}  # {step.role}\n" for line, step in steps)])
