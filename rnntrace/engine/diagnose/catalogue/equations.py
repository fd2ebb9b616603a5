"""Mistakes in the equations: something left out or exchanged, another variant of the cell."""

from collections.abc import Callable, Iterator, Mapping

from rnntrace.engine.diagnose.case import Entry
from rnntrace.engine.diagnose.catalogue.activations import NAMES, activation_mistakes, clipped
from rnntrace.engine.diagnose.catalogue.rewriting import Rewrite, activated, expressions, rewritten, substituted
from rnntrace.equations import cells
from rnntrace.equations.cell import Cell
from rnntrace.equations.expression import Expr, Op, constant, input_term, recurrent_term, sigmoid, tanh
from rnntrace.equations.notation import UNICODE, formula

CLIPS = (1.0, 3.0, 5.0, 10.0)
"""Thresholds at which a cell state is clipped, as frameworks' defaults and examples have them."""
ONE = constant(1.0)

_Other = Expr | Callable[[Expr], Expr]
"""What stands for f ⊙ c + i ⊙ g, or h made of what the output gate is multiplied by."""


def equation_mistakes(cell: Cell, kind: str) -> Iterator[Entry]:
    """All of a cell."""
    yield from activation_mistakes(cell, kind)
    if set(cell.symbols) == set(cells.LSTM.symbols):
        yield from _of_lstm(cell, kind)
    if set(cell.symbols) == set(cells.GRU.symbols):
        yield from _of_gru(cell, kind)
    else:
        yield from _inverted(cell, kind)


def _of_lstm(cell: Cell, kind: str) -> Iterator[Entry]:
    """What is changed in c = f ⊙ c + i ⊙ g and in h = o ⊙ tanh(c), as far as a cell has them; all else stays."""
    i, f, g, o, c, c_before = cells.i, cells.f, cells.g, cells.o, cells.c, cells.c_before
    own = expressions(cell)
    shown = _beside_o(cell)
    squashed = shown is not None and activated(shown) is not None
    called = NAMES.get(shown.op, "activation") if shown else ""
    coupled = own["f"] == ONE - i or own["i"] == ONE - f
    variants: dict[str, tuple[_Other, str, tuple[str, ...], bool]] = {
        "tanh-forgotten": (lambda shown: o * _inside(shown),
                           f"the {called} of the cell state was forgotten: h = o ⊙ c", (), squashed),
        "h-sigmoid": (lambda shown: o * sigmoid(_inside(shown)),
                      f"sigmoid was used for the {called} of the cell state: h = o ⊙ σ(c)", (), called != "sigmoid"),
        "h-tanh": (lambda shown: o * tanh(_inside(shown)),
                   f"tanh was used for the {called} of the cell state: h = o ⊙ tanh(c)", (), called != "tanh"),
        "coupled-i": (f * c_before + (ONE - f) * g, "1 - f was used for the input gate",
                      ("TFLite", "ONNX input_forget"), not coupled),
        "coupled-f": ((ONE - i) * c_before + i * g, "1 - i was used for the forget gate", (), not coupled),
        "c-before-left-out": (i * g, "the cell state before was left out: c = i ⊙ g", (), True),
        "tanh-of-old-c": (lambda shown: o * substituted(shown, {c: c_before}),
                          "h was made of the cell state before its update: h = o ⊙ tanh(cₜ₋₁)", (), True),
        "gates-of-c-swapped": (i * c_before + f * g, "i and f were exchanged: c = i ⊙ c + f ⊙ g", (), True),
        "forget-left-out": (c_before + i * g, "the forget gate was left out: c = c + i ⊙ g", (), True),
        "output-left-out": (lambda shown: shown, "the output gate was left out: h = tanh(c)", (), True),
    }  # fmt: skip
    sums = [part for part in own["c"].walk() if _is_sum(part)]
    plain = own["h"] == o * tanh(c)
    for name, (other, says, seen, there) in variants.items():
        symbol, rewrite = ("c", _of_sums(other)) if isinstance(other, Expr) else ("h", _of_h(other))
        if there and (sums if symbol == "c" else shown):
            says = says if plain or symbol == "c" else says.partition(":")[0]
            yield _variant(cell, f"{kind}.equation.{name}", symbol, rewrite, says, seen)
    for limit in CLIPS if sums else ():
        yield Entry(
            id=f"{kind}.equation.clip-{limit:g}",
            says=f"the cell state was clipped to the range from -{limit:g} to {limit:g}",
            fix="do not clip: torch does not",
            change=rewritten(_of_sums(clipped(f * c_before + i * g, limit))),
            frameworks=("TFLite cell_clip", "TF1 LSTMCell"),
        )


def _is_sum(part: Expr) -> bool:
    """Whether this is f ⊙ c + i ⊙ g, in whatever order."""
    products = {frozenset((cells.f, cells.c_before)), frozenset((cells.i, cells.g))}
    return part.op is Op.ADD and {frozenset(arg.args) for arg in part.args if arg.op is Op.MULTIPLY} == products


def _of_sums(other: Expr) -> Rewrite:
    def rewrite(cell: Cell) -> Mapping[str, Expr]:
        own = expressions(cell)["c"]
        return {"c": substituted(own, {part: other for part in own.walk() if _is_sum(part)})}

    return rewrite


def _of_h(other: Callable[[Expr], Expr]) -> Rewrite:
    def rewrite(cell: Cell) -> Mapping[str, Expr]:
        shown = _beside_o(cell)
        return {} if shown is None else {"h": other(shown)}

    return rewrite


def _beside_o(cell: Cell) -> Expr | None:
    """What the output gate is multiplied by; None if h is no such product."""
    h = expressions(cell)["h"]
    others = [arg for arg in h.args if arg != cells.o]
    return others[0] if h.op is Op.MULTIPLY and len(others) == 1 else None


def _inside(shown: Expr) -> Expr:
    return activated(shown) or shown


def _of_gru(cell: Cell, kind: str) -> Iterator[Entry]:
    """What is changed in the candidate and in h = (1 - z) ⊙ n + z ⊙ h, as far as a cell has them; all else stays."""
    r, z, h_before = cells.r, cells.z, cells.h_before
    plain, x = recurrent_term("n", h_before), input_term("n")
    after, before = (r * plain, plain * r), (recurrent_term("n", r * h_before), recurrent_term("n", h_before * r))
    for name, others, does, should, frameworks, needs in (
        ("reset-before", dict.fromkeys(after, before[0]), "before the matrix product: W_hn (r ⊙ h) + b_hn",
         "after it: r ⊙ (W_hn h + b_hn)",
         ("Keras reset_after=False", "ONNX", "haiku", "CNTK"), "a GRU that resets after the matrix product, as torch's"),
        ("reset-after", dict.fromkeys(before, after[0]), "after the matrix product: r ⊙ (W_hn h + b_hn)",
         "before it: W_hn (r ⊙ h) + b_hn",
         ("PyTorch", "Keras 3"), "a GRU that resets before the matrix product: weights of Keras or ONNX"),
    ):  # fmt: skip
        yield Entry(
            id=f"{kind}.equation.{name}",
            says=f"the reset gate acted {does}",
            fix=f"let it act {should}; the switch is reset_after in Keras, linear_before_reset in ONNX",
            # What a cell does already is no mistake.
            change=rewritten(_with_parts("n", others)),
            frameworks=frameworks,
            needs=needs,
        )
    own = expressions(cell)["h"]
    inverted = "z and 1 - z were exchanged"
    if own == (1 - z) * cells.n + z * h_before:
        inverted += ": h = z ⊙ n + (1 - z) ⊙ h"
    for name, symbol, others, says, seen in (
        ("z-inverted", "h", {ONE - z: z, z: ONE - z}, inverted, ("haiku", "MPSGraph")),
        ("r-for-z", "h", {z: r}, "r was used where z belongs: h = (1 - r) ⊙ n + r ⊙ h", ()),
        ("reset-left-out", "n", dict.fromkeys((*after, *before), plain), "the reset gate was left out", ()),
        ("reset-of-all", "n", {x + term: r * (x + plain) for term in (*after, *before)},
         "the reset gate acted on the input term of the candidate too", ()),
    ):  # fmt: skip
        yield _variant(cell, f"{kind}.equation.{name}", symbol, _with_parts(symbol, others), says, seen)


def _inverted(cell: Cell, kind: str) -> Iterator[Entry]:
    """Both shares of a mean exchanged, as z of a GRU has them."""
    for step in cell.steps:
        for rest in dict.fromkeys(part for part in step.expression.walk() if part.op is Op.SUBTRACT and part.args[0] == ONE):
            share = rest.args[1]
            alone = substituted(step.expression, {rest: ONE})
            if share.op is Op.NOW and share in alone.walk():
                rewrite = _with_parts(step.symbol, {rest: share, share: rest})
                says = f"{share.name} and 1 - {share.name} were exchanged"
                yield _variant(cell, f"{kind}.equation.{share.name}-inverted", step.symbol, rewrite, says, ())


def _with_parts(symbol: str, others: Mapping[Expr, Expr]) -> Rewrite:
    return lambda cell: {symbol: substituted(expressions(cell)[symbol], others)}


def _variant(cell: Cell, id: str, symbol: str, rewrite: Rewrite, says: str, frameworks: tuple[str, ...]) -> Entry:
    """Another expression for a step; mended by the cell's own."""
    right = next(formula(step, UNICODE, cell.parameters) for step in cell.steps if step.symbol == symbol)
    return Entry(id, says, f"compute {right}", rewritten(rewrite), frameworks=frameworks)
