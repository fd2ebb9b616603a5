"""The adjoint of a cell: what the chain rule makes of its equations, a cell too, which runs backwards in time.

Its quantities are gradients of the loss L: `∂f` is ∂L/∂f_t of a gate or state, `∂f.pre` that of what its activation is taken
of. Its states are what each step hands to the one before: `∂c.before` is the part of ∂L/∂c_{t-1} that comes through step t. The
forward pass is given to it: each gate and state under its own name, each state a step before as `c.before`, and `∂output`,
what comes from outside or from the layer above.

There is one rule for each operator. Products with what the forward pass has left are kept together behind the gradient,
∂h · (o · (1 - tanh²(c))): all but the first can be computed for every step at once.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cache, reduce

from rnntrace.equations import expression as ex
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import CURVES, Expr, Op, constant, now
from rnntrace.equations.parameters import TERMS

OUTPUT = "∂output"
"""The gradient of a layer's output, which is given."""


def gradient(symbol: str) -> str:
    """∂L/∂ of a gate or state at step t."""
    return f"∂{symbol}"


def pre_activation(symbol: str) -> str:
    """∂L/∂ of what the activation of a gate or state is taken of."""
    return f"∂{symbol}.pre"


def handed_on(state: str) -> str:
    """What step t adds to ∂L/∂ of a state at t - 1."""
    return f"∂{state}.before"


def previous(state: str) -> str:
    """A state of the step before, as the forward pass has left it."""
    return f"{state}.before"


@dataclass(frozen=True)
class Term:
    """Where the forward pass reads a parameter: the `leaf`, the gradient of its value, and what the parameter multiplies.

    The parameter's gradient is the sum over steps and items of `gradient` times `argument`, both as the adjoint calls them; x
    stands for no argument of an input term.
    """

    leaf: Expr
    gradient: str
    argument: Expr | None = None


@dataclass(frozen=True)
class Adjoint:
    """The adjoint of a cell, the `terms` that make the gradients of parameters and of x, and what adds to that of x `on_x`."""

    cell: Cell
    terms: tuple[Term, ...]
    on_x: tuple[str, ...]


@cache
def adjoint(cell: Cell) -> Adjoint:
    """What the chain rule makes of a cell."""
    return _Chain(cell).adjoint()


class _Chain:
    """Goes through the steps of a cell from the last to the first."""

    def __init__(self, cell: Cell) -> None:
        self.forward = cell
        self.steps: list[Step] = []
        self.terms: list[Term] = []
        self.on_x: list[str] = []
        self.of_now: dict[str, list[Expr]] = {symbol: [] for symbol in cell.symbols}
        self.of_before: dict[str, list[Expr]] = {state: [] for state in cell.states}
        self.back: dict[str, list[Expr]] = {state: [] for state in cell.states}

    def adjoint(self) -> Adjoint:
        """Everything, in order."""
        cell = self.forward
        for state in cell.states:
            self.of_now[state].append(ex.before(handed_on(state)))
        self.of_now[cell.output].append(now(OUTPUT))
        for step in reversed(cell.steps):
            if uses := self.of_now[step.symbol]:
                self._add(gradient(step.symbol), f"gradient of the {step.role}", _total(uses))
                self._through(step)
        for state in cell.states:
            uses = [*self.back[state], *self.of_before[state]] or [now(gradient(state)) * constant(0)]
            self._add(handed_on(state), f"handed on to the {cell.roles[state]} before", _total(uses))
        projected = [symbol for symbol in cell.symbols if cell.size(symbol) == "R"]
        narrow = [of(symbol) for symbol in projected for of in (str, gradient, handed_on, previous)]
        found = Cell(
            kind=cell.kind,
            title=f"adjoint of the {cell.title}",
            gates=cell.gates,
            states=tuple(map(handed_on, cell.states)),
            steps=tuple(self.steps),
            parameters=cell.parameters,
            given=(*cell.symbols, *map(previous, cell.states), OUTPUT),
            narrow=(*narrow, OUTPUT) if cell.output in projected else tuple(narrow),
        )
        return Adjoint(found, tuple(self.terms), tuple(self.on_x))

    def _add(self, symbol: str, role: str, expression: Expr) -> Expr:
        self.steps.append(Step(symbol, role, expression))
        return now(symbol)

    def _through(self, step: Step) -> None:
        """Pass the gradient of a step's value on to all that the step reads."""
        inside, d = step.expression, now(gradient(step.symbol))
        if inside.op in CURVES and any(part.op in TERMS for part in inside.walk()):
            slope = _slope(inside.op, now(step.symbol), *map(self._value, inside.args))
            d = self._add(pre_activation(step.symbol), f"gradient before the activation of the {step.role}", _times(d, slope))
            inside = inside.args[0]
        self.symbol = step.symbol
        self._pass(inside, d)

    def _pass(self, expr: Expr, d: Expr) -> None:
        """Pass the gradient `d` of the value of an expression on to its leaves."""
        match expr.op:
            case Op.CONSTANT:
                return
            case Op.NOW:
                self.of_now[expr.name].append(d)
            case Op.BEFORE:
                self.of_before[expr.name].append(d)
            case Op.INPUT:
                self.on_x.append(self._named(d, "x").name)
            case op if op in TERMS:
                self._term(expr, d)
            case _:
                for arg, part in zip(expr.args, self._parts(expr, d), strict=False):
                    self._pass(arg, part)

    def _term(self, leaf: Expr, d: Expr) -> None:
        """Of a term with a parameter: to what it multiplies, and a note for the parameter itself."""
        d = self._named(d, f"{leaf.name}.{leaf.op.value.partition(' ')[0]}" if leaf.name else leaf.op.value)
        self.terms.append(Term(leaf, d.name, *map(self._value, leaf.args)))
        for arg in leaf.args:
            if leaf.op in (Op.DIAGONAL, Op.GAIN):
                self._pass(arg, Expr(leaf.op, (d,), leaf.name))
            elif arg.op is Op.BEFORE:
                # All that go back to one state are one product.
                self.back[arg.name].append(ex.transposed(leaf.name, d))
            else:
                self._pass(
                    arg, self._named(ex.transposed(leaf.name, d), f"{leaf.name}.argument" if leaf.name else "unprojected")
                )

    def _named(self, d: Expr, name: str) -> Expr:
        """A gradient that others read more than once: as a quantity of its own."""
        if d.op is Op.NOW:
            return d
        taken = {step.symbol for step in self.steps}
        name = next(each for each in _numbered(gradient(name)) if each not in taken)
        return self._add(name, f"gradient inside of {self.symbol}", d)

    def _value(self, expr: Expr) -> Expr:
        """An expression of the forward pass, as it is given here."""
        if expr.op is Op.BEFORE:
            return now(previous(expr.name))
        return Expr(expr.op, tuple(map(self._value, expr.args)), expr.name, expr.value)

    def _parts(self, expr: Expr, d: Expr) -> tuple[Expr, ...]:
        """The gradients of an operator's arguments; what is none of a curve is a number."""
        value, args = self._value(expr), tuple(map(self._value, expr.args))
        match expr.op:
            case Op.ADD:
                return d, d
            case Op.SUBTRACT:
                return d, _negative(d)
            case Op.NEGATE:
                return (_negative(d),)
            case Op.MULTIPLY:
                return _share(d, args[1]), _share(d, args[0])
            case Op.DIVIDE:
                return _times(d, constant(1) / args[1]), _times(d, -(value / args[1]))
            case Op.MAXIMUM | Op.MINIMUM:
                lead = args[0] - args[1] if expr.op is Op.MAXIMUM else args[1] - args[0]
                # Of two that are equal each has a half, as in torch.
                first = (ex.step(lead) + (1 - ex.step(-lead))) * constant(0.5)
                return _times(d, first), _times(d, 1 - first)
            case Op.LAYER_NORM:
                return (ex.norm_slope(d, *args),)
        return (_times(d, _slope(expr.op, value, *args)),)


def _slope(op: Op, y: Expr, a: Expr, *numbers: Expr) -> Expr:
    """dy/da of a curve y of its first argument. At a corner it is what torch takes: that of the flat side, but not for clip."""
    above = ex.step(a)
    match op:
        case Op.SIGMOID:
            return y * (1 - y)
        case Op.TANH:
            return 1 - y * y
        case Op.RELU:
            return ex.step(y)
        case Op.EXP:
            return y
        case Op.ABS:
            return above - ex.step(-a)
        case Op.SOFTPLUS:
            return ex.sigmoid(a)
        case Op.SOFTSIGN:
            rest = 1 - Expr(Op.ABS, (y,))
            return rest * rest
        case Op.HARD_SIGMOID:
            return ex.step(y) * ex.step(1 - y) * numbers[0]
        case Op.ELU:
            return above + (1 - above) * (y + numbers[0])
        case Op.LEAKY_RELU:
            return above + (1 - above) * numbers[0]
        case Op.THRESHOLDED_RELU:
            return ex.step(a - numbers[0])
    assert op is Op.CLIP
    low, high = numbers
    return (1 - ex.step(a - high)) * (1 - ex.step(low - a))


def _times(d: Expr, factor: Expr) -> Expr:
    """The gradient times something of the forward pass."""
    if d.op is Op.MULTIPLY:
        return d.args[0] * (d.args[1] * factor)
    return d * factor


def _share(d: Expr, factor: Expr) -> Expr:
    """The gradient of one factor of a product. With 1 - z that is d - d · z, as where h is written n + z · (h - n)."""
    if factor.op is Op.SUBTRACT and factor.args[0] == constant(1):
        return d - _times(d, factor.args[1])
    return _times(d, factor)


def _negative(d: Expr) -> Expr:
    return d.args[0] * -d.args[1] if d.op is Op.MULTIPLY else -d


def _total(parts: list[Expr]) -> Expr:
    """The sum of gradients; products with one and the same gradient are one product. Products with matrices come first."""
    factors: dict[Expr, list[Expr]] = {}
    for part in parts:
        if part.op is Op.MULTIPLY:
            factors.setdefault(part.args[0], []).append(part.args[1])
    alone = [part for part in parts if part.op is not Op.MULTIPLY]
    products = [d * reduce(Expr.__add__, found) for d, found in factors.items()]
    return reduce(Expr.__add__, [*alone, *products])


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name} {number}"
        number += 1


def given(symbol: str) -> str:
    """A gradient that is known beforehand, as the steps of `started` read it."""
    return f"{symbol} given"


def started(cell: Cell, known: Collection[str]) -> Cell:
    """An adjoint that computes each gradient from those of the step after, or of this one, that are known beforehand."""

    def read(expr: Expr) -> Expr:
        if expr.op is Op.NOW and expr.name in known:
            return now(given(expr.name))
        return replace(expr, args=tuple(map(read, expr.args)))

    steps = tuple(replace(step, expression=read(step.expression)) for step in cell.steps)
    narrow = [given(symbol) for symbol in known if symbol in cell.narrow]
    return replace(cell, steps=steps, given=(*cell.given, *map(given, known)), narrow=(*cell.narrow, *narrow))


def on_paper(expr: Expr) -> Expr:
    """An expression of an adjoint as it is written on paper: see `written`."""
    name = expr.name
    if expr.op is Op.BEFORE:
        return now(f"δ{name.removeprefix('∂').removesuffix('.before')}")
    if expr.op is Op.NOW and name.endswith(".before"):
        return ex.before(name.removesuffix(".before"))
    if expr.op is Op.NOW and name.endswith(".pre"):
        return now(f"∂a_{name.removeprefix('∂').removesuffix('.pre')}")
    return replace(expr, args=tuple(map(on_paper, expr.args)))


def written(found: Adjoint) -> Iterator[tuple[Expr, Step]]:
    """The equations of an adjoint as they are written on paper: each with its left side.

    `∂a_f` is the gradient before the activation, and `δc` what the step after hands back to c, so that a step gives δc at
    t - 1; the states of the step before have their own names.
    """
    for step in found.cell.steps:
        left = on_paper(now(step.symbol))
        if step.symbol in found.cell.states:
            left = ex.before(f"δ{step.symbol.removeprefix('∂').removesuffix('.before')}")
        yield left, replace(step, expression=on_paper(step.expression))
