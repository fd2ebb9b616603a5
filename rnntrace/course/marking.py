"""From what one student handed in to a grade: read, judged by the student's own numbers, counted, and explained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnntrace.course.exercise import Exercise, total
from rnntrace.course.feedback import in_words, of_mark, sentence, tells
from rnntrace.course.grades import Grade, Part, Status
from rnntrace.course.gradients import gradient_marks, judged_gradients, named_mistakes
from rnntrace.course.numbers import Numbers, numbers_of
from rnntrace.course.points import Mark, marks
from rnntrace.course.submission import File, reading
from rnntrace.engine.diagnose.case import Case, Description
from rnntrace.engine.diagnose.search import Diagnosis, diagnose
from rnntrace.engine.judge.result import Result
from rnntrace.errors import RnnTraceError
from rnntrace.verbs.compare import compare
from rnntrace.verbs.diagnose import given_values

SECONDS = 10.0
"""How long mistakes are tried on one hand-in."""


@dataclass(frozen=True)
class Job:
    """One hand-in to be graded: `files` of a student, judged by the numbers of each of `ids`, of which the best counts."""

    id: str
    ids: tuple[str, ...]
    files: tuple[File, ...]
    exercise: Exercise
    secret: bytes
    explain: bool = True


def graded(job: Job) -> Grade:
    """The grade of one hand-in. Whatever is wrong with the files is said in it; nothing is raised but want of memory."""
    exercise = job.exercise
    try:
        with reading(job.files, exercise) as given:
            found = [_graded(job, numbers_of(exercise, job.secret, id), given) for id in job.ids]
    except RnnTraceError as error:
        return without_points(job, Status.UNREADABLE, sentence(exercise, "unreadable", why=str(error)))
    except RecursionError:
        return without_points(job, Status.UNREADABLE, sentence(exercise, "unreadable", why="it is nested too deeply"))
    return max(found, key=lambda grade: grade.score)


def without_points(job: Job, status: Status, says: str) -> Grade:
    """The grade where nothing could be judged."""
    return Grade(job.id, status, 0.0, job.exercise.max_score, feedback=says)


def _graded(job: Job, numbers: Numbers, given: Any) -> Grade:
    exercise = job.exercise
    names = (*exercise.required, *exercise.optional)
    if exercise.backward:
        judged = judged_gradients(exercise, numbers, given)
        counted, verdict = gradient_marks(judged, exercise, names), str(judged.verdict)
    else:
        result = judged_result(exercise, numbers, given)
        counted = marks(result, names, exercise.decimals, first_error_only=exercise.first_error_only)
        verdict = str(result.verdict)
    right = all(mark.full or not mark.given for mark in counted.values())
    mistakes: tuple[Description, ...] = ()
    if not right and job.explain and (exercise.prices or tells(exercise, "mistake")):
        found = named_mistakes(judged, SECONDS) if exercise.backward else _named(exercise, result)
        mistakes = _cheapest(exercise, found)
    parts = _parts(exercise, counted, mistakes)
    score = max(total(part.score for part in parts), 0.0)
    return Grade(
        id=job.id,
        status=Status.GRADED,
        score=score,
        max_score=total(part.max_score for part in parts),
        parts=parts,
        mistakes=tuple(mistake.id for mistake in mistakes),
        verdict=_verdict(verdict, right=right, missing=any(not counted[name].given for name in exercise.required)),
        feedback=in_words(exercise, counted, parts, mistakes),
    )


def _verdict(verdict: str, *, right: bool, missing: bool) -> str:
    """What is right may still be off where it follows from values that were rounded; what is missing is not judged."""
    if not right:
        return "FAIL"
    return "UNDECIDED" if missing else "PASS (rounded)" if verdict == "FAIL" else verdict


def judged_result(exercise: Exercise, numbers: Numbers, given: Any) -> Result:
    """What was handed in beside the replay, to the decimals of the exercise and no less."""
    found = compare(
        (exercise.spec, numbers.weights), dict(numbers.signals), expected=given, tolerance=exercise.tolerance, rounded=False
    )
    assert isinstance(found, Result)
    return found


def _named(exercise: Exercise, result: Result) -> Diagnosis:
    """The mistakes that explain everything; two at once are looked for among those that have a price."""
    case = Case.of(result.spec, result.weights, result.inputs)
    return diagnose(
        case,
        given_values(result),
        result.comparison.tolerance,
        seconds=SECONDS,
        paired=lambda mistake: exercise.price(mistake.id) is not None,
    )


def _cheapest(exercise: Exercise, found: Diagnosis) -> tuple[Description, ...]:
    """Of answers that explain everything equally well, the one that costs least; one without a price comes last."""

    def cost(mistakes: Sequence[Description]) -> tuple[bool, float]:
        prices = [exercise.price(mistake.id) for mistake in mistakes]
        return None in prices, sum(price or 0.0 for price in prices)

    answers = [tuple[Description, ...](answer.mistakes) for answer in found.answers]
    return min(answers, key=cost, default=())


def _parts(exercise: Exercise, counted: Mapping[str, Mark], mistakes: Sequence[Description]) -> tuple[Part, ...]:
    """The points of every quantity; where mistakes with prices explain everything, these cost points, and wrong values none."""
    prices = {mistake.id: exercise.price(mistake.id) for mistake in mistakes}
    explained = bool(prices) and None not in prices.values()
    parts = []
    for name, worth in exercise.worth.items():
        mark = counted[name]
        if not mark.given and name in exercise.optional:
            continue
        share = 1.0 if mark.given and explained else mark.right / mark.of
        parts.append(Part(name, round(worth * share, 9), worth, of_mark(exercise, mark, explained=explained)))
    left = total(part.score for part in parts)
    for mistake in mistakes if explained else ():
        cost = min(prices[mistake.id] or 0.0, left)
        left = total((left, -cost))
        says = mistake.says if tells(exercise, "mistake") else "a known mistake"
        parts.append(Part(mistake.id if tells(exercise, "mistake") else "deduction", -cost, 0.0, says))
    return tuple(parts)
