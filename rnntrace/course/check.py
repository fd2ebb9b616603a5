"""Whether an exercise can be used: whether its numbers would show the mistakes that people make in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from rnntrace.course.exercise import Exercise
from rnntrace.course.exercise_file import read_exercise
from rnntrace.course.gradients import gradient_words
from rnntrace.course.numbers import EVERYBODY, Numbers, numbers_of, read_secret
from rnntrace.engine.backward.calculation import Calculation
from rnntrace.engine.backward.diagnose import values_of
from rnntrace.engine.backward.loss import loss_of
from rnntrace.engine.backward.mistakes import gradient_mistakes
from rnntrace.engine.diagnose.blindness import blindness
from rnntrace.engine.diagnose.case import Case, Description
from rnntrace.engine.judge.tolerance import make_tolerance
from rnntrace.engine.replay.replay import replay
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import Array
from rnntrace.model.signals import arrange
from rnntrace.report.table import SCHEMA, Report, word_table
from rnntrace.verbs.shown import Shown

TRIED = (EVERYBODY, "1", "2", "3")
"""Students whose numbers are tried."""
UNCOMMON = ("*.precision.*", "*.equation.clip-*", "*.activation.table-*")
"""Mistakes that need special numbers to be seen, and nobody makes by hand."""
MORE_ITEMS = "more items"
"""How the change of a run begins that gives it a batch."""


@dataclass(frozen=True)
class Unseen:
    """A mistake that the numbers of so many of the tried students do not show, and what would show it."""

    mistake: Description
    times: int
    shown_by: str


@dataclass(frozen=True, repr=False)
class Checked(Shown):
    """An exercise, and the mistakes that its numbers do not show: of those that are `refused` nobody's numbers do."""

    exercise: Exercise
    unseen: tuple[Unseen, ...]
    possible: int

    @property
    def refused(self) -> tuple[Unseen, ...]:
        """Those for which an exercise cannot be used, unless it says that they may go unseen."""
        return tuple(spot for spot in self.unseen if spot.times == len(TRIED) and self._counts(spot))

    def _counts(self, spot: Unseen) -> bool:
        mistake = spot.mistake
        # What mixes up items is no mistake where there is one.
        if self.exercise.request.batch == 1 and spot.shown_by.startswith(MORE_ITEMS):
            return False
        if any(fnmatchcase(mistake.id, pattern) for pattern in self.exercise.unseen):
            return False
        uncommon = mistake.rare or any(fnmatchcase(mistake.id, pattern) for pattern in UNCOMMON)
        return self.exercise.price(mistake.id) is not None or not uncommon

    @property
    def usable(self) -> bool:
        """Whether the exercise can be used."""
        return not self.refused

    def require_usable(self) -> None:
        """Raises UsageError with what would help, unless the exercise can be used."""
        if self.refused:
            first, more = self.refused[0], len(self.refused) - 1
            others = f" and {more} more" if more else ""
            raise UsageError(
                f"the numbers of this exercise cannot show {first.mistake.id}{others}: {first.shown_by} would, or say "
                f'unseen = ["{first.mistake.id}"] in [rules]; `rnntrace exercise check` lists all'
            )

    def report(self) -> Report:
        """What cannot be seen, and what would help."""
        exercise, refused = self.exercise, {spot.mistake.id for spot in self.refused}
        rows = [
            (spot.mistake.id, spot.mistake.says, spot.shown_by, f"{spot.times} of {len(TRIED)}", _effect(spot, refused))
            for spot in self.unseen
        ]
        headings = ("mistake", "what goes wrong", "what would show it", "unseen by", "")
        columns = [(heading, [row[number] for row in rows]) for number, heading in enumerate(headings)]
        verdict = "USABLE" if self.usable else "REFUSED"
        counted = f"{len(self.unseen)} of {self.possible} mistakes may go unseen, {len(refused)} of them count"
        return Report(
            headline=((("exercise", exercise.title, str(exercise.spec)), (f"{exercise.max_score:g} points",)),),
            tables=(word_table("mistakes that the numbers do not show", *columns),) if rows else (),
            conclusion=(f"{verdict}  {counted}",),
            passed=self.usable,
            document={
                "schema": SCHEMA,
                "command": "exercise",
                "usable": self.usable,
                "title": exercise.title,
                "max_score": exercise.max_score,
                "rule": list(exercise.rule),
                "possible": self.possible,
                "unseen": [
                    {
                        "id": spot.mistake.id,
                        "says": spot.mistake.says,
                        "shown_by": spot.shown_by,
                        "times": spot.times,
                        "of": len(TRIED),
                        "refused": spot.mistake.id in refused,
                    }
                    for spot in self.unseen
                ],
            },
        )


def _effect(spot: Unseen, refused: set[str]) -> str:
    return "refused" if spot.mistake.id in refused else "allowed"


def check_exercise(exercise: str | Path | Exercise) -> Checked:
    """Which mistakes the numbers of an exercise do not show, tried on some students. Raises FileError and UsageError."""
    found = exercise if isinstance(exercise, Exercise) else read_exercise(exercise)
    secret = read_secret(found.secret)
    times: dict[str, int] = {}
    spots: dict[str, Unseen] = {}
    possible = 0
    for student in TRIED:
        blind = _blind_gradients if found.backward else _blind
        unseen, count = blind(found, numbers_of(found, secret, student))
        possible = max(possible, count)
        for mistake, shown_by in unseen.items():
            times[mistake.id] = times.get(mistake.id, 0) + 1
            spots[mistake.id] = Unseen(mistake, times[mistake.id], shown_by)
    return Checked(found, tuple(spots.values()), possible)


def _blind(exercise: Exercise, numbers: Numbers) -> tuple[Mapping[Description, str], int]:
    """The mistakes that the outputs do not show with these numbers, and how many there are."""
    found = blindness(_case(numbers), make_tolerance(exercise.tolerance, exercise.spec.dtype))
    return {spot.mistake: spot.shown_by for spot in found.spots}, found.possible


def _blind_gradients(exercise: Exercise, numbers: Numbers) -> tuple[Mapping[Description, str], int]:
    """The mistakes that no gradient shows with these numbers, and how many there are that change what is required."""
    case, words = _case(numbers), dict(gradient_words(exercise.spec))
    trace = replay(case.spec, case.weights, case.inputs)
    right = Calculation.of(trace, case.weights, loss_of(exercise.loss, trace, None).gradients)
    values, keys = values_of(right.run()), {key for word in exercise.required for key in words[word]}
    unseen: dict[Description, str] = {}
    count = 0
    for mistake in gradient_mistakes(exercise.spec.cell):
        if (changed := mistake.change(right)) is None:
            continue
        wrong = values_of(changed.run())
        with np.errstate(invalid="ignore"):
            shown = {key for key in values if _is_other(wrong[key], values[key], exercise.half)}
        # What shows in gradients alone that are not handed in is no mistake in this exercise.
        if not shown:
            unseen[mistake] = "more steps, or initial states that are random,"
        count += not shown or not shown.isdisjoint(keys)
    return unseen, count


def _is_other(array: Array, right: Array, half: float) -> bool:
    return array.shape != right.shape or bool((np.abs(array - right) > half).any())


def _case(numbers: Numbers) -> Case:
    spec, states = numbers.spec, {state: numbers.signals[f"{state}0"] for state in numbers.spec.cell.states}
    return Case.of(spec, numbers.weights, arrange(spec, numbers.signals["x"], states, None))
