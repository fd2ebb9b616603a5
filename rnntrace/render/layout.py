"""Lines that fit a width: parts joined by dots, broken between parts and never inside one unless it must."""

from collections.abc import Sequence

DOT = " · "


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
