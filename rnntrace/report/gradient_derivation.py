"""The report of a backward pass in equations: the chain rule of a cell, and the same with the numbers of a place put in."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from rnntrace.engine.backward.loss import Loss
from rnntrace.equations.adjoint import Term, adjoint, on_paper, written
from rnntrace.equations.expression import Op
from rnntrace.equations.notation import LATEX, UNICODE, Notation, formula, spell
from rnntrace.equations.parameters import TERMS, find
from rnntrace.model.blocks import blocks
from rnntrace.model.conventions import BY_NAME, TORCH
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.report.derivation import Explanation, derived_lines, derived_result, derived_rows, moment_title, term_table
from rnntrace.report.explain import document, title
from rnntrace.report.run import describe, describe_signals
from rnntrace.report.table import Formula, Formulas, Report


@dataclass(frozen=True)
class GradientExplanation(Explanation):
    """What was derived of a backward pass, the last step first, and the loss that it is of."""

    loss: Loss | None = None


def gradient_equations_report(spec: ModuleSpec) -> Report:
    """What `explain --backward` tells of a module: the chain rule, and what parameters get of it."""
    return Report(
        headline=((tuple(describe(spec)), title(spec)),),
        formulas=(_equations(spec), _parameters(spec)),
        tables=(),
        conclusion=("∂f is ∂L/∂f, ∂a_f that before the activation, δc what the step after hands back",),
        passed=None,
        document={
            **document(spec, BY_NAME[TORCH], list(blocks(spec, BY_NAME[TORCH]))),
            "backward": [
                {"symbol": line.text.partition(" = ")[0], "role": line.label, "text": line.text, "latex": line.latex}
                for formulas in (_equations(spec), _parameters(spec))
                for line in formulas.lines
            ],
        },
    )


def _equations(spec: ModuleSpec) -> Formulas:
    words = ["back from t = T to 1"]
    if REVERSE in spec.directions:
        words.append("in the reverse direction from 1 to T, with t + 1 for t - 1")
    lines = [
        Formula(step.role, *(formula(step, notation, spec.declared, left) for notation in (UNICODE, LATEX)))
        for left, step in written(adjoint(spec.cell))
    ]
    return Formulas(" · ".join(words), tuple(lines))


def _parameters(spec: ModuleSpec) -> Formulas:
    """What each block of a parameter gets: a sum over all steps."""
    found = adjoint(spec.cell)
    names = {step.symbol: left for left, step in written(found)}
    lines = []
    for term in found.terms:
        for place, role in enumerate(TERMS[term.leaf.op]):
            parameter = find(spec.declared, role, term.leaf.name)
            if parameter is not None:
                texts = (_sum(term, names, parameter.block(term.leaf.name), notation, place) for notation in (UNICODE, LATEX))
                lines.append(Formula("", *texts))
    return Formulas("parameters", tuple(lines))


def _sum(term: Term, names: dict[str, Any], block: str, notation: Notation, place: int) -> str:
    """`∂W_if = Σₜ ∂a_fₜ xₜᵀ`."""
    d = spell(names[term.gradient], notation)
    stem, _, rest = block.partition("_")
    name = notation.block.format(stem, rest) if rest else block
    plain = notation.spellings[Op.STEP].startswith("[")
    total = "Σₜ" if plain else r"\sum_t"
    left = f"∂{name}" if plain else rf"\partial {name}"
    if place == 1 or (term.argument is None and term.leaf.op is not Op.INPUT_TERM):
        return f"{left} = {total} {d}"
    argument = f"x{notation.now}" if plain else f"x_{notation.now}"
    if term.argument is not None:
        argument = spell(on_paper(term.argument), notation)
        argument = argument if not on_paper(term.argument).args else notation.brackets.format(argument)
    if term.leaf.op in (Op.DIAGONAL, Op.GAIN):
        return f"{left} = {total} {d}{notation.vectors}{argument}"
    return f"{left} = {total} {d} {argument}" + ("ᵀ" if plain else r"^\top")


def gradient_derivation_report(explained: GradientExplanation, digits: int = 4) -> Report:
    """What `explain --backward --at` tells of a place: the chain rule with its numbers, and every product in a table."""
    spec, inputs = explained.trace.spec, explained.trace.inputs
    found = [derivation for moment in explained.moments for derivation in moment.derivations]
    value = "" if explained.loss is None or explained.loss.value is None else f" = {explained.loss.value:.6g}"
    return Report(
        headline=(
            (tuple(describe(spec, explained.seed)), title(spec)),
            (tuple(describe_signals(spec, inputs, explained.origin or {})), ()),
            ((f"loss {explained.loss.name}{value}" if explained.loss else "",), ()),
        ),
        formulas=tuple(
            Formulas(moment_title(moment, explained.trace), tuple(chain(derived_lines(moment.derivations, spec, digits))))
            for moment in explained.moments
        ),
        tables=(term_table(found, explained.top),),
        conclusion=(*_results(explained, digits), "values of the replay"),
        passed=None,
        warnings=explained.warnings,
        document={
            **document(spec, BY_NAME[TORCH], list(blocks(spec, BY_NAME[TORCH]))),
            "seed": explained.seed,
            "derivation": derived_rows(found, spec, digits),
            "warnings": list(explained.warnings),
        },
    )


def _results(explained: GradientExplanation, digits: int) -> Iterator[str]:
    states = {f"∂{state}" for state in explained.trace.spec.cell.states}
    asked = explained.moments[-1].derivations
    for derivation in [one for one in asked if one.step.symbol in states] or asked:
        yield derived_result(derivation, digits)
