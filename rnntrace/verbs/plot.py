"""`plot`: a result as a picture."""

from pathlib import Path

from rnntrace.engine.judge.result import Result
from rnntrace.errors import UsageError
from rnntrace.files.atomic import replace_files
from rnntrace.model.extras import optional
from rnntrace.report.plot import picture
from rnntrace.report.select import View

SUFFIXES = (".png", ".svg", ".pdf")
_DRAWS = "rnntrace.render.plot"


def plot(result: Result, path: str | Path, kind: str = "heatmap", *, view: View | None = None) -> None:
    """Draw what a view selects, of item 0 unless it selects items, as .png, .svg or .pdf by the suffix of the path.

    `kind` is heatmap, lines, histogram, saturation or difference; see `report.plot`. Raises UsageError, FileError and
    MissingExtraError.
    """
    target = Path(path)
    check_drawable(target)
    replace_files([(target, drawn(result, target, kind, view))])


def check_drawable(path: Path) -> None:
    """Raises UsageError unless the suffix is that of a picture, and MissingExtraError without matplotlib."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"a picture is drawn as {', '.join(SUFFIXES)}, and {path.name!r} has another suffix: rename it")
    optional(_DRAWS)


def drawn(result: Result, path: Path, kind: str = "heatmap", view: View | None = None) -> bytes:
    """The content of the picture file; see `plot`."""
    shown = picture(result, view or View(), kind, paged=path.suffix == ".pdf")
    content: bytes = optional(_DRAWS).draw(shown, path.suffix)
    return content
