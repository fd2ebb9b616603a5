"""What modules are called: kinds as torch writes them, and as they are typed."""

from rnntrace.errors import SpecError

KINDS = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")

MEANT = {
    **dict.fromkeys(("bilstm", "blstm"), "it is lstm with `bidirectional`"),
    "bigru": "it is gru with `bidirectional`",
    "birnn": "it is rnn with `bidirectional`",
    **dict.fromkeys(("elman", "simplernn", "vanilla", "vanillarnn"), "it is rnn"),
    "indrnn": "it is rnn with `independent`",
    "peephole": "it is lstm with `peepholes`",
    **dict.fromkeys(("cudnnlstm", "keraslstm"), "it is lstm"),
    **dict.fromkeys(("cudnngru", "kerasgru"), "it is gru with `reset_before` where Keras has reset_after=False"),
    **dict.fromkeys(("transformer", "attention", "mlp", "cnn", "linear"), "rnntrace replays recurrent cells alone"),
    **dict.fromkeys(("mgu", "qrnn", "sru", "minlstm"), "a cell of your own is a text, see `rnntrace cells` and `cell`"),
}
"""What else people call a kind, and what to say of it."""


def parse_kind(text: str) -> str:
    """The kind as torch writes it, from `lstm`, `lstm-cell`, `LSTMCell`, … Raises SpecError for anything else."""
    known = {kind.lower(): kind for kind in KINDS}
    try:
        return known[text.lower().replace("-", "").replace("_", "")]
    except KeyError:
        choices = ", ".join(command_name(kind) for kind in KINDS)
        meant = MEANT.get(text.lower().replace("-", "").replace("_", ""), "")
        raise SpecError(f"unknown module kind {text!r}: {f'{meant}; or ' if meant else ''}choose one of {choices}") from None


def is_kind(text: str) -> bool:
    """Whether this names a kind."""
    try:
        return bool(parse_kind(text))
    except SpecError:
        return False


def command_name(kind: str) -> str:
    """The kind as it is typed on the command line: `lstm-cell` for `LSTMCell`."""
    return kind.removesuffix("Cell").lower() + ("-cell" if kind.endswith("Cell") else "")
