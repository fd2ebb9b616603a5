"""The numbers that five teaching notebooks printed, and docs/notebooks.md, which tells how to get them again.

The numbers are typed here as the notebooks printed them. The notebooks are called 000 to 004 and their cells In [n].
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

import rnntrace
from rnntrace.cli.app import exit_code
from rnntrace.model.layouts import parameter_shapes
from rnntrace.model.spec import ModuleSpec

PAGE = (Path(__file__).parents[2] / "docs" / "notebooks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [line[2:] for language, body in BLOCKS if language == "console" for line in body.splitlines() if line[:2] == "$ "]
SCRIPTS = [body for language, body in BLOCKS if language == "python"]

SLACK = 5e-7
"""How far a float32 value may be off on another processor: a value that close to a tie may be printed either way."""


def run(capsys: pytest.CaptureFixture[str], line: str) -> dict[str, Any]:
    """The JSON document of a command that must end with exit code 0."""
    words = shlex.split(line)
    assert words[0] == "rnntrace"
    assert exit_code([*words[1:], "--format", "json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert answer["passed"]
    return answer


def quantity(answer: dict[str, Any], symbol: str) -> list[Any]:
    """A gate or state of layer 0 in a JSON document, checked to be beside torch's own: (T, B, H)."""
    (entry,) = [entry for entry in answer["trace"] if entry["symbol"] == symbol]
    if entry["framework"] is not None:
        np.testing.assert_allclose(entry["values"], entry["framework"], atol=1e-6)
    values: list[Any] = entry["values"]
    return values


def assert_printed(values: ArrayLike, printed: ArrayLike, *, digits: int) -> None:
    """Each value, rounded to so many significant digits, is what was printed."""
    found, expected = np.asarray(values, float).ravel(), np.asarray(printed, float).ravel()
    unit = 10.0 ** (np.floor(np.log10(np.abs(found))) - digits + 1)
    assert found.shape == expected.shape
    assert np.all(np.abs(found - expected) <= unit / 2 + SLACK), (found, expected)


def assert_decimals(values: ArrayLike, printed: ArrayLike, reach: ArrayLike = 0.0, *, places: int = 4) -> None:
    """Each value, rounded to so many decimals, is what was printed; with `reach`, give or take that, and 0.0002 at most."""
    found, expected = np.asarray(values, float), np.asarray(printed, float)
    assert found.shape == expected.shape
    allowed = 0.5 * 10.0**-places + SLACK + np.asarray(reach)
    assert np.all(np.abs(found - expected) <= (np.minimum(allowed, 2e-4) if np.any(reach) else allowed)), (found, expected)


def reaches(module: torch.nn.RNNBase, x: list[Any], *, weights: float, inputs: float) -> dict[str, np.ndarray]:
    """How far each output is moved, to first order, by typed weights and inputs that are wrong by as much as this."""
    given = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    output, state = module(given)
    states = state if isinstance(state, tuple) else (state,)
    outputs = {"output": output} | dict(zip(("h_n", "c_n"), states, strict=False))

    def moved(value: torch.Tensor) -> float:
        by_input, *by_weight = torch.autograd.grad(value, [given, *module.parameters()], retain_graph=True)
        return inputs * float(by_input.abs().sum()) + weights * sum(float(slope.abs().sum()) for slope in by_weight)

    return {name: np.reshape([moved(v) for v in values.flatten()], values.shape) for name, values in outputs.items()}


def loaded(module: torch.nn.RNNBase, weights: dict[str, Any]) -> torch.nn.RNNBase:
    """The module with these weights."""
    module.load_state_dict({name: torch.tensor(values) for name, values in weights.items()})
    return module


# 000: seed 42, three significant digits.


def test_000_in_5_one_step_of_an_rnn_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """Parameters, h0, x, both terms and h₁ have every printed digit; h0 is drawn before x."""
    torch.manual_seed(42)
    cell, h0, x = torch.nn.RNNCell(5, 3), torch.rand(3), torch.rand(1, 5)
    result = rnntrace.trace(cell, x, h0)
    weights = result.weights[0, "forward"]
    printed = [
        [0.441, 0.479, -0.135, 0.53, -0.126],
        [0.117, -0.281, 0.339, 0.509, -0.424],
        [0.502, 0.108, 0.427, 0.0782, 0.278],
    ]
    assert_printed(weights.W_ih, printed, digits=3)
    assert_printed(weights.b_ih, [-0.456, -0.266, -0.163], digits=3)
    assert_printed(weights.W_hh, [-0.0815, 0.445, 0.0853, -0.27, 0.147, -0.266, -0.0677, -0.234, 0.383], digits=3)
    assert_printed(weights.b_hh, [-0.347, 0.0545, -0.57], digits=3)
    assert_printed(h0, [0.952, 0.0753, 0.886], digits=3)
    assert_printed(x, [0.583, 0.338, 0.809, 0.578, 0.904], digits=3)
    assert result.passed
    for outputs in (result.outputs, result.expected):
        assert_printed(outputs["h_n"], [-0.263, -0.489, 0.458], digits=3)
    line = f"rnntrace run rnn-cell -i 5 -H 3 --unbatched --seed 42 --show terms --input '{x.tolist()}' --h0 '{h0.tolist()}'"
    answer = run(capsys, line)
    assert_printed(quantity(answer, "h.input"), [0.0462, -0.108, 0.808], digits=3)
    assert_printed(quantity(answer, "h.recurrent"), [-0.316, -0.427, -0.313], digits=3)
    assert_printed(quantity(answer, "h"), [-0.263, -0.489, 0.458], digits=3)


def test_000_in_9_four_steps_in_the_fourth_run_of_the_cell() -> None:
    """The section is not seeded: its numbers are those of a fourth run behind In [5], as its label says."""
    torch.manual_seed(42)
    cell, _ = torch.nn.RNNCell(5, 3), torch.rand(8 + 3 * 23)
    X, h0 = torch.rand(4, 5), torch.rand(3)
    result = rnntrace.trace(cell, X, h0)
    printed = [
        [0.225, 0.0624, 0.182, 1.0, 0.594],
        [0.654, 0.0337, 0.172, 0.334, 0.578],
        [0.06, 0.285, 0.201, 0.501, 0.314],
        [0.465, 0.161, 0.157, 0.208, 0.329],
    ]
    assert_printed(X, printed, digits=3)
    assert_printed(h0, [0.105, 0.919, 0.401], digits=3)
    states = [[0.189, 0.115, -0.347], [-0.389, -0.103, -0.304], [-0.447, 0.0761, -0.482], [-0.416, 0.077, -0.446]]
    assert result.passed
    assert_printed(result.outputs["output"], states, digits=3)
    assert_printed(result.expected["output"], states, digits=3)


def test_000_in_12_an_lstm_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """One command gives x, h0, c0, every gate and both new states as printed."""
    line = "rnntrace run lstm-cell -i 3 -H 2 -T 1 --unbatched --seed 42 --dist uniform --h0 random --c0 random"
    assert f"{line} --digits 3" in COMMANDS
    answer = run(capsys, line)
    printed = {"x": [0.658, 0.491, 0.891], "h0": [0.145, 0.531], "c0": [0.159, 0.654]}
    for name, values in printed.items():
        assert_printed(answer["inputs"][name], values, digits=3)
    gates = {"i": [0.688, 0.402], "f": [0.443, 0.552], "o": [0.625, 0.631], "g": [0.606, 0.644]}
    for symbol, values in (gates | {"c": [0.487, 0.62], "h": [0.283, 0.347]}).items():
        assert_printed(quantity(answer, symbol), values, digits=3)
    for side in ("outputs", "expected"):
        assert_printed(answer[side]["h_n"], [0.283, 0.347], digits=3)
        assert_printed(answer[side]["c_n"], [0.487, 0.62], digits=3)


W_IH_OF_SEED_42 = [
    [0.541, 0.587, -0.166],
    [0.65, -0.155, 0.143],
    [-0.344, 0.415, 0.623],
    [-0.519, 0.615, 0.132],
    [0.522, 0.0958, 0.341],
    [-0.0998, 0.545, 0.105],
    [-0.33, 0.18, -0.326],
    [-0.0829, -0.287, 0.469],
]
"""The first numbers drawn after the seed, which both cells with three inputs and two units begin with."""


def test_000_in_12_and_13_the_parameters() -> None:
    """The parameters of both cells, gate by gate from top to bottom, are those printed."""
    torch.manual_seed(42)
    lstm = rnntrace.trace(torch.nn.LSTMCell(3, 2), [[0, 0, 0]]).weights[0, "forward"]
    assert_printed(lstm.W_ih, W_IH_OF_SEED_42, digits=3)
    assert_printed(lstm.b_ih, [0.19, -0.192, 0.298, 0.631, 0.409, -0.309, 0.408, 0.127], digits=3)
    of_hidden = [-0.558, -0.326, -0.2, -0.425, 0.0667, -0.698, 0.639, -0.601, 0.546, 0.118, -0.23, 0.437]
    assert_printed(lstm.W_hh, [*of_hidden, 0.11, 0.571, 0.0773, -0.223], digits=3)
    assert_printed(lstm.b_hh, [0.359, -0.431, -0.7, -0.273, -0.542, 0.58, 0.204, 0.293], digits=3)
    torch.manual_seed(42)
    gru = rnntrace.trace(torch.nn.GRUCell(3, 2), [[0, 0, 0]]).weights[0, "forward"]
    assert_printed(gru.W_ih, W_IH_OF_SEED_42[:6], digits=3)
    assert_printed(gru.b_ih, [0.639, -0.601, 0.546, 0.118, -0.23, 0.437], digits=3)
    of_hidden = [-0.33, 0.18, -0.326, -0.0829, -0.287, 0.469, -0.558, -0.326, -0.2, -0.425, 0.0667, -0.698]
    assert_printed(gru.W_hh, of_hidden, digits=3)
    assert_printed(gru.b_hh, [0.11, 0.571, 0.0773, -0.223, 0.19, -0.192], digits=3)


def test_000_in_13_a_gru_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """One command gives x, h0 and h as printed."""
    line = "rnntrace run gru-cell -i 3 -H 2 -T 1 --unbatched --seed 42 --dist uniform --h0 random"
    assert f"{line} --digits 3" in COMMANDS
    answer = run(capsys, line)
    assert_printed(answer["inputs"]["x"], [0.71, 0.946, 0.789], digits=3)
    assert_printed(answer["inputs"]["h0"], [0.281, 0.789], digits=3)
    assert_printed(quantity(answer, "h"), [0.288, 0.634], digits=3)
    assert_printed(answer["expected"]["h_n"], [0.288, 0.634], digits=3)


def test_000_in_14_a_module_and_a_cell() -> None:
    """Both give the printed output, with x drawn after the cell's own parameters."""
    torch.manual_seed(42)
    rnn, cell = torch.nn.RNN(5, 3), torch.nn.RNNCell(5, 3)
    x, h0 = torch.rand(1, 5), torch.rand(1, 3)
    cell.load_state_dict({name.removesuffix("_l0"): values for name, values in rnn.state_dict().items()})
    assert_printed(x, [0.531, 0.159, 0.654, 0.328, 0.653], digits=3)
    assert_printed(h0, [0.396, 0.915, 0.204], digits=3)
    for result in (rnntrace.trace(rnn, x, h0), rnntrace.trace(cell, x, h0[0])):
        assert result.passed
        assert_printed(result.outputs["output"], [-0.097, -0.108, -0.126], digits=3)
        assert_printed(result.expected["output"], [-0.097, -0.108, -0.126], digits=3)


def test_000_in_15_both_directions() -> None:
    """Output and h_n to three digits, and the two cells' to two decimals."""
    torch.manual_seed(42)
    rnn, _ = torch.nn.RNN(5, 3, bidirectional=True), [torch.nn.RNNCell(5, 3) for _ in range(2)]
    result = rnntrace.trace(rnn, torch.rand(1, 5), torch.rand(2, 3))
    assert result.passed
    for outputs in (result.outputs, result.expected):
        assert_printed(outputs["output"], [-0.282, -0.103, -0.239, 0.426, 0.6, 0.107], digits=3)
        assert_printed(outputs["h_n"], [-0.282, -0.103, -0.239, 0.426, 0.6, 0.107], digits=3)
    assert_decimals(result.trace["h", 0, "forward"], [[[-0.28, -0.1, -0.24]]], places=2)
    assert_decimals(result.trace["h", 0, "reverse"], [[[0.43, 0.6, 0.11]]], places=2)


def test_000_in_16_four_layers() -> None:
    """The state of every layer and the output."""
    torch.manual_seed(42)
    rnn, _ = torch.nn.RNN(5, 3, num_layers=4), [torch.nn.RNNCell(size, 3) for size in (5, 3, 3, 3)]
    result = rnntrace.trace(rnn, torch.rand(1, 5), torch.rand(4, 3))
    printed = [[-0.165, -0.475, -0.245], [0.0621, -0.502, -0.249], [-0.188, -0.687, -0.152], [-0.623, -0.482, 0.011]]
    assert result.passed
    for outputs in (result.outputs, result.expected):
        assert_printed(outputs["h_n"], printed, digits=3)
        assert_printed(outputs["output"], printed[-1], digits=3)


def test_000_in_17_four_layers_in_both_directions() -> None:
    """All eight final states and the output."""
    torch.manual_seed(42)
    rnn = torch.nn.RNN(5, 3, num_layers=4, bidirectional=True)
    _ = [torch.nn.RNNCell(size, 3) for size in (5, 5, 6, 6, 6, 6, 6, 6)]
    result = rnntrace.trace(rnn, torch.rand(1, 5), torch.rand(8, 3))
    printed = [
        [-0.0901, -0.122, 0.401],
        [0.697, 0.84, 0.558],
        [-0.0241, -0.427, 0.102],
        [-0.482, -0.805, -0.858],
        [-0.223, 0.976, -0.0125],
        [0.373, 0.526, 0.389],
        [0.0126, -0.164, -0.494],
        [-0.911, 0.196, -0.895],
    ]
    assert result.passed
    for outputs in (result.outputs, result.expected):
        assert_printed(outputs["h_n"], printed, digits=3)
        assert_printed(outputs["output"], [*printed[-2], *printed[-1]], digits=3)


def test_000_in_36_two_means_from_where_the_generator_stood() -> None:
    """Both printed means come out 1049 numbers behind seed 42."""
    torch.manual_seed(42)
    _, cell, x, h0 = torch.rand(1049), torch.nn.RNNCell(5, 3), torch.rand(1, 5), torch.rand(3)
    result = rnntrace.trace(cell, x.repeat(2, 1), h0)
    assert result.passed
    assert_decimals(result.outputs["output"].mean(1), [0.2082, 0.0963])
    assert_decimals(result.expected["output"].mean(1), [0.2082, 0.0963])


def test_000_in_36_each_loss_alone_and_ten_together() -> None:
    """∂h₁, detached and added up, is what autograd gives of the notebook's loop and of its repaired form."""
    torch.manual_seed(42)
    _, cell, x, h0 = torch.rand(1049), torch.nn.RNNCell(5, 3), torch.rand(1, 5), torch.rand(3)
    means = np.full((10, 3), 1 / 3)
    for detached in (True, False):
        states, h = [], h0
        for _ in range(10):
            h = cell(x, (h.detach() if detached else h).reshape(1, 3))
            h.retain_grad()
            states.append(h)
        torch.stack(states).mean(2).sum().backward()
        result = rnntrace.backward(cell, x.repeat(10, 1), h0, grad=means, truncate=1 if detached else None)
        assert result.passed
        assert states[0].grad is not None
        np.testing.assert_allclose(result.gradients.of("h")[0, 0], states[0].grad[0].numpy(), rtol=1e-5)


# 001: weights printed with four decimals, as are the outputs.


@dataclass(frozen=True)
class Printed:
    """A module of notebook 001: its printed weights, and the outputs that it printed."""

    module: torch.nn.RNNBase
    weights: dict[str, Any]
    outputs: dict[str, Any]
    x: tuple[tuple[int, ...], ...] = ((1, 1, 1), (1, 2, 1), (2, 3, 1), (1, 3, 1))


LAYER_0 = {
    "weight_ih_l0": [[0.0130, 0.2709, -0.3058], [-0.4475, 0.3193, 0.4943], [0.2080, 0.0944, -0.2989]],
    "weight_hh_l0": [[0.4855, 0.0833, -0.1622], [-0.5323, -0.1938, 0.3005], [0.1978, 0.5410, 0.3437]],
    "bias_ih_l0": [-0.1454, 0.4145, -0.2442],
    "bias_hh_l0": [0.3113, 0.5509, 0.5318],
}
LAYER_1 = {
    "weight_ih_l1": [[0.0108, 0.3439, 0.4292], [-0.2595, -0.0296, 0.3443], [0.4159, 0.0034, 0.0543]],
    "weight_hh_l1": [[-0.5193, 0.3936, -0.3125], [-0.5299, 0.5054, 0.1984], [0.4348, -0.4416, -0.1205]],
    "bias_ih_l1": [-0.1728, -0.0305, 0.5360],
    "bias_hh_l1": [-0.2146, -0.2945, -0.0553],
}
MODULES = {
    "In [55] to [76], one number per step": Printed(
        torch.nn.RNN(1, 1, bias=False, batch_first=True),
        {"weight_ih_l0": [[0.3445]], "weight_hh_l0": [[0.9963]]},
        {"output": [[[0.7753], [0.9733], [0.9909]]]},
        ((3,), (4,), (5,)),
    ),
    "In [140] to [164], two units": Printed(
        torch.nn.RNN(3, 2, batch_first=True),
        {
            "weight_ih_l0": [[0.2020, -0.3842, -0.4155], [0.0146, -0.5546, 0.2592]],
            "weight_hh_l0": [[0.4147, -0.3529], [-0.1547, 0.1795]],
            "bias_ih_l0": [0.6311, -0.2717],
            "bias_hh_l0": [-0.4247, -0.2052],
        },
        {"output": [[[-0.3725, -0.6397], [-0.6070, -0.8786], [-0.7160, -0.9576], [-0.8071, -0.9586]]]},
    ),
    "In [167] to [208], both directions": Printed(
        torch.nn.RNN(3, 2, batch_first=True, bidirectional=True),
        {
            "weight_ih_l0": [[0.5186, -0.4766, 0.1410], [0.2750, -0.6602, -0.6266]],
            "weight_hh_l0": [[-0.6757, 0.2885], [0.2265, -0.4132]],
            "bias_ih_l0": [0.6045, 0.0802],
            "bias_hh_l0": [0.3446, 0.4002],
            "weight_ih_l0_reverse": [[-0.1216, -0.1432, 0.3163], [-0.6950, 0.2082, 0.1613]],
            "weight_hh_l0_reverse": [[-0.3441, 0.0915], [-0.2372, 0.2422]],
            "bias_ih_l0_reverse": [0.3067, 0.6804],
            "bias_hh_l0_reverse": [0.2079, 0.1318],
        },
        {
            "output": [
                [
                    [0.8117, -0.4865, 0.4549, 0.4985],
                    [-0.0333, -0.6678, 0.3855, 0.6282],
                    [0.4834, -0.8639, 0.1292, 0.3069],
                    [-0.3773, -0.8821, 0.2727, 0.7177],
                ]
            ],
            "h_n": [[[-0.3773, -0.8821]], [[0.4549, 0.4985]]],
        },
    ),
    "In [245], layer 0 of two": Printed(
        torch.nn.RNN(3, 3, batch_first=True),
        LAYER_0,
        {"output": [[[0.1430, 0.8696, 0.2832], [0.4706, 0.9036, 0.7538], [0.7066, 0.8677, 0.9102], [0.7414, 0.9353, 0.8858]]]},
    ),
    "In [230] to [239], two layers": Printed(
        torch.nn.RNN(3, 3, num_layers=2, batch_first=True),
        LAYER_0 | LAYER_1,
        {
            "output": [
                [[0.0348, -0.2825, 0.5068], [-0.0356, -0.2683, 0.6636], [0.0149, -0.2029, 0.6910], [0.0190, -0.2103, 0.6927]]
            ],
            "h_n": [[[0.7414, 0.9353, 0.8858]], [[0.0190, -0.2103, 0.6927]]],
        },
    ),
    "In [328] to [340], a GRU": Printed(
        torch.nn.GRU(3, 1, batch_first=True),
        {
            "weight_ih_l0": [[-0.0673, -0.1624, 0.4516], [0.2531, 0.1567, 0.2796], [-0.4242, -0.5414, -0.8276]],
            "weight_hh_l0": [[0.6088], [-0.9962], [-0.7625]],
            "bias_ih_l0": [0.8264, 0.8598, 0.6835],
            "bias_hh_l0": [-0.4312, -0.8736, -0.8906],
        },
        {"output": [[[-0.3149], [-0.4718], [-0.5516], [-0.6281]]]},
    ),
    "In [343] to [352], an LSTM": Printed(
        torch.nn.LSTM(3, 1, batch_first=True),
        {
            "weight_ih_l0": [
                [-0.6096, 0.3653, 0.9641],
                [-0.2380, -0.3644, 0.6403],
                [0.3301, -0.4984, 0.1940],
                [-0.8881, 0.1192, -0.6559],
            ],
            "weight_hh_l0": [[-0.2598], [-0.9220], [-0.6546], [-0.6251]],
            "bias_ih_l0": [0.9738, -0.7896, 0.2528, -0.3227],
            "bias_hh_l0": [0.5644, -0.0880, 0.0569, 0.5657],
        },
        {"output": [[[0.0668], [-0.0310], [-0.0401], [-0.1506]]], "h_n": [[[-0.1506]]], "c_n": [[[-0.5870]]]},
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_001_printed_weights_give_printed_outputs(name: str) -> None:
    """Every printed output comes out to its last digit, but for what the rounding of the typed weights explains."""
    case = MODULES[name]
    module = loaded(case.module, case.weights)
    result = rnntrace.trace(module, [case.x])
    reach = reaches(module, [case.x], weights=5e-5, inputs=0.0)
    assert result.passed
    for key, printed in case.outputs.items():
        assert_decimals(result.outputs[key], printed, reach[key])
        assert_decimals(result.expected[key], printed, reach[key])


# 002: no seed and no weights; shapes and names alone are printed whole.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "bidirectional", "batch", "output", "h_n"),
    [
        (10, False, 1, (1, 32, 256), (10, 1, 256)),
        (10, True, 1, (1, 32, 512), (20, 1, 256)),
        (1, False, 2, (2, 32, 256), (1, 2, 256)),
        (1, True, 2, (2, 32, 512), (2, 2, 256)),
        (3, False, 2, (2, 32, 256), (3, 2, 256)),
        (3, True, 2, (2, 32, 512), (6, 2, 256)),
    ],
    ids=["106", "107", "105", "75", "91", "95"],
)
def test_002_shapes_and_agreement(
    layers: int, bidirectional: bool, batch: int, output: tuple[int, ...], h_n: tuple[int, ...]
) -> None:
    """The loop by hand and torch agree on modules of these sizes, and the shapes are those that the notebook gets."""
    torch.manual_seed(0)
    rnn = torch.nn.RNN(128, 256, layers, batch_first=True, bidirectional=bidirectional)
    result = rnntrace.trace(rnn, torch.rand(batch, 32, 128))
    assert result.passed
    assert result.outputs["output"].shape == output
    assert result.outputs["h_n"].shape == h_n


def test_002_in_106_names_and_in_96_shapes_of_the_parameters() -> None:
    """The forty printed names in their order, and the printed shapes of three layers in both directions."""
    deep = ModuleSpec(kind="RNN", input_size=128, hidden_size=256, num_layers=10, batch_first=True)
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    assert list(parameter_shapes(deep)) == [f"{part}_l{layer}" for layer in range(10) for part in parts]
    both = ModuleSpec(kind="RNN", input_size=128, hidden_size=256, num_layers=3, bidirectional=True, batch_first=True)
    shapes = parameter_shapes(both)
    assert [shapes[f"weight_ih_l{layer}_reverse"] for layer in range(3)] == [(256, 128), (256, 512), (256, 512)]
    assert [shapes[f"weight_hh_l{layer}"] for layer in range(3)] == [(256, 256)] * 3
    assert [shapes[f"bias_ih_l{layer}"] for layer in range(3)] == [shapes[f"bias_hh_l{layer}"] for layer in range(3)]
    assert [shapes[f"bias_hh_l{layer}"] for layer in range(3)] == [(256,)] * 3


# 003: parameters with all their digits, inputs and outputs with four decimals.

X_003 = [
    [[1.1150, -1.9053], [-0.8039, 1.6239], [-0.7541, 0.3839], [-0.8075, -1.3132], [0.1741, 0.7878]],
    [[-1.3851, 0.8334], [-0.1918, 1.0145], [0.7142, -0.1625], [-0.0992, 1.4404], [-0.3180, -1.0389]],
    [[1.1328, 1.8441], [-0.6378, -0.2136], [0.2844, 0.4213], [1.1409, 0.4411], [0.4967, -0.8242]],
    [[1.2499, 0.4635], [0.0251, 0.1511], [-0.8519, 1.0837], [0.0, 0.0], [0.0, 0.0]],
]
"""The printed inputs; the last two steps of the last sequence are cut off."""
OUTPUT_003 = [
    [
        [-0.2065, 0.8683, -0.5291],
        [0.2291, -0.2391, 0.9395],
        [0.5406, -0.0849, 0.6028],
        [0.5821, 0.6228, -0.0429],
        [0.0944, 0.3026, 0.6382],
    ],
    [
        [0.4830, -0.2884, 0.8294],
        [0.3213, -0.2034, 0.5871],
        [0.0035, 0.4418, 0.0406],
        [0.1131, -0.1644, 0.8481],
        [0.4709, 0.5381, 0.0799],
    ],
    [
        [-0.4207, -0.2263, 0.7181],
        [0.4543, 0.0998, 0.5878],
        [0.1823, 0.2576, 0.4269],
        [-0.1674, 0.4108, 0.3711],
        [0.1294, 0.6823, 0.2471],
    ],
    [[-0.3845, 0.3511, 0.3099], [0.1944, 0.2795, 0.6799], [0.5375, -0.2200, 0.8352], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
]


def rnn_003() -> torch.nn.RNNBase:
    """The module of notebook 003."""
    weights = {
        "weight_ih_l0": [[-0.36250335, -0.06201804], [0.19342226, -0.4159969], [-0.2725783, 0.3993578]],
        "weight_hh_l0": [
            [0.06113869, 0.17437363, 0.3263952],
            [0.16002077, 0.30942285, -0.06392378],
            [-0.38864082, 0.3857612, 0.04680109],
        ],
        "bias_ih_l0": [-0.31550786, 0.1562801, 0.44562936],
        "bias_hh_l0": [0.39199525, 0.16152865, 0.03036499],
    }
    return loaded(torch.nn.RNN(2, 3, batch_first=True), weights)


def test_003_in_49_every_output_whose_inputs_are_printed() -> None:
    """54 outputs to their last digit, but for what the rounding of the typed inputs explains."""
    rnn = rnn_003()
    result = rnntrace.trace(rnn, X_003, lengths=[5, 5, 5, 3])
    reach = reaches(rnn, X_003, weights=0.0, inputs=5e-5)["output"]
    assert result.passed
    assert int((result.outputs["output"] != 0).sum()) == 54
    assert_decimals(result.outputs["output"], OUTPUT_003, reach)
    assert_decimals(result.expected["output"], OUTPUT_003, reach)
    h_n = [OUTPUT_003[0][4], OUTPUT_003[1][4], OUTPUT_003[2][4], OUTPUT_003[3][2]]
    assert_decimals(result.outputs["h_n"], [h_n], reach.max())


def test_003_in_42_the_last_output_is_the_final_state() -> None:
    """In one direction, the last step of the output and h_n are the same numbers."""
    result = rnntrace.trace(rnn_003(), X_003[:3])
    assert np.array_equal(result.outputs["output"][:, -1], result.outputs["h_n"][0])
    assert np.array_equal(result.expected["output"][:, -1], result.expected["h_n"][0])


# 004: seed 0 in torch, four decimals; Keras with eight digits.

OUTPUT_004 = [
    [[-0.7497, -0.6135], [-0.5282, -0.2473], [-0.9136, -0.4269], [-0.9136, -0.4269], [-0.9028, 0.1180]],
    [[-0.5753, -0.0070], [-0.9052, 0.2597], [-0.9173, -0.1989], [-0.9173, -0.1989], [-0.8996, -0.2725]],
    [[-0.9077, -0.3205], [-0.8944, -0.2902], [-0.5134, -0.0288], [-0.5134, -0.0288], [-0.9127, -0.2222]],
]
KERAS_004 = [
    [
        [0.41671875, 0.75149643],
        [-0.01093186, -0.0412939],
        [-0.23885903, -0.61019343],
        [-0.02947876, -0.13416067],
        [0.589034, 0.5193354],
    ],
    [
        [0.36916515, 0.6169435],
        [0.2875167, -0.18302734],
        [-0.4970336, -0.51885283],
        [0.22681062, -0.21654943],
        [-0.45062372, -0.49282563],
    ],
    [
        [-0.24819823, -0.6356118],
        [-0.02076373, -0.10890364],
        [0.38470918, 0.6801698],
        [0.01933733, 0.03075416],
        [-0.2655577, -0.6538473],
    ],
]
ONE_HOT_004 = np.eye(4)[[["helo".index(letter) for letter in text] for text in ("hello", "eolll", "lleel")]]


def test_004_in_156_and_157_output_and_final_state(capsys: pytest.CaptureFixture[str]) -> None:
    """One command gives all thirty outputs and the final state as printed, and says which axis was taken for time."""
    line = "rnntrace run rnn -i 4 -H 2 --seed 0 --text hello,eolll,lleel --alphabet helo"
    assert f"{line} --show weights,states --item 0" in COMMANDS
    answer = run(capsys, line)
    for side in ("outputs", "expected"):
        assert_decimals(answer[side]["output"], OUTPUT_004)
        assert_decimals(answer[side]["h_n"], [OUTPUT_004[-1]])
    assert np.array_equal(answer["inputs"]["x"], ONE_HOT_004)
    assert any("axis 0 (3) was taken for time" in warning for warning in answer["warnings"])


def test_004_in_158_the_weights() -> None:
    """The twelve printed weights."""
    torch.manual_seed(0)
    weights = rnntrace.trace(torch.nn.RNN(4, 2), ONE_HOT_004).weights[0, "forward"]
    assert_decimals(weights.W_ih, [[[-0.0053, 0.3793, -0.5820, -0.5204], [-0.2723, 0.1896, -0.0140, 0.5607]]])
    assert_decimals(weights.W_hh, [[[-0.0628, 0.1871], [-0.2137, -0.1390]]])


def test_004_in_163_and_164_keras_outputs_from_weights_found_in_them() -> None:
    """Twelve weights give all thirty of Keras' outputs to the last digit; the recurrent ones are orthogonal, as Keras draws."""
    y = np.array(KERAS_004)
    before = np.concatenate([np.zeros((3, 1, 2)), y[:, :-1]], axis=1)
    both = np.concatenate([ONE_HOT_004, before], axis=2).reshape(15, 6)
    W, U = np.split(np.linalg.lstsq(both, np.arctanh(y).reshape(15, 2))[0].T, [4], axis=1)
    rnn = torch.nn.RNN(4, 2, bias=False, batch_first=True, dtype=torch.float64)
    rnn.load_state_dict({"weight_ih_l0": torch.tensor(W), "weight_hh_l0": torch.tensor(U)})
    result = rnntrace.trace(rnn, ONE_HOT_004)
    assert result.passed
    assert np.abs(result.outputs["output"] - y).max() < 1e-7
    assert np.allclose(U @ U.T, np.eye(2), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_004_in_161_and_162_keras_runs_its_own_layer(capsys: pytest.CaptureFixture[str]) -> None:
    """Live: h_n of shape (3, 2), as the notebook prints, and all thirty outputs from the weights that were found in them."""
    alone, both = (line for line in COMMANDS if "--framework keras" in line)
    answer = run(capsys, alone)
    assert np.shape(answer["expected"]["h_n"]) == (1, 3, 2)
    assert answer["environment"]["framework"] == "keras"
    typed, keras = run(capsys, both)["modules"]
    assert np.abs(np.array(typed["expected"]["output"]) - KERAS_004).max() == 0
    assert np.abs(np.array(keras["expected"]["output"]) - KERAS_004).max() < 2e-7


# The page.

LABELS = {
    "000": [3, 5, 9, *range(12, 18), 36],
    "001": [
        *(55, 57, 60, 26, 61, 65, 73, 75, 76, 116, 118, 119, 120, 121, 133, 140, 141, 142, 159, 164),
        *(167, 168, 169, 170, 193, 194, 174, 177, 190, 195, 196, 197, 199, 209, 207, 208),
        *(230, 231, 232, 233, 245, 252, 238, 239, 328, 329, 337, 339, 340, 333, 343, 347, 345, 346, 350, 352, 351),
        *(342, 325, 331, 299, 310, 277, 266),
    ],
    "002": [93, 106, 107, 105, 75, 91, 95, 96, 100, 104],
    "003": [1, 41, 42, 49],
    "004": list(range(149, 165)),
}
"""Every numbered cell of the five notebooks."""


def parts() -> Iterator[tuple[str, str]]:
    """(number, text) of the page's part on each notebook."""
    for part in re.split(r"^## (?=00\d: )", PAGE, flags=re.MULTILINE)[1:]:
        yield part[:3], part


def test_the_page_names_every_cell_of_every_notebook() -> None:
    """Each numbered cell stands in a table of its notebook's part, and no other."""
    named = {
        number: {
            int(label)
            for row in re.findall(r"^\|.*\|$", part, re.MULTILINE)
            for label in re.findall(r"\[(\d+)\]", row.split("|")[1])
        }
        for number, part in parts()
    }
    assert {number: cells - {0} for number, cells in named.items()} == {number: set(cells) for number, cells in LABELS.items()}


def test_the_page_has_commands_and_scripts() -> None:
    """What the tests below run is all there is, and each script is followed by its output."""
    assert len(COMMANDS) == PAGE.count("\n$ rnntrace ") == 16
    assert len(SCRIPTS) == PAGE.count("```python\n") == len(re.findall(r"^```\n\n```text\n.", PAGE, re.MULTILINE)) == 17


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=pytest.mark.slow) if "--framework keras" in line else line for line in COMMANDS]
)
def test_a_command_of_the_page_passes(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command ends with exit code 0 and a verdict that passes; a script of the page writes the files that it reads."""
    files = [f'"{word}"' for word in shlex.split(line) if word.endswith((".pt", ".npz", ".npy"))]
    for script in SCRIPTS:
        if any(file in script for file in files):
            exec(compile(script, "<page>", "exec"), {"__name__": "__main__"})
    assert exit_code(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(("PASS", "IDENTICAL"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_of_the_page_prints_what_the_page_shows(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every script prints the words below it, and the numbers but for one unit of the last digit."""
    shown = BLOCKS[BLOCKS.index(("python", script)) + 1][1]
    exec(compile(script, "<page>", "exec"), {"__name__": "__main__"})
    number = re.compile(r"-?\d+\.\d*")
    printed = capsys.readouterr().out
    assert number.sub("#", printed).split() == number.sub("#", shown).split()
    assert np.allclose(*([float(text) for text in number.findall(side)] for side in (printed, shown)), rtol=0, atol=1.01e-3)
