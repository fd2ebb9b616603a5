"""`--mask`: in every command that takes an input, beside outputs that torch gave for the steps that count alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused

from rnntrace.model.dtypes import Array

STEPS, BATCH = 6, 2
MASK = np.array([[1, 0], [0, 1], [1, 1], [0, 1], [1, 1], [1, 0]], bool)
Shown = pytest.CaptureFixture[str]


@pytest.fixture
def output() -> Array:
    """A file of weights, m.pt, and one of x and mask, x.npz; the output of torch on the steps that count, and zeros."""
    torch.manual_seed(0)
    module = torch.nn.LSTM(2, 3)
    x = np.random.default_rng(0).normal(size=(STEPS, BATCH, 2)).astype(np.float32)
    output = np.zeros((STEPS, BATCH, 3), np.float32)
    for item in range(BATCH):
        with torch.no_grad():
            output[MASK[:, item], item] = module(torch.tensor(x[MASK[:, item], item]))[0]
    torch.save(module.state_dict(), "m.pt")
    np.savez("x.npz", x=x, mask=MASK)
    np.save("only_x.npy", x)
    np.save("mask.npy", MASK.astype(np.uint8))
    np.save("y.npy", output)
    return output


def compare(capsys: Shown, *flags: str, expected: Array | None = None) -> int:
    """The exit code of a comparison."""
    if expected is not None:
        np.save("other.npy", expected)
    files = ("--input", "x.npz", "--expected", "y.npy" if expected is None else "other.npy")
    return ask(capsys, "compare", "m.pt", *(flags or files), "-q").code


@pytest.mark.slow
def test_what_torch_gives_for_the_steps_that_count_passes(output: Array, capsys: Shown) -> None:
    """With the mask in the input, in a file and typed; with zeros or repeats where it leaves out; and nothing else does."""
    expected = ("--expected", "y.npy")
    assert compare(capsys) == 0
    for mask in ("mask.npy", json.dumps(MASK.tolist())):
        assert compare(capsys, "--input", "only_x.npy", *expected, "--mask", mask) == 0
    assert compare(capsys, "--input", "only_x.npy", *expected) == 1
    other = MASK.copy()
    other[0, 1] = True
    assert compare(capsys, "--input", "only_x.npy", *expected, "--mask", json.dumps(other.astype(int).tolist())) == 1
    held = output.copy()
    for step in range(1, STEPS):
        held[step] = np.where(MASK[step][:, None], output[step], held[step - 1])
    assert compare(capsys, expected=held) == 0
    for wrong in (held, output):
        for place in ((3, 0, 1), (2, 1, 0), (0, 1, 2)):
            off = wrong.copy()
            off[place] += 1e-3
            assert compare(capsys, expected=off) == 1, place


def test_the_mistake_of_leaving_it_out_is_found(output: Array, capsys: Shown) -> None:
    """By its name."""
    with torch.no_grad():
        module = torch.nn.LSTM(2, 3)
        module.load_state_dict(torch.load("m.pt"))
        plain = module(torch.tensor(np.load("x.npz")["x"]))[0].numpy()
    assert compare(capsys, expected=plain) == 1
    answer = ask(capsys, "diagnose", "m.pt", "--input", "only_x.npy", "--mask", "mask.npy", "--expected", "other.npy")
    assert (answer.code, "EXPLAINED  lstm.lengths.ignored" in answer.out) == (0, True)


def test_a_step_that_is_left_out_has_no_derivation(output: Array, capsys: Shown) -> None:
    """And the one behind it starts from the last that counts."""
    given = ("--input", "only_x.npy", "--mask", "mask.npy")
    assert "t=4 is masked in item 0" in refused(capsys, "explain", "m.pt", *given, "--at", "t=4,item=0")
    told = ask(capsys, "explain", "m.pt", *given, "--at", "t=5,item=0,gate=h,unit=1", "-f", "json")
    assert json.loads(told.out)["derivation"][-1]["value"] == pytest.approx(output[4, 0, 1], abs=1e-6)


def test_what_does_not_fit_is_refused(output: Array, capsys: Shown) -> None:
    """In one line: another shape, other numbers, nothing left, lengths that say otherwise."""
    for mask, says in (
        ("[[1,0],[1,1]]", "mask should have shape (6, 2)"),
        (json.dumps((2 * MASK).tolist()), "holds other numbers"),
        (json.dumps((0 * MASK).tolist()), "nothing is left to replay"),
        ("", "--mask needs the name of a file"),
        ("no.npy", "no such file"),
    ):
        arguments = ("compare", "m.pt", "--input", "only_x.npy", "--expected", "y.npy", "--mask", mask)
        assert says in refused(capsys, *arguments)
    assert "--mask and --lengths" in refused(
        capsys, "compare", "m.pt", "--input", "x.npz", "--lengths", "6,5", "--expected", "y.npy"
    )


def test_gradients_go_back_past_masked_steps(output: Array, capsys: Shown) -> None:
    """Judged beside torch, which packs the others; what comes back in `explain` is of the next step that counts."""
    given = ("backward", "m.pt", "--input", "only_x.npy", "--mask")
    answer = ask(capsys, *given, "mask.npy", "--show", "states", "--item", "0")
    assert answer.code == 0
    assert "packed without the masked steps" in answer.out
    rows = [line.split()[:3:2] for line in answer.out.splitlines() if line.strip()[:1].isdigit()]
    assert [t for t, _ in rows][::3] == ["6", "5", "3", "1"]
    place = ("--at", "t=3,item=0,unit=0,gate=c", "--back", "1")
    explained = ask(capsys, "explain", "m.pt", "--backward", *place, "--input", "only_x.npy", "--mask", "mask.npy")
    assert "∂c₅[0]" in explained.out
    ends = json.dumps((np.arange(STEPS)[:, None] < np.array([6, 4])).tolist())
    assert ask(capsys, *given, ends, "-q").code == 0


def test_lengths_that_are_typed_as_a_mask(output: Array, capsys: Shown) -> None:
    """Stand beside torch, packed, and are the lengths of the document."""
    mask = json.dumps((np.arange(4)[:, None] < np.array([4, 2])).tolist())
    told = ask(capsys, "run", "gru", "-i", "2", "-T", "4", "-B", "2", "--seed", "1", "--mask", mask, "-f", "json")
    typed = ask(capsys, "run", "gru", "-i", "2", "-T", "4", "-B", "2", "--seed", "1", "--lengths", "4,2", "-f", "json")
    assert (told.code, told.out) == (0, typed.out)
    assert "mask" not in json.loads(told.out)["inputs"]


@pytest.mark.slow
def test_a_framework_without_masks(output: Array, capsys: Shown) -> None:
    """Is refused where it was asked for; where none has the cell and takes the mask, nothing is decided."""
    assert "torch has no masks" in refused(capsys, "compare", "m.pt", "--input", "x.npz", "--framework", "torch")
    given = ("-i", "2", "-T", "6", "-B", "2", "--mask", "mask.npy")
    assert "torch has no masks" in refused(capsys, "run", "lstm-cell", *given, "--framework", "torch")
    answer = ask(capsys, "run", "lstm-cell", *given, "-q")
    assert (answer.code, all_in(("UNDECIDED", "takes this mask"), answer.out)) == (1, True)


@pytest.mark.slow
def test_beside_keras_and_saved(output: Array, capsys: Shown) -> None:
    """Gates and all; the trace is shown, compared and read again, and with another mask in it it is no replay."""
    pytest.importorskip("keras")
    given = ("-i", "2", "-b", "-T", "6", "-B", "2", "--seed", "1", "--mask", "mask.npy")
    answer = ask(capsys, "run", "gru", *given, "--save", "t.npz")
    assert (answer.code, all_in(("keras", "4 steps masked", "item 0 · masked: t=2,4"), answer.out)) == (0, True)
    told = ask(capsys, "run", "gru", *given, "-f", "json")
    inputs = json.loads(told.out)["inputs"]
    assert (inputs["lengths"], inputs["mask"]) == (None, MASK.astype(int).tolist())
    assert ask(capsys, "show", "t.npz", "-q").code == 0
    assert ask(capsys, "run", "gru", *given, "--replay", "forced", "--save", "forced.safetensors", "-q").code == 0
    assert ask(capsys, "compare", "t.npz", "forced.safetensors", "-q").code == 0
    again = ("--input", json.dumps({name: inputs[name] for name in ("x", "mask")}))
    assert ask(capsys, "run", "gru", "-i", "2", "-b", "--seed", "1", *again, "-q").code == 0
    with np.load("t.npz") as file:
        arrays = dict(file)
    arrays["inputs/mask"][1, 0] = 1
    np.savez("forged.npz", **arrays)
    answer = ask(capsys, "show", "forged.npz", "-q")
    assert (answer.code, Path("forged.npz").exists()) == (1, True)
    assert ask(capsys, "run", "gru", *given[:-2], "--framework", "keras", "--save", "plain.npz", "-q").code == 0
    assert "other steps are masked" in ask(capsys, "compare", "t.npz", "plain.npz", "-q").out


def test_a_mask_lies_in_the_order_of_x(output: Array, capsys: Shown) -> None:
    """`--axes` holds for it too."""
    turned = {"x": np.load("x.npz")["x"].transpose(2, 1, 0), "mask": MASK.T}
    np.savez("turned.npz", **turned)
    np.save("turned.npy", output.transpose(2, 1, 0))
    given = ("compare", "m.pt", "--input", "turned.npz", "--expected", "turned.npy", "--axes", "unit,batch,time", "-q")
    assert ask(capsys, *given).code == 0
    off = MASK.T.copy()
    off[0, 0] = False
    np.savez("turned.npz", **turned | {"mask": off})
    assert ask(capsys, *given).code == 1
