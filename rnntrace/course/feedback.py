"""What a student is told: in words, at the level of the exercise; never a number of the key."""

import re
from collections.abc import Mapping, Sequence

from rnntrace.course.exercise import LEVELS, Exercise, points
from rnntrace.course.grades import Part
from rnntrace.course.points import Mark, Wrong
from rnntrace.engine.diagnose.case import Description

SENTENCES = {
    "full": "Everything that you handed in is right.",
    "right": "right",
    "wrong": "{right} of {of} values right",
    "explained": "{right} of {of} values right: one mistake makes them wrong, and that is what counts",
    "missing": "not handed in",
    "mistake": "What went wrong: {says}. To do: {fix}.",
    "place": "The first value that is not right: {role} {symbol} at t = {t}, unit {unit}{where}.",
    "numbers": "There you have {value}, which is right to {places} of {decimals} decimals.",
    "unreadable": "What you handed in could not be read: {why}",
    "absent": "Nothing was handed in.",
    "timeout": "What you handed in took too long to read, or too much memory.",
}
"""Sentences by the names that [texts] of an exercise gives them; a word in braces is filled in."""
_BLANK = re.compile(r"\{(\w+)\}")


def sentence(exercise: Exercise, name: str, **words: object) -> str:
    """A sentence in the exercise's own words, if it has any, with its blanks filled in."""
    text = exercise.texts.get(name, SENTENCES[name])
    return _BLANK.sub(lambda blank: str(words.get(blank[1], blank[0])), text)


def tells(exercise: Exercise, level: str) -> bool:
    """Whether feedback goes as far as this level."""
    return LEVELS.index(level) <= LEVELS.index(exercise.feedback)


def of_mark(exercise: Exercise, mark: Mark, *, explained: bool) -> str:
    """What is said of one quantity; what is wrong in it may be `explained` by mistakes with prices."""
    name = "missing" if not mark.given else "right" if mark.full else "explained" if explained else "wrong"
    return sentence(exercise, name, right=mark.right, of=mark.of)


def in_words(exercise: Exercise, marks: Mapping[str, Mark], parts: Sequence[Part], mistakes: Sequence[Description]) -> str:
    """The whole of what a student is told, a paragraph a line."""
    if all(mark.full or not mark.given for mark in marks.values()):
        full = all(mark.given for mark in marks.values() if mark.name in exercise.required)
        return "\n".join([*([sentence(exercise, "full")] if full else []), *_by_part(parts)])
    lines = [*_by_part(parts)]
    wrongs = [mark.wrong for mark in marks.values() if mark.wrong]
    if wrongs and tells(exercise, "place"):
        first = min(wrongs, key=lambda wrong: wrong.t)
        lines.append(_place(exercise, first))
        if tells(exercise, "numbers"):
            lines.append(_number(exercise, first))
    if tells(exercise, "mistake"):
        lines += [sentence(exercise, "mistake", says=mistake.says, fix=mistake.fix) for mistake in mistakes]
    return "\n".join(lines)


def _by_part(parts: Sequence[Part]) -> list[str]:
    return [str(part) for part in parts]


def _place(exercise: Exercise, wrong: Wrong) -> str:
    layer, direction, symbol = wrong.key
    spec = exercise.spec
    where = f", item {wrong.item}" if exercise.request.batch > 1 else ""
    where += f", layer {layer}" if spec.num_layers > 1 else ""
    where += f", {direction}" if len(spec.directions) > 1 else ""
    role = spec.cell.roles.get(symbol, "value")
    return sentence(exercise, "place", role=role, symbol=symbol, t=wrong.t, unit=wrong.unit, where=where)


def _number(exercise: Exercise, wrong: Wrong) -> str:
    """The student's own value, and to how many decimals it is right: no more of the right one than that."""
    right = 0
    while right < exercise.decimals and wrong.apart <= 0.5 * 10.0 ** -(right + 1):
        right += 1
    value = f"{wrong.value:.{exercise.decimals}f}"
    return sentence(exercise, "numbers", value=value, places=right, decimals=exercise.decimals)


def with_rule(exercise: Exercise, text: str) -> str:
    """The feedback with the points that can be had, for a file of the student's own."""
    return "\n".join([f"{exercise.title}, {points(exercise.max_score)} points", *exercise.rule, "", text, ""])
