"""`rnntrace doctor`."""

from rnntrace.cli import options
from rnntrace.cli.choices import Format, When
from rnntrace.errors import ExitCode


def doctor(
    format: options.FormatOption = Format.TABLE,
    output: options.OutputFile = None,
    color: options.Color = When.AUTO,
) -> int:
    """Say what is installed, which path torch takes here, and how to get what is missing."""
    from rnntrace.api.doctor import check_up
    from rnntrace.cli.output import Look, emit
    from rnntrace.report.doctor import doctor_report

    emit(doctor_report(check_up()), Look(format, quiet=False, color=color, digits=4, max_rows=0), output)
    return ExitCode.AGREES
