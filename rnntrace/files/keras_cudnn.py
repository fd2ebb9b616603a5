"""Weights that Keras 2 wrote for CuDNNLSTM and CuDNNGRU: each gate's block as cuDNN has it, and two biases in one vector.

How they become those of LSTM and GRU: `_convert_rnn_weights` in keras/engine/saving.py of Keras 2.
"""

from collections.abc import Callable

import numpy as np

from rnntrace.files.keras_store import Parts
from rnntrace.model.dtypes import Array

GATES = {"LSTM": 4, "GRU": 3}


def is_cudnn(kind: str, parts: Parts) -> bool:
    """Whether the bias of one direction holds two of them one behind the other: (2·G·H,)."""
    units = parts[1][0].shape[0]
    return kind in GATES and len(parts) == 3 and parts[2][0].shape == (2 * GATES[kind] * units,)


def from_cudnn(kind: str, parts: Parts) -> Parts:
    """kernel (I, G·H), recurrent_kernel (H, G·H) and bias of one direction as the plain layer has them.

    The plain LSTM has one bias (4·H,), which is the sum of both; the GRU keeps both, (2, 3·H).
    """
    (kernel, kernel_format), (recurrent, recurrent_format), (bias, bias_format) = parts
    blocks = GATES[kind]
    # The numbers of a block lie as those of a matrix (H, I), one row after another.
    kernel = _by_block(kernel, blocks, lambda block: block.reshape(block.shape[::-1]).T)
    recurrent = _by_block(recurrent, blocks, lambda block: block.T)
    bias = bias.reshape(2, -1)
    return [(kernel, kernel_format), (recurrent, recurrent_format), (bias.sum(axis=0) if kind == "LSTM" else bias, bias_format)]


def _by_block(matrix: Array, blocks: int, changed: Callable[[Array], Array]) -> Array:
    return np.hstack([changed(block) for block in np.hsplit(matrix, blocks)])
