"""Help that fits a screen: three examples and the flags that people use; --help-all has all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ALL = "--help-all"
EXAMPLES = {
    "run": (
        "run lstm --hidden 2 --seed 42",
        "run 'GRU(3, 4, num_layers=2)' --steps 6",
        "run lstm --seed 1 -f page -o lstm.html",
    ),
    "compare": ("compare weights.pt", "compare weights.pt --input x.npy --expected y.npy", "compare a.npz b.npz"),
    "backward": (
        "backward lstm --seed 1",
        "backward gru --loss last --steps 6",
        "backward weights.pt --input x.npy --expected grads.npz",
    ),
    "explain": ("explain lstm", "explain lstm --at t=2,unit=1 --seed 1", "explain weights.pt --input x.npy --at t=3 --back 1"),
    "diagnose": (
        "diagnose trace.npz",
        "diagnose weights.pt --input x.npy --expected y.npy",
        "run lstm --mistake gate-order.iofc --save trace.npz",
    ),
    "mistakes": ("mistakes lstm", "mistakes gru --backward", "run lstm --mistake gate-order.iofc"),
    "inspect": ("inspect weights.pt", "inspect model.onnx --weights", "inspect model.keras -f json"),
    "cells": ("cells", "cells lstm > my.cell", "run --cell my.cell"),
    "show": ("show trace.npz", "show trace.npz --time 2:4 --show all", "show trace.npz -f page -o trace.html"),
    "plot": ("plot trace.npz -o trace.png", "run lstm --seed 1 --plot lstm.svg", "plot trace.npz -o trace.pdf --time 1:50"),
    "layouts": ("layouts", "layouts keras", "layouts onnx -f json"),
    "doctor": ("doctor", "doctor -f json", "doctor -f markdown"),
}
"""Of each command."""
USUAL = (
    *("hidden", "input_size", "layers", "bidirectional", "steps", "seed", "input", "weights", "expected", "at", "back"),
    *("module", "show", "format", "output"),
)
"""The flags that most lines have."""


def examples(name: str) -> str:
    """The examples of a command, a line each."""
    return "\n".join(f"  rnntrace {line}" for line in EXAMPLES.get(name, ()))


@contextmanager
def readable(command: Any, *, whole: bool) -> Iterator[int]:
    """Within it typer's help shows the usual flags, or all, and defaults without brackets; gives how many are left out."""
    flags = [one for one in command.params if one.param_type_name == "option"]
    before = [(one, one.hidden, one.show_default, one.help) for one in flags]
    left_out = [] if whole else [one for one in flags if one.name not in USUAL and not one.hidden]
    for one in left_out:
        one.hidden = True
    for one in flags:
        if isinstance(one.show_default, str):
            one.help, one.show_default = f"{one.help} Default: {one.show_default}.", False
    try:
        yield len(left_out)
    finally:
        for one, hidden, show_default, said in before:
            one.hidden, one.show_default, one.help = hidden, show_default, said
