"""Rows of the tables of a backward pass, a step and a unit each, from the last step back; what their columns are called."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.backward.judge import BackwardResult
from rnntrace.model.dtypes import Array, Flags
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import FORWARD, REVERSE
from rnntrace.report.select import View, numbers_in
from rnntrace.report.table import Column, Scale


def heading(symbol: str, direction: str = FORWARD) -> str:
    """How a table calls a gradient: `∂f`, before its activation `∂a_f`, handed on to the step before `∂h → t-1`."""
    name = symbol.removeprefix("∂")
    if name.endswith(".pre"):
        return f"∂a_{name.removesuffix('.pre')}"
    before = "t+1" if direction == REVERSE else "t-1"
    return f"∂{name.removesuffix('.before')} → {before}" if name.endswith(".before") else symbol


def existing(inputs: Inputs, values: Array | None) -> Any:
    """Values (T, B, ·), if there are any, masked at the steps that do not exist."""
    if values is None or inputs.valid is None:
        return values
    return np.ma.array(values, mask=np.broadcast_to(~inputs.valid[..., None], values.shape))


@dataclass(frozen=True)
class GradientRows:
    """The steps and units that a view has of one item in one direction."""

    item: int
    times: NDArray[np.int_]
    units: NDArray[np.int_]

    @classmethod
    def of(cls, result: BackwardResult, view: View, direction: str, item: int) -> "GradientRows":
        """Those of a view."""
        times = numbers_in(view.times, result.inputs.counted(item))
        units = numbers_in(view.units, np.arange(result.spec.hidden_size))
        return cls(item, times if direction == REVERSE else times[::-1], units)

    def __len__(self) -> int:
        return len(self.times) * len(self.units)

    @property
    def index(self) -> list[Column]:
        """The columns that say which row is which."""
        return [
            Column("t", np.repeat(self.times, len(self.units)), Scale.INDEX),
            Column("unit", np.tile(self.units, len(self.times)), Scale.INDEX),
        ]

    def column(self, values: Array | Flags) -> Any:
        """Values (T, B, ·) of the item, a row per step and unit; a projected state has fewer units."""
        there = self.units < values.shape[2]
        found = np.zeros((len(self.times), len(self.units)))
        found[:, there] = values[self.times - 1, self.item][:, self.units[there]]
        return np.ma.array(found, mask=np.broadcast_to(~there, found.shape)).ravel()
