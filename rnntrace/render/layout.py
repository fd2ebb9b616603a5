"""Lines that fit a width: parts joined by dots, broken between parts and never inside one unless it must."""

from collections.abc import Callable, Sequence
from textwrap import wrap

from rnntrace.report.table import Formulas

DOT = " · "
LONG = 70
"""Characters of a formula in plain text beside which a typeset page has no room."""


def flow(parts: Sequence[str], width: int | None, indent: str = "  ") -> list[str]:
    """The parts joined by dots, on as few lines as the width allows; a part wider than that is broken between words."""
    if width is None:
        return [DOT.join(parts)]
    lines = [""]
    for part in parts:
        joined = lines[-1] + DOT + part if lines[-1].strip() else lines[-1] + part
        if len(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1].strip():
            lines.append(indent)
        for word in part.split(" "):
            longer = lines[-1] + ("" if lines[-1] in ("", indent) else " ") + word
            if len(longer) > width and lines[-1].strip():
                lines.append(indent + word)
            else:
                lines[-1] = longer
    return lines


def margin(left: Sequence[str], right: Sequence[str], width: int | None) -> list[str]:
    """The left parts with the right ones at the right margin, or on lines of their own where there is no room."""
    lines, beside = flow(left, width), DOT.join(right)
    if not beside:
        return lines
    if width is None:
        return [f"{lines[0]}    {beside}"]
    if len(lines) == 1 and len(lines[0]) + 3 + len(beside) <= width:
        return [lines[0] + beside.rjust(width - len(lines[0]))]
    return [*lines, *flow(right, width)]


def sides(text: str) -> tuple[str, str]:
    """What stands left of the first equals sign outside of brackets, if there is one, and the rest with the sign."""
    for position, char in enumerate(text):
        left = text[:position]
        if char == "=" and all(left.count(opened) == left.count(closed) for opened, closed in ("{}", "()", "[]")):
            return left, text[position:]
    return "", text


def longest(formulas: Formulas) -> int:
    """Characters of the longest line in plain text."""
    return max((len(text) for line in formulas.lines for text in line.text.splitlines()), default=0)


def aligned(formulas: Formulas, escape: Callable[[str], str]) -> list[str]:
    """The lines of a LaTeX environment such as align*: equals signs below one another, labels at the right.

    Beside long formulas is no room for labels, and they stand above.
    """
    lines = []
    above = longest(formulas) > LONG
    for line in formulas.lines:
        left, right = sides(line.latex)
        label = rf"\text{{{escape(line.label)}}}"
        if line.label and above:
            lines.append(f"& {label}")
        lines.append(f"{left}& {right}" + (f" && {label}" if line.label and not above else ""))
    return [*(line + r" \\" for line in lines[:-1]), *lines[-1:]]


def typeset(formulas: Formulas) -> str:
    """The formulas as a notebook typesets them."""
    lines = "\n".join(aligned(formulas, escape=str))
    return f"$$\n\\begin{{aligned}}\n{lines}\n\\end{{aligned}}\n$$"


def equations(formulas: Formulas, width: int | None) -> list[str]:
    """A line for each formula, its label in front, equals signs below one another.

    Where that is too wide, labels stand on lines of their own, and what is still too wide is broken between words.
    """
    parts = [(line.label, *sides(text)) for line in formulas.lines for text in line.text.splitlines() or [""]]
    most = max((len(left) for _, left, _ in parts), default=0)
    labels = max((len(label) for label, _, _ in parts), default=0)
    lines = []
    previous = None
    indent = labels + 4 if labels else 2
    beside = width is None or all(indent + most + len(right) <= width for _, _, right in parts)
    for label, left, right in parts:
        shown = "" if label == previous else label
        previous = label
        if not beside and shown:
            lines.append(f"  {shown}")
        line = f"  {shown.ljust(labels)}".ljust(indent) if beside else "    "
        line += left.rjust(most) + right
        if width is None or len(line) <= width:
            lines.append(line.rstrip())
        else:
            hanging = " " * min(len(line) - len(right) + 2, width // 2)
            lines += wrap(line, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)
    return lines
