"""`rnntrace explain`."""

from dataclasses import replace
from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.choices import Distribution, DtypeName, Format, When
from rnntrace.cli.given import keywords, place_in
from rnntrace.cli.options import MODULE, VIEW
from rnntrace.errors import ExitCode

PLACE = "Numbers put in"


def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="KIND|FILE",
            help="rnn, lstm, gru, rnn-cell, lstm-cell or gru-cell; or a file of weights.",
            show_default=False,
        ),
    ],
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="t=2,unit=1",
            help="Put the numbers of a run in at this place: t from 1, and any of layer, direction, item, unit, gate.",
            rich_help_panel=PLACE,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            min=0,
            help="Write out the terms that contribute most, and the rest as one; 0 writes out all.",
            show_default="the ends of a long sum",
            rich_help_panel=PLACE,
        ),
    ] = None,
    back: Annotated[int, typer.Option("--back", min=0, help="Derive as many steps before it too.", rich_help_panel=PLACE)] = 0,
    framework: Annotated[
        str | None,
        typer.Option(
            "--framework",
            metavar="NAME",
            help="Whose arrays to lay out, any of `rnntrace layouts`.",
            show_default="torch, or the file's",
            rich_help_panel=VIEW,
        ),
    ] = None,
    input_size: options.InputSize = None,
    hidden: options.Hidden = 2,
    layers: options.Layers = 1,
    bidirectional: options.Bidirectional = False,
    no_bias: options.NoBias = False,
    nonlinearity: options.NonlinearityOption = None,
    go_backwards: options.GoBackwards = False,
    proj_size: options.ProjSize = 0,
    reset_before: Annotated[
        bool,
        typer.Option("--reset-before", help="A GRU whose reset gate acts before the matrix product.", rich_help_panel=MODULE),
    ] = False,
    dropout: options.Dropout = 0.0,
    batch_first: options.BatchFirst = False,
    module: Annotated[
        str | None,
        typer.Option("--module", metavar="NAME", help="The module of this prefix in a file.", rich_help_panel=MODULE),
    ] = None,
    names: options.Names = None,
    weights: options.WeightsSource = None,
    dtype: options.Dtype = DtypeName.FLOAT32,
    steps: options.Steps = None,
    batch: options.Batch = None,
    unbatched: options.Unbatched = False,
    input: options.Input = None,
    text: options.Text = None,
    alphabet: options.Alphabet = None,
    h0: options.H0 = None,
    c0: options.C0 = None,
    lengths: options.Lengths = None,
    dist: options.Dist = Distribution.NORMAL,
    seed: options.Seed = None,
    digits: options.Digits = 4,
    max_rows: options.MaxRows = 40,
    format: options.FormatOption = Format.TABLE,
    output: options.OutputFile = None,
    color: options.Color = When.AUTO,
    timeout: options.Timeout = None,
    max_memory: options.MaxMemory = None,
) -> int:
    """Show the equations of a module, and which part of which array is whose; with --at, the same with numbers put in."""
    values = locals()
    from rnntrace.cli.output import OutputOptions, emit
    from rnntrace.verbs.explain import Equations
    from rnntrace.verbs.explain import explain as explain_module

    explained = explain_module(**keywords(explain_module, values), **({} if at is None else place_in(at)))
    if isinstance(explained, Equations):
        report = explained.report()
        report = replace(report, conclusion=(*report.conclusion, "put numbers in: --at t=2,unit=0"))
    else:
        report = explained.report(digits)
    emit(report, OutputOptions(format, quiet=False, color=color, digits=digits, max_rows=max_rows), output)
    return ExitCode.AGREES
