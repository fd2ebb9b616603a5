"""A page to play with: one file that holds the numbers of a run, their declaration as a tree, and the script that shows both.

Script and style are the files beside this one. The page fetches nothing, and its policy lets nothing else run.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files

from rnntrace.errors import UsageError
from rnntrace.render import Style
from rnntrace.render.html import conclusion, headline
from rnntrace.render.html_style import PAGE, SHARED
from rnntrace.render.layout import DOT
from rnntrace.render.page.data import words
from rnntrace.render.page.markup import article
from rnntrace.report.page import Play
from rnntrace.report.table import Report

SCRIPTS = (
    *("cell.js", "back.js", "play.js", "formula.js"),
    *("page.js", "places.js", "how.js", "predict.js", "drawing.js", "start.js"),
)
"""In the order in which they stand in the page."""
OF_GRADIENTS = ("back.js",)
"""Those that nothing but a backward pass needs."""


def render(report: Report, style: Style) -> Iterator[str]:
    """A whole page. Raises UsageError for a report that has nothing to play, and for one that is too large for a browser."""
    if report.plays is None:
        raise UsageError("a page plays the numbers of a run, and there are none here: choose `format=html`")
    plays = report.plays()
    return _written(report, plays, [article(play, style.digits) for play in plays])


def _written(report: Report, plays: Sequence[Play], articles: list[str]) -> Iterator[str]:
    title = DOT.join(("rnntrace", *report.headline[0][0]))
    names = [name for name in SCRIPTS if name not in OF_GRADIENTS or any(play.back for play in plays)]
    script, css = words(plays) + "".join(map(_file, names)), PAGE + SHARED + _file("page.css")
    policy = f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(css)}'; base-uri 'none'; form-action 'none'"
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{css}</style>\n</head>\n<body>\n"
    )
    yield f'<main class="rnntrace">\n<h1 class="said">{escape(title)}</h1>\n'
    yield from headline(report)
    if report.passed is not None:
        yield from conclusion(report)
    yield from articles
    yield f'</main>\n<script type="module">{script}</script>\n</body>\n</html>\n'


def _file(name: str) -> str:
    """A file of this folder without what is there for its reader: comments on lines of their own, indents, blanks in rules."""
    lines = map(str.strip, files(__name__).joinpath(name).read_text(encoding="utf-8").splitlines())
    text = "".join(f"{line}\n" for line in lines if line and not line.startswith(("//", "/*")))
    return text.replace(": ", ":").replace(" {", "{") if name.endswith(".css") else text


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
