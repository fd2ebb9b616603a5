"""The steps of a cell as straight-line numpy: arrays made beforehand, every result written where it is kept.

The text of a program is written from the declaration, once per cell, and reads like a loop written by hand. Of an LSTM that
runs free:

    x.dot(W_x, input)
    add(input, b_x, input)
    for input_t, i_f_o_t, g_t, f_t, ... in by_step(batch, input, i_f_o, g, f, ...):
        h_before.dot(W_h, recurrent)
        add(recurrent, b_h, recurrent)
        add(input_t, recurrent, recurrent)
        sigmoid(recurrent_i_f_o, i_f_o_t)
        tanh(recurrent_g, g_t)
        multiply(f_t, c_before, c_t)
        multiply(i_t, g_t, part_5)
        add(c_t, part_5, c_t)
        tanh(c_t, h_t)
        multiply(o_t, h_t, h_t)
        h_before = h_t
        c_before = c_t

Gates of one form stand side by side and are computed together. What does not wait for the step before stands outside the loop.
Every array is a matrix with a row for each step and item; in the loop, for each item.

Names of a declaration are data: those that are not a single letter, or mean something else here, are replaced before anything
is written.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnntrace.engine.replay.operators import OPERATORS
from rnntrace.equations.parameters import Role
from rnntrace.model.dtypes import Array


@dataclass(frozen=True)
class Program:
    """`run(batch, **arrays)` computes a block of steps; `names` are the arrays that it takes.

    `widths` are those of the arrays to be made beforehand. Those in `kept` are the results, the symbols of one form side by
    side; those in `each_step` have rows for one step, all others for the block. `columns` are parts of other arrays. `matrices`
    says which gates' blocks stand side by side in `W_x`, the matrix on x, and in `W_h` (`W_h_2`, …), that on a state; so do
    biases. `transposed` says likewise which gates' blocks stand one above the other in `V_1`, …, by which gradients go back;
    for none it is a projection. `vectors` says by role and gates whose weights for each unit they are. `of` is what each state
    is called, whose array a step before is `{name}_before`, and each sequence that is given.
    """

    text: str
    run: Callable[..., None]
    names: tuple[str, ...]
    widths: Mapping[str, int]
    kept: Mapping[str, tuple[str, ...]]
    each_step: frozenset[str]
    columns: Mapping[str, tuple[str, slice]]
    matrices: Mapping[str, tuple[str, ...]]
    transposed: Mapping[str, tuple[str, ...]]
    vectors: Mapping[str, tuple[Role, tuple[str, ...]]]
    constants: Mapping[str, float]
    of: Mapping[str, str]


def by_step(batch: int, *blocks: Array) -> Iterator[tuple[Array, ...]]:
    """Of every block (T·B, N) the rows (B, N) of one step, step after step."""
    return zip(*(block.reshape(-1, batch, block.shape[1]) for block in blocks), strict=True)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{op.value: function for op, function in OPERATORS.items()},
    "copyto": np.copyto,
    "by_step": by_step,
}
"""What the text of a program calls."""
