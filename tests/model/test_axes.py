"""Orders of axes, there and back: what lies in a file in any order is the same signal inside."""

from itertools import permutations

import numpy as np
import pytest

from rnntrace.errors import UsageError
from rnntrace.model.axes import Axes, orders

LETTERS = {"time": "t", "batch": "b", "unit": "u"}


def in_file(array: np.ndarray, inside: str, order: tuple[str, ...]) -> np.ndarray:
    """An array whose axes are these letters, in the order of a file, by einsum."""
    return np.einsum(f"{inside}->{''.join(LETTERS[word] for word in order if LETTERS[word] in inside)}", array)


@pytest.mark.parametrize("order", [*permutations(LETTERS)])
def test_every_order_there_and_back(order: tuple[str, ...]) -> None:
    """Of sequences and states, with a batch and without."""
    axes, numbers = Axes.parse(",".join(order)), np.random.default_rng(1)
    for shape, letters in (((2, 3, 4), "tbu"), ((2, 4), "tu")):
        sequence = numbers.random(shape)
        np.testing.assert_array_equal(axes.sequence(in_file(sequence, letters, order)), sequence)
    state, rows = numbers.random((3, 4)), numbers.random((2, 3, 4))
    np.testing.assert_array_equal(axes.state(in_file(state, "bu", order)), state)
    np.testing.assert_array_equal(axes.state(np.stack([in_file(row, "bu", order) for row in rows])), rows)
    np.testing.assert_array_equal(axes.state(state, unbatched=True), state)
    assert str(axes) == ",".join(order)


def test_what_has_another_rank_is_left_to_whoever_names_the_shape() -> None:
    axes = Axes.parse("unit,time")
    for shape in ((3,), (2, 3, 4), (1, 2, 3, 4)):
        assert axes.sequence(np.zeros(shape)).shape == shape
    assert axes.state(np.zeros((3, 4))).shape == (3, 4)


@pytest.mark.parametrize("text", ["", "time", "unit,batch", "time,batch,unit,time", "time,time,unit", "seq,batch,unit", "012"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="`axes` names time, batch and unit in the order of the file"):
        Axes.parse(text)


def test_every_order_is_named_once() -> None:
    assert [len({*map(str, orders(rank))}) for rank in (1, 2, 3, 4)] == [0, 2, 6, 0]
