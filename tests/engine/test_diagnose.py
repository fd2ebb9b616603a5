"""The search for mistakes: what a student's own wrong loop gives is named, and what no known mistake gives is not."""

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

import numpy as np
import pytest
import torch
from strategies import problem
from thorough import THOROUGH

from rnntrace.engine.diagnose.agreement import Target
from rnntrace.engine.diagnose.case import Case, Outputs
from rnntrace.engine.diagnose.mistake import Mistake, catalogue, outputs_of
from rnntrace.engine.diagnose.search import Diagnosis, diagnose
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES
from rnntrace.model.dtypes import Array
from rnntrace.model.spec import ModuleSpec

SWEEPS = int(os.environ.get("RNNTRACE_SWEEPS", "1"))
"""Modules of each sort in the sweeps; 20 take some minutes."""
PATIENCE = 120.0
"""Seconds for a search that is not to be cut off, on however busy a machine."""
STEPS, BATCH, SIZE = 5, 3, 4


def drawn(kind: str, seed: int = 0, lengths: tuple[int, ...] | None = None, batch: int = BATCH, **options: object) -> Case:
    """A module with weights, inputs and initial states from a seed; as many inputs as units, so that W_ih can be transposed."""
    sizes = {"input_size": SIZE, "hidden_size": SIZE, "dtype": "float64"}
    spec = ModuleSpec(kind=kind, **{**sizes, **options})  # type: ignore[arg-type]
    made = problem(spec, STEPS, batch, lengths, seed)
    return Case.of(made.spec, made.weights, made.inputs)


def explained(case: Case, outputs: Outputs, dtype: str = "float64") -> Diagnosis:
    """The diagnosis of these outputs."""
    return diagnose(case, outputs, TORCH_TOLERANCES[dtype], seconds=PATIENCE)


# --- a student's own loops, which share nothing with the catalogue --------------------------------------------------------


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def hard_sigmoid(a: Array) -> Array:
    return np.clip(0.2 * a + 0.5, 0, 1)


Arrays = dict[str, Array]
Step = Callable[[Arrays, Array, Array, Array], tuple[Array, Array]]


def arrays(case: Case) -> Arrays:
    """The weights of the only layer as torch has them, W (G·H, ·) and b (G·H), and the signals."""
    weights = {name: array.reshape(-1, *array.shape[2:]) for name, array in case.weights[0, "forward"].arrays.items()}
    inputs = case.inputs
    return {**weights, "x": inputs.x, "h0": inputs.h0[0], "c0": inputs.h0[0] if inputs.c0 is None else inputs.c0[0]}


def loop(given: Arrays, step: Step) -> Outputs:
    """x from the first step to the last, every step from the state before."""
    h, c, output = given["h0"], given["c0"], []
    for x in given["x"]:
        h, c = step(given, x, h, c)
        output.append(h)
    return {"output": np.stack(output), "h_n": h[None]}


def gates(given: Arrays, x: Array, h: Array) -> Array:
    return x @ given["W_ih"].T + given["b_ih"] + h @ given["W_hh"].T + given["b_hh"]


def lstm(given: Arrays, x: Array, h: Array, c: Array, squash: Callable[[Array], Array] = sigmoid) -> tuple[Array, Array]:
    i, f, g, o = np.split(gates(given, x, h), 4, axis=1)
    c = squash(f) * c + squash(i) * np.tanh(g)
    return squash(o) * np.tanh(c), c


def lstm_in_onnx_order(given: Arrays, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    i, o, f, g = np.split(gates(given, x, h), 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def lstm_without_tanh(given: Arrays, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    i, f, g, o = np.split(gates(given, x, h), 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * c, c


def lstm_with_forget_bias(given: Arrays, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    i, f, g, o = np.split(gates(given, x, h), 4, axis=1)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def lstm_that_clips(given: Arrays, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    i, f, g, o = np.split(gates(given, x, h), 4, axis=1)
    c = np.clip(sigmoid(f) * c + sigmoid(i) * np.tanh(g), -1, 1)
    return sigmoid(o) * np.tanh(c), c


def lstm_unit_by_unit(given: Arrays, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    a = gates(given, x, h)
    i, f, g, o = a[:, 0::4], a[:, 1::4], a[:, 2::4], a[:, 3::4]
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(given: Arrays, x: Array, h: Array, _: Array, *, before: bool = False, outside: bool = False, swap: bool = False):  # type: ignore[no-untyped-def]
    x_r, x_z, x_n = np.split(x @ given["W_ih"].T + given["b_ih"], 3, axis=1)
    h_r, h_z, h_n = np.split(h @ given["W_hh"].T + given["b_hh"], 3, axis=1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    W_hn, b_hn = given["W_hh"][2 * SIZE :], given["b_hh"][2 * SIZE :]
    h_n = r * (h @ W_hn.T) + b_hn if outside else r * h_n
    n = np.tanh(x_n + ((r * h) @ W_hn.T + b_hn if before else h_n))
    return ((1 - z) * h + z * n if swap else (1 - z) * n + z * h), _


def rnn(given: Arrays, x: Array, h: Array, _: Array) -> tuple[Array, Array]:
    return np.tanh(gates(given, x, h)), _


def transposed(given: Arrays) -> Arrays:
    """Every gate's W_hh the other way round, as h @ W_hh has it."""
    blocks = given["W_hh"].reshape(-1, SIZE, SIZE)
    return {**given, "W_hh": blocks.swapaxes(1, 2).reshape(-1, SIZE)}


def by_hand(change: Callable[[Arrays], Arrays], step: Step) -> Callable[[Arrays], Outputs]:
    return lambda given: loop(change(given), step)


def same(given: Arrays) -> Arrays:
    return given


BY_HAND: dict[str, tuple[str, Callable[[Arrays], Outputs]]] = {
    "lstm.gate-order.iofc": ("LSTM", by_hand(same, lstm_in_onnx_order)),
    "lstm.equation.tanh-forgotten": ("LSTM", by_hand(same, lstm_without_tanh)),
    "lstm.forget-bias.added": ("LSTM", by_hand(same, lstm_with_forget_bias)),
    "lstm.equation.clip-1": ("LSTM", by_hand(same, lstm_that_clips)),
    "lstm.activation.hard-sigmoid-5": ("LSTM", by_hand(same, lambda *now: lstm(*now, squash=hard_sigmoid))),
    "lstm.transpose.W_hh": ("LSTM", by_hand(transposed, lstm)),
    "lstm.state.swapped": ("LSTM", by_hand(lambda given: {**given, "h0": given["c0"], "c0": given["h0"]}, lstm)),
    "lstm.recurrence.h-alone-not-updated": (
        "LSTM",
        by_hand(same, lambda given, x, h, c: lstm(given, x, given["h0"], c)),
    ),
    "gru.equation.reset-before": ("GRU", by_hand(same, lambda *now: gru(*now, before=True))),
    "gru.bias.hidden-outside-reset": ("GRU", by_hand(same, lambda *now: gru(*now, outside=True))),
    "gru.equation.z-inverted": ("GRU", by_hand(same, lambda *now: gru(*now, swap=True))),
    "gru.bias.hh-twice": ("GRU", by_hand(lambda given: {**given, "b_ih": given["b_ih"] + given["b_hh"]}, gru)),
    "rnn.bias.hh-dropped": ("RNN", by_hand(lambda given: {**given, "b_hh": 0 * given["b_hh"]}, rnn)),
    "rnn.state.h0-ignored": ("RNN", by_hand(lambda given: {**given, "h0": 0 * given["h0"]}, rnn)),
    "rnn.time.reversed": ("RNN", by_hand(lambda given: {**given, "x": given["x"][::-1]}, rnn)),
    "rnn.time.one-ahead": (
        "RNN",
        by_hand(lambda given: {**given, "x": np.stack([*given["x"][1:], 0 * given["x"][0]])}, rnn),
    ),
    "rnn.activation.h-relu": (
        "RNN",
        by_hand(same, lambda given, x, h, c: (np.maximum(gates(given, x, h), 0), c)),
    ),
    "rnn.transpose.W_hh": ("RNN", by_hand(transposed, rnn)),
}


@pytest.mark.slow
@pytest.mark.parametrize("id", BY_HAND)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_students_wrong_loop_is_named(id: str, dtype: str) -> None:
    """The one answer is the mistake that the loop makes, and it leaves no more than rounding."""
    kind, student = BY_HAND[id]
    case = drawn(kind, 11, dtype=dtype)
    if dtype == "float32":
        case = replace(case, weights=case.weights.astype(np.dtype(np.float32)))
    outputs = {name: values.astype(dtype) for name, values in student(arrays(case)).items()}
    found = explained(case, outputs, dtype)
    assert [answer.id for answer in found.answers] == [id]
    assert found.answers[0].after < (1e-12 if dtype == "float64" else 1e-6) < found.before


def test_a_students_loop_of_units_is_named_among_its_equals() -> None:
    """With four gates and four units, reading unit by unit is its own opposite: nothing tells the two apart."""
    case = drawn("LSTM", 3)
    found = explained(case, loop(arrays(case), lstm_unit_by_unit))
    assert [answer.id for answer in found.answers] == ["lstm.interleaved.read", "lstm.interleaved.stored"]
    assert found.distinguishing_run == ""


@pytest.mark.slow
def test_two_mistakes_of_a_student_are_both_named() -> None:
    """An LSTM without its tanh that was given its states in the wrong order."""
    case = drawn("LSTM", 4)
    given = arrays(case)
    outputs = loop({**given, "h0": given["c0"], "c0": given["h0"]}, lstm_without_tanh)
    (answer,) = explained(case, outputs).answers
    assert answer.id == "lstm.equation.tanh-forgotten+lstm.state.swapped"


def test_mistakes_of_reading_what_torch_returns() -> None:
    """torch's own output, taken wrongly: halves exchanged, the reverse half in its own order, output[-1] for h_n."""
    torch.manual_seed(0)
    module = torch.nn.GRU(SIZE, SIZE, bidirectional=True).double()
    case = drawn("GRU", bidirectional=True)
    with torch.no_grad():
        for direction, suffix in (("forward", ""), ("reverse", "_reverse")):
            for name, array in case.weights[0, direction].arrays.items():
                parameter = getattr(module, name.replace("W", "weight").replace("b_", "bias_") + "_l0" + suffix)
                parameter.copy_(torch.from_numpy(array.reshape(parameter.shape)))
        output, h_n = (found.numpy() for found in module(torch.from_numpy(case.inputs.x), torch.from_numpy(case.inputs.h0)))
    forward, reverse = output[..., :SIZE], output[..., SIZE:]
    taken: dict[str, Outputs] = {
        "halves-swapped": {"output": np.concatenate([reverse, forward], axis=2), "h_n": h_n},
        "reverse-not-flipped": {"output": np.concatenate([forward, reverse[::-1]], axis=2), "h_n": h_n},
        "last-output-as-h_n": {"output": output, "h_n": np.stack([forward[-1], reverse[-1]])},
        "viewed": {"output": output, "h_n": h_n.reshape(BATCH, 2, SIZE).swapaxes(0, 1)},
    }
    for name, outputs in taken.items():
        assert [answer.id for answer in explained(case, outputs).answers] == [f"gru.reading.{name}"]
    assert explained(case, {"output": output, "h_n": h_n}).answers == ()


# --- everything in the catalogue, found again -----------------------------------------------------------------------------

SORTS: dict[str, tuple[str, dict[str, object]]] = {
    "rnn": ("RNN", {}),
    "rnn, relu, both ways": ("RNN", {"nonlinearity": "relu", "bidirectional": True}),
    "rnn cell": ("RNNCell", {}),
    "lstm": ("LSTM", {}),
    "lstm, packed": ("LSTM", {"lengths": (5, 2, 4)}),
    "lstm, projected": ("LSTM", {"proj_size": 2}),
    "gru, stacked both ways": ("GRU", {"num_layers": 2, "bidirectional": True}),
    "gru, reset before, no bias": ("GRU", {"reset_after": False, "bias": False}),
    "gru cell": ("GRUCell", {}),
}


def known(case: Case, outputs: Outputs) -> Outputs:
    """What of these outputs a user could have: a state that is not known is not given."""
    return {name: values for name, values in outputs.items() if not np.isnan(values).any()}


def alike(first: Outputs | None, second: Outputs, atol: float = 1e-6) -> bool:
    """Whether the outputs that the second has agree."""
    return first is not None and all(
        first[name].shape == values.shape and np.allclose(first[name], values, rtol=0, atol=atol)
        for name, values in second.items()
    )


def shown(case: Case) -> list[tuple[Mistake, Outputs]]:
    """The mistakes that change these outputs, and what they make of them."""
    right = outputs_of(case)
    assert right is not None
    found = [(mistake, outputs_of(case, (mistake,))) for mistake in catalogue(case.cell)]
    return [(mistake, known(case, outputs)) for mistake, outputs in found if outputs and not alike(right, known(case, outputs))]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SWEEPS))
@pytest.mark.parametrize("sort", SORTS)
def test_every_single_mistake_is_found(sort: str, seed: int) -> None:
    """Among the answers is the mistake, and every answer gives the same outputs: there is no better one.

    Of a sort of modules those are tried that no sort before it of the same kind has, and a sixth of the others.
    """
    kind, options = SORTS[sort]
    case = drawn(kind, 100 + seed, **options)  # type: ignore[arg-type]
    made = shown(case)
    assert len(made) > 10
    before = [other for other in takewhile(lambda name: name != sort, SORTS) if SORTS[other][0] == kind]
    tried = {mistake.id for name in before for mistake, _ in shown(drawn(kind, 100 + seed, **SORTS[name][1]))}  # type: ignore[arg-type]
    for number, (mistake, outputs) in enumerate(made):
        if mistake.id in tried and number % 6 and not THOROUGH:
            continue
        found = explained(case, outputs)
        assert mistake.id in [answer.id for answer in found.answers], mistake.id
        assert all(alike(outputs_of(case, answer.mistakes), outputs) for answer in found.answers), mistake.id


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4 * SWEEPS))
@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_pairs_of_mistakes_are_found(kind: str, seed: int) -> None:
    """Two mistakes of different families, drawn at random: the first answer gives these outputs."""
    generator = np.random.default_rng(seed)
    case = drawn(kind, 200 + seed)
    made = [mistake for mistake, _ in shown(case)]
    drawings = (sorted(generator.choice(len(made), 2, replace=False)) for _ in range(100))
    pairs = ((made[first], made[second]) for first, second in drawings if made[first].family != made[second].family)
    chosen, outputs = next((pair, made) for pair in pairs if (made := outputs_of(case, pair)))
    outputs = known(case, outputs)
    found = explained(case, outputs)
    assert found.answers, [mistake.id for mistake in chosen]
    assert alike(outputs_of(case, found.answers[0].mistakes), outputs)


# --- as much as a user has ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [("h_n",), ("c_n",), ("output",), ("h_n", "c_n")])
def test_what_is_given_is_enough(given: tuple[str, ...]) -> None:
    """One of the outputs alone tells a gate order."""
    case = drawn("LSTM", 5)
    outputs = outputs_of(case, [mistake for mistake in catalogue(case.cell) if mistake.id == "lstm.gate-order.fico"])
    assert outputs is not None
    found = explained(case, {name: outputs[name] for name in given})
    assert "lstm.gate-order.fico" in [answer.id for answer in found.answers]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_outputs_of_fewer_digits_are_explained_as_well(dtype: str) -> None:
    """A student's float64 loop, saved in a coarser format: the mistake is named, and so are right outputs, as coarse."""
    case = drawn("GRU", 6)
    wrong, right = loop(arrays(case), lambda *now: gru(*now, swap=True)), loop(arrays(case), gru)
    coarse = [{name: values.astype(dtype) for name, values in outputs.items()} for outputs in (wrong, right)]
    assert [answer.id for answer in explained(case, coarse[0]).answers] == ["gru.equation.z-inverted"]
    found = explained(case, coarse[1])
    assert (found.coarse, [answer.id for answer in found.answers]) == (dtype, [f"gru.precision.{dtype}"])


@pytest.mark.parametrize("decimals", [3, 4, 6])
def test_printed_values_are_known_for_what_they_are(decimals: int) -> None:
    """Right values as print shows them are explained as rounded; wrong ones by the mistake."""
    case = drawn("LSTM", 7, dtype="float32")
    right = {name: np.round(values, decimals) for name, values in loop(arrays(case), lstm).items()}
    wrong = {name: np.round(values, decimals) for name, values in loop(arrays(case), lstm_in_onnx_order).items()}
    if decimals < 6:
        (answer,) = explained(case, right, "float32").answers
        assert answer.id == f"lstm.precision.printed-{decimals}"
        assert answer.after < 0.51 * 10**-decimals
    assert explained(case, wrong, "float32").answers[0].id == "lstm.gate-order.iofc"


# --- no explanation where there is none -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RNN", "GRU"])
@pytest.mark.parametrize("noise", [1e-3, 1e-2, None])
def test_no_mistake_explains_noise_or_other_weights(kind: str, noise: float | None) -> None:
    """Neither noise on right outputs nor the outputs of unrelated weights are given an explanation."""
    case, other = drawn(kind, 8), drawn(kind, 9)
    right = outputs_of(case if noise else replace(case, weights=other.weights))
    assert right is not None
    generator = np.random.default_rng(0)
    given = {name: values + (noise or 0) * generator.standard_normal(values.shape) for name, values in right.items()}
    found = explained(case, given)
    assert (found.answers, found.exhausted) == ((), True)
    # All single ones and all pairs of two families.
    singles = [mistake for mistake in catalogue(case.cell) if mistake.change(case)]
    families = [mistake.family for mistake in singles]
    pairs = sum(first != second for number, first in enumerate(families) for second in families[:number])
    assert found.tried == len(singles) + pairs
    assert found.nearest is None or found.nearest.after < found.before


@pytest.mark.slow
def test_nearest_is_told_with_the_first_place_that_it_does_not_explain() -> None:
    """A gate order, and one value of the third step off by 0.1: the order is nearest, and that value is where it fails."""
    case = drawn("GRU", 10)
    outputs = outputs_of(case, [mistake for mistake in catalogue(case.cell) if mistake.id == "gru.gate-order.zrn"])
    assert outputs is not None
    output = outputs["output"].copy()
    output[2, 1, 3] += 0.1
    found = explained(case, {"output": output})
    assert found.nearest is not None
    assert found.nearest.id == "gru.gate-order.zrn"
    assert found.nearest.after == pytest.approx(0.1)
    place = found.nearest.unexplained
    assert place is not None
    assert (place.symbol, place.layer, place.direction, place.t, place.item, place.unit) == ("output", 0, "forward", 3, 1, 3)
    assert place.framework - place.replay == pytest.approx(0.1)


def test_values_that_are_not_numbers_explain_nothing_by_themselves() -> None:
    """The same NaN or infinity on both sides is no difference; on one side it is one, and NaN alone is no agreement."""
    nan, inf = np.nan, np.inf

    def agree(expected: list[float], found: list[float]) -> bool:
        given, other = ({"output": np.array(values).reshape(1, 1, -1)} for values in (expected, found))
        return Target.of(drawn("RNN"), given, TORCH_TOLERANCES["float64"]).off(other).agrees

    assert agree([1, nan, inf], [1, nan, inf])
    assert not agree([nan, nan], [nan, nan])
    assert not agree([1, inf], [1, -inf])
    assert not agree([1, inf], [1, 2])
    assert not agree([1, 2], [1, nan])


def test_a_worse_answer_is_no_equal() -> None:
    """c0 of 1e-5, and neither state used: h0 alone ignored is within tolerance too, but leaves far more."""
    case = drawn("LSTM", 15, dtype="float32")
    inputs = case.inputs
    assert inputs.c0 is not None
    case = replace(case, inputs=replace(inputs, c0=np.full_like(inputs.c0, 1e-5)))
    given = arrays(case)
    outputs = loop({**given, "h0": 0 * given["h0"], "c0": 0 * given["c0"]}, lstm)
    assert np.abs(outputs["output"] - loop({**given, "h0": 0 * given["h0"]}, lstm)["output"]).max() < 1e-5
    found = explained(case, {name: values.astype(np.float32) for name, values in outputs.items()}, "float32")
    assert [answer.id for answer in found.answers] == ["lstm.state.both-ignored"]


def test_time_is_kept() -> None:
    """With hardly any time there is hardly anything tried, and the diagnosis says so."""
    case = drawn("LSTM", 13)
    output = np.random.default_rng(0).standard_normal((STEPS, BATCH, SIZE))
    found = diagnose(case, {"output": output}, TORCH_TOLERANCES["float64"], seconds=1e-9)
    assert (found.tried, found.exhausted, found.answers) == (0, False, ())


def test_an_input_that_tells_answers_apart_is_named() -> None:
    """On a single step, x one step ahead and one step behind are both no x at all; on more steps they differ."""
    case = drawn("RNN", 14)
    case = replace(case, inputs=replace(case.inputs, x=case.inputs.x[:1]))
    given = arrays(case)
    found = explained(case, loop({**given, "x": 0 * given["x"]}, rnn))
    assert [answer.id for answer in found.answers] == ["rnn.time.one-ahead", "rnn.time.one-behind"]
    assert found.distinguishing_run == "more steps"
