"""A cell of one's own as a text, one equation a line.

    f = σ(W_f x + U_f h[t-1] + b_f)              # forget gate
    n = tanh(W_n x + U_n (f ⊙ h[t-1]) + b_n)     # candidate
    h = (1 - f) ⊙ h[t-1] + f ⊙ n

What is read at t - 1 are the states; a name that no equation computes is a parameter, whose role and shape follow from where
it stands: a matrix before a vector, a weight for each unit beside ⊙, a bias as a summand. Nothing of a text is ever run: it is
read by the grammar below.

    sum      = [-] product {(+ | -) product}
    product  = factor {[* | ⊙ | /] factor}
    factor   = atom [[@] factor]                      a parameter is a matrix on the factor behind it
    atom     = number | name | function ( sum {, sum} ) | ( sum ) | "|" sum "|" | - factor
"""

import operator
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from math import isfinite

from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import ARGUMENTS, Op
from rnntrace.equations.inferred import MATRIX, PARAMETER, Inferred, Node
from rnntrace.equations.tokens import CellText, Line, Word
from rnntrace.errors import SpecError, show

FUNCTIONS: dict[str, tuple[Op, tuple[float, ...]]] = {
    **dict.fromkeys(("σ", "sigmoid"), (Op.SIGMOID, ())),
    "tanh": (Op.TANH, ()),
    **dict.fromkeys(("relu", "ReLU"), (Op.RELU, ())),
    "exp": (Op.EXP, ()),
    "abs": (Op.ABS, ()),
    "max": (Op.MAXIMUM, ()),
    "min": (Op.MINIMUM, ()),
    "clip": (Op.CLIP, ()),
    "softplus": (Op.SOFTPLUS, ()),
    "softsign": (Op.SOFTSIGN, ()),
    "hard_sigmoid": (Op.HARD_SIGMOID, (0.2, 0.5)),
    **dict.fromkeys(("elu", "ELU"), (Op.ELU, (1.0,))),
    **dict.fromkeys(("leaky_relu", "LeakyReLU"), (Op.LEAKY_RELU, (0.01,))),
    **dict.fromkeys(("thresholded_relu", "ThresholdedReLU"), (Op.THRESHOLDED_RELU, (1.0,))),
    **dict.fromkeys(("layer_norm", "LN"), (Op.LAYER_NORM, ())),
}
"""What a text may call, and the numbers that may be left out at the end."""
NUMBERED = (Op.CLIP, Op.HARD_SIGMOID, Op.ELU, Op.LEAKY_RELU, Op.THRESHOLDED_RELU)
"""Functions whose arguments behind the first are numbers."""
ARITHMETIC: dict[Op, Callable[..., float]] = {
    Op.ADD: operator.add,
    Op.SUBTRACT: operator.sub,
    Op.MULTIPLY: operator.mul,
    Op.DIVIDE: operator.truediv,
    Op.NEGATE: operator.neg,
}
DEEPEST = 40
"""Brackets inside one another."""
ROLES = {"h": "hidden state", "c": "cell state"}


def parse(text: str, name: str = "cell") -> Cell:
    """The cell that a text declares; `name` is what messages call it, and without what follows a point the cell's kind.

    Raises SpecError, with line and column, for what is no such text.
    """
    source = CellText(name)
    lines = list(source.lines(text))
    if not lines:
        raise SpecError(f"{show(name)}: a cell is at least one equation, such as h = tanh(W x + U h[t-1]), and there is none")
    symbols: dict[str, Word] = {}
    for line in lines:
        word = line.words[0]
        if word.kind != "name" or word.step == "before" or line.words[1].text != "=":
            raise source.wrong(word, "expected an equation, such as f = σ(W_f x + U_f h[t-1])")
        symbol = word.text.removesuffix("_t")
        if symbol in FUNCTIONS or symbol == "x":
            raise source.wrong(word, f"{symbol} is {'the input' if symbol == 'x' else 'a function'}: call it otherwise")
        if symbol in symbols:
            raise source.wrong(word, f"{symbol} is computed twice, first in line {symbols[symbol].line}")
        symbols[symbol] = word
    equations: dict[str, Node] = {}
    for symbol, line in zip(symbols, lines, strict=True):
        equations[symbol] = _Equation(source, line, symbols, tuple(equations)).node()
    return _declared(source, symbols, equations, lines)


def _declared(source: CellText, symbols: dict[str, Word], equations: dict[str, Node], lines: Sequence[Line]) -> Cell:
    inferred = Inferred(source)
    for node in equations.values():
        inferred.count(node)
    expressions = {symbol: inferred.expression(symbol, node) for symbol, node in equations.items()}
    parts = [part for expression in expressions.values() for part in expression.walk()]
    states = list(dict.fromkeys(part.name for part in parts if part.op is Op.BEFORE))
    if not states:
        raise SpecError(f"{show(source.name)}: nothing is read of the step before, such as h[t-1]: it is no recurrent cell")
    if "h" in symbols:
        # The output, whether the next step reads it or not.
        states = ["h", *(state for state in states if state != "h")]
    elif len(states) > 1:
        raise SpecError(f"{show(source.name)}: the states are {', '.join(states)}, and none is called h: call the output h")
    kind = source.name.rpartition("/")[2].partition(".")[0] or "cell"
    steps = []
    for (symbol, expression), line in zip(expressions.items(), lines, strict=True):
        usual = ROLES.get(symbol, f"state {symbol}") if symbol in states else "gate" if expression.op is Op.SIGMOID else symbol
        steps.append(Step(symbol, line.comment or usual, expression))
    try:
        return Cell(kind, kind, inferred.gates, tuple(states), tuple(steps), inferred.parameters)
    except SpecError as error:
        raise SpecError(f"{show(source.name)}: {error}") from None


class _Equation:
    """Reads the right side of one equation."""

    def __init__(self, source: CellText, line: Line, symbols: dict[str, Word], computed: Sequence[str]) -> None:
        self.source, self.words, self.symbols, self.computed = source, line.words, symbols, computed
        self.place, self.depth = 2, 0

    @property
    def word(self) -> Word:
        return self.words[self.place]

    def node(self) -> Node:
        """The whole of it."""
        found = self._sum()
        if self.word.kind != "end":
            raise self._unexpected("an end of the line or a sign")
        return found

    def _unexpected(self, wanted: str) -> SpecError:
        return self.source.wrong(self.word, f"expected {wanted}, and found {show(self.word.text)}")

    def _take(self, *signs: str) -> Word | None:
        word = self.word
        if word.kind == "sign" and word.text in signs:
            self.place += 1
            return word
        return None

    def _sum(self) -> Node:
        found = self._product()
        while sign := self._take("+", "-"):
            found = self._made(Op.ADD if sign.text == "+" else Op.SUBTRACT, sign, found, self._product())
        return found

    def _product(self) -> Node:
        if sign := self._take("-"):
            return self._made(Op.NEGATE, sign, self._product())
        found = self._factor()
        while True:
            sign = self._take("*", "/")
            if sign is None and not self._begins():
                return found
            op = Op.DIVIDE if sign and sign.text == "/" else Op.MULTIPLY
            found = self._made(op, sign or self.word, found, self._factor())

    def _begins(self) -> bool:
        """Whether a factor begins here; one between bars needs a sign before it."""
        return self.word.kind in ("name", "number") or self.word.text == "("

    def _factor(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.source.wrong(self.word, f"more than {DEEPEST} brackets or products inside one another")
        word, found = self.word, self._atom()
        if self._take("@") or (found.op is PARAMETER and self._begins()):
            if found.op is not PARAMETER:
                raise self.source.wrong(word, "only a parameter is a matrix: expected such as W_f x")
            other = self._factor()
            if other.op is PARAMETER or other.op is Op.CONSTANT:
                raise self.source.wrong(other.at, f"{found.name} is a matrix here, and {other.at.text} no quantity: use ⊙ or +")
            found = Node(MATRIX, word, (other,), found.name)
        self.depth -= 1
        return found

    def _atom(self) -> Node:
        word = self.word
        if self._take("-"):
            return self._made(Op.NEGATE, word, self._factor())
        if self._take("("):
            found = self._sum()
            if not self._take(")"):
                raise self._unexpected("a closing bracket")
            return found
        if self._take("|"):
            found = self._sum()
            if not self._take("|"):
                raise self._unexpected("a closing |")
            return Node(Op.ABS, word, (found,))
        if word.kind not in ("name", "number"):
            raise self._unexpected("a name, a number or a bracket")
        self.place += 1
        if word.kind == "number":
            return self._number(word, float(word.text))
        if word.text in FUNCTIONS and not word.step:
            return self._call(word)
        self._check_called(word)
        return self._name(word)

    def _check_called(self, word: Word) -> None:
        """Raises SpecError for what looks like a function, and is none: as a parameter it would be a matrix."""
        touches = self.word.text == "(" and self.word.column == word.column + len(word.text)
        if touches and word.text not in self.symbols and (near := get_close_matches(word.text, FUNCTIONS, 1, 0.7)):
            raise self.source.wrong(
                word, f"unknown function {word.text}: did you mean {near[0]}? A matrix has a blank behind it"
            )

    def _number(self, at: Word, value: float) -> Node:
        if not isfinite(value):
            raise self.source.wrong(at, "this is no finite number")
        return Node(Op.CONSTANT, at, value=value)

    def _made(self, op: Op, at: Word, *args: Node) -> Node:
        """An operator on its arguments; a number where all of these are numbers."""
        if any(arg.op is not Op.CONSTANT for arg in args):
            return Node(op, at, args)
        values = [arg.value for arg in args]
        if op is Op.DIVIDE and not values[1]:
            raise self.source.wrong(at, "this divides by zero")
        return self._number(at, ARITHMETIC[op](*values))

    def _name(self, word: Word) -> Node:
        name, step = word.text, word.step
        if not step and name.endswith("_t") and (name[:-2] in self.symbols or name == "x_t"):
            name, step = name[:-2], "now"
        if name == "x":
            if step == "before":
                raise self.source.wrong(word, "x is read at this step alone: hold it as a state of its own, such as p = x")
            return Node(Op.INPUT, word)
        if step == "before":
            if name not in self.symbols:
                raise self.source.wrong(word, f"{name} of the step before is read, and no equation computes {name}")
            return Node(Op.BEFORE, word, name=name)
        if name in self.computed:
            return Node(Op.NOW, word, name=name)
        if name in self.symbols:
            where = f"line {self.symbols[name].line} computes it"
            raise self.source.wrong(word, f"{name} of this step is read before {where}: write {name}[t-1], or move the line up")
        if step:
            raise self.source.wrong(word, f"{name} of this step is read, and no equation computes it")
        return Node(PARAMETER, word, name=name)

    def _call(self, word: Word) -> Node:
        op, defaults = FUNCTIONS[word.text]
        if not self._take("("):
            raise self._unexpected(f"a bracket behind {word.text}")
        args = [self._sum()]
        while self._take(","):
            args.append(self._sum())
        if not self._take(")"):
            raise self._unexpected("a comma or a closing bracket")
        wanted = ARGUMENTS.get(op, 1)
        missing = wanted - len(args)
        args += [Node(Op.CONSTANT, word, value=value) for value in defaults[len(defaults) - missing :] if missing > 0]
        if len(args) != wanted:
            raise self.source.wrong(word, f"{word.text} takes {wanted} argument{'s' * (wanted > 1)}, and has {len(args)}")
        for arg in args[1:] if op in NUMBERED else ():
            if arg.op is not Op.CONSTANT:
                raise self.source.wrong(arg.at, f"{word.text} takes numbers behind its first argument")
        return Node(op, word, tuple(args))
