"""Formulas read from expressions: one table of spellings for each way of writing, one function that reads them all."""

from dataclasses import dataclass

from rnntrace.equations.cells import Step
from rnntrace.equations.expression import Expr, Op

_SUM, _PRODUCT, _ATOM = range(3)
_BINDING = {
    Op.ADD: _SUM,
    Op.SUBTRACT: _SUM,
    Op.INPUT_TERM: _SUM,
    Op.RECURRENT_TERM: _SUM,
    Op.MULTIPLY: _PRODUCT,
    Op.PROJECTION: _PRODUCT,
}
_NEEDS = {
    Op.ADD: (_SUM, _SUM),
    Op.SUBTRACT: (_SUM, _PRODUCT),
    Op.MULTIPLY: (_PRODUCT, _PRODUCT),
    Op.RECURRENT_TERM: (_ATOM,),
    Op.PROJECTION: (_ATOM,),
}


@dataclass(frozen=True)
class Notation:
    """How one way of writing spells each operator; `{0}`, `{1}` are arguments, `{name}` a symbol or gate."""

    spellings: dict[Op, str]
    brackets: str
    without_bias: dict[Op, str]


LATEX = Notation(
    spellings={
        Op.NOW: "{name}_t",
        Op.BEFORE: "{name}_{{t-1}}",
        Op.CONSTANT: "{value:g}",
        Op.INPUT_TERM: "W_{{i{name}}} x_t + b_{{i{name}}}",
        Op.RECURRENT_TERM: "W_{{h{name}}} {0} + b_{{h{name}}}",
        Op.PROJECTION: "W_{{hr}} {0}",
        Op.ADD: "{0} + {1}",
        Op.SUBTRACT: "{0} - {1}",
        Op.MULTIPLY: r"{0} \odot {1}",
        Op.SIGMOID: r"\sigma\left({0}\right)",
        Op.TANH: r"\tanh\left({0}\right)",
        Op.RELU: r"\operatorname{{ReLU}}\left({0}\right)",
    },
    brackets=r"\left({0}\right)",
    without_bias={Op.INPUT_TERM: "W_{{i{name}}} x_t", Op.RECURRENT_TERM: "W_{{h{name}}} {0}"},
)

UNICODE = Notation(
    spellings={
        Op.NOW: "{name}ₜ",
        Op.BEFORE: "{name}ₜ₋₁",
        Op.CONSTANT: "{value:g}",
        Op.INPUT_TERM: "W_i{name} xₜ + b_i{name}",
        Op.RECURRENT_TERM: "W_h{name} {0} + b_h{name}",
        Op.PROJECTION: "W_hr {0}",
        Op.ADD: "{0} + {1}",
        Op.SUBTRACT: "{0} - {1}",
        Op.MULTIPLY: "{0} ⊙ {1}",
        Op.SIGMOID: "σ({0})",
        Op.TANH: "tanh({0})",
        Op.RELU: "ReLU({0})",
    },
    brackets="({0})",
    without_bias={Op.INPUT_TERM: "W_i{name} xₜ", Op.RECURRENT_TERM: "W_h{name} {0}"},
)


def formula(step: Step, notation: Notation, *, bias: bool = True) -> str:
    """One step of a cell as an equation, for example `cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ gₜ`."""
    left = notation.spellings[Op.NOW].format(name=step.symbol)
    return f"{left} = {spell(step.expression, notation, bias=bias)}"


def spell(expr: Expr, notation: Notation, *, bias: bool = True) -> str:
    """The expression as text; brackets stand only where the order of operations needs them."""
    needs = _NEEDS.get(expr.op, (_SUM,) * len(expr.args))
    args = []
    for arg, need in zip(expr.args, needs, strict=True):
        text = spell(arg, notation, bias=bias)
        args.append(notation.brackets.format(text) if _binding(arg, bias) < need else text)
    spelling = notation.spellings[expr.op]
    if not bias:
        spelling = notation.without_bias.get(expr.op, spelling)
    return spelling.format(*args, name=expr.name, value=expr.value)


def _binding(expr: Expr, bias: bool) -> int:
    if not bias and expr.op in (Op.INPUT_TERM, Op.RECURRENT_TERM):
        return _PRODUCT
    return _BINDING.get(expr.op, _ATOM)
