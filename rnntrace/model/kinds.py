"""What modules are called: kinds as torch writes them, as they are typed, and with their sizes as a constructor."""

import ast
import re
from typing import Any

from rnntrace.errors import SpecError, show

KINDS = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
_IN_ORDER = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size")
"""What torch's constructors take without a name; RNN has its nonlinearity before the bias."""
_CONSTRUCTOR = re.compile(r"\s*(?:torch\.)?(?:nn\.)?(?P<kind>\w+)\s*\(.*\)\s*", re.DOTALL)
_OTHER_WORDS = {
    "simplernn": "RNN is rnn",
    "vanilla": "RNN is rnn",
    "elman": "RNN is rnn",
    "birnn": "an RNN of two directions is rnn with `bidirectional`",
    "bilstm": "an LSTM of two directions is lstm with `bidirectional`",
    "bigru": "a GRU of two directions is gru with `bidirectional`",
    "blstm": "an LSTM of two directions is lstm with `bidirectional`",
}
"""What kinds are called elsewhere."""


def parse_kind(text: str) -> str:
    """The kind as torch writes it, from `lstm`, `lstm-cell`, `nn.LSTMCell`, … Raises SpecError for anything else."""
    known = {kind.lower(): kind for kind in KINDS}
    word = re.sub(r"^(torch\.)?nn\.|[-_]", "", text.lower())
    try:
        return known[word]
    except KeyError:
        if word in _OTHER_WORDS:
            raise SpecError(f"unknown module kind {text!r}: {_OTHER_WORDS[word]}") from None
        choices = ", ".join(command_name(kind) for kind in KINDS)
        raise SpecError(f"unknown module kind {text!r}: choose one of {choices}") from None


def is_kind(text: str) -> bool:
    """Whether this names a kind."""
    try:
        return bool(parse_kind(text))
    except SpecError:
        return False


def parse_constructor(text: str) -> dict[str, Any] | None:
    """What `LSTM(3, 2, num_layers=2)` says, as torch and a specification write it: `kind` and the fields of a `ModuleSpec`.

    The values are literals, and nothing is called. None for text of another form, or of what is no kind. Raises SpecError for
    arguments that cannot be read.
    """
    found = _CONSTRUCTOR.fullmatch(text)
    if found is None or not is_kind(found["kind"]):
        return None
    kind = parse_kind(found["kind"])
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError
        values = [_literal(value) for value in call.args]
        named = {word.arg or "**": _literal(word.value) for word in call.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise SpecError(f"{show(text)} cannot be read: write sizes and options as in {kind}(3, 2)") from None
    order = list(_IN_ORDER)
    if kind.endswith("Cell"):
        order = ["input_size", "hidden_size", "bias"]
    if kind.startswith("RNN"):
        order.insert(order.index("bias") + kind.endswith("Cell"), "nonlinearity")
    if len(values) > len(order):
        raise SpecError(f"{show(text)} has {len(values)} arguments without a name, and {kind} takes {len(order)}")
    positional = dict(zip(order, values, strict=False))
    if twice := positional.keys() & named.keys():
        raise SpecError(f"{show(text)} says {' and '.join(sorted(twice))} twice")
    if lacking := [size for size in _IN_ORDER[:2] if size not in positional | named]:
        raise SpecError(f"{show(text)} lacks {' and '.join(lacking)}: write sizes and options as in {kind}(3, 2)")
    return {"kind": kind, **positional, **named}


def _literal(node: ast.expr) -> Any:
    """A value; torch writes nonlinearity=relu without quotes."""
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def command_name(kind: str) -> str:
    """The kind as it is typed on the command line: `lstm-cell` for `LSTMCell`."""
    return kind.removesuffix("Cell").lower() + ("-cell" if kind.endswith("Cell") else "")
