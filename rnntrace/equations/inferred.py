"""The parameters of a cell's text: what each is follows from where it stands."""

from dataclasses import dataclass, replace
from functools import reduce

from rnntrace.equations.expression import Expr, Op, constant
from rnntrace.equations.parameters import Parameter, Role
from rnntrace.equations.tokens import CellText, Word

PARAMETER, MATRIX = "parameter", "matrix"
"""A parameter by itself, and one that is a matrix on its argument."""
WORDS = {
    Role.INPUT_MATRIX: "a matrix on x",
    Role.RECURRENT_MATRIX: "a matrix on a quantity of the hidden size",
    Role.DIAGONAL: "a weight for each unit",
    Role.SHIFT: "a bias",
}


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an equation, and the word at which it begins. Parameters are names that nothing computes."""

    op: Op | str
    at: Word
    args: tuple["Node", ...] = ()
    name: str = ""
    value: float = 0.0


class Inferred:
    """Makes expressions of equations, and notes what their parameters are."""

    def __init__(self, source: CellText) -> None:
        self._source = source
        self._found: dict[str, Parameter] = {}
        self._first: dict[str, Word] = {}
        self._uses: dict[str, int] = {}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """In the order in which they stand in the text."""
        return tuple(self._found[name] for name in self._first)

    @property
    def gates(self) -> tuple[str, ...]:
        """What their blocks are called: a symbol, or where that has such a parameter already, the parameter's own name."""
        return tuple(dict.fromkeys(parameter.gates[0] for parameter in self.parameters))

    def count(self, node: Node) -> None:
        """Note how often parameters stand in an equation: one that stands in several is nobody's bias."""
        if node.op in (PARAMETER, MATRIX):
            self._uses[node.name] = self._uses.get(node.name, 0) + 1
        for arg in node.args:
            self.count(arg)

    def expression(self, symbol: str, node: Node) -> Expr:
        """The right side of the equation of a symbol."""
        if node.op is Op.CONSTANT:
            raise self._source.wrong(node.at, f"{symbol} is a number and no quantity")
        return self._of(symbol, node)

    def _of(self, symbol: str, node: Node) -> Expr:
        match node.op:
            case "parameter":
                return Expr(Op.SHIFT, name=self._label(symbol, node, Role.SHIFT))
            case "matrix":
                return self._product(symbol, node)
            case Op.CONSTANT:
                return constant(node.value)
            case Op.INPUT | Op.NOW | Op.BEFORE:
                return Expr(Op(node.op), name=node.name)
            case Op.MULTIPLY if any(arg.op is PARAMETER for arg in node.args):
                weight, other = node.args if node.args[0].op is PARAMETER else node.args[::-1]
                argument = self._of(symbol, other)
                return Expr(Op.DIAGONAL, (argument,), self._label(symbol, weight, Role.DIAGONAL))
            case Op.ADD | Op.SUBTRACT:
                return self._sum(symbol, node)
        return Expr(Op(node.op), tuple(self._of(symbol, arg) for arg in node.args))

    def _product(self, symbol: str, node: Node) -> Expr:
        (arg,) = node.args
        if arg.op is Op.INPUT:
            return Expr(Op.INPUT_TERM, name=self._label(symbol, node, Role.INPUT_MATRIX))
        return Expr(Op.RECURRENT_TERM, (self._of(symbol, arg),), self._label(symbol, node, Role.RECURRENT_MATRIX))

    def _sum(self, symbol: str, node: Node) -> Expr:
        """A sum, whose parameters by themselves become biases of the products beside them, as far as these have none."""
        terms: list[tuple[Op, Node]] = []
        while node.op in (Op.ADD, Op.SUBTRACT):
            terms.insert(0, (Op(node.op), node.args[1]))
            node = node.args[0]
        terms.insert(0, (Op.ADD, node))
        products = [place for place, (_, term) in enumerate(terms) if term.op is MATRIX and self._uses[term.name] == 1]
        biases: dict[int, Node] = {}
        for place, (sign, term) in enumerate(terms):
            free = [other for other in products if other not in biases and terms[other][0] is Op.ADD]
            if sign is Op.ADD and term.op is PARAMETER and self._uses[term.name] == 1 and free:
                # The nearest before it, or else the first behind it.
                biases[max([other for other in free if other < place], default=free[0])] = term
        folded = {id(term) for term in biases.values()}
        found: list[Expr] = []
        signs: list[Op] = []
        for place, (sign, term) in enumerate(terms):
            if id(term) in folded:
                continue
            part = self._of(symbol, term)
            if place in biases:
                role = Role.INPUT_BIAS if part.op is Op.INPUT_TERM else Role.RECURRENT_BIAS
                self._note(biases[place], Parameter(biases[place].name, role, (part.name,)))
            # A sum begins with a sign where a bias in front of it has gone to a product.
            found.append(Expr(Op.NEGATE, (part,)) if sign is Op.SUBTRACT and not found else part)
            signs.append(sign)
        return reduce(lambda left, right: Expr(right[0], (left, right[1])), zip(signs[1:], found[1:], strict=True), found[0])

    def _label(self, symbol: str, node: Node, role: Role) -> str:
        """What the parameter's block is called; it is noted with its role."""
        known = self._found.get(node.name)
        if known is None:
            taken = {(other.role, other.gates[0]) for other in self._found.values()}
            known = Parameter(node.name, role, (node.name if (role, symbol) in taken else symbol,))
        self._note(node, replace(known, role=role))
        return known.gates[0]

    def _note(self, node: Node, parameter: Parameter) -> None:
        first = self._first.setdefault(node.name, node.at)
        known = self._found.setdefault(node.name, parameter)
        if known.role is not parameter.role:
            own, other = (WORDS.get(role, "a bias") for role in (parameter.role, known.role))
            place = f"in line {first.line}" if first.line != node.at.line else f"in column {first.column}"
            raise self._source.wrong(node.at, f"{node.name} is {own} here, and {other} {place}: use two names")
