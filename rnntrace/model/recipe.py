"""The way from another framework's arrays to torch's, in words, read from its convention."""

from collections.abc import Iterator

from rnntrace.model.conventions import GRU, LSTM, Convention


def recipe(convention: Convention) -> Iterator[tuple[str, str]]:
    """How to make torch's arrays of this framework's: (LSTM or GRU, a step in words)."""
    for kind, torchs, order, biases, remarks in (
        ("LSTM", LSTM, convention.lstm, convention.lstm_biases, convention.lstm_remarks),
        ("GRU", GRU, convention.gru, convention.gru_biases, convention.gru_remarks),
    ):
        if not order:
            continue
        if convention.transposed:
            yield kind, "transpose both matrices: (input, gates · H) to (gates · H, input)"
        if order != torchs:
            blocks = ", ".join(str(order.index(gate)) for gate in torchs)
            yield kind, f"reorder the blocks of H rows from {' '.join(order)} to {' '.join(torchs)}: blocks [{blocks}]"
        if convention.transposed is None:
            yield kind, "whether the matrices are (gates · H, input), as in torch, or the other way round is not told here"
        if biases is None:
            yield kind, "whether it keeps one bias or two is not told here"
        elif biases == 1:
            yield kind, "the bias is bias_ih, and bias_hh is zero"
        else:
            yield kind, "the biases are bias_ih and bias_hh, blocks reordered alike"
        if kind == "GRU" and convention.keeps == "1 - z":
            yield kind, "negate the weights and biases of z: what keeps the state here is 1 - z, and 1 - σ(a) = σ(-a)"
        if kind == "GRU" and convention.reset != "after":
            unsure = "" if convention.reset else " if it resets before that"
            yield kind, f"torch cannot run it{unsure}: its GRU resets after the matrix product"
        for remark in remarks:
            yield kind, f"note: {remark}"
    for remark in convention.remarks:
        yield "note", remark
