"""Write the generated parts of README.md and docs/ anew, or check that they are what the code says today.

Generated are: the output below every `$ rnntrace …` line of a ```console block, the ```text block directly below a
```python block (which is run in any case), every picture in docs/images that a command or script of its page writes under the
same name, pictures of the terminal, and whole pages (the CLI reference, the cells, the mistakes). What a check compares, and
what it leaves to the processor, is said in docs/comparison.py.

In a console block `| head -n 3` keeps the first lines, `2>&1` shows stderr as well, and `echo $?` prints the last exit code.
A command that cannot be carried out (exit code 2) stops everything, unless it is shown with `2>&1`.

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
PICTURE = re.compile(r"\]\((?:docs/)?images/([\w-]+\.svg)\)")
LINK = re.compile(r"\]\(([^):#]+)")


def main() -> int:
    """Write or check every page; the exit code is 1 if a check finds a stale one."""
    # One thread, so that every machine says the same.
    os.environ.update(COLUMNS=str(WIDTH), NO_COLOR="1", COLORTERM="truecolor", TERM="xterm-256color", OMP_NUM_THREADS="1")
    from comparison import different_picture, first_difference

    check = "--check" in sys.argv[1:]
    stale = []
    for path, text in pages():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if check:
            compare = different_picture if path.suffix == ".svg" else first_difference
            difference = compare(old, text)
            if difference:
                stale.append(f"{path.relative_to(ROOT)}: {difference}")
        elif old != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    # Between the pages of docs/ mkdocs checks them.
    for page in ("README.md", "CONTRIBUTING.md"):
        links = LINK.findall(FENCE.sub("", (ROOT / page).read_text(encoding="utf-8")))
        stale += [f"{page}: there is no {link}" for link in links if not (ROOT / link).exists()]
    for line in stale:
        print(f"stale: {line}", file=sys.stderr)
    if stale:
        print("run `make docs`", file=sys.stderr)
    return bool(stale)


def pages() -> Iterator[tuple[Path, str]]:
    """Every page with its generated parts as they should be, and every picture."""
    from patterns import mistakes_page
    from reference import cells_page, cli_page
    from terminal import WIDTH as NARROW
    from terminal import pictures

    images = ROOT / "docs" / "images"
    yield ROOT / "docs" / "cli.md", cli_page()
    yield ROOT / "docs" / "cells.md", cells_page()
    yield ROOT / "docs" / "mistakes.md", mistakes_page()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        if path.name not in ("cli.md", "cells.md", "mistakes.md"):
            text, drawn = with_outputs(path.read_text(encoding="utf-8"))
            yield path, text
            yield from ((images / name, svg) for name, svg in drawn.items())
    os.environ["COLUMNS"] = str(NARROW)
    yield from ((images / name, svg) for name, svg in pictures(run_command))


def with_outputs(text: str) -> tuple[str, dict[str, str]]:
    """The page with every command and script run again, in order, in one scratch folder, and what they print today.

    Also the pictures of the page that they wrote.
    """
    result, position, printed = [], 0, None
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for block in FENCE.finditer(text):
            between = text[position : block.start()]
            language, body = block["language"], block["body"]
            if language == "console":
                body = console(body)
            elif language == "cell":
                # A cell's text names its file in its first line.
                Path(body.partition("\n")[0].removeprefix("# ")).write_text(body, encoding="utf-8")
            elif language == "text" and printed is not None and not between.strip():
                body = printed
            printed = run_script(body) if language == "python" else None
            result += [between, f"```{language}\n{body}```"]
            position = block.end()
        drawn = {name: Path(name).read_text(encoding="utf-8") for name in PICTURE.findall(text) if Path(name).exists()}
    return "".join([*result, text[position:]]), drawn


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
    line, _, head = line.partition(" | head -n ")
    words = shlex.split(line, comments=True)
    if not words or words[0] != "rnntrace":
        return ""
    printed = io.StringIO()
    beside = printed if "2>&1" in words else io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(beside):
        last_exit_code = exit_code([word for word in words[1:] if word != "2>&1"])
    if last_exit_code == 2 and beside is not printed:
        sys.exit(f"`{line}` cannot be carried out: {beside.getvalue()}")
    lines = printed.getvalue().splitlines(keepends=True)
    return "".join(lines[: int(head)] if head else lines)


last_exit_code = 0


def run_script(source: str) -> str:
    """What a Python script prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "<docs>", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


if __name__ == "__main__":
    sys.exit(main())
