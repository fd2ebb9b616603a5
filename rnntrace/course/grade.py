"""`grade`: a whole class, each hand-in judged by its student's own numbers."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from rnntrace.course.exercise import Exercise
from rnntrace.course.exercise_file import read_exercise
from rnntrace.course.feedback import sentence
from rnntrace.course.grades import Grade, Grades, Status
from rnntrace.course.journal import Journal, keys_of
from rnntrace.course.marking import Job, graded, without_points
from rnntrace.course.numbers import EVERYBODY, normalized, read_secret
from rnntrace.course.platforms.gradescope import ROOT, submitters
from rnntrace.course.pool import Ended, Limits, in_processes, processors
from rnntrace.course.roster import Roster, read_roster
from rnntrace.course.submission import File, every_file, find_hand_ins
from rnntrace.errors import UsageError, show
from rnntrace.model import allowance

TIMEOUT = 30.0
"""Seconds that one hand-in may take."""

Run = Callable[[Callable[[Job], Grade], Iterable[Job]], Iterator[tuple[Job, Ended]]]


def grade(
    exercise: str | Path | Exercise,
    hand_ins: str | Path | None = None,
    *,
    roster: str | Path | None = None,
    match: str | None = None,
    student: str | None = None,
    gradescope: bool = False,
    explain: bool = True,
    jobs: int | None = None,
    dask: str | None = None,
    resume: bool = False,
    journal: str | Path | None = None,
    timeout: float = TIMEOUT,
    max_memory: str | None = None,
    tell: Callable[[str, float], None] | None = None,
) -> Grades:
    """Grade what was handed in for an exercise: a folder or a zip, with files or folders named by the students' ids.

    Every student of the `roster` has a grade; without one, whoever handed in has, and a hand-in is judged by the numbers of its
    own id and by those for everybody, whichever fits. `match` says how files are named, "{id}_*.npz"; with `student` everything
    is that student's. With `gradescope`, `hand_ins` is the folder of an autograder, /autograder, and the student stands in its
    submission_metadata.json. Without `explain` no mistakes are looked for.

    So many `jobs` run at a time, by default one a processor, or as many as a cluster has threads whose scheduler has the
    address `dask`. Each takes at most `timeout` seconds and `max_memory` ("4GiB"). What is graded is noted in a `journal`, by
    default beside the hand-ins, until the run is complete; `resume` takes up one that was interrupted. `tell` is called with
    what is done and how far it is.

    Raises FileError for an exercise, roster or folder that cannot be read, and UsageError; never for a single hand-in.
    """
    _check(jobs, dask, timeout)
    begun = time.monotonic()
    setting = exercise if isinstance(exercise, Exercise) else read_exercise(exercise)
    secret = read_secret(setting.secret)
    students = read_roster(roster) if roster is not None else None
    if gradescope:
        source = Path(hand_ins or ROOT) / "submission"
        found, students, also = _of_gradescope(source, students)
    else:
        if hand_ins is None:
            raise UsageError("expected the hand-ins, a folder or a zip, beside the exercise")
        source, also = Path(hand_ins), ()
        found = find_hand_ins(source, students, match) if student is None else {student: every_file(source)}
        students = _alone(students, student) if students and student is not None else students
    planned = [*_planned(setting, secret, found, students, also, explain=explain)]
    limits = Limits(timeout, allowance.max_memory(max_memory))
    run: Run = partial(in_processes, workers=jobs or processors(), limits=limits)
    if dask is not None:
        from rnntrace.course.cluster import in_cluster

        run = partial(in_cluster, address=dask, limits=limits)
    place = Path(journal) if journal is not None else source.resolve().with_name(f".{source.resolve().name}.grades.jsonl")
    noted = Journal(place, resume=resume, needed=resume or journal is not None)
    grades = _all_graded(planned, run, noted, tell)
    return Grades(
        title=setting.title,
        max_score=setting.max_score,
        rule=setting.rule,
        found=tuple(_in_order(setting, grades, students)),
        warnings=tuple(_strangers(found, students)),
        seconds=round(time.monotonic() - begun, 3),
    )


def _check(jobs: int | None, dask: str | None, timeout: float) -> None:
    """Raises UsageError for what means nothing, or does not go together."""
    if jobs is not None and jobs < 1:
        raise UsageError(f"`jobs` is a number of processes, 1 or more, not {jobs}")
    if not timeout > 0:
        raise UsageError(f"`timeout` is a number of seconds above 0, not {timeout:g}")
    if jobs is not None and dask is not None:
        raise UsageError("`jobs` counts processes of this machine, and `dask` has workers of its own: leave one of them out")


def _all_graded(planned: list[Job], run: Run, noted: Journal, tell: Callable[[str, float], None] | None) -> dict[str, Grade]:
    """The grade of everybody who handed in, by id; those that the journal has already are taken from there."""
    keys = keys_of(planned)
    grades = {job.id: noted.known[keys[job.id]] for job in planned if keys[job.id] in noted.known}
    left, complete = [job for job in planned if job.id not in grades], False
    _preload(left)
    try:
        for job, ended in run(graded, left):
            grades[job.id] = _grade_of(job, ended)
            noted.add(keys[job.id], grades[job.id])
            if tell:
                tell("grading", len(grades) / len(planned))
        complete = True
    finally:
        # There is nothing to take up where nothing was graded.
        noted.close(complete=complete or not grades)
    if tell:
        tell("grading", math.nan)
    return grades


def _of_gradescope(source: Path, roster: Roster | None) -> tuple[dict[str, tuple[File, ...]], Roster | None, tuple[str, ...]]:
    """The files of one submission to Gradescope by the student's id, its roster, and what else the student is called.

    Raises UsageError for somebody who is not in the roster.
    """
    words = tuple(word for user in submitters(source.with_name("submission_metadata.json")) for word in user)
    if not roster:
        return {words[0]: every_file(source)}, None, words
    if not (student := roster.find(*words)):
        raise UsageError(f"{show(', '.join(words))[:100]} is not in the roster: add the id or the e-mail address")
    return {student.id: every_file(source)}, Roster((student,)), ()


def _alone(roster: Roster, student: str) -> Roster:
    """The roster of this student alone. Raises UsageError for somebody else."""
    if not (found := roster.find(student)):
        raise UsageError(f"{show(student)[:80]} is not in the roster: `student` is the id of somebody there")
    return Roster((found,))


def _planned(
    exercise: Exercise,
    secret: bytes,
    found: Mapping[str, tuple[File, ...]],
    roster: Roster | None,
    also: tuple[str, ...],
    *,
    explain: bool,
) -> Iterator[Job]:
    """A job for everybody who handed in and is in the roster; without one, on the numbers of the id, of `also`, or for all."""
    for id, relative in found.items():
        # Workers elsewhere have another folder as theirs.
        files = tuple(replace(file, path=file.path.resolve()) for file in relative)
        student = roster.find(id) if roster else None
        if student:
            yield Job(student.id, (student.id,), files, exercise, secret, explain)
        elif not roster:
            yield Job(id, tuple(dict.fromkeys((normalized(id), *also, EVERYBODY))), files, exercise, secret, explain)


def _grade_of(job: Job, ended: Ended) -> Grade:
    if isinstance(ended.result, Grade):
        return ended.result
    if ended.reason in ("time", "memory"):
        return without_points(job, Status.TIMEOUT, sentence(job.exercise, "timeout", why=ended.reason))
    return without_points(job, Status.UNREADABLE, sentence(job.exercise, "unreadable", why=show(ended.reason)))


def _in_order(exercise: Exercise, grades: Mapping[str, Grade], roster: Roster | None) -> Iterator[Grade]:
    """In the order of the roster, with those who handed in nothing; without one, of the ids."""
    if not roster:
        yield from (grades[id] for id in sorted(grades))
        return
    for student in roster:
        absent = Grade(student.id, Status.ABSENT, 0.0, exercise.max_score, feedback=sentence(exercise, "absent"))
        yield grades.get(student.id, absent)


def _strangers(found: Iterable[str], roster: Roster | None) -> Iterator[str]:
    """What was handed in by nobody in the roster, in sentences."""
    strangers = [id for id in found if roster and not roster.find(id)]
    for id in strangers[:20]:
        yield f"{show(id)[:80]} is nobody in the roster: not graded"
    if len(strangers) > 20:
        yield f"so are {len(strangers) - 20} more"


def _preload(jobs: Iterable[Job]) -> None:
    """Load once what many processes would load each."""
    import rnntrace.engine.diagnose.catalogue
    import rnntrace.files.npz
    import rnntrace.files.text

    if any(file.name.endswith((".pt", ".pth")) for job in jobs for file in job.files):
        import rnntrace.files.pt  # noqa: F401
