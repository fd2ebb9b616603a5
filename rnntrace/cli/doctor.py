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
    from rnntrace.cli.output import OutputOptions, emit
    from rnntrace.report.doctor import doctor_report
    from rnntrace.verbs.doctor import check_up

    emit(doctor_report(check_up()), OutputOptions(format, quiet=False, color=color, digits=4, max_rows=0), output)
    return ExitCode.AGREES
