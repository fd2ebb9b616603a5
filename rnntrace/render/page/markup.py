"""The tables and controls of a play as they stand in a page before its script runs: the step that is shown first."""

from collections.abc import Iterable, Iterator
from html import escape

from rnntrace.model.dtypes import Array
from rnntrace.model.spec import REVERSE
from rnntrace.render.html import typeset
from rnntrace.render.page.data import name_of, play_data
from rnntrace.report.page import Play, Track

NOTHING = "–"


def article(play: Play, digits: int) -> str:
    """One play: controls, the list of wrong values, the tables of a step, and room for how a number comes about."""
    name = play.name or str(play.spec)
    heading = f"<h2>{escape(play.name)}</h2>\n" if play.name else ""
    return (
        f'<article class="play" aria-label="{escape(name)}">\n{heading}{_controls(play)}'
        '<nav class="places" aria-label="values out of tolerance" hidden></nav>\n<div class="board">\n<div class="tables">\n'
        f"{_legend(play)}{''.join(_Tables(play, digits).all())}</div>\n"
        '<div class="side">\n<section class="how" aria-label="how the chosen number comes about">'
        "<p>With its script this page shows how each number comes about.</p></section>\n"
        '<div class="drawing"><svg hidden></svg></div>\n</div>\n</div>\n'
        f'<script type="application/json">{play_data(play, digits)}</script>\n</article>\n'
    )


def _legend(play: Play) -> str:
    words = ["choose a number to see how it comes about: what it is computed from gets a dashed frame"]
    if any(strip.beside is not None for track in play.tracks for strip in track.strips):
        words.append(f"the small number is that of {escape(play.other)}, ✗ marks what is out of tolerance")
    return f'<p class="legend">{"; ".join(words)}; ← and → go through time.</p>\n'


def _controls(play: Play) -> str:
    part, t = play.part, play.opens.t
    chosen = part.items.index(play.opens.item)
    options = "".join(
        f'<option value="{k}"{" selected" if k == chosen else ""}>{item}</option>' for k, item in enumerate(part.items)
    )
    items = f'<label>item <select class="items">{options}</select></label>\n' if len(part.items) > 1 else ""
    return (
        '<div class="controls" role="group" aria-label="time" hidden>\n'
        '<button type="button" class="back" aria-label="step back">◀</button>\n'
        f'<label>t = <output>{t}</output> of {part.last} <input type="range" min="{part.first}" max="{part.last}" value="{t}" '
        'aria-label="time step t"></label>\n'
        '<button type="button" class="next" aria-label="step on">▶</button>\n'
        '<button type="button" class="run" aria-pressed="false">▶ Play</button>\n'
        f'{items}<label><input type="checkbox" class="predict"> predict first</label>\n</div>\n'
    )


class _Tables:
    """The tables of the step and item at which a play opens; the script fills the same cells for every other step."""

    def __init__(self, play: Play, digits: int) -> None:
        self.play, self.digits = play, digits
        self.row, self.item = play.opens.t - play.part.first, play.part.items.index(play.opens.item)

    def all(self) -> Iterator[str]:
        """That of x, and one for each layer and direction."""
        x = self.play.x[self.row, self.item].tolist()
        heads = "".join(f'<th scope="col">{k}</th>' for k in range(len(x)))
        cells = "".join(self._cell(value) for value in x)
        line = f'<tr><th scope="row">x</th>{cells}</tr>\n'
        yield _table("x, the input", " data-x", f'<th scope="col">{typeset("k")}</th>{heads}', line)
        # Gradients stand above the forward pass.
        for number, track in sorted(enumerate(self.play.tracks), key=lambda one: one[1].adjoint is None):
            if track.strips:
                title = f"layer {track.layer} · {track.direction}"
                title += " · ∂L/∂ of each gate and state" if track.adjoint else ""
                yield _table(title, f' data-track="{number}"', _headings(track), "".join(self._lines(track)))

    def _lines(self, track: Track) -> Iterator[str]:
        befores = [self._before(track, state) for state in track.cell.states]
        for place, unit in enumerate(self.play.part.units.tolist()):
            cells = [self._cell(before.get(unit)) for before in befores]
            for strip in track.strips:
                if place >= strip.values.shape[2]:
                    cells.append("<td></td>")
                    continue
                value = float(strip.values[self.row, self.item, place])
                beside = None if strip.beside is None else float(strip.beside[self.row, self.item, place])
                cells.append(self._cell(value, beside))
            yield f'<tr data-unit="{unit}"><th scope="row">{unit}</th>{"".join(cells)}</tr>\n'

    def _cell(self, value: float | None, beside: float | None = None) -> str:
        """A number, and the framework's below it; nothing for a unit that a state does not have."""
        if value is None:
            return "<td></td>"
        small = "" if beside is None else f"<small>{self._text(beside)}</small>"
        return f"<td><button>{self._text(value)}{small}</button></td>"

    def _text(self, value: float) -> str:
        return f"{value:.{self.digits}f}" if self._counts(self.row) else NOTHING

    def _counts(self, row: int) -> bool:
        return self.play.valid is None or bool(self.play.valid[row, self.item])

    def _before(self, track: Track, state: str) -> dict[int, float]:
        """A state of the step before, by unit."""
        backwards = (track.direction == REVERSE) != (track.adjoint is not None)
        rows = range(self.row + 1, len(self.play.x)) if backwards else range(self.row - 1, -1, -1)
        earlier = next(filter(self._counts, rows), None)
        if earlier is None:
            return _by_unit(range(track.start[state].shape[1]), track.start[state][self.item])
        strip = next(strip for strip in track.strips if strip.symbol == state)
        return _by_unit(self.play.part.units.tolist(), strip.values[earlier, self.item])


def _by_unit(units: Iterable[int], values: Array) -> dict[int, float]:
    return dict(zip(units, values.tolist(), strict=False))


def _headings(track: Track) -> str:
    """The states before, or what the step after hands back, and every quantity of the step."""
    earlier = "t+1" if track.direction == REVERSE else "t−1"
    before = "t" if track.adjoint else earlier
    befores = [
        f'<th scope="col" data-symbol="{escape(state)}" data-before>{typeset(name_of(track, state))}<sub>{before}</sub></th>'
        for state in track.cell.states
    ]
    own = []
    for symbol in (strip.symbol for strip in track.strips):
        at = f"<sub>{earlier}</sub>" if track.adjoint and symbol in track.cell.states else ""
        role, name = escape(track.cell.roles[symbol]), typeset(name_of(track, symbol))
        own.append(f'<th scope="col" data-symbol="{escape(symbol)}" title="{role}">{name}{at}</th>')
    return '<th scope="col">unit</th>' + "".join([*befores, *own])


def _table(title: str, attributes: str, heads: str, body: str) -> str:
    name = escape(title)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">\n'
        f'<table class="numbers-of-step"{attributes}>\n<caption>{name}</caption>\n'
        f"<thead>\n<tr>{heads}</tr>\n</thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )
