"""Formulas read from expressions: one table of spellings for each way of writing, one function that reads them all.

A formula is spelled for all units and any step, `fₜ = σ(W_if xₜ + …)`; for one unit at one step, `f₂[1] = σ(…)`;
or, where its leaves are constants, with numbers, `σ(0.3132·0.5012 - …)`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from rnntrace.equations.cell import Step
from rnntrace.equations.expression import Expr, Op
from rnntrace.equations.parameters import TERMS, Parameter, Role, find

_SUM, _NEGATIVE, _PRODUCT, _ATOM = range(4)
_BINDING = {
    Op.ADD: _SUM,
    Op.SUBTRACT: _SUM,
    Op.INPUT_TERM: _SUM,
    Op.RECURRENT_TERM: _SUM,
    Op.NEGATE: _NEGATIVE,
    Op.MULTIPLY: _PRODUCT,
    Op.DIVIDE: _PRODUCT,
    Op.DIAGONAL: _PRODUCT,
    Op.GAIN: _PRODUCT,
    Op.PROJECTION: _PRODUCT,
    Op.TRANSPOSED: _PRODUCT,
    Op.NORM_SLOPE: _PRODUCT,
}
_NEEDS = {
    Op.SUBTRACT: (_SUM, _PRODUCT),
    Op.MULTIPLY: (_NEGATIVE, _PRODUCT),
    Op.NEGATE: (_PRODUCT,),
    Op.DIVIDE: (_PRODUCT, _ATOM),
    Op.RECURRENT_TERM: (_ATOM,),
    Op.DIAGONAL: (_PRODUCT,),
    Op.GAIN: (_PRODUCT,),
    Op.PROJECTION: (_ATOM,),
    Op.TRANSPOSED: (_ATOM,),
    Op.NORM_SLOPE: (_ATOM, _SUM),
    Op.HARD_SIGMOID: (_PRODUCT, _PRODUCT, _SUM),
}
LARGEST_FIXED = 1e6
"""From this absolute value on, a number is written in scientific notation."""


@dataclass(frozen=True)
class Notation:
    """How one way of writing spells each operator; `{0}`, `{1}` are arguments, `{name}` a symbol.

    `{now}` and `{before}` are the subscripts of time, `{unit}` the unit in brackets or nothing, and `{times}` multiplies: it is
    `vectors` element by element, and `scalars` for a single unit. `{weights}` is the block of a parameter that a term reads,
    written as `block`; its bias follows. `left_out` is the sum of terms that are not written out.
    `digits` are those of numbers, which `in_full` are written so that they can be read again. `name` writes a symbol.
    """

    spellings: Mapping[Op, str]
    block: str
    brackets: str
    left_out: str
    vectors: str
    scalars: str
    subscript: Callable[[int], str]
    power: str
    now: str
    before: str
    unit: int | None = None
    digits: int = 4
    name: Callable[[str], str] = str
    in_full: bool = False

    def at(self, t: int, before: int, unit: int, digits: int = 4) -> "Notation":
        """The same for one unit at step t, to which the states come from step `before`."""
        return replace(self, now=self.subscript(t), before=self.subscript(before), unit=unit, digits=digits)

    @property
    def whole(self) -> "Notation":
        """The same for all units at once."""
        return replace(self, unit=None)

    def number(self, value: float) -> str:
        """A number; a whole one without a point, a large one or one that its digits do not show in scientific notation."""
        if value != value or abs(value) == float("inf"):
            return str(value)
        if self.in_full:
            return str(int(value)) if value == int(value) and abs(value) < LARGEST_FIXED else repr(value)
        if abs(value) < LARGEST_FIXED:
            if value == int(value):
                return str(int(value))
            if self.unit is None and abs(value) >= 10**-self.digits:
                # A number of the equation itself, and not one that was put in.
                return f"{value:.{self.digits}f}".rstrip("0")
            if abs(value) >= 0.5 * 10**-self.digits:
                return f"{value:.{self.digits}f}"
        mantissa, _, exponent = f"{value:.{max(self.digits - 1, 0)}e}".partition("e")
        return self.power.format(mantissa, int(exponent))


def _typeset(name: str) -> str:
    """The name of a gradient in LaTeX, where a second subscript would be one too many: the f of `∂a_f` stands above."""
    for sign, command in {"∂": r"\partial ", "δ": r"\delta "}.items():
        if name.startswith(sign):
            stem, _, gate = name.removeprefix(sign).replace(".", "_").partition("_")
            return command + stem + (rf"^{{\text{{{gate}}}}}" if gate else "")
    return name


_DIGITS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")

LATEX = Notation(
    spellings={
        Op.INPUT: "x_{now}{unit}",
        Op.NOW: "{name}_{now}{unit}",
        Op.BEFORE: "{name}_{before}{unit}",
        Op.CONSTANT: "{number}",
        Op.INPUT_TERM: "{weights}{unit} x_{now}",
        Op.RECURRENT_TERM: "{weights}{unit} {0}",
        Op.DIAGONAL: "{weights}{unit}{times}{0}",
        Op.GAIN: "{weights}{unit}{times}{0}",
        Op.SHIFT: "{weights}{unit}",
        Op.PROJECTION: "{weights}{unit} {0}",
        Op.TRANSPOSED: r"{weights}^\top{unit} {0}",
        Op.ADD: "{0} + {1}",
        Op.SUBTRACT: "{0} - {1}",
        Op.MULTIPLY: "{0}{times}{1}",
        Op.DIVIDE: r"{0} / {1}",
        Op.NEGATE: "-{0}",
        Op.ABS: r"\left|{0}\right|",
        Op.EXP: r"\exp\left({0}\right)",
        Op.MAXIMUM: r"\max\left({0}, {1}\right)",
        Op.MINIMUM: r"\min\left({0}, {1}\right)",
        Op.CLIP: r"\operatorname{{clip}}\left({0}, {1}, {2}\right)",
        Op.SIGMOID: r"\sigma\left({0}\right)",
        Op.TANH: r"\tanh\left({0}\right)",
        Op.RELU: r"\operatorname{{ReLU}}\left({0}\right)",
        Op.HARD_SIGMOID: r"\operatorname{{clip}}\left({1} \cdot {0} + {2}\right)",
        Op.SOFTPLUS: r"\operatorname{{softplus}}\left({0}\right)",
        Op.SOFTSIGN: r"\operatorname{{softsign}}\left({0}\right)",
        Op.ELU: r"\operatorname{{ELU}}\left({0}, {1}\right)",
        Op.LEAKY_RELU: r"\operatorname{{LeakyReLU}}\left({0}, {1}\right)",
        Op.THRESHOLDED_RELU: r"\operatorname{{ThresholdedReLU}}\left({0}, {1}\right)",
        Op.LAYER_NORM: r"\operatorname{{LN}}\left({0}\right)",
        Op.STEP: r"\left[{0} > 0\right]",
        Op.NORM_SLOPE: r"\operatorname{{LN}}'\left({1}\right) {0}",
    },
    block="{0}_{{{1}}}",
    brackets=r"\left({0}\right)",
    left_out=r"\underbrace{{{number}}}_{{\text{{{name}}}}}",
    vectors=r" \odot ",
    scalars=r" \cdot ",
    subscript=lambda t: f"{{{t}}}",
    power=r"{0} \cdot 10^{{{1}}}",
    now="t",
    before="{t-1}",
    name=_typeset,
)

UNICODE = Notation(
    spellings={
        Op.INPUT: "x{now}{unit}",
        Op.NOW: "{name}{now}{unit}",
        Op.BEFORE: "{name}{before}{unit}",
        Op.CONSTANT: "{number}",
        Op.INPUT_TERM: "{weights}{unit} x{now}",
        Op.RECURRENT_TERM: "{weights}{unit} {0}",
        Op.DIAGONAL: "{weights}{unit}{times}{0}",
        Op.GAIN: "{weights}{unit}{times}{0}",
        Op.SHIFT: "{weights}{unit}",
        Op.PROJECTION: "{weights}{unit} {0}",
        Op.TRANSPOSED: "{weights}ᵀ{unit} {0}",
        Op.ADD: "{0} + {1}",
        Op.SUBTRACT: "{0} - {1}",
        Op.MULTIPLY: "{0}{times}{1}",
        Op.DIVIDE: "{0} / {1}",
        Op.NEGATE: "-{0}",
        Op.ABS: "|{0}|",
        Op.EXP: "exp({0})",
        Op.MAXIMUM: "max({0}, {1})",
        Op.MINIMUM: "min({0}, {1})",
        Op.CLIP: "clip({0}, {1}, {2})",
        Op.SIGMOID: "σ({0})",
        Op.TANH: "tanh({0})",
        Op.RELU: "ReLU({0})",
        Op.HARD_SIGMOID: "clip({1}·{0} + {2})",
        Op.SOFTPLUS: "softplus({0})",
        Op.SOFTSIGN: "softsign({0})",
        Op.ELU: "ELU({0}, {1})",
        Op.LEAKY_RELU: "LeakyReLU({0}, {1})",
        Op.THRESHOLDED_RELU: "ThresholdedReLU({0}, {1})",
        Op.LAYER_NORM: "LN({0})",
        Op.STEP: "[{0} > 0]",
        Op.NORM_SLOPE: "LN′({1}) {0}",
    },
    block="{0}_{1}",
    brackets="({0})",
    left_out="[… {name}: {number}]",
    vectors=" ⊙ ",
    scalars="·",
    subscript=lambda t: str(t).translate(_DIGITS),
    power="{0}e{1}",
    now="ₜ",
    before="ₜ₋₁",
)

TEXT = replace(
    UNICODE,
    spellings={
        **UNICODE.spellings,
        Op.INPUT: "x",
        Op.NOW: "{name}",
        Op.BEFORE: "{name}[t-1]",
        Op.INPUT_TERM: "{weights} x",
        Op.RELU: "relu({0})",
        Op.HARD_SIGMOID: "hard_sigmoid({0}, {1}, {2})",
        Op.ELU: "elu({0}, {1})",
        Op.LEAKY_RELU: "leaky_relu({0}, {1})",
        Op.THRESHOLDED_RELU: "thresholded_relu({0}, {1})",
        Op.LAYER_NORM: "layer_norm({0})",
    },
    now="",
    in_full=True,
)
"""As `equations.text` reads it."""

MEANINGS = {
    Op.SIGMOID: ("sigmoid, from 0 to 1", "σ(a) = 1 / (1 + exp(-a))", r"\sigma(a) = \frac{1}{1 + e^{-a}}"),
    Op.TANH: (
        "tanh, from -1 to 1",
        "tanh(a) = (exp(a) - exp(-a)) / (exp(a) + exp(-a))",
        r"\tanh(a) = \frac{e^{a} - e^{-a}}{e^{a} + e^{-a}}",
    ),
    Op.RELU: ("not below 0", "ReLU(a) = max(0, a)", r"\operatorname{ReLU}(a) = \max(0, a)"),
    Op.HARD_SIGMOID: (
        "hard sigmoid, from 0 to 1",
        "clip(a) = min(max(a, 0), 1)",
        r"\operatorname{clip}(a) = \min(\max(a, 0), 1)",
    ),
    Op.CLIP: (
        "cut off at two numbers",
        "clip(a, l, u) = min(max(a, l), u)",
        r"\operatorname{clip}(a, l, u) = \min(\max(a, l), u)",
    ),
    Op.SOFTPLUS: (
        "ReLU with a smooth bend",
        "softplus(a) = log(1 + exp(a))",
        r"\operatorname{softplus}(a) = \log(1 + e^{a})",
    ),
    Op.SOFTSIGN: (
        "softsign, from -1 to 1",
        "softsign(a) = a / (1 + |a|)",
        r"\operatorname{softsign}(a) = \frac{a}{1 + \left|a\right|}",
    ),
    Op.ELU: (
        "exponential linear unit",
        "ELU(a, α) = a where a > 0, else α·(exp(a) - 1)",
        r"\operatorname{ELU}(a, \alpha) = a \text{ where } a > 0, \text{ else } \alpha \left(e^{a} - 1\right)",
    ),
    Op.LEAKY_RELU: (
        "ReLU that lets some through below 0",
        "LeakyReLU(a, α) = a where a > 0, else α·a",
        r"\operatorname{LeakyReLU}(a, \alpha) = a \text{ where } a > 0, \text{ else } \alpha a",
    ),
    Op.THRESHOLDED_RELU: (
        "0 up to a threshold",
        "ThresholdedReLU(a, α) = a where a > α, else 0",
        r"\operatorname{ThresholdedReLU}(a, \alpha) = a \text{ where } a > \alpha, \text{ else } 0",
    ),
    Op.LAYER_NORM: (
        "layer norm over all units",
        "LN(a) = (a - mean(a)) / √(variance(a) + 1e-5)",
        r"\operatorname{LN}(a) = \frac{a - \operatorname{mean}(a)}{\sqrt{\operatorname{var}(a) + 10^{-5}}}",
    ),
    Op.MULTIPLY: ("unit by unit", "(a ⊙ b)[k] = a[k]·b[k]", r"(a \odot b)[k] = a[k] \cdot b[k]"),
}
"""What a reader may not know of an operator: a word, the definition in Unicode, and in LaTeX."""


def formula(step: Step, notation: Notation, parameters: Sequence[Parameter], left: Expr | None = None) -> str:
    """One step of a cell as an equation, for example `cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ gₜ`; `parameters` are those that there are.

    On the `left` stands the symbol of the step, or what is given.
    """
    own = left_side(step.symbol, notation) if left is None else spell(left, notation)
    return f"{own} = {spell(step.expression, notation, parameters)}"


def left_side(symbol: str, notation: Notation) -> str:
    """A quantity at the notation's step and unit: `fₜ`, `f₂[1]`."""
    return spell(Expr(Op.NOW, name=symbol), notation)


def spell(expr: Expr, notation: Notation, parameters: Sequence[Parameter] = ()) -> str:
    """The expression as text; brackets stand only where the order of operations needs them.

    A constant with a name is the sum of terms that are left out, and the name says how many.
    """
    needs = _NEEDS.get(expr.op, (_SUM,) * len(expr.args))
    # A row of weights multiplies all units of its argument, and a layer norm is taken over them.
    inside = (
        notation.whole
        if expr.op in (Op.RECURRENT_TERM, Op.PROJECTION, Op.TRANSPOSED, Op.LAYER_NORM, Op.NORM_SLOPE)
        else notation
    )
    args = []
    for arg, need in zip(expr.args, needs, strict=True):
        text = spell(arg, inside, parameters)
        args.append(notation.brackets.format(text) if _binding(arg, parameters) < need else text)
    unit = "" if notation.unit is None else f"[{notation.unit}]"
    fields = {
        "name": expr.name if expr.op is Op.CONSTANT else notation.name(expr.name),
        "weights": _block(expr, 0, notation, parameters),
        "now": notation.now,
        "before": notation.before,
        "unit": unit,
        "times": notation.vectors if notation.unit is None else notation.scalars,
        "number": notation.number(expr.value),
    }
    spelling = notation.spellings[expr.op]
    if expr.op is Op.CONSTANT and expr.name:
        return notation.left_out.format(**fields)
    if expr.op in (Op.ADD, Op.SUBTRACT, Op.MULTIPLY):
        return reduce(lambda left, right: _joined(left, right, expr.op, notation, fields), args)
    text = spelling.format(*args, **fields)
    if bias := _block(expr, 1, notation, parameters):
        return notation.spellings[Op.ADD].format(text, bias + unit)
    return text


def _block(leaf: Expr, place: int, notation: Notation, parameters: Sequence[Parameter]) -> str:
    """What a term multiplies by (place 0), or its bias (place 1), as it is written: `W_{if}`; empty if there is none."""
    roles = TERMS.get(leaf.op, (None, None))
    if leaf.op is Op.TRANSPOSED:
        roles = Role.RECURRENT_MATRIX if leaf.name else Role.PROJECTION, None
    parameter = find(parameters, roles[place], leaf.name)
    if parameter is None:
        return ""
    name, _, rest = parameter.block(leaf.name).partition("_")
    return notation.block.format(name, rest) if rest else name


def binding(op: Op) -> int:
    """How strongly an operator binds what it joins: from 0 for a sum to 3 for what needs no brackets anywhere."""
    return _BINDING.get(op, _ATOM)


def needed(op: Op) -> tuple[int, ...]:
    """How strongly each argument of an operator has to bind to stand without brackets."""
    return _NEEDS.get(op, ())


def _joined(left: str, right: str, op: Op, notation: Notation, fields: Mapping[str, str]) -> str:
    if op is Op.ADD and right.startswith("-"):
        op, right = Op.SUBTRACT, right[1:]
    return notation.spellings[op].format(left, right, **fields)


def _binding(expr: Expr, parameters: Sequence[Parameter]) -> int:
    if expr.op in (Op.INPUT_TERM, Op.RECURRENT_TERM) and find(parameters, TERMS[expr.op][1], expr.name) is None:
        return _PRODUCT
    if expr.op is Op.CONSTANT and not expr.name and expr.value < 0:
        return _NEGATIVE
    return binding(expr.op)
