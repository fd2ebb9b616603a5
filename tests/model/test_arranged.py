"""Plain arrays in the layout of each framework: written by its row in a few lines of numpy, they are read back as torch's."""

from typing import Any

import numpy as np
import pytest
import torch
from commandline import all_in, ask, refused

import rnntrace
from rnntrace.errors import UsageError, WeightsError
from rnntrace.model.conventions import BY_NAME, CONVENTIONS, Convention
from rnntrace.model.dtypes import Array
from rnntrace.model.module import Module
from rnntrace.verbs.given.modules import modules_of

I, H = 3, 4
TORCHS = {"LSTM": "ifgo", "GRU": "rzn", "RNN": "h"}
WORDS = {"TFLite": {"i": "input", "f": "forget", "g": "cell", "o": "output"}, "flax linen": {}}
"""What a framework with an array for each gate calls its gates; others say c for the candidate, and h in a GRU."""
NAMES = {
    **dict.fromkeys(("PyTorch", "candle", "tinygrad"), ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")),
    "Keras 3": ("kernel", "recurrent_kernel", "bias"),
    "ONNX": ("W", "R", "B"),
    "cuDNN": ("W{}", "R{}", "bW{}", "bR{}"),
    "oneDNN": ("weights_layer", "weights_iter", "bias"),
    "TF1 BasicLSTMCell": ("kernel", "kernel", "bias"),
    "flax linen": ("i{}.kernel", "h{}.kernel", "i{}.bias", "h{}.bias"),
    "haiku": ("w_i", "w_h", "b"),
    "equinox": ("weight_ih", "weight_hh", "bias", "bias_n"),
    "Sonnet 2": ("w_i", "w_h", "b"),
    "MXNet Gluon": ("l0_i2h_weight", "l0_h2h_weight", "l0_i2h_bias", "l0_h2h_bias"),
    "CNTK": ("W", "H", "b"),
    "TFLite": ("input_to_{}_weights", "recurrent_to_{}_weights", "{}_gate_bias"),
    "Core ML": ("weight_ih", "weight_hh", "bias"),
    "OpenVINO": ("W", "R", "B"),
    "WebNN": ("weight", "recurrentWeight", "bias", "recurrentBias"),
    "MLX": ("Wx", "Wh", "bias", "bhn"),
    "flax nnx": ("dense_i.kernel", "dense_h.kernel", "dense_i.bias", "dense_h.bias"),
    "MPSGraph": ("inputWeight", "recurrentWeight", "bias"),
    "OpenCV": ("W_ih", "W_hh", "b_ih"),
    "DL4J": ("W_ih", "W_hh", "b_ih"),
    "Haste": ("W_ih", "W_hh", "b_ih"),
    "Chainer": ("upward.W", "lateral.W", "upward.b"),
    "MATLAB": ("InputWeights", "RecurrentWeights", "Bias"),
    "cs231n": ("Wx", "Wh", "b"),
    "coursera": ("W{}", "W{}", "b{}"),
    "d2l": ("W_x{}", "W_h{}", "b_{}"),
}
"""What a framework calls its matrices on x and on h and its biases, as its own files do."""
Blocks = dict[str, dict[str, Array]]
KINDS = [
    pytest.param(row, kind, id=f"{row.framework}-{kind}")
    for row in CONVENTIONS
    for kind, order in (("LSTM", row.lstm), ("GRU", row.gru))
    if order
]


def drawn(kind: str, seed: int = 0, I: int = I, H: int = H) -> Blocks:
    """A block for each gate of each of torch's parameters."""
    rng = np.random.default_rng(seed)
    shapes = {"W_ih": (H, I), "W_hh": (H, H), "b_ih": (H,), "b_hh": (H,)}
    return {name: {gate: rng.standard_normal(shape) for gate in TORCHS[kind]} for name, shape in shapes.items()}


def stored(row: Convention, kind: str, weights: Blocks) -> tuple[dict[str, Array], Blocks]:
    """The arrays that the framework keeps, and the weights that they are of: of two biases there may be one."""
    own = {name: dict(blocks) for name, blocks in weights.items()}
    H = len(weights["W_hh"][TORCHS[kind][0]])
    W, U, *b = NAMES[row.framework]
    order = {"LSTM": row.lstm, "GRU": row.gru, "RNN": "h"}[kind]
    # A second bias of the candidate alone, or none at all.
    if b[1:] in (["bias_n"], ["bhn"]):
        kept = "n" if kind == "GRU" else ""
    else:
        kept = order if len(b) == 2 or row.framework == "ONNX" else ""
    own["b_hh"] = {gate: block if gate in kept else np.zeros(H) for gate, block in own["b_hh"].items()}
    kept_blocks = {name: dict(blocks) for name, blocks in own.items()}
    if kind == "LSTM" and row.forget_bias:
        kept_blocks["b_ih"]["f"] = kept_blocks["b_ih"]["f"] - row.forget_bias
    if kind == "GRU" and row.keeps == "1 - z":
        kept_blocks |= {name: {**blocks, "z": -blocks["z"]} for name, blocks in kept_blocks.items()}

    def stack(name: str, gates: str = order) -> Array:
        blocks = [kept_blocks[name][gate] for gate in gates]
        array = np.stack(blocks, 1).reshape(len(gates) * H, -1) if row.interleaved else np.concatenate(blocks)
        array = array[:, 0] if array.ndim == 2 and kept_blocks[name][gates[0]].ndim == 1 else array
        return array.T if row.transposed and array.ndim == 2 else array

    if row.one_array_a_gate:
        found = {}
        for gate in order:
            word = WORDS.get(row.framework, {"g": "c", "n": "h"}).get(gate, gate)
            matrices = [kept_blocks[name][gate].T if row.transposed else kept_blocks[name][gate] for name in ("W_ih", "W_hh")]
            if row.joined:
                found |= {W.format(word): np.hstack(matrices[::-1])}
            else:
                found |= {W.format(word): matrices[0], U.format(word): matrices[1]}
            found |= {name.format(word): kept_blocks[part][gate] for name, part in zip(b, ("b_ih", "b_hh"), strict=False)}
        return found, own
    if row.framework == "TF1 BasicLSTMCell" and kind == "GRU":
        both = {gates: np.vstack([stack("W_ih", gates), stack("W_hh", gates)]) for gates in ("rz", "n")}
        return {
            "gates/kernel": both["rz"],
            "gates/bias": stack("b_ih", "rz"),
            "candidate/kernel": both["n"],
            "candidate/bias": stack("b_ih", "n"),
        }, own
    if row.framework in ("TF1 BasicLSTMCell", "haiku") and kind == "LSTM":
        name, bias = ("kernel", "bias") if row.framework != "haiku" else ("lstm/linear/w", "lstm/linear/b")
        return {name: np.vstack([stack("W_ih"), stack("W_hh")]), bias: stack("b_ih")}, own
    found = {W: stack("W_ih"), U: stack("W_hh"), b[0]: stack("b_ih")}
    if row.framework == "CNTK" and kind == "GRU":
        found |= {"H": stack("W_hh", "zr"), "H1": stack("W_hh", "n")}
    if len(b) == 2 and kept:
        found[b[1]] = stack("b_hh", kept if kept == "n" else order)
    if row.framework in ("ONNX", "OpenVINO"):
        found |= {"B": np.concatenate([stack("b_ih"), stack("b_hh")])} if row.framework == "ONNX" else {}
        found = {name: array[None] for name, array in found.items()}
    if row.framework == "Keras 3" and kind == "GRU":
        own["b_hh"] = weights["b_hh"]
        found["bias"] = np.stack([stack("b_ih"), np.concatenate([weights["b_hh"][gate] for gate in order])])
    if row.framework == "MATLAB":
        found["Bias"] = found["Bias"][:, None]
    return found, own


def only(arrays: Any, layout: str, **keywords: Any) -> Module:
    """The one module of some arrays."""
    contents = modules_of(arrays, layout=layout, **keywords)
    assert not contents.refused, contents.refused
    (module,) = contents.modules.values()
    return module


@pytest.mark.parametrize(("row", "kind"), KINDS)
@pytest.mark.parametrize(("I", "H"), [(3, 4), (4, 4), (1, 1), (5, 1), (1, 3)])
def test_each_layout_there_and_back(row: Convention, kind: str, I: int, H: int) -> None:
    """Every block of every gate is the one that was stored, and another order of gates would not be."""
    blocks_of_gates = drawn(kind, 0, I, H)
    arrays, weights = stored(row, kind, blocks_of_gates)
    if row.framework == "Haste" and kind == "GRU":
        with pytest.raises(WeightsError, match="not known"):
            rnntrace.load(arrays, layout="haste")
        return
    module = only(arrays, row.framework)
    assert (module.spec.kind, module.spec.input_size, module.spec.hidden_size) == (kind, I, H)
    assert module.layout == row.framework
    assert module.spec.reset_after == (kind != "GRU" or row.reset == "after")
    for name, blocks in weights.items():
        np.testing.assert_allclose(
            module.weights[0, "forward"].arrays[name], [blocks[gate] for gate in TORCHS[kind]], rtol=1e-12, atol=1e-12
        )
    turned = {name: dict(zip(blocks, [*blocks.values()][::-1], strict=True)) for name, blocks in blocks_of_gates.items()}
    moved = only(stored(row, kind, turned)[0], row.framework)
    assert not np.allclose(moved.weights[0, "forward"].W_ih, module.weights[0, "forward"].W_ih)


@pytest.mark.parametrize("framework", ["Keras 3", "ONNX", "MATLAB", "cs231n", "d2l"])
def test_an_rnn_too(framework: str) -> None:
    """It has one block."""
    arrays, weights = stored(BY_NAME[framework], "RNN", drawn("RNN"))
    column = only(arrays, framework).weights[0, "forward"]
    assert all(np.array_equal(column.arrays[name][0], weights[name]["h"]) for name in weights)


def test_several_modules_by_prefix() -> None:
    """Each by its own, in dictionaries inside a dictionary as in one."""
    row = BY_NAME["Keras 3"]
    arrays = {name: stored(row, kind, drawn(kind))[0] for name, kind in (("a", "LSTM"), ("b", "GRU"))}
    found = rnntrace.load(arrays, layout="keras")
    assert {name: spec.kind for name, (spec, _) in found.items()} == {"a": "LSTM", "b": "GRU"}
    assert {name: spec.kind for name, (spec, _) in rnntrace.load(arrays).items()} == {"a": "LSTM", "b": "GRU"}


def test_both_directions_and_two_biases_of_onnx() -> None:
    """An axis in front has both directions."""
    ways = [stored(BY_NAME["ONNX"], "LSTM", drawn("LSTM", seed)) for seed in (0, 1)]
    arrays = {name: np.concatenate([way[0][name] for way in ways]) for name in "WRB"}
    module = only(arrays, "onnx")
    assert module.spec.bidirectional
    for direction, (_, weights) in zip(("forward", "reverse"), ways, strict=True):
        np.testing.assert_array_equal(module.weights[0, direction].arrays["b_hh"], [weights["b_hh"][gate] for gate in "ifgo"])


def test_what_get_weights_gives() -> None:
    """A bare list of arrays: a Dense layer before and behind, two recurrent ones between; Keras 1's, gate by gate."""
    row, rng = BY_NAME["Keras 3"], np.random.default_rng(0)
    lstm, gru = ([*stored(row, kind, drawn(kind))[0].values()] for kind in ("LSTM", "GRU"))
    found = rnntrace.load([rng.random((9, I)), *lstm, *gru, rng.random((H, 2)), rng.random(2)], layout="keras")
    assert {name: spec.kind for name, (spec, _) in found.items()} == {"0": "LSTM", "1": "GRU"}
    blocks = drawn("LSTM")
    listed = [array for gate in "igfo" for array in (blocks["W_ih"][gate].T, blocks["W_hh"][gate].T, blocks["b_ih"][gate])]
    module = only(listed, "keras")
    assert module.spec.recurrent_activation == "hard_sigmoid"
    np.testing.assert_array_equal(module.weights[0, "forward"].W_ih, [*blocks["W_ih"].values()])
    with pytest.raises(WeightsError, match="Keras 1"):
        rnntrace.load([array if array.ndim == 1 else np.eye(H) for array in listed], layout="keras")


GATED = {"weight_ih": "W_ih", "weight_hh": "W_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}


@pytest.mark.parametrize(("kind", "words"), [("LSTM", "ifco"), ("LSTM", ["input", "forget", "cell", "output"]), ("GRU", "rzh")])
def test_a_gate_in_a_pattern(kind: str, words: Any) -> None:
    """Twelve arrays, or sixteen, whatever word stands for a gate and wherever; several prefixes at once."""
    weights = drawn(kind)
    arrays = {
        f"{prefix}.{name}_{word}x": weights[name][gate]
        for prefix in ("enc", "dec")
        for name in weights
        for gate, word in zip(TORCHS[kind], words, strict=True)
    }
    patterns = [f"{part}={name}_{{gate}}x" for part, name in GATED.items()]
    found = rnntrace.load(arrays, names=patterns)
    assert [*found] == ["enc", "dec"]
    for spec, read in found.values():
        assert spec.kind == kind
        assert all(np.array_equal(read[0, "forward"].arrays[name], [*blocks.values()]) for name, blocks in weights.items())
    del arrays[f"enc.W_ih_{words[1]}x"]
    with pytest.raises(WeightsError, match="should have a block"):
        rnntrace.load(arrays, names=patterns)


@pytest.mark.parametrize(
    ("arrays", "layout", "says"),
    [
        ({"kernel": (3, 16), "recurrent_kernel": (16, 4)}, "keras", "expected (H, 1, 3 or 4 · H)"),
        ({"kernel": (3, 16), "recurrent_kernel": (4, 16), "bias": (12,)}, "keras", "bias should have shape (16,)"),
        ({"kernel": (3, 16), "recurrent_kernel": (4, 16), "bias": (32,)}, "keras", "bias should have shape (16,)"),
        ({"kernel": (4, 16), "bias": (16,)}, "tf1", "should have more columns"),
        ({"Wx": (3, 16), "Wh": (4, 16), "b": (16,), "gamma": (4,)}, None, "--ignore 'gamma'"),
        ({"Wx": (3, 12), "Wh": (4, 12), "b": (12,)}, None, "cs231n has no GRU"),
        ({"Wx": (3, 16), "Wh": (4, 16), "b": (16,)}, "matlab", "called as in the layout of cs231n, see --layout"),
        ({"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4)}, "keras", "--layout keras contradicts"),
        ({"kernel": (3, 16), "recurrent_kernel": (4, 16)}, "abacus", "unknown framework"),
        ({"kernel": (13, 28), "bias": (28,)}, None, "TensorFlow 1 kernel on [x; h] of LSTM(6, 7): pass --layout tf1"),
        ({"W_i": (3, 4), "U_i": (4, 4)}, None, "it holds W_i (3, 4), U_i (4, 4)"),
        ({f"{W}_{g}": s for W, s in (("W", (3, 4)), ("U", (4, 4)), ("b", (4,))) for g in "ifco"}, None, "pass --layout keras"),
        ({"W": (1, 16, 3), "R": (2, 16, 4)}, "onnx", "one direction in front, or two"),
        ({"W_ih": (3, 3), "W_hh": (3, 3)}, "opencv", "are transposed is not known"),
        ({"Wf": (4, 7), "Wi": (4, 7), "Wc": (4, 7)}, "coursera", "are not all those of an LSTM or GRU"),
    ],
)
def test_what_does_not_fit_is_refused(
    arrays: dict[str, tuple[int, ...]], layout: str | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that says what was expected."""
    np.savez("w.npz", **{name: np.ones(shape) for name, shape in arrays.items()})
    flags = [] if layout is None else ["--layout", layout]
    assert says in refused(capsys, "compare", "w.npz", *flags, "--seed", "1")


def test_each_command_takes_a_layout(capsys: pytest.CaptureFixture[str]) -> None:
    """Beside torch's own LSTM of the same weights: what passes with the right layout fails with another order of gates."""
    torch.manual_seed(0)
    module = torch.nn.LSTM(I, H).double()
    torch.nn.init.zeros_(module.bias_hh_l0)
    x = torch.randn(5, 2, I, dtype=torch.float64)
    np.save("x.npy", x)
    np.save("y.npy", module(x)[0].detach())
    state = {name.removesuffix("_l0"): array.detach().numpy() for name, array in module.named_parameters()}
    np.savez("k.npz", kernel=state["weight_ih"].T, recurrent_kernel=state["weight_hh"].T, bias=state["bias_ih"])
    asked = ["--layout", "keras", "--input", "x.npy"]
    assert ask(capsys, "compare", "k.npz", *asked, "--expected", "y.npy", "-q").code == 0
    assert ask(capsys, "compare", "k.npz", *asked[2:], "--expected", "y.npy", "-q").code == 0
    own = ["--names", "weight_ih=kernel", "--names", "weight_hh=recurrent_kernel", "--names", "bias=bias"]
    answer = ask(capsys, "compare", "k.npz", "--layout", "sonnet", *own, "--input", "x.npy", "--expected", "y.npy", "-q")
    assert (answer.code, answer.out[:4]) == (1, "FAIL")
    assert ask(capsys, "diagnose", "k.npz", *asked, "--expected", "y.npy").code == 0
    assert "Keras 3" in ask(capsys, "inspect", "k.npz", *asked[:2]).out
    line = ["run", "lstm", "-i", "3", "-H", "4", "--dtype", "float64", "--weights", "k.npz", *asked, "-q"]
    assert ask(capsys, *line).code == 0
    assert "kernel" in ask(capsys, "explain", "k.npz", *asked[:2]).out
    assert ask(capsys, "explain", "k.npz", *asked, "--at", "t=2").code == 0
    assert all_in(("--layout", "leave it out"), refused(capsys, "explain", "lstm", "--layout", "keras"))
    assert all_in(("--layout", "leave it out"), refused(capsys, "run", "lstm", "--layout", "keras"))
    with pytest.raises(UsageError, match="contradicts"):
        rnntrace.load(module, layout="keras")
