"""Exercises and hand-ins for the tests of a course; what is right is torch's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rnntrace.course.exercise import Exercise
from rnntrace.course.exercise_file import read_exercise
from rnntrace.course.numbers import numbers_of, read_secret
from rnntrace.model.dtypes import Array

SECRET = "an old secret of 32 characters ."
TEXT = """\
title = "One LSTM step"
[module]
kind = "lstm"
input_size = 3
hidden = 2
[signals]
steps = 4
h0 = "random"
decimals = 2
[hand_in]
require = ["output", "c_n"]
optional = ["i", "f", "g", "o", "c"]
decimals = 4
backward = false
[points]
output = 6
c_n = 2
gates = 2
[rules]
first_error_only = true
mistake = { "lstm.bias.*" = -1, "lstm.gate-order.*" = -2 }
feedback = "place"
"""


def exercise_in(folder: Path, text: str = TEXT, **replaced: str) -> Path:
    """An exercise file with its secret; `old=new` lines are put in place of those that begin so."""
    lines = text.splitlines()
    for old, new in replaced.items():
        lines = [new if line.split(" =")[0] == old else line for line in lines]
    path = folder / "exercise.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.with_suffix(".secret").write_text(SECRET)
    return path


class Solver:
    """What a student computes with torch, who was given these numbers."""

    def __init__(self, path: Path, student: str, dtype: torch.dtype = torch.float64) -> None:
        exercise: Exercise = read_exercise(path)
        found = numbers_of(exercise, read_secret(exercise.secret), student)
        spec = exercise.spec
        module = getattr(nn, spec.kind)(spec.input_size, spec.hidden_size, spec.num_layers, bidirectional=spec.bidirectional)
        module.load_state_dict({name: torch.from_numpy(array) for name, array in found.parameters.items()})
        self.module: Any = module.to(dtype)
        self.x, *states = (torch.from_numpy(array).to(dtype) for array in found.signals.values())
        self.states = tuple(states)

    def right(self) -> dict[str, Array]:
        """output, h_n and, of an LSTM, c_n."""
        with torch.no_grad():
            output, hx = self.module(self.x, self.states if len(self.states) > 1 else self.states[0])
        finals = dict(zip(("h_n", "c_n"), hx if isinstance(hx, tuple) else (hx,), strict=False))
        return {name: values.numpy() for name, values in {"output": output, **finals}.items()}

    def with_error(self, t: int, h: float = 0.0, c: float = 0.0) -> dict[str, Array]:
        """As somebody gets it who is off by so much behind step t, and goes on rightly from there; with every c."""
        outputs, cells, state = [], [], self.states
        with torch.no_grad():
            for number, x in enumerate(self.x, 1):
                _, state = self.module(x[None], state)
                if number == t:
                    state = state[0] + h, state[1] + c
                outputs.append(state[0])
                cells.append(state[1])
        return {"output": torch.cat(outputs).numpy(), "c_n": cells[-1].numpy(), "c": torch.cat(cells).numpy()}

    def without(self, parameter: str) -> dict[str, Array]:
        """With all of a parameter forgotten."""
        with torch.no_grad():
            getattr(self.module, parameter).zero_()
        return self.right()


def save(path: Path, arrays: Mapping[str, Array], decimals: int | None = None) -> None:
    """Arrays as .npz, rounded or not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: values if decimals is None else np.round(values, decimals) for name, values in arrays.items()})
