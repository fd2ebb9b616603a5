"""Speed without a clock: how many matrix products a replay makes, what it allocates, and what each command imports."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import problem

from rnntrace.engine.replay.program import FUNCTIONS, Program
from rnntrace.engine.replay.replay import BLOCK, replay
from rnntrace.engine.replay.windows import BLOCKS, replay_windows, windows
from rnntrace.engine.replay.writer import compiled
from rnntrace.equations import cells
from rnntrace.equations.cell import Cell
from rnntrace.equations.cells import CELLS
from rnntrace.model.spec import ModuleSpec

ARGUMENTS = {"add": 2, "subtract": 2, "multiply": 2, "sigmoid": 1, "tanh": 1, "relu": 1}


def products_of(work: Callable[[], object]) -> int:
    """How often `ndarray.dot` is called."""
    calls = 0

    def count(_: object, event: str, function: Any) -> None:
        nonlocal calls
        calls += event == "c_call" and function.__name__ == "dot"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("kind", "reset_after", "a_step"), [("RNN", True, 1), ("LSTM", True, 1), ("GRU", True, 1), ("GRU", False, 2)]
)
def test_one_product_for_all_gates(kind: str, reset_after: bool, a_step: int, layers: int) -> None:
    """Free, a product a step for each argument that W_hh multiplies; forced, one a block; x is multiplied block by block."""
    spec = ModuleSpec(kind=kind, input_size=3, hidden_size=4, num_layers=layers, reset_after=reset_after)
    steps, batch = 2 * BLOCK + 3, 2
    case = problem(spec, steps=steps, batch=batch)
    arguments = spec, case.weights, case.inputs
    blocks = ceil(steps / (BLOCK // batch))
    free = replay(*arguments)
    known = {key: values for key, values in free.columns.items() if key[2] == "h"}
    assert products_of(lambda: replay(*arguments)) == layers * (blocks + a_step * steps)
    assert products_of(lambda: replay(*arguments, known=known)) == layers * (blocks + a_step * blocks)


@pytest.mark.parametrize("known", [(), ("h",), ("h", "c")], ids=["free", "h known", "all known"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.title)
def test_every_result_has_its_place(cell: Cell, known: tuple[str, ...]) -> None:
    """No operator of a program makes an array: each is given one to write to, in the loop and outside it."""
    widths = (4, 3 if cell is cells.LSTM_PROJECTED else 4)
    program = compiled(
        cell, tuple(state for state in known if state in cell.states), widths, there=("b_ih", "b_hh"), padded=True
    )
    for name, count in ARGUMENTS.items():
        calls = [line for line in program.text.splitlines() if line.strip().startswith(f"{name}(")]
        assert all(line.count(",") == count for line in calls)
    assert program.text.count(".dot(") == sum(line.count(",") == 1 for line in program.text.splitlines() if ".dot(" in line)
    assert set(ARGUMENTS) < set(FUNCTIONS)


LINES_IN_LOOP = {
    ("RNN", ()): 5,
    ("LSTM", ()): 12,
    ("GRU", ()): 12,
    ("RNN", ("h",)): 0,
    ("LSTM", ("h",)): 3,
    ("GRU", ("h",)): 0,
}


def in_loop(program: Program) -> int:
    return sum(line.startswith("        ") for line in program.text.splitlines())


@pytest.mark.parametrize(("kind", "known"), LINES_IN_LOOP)
def test_the_loop_is_as_short_as_it_was(kind: str, known: tuple[str, ...]) -> None:
    """A free step of an LSTM takes 10 calls and 2 names; whoever makes it longer does so on purpose."""
    cell = {"RNN": cells.RNN_TANH, "LSTM": cells.LSTM, "GRU": cells.GRU}[kind]
    assert in_loop(compiled(cell, known, (4, 4), there=("b_ih", "b_hh"), padded=False)) == LINES_IN_LOOP[kind, known]


@pytest.mark.parametrize("forced", [False, True], ids=["free", "forced"])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_memory_is_the_traces_own(kind: str, forced: bool) -> None:
    """Four times the steps need no more than the trace needs more: what is worked in belongs to a block."""
    spec = ModuleSpec(kind=kind, input_size=8, hidden_size=32)

    def beyond(steps: int) -> int:
        case = problem(spec, steps=steps, batch=2)
        case = replace(case, inputs=replace(case.inputs, x=case.inputs.x.astype(np.float32)))
        arguments = spec, case.weights.astype(np.dtype(np.float32)), case.inputs
        known = {key: values for key, values in replay(*arguments).columns.items() if key[2] == "h"} if forced else None
        tracemalloc.start()
        trace = replay(*arguments, known=known)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak - sum(values.nbytes for values in trace.columns.values())

    # What is made once for all, as the program, is not of a run.
    beyond(BLOCK)
    assert beyond(4 * BLOCK) < beyond(BLOCK) + 20_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_windows_make_no_more_products_and_hold_no_more_at_once(kind: str) -> None:
    """A replay in windows makes the products of one in memory, and ten times the steps take no more memory."""
    spec = ModuleSpec(kind=kind, input_size=4, hidden_size=8)

    def most_held(steps: int) -> int:
        case = problem(spec, steps=steps, batch=1)
        arguments = spec, case.weights, case.inputs

        def walk() -> None:
            for _ in replay_windows(*arguments, (0, "forward"), windows(case.inputs, "forward"), {}, keep=spec.cell.symbols):
                pass

        assert products_of(walk) == products_of(lambda: replay(*arguments))
        tracemalloc.start()
        walk()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    assert most_held(20 * BLOCK * BLOCKS) < 1.1 * most_held(2 * BLOCK * BLOCKS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, x, the outputs that torch gives, and a saved trace of an LSTM."""
    import torch

    import rnntrace

    where = tmp_path_factory.mktemp("commands")
    torch.manual_seed(0)
    module, x = torch.nn.LSTM(3, 2), torch.randn(4, 1, 3)
    with torch.no_grad():
        output, (h_n, c_n) = module(x)
    np.savez(where / "w.npz", **{name: value.numpy() for name, value in module.state_dict().items()})
    np.savez(where / "x.npz", x=x.numpy())
    np.savez(where / "out.npz", output=output.numpy(), h_n=h_n.numpy(), c_n=c_n.numpy())
    rnntrace.save(rnntrace.trace(module, x), where / "t.npz")
    rnntrace.new_exercise("lstm", output=where / "week1.toml")
    module(x)[0].sum().backward()
    np.savez(where / "grads.npz", **{name: p.grad.numpy() for name, p in module.named_parameters()})
    return where


HEAVY = (
    "pydantic",
    "torch",
    "onnx",
    "h5py",
    "safetensors",
    "matplotlib",
    "pandas",
    "rnntrace.engine.diagnose.catalogue",
    "rnntrace.frameworks.torch",
)
COMMANDS = {
    "--help": ("numpy", "rnntrace.model", "rnntrace.report", *HEAVY),
    "layouts": ("rnntrace.engine", *HEAVY),
    "inspect w.npz": ("rnntrace.engine", *HEAVY),
    "explain lstm": ("rnntrace.engine.replay.replay", "rnntrace.engine.derivation", *HEAVY),
    "show t.npz": HEAVY,
    "compare w.npz --input x.npz --expected out.npz": HEAVY,
    "compare t.npz t.npz": HEAVY,
    "backward w.npz --input x.npz --expected grads.npz": HEAVY,
    "exercise new gru --output e.toml": HEAVY[:-2],
    "worksheet week1.toml": HEAVY[:-2],
    "grade week1.toml out.npz --student ada": HEAVY[:-2],
    "run lstm --hidden 2": ("pydantic", "rnntrace.engine.diagnose.catalogue"),
}
WATCHED = """
import sys
from rnntrace.cli.app import exit_code
assert exit_code(sys.argv[1:]) == 0
print("loaded:", *sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_import_what_they_need(command: str, folder: Path) -> None:
    """Run for real, in a Python of its own: what takes long to import is left out by what does not need it."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *command.split()], capture_output=True, text=True, check=True, cwd=folder
    )
    loaded = done.stdout.rpartition("loaded:")[2].split()
    assert "rnntrace.cli.app" in loaded
    assert [name for name in COMMANDS[command] if name in loaded] == []
