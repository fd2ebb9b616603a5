"""docs/generate.py notices what a reader would: planted changes of a page, of a picture, and commands that fail."""

import base64
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import generate  # noqa: E402 (docs is no package)
from comparison import different_picture, first_difference, labels  # noqa: E402

PASS = "PASS  every value within rtol 1.3e-06, atol 1e-05 · worst |Δ| 6.0e-08 (g, t=1, unit 0)"
FAIL = "FAIL  first at f (forget gate), t=2, unit 4: replay 0.507, torch 0.612 · 3 of 96 values out of tolerance "
FAIL += "(rtol 1.3e-06, atol 1e-05) · worst |Δ| 1.5e-01 (f, t=4, unit 4)"
EXACT = (
    "FAIL  first at i (input gate), t=1, unit 3: replay 0.326892555, torch 0.326892525 · 285 of 960 values out of tolerance "
)
EXACT += "(rtol 0, atol 0) · worst |Δ| 1.2e-07 (o, t=4, unit 5)"
LINE = "LSTM(3, 8) · 1 layer · float32 · seed 42                      torch 2.13.0 · cpu · oneDNN · 1 thread"
ROWS = "  1  0 │ -0.04 │        0\n… 3346 rows\n  3349  0 │ -0.26 │  1.2e-07\n… 96648 rows\n  100000  0 │ -0.04 │  1.5e-08"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("unit 0", "unit 1"),
        ("0.6969", "0.6949"),
        ("0.5", "0.6"),
        ("-0.6969", "0.6969"),
        ("12", "13"),
        ("0.81 of 9", "0.81 of 10"),
        ("257 of 600", "258 of 600"),
        ("rtol 1.3e-06", "rtol 1.3e-05"),
        ("rtol 1.3e-06", "rtol 1.4e-06"),
        ("atol 1e-05", "atol 2e-05"),
        ("seed 42", "seed 43"),
        ("lstm.gate-order.iofc", "lstm.gate-order.ifco"),
        ("  t  unit", " t  unit  h"),
        ("│ 6.0e-08", "│ 6.0e-03"),
        ("│ 6.0e-08", "│ 6.0e-06"),
        ("│ 6.0e-17", "│ 6.0e-08"),
        ("worst |Δ| 6.0e-08 (g)", "the worst 6.0e-08 (g)"),
        (PASS, PASS.replace("PASS", "FAIL")),
        (PASS, PASS.replace("PASS", "IDENTICAL")),
        (PASS, PASS.replace("1.3e-06", "1.2e-06")),
        (PASS, PASS.replace("6.0e-08", "6.0e-06")),
        (PASS, PASS.replace("every value", "each value")),
        (PASS, f"{PASS} · gates not compared"),
        (FAIL, FAIL.replace("t=2", "t=3")),
        (FAIL, FAIL.replace("first at f (forget", "first at g (forget")),
        (FAIL, FAIL.replace("0.612", "0.614")),
        (FAIL, FAIL.replace("3 of 96", "4 of 96")),
        (FAIL, FAIL.replace("1.5e-01", "1.7e-01")),
        (FAIL, FAIL.replace("(f, t=4", "(f, t=5")),
        (EXACT, EXACT.replace("960", "961")),
        (EXACT, EXACT.replace("FAIL", "PASS")),
        (EXACT, EXACT.replace("torch", "other").replace("values", "single steps")),
        (LINE, LINE.replace("torch 2.13.0", "jax 0.4")),
        (LINE, LINE.replace("cpu", "cuda")),
        (LINE, LINE.replace("float32", "float64")),
        (LINE, LINE.replace("seed 42", "seed 4")),
        (ROWS, ROWS.replace("96648", "96647")),
        (ROWS, ROWS.replace("1.2e-07", "1.2e-03")),
        (ROWS, ROWS.replace("\n… 3346 rows", "")),
        ("| `f` | forget gate |\n| `g` | candidate |", "| `f` | forget gate |"),
        ("| 0.12 |\n| 0.34 |\n| 0.56 |", "| 0.12 |\n| 0.56 |\n| 0.34 |"),
    ],
)
def test_a_change_is_noticed(old: str, new: str) -> None:
    """A word, an order, a digit that is not the last, a count, a tolerance, a verdict, a row, a size."""
    assert first_difference(f"same\n{old}\n", f"same\n{new}\n") != ""
    assert first_difference(f"same\n{new}\n", f"same\n{old}\n") != ""
    assert first_difference(f"same\n{old}\n", f"same\n{old}\n") == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.6969", "0.6968"),
        ("1.5e-01", "1.6e-01"),
        ("0.7119251", "0.71192515"),
        ("0.5", "0.49999997"),
        ("-0.0072402712", "-0.00724026328"),
        ("│ 6.0e-08", "│       0"),
        ("│ 8.9e-08", "│ 9.3e-10"),
        ("5.960464477539063e-08", "0.0"),
        ("8.9e$-$08 & $-$0.0136", "7.5e-09 & -0.0136"),
        ("──┼───────", "──┼─────────"),
        ("|---|--------:|", "|---|------:|"),
        (EXACT, EXACT.replace("i (input gate), t=1, unit 3", "h (hidden state), t=2, unit 1").replace("285 of", "13 of")),
        (PASS, PASS.replace("6.0e-08 (g, t=1, unit 0)", "1.2e-07 (output, layer 0, forward, t=3)")),
        (PASS, PASS.replace(" · worst", "\n  worst")),
        (FAIL, FAIL.replace("torch 0.612", "torch\n  0.612")),
        (LINE, LINE.replace("oneDNN · 1 thread", "native · 2 threads")),
        (LINE, LINE.replace("2.13.0", "2.13.0+cpu")),
        (ROWS, ROWS.replace("3346", "11314").replace("3349", "11317").replace("96648", "88680").replace("-0.26", "-0.11")),
    ],
)
def test_what_differs_between_processors_is_not(old: str, new: str) -> None:
    """The last digit, the size of a rounding difference, where the largest is, line breaks that follow, path and threads."""
    assert first_difference(old, new) == first_difference(new, old) == ""


@pytest.mark.slow
def test_a_change_anywhere_in_a_page_is_noticed() -> None:
    """Of the top of a page as it stands, any line left out, doubled, or with a word more."""
    lines = (ROOT / "docs" / "reading-a-fail.md").read_text(encoding="utf-8").splitlines()[:60]
    page = "\n".join(lines)
    for at, line in enumerate(lines):
        if line.strip():
            assert first_difference(page, "\n".join(lines[:at] + lines[at + 1 :])), line
            assert first_difference(page, "\n".join([*lines[:at], line, *lines[at:]])), line
            assert first_difference(page, "\n".join([*lines[:at], f"{line} more", *lines[at + 1 :]])), line


def test_a_line_more_or_less_is_noticed() -> None:
    assert first_difference("a\nb\n", "a\n") == "it has 2 lines and should have 1"


def picture(shade: int, label: str, width: int = 8) -> str:
    """An SVG with a label at a place, and an image of one shade."""
    content = io.BytesIO()
    Image.fromarray(np.full((8, width, 3), shade, np.uint8)).save(content, "PNG")
    data = base64.b64encode(content.getvalue()).decode()
    image = f'<image xlink:href="data:image/png;base64,\n{data}"/>'
    return f'<svg>\n<text x="{shade}" style="fill: #aabbcc">{label}</text>\n{image}\n</svg>\n'


def test_a_changed_picture_is_noticed() -> None:
    """Labels and colours are compared, not coordinates, and not a shade that cannot be seen."""
    same = picture(100, "forget gate")
    assert different_picture(same, picture(102, "forget gate")) == ""
    assert "input gate" in different_picture(same, picture(100, "input gate"))
    assert different_picture(same, picture(140, "forget gate")) == "its colours are others"
    assert different_picture(same, picture(100, "forget gate", width=9)) == "its colours are others"
    assert "#aabbcd" in different_picture(same, same.replace("#aabbcc", "#aabbcd"))
    assert different_picture(same, same.replace("</svg>", '<path d="M 0 0" style="stroke: #aabbcd"/></svg>'))
    assert different_picture(same, re.sub("<image.*?>", "", same, flags=re.DOTALL)) == "it has 1 images and should have 0"


def test_a_changed_terminal_is_noticed() -> None:
    """Its lines as those of a page: another value, colour, verdict or row; not where a verdict is broken."""
    same = (ROOT / "docs" / "images" / "run.svg").read_text(encoding="utf-8")
    assert different_picture(same, same) == ""
    looks = re.search(r'class="(terminal-r\d+)"( [^>]*>)PASS<', same)
    assert looks
    row = re.search(r'<text class="terminal-r1" x="0" y="(\S+)"[^>]*>&#160;4&#160;[^<]*', same)
    assert row
    assert different_picture(same, same.replace(">PASS<", ">FAIL<"))
    assert different_picture(same, same.replace(looks[0], f'class="terminal-r1"{looks[2]}PASS<'))
    assert different_picture(same, same.replace("float32", "float64"))
    assert different_picture(same, re.sub(rf'<text [^>]*y="{row[1]}"[^>]*>[^<]*</text>', "", same))
    text = labels(same)
    assert "PASS" in text
    wrapped = re.sub(r" · worst", "\n  worst", text)
    assert first_difference(text, wrapped) == ""


@pytest.mark.slow
def test_a_page_is_run_in_order_in_one_folder() -> None:
    """Scripts and commands see each other's files; output is written below them; `echo $?` is the last exit code."""
    page = (
        "```python\nfrom pathlib import Path\nPath('x.json').write_text('[[[1, 2, 3]]]')\nprint(6 * 7)\n```\n"
        "\n```text\nold\n```\n"
        "```console\n$ rnntrace run rnn --input x.json --seed 0 --quiet --format csv | head -n 2\nold\n"
        "$ rnntrace inspect nothing.npz 2>&1\n$ echo $?\n```\n"
    )
    text, drawn = generate.with_outputs(page)
    assert "```text\n42\n```" in text
    assert "old" not in text
    assert "layer,direction,t,item,unit,symbol,replay,framework,difference\n0,forward,0,0,0,h,0.0,0.0,\n$" in text
    assert "error: nothing.npz: there is no such file\n$ echo $?\n2\n" in text
    assert not drawn


def test_a_command_that_fails_unseen_stops_everything() -> None:
    with pytest.raises(SystemExit, match=r"nothing\.npz"):
        generate.with_outputs("```console\n$ rnntrace inspect nothing.npz\n```\n")


def test_every_page_is_on_the_site() -> None:
    """The navigation names every page of docs/."""
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    docs = ROOT / "docs"
    assert [str(page.relative_to(docs)) for page in docs.rglob("*.md") if f" {page.relative_to(docs)}\n" not in site] == []
