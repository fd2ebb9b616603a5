"""Write the generated parts of README.md and docs/ anew, or check that they are what the code says today.

Generated are: the output below every `$ rnntrace …` line of a ```console block, the ```text block directly below a
```python block (which is run in any case), and whole pages (the CLI reference, the cells). A check compares words and
layout exactly and numbers closely: the last digit and tiny differences vary between processors and are not compared.

    python docs/generate.py            write
    python docs/generate.py --check    compare, exit 1 if anything is stale
"""

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
WIDTH = 100
FENCE = re.compile(r"```(?P<language>\w+)\n(?P<body>.*?)```", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d+(?:e[-+]?\d+)?")


def main() -> int:
    """Write or check every page; the exit code is 1 if a check finds a stale one."""
    # One thread, so that every machine says the same.
    os.environ.update(COLUMNS=str(WIDTH), NO_COLOR="1", OMP_NUM_THREADS="1")
    check = "--check" in sys.argv[1:]
    stale = []
    for path, text in pages():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if check:
            difference = first_difference(old, text)
            if difference:
                stale.append(f"{path.relative_to(ROOT)}: {difference}")
        elif old != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    for line in stale:
        print(f"stale: {line}\nrun `make docs`", file=sys.stderr)
    return bool(stale)


def pages() -> Iterator[tuple[Path, str]]:
    """Every page with its generated parts as they should be."""
    from reference import cells_page, cli_page

    yield ROOT / "docs" / "cli.md", cli_page()
    yield ROOT / "docs" / "cells.md", cells_page()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        if path.name not in ("cli.md", "cells.md"):
            yield path, with_outputs(path.read_text(encoding="utf-8"))


def with_outputs(text: str) -> str:
    """The page with every command and script run again, in order, in one scratch folder, and what they print today."""
    result, position, printed = [], 0, None
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for block in FENCE.finditer(text):
            between = text[position : block.start()]
            language, body = block["language"], block["body"]
            if language == "console":
                body = console(body)
            elif language == "text" and printed is not None and not between.strip():
                body = printed
            printed = run_script(body) if language == "python" else None
            result += [between, f"```{language}\n{body}```"]
            position = block.end()
    return "".join([*result, text[position:]])


def console(body: str) -> str:
    """Every `$ rnntrace …` line of the block, each followed by what it prints today on stdout."""
    lines = []
    for line in body.splitlines():
        if line.startswith("$ "):
            lines += [line, *run_command(line[2:]).splitlines()]
    return "\n".join(lines) + "\n"


def run_command(line: str) -> str:
    """What `rnntrace …` prints; `echo $?` prints the exit code of the command before it."""
    from rnntrace.cli.app import exit_code

    global last_exit_code
    if line == "echo $?":
        return f"{last_exit_code}\n"
    words = shlex.split(line, comments=True)
    if not words or words[0] != "rnntrace":
        return ""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        last_exit_code = exit_code(words[1:])
    return printed.getvalue()


last_exit_code = 0


def run_script(source: str) -> str:
    """What a Python script prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "<docs>", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def first_difference(old: str, new: str) -> str:
    """The first line in which two texts differ in more than rounding, in words; empty if there is none."""
    before, after = old.splitlines(), new.splitlines()
    for number, (mine, fresh) in enumerate(zip(before, after, strict=False), 1):
        if not same_line(mine, fresh):
            return f"line {number} is\n  {mine}\nand should be\n  {fresh}"
    if len(before) != len(after):
        return f"it has {len(before)} lines and should have {len(after)}"
    return ""


def same_line(mine: str, fresh: str) -> bool:
    """Whether two lines have the same words, and numbers that are equal but for the last digit."""
    if mine == fresh:
        return True
    if words(mine) != words(fresh):
        return False
    pairs = zip(NUMBER.findall(mine), NUMBER.findall(fresh), strict=True)
    return all(close(first, second) for first, second in pairs)


def words(line: str) -> list[str]:
    """The line without its numbers. Of a worst difference and of |Δ| only the words before them are stable."""
    line = re.sub(r"worst \|Δ\| .*", "worst", line)
    line = re.sub(r"│\s+(0|\d\.\de-\d\d)\s*$", "│ tiny", line)
    return NUMBER.sub("#", line).split()


def close(first: str, second: str) -> bool:
    """Equal but for one unit of the last printed digit."""
    mantissa, _, exponent = first.partition("e")
    last_digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    a, b = float(first), float(second)
    return abs(a - b) <= 1.01 * last_digit


if __name__ == "__main__":
    sys.exit(main())
