"""`plot`: a result as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.engine.judge.result import Result
from rnntrace.errors import UsageError
from rnntrace.files.atomic import replace_files
from rnntrace.model.extras import optional
from rnntrace.report.plot import picture
from rnntrace.report.plot_gradients import gradient_picture
from rnntrace.report.select import View
from rnntrace.verbs.open_trace import open_trace

SUFFIXES = (".png", ".svg", ".pdf")
_DRAWS = "rnntrace.render.plot"


@dataclass(frozen=True)
class Drawing:
    """A picture: what its file holds, and the file's suffix. A notebook shows it, unless it is a PDF."""

    content: bytes
    suffix: str

    def __repr__(self) -> str:
        return f"<Drawing {self.suffix}: {len(self.content):,} bytes>"

    def _repr_svg_(self) -> str | None:
        return self.content.decode() if self.suffix == ".svg" else None

    def _repr_png_(self) -> bytes | None:
        return self.content if self.suffix == ".png" else None


def plot(
    trace: Result | BackwardResult | str | Path,
    output: str | Path | None = None,
    kind: str = "heatmap",
    *,
    layer: int | Sequence[int] | None = None,
    time: int | Sequence[int] | None = None,
    unit: int | Sequence[int] | None = None,
    item: int | Sequence[int] | None = None,
) -> Drawing:
    """Draw a result or saved trace for a notebook or, as .png, .svg or .pdf by its suffix, into the file `output`.

    Gradients are drawn by unit and step, with the norms of the states. `kind` of others is heatmap, lines, histogram,
    saturation or difference; see `report.plot`. Numbers, or sequences of them, select layers, units and items from 0, and
    times from 0 to T; everything by default, but item 0 alone. Raises UsageError, FileError and MissingExtraError.
    """
    target = None if output is None else Path(output)
    if target is not None:
        check_drawable(target)
    result = trace if isinstance(trace, Result | BackwardResult) else open_trace(trace)
    view = View(
        layers=_among("layer", layer, result.spec.num_layers - 1),
        times=_among("time", time, result.inputs.steps),
        units=_among("unit", unit, result.spec.hidden_size - 1),
        items=_among("item", item, result.inputs.batch - 1),
    )
    drawing = Drawing(drawn(result, target or Path("plot.svg"), kind, view), target.suffix if target else ".svg")
    if target is not None:
        replace_files([(target, drawing.content)])
    return drawing


def _among(name: str, chosen: int | Sequence[int] | None, last: int) -> Sequence[int] | None:
    """The numbers that are chosen. Raises UsageError for one that there is not."""
    numbers = [chosen] if isinstance(chosen, int) else chosen
    for number in () if numbers is None else (min(numbers, default=0), max(numbers, default=0)):
        if not 0 <= number <= last:
            raise UsageError(f"{name} {number} is out of range: there are 0 to {last}")
    return numbers


def check_drawable(path: Path) -> None:
    """Raises UsageError unless the suffix is that of a picture, and MissingExtraError without matplotlib."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"a picture is drawn as {', '.join(SUFFIXES)}, and {path.name!r} has another suffix: rename it")
    optional(_DRAWS)


def drawn(result: Result | BackwardResult, path: Path, kind: str = "heatmap", view: View | None = None) -> bytes:
    """The content of the picture file; see `plot`."""
    paged = path.suffix == ".pdf"
    if isinstance(result, Result):
        shown = picture(result, view or View(), kind, paged=paged)
    elif kind in ("heatmap", "gradients"):
        shown = gradient_picture(result, view or View(), paged=paged)
    else:
        raise UsageError(f"gradients are drawn by unit and step, and not as {kind}: leave `kind` out")
    content: bytes = optional(_DRAWS).draw(shown, path.suffix)
    return content
