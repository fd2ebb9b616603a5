"""`rnntrace explain`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.choices import Distribution, DtypeName, Format, When
from rnntrace.cli.given import given, refuse, signals
from rnntrace.cli.options import MODULE, VIEW
from rnntrace.errors import ExitCode, SpecError

PLACE = "Numbers put in"
_SIZES = ("input_size", "hidden", "layers", "bidirectional", "no_bias", "proj_size", "reset_before", "weights", "dtype")
"""What a file of weights says by itself."""
_FILE = ("module", "names", "go_backwards")
"""What nothing but a file needs."""
_NUMBERS = ("weights", "steps", "batch", "unbatched", "input", "h0", "c0", "lengths", "dist", "seed", "top", "back")
"""What nothing but numbers needs."""


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
    flags = set(given(explain, values))
    from rnntrace.cli.output import OutputOptions, emit
    from rnntrace.model.conventions import TORCH
    from rnntrace.model.module import Module
    from rnntrace.model.spec import ModuleSpec, parse_kind
    from rnntrace.report.explain import equations_report
    from rnntrace.verbs.given.sources import read_sources
    from rnntrace.verbs.layouts import convention_named

    is_file = _is_file(what)
    if is_file:
        refuse(flags, _SIZES, "describes a KIND, and a file of weights says it by itself: leave it out")
    else:
        refuse(flags, _FILE, "belongs to a file of weights: leave it out, or name a file instead of a kind")
    if at is None:
        refuse(flags, _NUMBERS, "belongs to --at, which puts numbers in: give both or neither")
    else:
        refuse(flags, ("framework",), "lays out arrays, and --at puts numbers in: leave one of them out")
    found: Module | None = None
    if is_file:
        from rnntrace.verbs.explain import read_module
        from rnntrace.verbs.given.overrides import FileOverrides

        found = read_module(what, FileOverrides(module, nonlinearity, batch_first, dropout, tuple(names or ()), go_backwards))
        batch_first = found.spec.batch_first
    sources = read_sources(**signals(values), batch_first=batch_first)
    if found:
        spec = found.spec
    else:
        spec = ModuleSpec(
            kind=parse_kind(what),
            input_size=(sources.input_size or 3) if input_size is None else input_size,
            hidden_size=hidden,
            num_layers=layers,
            bidirectional=bidirectional,
            bias=not no_bias,
            batch_first=batch_first,
            nonlinearity=nonlinearity,
            proj_size=proj_size,
            dropout=dropout,
            dtype=dtype,
            reset_after=not reset_before,
        )
    if at is None:
        report = equations_report(spec, convention_named(framework or (found.layout if found else TORCH)))
    else:
        from rnntrace.report.derivation import derivation_report
        from rnntrace.verbs.explain import explain as derive
        from rnntrace.verbs.given.initial import as_held
        from rnntrace.verbs.load import load_module

        own = found or (load_module(weights, spec) if weights is not None else None)
        if own:
            sources = as_held(replace(own, spec=spec), sources)
            sources = replace(sources, warnings=(*sources.warnings, *own.remarks))
        report = derivation_report(
            derive(spec, at, sources, own.weights if own else None, distribution=dist, seed=seed, top=top, back=back), digits
        )
    emit(report, OutputOptions(format, quiet=False, color=color, digits=digits, max_rows=max_rows), output)
    return ExitCode.AGREES


def _is_file(what: str) -> bool:
    """Whether the argument is a file of weights or typed JSON, and not the name of a kind."""
    from rnntrace.files import is_json
    from rnntrace.model.spec import parse_kind

    try:
        parse_kind(what)
    except SpecError as error:
        if is_json(what) or Path(what).suffix or Path(what).exists():
            return True
        raise SpecError(f"{error}, or name a file of weights") from None
    return False
