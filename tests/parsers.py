"""Parsers of the output formats that share no code with the renderers: each gives the tables it finds, as rows of text."""

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

Tables = list[list[list[str]]]
PDFLATEX = shutil.which("pdflatex")


def read_json(text: str) -> Tables:
    """One object, without NaN."""
    assert isinstance(json.loads(text, parse_constant=pytest.fail), dict)
    return []


def read_jsonl(text: str) -> Tables:
    """An object on every line, each key once."""
    return [[[str(value) for value in row.values()] for row in json_lines(text)]]


def json_lines(text: str) -> list[dict[str, Any]]:
    """The objects."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)

    assert text.endswith("\n") or not text
    found = [json.loads(line, parse_constant=pytest.fail, object_pairs_hook=unique) for line in text.split("\n")[:-1]]
    assert all(isinstance(row, dict) for row in found)
    return found


def read_csv(text: str) -> Tables:
    """Rows as long as the header, whose headings differ."""
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert {len(row) for row in rows} == {len(set(rows[0]))}
    return [rows]


def read_markdown(text: str) -> Tables:
    """Tables as GitHub reads them: a blank line before and behind, a line of dashes, and as many cells in every row."""
    found: Tables = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.strip("\n").split("\n")
        if not any(line.startswith("|") for line in lines):
            continue
        rows = []
        for line in lines:
            assert line.startswith("| "), paragraph
            assert line.endswith(" |"), paragraph
            rows.append([re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        assert all(re.fullmatch(":?-{2,}:?", cell) for cell in rows[1]), paragraph
        assert {len(row) for row in rows} == {len(rows[0])}, paragraph
        found.append([rows[0], *rows[2:]])
    assert text.count("$$") % 2 == 0
    return found


class _Page(HTMLParser):
    VOID = ("meta", "br", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.tables: Tables = []
        self.title = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        assert tag not in ("script", "link", "img", "iframe")
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += data
        if self.open[-1:] == ["title"]:
            self.title += data


def read_html(text: str) -> Tables:
    """A page whose elements close in order, that fetches nothing, and that says which cells are headings of what."""
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert text.startswith("<!DOCTYPE html>\n")
    assert ("html", {"lang": "en"}) in page.seen
    assert page.title.startswith("rnntrace")
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in page.seen if tag == "th")
    assert not re.search(r"https?:|url\(|@import", text)
    return page.tables


def read_page(text: str) -> Tables:
    """The same around data and one script, which fetch nothing either."""
    assert re.findall(r"<script[^>]*>", text)[-1] == '<script type="module">'
    assert set(re.findall(r"<script[^>]*>", text)[:-1]) == {'<script type="application/json">'}
    assert not re.search(r"https?:|url\(|@import|\bfetch\(|XMLHttpRequest|import\(", text)
    return read_html(re.sub(r"<script[^>]*>.*?</script>", "", text, flags=re.DOTALL))


def read_latex(text: str) -> Tables:
    """A document that compiles, where there is a TeX; everywhere one whose braces and environments close in order."""
    bare = re.sub(r"(?<!\\)(\\\\)*\\[{}]", "", re.sub("%.*", "", text))
    assert bare.count("{") == bare.count("}")
    stack: list[str] = []
    for how, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", bare):
        if how == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    return []


def compile_latex(text: str, folder: Path) -> str:
    """Compile a document, and give TeX's log; fails where TeX does. Skips where there is no TeX."""
    if PDFLATEX is None:
        pytest.skip("there is no pdflatex")
    (folder / "report.tex").write_text(text, encoding="utf-8")
    command = [PDFLATEX, "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "report.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    log = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, log[-2000:]
    return log


def read_text(text: str) -> Tables:
    """Lines without control codes, and without blanks at their ends."""
    assert text.endswith("\n")
    assert all(line.isprintable() for line in text.split("\n"))
    return []


PARSERS: dict[str, Callable[[str], Tables]] = {
    "table": read_text,
    "plain": read_text,
    "json": read_json,
    "jsonl": read_jsonl,
    "csv": read_csv,
    "markdown": read_markdown,
    "latex": read_latex,
    "html": read_html,
    "page": read_page,
}
