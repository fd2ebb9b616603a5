"""The page of a result: HTML that a notebook shows in a frame of its own, and that can be kept in a file."""

from html import escape
from pathlib import Path

from rnntrace.errors import UsageError
from rnntrace.files.atomic import replace_files
from rnntrace.report.table import Report


class Page(str):
    """A whole page of HTML."""

    __slots__ = ()

    def save(self, file: str | Path) -> None:
        """Write the page to a file, which is whole or not there. Raises FileError."""
        replace_files([(Path(file), self.encode())])

    def _repr_html_(self) -> str:
        """The page in a frame that may run its script and reaches nothing around it."""
        style = "width: 100%; height: 46rem; border: 0"
        return f'<iframe sandbox="allow-scripts" title="rnntrace" style="{style}" srcdoc="{escape(self)}"></iframe>'


def page_of(report: Report, digits: int) -> Page:
    """The page of a report. Raises UsageError for one without numbers to play, and for too many of them."""
    from rnntrace.render import Style, render

    if not 0 <= digits <= 17:
        raise UsageError(f"`digits` is from 0 to 17, not {digits}")
    return Page(render(report, "page", Style(digits=digits)))
