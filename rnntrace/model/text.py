"""Text as a sequence of one-hot vectors, as in the classic character-level examples."""

from collections.abc import Sequence

import numpy as np

from rnntrace.errors import SignalError
from rnntrace.model.dtypes import Array


def one_hot(texts: Sequence[str], alphabet: str | None = None) -> tuple[Array, tuple[int, ...]]:
    """One vector a character: (len(texts), longest, len(alphabet)) in float32, zero behind a shorter text, and the lengths.

    The alphabet is by default every character that occurs, sorted. Raises SignalError for an empty text, a character
    outside the alphabet, or one that stands in it twice.
    """
    letters = "".join(sorted(set("".join(texts)))) if alphabet is None else alphabet
    for letter in letters:
        if letters.count(letter) > 1:
            raise SignalError(f"an alphabet has each character once, and {letters!r} repeats {letter!r}")
    if not all(texts):
        raise SignalError("a text should have at least one character, and one is empty")
    encoded = np.zeros((len(texts), max(map(len, texts)), len(letters)), np.float32)
    for item, text in enumerate(texts):
        for step, letter in enumerate(text):
            if letter not in letters:
                raise SignalError(f"the text {text!r} has {letter!r}, which is not in the alphabet {letters!r}")
            encoded[item, step, letters.index(letter)] = 1
    return encoded, tuple(map(len, texts))
