"""Parameters: what a cell multiplies by and adds, each declared with its role and the gates it has blocks for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rnntrace.equations.expression import Expr, Op


class Role(StrEnum):
    """What a parameter is in the equations."""

    INPUT_MATRIX = "matrix on x"
    RECURRENT_MATRIX = "matrix on a state"
    INPUT_BIAS = "bias beside x"
    RECURRENT_BIAS = "bias beside a state"
    DIAGONAL = "diagonal"
    GAIN = "gain"
    SHIFT = "shift"
    PROJECTION = "projection"


SHAPES = {
    Role.INPUT_MATRIX: ("G", "H", "I"),
    Role.RECURRENT_MATRIX: ("G", "H", "R"),
    Role.INPUT_BIAS: ("G", "H"),
    Role.RECURRENT_BIAS: ("G", "H"),
    Role.DIAGONAL: ("G", "H"),
    Role.GAIN: ("G", "H"),
    Role.SHIFT: ("G", "H"),
    Role.PROJECTION: ("R", "H"),
}
"""In named sizes: G gates, H the hidden size, I that of the input, R that of the hidden state h."""
BIASES = (Role.INPUT_BIAS, Role.RECURRENT_BIAS)
TERMS = {
    Op.INPUT_TERM: (Role.INPUT_MATRIX, Role.INPUT_BIAS),
    Op.RECURRENT_TERM: (Role.RECURRENT_MATRIX, Role.RECURRENT_BIAS),
    Op.DIAGONAL: (Role.DIAGONAL, None),
    Op.GAIN: (Role.GAIN, None),
    Op.SHIFT: (Role.SHIFT, None),
    Op.PROJECTION: (Role.PROJECTION, None),
}
"""By leaf: what multiplies in it, or is added by it, and the bias that may be added."""
_TORCH = {
    Role.INPUT_MATRIX: ("W_ih", "W_i"),
    Role.RECURRENT_MATRIX: ("W_hh", "W_h"),
    Role.INPUT_BIAS: ("b_ih", "b_i"),
    Role.RECURRENT_BIAS: ("b_hh", "b_h"),
    Role.DIAGONAL: ("p", "p_"),
    Role.GAIN: ("gain", "γ_"),
    Role.SHIFT: ("shift", "β_"),
    Role.PROJECTION: ("W_hr", "W_hr"),
}
"""Names as in torch's documentation; it has no diagonals, gains and shifts, whose letters are those of the papers."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One array of a cell: a block for each of its `gates`, or a projection, which has none.

    In formulas the block of gate f is called `stem` and f: `W_if`; without a stem, a parameter W has blocks W_f, and where it
    has a single one, that goes by its own name.
    """

    name: str
    role: Role
    gates: tuple[str, ...] = ()
    stem: str = ""

    @property
    def shape(self) -> tuple[str, ...]:
        """In named sizes: see SHAPES."""
        return SHAPES[self.role]

    @property
    def is_bias(self) -> bool:
        """Whether it is added, and not multiplied by."""
        return self.role in BIASES

    def block(self, gate: str = "") -> str:
        """The name of a gate's block in formulas; of a projection, its own."""
        if not self.gates or (len(self.gates) == 1 and not self.stem):
            return self.name
        return (self.stem or f"{self.name}_") + gate


def find(parameters: Sequence[Parameter], role: Role | None, gate: str) -> Parameter | None:
    """The parameter that plays this role for the gate, if there is one."""
    for found in parameters:
        if found.role is role and (gate in found.gates or not found.gates):
            return found
    return None


def read_by(expressions: Sequence[Expr], gates: Sequence[str]) -> Iterator[tuple[Role, tuple[str, ...]]]:
    """Every role that the leaves of these expressions give to parameters, and the gates they give it for."""
    leaves = {(leaf.op, leaf.name) for expression in expressions for leaf in expression.walk() if leaf.op in TERMS}
    for role in Role:
        ops = [op for op, roles in TERMS.items() if role in roles]
        names = {name for op, name in leaves if op in ops}
        if names:
            yield role, tuple(gate for gate in gates if gate in names)


def torch_parameters(expressions: Sequence[Expr], gates: Sequence[str]) -> tuple[Parameter, ...]:
    """What these expressions need, under torch's names."""
    found = {role: Parameter(_TORCH[role][0], role, own, _TORCH[role][1]) for role, own in read_by(expressions, gates)}
    return tuple(found[role] for role in _TORCH if role in found)
