"""`--show heat`: the digits are the numbers, with and without colour, in any width."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from commandline import ask, refused

RUN = ("run", "gru", "-H", "3", "-b", "-T", "30", "-B", "2", "--lengths", "30,4", "--h0", "random", "--seed", "1")
Cells = dict[tuple[str, str, int, int], str]
"""(place, symbol, unit, t) → what stands in the cell."""


def cells(text: str) -> Cells:
    """Every cell of a drawing, by an independent reading of its lines."""
    found: Cells = {}
    place, symbol = "", ""
    times: list[int] = []
    for line in text.split("\n"):
        words = line.split()
        if line.startswith("layer "):
            place = line.split(" · t,")[0].removesuffix(" (continued)")
        elif words[:1] == ["t"]:
            times = [int(word) for word in words[1:]]
        elif re.fullmatch(r"[a-z] · [a-z ]+", line):
            symbol = line[0]
        elif times and words[:1] and words[0].isdecimal():
            for t, word in zip(times, words[1:], strict=True):
                key = (place, symbol, int(words[0]), t)
                assert key not in found
                found[key] = word
    return found


def test_every_digit_is_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    """Each cell holds the value that JSON gives, in tenths of the limit in the legend; what does not exist has no digit."""
    answer = ask(capsys, *RUN, "--show", "heat", "--format", "plain")
    document = json.loads(ask(capsys, *RUN, "--format", "json").out)
    found = cells(answer.out)
    (limit,) = map(float, re.findall(r"^n, h: -9 … \+9 in tenths of (.*)$", answer.out, re.MULTILINE))
    assert "r, z: 0 … 9 in tenths of 1\n" in answer.out
    assert ".: no such step\n" in answer.out
    seen = 0
    for entry in document["trace"]:
        for t, row in enumerate(entry["values"], start=1):
            for item, values in enumerate(row):
                for unit, value in enumerate(values):
                    key = (f"layer {entry['layer']} · {entry['direction']} · item {item}", entry["symbol"], unit, t)
                    if t > (30, 4)[item]:
                        assert key not in found
                        continue
                    size = 1.0 if entry["symbol"] in "rz" else limit
                    digit = int(found[key])
                    # The limit is printed with three digits.
                    assert abs(digit) / 10 * size - 2e-3 <= abs(value) <= (abs(digit) + 1) / 10 * size + 2e-3
                    assert digit == 0 or (digit > 0) == (value > 0)
                    seen += 1
    assert seen == 2 * 4 * 3 * (30 + 4)
    initial = {key: word for key, word in found.items() if key[3] == 0}
    assert all((word == ".") == (symbol != "h") for (_, symbol, _, _), word in initial.items())
    assert len(found) == seen + len(initial)


@pytest.mark.parametrize("columns", ["30", "80", "97"])
def test_any_width_shows_the_same(columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of a drawing is wider than the terminal, and all cells are there."""
    whole = cells(ask(capsys, *RUN, "--show", "heat", "--format", "plain").out)
    monkeypatch.setenv("COLUMNS", columns)
    text = ask(capsys, *RUN, "--show", "heat", "--max-rows", "0").out
    assert cells(text) == whole
    drawing = text[text.index("layer 0") : text.index("r, z:")].split("\n")
    assert max(map(len, (line for line in drawing if not line.startswith("layer")))) <= int(columns)


def test_colour_changes_no_letter(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With colour each value has a ground of its own; without it the text is the same."""
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    bare = ask(capsys, *RUN, "--show", "heat", "--color", "never").out
    coloured = ask(capsys, *RUN, "--show", "heat", "--color", "always").out
    assert "\x1b" not in bare
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == bare
    grounds: dict[str, set[tuple[int, ...]]] = {}
    for ground, digit in re.findall(r"48;2;(\d+;\d+;\d+)m +([+-]\d)\x1b", coloured):
        grounds.setdefault(digit, set()).add(tuple(map(int, ground.split(";"))))
    assert len(grounds) > 6
    for digit, found in grounds.items():
        for red, _, blue in found:
            assert (red > blue) == (digit[0] == "+"), digit
    brightness = [
        sum(map(int, re.search(rf"48;2;(\d+;\d+;\d+)m +{d}\x1b", coloured)[1].split(";")))
        for d in (2, 4, 6)  # type: ignore[index]
    ]
    assert all(low < high for low, high in pairwise(brightness))


def test_a_long_drawing_says_what_it_leaves_out(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps, units and layers beyond the limits are counted, and the flags that show them named."""
    monkeypatch.setenv("COLUMNS", "60")
    steps = ask(capsys, "run", "rnn", "-T", "200", "--seed", "1", "--show", "heat").out
    shown = {t for _, _, _, t in cells(steps)}
    assert f"… {201 - len(shown)} of 201 steps left out: choose with --time" in steps
    assert {0, 200} <= shown
    units = ask(capsys, "run", "rnn", "-H", "50", "--seed", "1", "--show", "heat", "--max-rows", "6").out
    assert {unit for _, _, unit, _ in cells(units)} == {0, 1, 2, 47, 48, 49}
    assert "… 44 of 50 units left out: choose with --unit" in units
    layers = ask(capsys, "run", "rnn", "-l", "30", "--seed", "1", "--show", "heat").out
    assert len({place for place, _, _, _ in cells(layers)}) == 12
    assert "… 18 left out: choose with --layer" in layers


def test_the_view_selects(capsys: pytest.CaptureFixture[str]) -> None:
    """Layer, time, unit and item."""
    flags = ("--show", "heat", "--time", "2:3", "--unit", "1", "--item", "1")
    keys = set(cells(ask(capsys, *RUN, *flags).out))
    places = {f"layer 0 · {direction} · item 1" for direction in ("forward", "reverse")}
    assert keys == {(place, symbol, 1, t) for place in places for symbol in "rznh" for t in (2, 3)}


def test_heat_stands_beside_tables_and_not_in_all(capsys: pytest.CaptureFixture[str]) -> None:
    """`gates,heat` has both; `all` is every table."""
    alone = ask(capsys, *RUN, "--show", "heat").out
    both = ask(capsys, *RUN, "--show", "gates,heat").out
    assert both.endswith(alone[alone.index("\nlayer 0") :])
    assert " t  unit" in both
    assert " t  unit" not in alone
    assert "in tenths of" not in ask(capsys, *RUN, "--show", "all").out


def test_not_a_number_has_a_mark(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN from the second step on."""
    answer = ask(capsys, "run", "rnn", "-i", "1", "--input", "[[1], [NaN], [1]]", "--seed", "1", "--show", "heat")
    assert {word for (_, _, _, t), word in cells(answer.out).items() if t > 1} == {"?"}
    assert "?: NaN or infinite" in answer.out


def test_several_modules_share_a_scale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each module's drawing has its name, and one legend serves them."""
    model = torch.nn.ModuleDict({"small": torch.nn.RNN(2, 2), "large": torch.nn.RNN(2, 3)})
    torch.save(model.state_dict(), "w.pt")
    text = ask(capsys, "compare", "w.pt", "--seed", "1", "--show", "heat").out
    for name in ("small", "large"):
        assert f"{name} · layer 0 · forward · item 0\n" in text
    assert text.count("in tenths of") == 1


@pytest.mark.parametrize("format", ["csv", "jsonl", "markdown", "latex", "html"])
def test_other_formats_draw_nothing(format: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says which formats do."""
    assert "table or plain" in refused(capsys, *RUN, "--show", "heat", "--format", format, "-o", "out.txt")
