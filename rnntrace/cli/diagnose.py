"""`rnntrace diagnose`."""

from typing import Annotated

import typer

from rnntrace.cli import judging_options, options
from rnntrace.cli.choices import Format, When
from rnntrace.cli.given import keywords
from rnntrace.cli.options import JUDGING, MODULE
from rnntrace.errors import ExitCode


def diagnose(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Weights (a state_dict, .onnx, .keras, .h5), or a saved trace of a FAIL.", show_default=False
        ),
    ],
    expected: Annotated[
        str | None,
        typer.Option(
            "--expected",
            metavar="FILE|JSON",
            help="The outputs to explain (output, h_n, c_n); a saved trace holds its own.",
            rich_help_panel=JUDGING,
        ),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(
            "--time-limit", metavar="SECONDS", help="How long mistakes are tried, from reading on.", rich_help_panel=JUDGING
        ),
    ] = 10.0,
    module: Annotated[
        str | None,
        typer.Option("--module", metavar="NAME", help="The module of this prefix.", rich_help_panel=MODULE),
    ] = None,
    names: options.Names = None,
    ignore: options.Ignore = None,
    nonlinearity: options.NonlinearityOption = None,
    batch_first: options.BatchFirst = False,
    go_backwards: options.GoBackwards = False,
    recurrent_activation: options.RecurrentActivation = None,
    unbatched: options.Unbatched = False,
    input: options.Input = None,
    text: options.Text = None,
    alphabet: options.Alphabet = None,
    h0: options.H0 = None,
    c0: options.C0 = None,
    lengths: options.Lengths = None,
    tolerance: judging_options.Tolerance = "torch",
    rtol: judging_options.Rtol = None,
    atol: judging_options.Atol = None,
    lam: judging_options.Lambda = None,
    format: options.FormatOption = Format.TABLE,
    output: options.OutputFile = None,
    quiet: options.Quiet = False,
    color: options.Color = When.AUTO,
    timeout: options.Timeout = None,
    max_memory: options.MaxMemory = None,
) -> int:
    """Find the mistake that explains outputs which do not agree: a gate order, a transposed matrix, a lost bias.

    Every known mistake is made on purpose and its outputs are compared with those given, then pairs of them: see
    `rnntrace mistakes`. Exit code 0: explained, or nothing to explain; 1: no explanation found.
    """
    values = locals()
    from rnntrace.cli.output import OutputOptions, emit
    from rnntrace.verbs.diagnose import diagnose as diagnose_weights

    diagnosis = diagnose_weights(file, **keywords(diagnose_weights, values), seconds=time_limit)
    look = OutputOptions(format, quiet, color, digits=4, max_rows=0)
    emit(diagnosis.report(), look, output)
    return ExitCode.AGREES if diagnosis.explained else ExitCode.DISAGREES
