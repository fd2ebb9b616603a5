"""A class: hand-ins of which three in ten are wrong, graded with diagnosis and without.

    python benchmarks/course.py [HAND-INS]

prints seconds of processors, here and in children, and the most memory that this process held. Of the wrong ones a third has a
mistake of the catalogue, a third an error in one step, and a third is noise, which nothing explains.
"""

import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from rnntrace import grade, new_exercise
from rnntrace.course.exercise_file import read_exercise
from rnntrace.course.key import key_of
from rnntrace.course.numbers import numbers_of, read_secret
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import apply, catalogue
from rnntrace.model.signals import arrange

COUNT = 1000
FAMILIES = ("bias", "gate-order", "activation", "state")
"""Of which mistakes of the catalogue are."""


def hand_in(path: Path, number: int) -> dict[str, np.ndarray]:
    """What the student of this number hands in."""
    exercise = read_exercise(path)
    numbers = numbers_of(exercise, read_secret(exercise.secret), f"s{number}")
    right = {name: np.round(array, 4) for name, array in key_of(exercise, numbers).items() if name in exercise.required}
    fault = number % 30
    if fault == 0:
        right["output"][1] += 0.1
    elif fault in (10, 20):
        return {name: np.random.default_rng(number).normal(scale=0.3, size=array.shape) for name, array in right.items()}
    elif fault in (1, 4, 7, 11, 14, 17):
        states = {state: numbers.signals[f"{state}0"] for state in exercise.spec.cell.states}
        case = Case.of(exercise.spec, numbers.weights, arrange(exercise.spec, numbers.signals["x"], states, None))
        mistakes = [
            mistake for mistake in catalogue(case.cell) if mistake.family in ("bias", "gate-order", "activation", "state")
        ]
        if found := apply(case, (mistakes[number % len(mistakes)],)):
            return {name: np.round(found.outputs[name], 4) for name in right}
    return right


def main(count: int) -> None:
    """Write a class, and grade it twice."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = new_exercise("lstm", output=folder / "exercise.toml").exercise
        (folder / "hand-ins").mkdir()
        for number in range(count):
            np.savez(folder / "hand-ins" / f"s{number}.npz", **hand_in(path, number))  # type: ignore[arg-type]
        (folder / "students.csv").write_text("id\n" + "".join(f"s{number}\n" for number in range(count)))
        for explain in (False, True):
            before = _seconds()
            found = grade(path, folder / "hand-ins", roster=folder / "students.csv", explain=explain)
            spent = _seconds() - before
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            wrong = sum(not one.full for one in found)
            print(
                f"{'with' if explain else 'without'} diagnosis: {count} hand-ins, {wrong} of them wrong, {spent:.1f} s of "
                f"processors, {1e3 * spent / count:.1f} ms each, {found.seconds:.1f} s in all, {most:.0f} MiB"
            )


def _seconds() -> float:
    both = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT)
