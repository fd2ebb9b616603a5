"""Writes the program of a cell: what stands in its three parts, and which lines do for several gates at once."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from rnntrace.engine.replay.evaluate import alike, schedule
from rnntrace.engine.replay.naming import names_of, renamed
from rnntrace.engine.replay.program import FUNCTIONS, Program
from rnntrace.equations.cell import Cell, Step
from rnntrace.equations.expression import CURVES, Expr, Op
from rnntrace.equations.parameters import TERMS, Role, find


@lru_cache(maxsize=512)
def compiled(cell: Cell, known: tuple[str, ...], widths: tuple[int, int], *, there: tuple[str, ...], padded: bool) -> Program:
    """The program of a cell whose states `known` are given beforehand; `widths` are those of a gate and of what is projected.

    `there` are the parameters that have an array: biases may not.

    With `padded` sequences it takes `ended` (rows, 1) and leaves the states as they were where that is True.
    """
    names = names_of(cell)
    safe = renamed(cell, names)
    program = _Writer(safe, tuple(names[state] for state in known), *widths, there=there, padded=padded).program()
    symbols = {name: symbol for symbol, name in names.items()}

    def told(found: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(symbols[name] for name in found)

    return replace(
        program,
        kept={array: told(found) for array, found in program.kept.items()},
        matrices={array: told(found) for array, found in program.matrices.items()},
        transposed={array: told(found) for array, found in program.transposed.items()},
        vectors={array: (role, told(gates)) for array, (role, gates) in program.vectors.items()},
        of={name: names[name] for name in (*cell.states, *cell.given)},
    )


class _Writer:
    """Writes a program in three parts: before the loop over steps (`ahead`), inside it (`scan`), and `behind` it."""

    def __init__(
        self, cell: Cell, known: tuple[str, ...], hidden: int, output: int, *, there: tuple[str, ...], padded: bool
    ) -> None:
        self.cell, self.hidden, self.output, self.there, self.padded = cell, hidden, output, there, padded
        self.carried = [state for state in cell.states if state not in known]
        plan = schedule(cell, known)
        self.waiting = {step.symbol for step in plan.scan}
        self.groups = {"ahead": alike(plan.ahead), "scan": alike(plan.scan), "behind": alike(plan.behind)}
        computed = [step for groups in self.groups.values() for group in groups for step in group]
        parts = [part for step in computed for part in step.expression.walk()]
        # Gates in the order in which they are computed, those of one form side by side.
        first = [step.symbol for step in computed] + [part.name for part in parts]
        self.gates = tuple(sorted((gate for gate in cell.gates if gate in first), key=first.index))
        self.inputs = self._readers(Role.INPUT_MATRIX) if any(part.op is Op.INPUT_TERM for part in parts) else ()
        self.recurrent = Counter(part for part in parts if part.op is Op.RECURRENT_TERM)
        self.sums = Counter(part for part in parts if part.op is Op.ADD and part.args[1].op is Op.RECURRENT_TERM)
        self.clips = Counter(part for part in parts if part.op is Op.CLIP)
        self.curves = Counter(part for part in parts if part.op in CURVES and not self._waits(part))
        self.shared: dict[Expr, str] = {}
        self.part = "ahead"
        self.lines: dict[str, list[str]] = {part: [] for part in self.groups}
        # Arrays by name: those that lines use, those that the loop takes row by row, and those that stay as they are in it.
        self.names: dict[str, None] = {}
        self.moving: dict[str, None] = {}
        self.still = {f"{state}_before" for state in self.carried}
        self.widths: dict[str, int] = {}
        self.kept: dict[str, tuple[str, ...]] = {}
        self.columns: dict[str, tuple[str, slice]] = {}
        self.matrices: dict[str, tuple[str, ...]] = {}
        self.products: dict[Expr, str] = {}
        self.summed: set[str] = set()
        self.clipped: set[str] = set()
        self.vectors: dict[str, tuple[Role, tuple[str, ...]]] = {}
        self.transposed: dict[str, tuple[str, ...]] = {}
        # Gradients that go back together stand side by side.
        self.together: dict[str, tuple[str, ...]] = {}
        for gradients in filter(None, map(_going_back, parts)):
            if not self.together.keys() & {*gradients}:
                self.together |= dict.fromkeys(gradients, gradients)
        self.constants: dict[str, float] = {}

    def _readers(self, role: Role) -> tuple[str, ...]:
        """The gates that have a block for this role."""
        return tuple(gate for gate in self.gates if self.cell.of(role, gate))

    def program(self) -> Program:
        """Everything, in order."""
        if self.inputs:
            self._affine("x", Op.INPUT_TERM, "x", self.inputs, self._array("input", len(self.inputs) * self.hidden))
        for part, groups in self.groups.items():
            self.part = part
            for group in groups:
                self._write(group)
        if self.lines["scan"]:
            self._close_loop()
        lines = [f"    {line}" for part in self.lines.values() for line in part]
        text = "\n".join([f"def run(batch, {', '.join(self.names)}):", *lines])
        scope: dict[str, Callable[..., Any]] = dict(FUNCTIONS)
        exec(text, scope)
        return Program(
            text=text,
            run=scope["run"],
            names=tuple(self.names),
            widths=self.widths,
            kept=self.kept,
            each_step=frozenset(self.still & self.widths.keys()),
            columns=self.columns,
            matrices=self.matrices,
            transposed=self.transposed,
            vectors=self.vectors,
            constants=self.constants,
            of={state: state for state in self.cell.states},
        )

    def _close_loop(self) -> None:
        """Carry the states, and put the loop's head before its lines."""
        self.part = "scan"
        for state in self.carried:
            if self.padded:
                self._line("copyto({0}, {1}, where={2})", state, f"{state}_before", "ended")
        for state in self.carried:
            self._line("{0} = {1}", f"{state}_before", state)
        head = f"for {', '.join(f'{name}_t' for name in self.moving)}, in by_step(batch, {', '.join(self.moving)}):"
        self.lines["scan"] = [head, *(f"    {line}" for line in self.lines["scan"])]

    def _line(self, pattern: str, *names: str) -> None:
        """One line of the part that is being written; inside the loop an array of the block is its rows of one step."""
        self.names |= dict.fromkeys(names)
        if self.part == "scan":
            moving = [name for name in names if self.columns.get(name, (name,))[0] not in self.still]
            self.moving |= dict.fromkeys(moving)
            names = tuple(f"{name}_t" if name in moving else name for name in names)
        self.lines[self.part].append(pattern.format(*names))

    def _write(self, group: tuple[Step, ...]) -> None:
        """Steps of one form: the expression of the first, whose own gate stands for all of theirs."""
        self.group = tuple(step.symbol for step in group)
        expr, kept = group[0].expression, "_".join(self.group)
        together = self.together.get(self.group[0], self.group)
        array = "_".join(together)
        self.kept[array], self.widths[array] = together, self._width(expr) // len(self.group) * len(together)
        for symbol in together:
            self._part_of(array, together, (symbol,), symbol)
        value = self._value(expr, kept)
        if value != kept:
            self._line("copyto({0}, {1})", kept, value)

    def _value(self, expr: Expr, out: str = "") -> str:
        """The name of the value, once the lines that compute it are written: `out` or a new array where operators do."""
        if self.curves[expr] > 1:
            # Several read it: it has an array of its own.
            if expr in self.shared:
                return self.shared[expr]
            out = ""
        if self.part == "scan" and expr.args and not self._waits(expr):
            self.part = "ahead"
            # An array for one step holds no block.
            value = self._value(expr, "" if out in self.still else out)
            self.part = "scan"
            return value
        match expr.op:
            case Op.INPUT:
                return "x"
            case Op.SHIFT:
                return self._vector(expr, self._own(expr))
            case Op.NOW:
                return expr.name
            case Op.BEFORE:
                return f"{expr.name}_before"
            case Op.CONSTANT:
                name = f"constant_{len(self.constants)}"
                self.constants[name] = expr.value
                self.still.add(name)
                return name
            case Op.INPUT_TERM:
                return self._part_of("input", self.inputs, self._own(expr))
            case Op.RECURRENT_TERM:
                product, gates = self._product(*expr.args)
                return self._part_of(product, gates, self._own(expr))
        if self._is_only_summed(expr):
            return self._sum_of_terms(expr.args[1])
        if expr.op is Op.CLIP and self._is_only_summed(expr.args[0]) and self._is_only_clipped(expr):
            return self._clip_of_terms(expr)
        out = out or self._array(f"part_{len(self.widths)}", self._width(expr))
        if (gradients := _going_back(expr)) and len(gradients) in (1, len(self.together[gradients[0]])):
            self._go_back(expr, gradients, out)
            return out
        if expr.op is Op.PROJECTION:
            self.still.add("W_r")
            self._line("{0}.dot({1}, {2})", self._value(expr.args[0]), "W_r", out)
            return out
        if expr.op in (Op.DIAGONAL, Op.GAIN):
            self._weigh(expr, out)
            return out
        if expr.op in (Op.LAYER_NORM, Op.NORM_SLOPE):
            args = [self._value(arg) for arg in expr.args]
            self._line(f"{expr.op.value}({', '.join('{}' for _ in args)}, {{}}, {self.hidden})", *args, out)
            return out
        args = []
        for arg in expr.args:
            free = out not in args and self._width(arg) == self._width(expr)
            args.append(self._value(arg, out if free else ""))
        self._line(f"{expr.op.value}({', '.join('{}' for _ in args)}, {{}})", *args, out)
        if self.curves[expr] > 1:
            self.shared[expr] = out
        return out

    def _go_back(self, expr: Expr, gradients: tuple[str, ...], out: str) -> None:
        """The product of gradients with transposed matrices, of all gates at once."""
        gates = tuple(part.name for part in expr.walk() if part.op is Op.TRANSPOSED)
        name = f"V_{len(self.transposed) + 1}"
        self.transposed[name] = tuple(filter(None, gates))
        self.still.add(name)
        self._line("{0}.dot({1}, {2})", "_".join(gradients), name, out)

    def _weigh(self, expr: Expr, out: str) -> None:
        """The product with a weight for each unit; a quantity that several gates weigh is multiplied once for each."""
        (arg,), own = expr.args, self._own(expr)
        if self._width(arg) == self._width(expr):
            self._line("multiply({0}, {1}, {2})", self._value(arg, out), self._vector(expr, own), out)
            return
        value = self._value(arg)
        for gate in own:
            self._line("multiply({0}, {1}, {2})", value, self._vector(expr, (gate,)), self._part_of(out, own, (gate,)))

    def _vector(self, leaf: Expr, gates: tuple[str, ...]) -> str:
        """The weights for each unit that a leaf reads for these gates."""
        name = f"{leaf.op.value}_{'_'.join(gates)}"
        self.vectors[name] = TERMS[leaf.op][0], gates
        self.still.add(name)
        return name

    def _waits(self, expr: Expr) -> bool:
        """Whether anything of it is known only when the step before is."""
        return any(
            (leaf.op is Op.BEFORE and leaf.name in self.carried) or (leaf.op is Op.NOW and leaf.name in self.waiting)
            for leaf in expr.walk()
        )

    def _own(self, term: Expr) -> tuple[str, ...]:
        """The gates that a term stands for."""
        return self.group if term.name == self.group[0] else (term.name,)

    def _product(self, argument: Expr) -> tuple[str, tuple[str, ...]]:
        """One product for all gates that multiply the same, and which gates these are."""
        readers = {part.name for part in self.recurrent if part.args == (argument,)}
        gates = tuple(gate for gate in self.gates if gate in readers)
        if argument not in self.products:
            value = self._value(argument)
            number = f"_{len(self.products) + 1}" if self.products else ""
            self.products[argument] = self._array(f"recurrent{number}", len(gates) * self.hidden)
            self._affine(value, Op.RECURRENT_TERM, f"h{number}", gates, self.products[argument])
        return self.products[argument], gates

    def _sum_of_terms(self, term: Expr) -> str:
        """What a gate sees of the input and of the state before, added for all gates at once where none needs them apart."""
        product, gates = self._product(*term.args)
        if product not in self.summed:
            self.summed.add(product)
            self._line("add({0}, {1}, {1})", self._part_of("input", self.inputs, gates), product)
        return self._part_of(product, gates, self._own(term))

    def _is_only_summed(self, expr: Expr) -> bool:
        """Whether this adds a gate's two terms, as does every gate that multiplies the same; their input terms lie together."""
        if expr.op is not Op.ADD or expr.args[1].op is not Op.RECURRENT_TERM:
            return False
        sums = {
            Expr(Op.ADD, (Expr(Op.INPUT_TERM, name=term.name), term)): count
            for term, count in self.recurrent.items()
            if term.args == expr.args[1].args
        }
        gates = tuple(gate for gate in self.gates if any(each.args[1].name == gate for each in sums))
        together = any(self.inputs[k : k + len(gates)] == gates for k in range(len(self.inputs)))
        return together and expr in sums and all(self.sums[each] >= count for each, count in sums.items())

    def _is_only_clipped(self, expr: Expr) -> bool:
        """Whether every gate that multiplies the same has its sum cut off at the same numbers."""
        sums = [each for each in self.sums if each.args[1].args == expr.args[0].args[1].args]
        return all(self.clips[replace(expr, args=(each, *expr.args[1:]))] == self.sums[each] for each in sums)

    def _clip_of_terms(self, expr: Expr) -> str:
        """The sums of terms, cut off for all gates at once."""
        term = expr.args[0].args[1]
        value = self._sum_of_terms(term)
        product, _ = self._product(*term.args)
        if product not in self.clipped:
            self.clipped.add(product)
            self._line("clip({0}, {1}, {2}, {0})", product, *map(self._value, expr.args[1:]))
        return value

    def _affine(self, value: str, op: Op, suffix: str, gates: tuple[str, ...], out: str) -> None:
        """The product of a value with a matrix, and its bias."""
        matrix, bias = f"W_{suffix}", f"b_{suffix}"
        self.matrices[suffix] = gates
        self.still |= {matrix, bias}
        self._line("{0}.dot({1}, {2})", value, matrix, out)
        found = [find(self.cell.parameters, TERMS[op][1], gate) for gate in gates]
        if any(parameter is not None and parameter.name in self.there for parameter in found):
            self._line("add({0}, {1}, {0})", out, bias)

    def _array(self, name: str, width: int) -> str:
        """A new array to work in, with rows for the block or, in the loop, for one step."""
        self.widths[name] = width
        if self.part == "scan":
            self.still.add(name)
        return name

    def _part_of(self, array: str, gates: tuple[str, ...], wanted: tuple[str, ...], name: str = "") -> str:
        """The columns of an array that belong to some of its gates, which stand side by side."""
        if wanted == gates:
            return array
        first = gates.index(wanted[0]) * self.hidden
        name = name or f"{array}_{'_'.join(wanted)}"
        self.columns[name] = (array, slice(first, first + len(wanted) * self.hidden))
        return name

    def _width(self, expr: Expr) -> int:
        match expr.op:
            case Op.INPUT:
                return self.hidden
            case Op.NOW | Op.BEFORE:
                return self.output if self.cell.size(expr.name) == "R" else self.hidden
            case Op.INPUT_TERM | Op.RECURRENT_TERM | Op.DIAGONAL | Op.GAIN | Op.SHIFT:
                return len(self._own(expr)) * self.hidden
            case Op.PROJECTION:
                return self.output
            case Op.TRANSPOSED:
                return self.output if expr.name else self.hidden
        return max((self._width(arg) for arg in expr.args), default=1)


def _going_back(expr: Expr) -> tuple[str, ...]:
    """The gradients in a sum of products with transposed matrices, and nothing else; none if it is another expression."""
    if expr.op is Op.TRANSPOSED:
        return (expr.args[0].name,) if expr.args[0].op is Op.NOW else ()
    if expr.op is Op.ADD:
        parts = [_going_back(arg) for arg in expr.args]
        return sum(parts, ()) if all(parts) else ()
    return ()
