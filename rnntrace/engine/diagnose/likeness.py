"""What kind of thing a difference may be that no mistake explains: what the given values have in common with the right ones.

Every sentence rests on a test of its own; none of them is an explanation, which gives the values again.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rnntrace.engine.diagnose.agreement import Distance, Target, Values, is_final
from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.starts import starts_elsewhere
from rnntrace.engine.judge.difference import difference

SAME = 1e-3
"""Up to this part of its own size a difference is none: what is behind a layer has often been rounded once more."""
SMALL, UNLIKE = 0.05, 0.5
"""What part of the values is a small difference, and a correlation that says nothing."""
EVEN = 0.65
"""Errors that are even between the ends of what is allowed have a root mean square of 0.58 of it."""
FEW = 8
"""So many values are needed to speak of a correlation."""
OPEN = (
    "other weights than those of the file, a layer that the file does not hold, or an operation outside the catalogue: "
    "peepholes, layer norm, attention, dropout left in training mode"
)

Values64 = NDArray[np.float64]


def likenesses(case: Case, right: Values, fit: Target, before: Distance) -> tuple[str, ...]:
    """Sentences on what it may be, the most telling first; never none."""
    shapes = [
        f"{name} has shape {fit.expected[name].shape}, and this module gives {right[name].shape} (time first)"
        for name in fit.expected
        if isinstance(name, str) and name in right and right[name].shape[1:] != fit.expected[name].shape[1:]
    ]
    if shapes:
        return (*shapes, OPEN)
    sequence = next((name for name in fit.expected if not is_final(name)), None)
    if sequence is None or not np.isfinite(fit.expected[sequence]).all() or not np.isfinite(right[sequence]).all():
        return (OPEN,)
    given, mine = fit.expected[sequence], right[sequence].astype(np.float64)
    valid = np.ones(given.shape[:2], bool) if case.inputs.valid is None else case.inputs.valid
    if before.agrees:
        format = case.spec.dtype
        return (f"no more than computing in {format} with other roundings does to values of this size",)
    digits = float(fit.allowed[sequence].mean())
    found = [
        *_behind(given[valid], mine[valid], digits),
        *_places(given, mine, fit.allowed[sequence]),
    ]
    if "output" in fit.expected and starts_elsewhere(case, fit.expected["output"], fit.allowed["output"]):
        found = ["initial states other than those given, such as those in which another sequence had ended; all else is right"]
    return tuple(found) or tuple(_in_general(given[valid], mine[valid]))


def _behind(given: Values64, mine: Values64, digits: float) -> Iterator[str]:
    """What may have been done to right outputs (N, units) after them; `digits` is how far off given values may be."""
    apart, size = given - mine, _rms(given)
    if _rms(given) == 0:
        yield "all values that were given are zero: nothing was computed, or nothing was copied"
        return
    if (constant := float(given.flat[0])) and _rms(given - constant) <= SAME * size and _rms(mine - mine.mean()) > SAME * size:
        yield f"all values that were given are {constant:.4g}: an array that was filled, or an activation at its end"
        return
    if _rms(apart) <= digits:
        return
    shift = float(apart.mean())
    if _rms(apart - shift) <= max(SAME * abs(shift), EVEN * digits):
        yield f"the right outputs with {shift:.4g} added to all: something behind this layer that the file does not hold"
        return
    scale = float((given * mine).sum() / max(float(np.square(mine).sum()), 1e-300))
    if _rms(given - scale * mine) <= max(SAME * abs(scale - 1) * size, EVEN * digits):
        yield f"the right outputs times {scale:.4g}: a scale behind this layer, or numbers not dequantised"
        return
    if _rms(apart) <= SMALL * size:
        return
    order = np.argsort(mine, axis=None, kind="stable")
    steps = np.diff(given.ravel()[order])
    if given.size >= 2 * FEW and ((steps >= -SAME * size).all() or (steps <= SAME * size).all()):
        yield "a function of each right output alone: an activation behind this layer, or other digits"
        return
    if _close(np.sort(given, axis=None), np.sort(mine, axis=None)):
        yield "the right numbers in other places: axes, units or rows in another order"
        return
    with_one = np.column_stack([mine, np.ones(len(mine))])
    if len(mine) >= with_one.shape[1] + FEW:
        made, *_ = np.linalg.lstsq(with_one, given, rcond=None)
        if _rms(given - with_one @ made) <= SAME * size:
            yield "a linear function of the right outputs: a dense layer or a norm behind this one that the file does not hold"


def _places(given: Values64, mine: Values64, allowed: Values64) -> Iterator[str]:
    """Which steps, items or units (T, B, units) alone differ."""
    bad = difference(given, mine) > allowed
    for axis, name, first in ((2, "unit", 0), (1, "item", 0), (0, "step", 1)):
        by_place = np.asarray(bad.any(axis=tuple({0, 1, 2} - {axis})))
        wrong = np.flatnonzero(by_place)
        if not 0 < len(wrong) < len(by_place):
            continue
        if name == "step" and len(wrong) == len(by_place) - wrong[0]:
            yield (
                "something in what is handed on from step to step, or in W_hh: the first "
                f"{_counted(int(wrong[0]), 'step')} {'is' if wrong[0] == 1 else 'are'} right"
            )
        elif len(wrong) <= max(1, len(by_place) / 4):
            numbers = ", ".join(str(place + first) for place in wrong[:8])
            many = ("s", ", …" if len(wrong) > 8 else "") if len(wrong) > 1 else ("", "")
            yield f"something in {name}{many[0]} {numbers}{many[1]} alone: the others agree"


def _in_general(given: Values64, mine: Values64) -> Sequence[str]:
    """How much they are alike."""
    if _rms(given - mine) <= SMALL * _rms(mine):
        return (
            f"a small difference everywhere, {100 * _rms(given - mine) / _rms(mine):.2g} % of the values: weights or gates in "
            "fewer digits, such as weights in int8, or another approximation of sigmoid and tanh",
        )
    alike = _correlations(given, mine)
    if len(given) >= FEW and alike and float(np.median(alike)) < UNLIKE:
        return (
            "no unit goes along with that of this module: other weights altogether (another seed or checkpoint, a copy that "
            "was not made), or another input",
            OPEN,
        )
    return (OPEN,)


def _correlations(given: Values64, mine: Values64) -> list[float]:
    """Of each unit with itself."""
    pairs = [(theirs, own) for theirs, own in zip(given.T, mine.T, strict=True) if theirs.std() and own.std()]
    return [float(np.corrcoef(theirs, own)[0, 1]) for theirs, own in pairs]


def _close(first: Values64, second: Values64) -> bool:
    return _rms(first - second) <= SAME * _rms(second)


def _counted(count: int, name: str) -> str:
    return f"{count} {name}s" if count != 1 else name


def _rms(values: Values64) -> float:
    return float(np.sqrt(np.square(values).mean())) if values.size else 0.0
