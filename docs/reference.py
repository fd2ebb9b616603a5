"""The pages that are written from the code alone: the command line and the cells."""

import inspect
from enum import Enum
from typing import Any, get_args, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from rnntrace.cli.app import app
from rnntrace.cli.help import HELP
from rnntrace.equations.cell import Cell
from rnntrace.equations.cells import CELLS
from rnntrace.equations.notation import LATEX, UNICODE, formula
from rnntrace.verbs.cells import BUILT_IN

GENERATED = "<!-- Written by `make docs`; edit the code that it reads, or the Python in docs/ that writes it. -->\n\n"


def cli_page() -> str:
    """The CLI reference: every command with its help, its argument and its flags by group."""
    lines = ["# Command line", "", str(app.info.help), ""]
    for command in app.registered_commands:
        assert command.callback is not None
        hints = get_type_hints(command.callback, include_extras=True)
        parameters = inspect.signature(command.callback).parameters.values()
        name = command.name or command.callback.__name__
        examples = [f"{line}  # {says}" for line, says in HELP[name].examples]
        lines += [f"## `rnntrace {name}`", "", str(inspect.getdoc(command.callback)), "", "```sh", *examples, "```", ""]
        panels: dict[str, list[str]] = {}
        for parameter in parameters:
            kind, info = get_args(hints[parameter.name])
            if isinstance(info, ArgumentInfo):
                lines += [f"**{info.metavar}**: {info.help}", ""]
            else:
                panels.setdefault(str(info.rich_help_panel), []).append(_row(kind, info, parameter.default))
        for panel, rows in panels.items():
            lines += [f"### {panel}", "", "| flag | what it does | default |", "|---|---|---|", *rows, ""]
    lines += [
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        "| 0 | replay and framework agree: IDENTICAL, PASS or PASS (drift) |",
        "| 1 | they do not agree (FAIL), or something could not be judged (UNDECIDED) |",
        "| 2 | the request could not be carried out: one line on stderr says what was expected, found and what to do |",
        "| 130 | interrupted |",
        "| 143, 129 | ended by SIGTERM or SIGHUP; no file in the making is left |",
        "| 70 | a mistake in rnntrace itself, with its traceback: no verdict on anything |",
        "",
        "`diagnose` ends with 0 if it found an explanation, or if there is nothing to explain, and with 1 if none explains it.",
        "",
        "Results go to stdout, warnings and errors to stderr. `NO_COLOR`, `FORCE_COLOR` and `COLUMNS` are honoured.",
    ]
    return GENERATED + "\n".join(lines) + "\n"


def _row(kind: Any, info: OptionInfo, default: Any) -> str:
    # In an annotation typer keeps the first name where a default would stand.
    names = ", ".join(f"`{name}`" for name in (info.default, *(info.param_decls or ())))
    words = [option for option in (kind, *get_args(kind)) if isinstance(option, type) and issubclass(option, Enum)]
    values = "|".join(choice.value for choice in words[0]) if words else info.metavar
    stated = info.show_default if isinstance(info.show_default, str) else ""
    shown = stated or ("" if default is None or default is False else str(default))
    value = " " + " or ".join(f"`{word}`" for word in values.split("|")) if values else ""
    return f"| {names}{value} | {info.help} | {f'`{shown}`' if shown else ''} |"


def cells_page() -> str:
    """The equations of every cell, read from the declarations that the replay computes."""
    lines = [
        "# The cells",
        "",
        "These are the declarations in `rnntrace/equations/cells.py`, which the replay computes. At step t a cell reads the",
        "input xₜ and the states of the step before. W_ig is the block of `weight_ih` that belongs to gate g, W_hg that of",
        "`weight_hh`, b_ig and b_hg their biases; blocks stand in the order of the gates, from top to bottom. ⊙ multiplies",
        "element by element, σ is the sigmoid, and clip cuts off below 0 and above 1, or at the numbers behind it. Below each",
        "table stands the same for LaTeX. Variants are options of `run` and `ModuleSpec`; `rnntrace cells` gives texts to",
        "change, see [a cell of your own](own-cells.md).",
        "",
    ]
    variants = [cell for name, cell in BUILT_IN.items() if cell not in CELLS]
    for cell in (*CELLS, *variants):
        lines += [f"## {cell.title}", "", *_cell(cell), ""]
    return GENERATED + "\n".join(lines).rstrip() + "\n"


def _cell(cell: Cell) -> list[str]:
    lines = [f"Gates: {', '.join(cell.gates)}. States: {', '.join(cell.states)}.", "", "| | role | |", "|---|---|---|"]
    lines += [f"| {step.symbol} | {step.role} | `{formula(step, UNICODE, cell.parameters)}` |" for step in cell.steps]
    latex = [formula(step, LATEX, cell.parameters).replace(" = ", " &= ", 1) for step in cell.steps]
    return [*lines, "", "```math", r"\begin{aligned}", " \\\\\n".join(latex), r"\end{aligned}", "```"]
