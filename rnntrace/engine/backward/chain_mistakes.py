"""Mistakes in the chain rule: other equations in place of an adjoint's own, read from it.

A variant and a cell of one's own have theirs too.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from rnntrace.engine.backward.calculation import Calculation, GradientMistake
from rnntrace.equations import expression as ex
from rnntrace.equations.adjoint import Adjoint, Term, adjoint, gradient, handed_on, pre_activation, previous
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Expr, Op, constant, now
from rnntrace.model.weights import Weights

Rewrite = Callable[[str, Expr], Expr]
"""Another expression for a symbol of the adjoint, or the same."""


def _of_equations(id: str, says: str, fix: str, rewrite: Rewrite) -> GradientMistake:
    """A mistake in the equations of an adjoint."""

    def steps(own: Adjoint) -> Adjoint:
        rewritten = tuple(replace(step, expression=rewrite(step.symbol, step.expression)) for step in own.cell.steps)
        return replace(own, cell=replace(own.cell, steps=rewritten))

    return _of_adjoint(id, says, fix, steps)


def _of_adjoint(id: str, says: str, fix: str, rewrite: Callable[[Adjoint], Adjoint]) -> GradientMistake:
    """A mistake in an adjoint, in its equations or in what parameters multiply."""

    def change(right: Calculation) -> Calculation | None:
        found = {direction: rewrite(own) for direction, own in right.adjoints.items()}
        return None if found == right.adjoints else replace(right, adjoints=found)

    return GradientMistake(id, says, fix, change=change, rewrite=rewrite)


def _within(part: Expr, other: Expr) -> Callable[[Expr], Expr]:
    """The expression with another one in place of a part, wherever it stands."""

    def put(expr: Expr) -> Expr:
        return other if expr == part else replace(expr, args=tuple(map(put, expr.args)))

    return put


def _without(expr: Expr, is_dropped: Callable[[Expr], bool]) -> Expr:
    """A sum without some of its summands; 0 times what is left where there is nothing else."""
    if expr.op is not Op.ADD:
        return expr
    kept = [arg for arg in expr.args if not is_dropped(arg)]
    parts = [_without(arg, is_dropped) for arg in kept]
    return parts[0] + parts[1] if len(parts) == 2 else parts[0] if parts else expr.args[0] * constant(0)


def flow_mistakes(cell: Cell) -> Iterator[GradientMistake]:
    """What goes back from step to step."""
    kind = cell.slug

    def entry(name: str, says: str, fix: str, rewrite: Rewrite) -> GradientMistake:
        return _of_equations(f"{kind}.flow.{name}", says, fix, rewrite)

    for state in cell.states:
        carried, own = ex.before(handed_on(state)), gradient(state)
        yield entry(
            f"{state}-not-carried",
            f"∂{state} of a step lacks what the step after hands back",
            f"∂L/∂{state}_t = what comes from outside + what step t + 1 hands on: add both",
            lambda symbol, e, own=own, carried=carried: _without(e, lambda arg: arg == carried) if symbol == own else e,  # type: ignore[misc]
        )
    yield GradientMistake(
        f"{kind}.flow.output-at-last-step-alone",
        "∂L/∂output enters at the last step alone",
        "add ∂L/∂output_t at every step, and not at t = T alone",
        change=_last_step_alone,
    )
    for gate in cell.gates if len(cell.gates) > 1 else ():
        yield entry(
            f"{gate}-not-handed-back",
            f"the state before gets nothing back through {gate}",
            f"add W_h{gate}ᵀ·∂a_{gate} to what goes back to the step before",
            lambda symbol, e, gate=gate: (
                _without(e, lambda arg: arg.op is Op.TRANSPOSED and arg.name == gate)  # type: ignore[misc]
                if symbol.endswith(".before")
                else e
            ),
        )
    yield GradientMistake(
        f"{kind}.flow.untransposed",
        "∂a is multiplied by W_hh and not by its transpose on its way back",
        "∂L/∂h_{t-1} = Σ W_hᵀ·∂a: transpose each gate's matrix",
        needs="a cell without a projection, and with no product inside of a gate, as a GRU has it",
        change=_untransposed,
    )
    for state in cell.states:
        yield entry(
            f"{state}-not-gated",
            f"∂{state} is handed back whole, without the gate that it went through",
            f"multiply what goes back to {state} of the step before by the gate that let it through",
            lambda symbol, e, state=state: _ungated(e, state) if symbol == handed_on(state) else e,  # type: ignore[misc]
        )


def _ungated(expr: Expr, state: str) -> Expr:
    """∂c · f as ∂c."""
    if expr.op is Op.MULTIPLY and expr.args[0] == now(gradient(state)):
        return expr.args[0]
    return replace(expr, args=tuple(_ungated(arg, state) for arg in expr.args)) if expr.op is Op.ADD else expr


def _last_step_alone(right: Calculation) -> Calculation | None:
    output = right.loss.get("output")
    if output is None:
        return None
    last = right.trace.inputs.ends - 1
    kept = np.zeros_like(output)
    items = np.arange(len(last))
    kept[last, items] = output[last, items]
    return None if np.array_equal(kept, output) else replace(right, loss={**right.loss, "output": kept})


def _untransposed(right: Calculation) -> Calculation | None:
    # In an adjoint that multiplies by the matrix itself too, only one of both would be wrong.
    parts = [part for own in right.adjoints.values() for step in own.cell.steps for part in step.expression.walk()]
    if right.trace.spec.proj_size or any(part.op is Op.RECURRENT_TERM for part in parts):
        return None
    columns = {
        column: own.replaced(**{name: np.swapaxes(array, 1, 2) for name, array in own.arrays.items() if name == "W_hh"})
        for column, own in right.weights.columns.items()
    }
    return replace(right, weights=Weights(columns))


def slope_mistakes(cell: Cell) -> Iterator[GradientMistake]:
    """Derivatives of activations."""
    kind, own = cell.slug, adjoint(cell).cell
    gates = [symbol for symbol in cell.symbols if pre_activation(symbol) in own.symbols]
    for names in [*((gate,) for gate in gates), *([tuple(gates)] if len(gates) > 1 else [])]:
        which, name = f"of {names[0]}" if len(names) == 1 else "of every gate", names[0] if len(names) == 1 else "all"
        wanted = {pre_activation(gate) for gate in names}

        def left_out(symbol: str, e: Expr, wanted: set[str] = wanted) -> Expr:
            return e.args[0] if symbol in wanted and e.op is Op.MULTIPLY else e

        def of_value(symbol: str, e: Expr, wanted: set[str] = wanted) -> Expr:
            return e.args[0] * _slope_at_value(e.args[1]) if symbol in wanted and e.op is Op.MULTIPLY else e

        yield _of_equations(
            f"{kind}.slope.{name}-left-out",
            f"the slope of the activation {which} is left out",
            "multiply by it: f (1 - f) for a sigmoid, 1 - g² for tanh",
            left_out,
        )
        yield _of_equations(
            f"{kind}.slope.{name}-of-the-value",
            f"the slope of the activation {which} is taken at its value, as if f were activated again",
            "f is σ(a) already: the slope is f (1 - f), and not σ(f) (1 - σ(f))",
            of_value,
        )
    exchanged = {Op.SIGMOID: Op.TANH, Op.TANH: Op.SIGMOID}
    for gate in gates:
        op = next(step.expression.op for step in cell.steps if step.symbol == gate)
        if op in exchanged:
            y = now(gate)
            slope = 1 - y * y if op is Op.SIGMOID else y * (1 - y)
            yield _of_equations(
                f"{kind}.slope.{gate}-of-{exchanged[op]}",
                f"the slope of {gate} is that of {exchanged[op]}, and its activation is {op}",
                "f (1 - f) for a sigmoid, 1 - g² for tanh",
                lambda symbol, e, gate=gate, slope=slope: (
                    e.args[0] * slope  # type: ignore[misc]
                    if symbol == pre_activation(gate) and e.op is Op.MULTIPLY
                    else e
                ),
            )
    for state in cell.states:
        squashed = ex.tanh(now(state))
        slope = 1 - squashed * squashed
        for name, says, other in (
            ("left-out", f"the slope of tanh({state}) is left out", constant(1)),
            ("of-the-state", f"the slope of tanh({state}) is 1 - {state}²", 1 - now(state) * now(state)),
            ("twice", f"the slope of tanh({state}) is taken of tanh(tanh({state}))", 1 - ex.tanh(squashed) * ex.tanh(squashed)),
        ):
            yield _of_equations(
                f"{kind}.slope.{state}-{name}",
                says,
                f"it is 1 - tanh²({state}), of {state} as it is after the step",
                lambda symbol, e, slope=slope, other=other: _within(slope, other)(e),  # type: ignore[misc]
            )


def _slope_at_value(slope: Expr) -> Expr:
    """y (1 - y) and 1 - y² with the curve taken of y once more."""
    match slope.op:
        case Op.MULTIPLY if slope.args[1] == 1 - slope.args[0]:
            again = ex.sigmoid(slope.args[0])
            return again * (1 - again)
        case Op.SUBTRACT if slope.args[1].op is Op.MULTIPLY:
            again = ex.tanh(slope.args[1].args[0])
            return 1 - again * again
    return slope


def step_mistakes(cell: Cell) -> Iterator[GradientMistake]:
    """A state of this step for that of the step before, and gates of a GRU."""
    kind = cell.slug
    for state in cell.states:
        before, here = now(previous(state)), now(state)
        yield _of_equations(
            f"{kind}.step.{state}-of-this-step",
            f"{state} of this step stands in gates' gradients where that of the step before belongs",
            f"the forward pass reads {state}_(t-1) there, and so does its derivative",
            lambda symbol, e, before=before, here=here: _within(before, here)(e),  # type: ignore[misc]
        )
        yield _of_adjoint(
            f"{kind}.step.{state}-of-this-step-in-dW",
            f"gradients of the matrix on {state} multiply by {state} of this step",
            f"dW = Σ ∂a_t · {state}_(t-1): shift the states by one, beginning with {state}0",
            lambda own, before=before, here=here: _terms(own, before, here),  # type: ignore[misc]
        )
    for gate in ("z", "r") if {"z", "r"} <= set(cell.symbols) else ():
        inverted = 1 - now(gate)
        yield _of_equations(
            f"{kind}.step.{gate}-inverted",
            f"1 - {gate} and {gate} are exchanged where gradients go through",
            "h = (1 - z) ⊙ n + z ⊙ h_(t-1): ∂n gets 1 - z, the state before z",
            lambda symbol, e, gate=gate, inverted=inverted: (
                e  # type: ignore[misc]
                if symbol == pre_activation(gate)
                else _within(now(gate), inverted)(e)
            ),
        )
    if any(step.symbol.endswith(".recurrent") for step in adjoint(cell).cell.steps):
        yield _of_equations(
            f"{kind}.step.reset-left-out",
            "the recurrent term of the candidate gets its gradient without the reset gate",
            "n = tanh(… + r ⊙ (W_hn h + b_hn)): its gradient is r ⊙ ∂a_n",
            lambda symbol, e: e.args[0] if symbol.endswith(".recurrent") and e.op is Op.MULTIPLY else e,
        )


def _terms(own: Adjoint, before: Expr, here: Expr) -> Adjoint:
    """The adjoint whose matrices on a state multiply by another one."""

    def other(term: Term) -> Term:
        of_state = term.leaf.op is Op.RECURRENT_TERM and term.argument is not None
        return replace(term, argument=_within(before, here)(term.argument)) if of_state else term  # type: ignore[arg-type]

    return replace(own, terms=tuple(map(other, own.terms)))
