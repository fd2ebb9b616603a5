"""The digits of typed numbers: what is told of an array, and what follows for verdicts on numbers out of text."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import ask
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import examples

from rnntrace.files import read_source
from rnntrace.files.digits import OUTPUTS, SIGNALS, half_units
from rnntrace.model.dtypes import Array

FIXED = {
    "0.1234 0.5 -0.25": 4,
    "0.53631 0.77198": 5,
    "0.5363 0.8": 4,
    "0.0123 1.2346 123.4568 0.5 1.0": 4,
    "0.5000 0.2500": 4,
    "1e-05 0.99999 0.5": 5,
    "0.12 0.34": 2,
    "1 -1 0.9995": 4,
    "0.1235 nan 0.5": 4,
    "0.75": 2,
}


@pytest.mark.parametrize("text", FIXED)
def test_decimals_are_those_of_the_array(text: str) -> None:
    """Its largest number of decimals counts, for a dump drops trailing zeros."""
    words = text.split()
    half = half_units(words, np.array(words, float), OUTPUTS)
    assert half is not None
    assert half == pytest.approx(0.5 * 10.0 ** -FIXED[text])


@pytest.mark.parametrize("text", ["0.5 0.2", "1 2 3", "12 0.5", "1e3 2e5", "nan inf", ""])
def test_few_decimals_are_exact(text: str) -> None:
    """An exercise gives 0.5 and means it."""
    words = text.split()
    assert half_units(words, np.array(words, float), OUTPUTS) is None


def test_weights_and_inputs_are_exact_up_to_two_decimals() -> None:
    """From three on they are numbers that were printed."""
    for words, exact in ((["0.25", "0.13"], True), (["0.25", "0.135"], False)):
        assert (half_units(words, np.array(words, float), SIGNALS) is None) is exact


@pytest.mark.slow
@given(
    # No powers of ten, which look the same with few digits as with many.
    values=st.lists(
        st.floats(-4, 4).filter(lambda power: abs(power - round(power)) > 0.05).map(lambda power: 10**power), min_size=6
    ).filter(lambda values: max(values) / min(values) > 1e3),
    digits=st.integers(3, 8),
    how=st.sampled_from(["g", "e", "f", "round"]),
    sign=st.sampled_from([1, -1]),
)
@examples(300)
def test_printed_numbers_lie_within_their_half_units(values: list[float], digits: int, how: str, sign: int) -> None:
    """In each of the ways of printing the number that was meant is within half a unit, and no more is left open."""
    meant = (sign * np.array(values)).tolist()
    if how == "round":
        words = [repr(round(value, digits)) for value in meant]
    elif how == "f":
        words = [f"{value:.{digits}f}" for value in meant]
    else:
        words = [f"{value:.{digits - (how == 'e')}{how}}" for value in meant]
    # %g drops zeros: where it did, or wrote a whole number, several counts of digits would have given the same text.
    kept = [len(word.partition("e")[0].strip("-0.").replace(".", "")) for word in words]
    assume(how != "g" or all(count == digits and "." in word for count, word in zip(kept, words, strict=True)))
    half = half_units(words, np.array(words, float), OUTPUTS)
    if half is not None:
        assert np.all(np.abs(np.array(words, float) - np.array(meant)) <= half * (1 + 1e-9))
    if half is not None and how in "ge":
        # The last of so many digits of a value of this size.
        assert np.all(half <= 0.5 * 10.0 ** (np.floor(np.log10(np.abs(np.array(words, float)))) - digits + 1) * (1 + 1e-9))


@pytest.mark.parametrize("decimals", [2, 4, 6])
def test_a_float32_in_full_has_the_digits_of_its_shortest_text(decimals: int) -> None:
    """json.dump of a rounded float32 array writes 17 digits, which say no more than the few it was rounded to."""
    values = np.random.default_rng(decimals).uniform(-1, 1, 40).astype(np.float32).round(decimals)
    words = [repr(value) for value in values.tolist()]
    assert max(map(len, words)) > 15
    assert half_units(words, np.array(words, float), OUTPUTS) == pytest.approx(0.5 * 10.0**-decimals)
    exact = [repr(value) for value in np.random.default_rng(0).uniform(-1, 1, 40).tolist()]
    half = half_units(exact, np.array(exact, float), OUTPUTS)
    assert half is not None
    assert half.max() < 1e-14


def test_text_is_typed_and_nothing_else_is(folder: Path) -> None:
    """JSON, typed or in a file, and CSV have digits; binary formats have none."""
    table = [[0.1235, 0.5], [0.25, 1.0]]
    Path("a.json").write_text(json.dumps({"output": table}))
    Path("a.csv").write_text("\n".join(",".join(map(str, row)) for row in table))
    np.savez("a.npz", output=table)
    np.save("a.npy", table)
    for source, name in ((json.dumps(table), ""), ("a.json", "output"), ("a.csv", "")):
        half = read_source(source).half_units(name, OUTPUTS)
        assert half is not None
        assert half.shape == (2, 2)
        assert half == pytest.approx(5e-5)
    for source, name in (("a.npz", "output"), ("a.npy", "")):
        assert read_source(source).half_units(name, OUTPUTS) is None


@pytest.mark.parametrize(
    ("texts", "half"),
    [
        # Where both readings are as likely, each value has the wider half unit.
        (["31.6", "562", "3.16", "0.34"], [0.05, 0.5, 0.005, 0.005]),
        # A whole number has at least the digits that it shows.
        (["562", "0.25", "1.5"], [0.5, 0.005, 0.05]),
        # An exponent may have zeros in front.
        (["46.66e-0000002", "1e-0004"], [0.00005, 0.00005]),
    ],
)
def test_digits_of_mixed_sizes(texts: list[str], half: list[float]) -> None:
    """Of numbers that leave open how they were rounded, and of strange but valid spellings."""
    found = half_units(texts, np.array(texts, float), OUTPUTS)
    assert found is not None
    np.testing.assert_allclose(found, half)


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def network(folder: Path) -> dict[str, Array]:
    """An LSTM as weights.npz and x.npy, of which the right outputs are given."""
    torch.manual_seed(2)
    module, x = torch.nn.LSTM(3, 4), torch.randn(6, 2, 3)
    np.savez("weights.npz", **{name: value.numpy() for name, value in module.state_dict().items()})
    np.save("x.npy", x.numpy())
    with torch.no_grad():
        output, (h_n, c_n) = module(x)
    return {"output": output.numpy(), "h_n": h_n.numpy(), "c_n": c_n.numpy()}


def judged(capsys: pytest.CaptureFixture[str], expected: str, *more: str) -> tuple[str, dict[str, Any]]:
    """The verdict line, and the JSON answer."""
    command = ("compare", "weights.npz", "--input", "x.npy", "--expected", expected, *more)
    line = ask(capsys, *command, "-q")
    answer = ask(capsys, *command, "-f", "json")
    assert line.code == answer.code
    found: dict[str, Any] = json.loads(answer.out)
    assert found["passed"] == (answer.code == 0)
    return line.out, found


@pytest.mark.slow
@pytest.mark.parametrize("decimals", [3, 4])
def test_typed_outputs_are_judged_to_their_digits(
    network: dict[str, Array], decimals: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rounded well they pass as rounded; two units off in one place, they fail, in each of the arrays."""
    right = {name: values.round(decimals).astype(float) for name, values in network.items()}

    def typed(arrays: dict[str, Array]) -> str:
        return json.dumps({name: np.round(values, decimals).tolist() for name, values in arrays.items()})

    line, found = judged(capsys, typed(right))
    assert (found["verdict"], found["judged"]) == ("PASS (rounded)", ["output", "h_n", "c_n"])
    assert f"{decimals} decimals" in line
    assert {entry["name"]: entry["decimals"] for entry in found["differences"]}.items() >= dict.fromkeys(
        right, decimals
    ).items()
    strict = judged(capsys, typed(right), "--no-rounded")[1]
    assert (strict["verdict"], strict["agrees_to"]) == ("FAIL", decimals)
    for name, values in right.items():
        wrong = values.copy()
        wrong.flat[-1] += 2 * 10.0**-decimals
        _, found = judged(capsys, typed(right | {name: wrong}))
        assert (found["verdict"], found["first_failure"]["symbol"]) == ("FAIL", "h" if name == "output" else name)


def test_digits_make_no_verdict_stricter(network: dict[str, Array], capsys: pytest.CaptureFixture[str]) -> None:
    """Typed in full, with honest rounding, it is a plain PASS."""
    outputs = {name: values.astype(float) for name, values in network.items()}
    outputs["output"] = outputs["output"] + 3e-7
    assert judged(capsys, json.dumps({name: values.tolist() for name, values in outputs.items()}))[1]["verdict"] == "PASS"


@pytest.mark.parametrize("decimals", [2, 4])
def test_binary_outputs_that_were_rounded_say_so(
    network: dict[str, Array], decimals: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """FAIL, and the line names the flag with which they pass; no such advice where one value is wrong."""
    np.savez("y.npz", **{name: values.round(decimals) for name, values in network.items()})
    line, found = judged(capsys, "y.npz")
    assert (found["verdict"], found["agrees_to"]) == ("FAIL", decimals)
    assert f"agrees to {decimals} decimals: --tolerance decimals:{decimals}" in line
    assert judged(capsys, "y.npz", "--tolerance", f"decimals:{decimals}")[1]["verdict"] == "PASS"
    network["c_n"][0, 1, 2] += 0.3
    np.savez("y.npz", **{name: values.round(decimals) for name, values in network.items()})
    line, found = judged(capsys, "y.npz")
    assert (found["verdict"], found["agrees_to"], "decimals" in line) == ("FAIL", None, False)


def test_typed_gates_have_digits_too(network: dict[str, Array], capsys: pytest.CaptureFixture[str]) -> None:
    """A gate at four decimals beside an output in full."""
    whole = judged(capsys, json.dumps(network["output"].tolist()))[1]
    gate = next(entry["values"] for entry in whole["trace"] if entry["symbol"] == "f")
    rounded = np.round(gate, 4)
    typed = {"output": network["output"].tolist(), "f": rounded.tolist()}
    assert judged(capsys, json.dumps(typed))[1]["verdict"] == "PASS (rounded)"
    rounded[3, 1, 2] += 2e-4
    assert judged(capsys, json.dumps({**typed, "f": rounded.round(4).tolist()}))[1]["first_failure"]["symbol"] == "f"


def test_a_pair_that_is_given_knows_of_no_digits(network: dict[str, Array], capsys: pytest.CaptureFixture[str]) -> None:
    """--rtol or --atol alone decides."""
    typed = json.dumps(network["output"].round(3).astype(float).round(3).tolist())
    assert judged(capsys, typed)[1]["verdict"] == "PASS (rounded)"
    for flags in (("--rtol", "0"), ("--atol", "1e-6"), ("--rtol", "0", "--atol", "4e-4")):
        assert judged(capsys, typed, *flags)[1]["verdict"] == "FAIL"
    assert judged(capsys, typed, "--rtol", "0", "--atol", "5.1e-4")[1]["verdict"] == "PASS"


def test_what_a_fail_agrees_to_is_not_helped_by_typed_digits(
    network: dict[str, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a unit of what was typed and half a unit of the flag's would be a whole one."""
    output = network["output"].round(2).astype(float)
    output[2, 1, 3] += 0.01 if output[2, 1, 3] > network["output"][2, 1, 3] else -0.01
    found = judged(capsys, json.dumps(output.round(2).tolist()))[1]
    assert (found["verdict"], found["agrees_to"]) == ("FAIL", None)


def test_the_last_output_has_digits_beside_a_final_state(network: dict[str, Array], capsys: pytest.CaptureFixture[str]) -> None:
    """As Keras gives both, of one step."""
    last = network["output"][-1].round(4).astype(float).round(4)
    typed = {"output": last.tolist(), "h_n": last[None].tolist()}
    assert judged(capsys, json.dumps(typed))[1]["verdict"] == "PASS (rounded)"
    last[1, 2] += 2e-4
    assert judged(capsys, json.dumps({**typed, "output": last.round(4).tolist()}))[1]["verdict"] == "FAIL"
