"""`compare --expected`: the forms in which outputs may be given, and torch beside them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from commandline import all_in, ask, refused
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from rnntrace.model.dtypes import Array

pytestmark = pytest.mark.usefixtures("folder")

STEPS, BATCH, SIZE, HIDDEN = 4, 3, 2, 3
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
ONNX_ORDER = {"RNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}
"""Where torch has the blocks that ONNX wants: i o f g of i f g o, and z r n of r z n."""


def verdict(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """The JSON of a comparison, whatever its verdict."""
    answer = ask(capsys, "compare", *arguments, "--format", "json")
    assert answer.code in (0, 1), answer
    found: dict[str, Any] = json.loads(answer.out)
    return found


def made(kind: str = "LSTM", **options: Any) -> tuple[nn.Module, dict[str, Array]]:
    """A module of torch, saved as module.pt, with x.npy; and its outputs by torch's names."""
    torch.manual_seed(3)
    module: nn.Module = getattr(nn, kind)(SIZE, HIDDEN, **options)
    torch.save(module.state_dict(), "module.pt")
    x = torch.randn(*((BATCH, STEPS) if options.get("batch_first") else (STEPS, BATCH)), SIZE)
    np.save("x.npy", x.numpy())
    with torch.no_grad():
        output, states = module(x)
    states = states if kind == "LSTM" else (states,)
    return module, {name: array.numpy() for name, array in zip(("output", "h_n", "c_n"), (output, *states), strict=False)}


def as_onnx(module: nn.Module, kind: str, *, layout: int = 0) -> None:
    """The first layer of a module as a node in model.onnx, its blocks in ONNX's order."""
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    ways = ["", "_reverse"] if "weight_ih_l0_reverse" in state else [""]

    def brought(part: str) -> list[Array]:
        blocks = [np.split(state[f"{part}_l0{way}"], GATES[kind]) for way in ways]
        return [np.concatenate([found[block] for block in ONNX_ORDER[kind]]) for found in blocks]

    arrays = {"W": np.stack(brought("weight_ih")), "R": np.stack(brought("weight_hh"))}
    arrays["B"] = np.stack([np.concatenate(both) for both in zip(brought("bias_ih"), brought("bias_hh"), strict=True)])
    options: dict[str, Any] = {
        "hidden_size": HIDDEN,
        "layout": layout,
        "direction": ["forward", "bidirectional"][len(ways) - 1],
    }
    if kind == "GRU":
        options["linear_before_reset"] = 1
    node = helper.make_node(kind, ["X", *arrays], ["Y"], **options)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "XY"]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    onnx.save(helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], tensors)), "model.onnx")


# --- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_onnx_forms_are_torchs_outputs(kind: str, layout: int, bidirectional: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Y with an axis of directions and Y_h, Y_c in either layout; torch's own forms beside them; each is judged."""
    module, outputs = made(kind, bidirectional=bidirectional, batch_first=bool(layout))
    as_onnx(module, kind, layout=layout)
    first, second = outputs["output"].shape[:2]
    apart = outputs["output"].reshape(first, second, 1 + bidirectional, HIDDEN)
    theirs = {"Y": apart if layout else apart.transpose(0, 2, 1, 3)}
    theirs |= {f"Y_{name[0]}": outputs[name].swapaxes(0, layout) for name in outputs if name != "output"}
    for given in (theirs, outputs, {"Y": theirs["Y"]}):
        np.savez("expected.npz", **given)
        found = verdict(capsys, "model.onnx", "--input", "x.npy", "--expected", "expected.npz")
        assert found["passed"], given.keys()
        for name, array in given.items():
            wrong = array.copy()
            wrong[-1, -1, -1] += 0.01
            np.savez("expected.npz", **given | {name: wrong})
            assert not verdict(capsys, "model.onnx", "--input", "x.npy", "--expected", "expected.npz")["passed"], name


def test_one_array_is_the_output_from_a_file_and_typed(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it is called."""
    _, outputs = made("GRU")
    np.savez("expected.npz", whatever=outputs["output"])
    np.save("expected.npy", outputs["output"])
    for given in ("expected.npz", "expected.npy", json.dumps(outputs["output"].tolist())):
        found = verdict(capsys, "module.pt", "--input", "x.npy", "--expected", given)
        assert found["passed"]
        assert found["expected"]["h_n"] is None


@pytest.mark.parametrize("missing", ["output", "h_n", "c_n"])
def test_what_is_not_given_is_not_judged_and_that_is_said(missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is judged all the same."""
    _, outputs = made(num_layers=2, bidirectional=True)
    del outputs[missing]
    np.savez("expected.npz", **outputs)
    arguments = ["module.pt", "--input", "x.npy", "--expected", "expected.npz"]
    answer = ask(capsys, "compare", *arguments, "-q")
    assert answer.code == 0
    assert all_in((f"judged: {', '.join(outputs)}", f"not given: {missing}"), answer.out)
    for name, array in outputs.items():
        wrong = array.copy()
        wrong.flat[-1] += 0.01
        np.savez("expected.npz", **outputs | {name: wrong})
        found = verdict(capsys, *arguments)
        assert not found["passed"]
        assert {entry["name"] for entry in found["differences"] if not entry["passed"]} >= {name}


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        (lambda outputs: {"output": outputs["output"].swapaxes(0, 1)}, ("(4, 3, 3)", "(3, 4, 3)", "--batch-first")),
        (lambda outputs: {"output": outputs["output"][:2, 0]}, ("output should have shape (4, 3, 3)", "(2, 3)")),
        (lambda outputs: {"output": outputs["output"][..., None]}, ("output should have shape", "(4, 3, 3, 1)")),
        (lambda outputs: {"h_n": outputs["h_n"][0, 1:]}, ("h_n should have shape (1, 3, 3)", "(2, 3)")),
        (lambda outputs: {"h_n": outputs["h_n"][0, 0, 0]}, ("h_n should have shape (1, 3, 3)", "()")),
        (lambda outputs: {"i": outputs["output"][:, :2]}, ("i should have shape (4, 3, 3)", "(4, 2, 3)")),
        (lambda outputs: {"c_n": outputs["c_n"][:, :2]}, ("c_n should have shape (1, 3, 3)", "(1, 2, 3)")),
        (lambda outputs: {"a": outputs["h_n"], "b": outputs["c_n"]}, ("one array, or some of output, h_n, c_n", "a, b")),
    ],
)
def test_what_does_not_fit_is_refused(change: Any, fragments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A torch file takes torch's shapes; the line says which was expected."""
    _, outputs = made()
    np.savez("expected.npz", **change(outputs))
    assert all_in(fragments, refused(capsys, "compare", "module.pt", "--input", "x.npy", "--expected", "expected.npz"))


@pytest.mark.parametrize(
    ("more", "fragments"),
    [
        (["--go-backwards"], ("--go-backwards belongs to Keras", "leave it out")),
        (["--replay", "forced"], ("--replay forced",)),
        (["--framework", "jax"], ("unknown framework", "torch")),
        (["--h0", "random"], ("--expected needs --input",)),
        (["--module", "encoder"], ("no module", "encoder")),
    ],
)
def test_flags_that_do_not_go_with_it_are_refused(
    more: list[str], fragments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with its reason."""
    _, outputs = made()
    np.savez("expected.npz", **outputs)
    assert all_in(fragments, refused(capsys, "compare", "module.pt", "--input", "x.npy", "--expected", "expected.npz", *more))


def test_it_needs_an_input_and_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Random signals would be other ones, and two files judge each other."""
    made()
    assert all_in(("--expected needs --input",), refused(capsys, "compare", "module.pt", "--expected", "x.npy"))
    for option in (["--expected", "x.npy"], ["--framework", "torch"]):
        line = refused(capsys, "compare", "module.pt", "module.pt", "--input", "x.npy", *option)
        assert all_in((option[0], "leave it or the second file out"), line)


# --- torch beside it --------------------------------------------------------------------------------------------------


def test_torch_beside_the_given_outputs_must_agree_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Two results; a wrong expected value is FAIL, though torch agrees with the replay."""
    module, outputs = made("GRU", bidirectional=True)
    as_onnx(module, "GRU")
    np.savez("expected.npz", **outputs)
    for file in ("module.pt", "model.onnx"):
        arguments = [file, "--input", "x.npy", "--expected", "expected.npz", "--framework", "torch"]
        np.savez("expected.npz", **outputs)
        answer = ask(capsys, "compare", *arguments, "--format", "json")
        assert (answer.code, [entry["passed"] for entry in json.loads(answer.out)["modules"]]) == (0, [True, True])
        outputs["output"][2, 1, 4] += 0.01
        np.savez("expected.npz", **outputs)
        outputs["output"][2, 1, 4] -= 0.01
        answer = ask(capsys, "compare", *arguments, "--format", "json")
        given, torchs = json.loads(answer.out)["modules"]
        assert (answer.code, given["passed"], torchs["passed"]) == (1, False, True)
        failure = given["first_failure"]
        assert (failure["direction"], failure["t"], failure["item"], failure["unit"]) == ("reverse", 3, 1, 1)


def test_torch_is_not_asked_beside_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    """A GRU that resets before the product is judged by the given outputs alone."""
    module, outputs = made("GRU")
    as_onnx(module, "GRU")
    model = onnx.load("model.onnx")
    (way,) = [attribute for attribute in model.graph.node[0].attribute if attribute.name == "linear_before_reset"]
    way.i = 0
    onnx.save(model, "model.onnx")
    np.savez("expected.npz", **outputs)
    arguments = ["compare", "model.onnx", "--input", "x.npy", "--expected", "expected.npz"]
    assert all_in(("resets", "torch has no"), refused(capsys, *arguments, "--framework", "torch"))
    assert ask(capsys, *arguments).code == 1


# --- mistakes are seen ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["module.pt", "model.onnx"])
@pytest.mark.parametrize("fault", ["blocks", "off by 1e-3", "directions", "h_n"])
def test_a_fault_is_seen_where_it_is(fault: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two gates swapped, one weight a little off, directions swapped, a wrong final state: FAIL with the place, exit 1."""
    module, outputs = made(bidirectional=True)
    state = module.state_dict()
    if fault == "blocks":
        state["weight_ih_l0_reverse"] = state["weight_ih_l0_reverse"].reshape(4, HIDDEN, SIZE)[[1, 0, 2, 3]].reshape(12, SIZE)
    elif fault == "off by 1e-3":
        # The last unit of the candidate.
        state["weight_ih_l0"][8, 0] += 1e-3
    elif fault == "directions":
        state = {f"{name}_l0{way}": state[f"{name}_l0{other}"] for name, way, other in _swapped()}
    else:
        outputs["h_n"][1, 2, 0] += 0.01
    module.load_state_dict({name: tensor.clone() for name, tensor in state.items()})
    torch.save(module.state_dict(), "module.pt")
    as_onnx(module, "LSTM")
    np.savez("expected.npz", **outputs)
    arguments = [file, "--input", "x.npy", "--expected", "expected.npz"]
    found = verdict(capsys, *arguments)
    place = {
        "blocks": {"direction": "reverse", "t": STEPS},
        "off by 1e-3": {"direction": "forward", "t": 1, "unit": 2},
        "directions": {"direction": "forward", "t": 1},
        "h_n": {"direction": "reverse", "symbol": "h_n", "item": 2, "unit": 0},
    }[fault]
    assert not found["passed"]
    assert {key: found["first_failure"][key] for key in place} == place
    assert ask(capsys, "compare", *arguments, "-q").code == 1


def _swapped() -> list[tuple[str, str, str]]:
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [(part, *ways) for part in parts for ways in (("", "_reverse"), ("_reverse", ""))]


def test_halves_in_the_wrong_order_have_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the output alone is given with the reverse direction first."""
    _, outputs = made(bidirectional=True)
    np.save("y.npy", np.roll(outputs["output"], HIDDEN, axis=2))
    answer = ask(capsys, "compare", "module.pt", "--input", "x.npy", "--expected", "y.npy")
    assert answer.code == 1
    assert "agrees if its halves are swapped" in answer.err
