"""Pictures by matplotlib, as .png, .svg or .pdf. The same picture always gives the same bytes."""

import warnings
from collections.abc import Sequence
from io import BytesIO

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from rnntrace.render.layout import flow
from rnntrace.report.plot import MAX_PANELS, Picture
from rnntrace.report.table import Panel, Scale

COLOURS = {Scale.UNIT: "viridis", Scale.SIGNED: "RdBu_r"}
"""Maps that colour-blind eyes can read."""
MARK = "#c1121f"
"""The colour of what is wrong; a cross stands there as well."""
MANY_UNITS = 8
"""With more units than this, lines are told apart by a colour bar, and not by a legend."""
STYLES = ("-", "--", "-.", ":")
# Labels of an SVG stay text, nothing a user typed is read as a formula, and no settings of the machine count.
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rnntrace",
    "text.parse_math": False,
    "font.size": 9,
    "hatch.linewidth": 0.5,
}


def draw(picture: Picture, suffix: str) -> bytes:
    """The content of a picture file; a .pdf has pages, the others are one sheet."""
    buffer = BytesIO()
    with matplotlib.style.context(["default", _SETTINGS]), warnings.catch_warnings():
        # A letter that the font lacks becomes a box.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        if suffix == ".pdf":
            with PdfPages(buffer, metadata={"CreationDate": None}) as pages:
                for start in range(0, len(picture.panels), MAX_PANELS):
                    pages.savefig(sheet(picture, picture.panels[start : start + MAX_PANELS]))
        else:
            metadata = {"Date": None} if suffix == ".svg" else {}
            sheet(picture, picture.panels).savefig(buffer, format=suffix[1:], dpi=130, metadata=metadata)
    return buffer.getvalue()


def sheet(picture: Picture, panels: Sequence[Panel]) -> Figure:
    """Panels side by side under the title: the symbols of a layer in a row if there are three or more."""
    columns = _columns(len(panels), len({panel.symbol for panel in panels}))
    rows = -(-len(panels) // columns)
    width, height = _size(panels)
    figure = Figure(figsize=(max(width * columns + 0.8, 7.5), height * rows + 1.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06, hspace=0.04, wspace=0.02)  # type: ignore[union-attr, call-arg]
    letters = int(figure.get_figwidth() * 12)
    places = list(dict.fromkeys(panel.where for panel in panels))
    title = [line for parts in picture.title for line in flow(parts, letters, "")]
    title += places if len(places) == 1 else []
    figure.suptitle("\n".join(title), x=0.01, horizontalalignment="left", fontsize=10)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[len(panels) :]:
        ax.remove()
    curves = [panel for panel in panels if panel.scale is Scale.DIFFERENCE]
    ends = _decades(curves) if curves else {}
    for number, (ax, panel) in enumerate(zip(axes, panels, strict=False)):
        # What holds for the whole sheet stands above it, what holds for a row at its first panel.
        said = number % columns and panel.where == panels[number - 1].where
        _label(ax, panel, where="" if len(places) == 1 or said else panel.where)
        if panel.scale is Scale.DIFFERENCE:
            _curve(ax, panel, ends)
        elif picture.kind in ("heatmap", "gradients"):
            _cells(ax, panel)
        elif picture.kind == "histogram":
            ax.stairs(panel.values[0], panel.x, fill=True, color="#3b6ea5")
        else:
            _lines(ax, panel, share=picture.kind == "saturation")
    _keys(figure, axes[: len(panels)], panels, picture.kind)
    return figure


def _columns(panels: int, symbols: int) -> int:
    if panels > symbols > 2:
        return symbols
    return 2 if panels == 4 else min(panels, 3)


def _size(panels: Sequence[Panel]) -> tuple[float, float]:
    """Width and height of a panel in inches: more steps and units have more room, as far as a sheet allows."""
    longest, most = max(len(panel.x) for panel in panels), max(len(panel.rows) for panel in panels)
    return min(max(0.9 + 0.25 * longest, 2.5), 4.2), min(max(1.2 + 0.16 * most, 2.1), 3.8)


def _label(ax: Axes, panel: Panel, *, where: str) -> None:
    words = filter(None, [where, f"{panel.symbol} · {panel.role}", panel.note])
    ax.set_title("\n".join(words), fontsize=9)
    ax.set_xlabel(panel.x_name)
    ax.set_ylabel(panel.row_name)
    if panel.x_name != "value":
        # As many labels as have room beside each other.
        most = min(8, 30 // max((len(str(t)) for t in panel.x), default=1))
        ax.xaxis.set_major_locator(MaxNLocator(most, integer=True, min_n_ticks=1))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda at, _: _entry(panel.x, at)))


def _entry(entries: Sequence[object], at: float) -> str:
    """The label at a position on an axis that counts steps or units."""
    return str(entries[int(at)]) if at == int(at) and 0 <= at < len(entries) else ""


def _cells(ax: Axes, panel: Panel) -> None:
    """Units × t in colour; what does not exist is hatched, and what is not finite or out of tolerance has a cross."""
    shape = panel.values.shape
    finite = np.isfinite(panel.values.data) | np.ma.getmaskarray(panel.values)
    low = 0.0 if panel.scale is Scale.UNIT else -panel.limit
    shown = np.ma.masked_where(~finite, panel.values)
    ax.patch.set(facecolor="#eeeeee", hatch="////", edgecolor="#bbbbbb")
    ax.imshow(shown, COLOURS[panel.scale], vmin=low, vmax=panel.limit, aspect="auto", interpolation="nearest")
    ax.set_xlim(-0.5, shape[1] - 0.5)
    ax.set_ylim(shape[0] - 0.5, -0.5)
    ax.yaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda at, _: _entry(panel.rows, at)))
    row, column = np.nonzero(~finite if panel.flagged is None else ~finite | panel.flagged)
    if row.size:
        # On dark and on light cells alike.
        size = min(40.0, 2500.0 / max(shape))
        ax.scatter(column, row, marker="x", color="white", s=size, linewidth=2.4)
        ax.scatter(column, row, marker="x", color=MARK, s=size, linewidth=1.2)


def _lines(ax: Axes, panel: Panel, *, share: bool) -> None:
    """Each row over t; crosses are out of tolerance."""
    colours = _line_colours(len(panel.rows))
    for number, (row, colour) in enumerate(zip(panel.values, colours, strict=True)):
        finite = np.ma.masked_invalid(row)
        marker = "o" if len(panel.x) <= 25 else ""
        width, style = (0.6, "-") if len(colours) > MANY_UNITS else (1.3, STYLES[number % len(STYLES)])
        ax.plot(range(len(panel.x)), finite, style, color=colour, marker=marker, markersize=2.3 * width, linewidth=width)
    if panel.flagged is not None:
        row, column = np.nonzero(panel.flagged)
        ax.plot(column, panel.values[row, column], "x", color=MARK, markersize=6, markeredgewidth=1.4)
    low = 0.0 if share or panel.scale is Scale.UNIT else -panel.limit
    space = 0.05 * (panel.limit - low)
    ax.set_xlim(-0.5, len(panel.x) - 0.5)
    ax.set_ylim(low - space, panel.limit + space)
    ax.grid(color="#dddddd", linewidth=0.6)
    if not share:
        ax.set_ylabel("value")


def _line_colours(count: int) -> list[tuple[float, float, float, float]]:
    # The yellow end cannot be seen on white.
    return [matplotlib.colormaps["viridis"](0.88 * number / max(count - 1, 1)) for number in range(count)]


def _decades(panels: Sequence[Panel]) -> dict[float, str]:
    """Where a logarithmic axis of differences starts and ends: its lowest line stands for zero, the highest for infinity."""
    values = np.concatenate([panel.values.compressed() for panel in panels])
    found = values[np.isfinite(values) & (values > 0)]
    low, high = (found.min(), found.max()) if found.size else (1e-9, 1e-6)
    top = 10.0 ** (np.ceil(np.log10(high)) + 1)
    return {10.0 ** (np.floor(np.log10(low)) - 1): "0", top: "∞" if np.isinf(values).any() else f"{top:.0e}"}


def _curve(ax: Axes, panel: Panel, ends: dict[float, str]) -> None:
    """|Δ| over t on a logarithmic axis, zero on its lowest line, infinity on its highest; crosses are out of tolerance."""
    at, (floor, top) = np.arange(len(panel.x)), ends
    ax.set_yscale("log")
    ax.set_ylim(floor / 2, top * 2)
    ax.set_xlim(-0.5, max(len(panel.x), 1) - 0.5)
    ax.yaxis.set_major_locator(LogLocator(numticks=8))
    ax.yaxis.set_minor_locator(LogLocator(numticks=0))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _decade(value, ends)))
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    values = np.ma.masked_invalid(np.ma.clip(panel.values[0], floor, top))
    ax.plot(at, values, "-o", color="#3b6ea5", markersize=4, linewidth=1.3)
    zero = np.ma.filled(panel.values[0] == 0, False)
    ax.plot(at[zero], values[zero], "o", color="#3b6ea5", markerfacecolor="white", markersize=4)
    if panel.flagged is not None:
        wrong = panel.flagged[0]
        ax.plot(at[wrong], values[wrong], "x", color=MARK, markersize=8, markeredgewidth=1.8)


def _decade(value: float, ends: dict[float, str]) -> str:
    """A line of the axis: one of its ends, a power of ten between them, or nothing outside."""
    floor, top = ends
    if not floor * 0.99 < value < top * 1.01:
        return ""
    return next((words for end, words in ends.items() if np.isclose(value, end, atol=0)), f"{value:.0e}")


def _keys(figure: Figure, axes: Sequence[Axes], panels: Sequence[Panel], kind: str) -> None:
    """What tells the colours, lines and marks: bars beside the panels, or a legend below them."""
    if kind in ("heatmap", "gradients"):
        for scale in dict.fromkeys(panel.scale for panel in panels if panel.scale is not Scale.DIFFERENCE):
            symbols = dict.fromkeys(panel.symbol for panel in panels if panel.scale is scale)
            limit = next(panel.limit for panel in panels if panel.scale is scale)
            _bar(figure, axes, COLOURS[scale], (0.0 if scale is Scale.UNIT else -limit, limit), ", ".join(symbols))
    elif kind in ("lines", "saturation"):
        most = max(panels, key=lambda panel: len(panel.rows))
        if len(most.rows) > MANY_UNITS:
            _bar(figure, axes, "viridis", (0, (len(most.rows) - 1) / 0.88), most.row_name, len(most.rows) - 1)
        else:
            words = [f"unit {row}" if kind == "lines" else row for row in most.rows]
            figure.legend(axes[panels.index(most)].lines, words, loc="outside lower left", ncols=min(len(words), 4))
    if any(panel.flagged is not None and panel.flagged.any() for panel in panels):
        mark = Line2D([], [], linestyle="", marker="x", color=MARK)
        figure.legend([mark], ["out of tolerance"], loc="outside lower right")


def _bar(
    figure: Figure, axes: Sequence[Axes], colours: str, ends: tuple[float, float], words: str, last: float | None = None
) -> None:
    # As long as a tall sheet is, a bar is not read better.
    shrink = min(1.0, 7 / figure.get_figheight())
    scale = ScalarMappable(Normalize(*ends), colours)
    bar = figure.colorbar(scale, ax=list(axes), label=words, shrink=shrink, anchor=(0.0, 1.0), aspect=30, pad=0.01)
    if last is not None:
        bar.ax.set_ylim(0, last)
        bar.ax.yaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
