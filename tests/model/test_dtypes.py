"""Rounding to the formats a module can have, bit for bit as torch does it."""

from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from strategies import examples

from rnntrace.model.dtypes import DTYPES, Array, rounded


def same_bits(mine: Array, theirs: Array) -> bool:
    """Whether two float32 arrays have NaN in the same places and the same bits everywhere else, the sign of zero included."""
    nan = np.isnan(theirs)
    return bool(
        np.array_equal(np.isnan(mine), nan) and np.array_equal(mine[~nan].view(np.uint32), theirs[~nan].view(np.uint32))
    )


def torch_rounded(values: Array, name: str) -> Array:
    """What torch makes of the values in a half type, seen in float32."""
    found: Array = torch.from_numpy(values.copy()).to(getattr(torch, name)).float().numpy()
    return found


def neighbours_and_ties(bits: np.ndarray[Any, np.dtype[np.uint32]]) -> Array:
    """float32 values from bits, and the values one bit below and above each."""
    return np.concatenate([bits - 1, bits, bits + 1]).astype(np.uint32).view(np.float32)


def test_bfloat16_is_rounded_as_torch_does() -> None:
    """Every bfloat16, every tie between two of them and the values next to both: subnormals, infinities and NaN too."""
    every = np.arange(2**16, dtype=np.uint32) << 16
    values = neighbours_and_ties(np.concatenate([every, every | 0x8000]))
    mine = rounded(values, DTYPES["bfloat16"])
    assert mine.dtype == np.float32
    assert same_bits(mine, torch_rounded(values, "bfloat16"))


def test_float16_is_rounded_as_torch_does() -> None:
    """Every float16, every tie between two of them and the values next to both: subnormals, infinities and NaN too."""
    every = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    finite = np.sort(every[np.isfinite(every)]).astype(np.float64)
    ties = ((finite[1:] + finite[:-1]) / 2).astype(np.float32)
    edges = np.array([65519.0, 65520.0, 65536.0, 1e5, 2**-25, 3e-8, 1e-40, np.inf, np.nan], np.float32)
    values = neighbours_and_ties(np.concatenate([every, ties, edges, -edges]).view(np.uint32))
    mine = rounded(values, DTYPES["float16"])
    assert mine.dtype == np.float32
    assert same_bits(mine, torch_rounded(values, "float16"))


@given(arrays.arrays(np.float32, 64, elements=st.floats(width=32)), st.sampled_from(["float16", "bfloat16"]))
@examples(100)
def test_any_value_is_rounded_as_torch_does(values: Array, name: str) -> None:
    """Values of every size, drawn."""
    assert same_bits(rounded(values, DTYPES[name]), torch_rounded(values, name))


@given(arrays.arrays(np.float64, 64, elements=st.floats()), st.sampled_from(["float32", "bfloat16"]))
@examples(100)
def test_doubles_are_rounded_as_torch_does(values: Array, name: str) -> None:
    """From float64, those beyond the largest float32 included: they become infinite, and nothing is said about it."""
    assert same_bits(rounded(values, DTYPES[name]), torch_rounded(values, name))


@given(arrays.arrays(np.float64, 16, elements=st.floats()), st.sampled_from(sorted(DTYPES)))
@examples(100)
def test_rounding_twice_changes_nothing(values: Array, name: str) -> None:
    """A value that the format holds stays as it is."""
    dtype = DTYPES[name]
    with np.errstate(over="ignore"):
        once = rounded(values, dtype)
    assert once.dtype == dtype.replay
    assert np.array_equal(rounded(once, dtype), once, equal_nan=True)


def test_ties_go_to_the_even_neighbour() -> None:
    """Half way between two values of the format the one with an even last bit is taken."""
    for name in ("float16", "bfloat16"):
        eps = DTYPES[name].eps
        values = np.array([1 + eps / 2, 1 + eps * 3 / 2, 1 + eps / 2 * 1.01], np.float32)
        assert rounded(values, DTYPES[name]).tolist() == [1.0, 1 + 2 * eps, 1 + eps]


def test_rounding_leaves_the_given_array_alone() -> None:
    """The user's array is not changed and not shared where it had to be rounded."""
    values = np.array([1.0001, np.nan, -0.0], np.float32)
    before = values.tobytes()
    for dtype in DTYPES.values():
        rounded(values, dtype)
    assert values.tobytes() == before
