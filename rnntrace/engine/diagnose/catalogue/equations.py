"""Mistakes in the equations: something left out or exchanged, another variant of the cell."""

from collections.abc import Iterator, Mapping

from rnntrace.engine.diagnose.case import Entry
from rnntrace.engine.diagnose.catalogue.activations import activation_mistakes, clipped, with_steps
from rnntrace.equations import cells
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Expr, constant, input_term, recurrent_term, sigmoid, tanh
from rnntrace.equations.notation import UNICODE, formula

CLIPS = (1.0, 3.0, 5.0, 10.0)
"""Thresholds at which a cell state is clipped, as frameworks' defaults and examples have them."""


def equation_mistakes(cell: Cell, kind: str) -> Iterator[Entry]:
    """All of a cell."""
    yield from activation_mistakes(cell, kind)
    if set(cell.symbols) == set(cells.LSTM.symbols):
        yield from _of_lstm(cell, kind)
    if set(cell.symbols) == set(cells.GRU.symbols):
        yield from _of_gru(cell, kind)


def _of_lstm(cell: Cell, kind: str) -> Iterator[Entry]:
    i, f, g, o, c, c_before = cells.i, cells.f, cells.g, cells.o, cells.c, cells.c_before
    one = constant(1.0)
    variants = {
        "tanh-forgotten": ({"h": o * c}, "the tanh of the cell state was forgotten: h = o ⊙ c", ()),
        "h-sigmoid": ({"h": o * sigmoid(c)}, "sigmoid was used for the tanh of the cell state: h = o ⊙ σ(c)", ()),
        "coupled-i": ({"c": f * c_before + (one - f) * g}, "1 - f was used for the input gate",
                      ("TFLite", "ONNX input_forget")),
        "coupled-f": ({"c": (one - i) * c_before + i * g}, "1 - i was used for the forget gate", ()),
        "c-before-left-out": ({"c": i * g}, "the cell state before was left out: c = i ⊙ g", ()),
        "tanh-of-old-c": ({"h": o * tanh(c_before)}, "h was made of the cell state before its update: h = o ⊙ tanh(cₜ₋₁)", ()),
        "gates-of-c-swapped": ({"c": i * c_before + f * g}, "i and f were exchanged: c = i ⊙ c + f ⊙ g", ()),
        "forget-left-out": ({"c": c_before + i * g}, "the forget gate was left out: c = c + i ⊙ g", ()),
        "output-left-out": ({"h": tanh(c)}, "the output gate was left out: h = tanh(c)", ()),
    }  # fmt: skip
    for name, (steps, says, seen) in variants.items():
        yield _variant(cell, f"{kind}.equation.{name}", steps, says, seen)
    for limit in CLIPS:
        yield Entry(
            id=f"{kind}.equation.clip-{limit:g}",
            says=f"the cell state was clipped to the range from -{limit:g} to {limit:g}",
            fix="do not clip: torch does not",
            change=with_steps(cell, c=clipped(f * c_before + i * g, limit)),
            frameworks=("TFLite cell_clip", "TF1 LSTMCell"),
        )


def _of_gru(cell: Cell, kind: str) -> Iterator[Entry]:
    r, z, n, h_before = cells.r, cells.z, cells.n, cells.h_before
    after = tanh(input_term("n") + r * recurrent_term("n", h_before))
    before = tanh(input_term("n") + recurrent_term("n", r * h_before))
    for name, expression, does, should, frameworks, needs in (
        ("reset-before", before, "before the matrix product: W_hn (r ⊙ h) + b_hn", "after it: r ⊙ (W_hn h + b_hn)",
         ("Keras reset_after=False", "ONNX", "haiku", "CNTK"), "a GRU that resets after the matrix product, as torch's"),
        ("reset-after", after, "after the matrix product: r ⊙ (W_hn h + b_hn)", "before it: W_hn (r ⊙ h) + b_hn",
         ("PyTorch", "Keras 3"), "a GRU that resets before the matrix product: weights of Keras or ONNX"),
    ):  # fmt: skip
        yield Entry(
            id=f"{kind}.equation.{name}",
            says=f"the reset gate acted {does}",
            fix=f"let it act {should}; the switch is reset_after in Keras, linear_before_reset in ONNX",
            # What a cell does already is no mistake.
            change=with_steps(cell, n=expression),
            frameworks=frameworks,
            needs=needs,
        )
    variants = {
        "z-inverted": ({"h": (1 - z) * h_before + z * n}, "z and 1 - z were exchanged: h = z ⊙ n + (1 - z) ⊙ h",
                       ("haiku", "MPSGraph")),
        "r-for-z": ({"h": (1 - r) * n + r * h_before}, "r was used where z belongs: h = (1 - r) ⊙ n + r ⊙ h", ()),
        "reset-left-out": ({"n": tanh(input_term("n") + recurrent_term("n", h_before))}, "the reset gate was left out", ()),
        "reset-of-all": ({"n": tanh(r * (input_term("n") + recurrent_term("n", h_before)))},
                         "the reset gate acted on the input term of the candidate too", ()),
    }  # fmt: skip
    for name, (steps, says, seen) in variants.items():
        yield _variant(cell, f"{kind}.equation.{name}", steps, says, seen)


def _variant(cell: Cell, id: str, steps: Mapping[str, Expr], says: str, frameworks: tuple[str, ...]) -> Entry:
    """Other expressions for some steps; mended by the cell's own."""
    right = ", ".join(formula(step, UNICODE, cell.parameters) for step in cell.steps if step.symbol in steps)
    return Entry(id, says, f"compute {right}", with_steps(cell, **steps), frameworks=frameworks)
