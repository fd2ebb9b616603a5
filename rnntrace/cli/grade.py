"""`rnntrace grade`."""

from pathlib import Path
from typing import Annotated

import typer

from rnntrace.cli import options
from rnntrace.cli.choices import Format, GradeFormat, When
from rnntrace.cli.groups import OutputFlags, grouped
from rnntrace.cli.options import CLASS, LIMITS, OUTPUT
from rnntrace.errors import ExitCode


@grouped
def grade(
    exercise: Annotated[
        str | None,
        typer.Argument(
            metavar="[EXERCISE]", help="By default exercise.toml; with --gradescope that in source/.", show_default=False
        ),
    ] = None,
    hand_ins: Annotated[
        str | None,
        typer.Argument(
            metavar="[HAND-INS]", help="A folder or a zip: files or folders by the students' ids.", show_default=False
        ),
    ] = None,
    *,
    roster: Annotated[
        str | None,
        typer.Option(
            "--roster",
            metavar="CSV",
            help="Who takes part: a CSV with a column id, and email and name if there are any.",
            show_default=False,
            rich_help_panel=CLASS,
        ),
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            "--match",
            metavar="PATTERN",
            help="How files are named, such as '{id}_*.npz'.",
            show_default=False,
            rich_help_panel=CLASS,
        ),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            "--student", metavar="ID", help="HAND-INS are this student's alone.", show_default=False, rich_help_panel=CLASS
        ),
    ] = None,
    gradescope: Annotated[
        bool,
        typer.Option(
            "--gradescope",
            help="In a Gradescope autograder: HAND-INS is its folder, /autograder, and results.json is written there.",
            rich_help_panel=CLASS,
        ),
    ] = False,
    no_explain: Annotated[bool, typer.Option("--no-explain", help="Look for no mistakes.", rich_help_panel=CLASS)] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            help="Hand-ins at a time.",
            show_default="one a processor",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            "--dask",
            metavar="ADDRESS",
            help="Grade on the workers of this Dask scheduler, which see the same files.",
            show_default=False,
            rich_help_panel=LIMITS,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take up a run that was interrupted.", rich_help_panel=LIMITS)
    ] = False,
    journal: Annotated[
        str | None,
        typer.Option(
            "--journal",
            metavar="FILE",
            help="Where to note what is graded while the run lasts.",
            show_default="beside HAND-INS",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    each: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", help="Time that one hand-in may take.", rich_help_panel=LIMITS),
    ] = 30.0,
    most: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            metavar="SIZE",
            help="Memory that one hand-in may take: 512M, 2GiB. Also RNNTRACE_MAX_MEMORY.",
            show_default="4GiB",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    fill: Annotated[
        Path | None,
        typer.Option(
            "--fill",
            metavar="CSV",
            help="Fill grades and feedback into a grading worksheet exported from Moodle or Canvas.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    feedback: Annotated[
        Path | None,
        typer.Option(
            "--feedback",
            metavar="DIR",
            help="Write each student's feedback into a file of its own: Markdown, or HTML with --format html.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    format: Annotated[GradeFormat, typer.Option("--format", "-f", help="How to write the grades.", rich_help_panel=OUTPUT)] = (
        GradeFormat.TABLE
    ),
    output: options.OutputFile = None,
    color: options.Color = When.AUTO,
) -> int:
    """Grade what a class handed in: points, mistakes and feedback for each student.

    Exit codes: 0 everybody is graded, whatever the points; 1 somebody could not be; 2 the request could not be carried out.
    With --format gradescope or classroom, --output DIR writes a file a student.
    """
    from dataclasses import replace

    from rnntrace.cli.output import emit
    from rnntrace.cli.progress import tell
    from rnntrace.course.grade import grade as grade_class
    from rnntrace.course.platforms import OF_ONE, WRITERS
    from rnntrace.course.platforms.gradescope import RESULTS, ROOT
    from rnntrace.course.report import grades_report
    from rnntrace.course.written import feedback_files, folder, gradebook_file, platform_files, platform_text

    root = Path(hand_ins or ROOT)
    exercise = exercise or str(root / "source" / "exercise.toml" if gradescope else "exercise.toml")
    grades = grade_class(
        exercise,
        hand_ins,
        gradescope=gradescope,
        roster=roster,
        match=match,
        student=student,
        jobs=jobs,
        dask=dask,
        resume=resume,
        journal=journal,
        explain=not no_explain,
        timeout=each,
        max_memory=most,
        tell=tell,
    )
    if gradescope:
        format, output = GradeFormat.GRADESCOPE, output or folder(root / RESULTS.parent) / RESULTS.name
    others, warnings = gradebook_file(fill, grades, roster) if fill else ([], [])
    others += feedback_files(grades, feedback, html=format is GradeFormat.HTML) if feedback else []
    report = grades_report(replace(grades, warnings=(*grades.warnings, *warnings)))
    if format in OF_ONE and output and not gradescope:
        others, output = [*others, *platform_files(grades, format, output)], None
        format = GradeFormat.TABLE
    instead = platform_text(grades, format) if format in WRITERS else None
    written = OutputFlags(Format.TABLE if instead is not None else Format(format), output, color)
    emit(report, written, others=others, read=[exercise, hand_ins, roster], instead=instead)
    return ExitCode.AGREES if grades.complete else ExitCode.DISAGREES
