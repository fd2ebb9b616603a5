"""The page in a browser without a screen: what it shows, what it computes again, and that it asks nobody for anything."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import own_cells
import pytest
from browser import BROWSER, DRIVER, Browser

import rnntrace
from rnntrace.engine.backward.backward import backward as engine_backward
from rnntrace.engine.backward.loss import loss_of
from rnntrace.engine.judge.result import Result
from rnntrace.equations.adjoint import adjoint
from rnntrace.model.dtypes import Array
from rnntrace.model.weights import LayerWeights, Weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DRIVER and BROWSER), reason="there is no chromium with its chromedriver here"),
]
CLOSE = 1e-6
"""What the page computes may be off by so much from the replay."""


@pytest.fixture(scope="module")
def one_browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(one_browser: Browser) -> Iterator[Browser]:
    """The browser that all tests share; none may leave a word in the console."""
    one_browser.said()
    one_browser.requests()
    one_browser.look(1200)
    yield one_browser
    assert one_browser.said() == []


def shown(browser: Browser, result: Any, **view: Any) -> Path:
    """Show the page of a result."""
    file = Path("page.html")
    result.page(**view).save(file)
    browser.open(file)
    return file


def text(browser: Browser, selector: str) -> str:
    return str(browser.run("return document.querySelector(arguments[0]).innerText", selector))


def number(browser: Browser, symbol: str, unit: int, track: int = 0) -> str:
    """What a cell shows of the replay."""
    return str(
        browser.run(
            "const [symbol, unit, track] = arguments;"
            "const {tables} = document.querySelector('article').player;"
            "const one = tables[track].cells.find((one) => one.symbol === symbol && one.unit === unit && !one.before);"
            "one.button.focus(); return one.button.querySelector('.value').textContent",
            *(symbol, unit, track),
        )
    )


def computed(browser: Browser) -> list[dict[str, list[list[float] | None]]]:
    """What the page computes for the item that it shows: by track and symbol, step by step."""
    found: list[dict[str, list[list[float] | None]]] = browser.run(
        "const {play} = document.querySelector('article').player;"
        "return play.tracks.map((track) => Object.fromEntries(Object.entries(play.computed.get(track)).map("
        "([symbol, rows]) => [symbol, rows.map((row) => row && [...row])])))"
    )
    return found


def off(browser: Browser, result: Result, item: int = 0) -> float:
    """How far what the page computes is from the replay."""
    largest = 0.0
    for (layer, direction), mine in zip(result.spec.layer_directions, computed(browser), strict=True):
        for symbol in result.spec.cell.symbols:
            theirs = result.trace[symbol, layer, direction][:, item]
            rows = np.array([np.full(theirs.shape[1], np.nan) if row is None else row for row in mine[symbol]])
            assert np.array_equal(np.isnan(rows), np.isnan(theirs)), symbol
            largest = max(largest, float(np.nanmax(np.abs(rows - theirs))))
    return largest


OWN = (own_cells.MGU, own_cells.PEEPHOLE)
RUNS: dict[str, dict[str, Any]] = {
    "rnn": {"kind": "rnn", "nonlinearity": "relu", "h0": "random"},
    "lstm": {"kind": "lstm", "hidden": 3, "steps": 7, "h0": "random", "c0": "random"},
    "projected": {"kind": "lstm", "hidden": 5, "proj_size": 2, "layers": 2, "bidirectional": True},
    "gru": {
        "kind": "gru",
        "layers": 2,
        "bidirectional": True,
        "batch": 3,
        "steps": 6,
        "lengths": [6, 2, 4],
        "batch_first": True,
    },
    "cell": {"kind": "gru-cell", "bias": False, "dtype": "float64"},
    "half": {"kind": "lstm", "dtype": "float16"},
    "norm": {"kind": "lstm", "layer_norm": True, "hidden": 4},
    "independent": {"kind": "rnn", "independent": True, "clip": 0.5, "hidden": 4},
    "keras": {"kind": "gru", "reset_before": True, "recurrent_activation": "hard_sigmoid"},
    **{cell.kind: {"cell": cell, "hidden": 3} for cell in OWN},
}


@pytest.mark.parametrize("name", RUNS)
def test_its_own_numbers_are_those_of_the_replay(name: str, browser: Browser) -> None:
    """Every gate and state of every cell, layer, direction and item, computed in JavaScript; and nothing is fetched."""
    result = rnntrace.run(**RUNS[name], seed=3)
    file = shown(browser, result)
    for item in range(result.inputs.batch):
        browser.run("document.querySelector('article').player.play.take(arguments[0])", item)
        assert off(browser, result, item) < CLOSE
    assert browser.requests() == [file.resolve().as_uri()]


BACK: dict[str, dict[str, Any]] = {
    "lstm": {"kind": "lstm", "steps": 5, "h0": "random", "c0": "random"},
    "gru": {"kind": "gru", "layers": 2, "bidirectional": True, "batch": 3, "steps": 6, "lengths": [6, 2, 4], "loss": "last"},
    "projected": {"kind": "lstm", "hidden": 4, "proj_size": 2, "layers": 2, "bidirectional": True},
    "truncated": {"kind": "lstm", "steps": 7, "truncate": 3, "bidirectional": True},
    "norm": {"kind": "lstm", "layer_norm": True, "hidden": 4, "peepholes": True},
    "merged": {"kind": "gru", "bidirectional": True, "merge": "mul"},
    "relu": {"kind": "rnn", "nonlinearity": "relu"},
    **{cell.kind: {"cell": cell, "hidden": 3} for cell in OWN},
}


def gradients_off(browser: Browser, result: Any, steps: slice = slice(None)) -> float:
    """How far the gradients that the page computes are from the replay's, of item 0."""
    back = reversed(result.spec.layer_directions)
    apart = [
        np.abs(np.array(mine[symbol], float) - result.gradients.columns[layer, direction, symbol][steps, 0]).max()
        for (layer, direction), mine in zip(back, computed(browser)[len(result.spec.layer_directions) :], strict=True)
        for symbol in adjoint(result.spec.cell_of(direction)).cell.symbols
    ]
    return float(max(apart))


@pytest.mark.parametrize("name", BACK)
def test_its_own_gradients_are_those_of_the_replay(name: str, browser: Browser) -> None:
    """Every gradient of every step, from the adjoint that is in the page."""
    options = dict(BACK[name])
    kind = options.pop("kind", None)
    result = rnntrace.backward(kind, **options, seed=3)
    shown(browser, result)
    assert gradients_off(browser, result) < CLOSE


def test_gradients_from_the_middle(browser: Browser) -> None:
    """They start from what comes back from behind."""
    result = rnntrace.backward("lstm", layers=2, bidirectional=True, steps=8, truncate=5, seed=1)
    shown(browser, result, time=[3, 6])
    assert gradients_off(browser, result, slice(2, 6)) < CLOSE


def test_gradients_of_a_squared_error_follow_a_changed_weight(browser: Browser) -> None:
    """The loss itself changes with the output."""
    target = np.full((5, 1, 2), 0.5, np.float32)
    result = rnntrace.backward("gru", steps=5, seed=3, loss="mse", target=target)
    shown(browser, result, digits=9)
    assert gradients_off(browser, result) < CLOSE
    ((column, own),) = result.weights.columns.items()
    W = own.W_hh.copy()
    W[0, 1, 0] = 2.5
    browser.run(
        "const {play} = document.querySelector('article').player; const {data} = play.tracks[0].weights.W_hh;"
        "play.change(play.tracks[0].weights.W_hh, 2, 2.5, 'W_hr[1,0]')"
    )
    weights = Weights({column: LayerWeights(arrays={**own.arrays, "W_hh": W})})
    trace = rnntrace.replay(result.spec, weights, result.inputs)
    expected = engine_backward(trace, weights, loss_of("mse", trace, target).gradients)
    assert gradients_off(browser, replace(result, gradients=expected)) < CLOSE


def test_a_gradient_and_its_formula(browser: Browser) -> None:
    """It opens at the last step; the chain rule has the numbers of `explain --backward`, and leads to the forward pass."""
    result = rnntrace.backward("lstm", seed=5)
    shown(browser, result)
    assert text(browser, "output") == "4"
    assert number(browser, "∂o", 1, track=0) == f"{result.gradients.of('o')[3, 0, 1]:.4f}"
    assert text(browser, ".how h2").startswith("∂o₄[1]")
    lit = browser.run(
        "return document.querySelector('article').player.tables.flatMap(({cells}) => cells)"
        ".filter((one) => one.button.classList.contains('lit')).map((one) => [one.symbol, one.unit])"
    )
    assert sorted(lit) == [["c", 1], ["∂h", 1]]


def test_a_page_from_the_middle_starts_from_the_states_before(browser: Browser) -> None:
    """Both directions: what the page computes from t = 3 to 5 is what the replay has there."""
    result = rnntrace.run("lstm", layers=2, bidirectional=True, steps=8, seed=1)
    shown(browser, result, time=[3, 5], unit=[1])
    for (layer, direction), mine in zip(result.spec.layer_directions[:2], computed(browser), strict=False):
        for symbol in ("c", "h"):
            theirs = result.trace[symbol, layer, direction][2:5, 0]
            assert np.abs(np.array(mine[symbol]) - theirs).max() < CLOSE
    assert text(browser, "output") == "3"
    assert browser.run("return document.querySelectorAll('table[data-track=\"0\"] tbody tr').length") == 1


def test_the_slider_and_the_arrow_keys_go_through_time(browser: Browser) -> None:
    """All values of each step stand there with four decimals, torch's below."""
    result = rnntrace.run("lstm", hidden=3, steps=4, seed=42)
    shown(browser, result)
    for t in range(1, 5):
        assert text(browser, "output") == str(t)
        for symbol in "ifgoch":
            for unit in range(3):
                assert number(browser, symbol, unit) == f"{result.trace[symbol][t - 1, 0, unit]:.4f}"
        browser.press("ArrowRight")
    assert text(browser, "output") == "4"
    browser.run(
        "const slider = document.querySelector('input[type=range]'); slider.value = 2; slider.dispatchEvent(new Event('input'))"
    )
    assert text(browser, "output") == "2"


@pytest.mark.parametrize(
    ("kind", "gate"), [("lstm", "f"), ("lstm", "c"), ("lstm", "h"), ("gru", "n"), ("gru", "h"), ("rnn", "h")]
)
def test_the_formula_has_the_numbers_of_explain(kind: str, gate: str, browser: Browser) -> None:
    """The same numbers in the same order as in `explain`, and the same terms."""
    result = rnntrace.run(kind, hidden=2, seed=5)
    shown(browser, result, digits=6)
    browser.press("ArrowRight")
    number(browser, gate, 1)
    derived = rnntrace.explain(result, t=2, unit=1, gate=gate).report(digits=6)
    (line,) = [line for formulas in derived.formulas for line in formulas.lines if line.text.startswith(f"{gate}₂[1] =")]
    said = line.text.splitlines()

    def numbers(text: str) -> list[str]:
        return re.findall(r"\d+\.\d+", text)

    mine = numbers(text(browser, ".numbers"))
    assert mine
    assert numbers(" ".join(said))[: len(mine)] == mine
    assert numbers(text(browser, ".result"))[0] == numbers(said[-1])[-1]
    adds = browser.run("return [...document.querySelectorAll('.entries tbody .adds')].map((cell) => Number(cell.innerText))")
    terms = [
        row["contribution"] for found in derived.document["derivation"] for row in found["terms"] if found["symbol"] == gate
    ]
    assert np.allclose(adds, terms, atol=1e-5)


def test_what_a_number_comes_from_lights_up(browser: Browser) -> None:
    """c of the LSTM reads its own gates and c of the step before; following that leads to the step before."""
    shown(browser, rnntrace.run("lstm", hidden=2, seed=5))
    browser.press("ArrowRight")
    number(browser, "c", 1)
    lit = browser.run(
        "return document.querySelector('article').player.tables[0].cells.filter((one) => one.button.classList.contains('lit'))"
        ".map((one) => [one.symbol, one.unit, one.before])"
    )
    assert lit == [["c", 1, True], ["i", 1, False], ["f", 1, False], ["g", 1, False]]
    browser.run("document.querySelector('.numbers .link[title^=\"c₁\"]').click()")
    assert text(browser, "output") == "1"
    assert text(browser, ".how h2").startswith("c₁[1]")


def changed(result: Result, gate: int, unit: int, column: int, value: float) -> Array:
    """h with another weight in W_hh of layer 0, by the replay."""
    (first, own), *others = result.weights.columns.items()
    W = own.W_hh.copy()
    W[gate, unit, column] = value
    weights = Weights({first: LayerWeights(arrays={**own.arrays, "W_hh": W}), **dict(others)})
    return rnntrace.replay(result.spec, weights, result.inputs)["h", result.spec.num_layers - 1, "forward"]


def test_a_changed_weight_is_replayed(browser: Browser) -> None:
    """As the replay does it: everything after it is another number, marked as changed; undone, all is as before."""
    result = rnntrace.run("lstm", layers=2, steps=6, seed=7)
    shown(browser, result, digits=9)
    browser.press("ArrowRight")
    number(browser, "f", 1)
    browser.run("document.querySelector('.entries [data-of=\"W_hf[1,0]\"]').focus()")
    browser.run("document.activeElement.select()")
    browser.press("2.5", "Enter")
    expected = changed(result, 1, 1, 0, 2.5)
    browser.run("document.querySelector('article').player.go(5)")
    for unit in range(2):
        found = number(browser, "h", unit, track=1)
        assert found.startswith("✎ ")
        assert abs(float(found[2:]) - expected[5, 0, unit]) < CLOSE
        assert abs(float(found[2:]) - result.trace["h", 1][5, 0, unit]) > CLOSE
    assert "torch ran without the change" in text(browser, ".result")
    browser.run("[...document.querySelectorAll('.changes button')].at(-1).click()")
    assert number(browser, "h", 0, track=1) == f"{result.trace['h', 1][5, 0, 0]:.9f}"


def test_a_changed_input_is_replayed(browser: Browser) -> None:
    """x at t = 2 changes what comes after, and nothing before."""
    result = rnntrace.run("gru", steps=3, seed=7)
    shown(browser, result, digits=9)
    browser.press("ArrowRight")
    browser.run("document.querySelector('table[data-x] tbody button').click()")
    browser.run("document.querySelector('.how input').select(); document.querySelector('.how input').focus()")
    browser.press("-1.5", "Enter")
    x = result.inputs.x.copy()
    x[1, 0, 0] = -1.5
    expected = rnntrace.replay(result.spec, result.weights, replace(result.inputs, x=x))["h"]
    for t in (1, 2, 3):
        browser.run("document.querySelector('article').player.go(arguments[0])", t - 1)
        found = number(browser, "h", 1)
        assert found.startswith("✎") == (t > 1)
        assert abs(float(found.removeprefix("✎ ")) - expected[t - 1, 0, 1]) < CLOSE


def test_wrong_values_are_marked_and_listed(browser: Browser) -> None:
    """It opens at the first one; the list leads to each of them."""
    result = rnntrace.run("lstm", hidden=2, seed=1, mistake="gate-order.iofc")
    shown(browser, result)
    first = result.comparison.first_failure
    assert first is not None
    assert number(browser, first.symbol, first.unit) == f"✗ {first.replay:.4f}"
    wrong = sum(int(flags.sum()) for key, flags in result.comparison.out_of_tolerance.items() if key[2] in "ifgoch")
    assert text(browser, ".places h2") == f"✗ {wrong} values out of tolerance"
    browser.run("[...document.querySelectorAll('.places button')].at(-1).click()")
    assert text(browser, "output") == "4"
    assert "wrong" in str(browser.run("return document.activeElement.parentElement.className"))
    assert "out of tolerance" in str(browser.run("return document.activeElement.textContent"))


def test_a_right_run_lists_nothing(browser: Browser) -> None:
    shown(browser, rnntrace.run("lstm", seed=1))
    assert browser.run("return document.querySelector('.places').hidden")


def test_predicting_first(browser: Browser) -> None:
    """Values are hidden until somebody says what they are, to as many decimals as were typed."""
    result = rnntrace.run("gru", seed=2)
    shown(browser, result)
    browser.run("document.querySelector('.predict').click()")
    assert number(browser, "z", 1) == "?"
    assert f"{result.trace['z'][0, 0, 1]:.4f}" not in text(browser, ".side")
    browser.run("document.querySelector('.question input').focus()")
    browser.press("9.99", "Enter")
    assert "smaller" in text(browser, ".question [role=status]")
    browser.run("document.querySelector('.question input').select()")
    browser.press(f"{result.trace['z'][0, 0, 1]:.2f}", "Enter")
    assert "✓ right" in text(browser, ".result")
    assert number(browser, "z", 1) == f"{result.trace['z'][0, 0, 1]:.4f}"
    assert number(browser, "z", 0) == "?"
    # h = (1 - z)·n + z·h: of what it is made, z of unit 1 alone is known.
    number(browser, "h", 1)
    assert f"{result.trace['n'][0, 0, 1]:.4f}" not in text(browser, ".side")
    assert f"{result.trace['z'][0, 0, 1]:.4f}" in text(browser, ".side")


def test_the_keyboard_alone(browser: Browser) -> None:
    """Tab comes to the controls, the numbers and the weights; arrows move; everything that takes the focus has a name."""
    shown(browser, rnntrace.run("rnn", seed=1))
    seen = []
    for _ in range(60):
        browser.press("Tab")
        seen.append(browser.run("const one = document.activeElement; return one.getAttribute('aria-label') ?? one.textContent"))
        if browser.run("return document.activeElement.matches('.entries input')"):
            break
    assert {"time step t", "x, the input", "products"} <= set(seen)
    assert any(name.startswith("h, unit 0: ") for name in seen)
    assert seen[-1] == "W_ih[1,0]"
    browser.press("0.5", "Enter")
    assert browser.run("return document.activeElement.matches('.entries input')")
    number(browser, "h", 0)
    browser.press("ArrowDown")
    assert text(browser, ".how h2").startswith("h₁[1]")
    nameless = browser.run(
        "return [...document.querySelectorAll('button, input, select, [tabindex]')].filter((one) => "
        "!(one.getAttribute('aria-label') || one.innerText.trim() || one.labels?.length)).map((one) => one.outerHTML)"
    )
    assert nameless == []


CONTRAST = """
const parts = (text) => {
  const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
  return { rgb: [r, g, b].map((value) => (text.startsWith("color(") ? value : value / 255)), a };
};
const light = (rgb) => {
  const [r, g, b] = rgb.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = parts(getComputedStyle(document.querySelector(".rnntrace")).backgroundColor).rgb;
return Math.min(...[...document.querySelectorAll("td > button, td > button small")].map((one) => {
  const text = light(parts(getComputedStyle(one).color).rgb);
  const own = parts(getComputedStyle(one.closest("td")).backgroundColor);
  const behind = light(own.rgb.map((value, k) => value * own.a + ground[k] * (1 - own.a)));
  return (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05);
}));
"""
"""The least contrast of a number with what is behind it: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1920])
def test_widths_and_colours(width: int, scheme: str, browser: Browser) -> None:
    """Nothing runs over the side, tables scroll by themselves, and text has contrast on every shade."""
    browser.look(width, 800, scheme)
    shown(browser, rnntrace.run("lstm", hidden=4, layers=2, seed=1, mistake="gate-order.iofc"))
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run(CONTRAST) >= 4.5


def test_its_policy_lets_nothing_in(browser: Browser) -> None:
    """Neither a script that somebody slips into the page, nor a picture from elsewhere."""
    file = Path("page.html")
    page = rnntrace.run("rnn", seed=1).page()
    file.write_text(page.replace("</body>", "<script>document.title = 'taken'</script><img src='http://127.0.0.1:9/a'></body>"))
    browser.open(file)
    assert browser.run("return document.title") != "taken"
    assert len([line for line in browser.said() if "Content Security Policy" in line]) == 2
