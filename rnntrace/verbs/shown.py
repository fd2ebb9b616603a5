"""What a verb gives shows itself: as text, as HTML in a notebook, and as LaTeX where it has equations."""

from abc import ABC, abstractmethod
from shutil import get_terminal_size

from rnntrace.report.table import Report


class Shown(ABC):
    """Something that a report tells."""

    @abstractmethod
    def report(self) -> Report:
        """What there is to tell."""

    def __repr__(self) -> str:
        from rnntrace.render import Style, render

        return render(self.report(), "table", Style(width=get_terminal_size().columns, max_rows=0)).rstrip("\n")

    def _repr_html_(self) -> str:
        from rnntrace.render import Style
        from rnntrace.render.html import fragment

        return fragment(self.report(), Style(max_rows=0))

    def _repr_latex_(self) -> str | None:
        """The equations, typeset; None where there are none."""
        from rnntrace.render.layout import typeset

        return "\n".join(map(typeset, self.report().formulas)) or None
