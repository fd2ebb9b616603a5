"""What modules are called: kinds as torch writes them, and as they are typed."""

from rnntrace.errors import SpecError

KINDS = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")


def parse_kind(text: str) -> str:
    """The kind as torch writes it, from `lstm`, `lstm-cell`, `LSTMCell`, … Raises SpecError for anything else."""
    known = {kind.lower(): kind for kind in KINDS}
    try:
        return known[text.lower().replace("-", "").replace("_", "")]
    except KeyError:
        choices = ", ".join(command_name(kind) for kind in KINDS)
        raise SpecError(f"unknown module kind {text!r}: choose one of {choices}") from None


def is_kind(text: str) -> bool:
    """Whether this names a kind."""
    try:
        return bool(parse_kind(text))
    except SpecError:
        return False


def command_name(kind: str) -> str:
    """The kind as it is typed on the command line: `lstm-cell` for `LSTMCell`."""
    return kind.removesuffix("Cell").lower() + ("-cell" if kind.endswith("Cell") else "")
