"""What a cell is: its gates, states, parameters and the equations of a step, and what they must be to be computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rnntrace.equations.expression import Expr, Op
from rnntrace.equations.parameters import BIASES, TERMS, Parameter, Role, find, read_by, torch_parameters
from rnntrace.errors import SpecError, show


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a cell: `symbol` at time t is `expression`; `role` is its name in words."""

    symbol: str
    role: str
    expression: Expr


@dataclass(frozen=True, slots=True)
class Cell:
    """A recurrent cell.

    `gates` are the blocks of its parameters in canonical order, `states` what is carried from step to step: as many as there
    are, of which h, or the only one, is the output. `steps` are the equations in the order in which they can be computed,
    `parameters` what the steps read; left out, they have torch's names. `kind` names the cell in messages. `given` are
    sequences that are known before the first step and read like quantities of a step, and `narrow` are the symbols of the
    size of the output that no projection computes: an adjoint has some of both. Raises SpecError for a declaration that
    cannot be computed.
    """

    kind: str
    title: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    steps: tuple[Step, ...] = field(repr=False)
    parameters: tuple[Parameter, ...] = field(default=(), repr=False)
    given: tuple[str, ...] = field(default=(), repr=False)
    narrow: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.parameters:
            object.__setattr__(self, "parameters", torch_parameters([step.expression for step in self.steps], self.gates))
        for complaint in self._complaints():
            raise SpecError(show(f"the cell {self.title} {complaint}"))

    def _complaints(self) -> Iterator[str]:
        if not all((*self.gates, *self.symbols)):
            yield "has a gate or a quantity without a name"
        yield from self._of_parameters()
        yield from self._of_steps()

    def _of_parameters(self) -> Iterator[str]:
        gates = ", ".join(self.gates)
        for number, parameter in enumerate(self.parameters):
            own = ", ".join(parameter.gates) or "none"
            if parameter.name in ("", *(other.name for other in self.parameters[:number])):
                yield f"has parameters without a name or of one name, {parameter.name!r}"
            if not set(parameter.gates) <= set(self.gates) or (own == "none") != (parameter.role is Role.PROJECTION):
                yield f"has gates {gates}, and its {parameter.name} blocks for {own}"
        for role, readers in read_by([step.expression for step in self.steps], self.gates):
            for gate in () if role in BIASES else readers or ("",):
                if self.of(role, gate) is None:
                    yield f"has no {role}" + (f" for {gate}" if gate else "")

    def _of_steps(self) -> Iterator[str]:
        done: set[str] = {*self.given}
        for step in self.steps:
            for leaf in step.expression.walk():
                if leaf.op is Op.NOW and leaf.name not in done:
                    yield f"reads {leaf.name} of this step for {step.symbol}, before it is computed"
                if leaf.op in TERMS and leaf.op is not Op.PROJECTION and leaf.name not in self.gates:
                    yield f"reads the weights of {leaf.name}, and its gates are {', '.join(self.gates)}"
                if leaf.op is Op.BEFORE and leaf.name not in self.states:
                    yield f"reads {leaf.name} of the step before for {step.symbol}, and its states are {', '.join(self.states)}"
            if step.symbol in done:
                yield f"computes {step.symbol} twice"
            done.add(step.symbol)
        for symbol in self.symbols:
            if symbol == "output" or symbol.endswith("_n"):
                yield f"computes {symbol}, a name that belongs to what a module returns: choose another one"
        for state in self.states:
            if state not in done:
                yield f"has a state {state}, and no step computes it"
        if not self.states:
            yield "has no state, and so no output"
        if len(self.states) > 1 and "h" not in self.states and not self.given:
            yield f"has states {listed(self.states)} and no h: name its output h"

    @property
    def output(self) -> str:
        """The state that a layer gives to the one above: h, or the only one."""
        return "h" if "h" in self.states else self.states[0]

    @property
    def slug(self) -> str:
        """Its kind as it stands in the names of mistakes: small letters and digits."""
        return "".join(letter for letter in self.kind.lower() if letter.isalnum())

    def of(self, role: Role, gate: str = "") -> Parameter | None:
        """The parameter that plays this role for the gate, if there is one."""
        return find(self.parameters, role, gate)

    def size(self, symbol: str) -> str:
        """The named size of a quantity: R of what is projected, else H."""
        if symbol in self.narrow:
            return "R"
        return "R" if any(step.symbol == symbol and step.expression.op is Op.PROJECTION for step in self.steps) else "H"

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every quantity of a step, in the order of computation."""
        return tuple(step.symbol for step in self.steps)

    @property
    def sigmoids(self) -> tuple[str, ...]:
        """The gates from 0 to 1; every other quantity has a sign."""
        return tuple(step.symbol for step in self.steps if step.expression.op in (Op.SIGMOID, Op.HARD_SIGMOID))

    @property
    def roles(self) -> dict[str, str]:
        """The name in words of each symbol."""
        return {step.symbol: step.role for step in self.steps}


def listed(names: Sequence[str]) -> str:
    """`c, n and m`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
