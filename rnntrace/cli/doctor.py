"""`rnntrace doctor`."""

from rnntrace.cli.groups import OutputFlags, grouped
from rnntrace.errors import ExitCode


@grouped
def doctor(written: OutputFlags) -> int:
    """Show what is installed, which path torch takes here, and how to get what is missing."""
    from rnntrace.cli.output import emit
    from rnntrace.report.doctor import doctor_report
    from rnntrace.verbs.doctor import check_up

    emit(doctor_report(check_up()), written)
    return ExitCode.AGREES
