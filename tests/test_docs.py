"""docs/generate.py notices what a reader would: planted changes of a page, of a picture, and commands that fail."""

import base64
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import generate  # noqa: E402 (docs is no package)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("unit 0", "unit 1"),
        ("0.6969", "0.6949"),
        ("257 of 600", "258 of 600"),
        ("rtol 1.3e-06", "rtol 1.3e-05"),
        ("PASS  every value", "FAIL  every value"),
        ("  t  unit", " t  unit  h"),
        ("│ 6.0e-08", "│ 6.0e-03"),
        ("worst |Δ| 6.0e-08 (g)", "the worst 6.0e-08 (g)"),
    ],
)
def test_a_changed_line_is_noticed(old: str, new: str) -> None:
    """A word, a digit that is not the last, a count, a tolerance, a difference that is no rounding."""
    assert generate.first_difference(f"same\n{old}\n", f"same\n{new}\n").startswith("line 2 is")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.6969", "0.6968"),
        (
            "FAIL  first at i · 2 of 9 out of tolerance (rtol 0, atol 0)",
            "FAIL  first at f · 3 of 9 out of tolerance (rtol 0, atol 0)",
        ),
        ("│ 6.0e-08", "│       0"),
        ("worst |Δ| 6.0e-08 (g)", "worst |Δ| 1.2e-07 (f, t=3)"),
        ("0.7119251", "0.71192515"),
    ],
)
def test_what_differs_between_processors_is_not(old: str, new: str) -> None:
    """The last digit, the size of a rounding difference, where the worst one is."""
    assert generate.first_difference(old, new) == ""


def test_a_line_more_or_less_is_noticed() -> None:
    assert generate.first_difference("a\nb\n", "a\n") == "it has 2 lines and should have 1"


def picture(shade: int, label: str, width: int = 8) -> str:
    """An SVG with a label at a place, and an image of one shade."""
    content = io.BytesIO()
    Image.fromarray(np.full((8, width, 3), shade, np.uint8)).save(content, "PNG")
    data = base64.b64encode(content.getvalue()).decode()
    return f'<svg>\n<text x="{shade}">{label}</text>\n<image xlink:href="data:image/png;base64,\n{data}"/>\n</svg>\n'


def test_a_changed_picture_is_noticed() -> None:
    """Labels and colours are compared, not coordinates, and not a shade that cannot be seen."""
    assert generate.different_picture(picture(100, "forget gate"), picture(102, "forget gate")) == ""
    assert "input gate" in generate.different_picture(picture(100, "forget gate"), picture(100, "input gate"))
    assert generate.different_picture(picture(100, "h"), picture(140, "h")) == "its colours are others"
    assert generate.different_picture(picture(100, "h"), picture(100, "h", width=9)) == "its colours are others"


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
