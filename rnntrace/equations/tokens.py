"""The words of a cell's text: names with their step, numbers and signs, each with the place where it stands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rnntrace.errors import SpecError, show

LONGEST_TEXT, MOST_LINES, MOST_WORDS = 100_000, 100, 150
"""Characters and equations of a text, and words of one equation."""

_BEFORE = r"\[t-1\]|_\{t-1\}|ₜ₋₁|_prev"
_NOW = r"\[t\]|_\{t\}|ₜ"
_WORD = re.compile(
    rf"""(?P<space>[ \t\r]+)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[^\W\dₜ][^\Wₜ]*?'*)(?:(?P<before>{_BEFORE})|(?P<now>{_NOW}))?(?![\w'])
    |(?P<sign>[-+−*⊙·∘@/(),|=])""",
    re.VERBOSE,
)
_SAME = {"−": "-", "⊙": "*", "·": "*", "∘": "*"}


@dataclass(frozen=True, slots=True)
class Word:
    """One word: `kind` is name, number, sign or end; `step` of a name is now, before, or empty where none is written."""

    kind: str
    text: str
    line: int
    column: int
    step: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """The words of one equation, and what the comment behind it says."""

    words: tuple[Word, ...]
    comment: str


class CellText:
    """Says where in a text something is wrong."""

    def __init__(self, name: str) -> None:
        self.name = name

    def wrong(self, at: Word | int, what: str) -> SpecError:
        """The error to raise: `mgu.cell:2:5: …`."""
        place = f"{at.line}:{at.column}" if isinstance(at, Word) else f"{at}"
        return SpecError(f"{show(self.name)}:{place}: {what}")

    def lines(self, text: str) -> Iterator[Line]:
        """The equations of a text. Raises SpecError for what is no word of it, and for too much of everything."""
        if len(text) > LONGEST_TEXT:
            raise SpecError(f"{show(self.name)}: a cell of {len(text):,} characters is over the limit of {LONGEST_TEXT:,}")
        count = 0
        for number, line in enumerate(text.split("\n"), 1):
            code, _, comment = line.partition("#")
            words = tuple(self._words(code, number))
            if not words:
                continue
            count += 1
            if count > MOST_LINES or len(words) > MOST_WORDS:
                raise self.wrong(number, f"more than {MOST_LINES} equations, or one of more than {MOST_WORDS} words")
            yield Line((*words, Word("end", "the end of the line", number, len(code.rstrip()) + 1)), comment.strip())

    def _words(self, code: str, number: int) -> Iterator[Word]:
        place = 0
        while place < len(code):
            found = _WORD.match(code, place)
            if found is None or (found["name"] and not found["name"][0].isalpha()):
                sign = Word("sign", code[place], number, place + 1)
                raise self.wrong(
                    sign, f"{show(code[place])!r} means nothing here: expected names, numbers and + - * / ⊙ @ ( ) |"
                )
            place = found.end()
            kind = found.lastgroup or ""
            if kind == "space":
                continue
            step = "before" if found["before"] else "now" if found["now"] else ""
            kind = "name" if found["name"] else kind
            text = found["name"] or found[0]
            yield Word(kind, _SAME.get(text, text), number, found.start() + 1, step)
