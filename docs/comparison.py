"""Whether a page or a picture still says the same: what must be equal, and what differs between processors.

Words, order, verdicts, counts, tolerances and colours must be equal. A computed number may be off by one in its last printed
digit, or by what float32 rounds. Of a difference that rounding alone makes, the kind is compared: that of float32, below 1e-6,
or that of float64, below 1e-12; either may happen to be 0. Where the largest of them lies is chance, and so is how many values
differ where no tolerance is left. The path and the threads of the framework belong to the machine, not to the page.
"""

import base64
import io
import re

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w|\.\d)")
LARGEST = {"float64": 1e-12, "float32": 1e-6}
"""Differences below are rounding, by number format."""
FLOAT32 = 5e-7
"""How far a value of size 1 may be off."""
SHADES = 4
"""How far one of 256 shades of an image may be off."""
VERDICT = re.compile(r"^(?:⟦[^⟧]*⟧)?(?:IDENTICAL|PASS|FAIL|UNDECIDED)\b.*(?:\n {2}\S.*)*", re.MULTILINE)
EXACT = re.compile(r"first at .* \d+ of (\d+ [\w ]+ out of tolerance \(rtol exactly0, atol exactly0\))")
WORST = re.compile(r"(worst \S+ )(\S+) \([^)]*\)")
GAPS = re.compile(r"^… (\d+) rows\n.* (\S+)\n… (\d+) rows$", re.MULTILINE)
PIXELS = re.compile(r"base64,\s*([A-Za-z0-9+/=\s]+)")
TEXT = re.compile(r"<text(?P<attributes>[^>]*)>(?P<content>[^<]*)</text>")


def first_difference(old: str, new: str) -> str:
    """The first line in which two texts differ in more than chance, in words; empty if there is none."""
    before, after = settled(old).splitlines(), settled(new).splitlines()
    for mine, fresh in zip(before, after, strict=False):
        if not same_line(mine, fresh):
            return f"it says\n  {mine}\nand should say\n  {fresh}"
    if len(before) != len(after):
        return f"it has {len(before)} lines and should have {len(after)}"
    return ""


def different_picture(old: str, new: str) -> str:
    """As for pages, of the labels and colours; images are compared by their pixels. Where a curve runs is not compared."""
    import numpy as np
    from PIL import Image

    def pixels(svg: str) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int_]]]:
        opened = (Image.open(io.BytesIO(base64.b64decode(data))) for data in PIXELS.findall(svg))
        return [np.asarray(image, dtype=int) for image in opened]

    mine, fresh = pixels(old), pixels(new)
    if len(mine) != len(fresh):
        return f"it has {len(mine)} images and should have {len(fresh)}"
    if not all(a.shape == b.shape and np.abs(a - b).max() <= SHADES for a, b in zip(mine, fresh, strict=True)):
        return "its colours are others"
    return first_difference(labels(old), labels(new))


def labels(svg: str) -> str:
    """What stands in a picture, row by row, with a mark wherever its look changes; then the colours of everything else."""
    rows: dict[str, str] = {}
    look = ""
    for text in TEXT.finditer(svg):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', text["attributes"]))
        here = attributes.get("class", "") + attributes.get("style", "")
        place = attributes.get("y") or attributes.get("transform", "")
        if text["content"].strip():
            rows[place] = rows.get(place, "") + ("" if here == look else f"⟦{here}⟧") + text["content"].replace("&#160;", " ")
            look = here
    sheets = re.findall(r"^\.[\w-]+ \{.*\}$", svg, re.MULTILINE)
    colours = sorted({*re.findall(r"#[0-9a-f]{6}\b", svg)})
    return "\n".join([*rows.values(), *sheets, *colours, *re.findall(r'<rect fill="([^"]*)"', svg)])


def settled(text: str) -> str:
    """The text without what differs between processors, and what follows from that: line breaks, lengths of rules."""
    text = text.replace("$-$", "-").replace(r"\ensuremath{\cdot}", "·")
    text = VERDICT.sub(lambda found: re.sub(r" ·|\n +", " ", found[0]), text)
    text = re.sub(r"([─-])\1{2,}", r"\1\1\1", text)
    # A tolerance is no result: it is compared as a word.
    text = re.sub(r"(?<=[ra]tol )(?=\d)", "exactly", text)
    text = EXACT.sub(r"first somewhere · some of \1", text)
    text = re.sub(r"torch \d[\w.+]* · cpu · \w+ · \d+ threads?", "torch, somewhere", text)
    text = WORST.sub(lambda found: f"{found[1]}{found[2]} somewhere" if rounding(found[2]) else found[0], text)
    return GAPS.sub(lambda found: f"… {int(found[1]) + 1 + int(found[3])} rows" if rounding(found[2]) else found[0], text)


def same_line(mine: str, fresh: str) -> bool:
    """Whether two lines have the same words, and numbers that are the same."""
    if NUMBER.sub("#", mine).split() != NUMBER.sub("#", fresh).split():
        return False
    return all(same_number(*pair) for pair in zip(NUMBER.findall(mine), NUMBER.findall(fresh), strict=True))


def same_number(mine: str, fresh: str) -> bool:
    """Whether two printed numbers are equal, or differ by chance alone."""
    if mine == fresh:
        return True
    kinds, (a, b) = {rounding(mine), rounding(fresh)}, (float(mine), float(fresh))
    if "" not in kinds:
        return len(kinds - {"zero"}) == 1
    if "e" not in mine + fresh and "." in mine + fresh and abs(a - b) <= FLOAT32 * max(1, abs(a)):
        return True
    # A whole number is a count or a place, and with one digit alone every number would be next to every other.
    return min(digits(mine), digits(fresh)) > 1 and abs(a - b) <= 1.01 * min(unit(mine), unit(fresh))


def rounding(number: str) -> str:
    """What the number is as a difference: "zero", the format whose rounding it is, or nothing where it is more or no number."""
    if not NUMBER.fullmatch(number):
        return ""
    size = abs(float(number))
    return "zero" if not size else next((name for name, limit in LARGEST.items() if size < limit), "")


def digits(number: str) -> int:
    """How many digits of a result are printed: none of a whole number."""
    mantissa = number.partition("e")[0].lstrip("-+")
    return len(mantissa.replace(".", "").lstrip("0")) if "." in mantissa else 0


def unit(number: str) -> float:
    """One in the last printed digit."""
    mantissa, _, exponent = number.partition("e")
    return float(10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2])))
