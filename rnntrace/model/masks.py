"""Masks (T, B): False at steps that do not count, where a layer hands its states on. The ends of sequences are one of them."""

import numpy as np
from numpy.typing import NDArray

from rnntrace.errors import SignalError
from rnntrace.model.dtypes import Array, Flags


def flags_of(mask: Array, shape: tuple[int, ...]) -> Flags:
    """A mask of 0 and 1 as it was given; `shape` is that of x without its last axis. Raises SignalError for any other."""
    if mask.shape != shape:
        raise SignalError(f"mask should have shape {shape}, that of x without its last axis, and has shape {mask.shape}")
    if not np.isin(mask, (0, 1)).all():
        raise SignalError("mask should hold 1 (true) at steps that count and 0 (false) at all others, and holds other numbers")
    return mask.astype(bool)


def of_lengths(lengths: tuple[int, ...], steps: int) -> Flags:
    """The mask of sequences of these lengths."""
    flags: Flags = np.arange(steps)[:, None] < np.asarray(lengths)
    return flags


def as_lengths(mask: Flags) -> tuple[int, ...] | None:
    """The lengths (B,) that say the same; None where a step is left out before one that counts, or none of an item counts."""
    lengths = tuple(map(int, mask.sum(axis=0)))
    return lengths if all(lengths) and np.array_equal(mask, of_lengths(lengths, len(mask))) else None


def latest(mask: Flags) -> NDArray[np.int_]:
    """(T, B): the row of the last step up to each that counts, itself included; -1 in front of all of them."""
    rows: NDArray[np.int_] = np.maximum.accumulate(np.where(mask, np.arange(len(mask))[:, None], -1), axis=0)
    return rows


def held(values: Array, mask: Flags) -> Array:
    """Values (T, B, ·) with those of the last step that counts at every step behind it that does not, and zeros in front.

    So Keras repeats an output: backend/torch/rnn.py.
    """
    rows = latest(mask)
    found: Array = np.where((rows < 0)[..., None], values.dtype.type(0), values[rows, np.arange(values.shape[1])])
    return found
