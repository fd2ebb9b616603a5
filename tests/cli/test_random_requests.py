"""Requests with `--expected`, `--input` and `--h0` of any shapes, formats and names: never more than a verdict or one line."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from commandline import ask, refused
from formats import npz_bytes
from hostile_hdf5 import h5, keras
from numpy.random import Generator
from onnx import helper, numpy_helper

from rnntrace.model.dtypes import Array

pytestmark = pytest.mark.usefixtures("folder")

COUNT = int(os.environ.get("RNNTRACE_TEST_REQUESTS", "150"))
"""Requests of a run of the tests, the same ones every time; as many more as one likes by the variable."""
PARTS = 3
STEPS, BATCH, INPUT, HIDDEN = 4, 2, 3, 2
NAMES = (
    *("output", "h_n", "c_n", "Y", "Y_h", "Y_c", "hn", "cn", "h_0", "outputs", "Output", "x", "h0", "c0", "lengths", "foo", ""),
    *("i", "f", "o", "c", "h", "i_l0", "i_l0_reverse", "0.forward.i", "1.forward.z", "0.reverse.h", "9.forward.i", "a b"),
)
FORMATS = ("f4", "f8", "f2", ">f4", "i4", "u1", "?", "c8", "U3", "M8[s]")
VALUES = (0.0, 1.0, -1.0, 0.25, 1e30, np.nan, np.inf, -np.inf)


def drawn(random: Generator, *shape: int) -> Array:
    """Small numbers."""
    return random.normal(size=shape).astype(np.float32) / 2


def of_torch(random: Generator) -> bytes:
    """The weights of a module of torch's."""
    gates = int(random.choice([1, 3, 4]))
    found: dict[str, Array] = {}
    directions = ["", "_reverse"][: random.choice([1, 1, 2])]
    for layer in range(random.choice([1, 1, 2])):
        for direction in directions:
            inputs = INPUT if layer == 0 else HIDDEN * len(directions)
            found[f"weight_ih_l{layer}{direction}"] = drawn(random, gates * HIDDEN, inputs)
            found[f"weight_hh_l{layer}{direction}"] = drawn(random, gates * HIDDEN, HIDDEN)
            found[f"bias_ih_l{layer}{direction}"] = drawn(random, gates * HIDDEN)
            found[f"bias_hh_l{layer}{direction}"] = drawn(random, gates * HIDDEN)
    return npz_bytes(found)


def of_onnx(random: Generator) -> bytes:
    """The weights of a node of ONNX'."""
    kind, gates = [("RNN", 1), ("GRU", 3), ("LSTM", 4)][random.integers(3)]
    direction, count = [("forward", 1), ("reverse", 1), ("bidirectional", 2)][random.integers(3)]
    weights = {
        "W": drawn(random, count, gates * HIDDEN, INPUT),
        "R": drawn(random, count, gates * HIDDEN, HIDDEN),
        "B": drawn(random, count, 2 * gates * HIDDEN),
    }
    layout = int(random.integers(2))
    node = helper.make_node(kind, ["X", "W", "R", "B"], ["Y"], "n", hidden_size=HIDDEN, direction=direction, layout=layout)
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    model: onnx.ModelProto = helper.make_model(helper.make_graph([node], "graph", [], [], tensors))
    content: bytes = model.SerializeToString()
    return content


def of_keras(random: Generator) -> bytes:
    """The weights of a layer of Keras', with its configuration or without."""
    if random.integers(2):
        return h5()
    config = {
        "class_name": "Sequential",
        "config": {
            "name": "model",
            "layers": [
                {
                    "class_name": "LSTM",
                    "config": {
                        "name": "lstm",
                        "units": HIDDEN,
                        "return_sequences": bool(random.integers(2)),
                        "go_backwards": bool(random.integers(2)),
                        "time_major": bool(random.integers(4) == 0),
                    },
                }
            ],
        },
    }
    return keras(config)


WEIGHTS = {"torch": of_torch, "onnx": of_onnx, "keras": of_keras}


def shape_of(random: Generator) -> tuple[int, ...]:
    """A shape that fits, or nearly, or not at all."""
    width = int(random.choice([HIDDEN, 2 * HIDDEN, INPUT]))
    fitting: list[list[int]] = [
        *([STEPS, BATCH, width], [BATCH, STEPS, width], [STEPS, width], [BATCH, width], [width], []),
        *([1, BATCH, width], [2, BATCH, width], [STEPS, 1, BATCH, width], [STEPS, 2, BATCH, width], [BATCH, STEPS, 1, width]),
    ]
    shape = fitting[random.integers(len(fitting))]
    for _ in range(random.choice([0, 0, 0, 0, 1, 2])):
        place = int(random.integers(len(shape) + 1))
        match random.integers(4):
            case 0:
                shape = [*shape[:place], int(random.integers(4)), *shape[place:]]
            case 1:
                shape = [*shape[:place], *shape[place + 1 :]]
            case 2:
                shape = [size if at != place else int(random.choice([0, 1, 5])) for at, size in enumerate(shape)]
            case _:
                shape = [int(size) for size in random.permutation(shape)]
    return tuple(shape)


def array_of(random: Generator) -> Any:
    """Numbers of any shape and format, or something else."""
    found = random.normal(size=shape_of(random))
    if random.integers(4) == 0 and found.size:
        found.flat[random.integers(found.size)] = random.choice(VALUES)
    kind = str(random.choice(FORMATS)) if random.integers(4) == 0 else "f4"
    with np.errstate(invalid="ignore", over="ignore"):
        return (
            found.astype("i8").astype(kind)
            if kind == "M8[s]"
            else np.nan_to_num(found).astype(kind)
            if kind in "i4u1"
            else found.astype(kind)
        )


def fitting_of(random: Generator, name: str) -> Array:
    """Numbers of a shape that the simplest module gives by this name."""
    shapes = {
        **dict.fromkeys(("output", "x"), (STEPS, BATCH, INPUT if name == "x" else HIDDEN)),
        **dict.fromkeys(("h_n", "c_n", "h0", "c0"), (1, BATCH, HIDDEN)),
        "Y": (STEPS, 1, BATCH, HIDDEN),
    }
    return drawn(random, *shapes.get(name, (STEPS, BATCH, HIDDEN)))


def source_of(random: Generator, name: str, names: tuple[str, ...]) -> str:
    """A file of arrays by these names or any, or JSON typed in its place, or no array at all."""
    if random.integers(12) == 0:
        return str(
            random.choice(["zeros", "random", "none.npz", "", "[]", "[[]]", "{}", "null", "[1, [2]]", '{"output": null}', "5"])
        )
    chosen = [str(each) for each in random.choice(names, random.choice([1, 1, 2, 3]))]
    chosen = [str(random.choice(NAMES)) if random.integers(8) == 0 else each for each in chosen]
    arrays = {each: fitting_of(random, each) if random.integers(2) else array_of(random) for each in chosen}
    if random.integers(4) == 0:
        plain = {each: array.tolist() for each, array in arrays.items() if array.dtype.kind in "fiu"}
        return json.dumps(plain if random.integers(3) else next(iter(plain.values()), []))
    if random.integers(5) == 0:
        np.save(f"{name}.npy", next(iter(arrays.values())))
        return f"{name}.npy"
    np.savez(f"{name}.npz", **{each or "arr_0": array for each, array in arrays.items()})
    return f"{name}.npz"


def request_of(seed: int) -> list[str]:
    """The words of a request; its files are made in the current folder."""
    random = np.random.default_rng(seed)
    framework = str(random.choice(list(WEIGHTS)))
    Path("weights").write_bytes(WEIGHTS[framework](random))
    command = "diagnose" if random.integers(12) == 0 else "compare"
    words = [command, "weights", "--expected", source_of(random, "expected", NAMES[:6])]
    if random.integers(20):
        fits = npz_bytes({"x": drawn(random, STEPS, BATCH, INPUT)})
        Path("x.npz").write_bytes(fits)
        words += [
            "--input",
            "x.npz" if random.integers(5) else source_of(random, "input", ("x", "x", "x", "h0", "c0", "lengths")),
        ]
    else:
        words += ["--seed", "1"] if command == "compare" else []
    for flag in ("--h0", "--c0"):
        if random.integers(12) == 0:
            words += [flag, source_of(random, flag[2:], (flag[2:],))]
    for flag in (["--unbatched"], ["--batch-first"], ["--lengths", "4,2"], ["--lengths", "0"], ["--tolerance", "exact"]):
        if random.integers(20) == 0:
            words += flag
    return [
        *words,
        "--format",
        str(random.choice(["json", "table", "plain"])),
        *(["--time-limit", "1"] if command == "diagnose" else []),
    ]


def requests(part: int) -> Iterator[int]:
    """The seeds of a part of the requests."""
    yield from range(part, COUNT, PARTS)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_any_request_is_a_verdict_or_one_line(part: int, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, no exit code but 0, 1 and 2, and no more than a line of what cannot be carried out."""
    codes = set()
    for seed in requests(part):
        words = request_of(seed)
        where = f"seed {seed}: {words}"
        try:
            answer = ask(capsys, *words)
        except Exception as error:
            raise AssertionError(where) from error
        codes.add(int(answer.code))
        assert answer.code in (0, 1, 2), where
        assert all(line.startswith("rnntrace: ") and line.isprintable() for line in answer.err.splitlines()), (
            where,
            answer.err,
        )
        if answer.code == 2:
            assert answer.out == "", where
            assert answer.err.count("\n") == 1, (where, answer.err)
            assert answer.err.startswith("rnntrace: error: "), (where, answer.err)
            assert len(answer.err) < 1100, where
        elif "json" in words:
            json.loads(answer.out, parse_constant=pytest.fail)
    assert codes >= {1, 2}


@pytest.mark.slow
@pytest.mark.parametrize("framework", WEIGHTS)
@pytest.mark.parametrize("name", ["output", "h_n", "c_n", "Y", "Y_h", "i"])
@pytest.mark.parametrize("shape", [(), (0,), (0, 2, 2), (4, 0, 2), (4, 2, 0), (4, 1, 2, 0), (1,) * 32])
def test_no_shape_is_too_strange(framework: str, name: str, shape: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Without an axis, without a value, with very many axes: refused in one line, whatever the weights are from."""
    Path("weights").write_bytes(WEIGHTS[framework](np.random.default_rng(0)))
    np.savez("x.npz", x=np.zeros((STEPS, BATCH, INPUT), np.float32))
    np.savez("expected.npz", **{name: np.zeros(shape, np.float32)})
    assert "expected.npz: " in refused(capsys, "compare", "weights", "--input", "x.npz", "--expected", "expected.npz")
