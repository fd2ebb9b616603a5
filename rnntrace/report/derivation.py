"""The report of a derivation: one unit's equations with the numbers of a trace put in."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from rnntrace.engine.derivation import Derivation, Moment, largest
from rnntrace.engine.replay.trace import Trace
from rnntrace.equations.expression import Op
from rnntrace.equations.notation import LATEX, UNICODE, Notation, formula, left_side, spell
from rnntrace.model.blocks import blocks
from rnntrace.model.conventions import BY_NAME, TORCH
from rnntrace.model.dtypes import Array
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.report.explain import document, title
from rnntrace.report.run import describe, describe_signals
from rnntrace.report.table import Column, Formula, Formulas, Report, Scale, Table

if TYPE_CHECKING:
    from rnntrace.report.page import Play

LONGEST_VECTOR = 6
"""A vector of more units than this is written with its first and last ones."""
LINE, LATEX_LINE = 64, 110
"""Letters on a line of a long sum, in a terminal of 80 columns and in LaTeX."""


@dataclass(frozen=True)
class Explanation:
    """What was derived, the earliest step first.

    `top` is how many terms were singled out, None or 0 if none were; `seed` and `origin` are as in a result. With the `weights`
    it becomes a page.
    """

    trace: Trace
    moments: tuple[Moment, ...]
    top: int | None = None
    seed: int | None = None
    origin: Mapping[str, str] | None = None
    warnings: tuple[str, ...] = ()
    weights: Weights | None = None


def derivation_report(explained: Explanation, digits: int = 4) -> Report:
    """What `explain` tells of a place: every equation with its numbers, and every product in a table."""
    spec, inputs = explained.trace.spec, explained.trace.inputs
    found = [derivation for moment in explained.moments for derivation in moment.derivations]
    asked = explained.moments[-1].derivations
    states = [derivation for derivation in asked if derivation.step.symbol in spec.cell.states] or asked
    return Report(
        headline=(
            (tuple(describe(spec, explained.seed)), title(spec)),
            (tuple(describe_signals(spec, inputs, explained.origin or {})), ()),
        ),
        formulas=tuple(
            Formulas(
                moment_title(moment, explained.trace),
                tuple(chain(_given(moment, spec, digits), derived_lines(moment.derivations, spec, digits))),
            )
            for moment in explained.moments
        ),
        tables=(term_table(found, explained.top),),
        conclusion=(
            *(derived_result(derivation, digits) for derivation in states),
            *_projected_away(explained),
            "values of the replay",
        ),
        passed=None,
        warnings=explained.warnings,
        plays=None if explained.weights is None else lambda: _plays(explained),
        document={
            **document(spec, BY_NAME[TORCH], list(blocks(spec, BY_NAME[TORCH]))),
            "seed": explained.seed,
            "derivation": derived_rows(found, spec, digits),
            "warnings": list(explained.warnings),
        },
    )


def _plays(explained: Explanation) -> "list[Play]":
    # Few reports become a page.
    from rnntrace.engine.judge.pairing import Place
    from rnntrace.report.page import play_at

    assert explained.weights is not None
    asked = explained.moments[-1].derivations
    at, symbol = explained.moments[-1].position, asked[0].step.symbol if len(asked) == 1 else ""
    return [
        play_at(explained.trace, explained.weights, Place(at.layer, at.direction, symbol, at.t, at.item, at.unit, 0.0, 0.0))
    ]


def moment_title(moment: Moment, trace: Trace) -> str:
    """The place of a moment in words."""
    place = moment.position
    words = [f"t = {place.t}", f"unit {place.unit}"]
    if len(trace.spec.layer_directions) > 1:
        words += [f"layer {place.layer}", place.direction]
    if trace.inputs.batch > 1:
        words.append(f"item {place.item}")
    return " · ".join(words)


def _given(moment: Moment, spec: ModuleSpec, digits: int) -> Iterator[Formula]:
    """What the unit reads: the layer's input and the states before."""
    place = moment.position
    label = "input"
    if place.layer:
        label += f", h of layer {place.layer - 1}" + (" (forward, reverse)" if spec.bidirectional else "")
    notations = [notation.at(place.t, moment.before_t, place.unit, digits) for notation in (UNICODE, LATEX)]
    vectors = [("x", label, notations, place.t, moment.x)]
    for state, values in moment.before.items():
        label = f"initial {spec.cell.roles[state]}" if moment.before_t == 0 else f"{spec.cell.roles[state]} before"
        vectors.append((state, label, notations, moment.before_t, values))
    parts = [part for step in spec.cell.steps for part in step.expression.walk() if part.op is Op.RECURRENT_TERM]
    multiplied = {leaf.name for part in parts for leaf in part.walk() if leaf.op is Op.BEFORE}
    for symbol, label, (plain, typeset), t, values in vectors:
        # Of a state that acts unit by unit, as an LSTM's cell state does, one number is all that is read.
        if symbol in spec.cell.states and symbol not in multiplied:
            number = float(values[place.unit])
            texts = [f"{symbol}{plain.before}[{place.unit}] = {plain.number(number)}"]
            texts.append(f"{symbol}_{typeset.before}[{place.unit}] = {typeset.number(number)}")
        else:
            texts = [f"{symbol}{plain.subscript(t)} = {_vector(values, plain, '…')}"]
            texts.append(f"{symbol}_{typeset.subscript(t)} = {_vector(values, typeset, chr(92) + 'dots')}")
        yield Formula(label, *texts)


def _vector(values: Array, notation: Notation, dots: str) -> str:
    numbers = [notation.number(float(value)) for value in values]
    if len(numbers) > LONGEST_VECTOR:
        half = LONGEST_VECTOR // 2
        numbers = [*numbers[:half], dots, *numbers[-half:]]
    return f"({', '.join(numbers)})"


def derived_lines(derivations: Sequence[Derivation], spec: ModuleSpec, digits: int) -> Iterator[Formula]:
    """Each equation with its numbers put in, stage below stage."""
    for derivation in derivations:
        stages = []
        for notation in (UNICODE, LATEX):
            here = notation.at(derivation.position.t, derivation.before, derivation.position.unit, digits)
            stages.append(
                [
                    formula(derivation.step, here, spec.declared, derivation.left),
                    *(spell(stage, here) for stage in derivation.stages),
                ]
            )
        plain, typeset = stages
        yield Formula(derivation.step.role, _below_one_another(plain), _aligned(typeset))


def _below_one_another(stages: Sequence[str]) -> str:
    """The stages on lines of their own; a long sum goes on behind its function's bracket."""
    lines = [stages[0]]
    for stage in stages[1:]:
        first, *others = _broken(f"= {stage}", LINE)
        opening = re.match(r"= \w*\(?", first)
        lines += [first, *(" " * (opening.end() if opening else 0) + line for line in others)]
    return "\n".join(lines)


def _aligned(stages: Sequence[str]) -> str:
    """The same in LaTeX; the brackets of a sum that is broken cannot grow with it, and are larger ones from the start."""
    left, _, first = stages[0].partition(" = ")
    lines = []
    for stage in (first, *(f"= {stage}" for stage in stages[1:])):
        parts = _broken(stage, LATEX_LINE)
        whole = " \\\\\n&\\quad ".join(parts)
        lines.append(whole if len(parts) == 1 else whole.replace(r"\left", r"\bigl").replace(r"\right", r"\bigr"))
    return f"{left} = \\begin{{aligned}}[t]\n&" + " \\\\\n&".join(lines) + "\n\\end{aligned}"


def _broken(line: str, length: int) -> list[str]:
    """A long line broken in front of plus and minus."""
    first, *pieces = re.split(r" (?=[+-] )", line)
    lines = [first]
    for piece in pieces:
        if len(lines[-1]) + 1 + len(piece) > length:
            lines.append(piece)
        else:
            lines[-1] += f" {piece}"
    return lines


def _projected_away(explained: Explanation) -> tuple[str, ...]:
    """Why there is no h of this unit, if there is none."""
    unit, size = explained.moments[-1].position.unit, explained.trace.spec.output_size
    return () if unit < size else (f"h has no unit {unit}: the projection leaves {size}",)


def derived_result(derivation: Derivation, digits: int) -> str:
    """What came out, in a line."""
    here = UNICODE.at(derivation.position.t, derivation.before, derivation.position.unit, digits)
    left = left_side(derivation.step.symbol, here) if derivation.left is None else spell(derivation.left, here)
    return f"{left} = {here.number(derivation.value)}"


def term_table(derivations: Sequence[Derivation], top: int | None) -> Table:
    """A row for each term; of a step whose terms are singled out, the largest first."""
    rows = [
        (derivation, term)
        for derivation in derivations
        for term in (largest(derivation.terms, top) if top else derivation.terms)
    ]
    columns = [Column("t", np.array([derivation.position.t for derivation, _ in rows]), Scale.INDEX)]
    names = {
        "symbol": [_symbol(derivation) for derivation, _ in rows],
        "term": [term.name for _, term in rows],
    }
    columns += [Column(heading, np.array(words, object), Scale.NAME) for heading, words in names.items()]
    numbers = {
        "weight": [term.weight for _, term in rows],
        "value": [term.value for _, term in rows],
        "product": [term.product for _, term in rows],
    }
    if any(term.factor is not None for _, term in rows):
        numbers["adds"] = [term.contribution for _, term in rows]
    columns += [Column(heading, np.array(values), section="terms", group="terms") for heading, values in numbers.items()]
    which = "every term" if not top else "the largest term of each" if top == 1 else f"the {top} largest terms of each"
    return Table(f"{which}: weight·value = product", tuple(columns))


def _symbol(derivation: Derivation) -> str:
    return derivation.step.symbol if derivation.left is None else derivation.left.name


def derived_rows(found: Sequence[Derivation], spec: ModuleSpec, digits: int) -> list[dict[str, Any]]:
    """Derivations as plain values."""
    return [_document(derivation, line) for derivation, line in zip(found, derived_lines(found, spec, digits), strict=True)]


def _document(derivation: Derivation, line: Formula) -> dict[str, Any]:
    return {
        "symbol": derivation.step.symbol,
        "role": derivation.step.role,
        **asdict(derivation.position),
        "text": line.text,
        "latex": line.latex,
        "terms": [
            {
                "name": term.name,
                "weight": term.weight,
                "value": term.value,
                "product": term.product,
                "contribution": term.contribution,
            }
            for term in derivation.terms
        ],
        "pre_activation": derivation.pre_activation,
        "value": derivation.value,
    }
