"""`layouts`: how each framework orders gates, biases and axes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from rnntrace.errors import UsageError
from rnntrace.model.conventions import CONVENTIONS, Convention
from rnntrace.report.layouts import layouts_report
from rnntrace.report.table import Report
from rnntrace.verbs.shown import Shown


@dataclass(frozen=True, repr=False)
class Layouts(Shown, Sequence[Convention]):
    """Conventions of frameworks; `with_recipes` shows the way from their arrays to torch's too."""

    found: tuple[Convention, ...]
    with_recipes: bool = False

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Convention]:
        return iter(self.found)

    @overload
    def __getitem__(self, number: int) -> Convention: ...
    @overload
    def __getitem__(self, number: slice) -> "Layouts": ...
    def __getitem__(self, number: int | slice) -> "Convention | Layouts":
        return Layouts(self.found[number], self.with_recipes) if isinstance(number, slice) else self.found[number]

    def report(self) -> Report:
        """A table of conventions, and the recipes."""
        return layouts_report(self.found, recipes=self.with_recipes)


def layouts(framework: str | None = None) -> Layouts:
    """The conventions of every framework, or of one by its name ("keras 3"), with the way from its arrays to torch's.

    Raises UsageError for an unknown framework.
    """
    return Layouts(CONVENTIONS) if framework is None else Layouts((convention_named(framework),), with_recipes=True)


def convention_named(framework: str) -> Convention:
    """The row of a framework by its name, or the beginning of it, in any case. Raises UsageError."""
    wanted = str(framework).lower()
    aliases = {"torch": "PyTorch", "coreml": "Core ML", "tensorflow": "Keras 3", "flax": "flax linen"}
    wanted = aliases.get(wanted, wanted).lower()
    found = [convention for convention in CONVENTIONS if convention.framework.lower().startswith(wanted)]
    if len(found) != 1:
        names = ", ".join(convention.framework for convention in found or CONVENTIONS)
        raise UsageError(f"unknown framework {framework!r}: choose one of {names}")
    return found[0]
