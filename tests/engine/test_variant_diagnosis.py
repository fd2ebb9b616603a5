"""Mistakes with what torch's cells do not have, named: from loops that share nothing with the catalogue, and ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from own_cells import MGU, PEEPHOLE, drawn, split, split_weights
from variant_loops import (
    Activation,
    Arrays,
    cut,
    elu,
    hard,
    leaky,
    lstm,
    norm,
    norm_by_std,
    norm_of_sample,
    rms,
    same,
    softsign,
    σ,
)

from rnntrace.engine.diagnose.agreement import Target
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import catalogue, values_of
from rnntrace.engine.diagnose.search import diagnose
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES
from rnntrace.engine.replay.replay import replay
from rnntrace.equations.cell import Cell
from rnntrace.equations.cells import lstm as lstm_
from rnntrace.model.weights import Weights

PEEPHOLES: dict[str, object] = {"kind": "LSTM", "peepholes": True}
CLIPPED: dict[str, object] = {"kind": "LSTM", "clip": 0.3}
NORMED: dict[str, object] = {"kind": "LSTM", "layer_norm": True}
HARDENED: dict[str, object] = {
    "kind": "LSTM", "recurrent_activation": "hard_sigmoid:0.25:0.4", "activation": "elu:0.5", "cell_activation": "tanh"
}  # fmt: skip
LEAKY: dict[str, object] = {"kind": "LSTM", "activation": "leaky_relu:0.1", "cell_activation": "softsign"}


IN_A_LOOP: dict[str, tuple[dict[str, object], dict[str, object], dict[str, object]]] = {
    # The module, what is right in the loop, and what is wrong.
    "lstm.diagonal.order-iof": (PEEPHOLES, {"p": (0, 1, 2)}, {"p": (0, 2, 1)}),
    "lstm.diagonal.order-ofi": (PEEPHOLES, {"p": (0, 1, 2)}, {"p": (2, 1, 0)}),
    "lstm.diagonal.p-dropped": (PEEPHOLES, {"p": (0, 1, 2)}, {"p": None}),
    "lstm.diagonal.p_f-dropped": (PEEPHOLES, {"p": (0, 1, 2)}, {"p_weights": (1, 0, 1)}),
    "lstm.diagonal.p_o-before": (PEEPHOLES, {"p": (0, 1, 2)}, {"o_sees_before": True}),
    "lstm.clip.left-out": (CLIPPED, {"clip": cut}, {"clip": same}),
    "lstm.clip.of-cell-state": (CLIPPED, {"clip": cut}, {"clip": same, "clip_c": cut}),
    "lstm.clip.of-cell-state-too": (CLIPPED, {"clip": cut}, {"clip_c": cut}),
    "lstm.activation.hard-sigmoid-5": (
        HARDENED, {"gate": hard(0.25, 0.4), "candidate": elu(0.5)}, {"gate": hard(0.2)}),
    "lstm.activation.hard-sigmoid-6": (
        HARDENED, {"gate": hard(0.25, 0.4), "candidate": elu(0.5)}, {"gate": hard(1 / 6)}),
    "lstm.activation.hard-sigmoid-slope": (
        HARDENED, {"gate": hard(0.25, 0.4), "candidate": elu(0.5)}, {"gate": hard(0.2, 0.4)}),
    "lstm.activation.hard-sigmoid-offset": (
        HARDENED, {"gate": hard(0.25, 0.4), "candidate": elu(0.5)}, {"gate": hard(0.25)}),
    "lstm.activation.smooth-sigmoid": (HARDENED, {"gate": hard(0.25, 0.4), "candidate": elu(0.5)}, {"gate": σ}),
    "lstm.activation.elu-1": (HARDENED, {"gate": hard(0.25, 0.4), "candidate": elu(0.5)}, {"candidate": elu(1)}),
    "lstm.activation.g-relu": (
        HARDENED, {"gate": hard(0.25, 0.4), "candidate": elu(0.5)}, {"candidate": lambda a: np.maximum(a, 0)}),
    "lstm.activation.leaky-relu-5th": (
        LEAKY, {"candidate": leaky(0.1), "shown": softsign}, {"candidate": leaky(0.2)}),
    "lstm.activation.g-tanh": (LEAKY, {"candidate": leaky(0.1), "shown": softsign}, {"candidate": np.tanh}),
    "lstm.equation.h-tanh": (LEAKY, {"candidate": leaky(0.1), "shown": softsign}, {"shown": np.tanh}),
    "lstm.equation.tanh-forgotten": (LEAKY, {"candidate": leaky(0.1), "shown": softsign}, {"shown": same}),
    "lstm.equation.gates-of-c-swapped": ({"kind": "LSTM", "coupled": True}, {"coupled": True}, {"exchanged": True}),
    "lstm.layer-norm.left-out": (NORMED, {"ln": norm, "ln_c": norm}, {"ln": None, "ln_c": None}),
    "lstm.layer-norm.scaled-alone": (NORMED, {"ln": norm, "ln_c": norm}, {"ln": same, "ln_c": same}),
    "lstm.layer-norm.c-left-out": (NORMED, {"ln": norm, "ln_c": norm}, {"ln_c": None}),
    "lstm.layer-norm.sample-variance": (NORMED, {"ln": norm, "ln_c": norm}, {"ln": norm_of_sample, "ln_c": norm_of_sample}),
    "lstm.layer-norm.sample-deviation": (NORMED, {"ln": norm, "ln_c": norm}, {"ln": norm_by_std, "ln_c": norm_by_std}),
    "lstm.layer-norm.not-centred": (NORMED, {"ln": norm, "ln_c": norm}, {"ln": rms, "ln_c": rms}),
    "lstm.layer-norm.scale-dropped": (NORMED, {"ln": norm, "ln_c": norm}, {"scale": False}),
    "lstm.layer-norm.shift-dropped": (NORMED, {"ln": norm, "ln_c": norm}, {"shifted": False}),
}  # fmt: skip


def case_of(options: dict[str, object], **more: object) -> Case:
    """A module of these options, with weights and signals that are drawn."""
    return Case.of(*drawn(**{"cell": None, "hidden_size": 4, **options, **more}))  # type: ignore[arg-type]


def named(case: Case, outputs: Arrays, dtype: str = "float64") -> list[str]:
    """What diagnose answers."""
    found = diagnose(case, outputs, TORCH_TOLERANCES[dtype], seconds=120)
    return [answer.id for answer in found.answers]


@pytest.mark.slow
@pytest.mark.parametrize("mistake", IN_A_LOOP)
def test_a_loops_mistake_is_named(mistake: str) -> None:
    """The right loop agrees with the replay, and of the wrong one the mistake is the only answer."""
    options, right, wrong = IN_A_LOOP[mistake]
    case = case_of(options)
    fit = Target.of(case, lstm(case, **right), TORCH_TOLERANCES["float64"])  # type: ignore[arg-type]
    assert fit.off(values_of(case)).largest < 1e-13
    assert named(case, lstm(case, **{**right, **wrong})) == [mistake]  # type: ignore[arg-type]


# --- named from what ONNX Runtime computes ----------------------------------------------------------------------------------

ORDERS = {"RNN": "h", "LSTM": "iofg", "GRU": "zrn"}


def runtime(case: Case, peepholes: str = "", **attributes: object) -> Arrays:
    """What ONNX Runtime makes of one layer, with P in the order of these letters, and with these attributes."""
    spec, kind, gates = case.spec, case.spec.family, case.spec.cell.gates
    order = [gates.index(gate) for gate in ORDERS[kind]]
    columns = [case.weights[0, direction].arrays for direction in spec.directions]

    def rows(name: str) -> np.ndarray:
        return np.stack([w[name][order].reshape(-1, *w[name].shape[2:]) for w in columns])

    arrays = {"X": case.inputs.x, "W": rows("W_ih"), "R": rows("W_hh"), "B": np.concatenate([rows("b_ih"), rows("b_hh")], 1)}
    arrays["h0"] = case.inputs.h0
    names = ["X", "W", "R", "B", "", "h0"]
    if case.inputs.c0 is not None:
        arrays["c0"] = case.inputs.c0
        names.append("c0")
    if peepholes:
        arrays["P"] = np.stack([np.concatenate([w["p"]["ifo".index(gate)] for gate in peepholes]) for w in columns])
        names.append("P")
    outputs = ["Y", "Y_h", *(["Y_c"] if "c0" in arrays else [])]
    direction = "bidirectional" if spec.bidirectional else "forward"
    node = helper.make_node(kind, names, outputs, hidden_size=spec.hidden_size, direction=direction, **attributes)
    stored = [numpy_helper.from_array(values.astype(np.float32), name) for name, values in arrays.items() if name != "X"]
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, case.inputs.x.shape)
    graph = helper.make_graph(
        [node], "g", [x], [helper.make_tensor_value_info(y, TensorProto.FLOAT, None) for y in outputs], stored
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y, *finals = session.run(None, {"X": case.inputs.x.astype(np.float32)})
    output = y.transpose(0, 2, 1, 3).reshape(*y.shape[:1], y.shape[2], -1)
    return {"output": output, **dict(zip(("h_n", "c_n"), finals, strict=False))}


BOTH_WAYS: dict[str, object] = {
    "kind": "LSTM", "bidirectional": True, "reverse_activations": ("hard_sigmoid", "tanh", "relu")}  # fmt: skip
OWN = [*("Sigmoid", "Tanh", "Tanh"), *("HardSigmoid", "Tanh", "Relu")]
RELUS: dict[str, object] = {"kind": "GRU", "activation": "leaky_relu:0.3", "clip": 0.5}
LEAKY_GRU = {"clip": 0.5, "activations": ["Sigmoid", "LeakyRelu"], "activation_alpha": [0.3], "linear_before_reset": 1}
IN_RUNTIME: dict[str, tuple[dict[str, object], dict[str, object], dict[str, object]]] = {
    "lstm.diagonal.order-iof": (PEEPHOLES, {"peepholes": "iof"}, {"peepholes": "ifo"}),
    "lstm.diagonal.p-dropped": (PEEPHOLES, {"peepholes": "iof"}, {"peepholes": ""}),
    "lstm.clip.left-out": (CLIPPED, {"clip": 0.3}, {"clip": 0.0}),
    "lstm.direction.same-activations": (BOTH_WAYS, {"activations": OWN}, {"activations": OWN[:3] * 2}),
    "lstm.direction.activations-swapped": (BOTH_WAYS, {"activations": OWN}, {"activations": OWN[3:] + OWN[:3]}),
    "gru.activation.leaky-relu-100th": (RELUS, LEAKY_GRU, {"activation_alpha": [0.01]}),
    "gru.activation.n-tanh": (
        RELUS,
        LEAKY_GRU,
        {"activations": ["Sigmoid", "Tanh"], "activation_alpha": [1.0]},
    ),
    "gru.equation.reset-before": (RELUS, LEAKY_GRU, {"linear_before_reset": 0}),
    "gru.clip.left-out": (RELUS, LEAKY_GRU, {"clip": 0.0}),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", IN_RUNTIME)
def test_what_onnx_runtime_was_told_wrongly_is_named(mistake: str) -> None:
    """Told rightly it agrees with the replay; told wrongly, the mistake is the only answer."""
    options, right, wrong = IN_RUNTIME[mistake]
    case = case_of(options, dtype="float32")
    expected = runtime(case, **{name: value for name, value in right.items() if value != 0.0})  # type: ignore[arg-type]
    assert Target.of(case, expected, TORCH_TOLERANCES["float32"]).off(values_of(case)).largest < 5e-6
    told = {name: value for name, value in {**right, **wrong}.items() if value != 0.0}
    assert named(case, runtime(case, **told), "float32") == [mistake]  # type: ignore[arg-type]


# --- blocks that lie in several parameters ----------------------------------------------------------------------------------

SPLIT: dict[str, tuple[Cell, dict[str, list[int]]]] = {
    # The cell, and which block takes the place of each, by parameter.
    "mgu.gate-order.nf": (MGU, {"W": [1, 0], "U": [1, 0], "b": [1, 0]}),
    "peepholelstm.gate-order.ofci": (
        PEEPHOLE, {"W_ih": [3, 1, 2, 0], "W_hh": [3, 1, 2, 0], "b_ih": [3, 1, 2, 0], "b_hh": [3, 1, 2, 0], "p": [2, 1, 0]}),
    "peepholelstm.diagonal.order-iof": (PEEPHOLE, {"p": [0, 2, 1]}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mistake", SPLIT)
def test_an_order_is_named_where_each_block_is_a_parameter(mistake: str) -> None:
    """Blocks exchanged in a declaration that stacks them, beside the one that has a parameter for each."""
    cell, orders = SPLIT[mistake]
    spec, weights, inputs = drawn(cell, hidden_size=4)
    w = weights[0, "forward"]
    wrong = w.replaced(**{name: w.arrays[name][order] for name, order in orders.items()})
    expected = replay(spec, Weights({(0, "forward"): wrong}), inputs).outputs
    apart, *_ = drawn(split(cell), hidden_size=4)
    case = Case.of(apart, Weights({(0, "forward"): split_weights(cell, w)}), inputs)
    assert named(case, expected) == [mistake]


def test_peepholes_have_their_mistakes_beside_a_layer_norm() -> None:
    """Its scale is weights for each unit too, and none of them."""
    plain, normed = ({m.id for m in catalogue(lstm_(peepholes=True, layer_norm=there))} for there in (False, True))
    assert {id for id in normed if ".diagonal." in id} == {id for id in plain if ".diagonal." in id}
    assert "lstm.diagonal.order-iof" in plain


@pytest.mark.slow
def test_a_transpose_of_all_blocks_has_one_name() -> None:
    """Those on a state, which are several parameters, all transposed."""
    spec, weights, inputs = drawn(MGU, hidden_size=4)
    w = weights[0, "forward"]
    turned = w.replaced(U=w.arrays["U"].swapaxes(1, 2))
    expected = replay(spec, Weights({(0, "forward"): turned}), inputs).outputs
    apart, *_ = drawn(split(MGU), hidden_size=4)
    assert named(Case.of(apart, Weights({(0, "forward"): split_weights(MGU, w)}), inputs), expected) == [
        "mgu.transpose.recurrent"
    ]


@pytest.mark.parametrize("name", ["p_i", "p_f", "p_o"])
def test_each_diagonal_has_one_name(name: str) -> None:
    """A peephole that is left out has the same id as a block and as a parameter of its own."""
    ids = [{mistake.id for mistake in catalogue(cell)} for cell in (PEEPHOLE, split(PEEPHOLE))]
    assert all(f"peepholelstm.diagonal.{name}-dropped" in found for found in ids)


@pytest.mark.slow
def test_independent_units() -> None:
    """Weights left out, those of the neighbour, another activation, a clip left out: each is named from a loop."""
    case = case_of({"kind": "RNN", "independent": True, "clip": 0.5, "nonlinearity": "softsign"})
    w, x = case.weights[0, "forward"].arrays, case.inputs.x

    def looped(p: np.ndarray, act: Activation = softsign, clip: Activation = lambda a: np.clip(a, -0.5, 0.5)) -> Arrays:
        h, output = case.inputs.h0[0], []
        for x_t in x:
            h = act(clip(x_t @ w["W_ih"][0].T + w["b_ih"][0] + p * h))
            output.append(h)
        return {"output": np.stack(output)}

    p = w["p"][0]
    assert named(case, looped(p)) == []
    assert named(case, looped(0 * p)) == ["rnn.diagonal.p-dropped"]
    assert named(case, looped(p, np.tanh)) == ["rnn.activation.h-tanh"]
    assert named(case, looped(p, clip=same)) == ["rnn.clip.left-out"]
