"""Mistakes in the equations: another activation, a forgotten one, another variant of the cell."""

from collections.abc import Iterator
from dataclasses import replace

from rnntrace.engine.mistakes.mistake import Case, Change, Mistake
from rnntrace.equations import cells
from rnntrace.equations.cells import Cell, Step
from rnntrace.equations.expression import Expr, Op, constant, input_term, recurrent_term, relu, sigmoid, tanh

CLIPS = (1.0, 3.0, 5.0, 10.0)
"""Thresholds at which a cell state is clipped, as frameworks' defaults and examples have them."""


def equation_mistakes(cell: Cell, kind: str) -> Iterator[Mistake]:
    """All of a cell."""
    yield from _activations(cell, kind)
    if cell.kind == "LSTM":
        yield from _of_lstm(kind)
    if cell.kind == "GRU":
        yield from _of_gru(kind)


def hard_sigmoid(argument: Expr, slope: float) -> Expr:
    """min(max(slope · a + 1/2, 0), 1), from the operators that there are."""
    line = constant(slope) * argument
    return relu(line + constant(0.5)) - relu(line - constant(0.5))


def clipped(argument: Expr, limit: float) -> Expr:
    """The argument kept between -limit and limit."""
    return relu(argument + constant(limit)) - relu(argument - constant(limit)) - constant(limit)


def _activations(cell: Cell, kind: str) -> Iterator[Mistake]:
    gates = [step.symbol for step in cell.steps if step.expression.op is Op.SIGMOID]
    hard = {
        "hard-sigmoid-0.2": (0.2, "0.2·a + 0.5", ("Keras 2", "ONNX HardSigmoid")),
        "hard-sigmoid-6": (1 / 6, "a/6 + 0.5", ("Keras 3",)),
    }
    for name, (slope, formula, frameworks) in hard.items() if gates else ():
        yield Mistake(
            id=f"{kind}.activation.{name}",
            says=f"the gates were computed with the hard sigmoid {formula}, cut off at 0 and 1",
            fix="use the sigmoid 1 / (1 + exp(-a)); in Keras recurrent_activation='sigmoid'",
            change=_with(
                cell,
                **{step.symbol: hard_sigmoid(step.expression.args[0], slope) for step in cell.steps if step.symbol in gates},
            ),
            frameworks=frameworks,
        )
    names = {Op.SIGMOID: "sigmoid", Op.TANH: "tanh", Op.RELU: "relu"}
    for step in cell.steps:
        right = step.expression.op
        if right not in names:
            continue
        argument = step.expression.args[0]
        for wrong in (op for op in names if op is not right):
            yield Mistake(
                id=f"{kind}.activation.{step.symbol}-{names[wrong]}",
                says=f"{names[wrong]} was used where the {step.role} {step.symbol} has {names[right]}",
                fix=f"use {names[right]} in the {step.role}",
                change=_with(cell, **{step.symbol: Expr(wrong, (argument,))}),
            )
        yield Mistake(
            id=f"{kind}.activation.{step.symbol}-none",
            says=f"the {step.role} {step.symbol} was left without its {names[right]}",
            fix=f"apply {names[right]} in the {step.role}",
            change=_with(cell, **{step.symbol: argument}),
        )


def _of_lstm(kind: str) -> Iterator[Mistake]:
    i, f, g, o, c, c_before = cells.i, cells.f, cells.g, cells.o, cells.c, cells.c_before
    one = constant(1.0)
    variants = {
        "tanh-forgotten": ({"h": o * c}, "h was computed as o ⊙ c, without the tanh", "h = o ⊙ tanh(c)", ()),
        "h-sigmoid": ({"h": o * sigmoid(c)}, "h was computed as o ⊙ σ(c)", "h = o ⊙ tanh(c)", ()),
        "coupled-i": ({"c": f * c_before + (one - f) * g}, "the input gate was coupled: i = 1 - f", "c = f ⊙ c + i ⊙ g",
                      ("TFLite", "ONNX input_forget")),
        "coupled-f": ({"c": (one - i) * c_before + i * g}, "the forget gate was coupled: f = 1 - i", "c = f ⊙ c + i ⊙ g", ()),
        "gates-of-c-swapped": ({"c": i * c_before + f * g}, "i and f changed places in c", "c = f ⊙ c + i ⊙ g", ()),
        "forget-left-out": ({"c": c_before + i * g}, "the forget gate was left out of the cell state", "c = f ⊙ c + i ⊙ g", ()),
        "output-left-out": ({"h": tanh(c)}, "the output gate was left out", "h = o ⊙ tanh(c)", ()),
    }  # fmt: skip
    for name, (steps, says, right, frameworks) in variants.items():
        yield Mistake(
            id=f"{kind}.equation.{name}",
            says=says,
            fix=f"compute {right}",
            change=_with(cells.LSTM, **steps),
            frameworks=frameworks,
        )
    for limit in CLIPS:
        yield Mistake(
            id=f"{kind}.equation.clip-{limit:g}",
            says=f"the cell state was clipped to -{limit:g} … {limit:g}",
            fix="do not clip: torch does not",
            change=_with(cells.LSTM, c=clipped(f * c_before + i * g, limit)),
            frameworks=("TFLite", "ONNX clip"),
        )


def _of_gru(kind: str) -> Iterator[Mistake]:
    r, z, n, h_before = cells.r, cells.z, cells.n, cells.h_before
    after = tanh(input_term("n") + r * recurrent_term("n", h_before))
    before = tanh(input_term("n") + recurrent_term("n", r * h_before))
    for name, expression, does, should in (
        ("reset-before", before, "before the matrix product: W_hn (r ⊙ h)", "after it: r ⊙ (W_hn h + b_hn)"),
        ("reset-after", after, "after the matrix product: r ⊙ (W_hn h + b_hn)", "before it: W_hn (r ⊙ h)"),
    ):
        yield Mistake(
            id=f"{kind}.equation.{name}",
            says=f"the reset gate acted {does}",
            fix=f"let it act {should}; in Keras that is reset_after, in ONNX linear_before_reset",
            # What a cell does already is no mistake.
            change=_with(cells.GRU, n=expression),
            frameworks=("Keras reset_after=False", "ONNX", "haiku", "CNTK") if name == "reset-before" else ("torch", "Keras 3"),
        )
    variants = {
        "z-inverted": ({"h": (1 - z) * h_before + z * n}, "z and 1 - z were exchanged", "h = (1 - z) ⊙ n + z ⊙ h",
                       ("haiku", "MPSGraph")),
        "reset-left-out": ({"n": tanh(input_term("n") + recurrent_term("n", h_before))}, "the reset gate was left out",
                           "n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))", ()),
        "reset-of-all": ({"n": tanh(r * (input_term("n") + recurrent_term("n", h_before)))},
                         "the reset gate acted on the input as well", "n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))", ()),
    }  # fmt: skip
    for name, (steps, says, right, frameworks) in variants.items():
        yield Mistake(
            id=f"{kind}.equation.{name}",
            says=says,
            fix=f"compute {right}",
            change=_with(cells.GRU, **steps),
            frameworks=frameworks,
        )


def _with(cell: Cell, **steps: Expr) -> Change:
    """The case's own cell with these steps replaced; None where they are what the cell does already."""

    def change(case: Case) -> Case | None:
        if any(step.symbol not in case.cell.symbols for step in cell.steps):
            return None
        new = {symbol: _projected(case.cell, symbol, expression) for symbol, expression in steps.items()}
        written = tuple(Step(step.symbol, step.role, new.get(step.symbol, step.expression)) for step in case.cell.steps)
        return None if written == case.cell.steps else replace(case, cell=replace(case.cell, steps=written))

    return change


def _projected(cell: Cell, symbol: str, expression: Expr) -> Expr:
    """The expression, projected where the cell projects this step."""
    own = next(step.expression for step in cell.steps if step.symbol == symbol)
    return Expr(Op.PROJECTION, (expression,)) if own.op is Op.PROJECTION else expression
