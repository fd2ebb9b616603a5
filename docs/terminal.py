"""Pictures of the terminal: what a command prints, in colour, as SVG by rich's own export."""

import re
from collections.abc import Callable, Iterator
from io import StringIO

PICTURES = {
    "run.svg": "rnntrace run lstm --hidden 2 --seed 42",
    "heat.svg": "rnntrace run lstm --hidden 4 --text hello --seed 0 --show heat",
}
"""Each picture in docs/images, and the command that it shows."""
WIDTH = 86


def pictures(run: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """The name and the SVG of every picture; `run` gives what a command line prints."""
    for name, line in PICTURES.items():
        yield name, _picture(line, run(f"{line} --color always"))


def _picture(line: str, printed: str) -> str:
    from rich.console import Console
    from rich.terminal_theme import DIMMED_MONOKAI
    from rich.text import Text

    console = Console(record=True, width=WIDTH + 1, file=StringIO(), legacy_windows=False)
    console.print(Text.assemble("$ ", (line, "bold")))
    console.print(Text.from_ansi(printed))
    svg = console.export_svg(title="rnntrace", theme=DIMMED_MONOKAI, unique_id="terminal")
    # The font would be fetched from elsewhere; the reader's own monospaced font does as well.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "ui-monospace")
