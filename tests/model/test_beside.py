"""What a file holds beside the recurrent weights: it belongs to the module, or is named, or is left out on purpose."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused
from formats import NAMED

import rnntrace
from rnntrace.model.dtypes import Array

pytestmark = [pytest.mark.usefixtures("folder"), pytest.mark.slow]

H, I = 4, 3


def state(module: torch.nn.Module | None = None) -> dict[str, Array]:
    """The parameters of a module; of an LSTM(3, 4), if none is given."""
    torch.manual_seed(0)
    module = module or torch.nn.LSTM(I, H)
    return {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}


def saved(**arrays: Any) -> Path:
    """An .npz of these arrays."""
    np.savez("w.npz", **arrays)
    return Path("w.npz")


# --- what is left out on purpose --------------------------------------------------------------------------------------


def test_what_is_ignored_is_left_out_of_every_file(capsys: pytest.CaptureFixture[str]) -> None:
    """In the weights, the input and the expected outputs, by full names, upper and lower case apart."""
    x = np.random.default_rng(0).standard_normal((5, 1, I)).astype("f4")
    module = torch.nn.LSTM(I, H)
    with torch.no_grad():
        weights = state(module)
        output = module(torch.from_numpy(x))[0].numpy()
    saved(
        **{"lstm." + name: array for name, array in weights.items()}, **{"other." + name: 2 * a for name, a in weights.items()}
    )
    np.savez("x.npz", first=x, second=x + 1)
    np.savez("y.npz", mine=output, theirs=output + 1)
    arguments = ("w.npz", "--input", "x.npz", "--expected", "y.npz", "-q")
    wanted = ("--ignore", "other.*", "--ignore", "second", "--ignore", "their?")
    assert ask(capsys, "compare", *arguments, *wanted).code == 0
    assert ask(capsys, "diagnose", *arguments, *wanted).code == 0
    assert ask(capsys, "compare", *arguments, *wanted[:4], "--ignore", "mine").code == 1
    assert refused(capsys, "compare", *arguments, *wanted[:4])
    assert refused(capsys, "compare", *arguments, *wanted[2:])
    assert "'Their?' fits nothing: did you mean theirs?" in refused(
        capsys, "compare", *arguments, *wanted, "--ignore", "Their?"
    )
    assert [*rnntrace.load("w.npz", ignore=["other.*"])] == ["lstm"]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [("bais_*", "did you mean bias_"), ("LN_*", "the files hold weight_ih_l0, "), ("weight_ih", "did you mean weight_ih_l0?")],
)
def test_a_pattern_that_fits_nothing_is_refused_with_what_is_near(
    pattern: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name misspelt is no permission to judge what it was to leave out."""
    path = saved(**state())
    for command in ("inspect", "compare"):
        assert all_in(("--ignore", "fits nothing", says), refused(capsys, command, path, "--ignore", pattern))
    with pytest.raises(ValueError, match="fits nothing"):
        rnntrace.load(path, ignore=[pattern])


# --- what is no part of the module ------------------------------------------------------------------------------------

VECTOR = np.linspace(0.5, 1.5, H, dtype="f4")
GATES = np.linspace(0.5, 1.5, 4 * H, dtype="f4")
MATRIX = np.ones((4 * H, H), "f4")

STRANGERS: dict[str, tuple[dict[str, Array], str, str]] = {
    "layer norm": ({"ln_i.weight": GATES, "ln_i.bias": GATES, "ln_c.weight": VECTOR}, "layer norm", "ln_*"),
    "layer norm in one word": ({"layernorm.weight": VECTOR}, "layer norm", "layernorm.weight"),
    "peepholes": ({"weight_ci": VECTOR, "weight_cf": VECTOR, "weight_co": VECTOR}, "peepholes", "weight_c*"),
    "peepholes by another name": ({"peephole_i": VECTOR}, "peepholes", "peephole_i"),
    "weight drop": ({"weight_hh_l0_raw": MATRIX}, "weight drop", "weight_hh_l0_raw"),
    "pruning": ({"weight_hh_l0_orig": MATRIX, "weight_hh_l0_mask": MATRIX}, "pruning", "weight_hh_l0_*"),
    "a third matrix": ({"W_x": MATRIX}, "a cell of its own", "W_x"),
    "a vector of any name": ({"tau": VECTOR}, "a cell of its own", "tau"),
    "a vector with an axis of one": ({"tau": GATES[:, None]}, "a cell of its own", "tau"),
    "a matrix of any name": ({"skip": MATRIX.T}, "a cell of its own", "skip"),
    "layer norm in capitals": ({"LayerNorm_i.weight": GATES}, "layer norm", "LayerNorm_i.weight"),
    "a norm of another name": ({"c_norm.weight": VECTOR}, "layer norm", "c_norm.weight"),
    "integers": ({"bias_q": np.arange(4 * H)}, "a cell of its own", "bias_q"),
}
"""By what they are a sign of: tensors beside an LSTM's parameters, and the pattern that leaves them out."""
PREFIXES = ("", "encoder.lstm.", "model.")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", STRANGERS)
def test_what_the_module_does_not_have_is_refused_and_can_be_ignored(
    name: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name, in every command, with the flag that judges the plain cell; inspect lists it and says what it may be."""
    strange, nature, pattern = STRANGERS[name]
    path = saved(**{prefix + key: array for key, array in {**state(), **strange}.items()})
    flag = ("--ignore", prefix + pattern)
    found = (prefix + next(iter(strange)), "LSTM(3, 4)", nature, f"--ignore '{prefix}{pattern}'")
    x = json.dumps([[[0.5] * I]])
    assert all_in(found, refused(capsys, "compare", path))
    assert all_in(found, refused(capsys, "compare", path, path))
    assert all_in(found, refused(capsys, "diagnose", path, "--input", x, "--expected", x))
    assert all_in(found, refused(capsys, "run", "lstm", "-i", str(I), "-H", str(H), "--weights", path))
    assert all_in(found, refused(capsys, "explain", "lstm", "-i", str(I), "-H", str(H), "--at", "t=1", "--weights", path))
    with pytest.raises(ValueError, match="beside the parameters of LSTM"):
        rnntrace.load(path)
    assert ask(capsys, "compare", path, "--seed", "1", *flag).code == 0
    assert [*rnntrace.load(path, ignore=flag[1:])] == [prefix.removesuffix(".")]
    answer = ask(capsys, "inspect", path)
    assert (answer.code, answer.err) == (0, "")
    assert all_in((*found, "0 recurrent modules · 1 module not judged"), answer.out)
    document = json.loads(ask(capsys, "inspect", path, "-f", "json").out)
    assert [entry["prefix"] for entry in document["refused"]] == [prefix.removesuffix(".")]
    assert document["modules"] == []


@pytest.mark.parametrize("how", NAMED)
def test_every_format_has_strangers_refused(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever reads the file."""
    Path("w").write_bytes(NAMED[how]({**state(), "weight_ci": VECTOR}))
    assert all_in(("weight_ci", "peepholes"), refused(capsys, "compare", "w"))
    typed = json.dumps({name: array.tolist() for name, array in {**state(), "weight_ci": VECTOR}.items()})
    assert all_in(("weight_ci", "peepholes"), refused(capsys, "compare", typed)[:900])


def test_one_bias_is_not_none(capsys: pytest.CaptureFixture[str]) -> None:
    """bias_l0 instead of two is no module without bias."""
    arrays = {name: array for name, array in state().items() if not name.startswith("bias")}
    path = saved(**arrays, bias_l0=GATES)
    assert all_in(("bias_l0", "one bias where torch has two"), refused(capsys, "compare", path))
    assert ask(capsys, "compare", path, "--seed", "1", "--ignore", "bias_l0").code == 0


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("forms", "nature"),
    [
        (("weight_hh_l0_g", "weight_hh_l0_v"), "weight norm"),
        (("parametrizations.weight_hh_l0.original0", "parametrizations.weight_hh_l0.original1"), "weight norm"),
        (("parametrizations.weight_hh_l0.original", "parametrizations.weight_hh_l0.0.base"), "a parametrization"),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_a_weight_that_is_computed_is_named(
    forms: tuple[str, str], nature: str, prefix: str, alone: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the weight itself is not there; also where no parameter has torch's own name."""
    arrays = {} if alone else {name: array for name, array in state().items() if name != "weight_hh_l0"}
    path = saved(**{prefix + name: array for name, array in {**arrays, **dict.fromkeys(forms, MATRIX)}.items()})
    assert all_in((prefix + forms[0], nature, "and the weights have none"), refused(capsys, "compare", path))
    answer = ask(capsys, "inspect", path)
    assert (answer.code, all_in((prefix + forms[0], nature), answer.out)) == (0, True)


def test_what_a_wrapper_has_beside_its_module_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Forms of weights outside of the module that is wrapped are that module's."""
    inside = {f"rnns.0.module.{name}": array for name, array in state().items()}
    path = saved(**inside, **{"rnns.0.weight_hh_l0_orig": MATRIX})
    found = ("rnns.0.module", "rnns.0.weight_hh_l0_orig", "pruning", "--ignore 'rnns.0.weight_hh_l0_orig'")
    assert all_in(found, refused(capsys, "compare", path))
    assert ask(capsys, "compare", path, "--seed", "1", "--ignore", "*_orig").code == 0


@pytest.mark.parametrize("prefix", ["", "model.", "state_dict.module."])
def test_other_layers_and_signals_do_no_harm(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Layers of their own, with a vector of size H too, the signals of a run, and numbers of other sizes."""
    others = {"fc.weight": np.ones((H, H)), "fc.bias": VECTOR, "embedding.weight": np.ones((9, I)), "epoch": np.array(3)}
    signals = {
        "x": np.ones((H, 1, I)),
        "h0": VECTOR,
        "h_n": VECTOR,
        "output": MATRIX,
        "i": VECTOR,
        "f_l0": GATES,
        "lengths": VECTOR,
    }
    path = saved(**{prefix + name: array for name, array in {**state(), **others, **signals, "loss": np.ones(7)}.items()})
    answer = ask(capsys, "compare", path, "--seed", "1", "-f", "json")
    assert answer.code == 0
    # Outputs that nobody is told to judge are named; what may be read as an input is not.
    outputs = [] if prefix else ["h_n", "output", "i", "f_l0"]
    assert json.loads(answer.out)["unused"] == outputs
    assert ("h_n, output, i, f_l0 beside the weights, which is not read" in answer.err) == (not prefix)


def test_what_stands_in_a_module_with_a_prefix_belongs_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    """torch's LSTM has no layers inside; a learned initial state would change what it computes."""
    for name, array in {"fc.weight": MATRIX, "h0": VECTOR, "inner.weight_ih_l0": MATRIX}.items():
        path = saved(**{"lstm." + key: value for key, value in {**state(), name: array}.items()})
        assert f"lstm.{name}" in refused(capsys, "compare", path)
    path = saved(**{"lstm." + name: array for name, array in state().items()}, **{"lstm_head.weight": MATRIX})
    assert ask(capsys, "compare", path, "--seed", "1").code == 0


def test_of_several_modules_the_one_concerned_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them together are not judged; the one that is clean is, by its name or where the flags mean it."""
    clean = {"encoder." + name: array for name, array in state(torch.nn.GRU(I, H)).items()}
    other = {"decoder." + name: array for name, array in {**state(), "ln.weight": VECTOR}.items()}
    path = saved(**clean, **other)
    assert all_in(("decoder", "ln.weight"), refused(capsys, "compare", path))
    assert all_in(("decoder", "ln.weight"), refused(capsys, "compare", path, "--module", "decoder"))
    assert ask(capsys, "compare", path, "--module", "encoder", "--seed", "1").code == 0
    assert ask(capsys, "compare", path, "--ignore", "decoder.*", "--seed", "1").code == 0
    assert ask(capsys, "run", "gru", "-H", str(H), "--weights", path, "--seed", "1").code == 0
    assert "ln.weight" in refused(capsys, "run", "lstm", "-H", str(H), "--weights", path)
    answer = ask(capsys, "inspect", path)
    assert all_in(("encoder  GRU", "decoder is not judged", "1 recurrent module · 1 module not judged"), answer.out)


def test_names_of_ones_own_have_strangers_too(capsys: pytest.CaptureFixture[str]) -> None:
    """What no pattern reads and is named like the rest is not left out in silence."""
    arrays = {"W_ih.0": np.ones((H, I)), "W_hh.0": np.ones((H, H)), "B_ih.0": VECTOR, "B_hh.0": VECTOR}
    patterns = ["--names", "weight_ih=W_ih.{layer}", "--names", "weight_hh=W_hh.{layer}"]
    biases = ["--names", "bias_ih=B_ih.{layer}", "--names", "bias_hh=B_hh.{layer}"]
    for prefix in ("", "rnn."):
        path = saved(**{prefix + name: array for name, array in arrays.items()})
        assert f"{prefix}B_ih.0" in refused(capsys, "compare", path, *patterns)
        assert ask(capsys, "compare", path, *patterns, *biases, "--seed", "1").code == 0
        assert ask(capsys, "compare", path, *patterns, "--ignore", "*B_?h.0", "--seed", "1").code == 0
