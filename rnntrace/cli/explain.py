"""`rnntrace explain`."""

from dataclasses import replace
from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.given import keywords
from rnntrace.cli.groups import LimitFlags, ModuleFlags, OutputFlags, SignalFlags, TableFlags, VariantFlags, flags_of, grouped
from rnntrace.cli.options import VIEW
from rnntrace.errors import ExitCode

PLACE = "Numbers put in"


@grouped
def explain(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND|FILE",
            help="rnn, lstm, gru, rnn-cell, lstm-cell or gru-cell; or a file of weights; none with --cell.",
            show_default=False,
        ),
    ] = None,
    sizes: options.Sizes = None,
    *,
    cell: options.CellFile = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="t=2,unit=1",
            help="Put in the numbers of a run at this place: t from 1, and any of layer, direction, item, unit, gate.",
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
    back: Annotated[
        int, typer.Option("--back", min=0, help="Also derive this many steps before it.", rich_help_panel=PLACE)
    ] = 0,
    framework: Annotated[
        str | None,
        typer.Option(
            "--framework",
            metavar="NAME",
            help="Framework whose arrays are laid out; `rnntrace layouts` lists them.",
            show_default="torch, or the file's",
            rich_help_panel=VIEW,
        ),
    ] = None,
    built: ModuleFlags,
    variant: VariantFlags,
    go_backwards: options.GoBackwards = False,
    reset: options.ResetOfFile = None,
    module: options.Module = None,
    names: options.Names = None,
    config: options.ConfigFile = None,
    backward: options.Backward = False,
    loss: options.Loss = "sum",
    target: options.Target = None,
    grad: options.Grad = None,
    truncate: options.Truncate = None,
    signals: SignalFlags,
    table: TableFlags,
    written: OutputFlags,
    limits: LimitFlags,
) -> int:
    """Show the equations of a module, and which part of which array is whose; with --at, the same with numbers put in."""
    own = {"cell": cell, "top": top, "back": back, "framework": framework, "module": module, "names": names, "config": config}
    values = flags_of(built, variant, signals) | own | {"go_backwards": go_backwards, "reset": reset, "backward": backward}
    values |= {"loss": loss, "target": target, "grad": grad, "truncate": truncate}
    from rnntrace.cli.constructor import with_sizes
    from rnntrace.cli.output import emit
    from rnntrace.cli.syntax import place_in
    from rnntrace.verbs.explain import ChainRule, Equations
    from rnntrace.verbs.explain import explain as explain_module

    values = with_sizes(what, sizes, values)
    values["what"] = values.pop("kind")
    explained = explain_module(**keywords(explain_module, values), **({} if at is None else place_in(at)))
    if isinstance(explained, Equations | ChainRule):
        report = explained.report()
        report = replace(report, conclusion=(*report.conclusion, "put numbers in: --at t=2,unit=0"))
    else:
        report = explained.report(table.digits)
    emit(report, written, table)
    return ExitCode.AGREES
