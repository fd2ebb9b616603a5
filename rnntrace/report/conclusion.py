"""The last line of a report: the verdict and its reasons."""

from dataclasses import replace

from rnntrace.engine.judge.difference import difference
from rnntrace.engine.judge.pairing import Place
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Comparison, Verdict
from rnntrace.model.vocabulary import is_output, output_names


def conclusion(result: Result) -> tuple[str, ...]:
    """The verdict and its reasons, in parts, and what it could not have shown, if that was asked."""
    parts = [*_verdict(result), *_of_handed_in(result)]
    if result.mistakes and result.passed:
        parts.append("this run does not reveal the mistake")
    if result.blind:
        parts.append(f"blind to {len(result.blind.spots)} of {result.blind.possible} mistakes")
    return tuple(parts)


def _of_handed_in(result: Result) -> tuple[str, ...]:
    """What was judged, and what was not given."""
    if result.handed_in is None or not (result.missing or len(result.judged) > len(output_names(result.spec))):
        return ()
    judged = f"judged: {', '.join(result.judged)}"
    return (judged, f"not given: {', '.join(result.missing)}") if result.missing else (judged,)


def _verdict(result: Result) -> tuple[str, ...]:
    if result.contradictions:
        of_values, *rest = _verdict(replace(result, contradictions=()))
        return (f"{result.verdict}  {'; '.join(result.contradictions)}", f"the values: {of_values.replace('  ', ', ')}", *rest)
    compared, verdict = result.comparison, result.verdict
    tolerance = compared.tolerance
    bounds = str(tolerance)
    worst = _worst(result)
    name = result.observation.framework
    without_gates = {*result.spec.cell.symbols} <= {result.spec.cell.output}
    gates = () if result.observation.captured or without_gates else ("gates not compared",)
    if verdict is Verdict.IDENTICAL:
        return (f"{verdict}  the same bits in every value", *gates)
    unjudged = _unjudged(compared)
    if verdict is Verdict.PASS:
        return (f"{verdict}  every value within {bounds}", *_by_rounding(compared), *worst, *unjudged, *gates)
    if verdict is Verdict.ROUNDED:
        return (f"{verdict}  every value within {bounds}, or {_as_given(result)}", *worst, *unjudged, *gates)
    if verdict is Verdict.DRIFT:
        return (
            f"{verdict}  every single step within {bounds}",
            *_by_rounding(compared),
            "the trajectory is not: rounding, amplified from step to step",
            *worst,
            *unjudged,
            *gates,
        )
    if verdict is Verdict.UNDECIDED:
        reason = "inputs or weights hold NaN or infinity: agreement proves nothing"
        if compared.not_finite:
            reason = f"{compared.not_finite} values are NaN or infinite, or overflow inside: nothing can be said of them"
        return (f"{verdict}  {compared.doubt or reason}", *worst)
    place = compared.first_failure
    assert place is not None
    # Outputs are hidden states once more: they are counted only where nothing else is wrong.
    inside = [difference for difference in compared.differences if not is_output(difference.name)]
    counted = inside if any(difference.one_step_bad for difference in inside) else compared.differences
    bad, total = sum(difference.one_step_bad for difference in counted), sum(difference.of for difference in counted)
    role = result.spec.cell.roles.get(place.symbol)
    # As many digits as tell any two values of the format apart.
    digits = 17 if result.spec.dtype == "float64" else 9
    steps = "single steps" if result.single_steps else "values"
    return (
        f"{verdict}  first at {place.symbol}{f' ({role})' if role else ''}, {_where(result, place)}: "
        f"replay {place.replay:.{digits}g}, {name} {place.framework:.{digits}g}",
        f"{bad} of {total} {steps} out of tolerance ({bounds})" if bad else _parted(result),
        *([f"agrees to {result.agrees_to} decimals: `tolerance=decimals:{result.agrees_to}`"] if result.agrees_to else []),
        *worst,
    )


def _parted(result: Result) -> str:
    """Why a trajectory that is out of tolerance is no drift, though every single step is within it."""
    if result.comparison.tolerance.rounding and result.single_steps:
        return "every single step is within tolerance, but rounding does not explain how the trajectory parts"
    return "the trajectory is out of tolerance"


def _unjudged(compared: Comparison) -> tuple[str, ...]:
    """In which quantities agreement says nothing."""
    names = dict.fromkeys(name for *_, name in compared.unjudged)
    return (f"not judged, with a tolerance wider than the values: {', '.join(names)}",) if names else ()


def _as_given(result: Result) -> str:
    """To how many decimals values were typed, or how far apart those on a grid are."""
    if result.levels is not None:
        return f"what activations of {(result.levels + 1).bit_length() - 1} bits explain"
    if result.step is not None:
        return f"within half a step of the grid of {result.step:.6g}"
    differences = result.comparison.differences
    found = sorted({difference.decimals for difference in differences if difference.decimals is not None})
    return f"right to {' and '.join(map(str, found))} decimals, as typed"


def _by_rounding(compared: Comparison) -> tuple[str, ...]:
    """How many values agree by what rounding can explain alone."""
    if not compared.by_rounding or compared.tolerance.kind != "torch":
        return ()
    return (f"{compared.by_rounding} only within the rounding bound",)


def _worst(result: Result) -> tuple[str, ...]:
    place = result.comparison.worst
    if place is None:
        return ()
    delta = float(difference(place.replay, place.framework))
    return (f"worst |Δ| {delta:.1e} ({place.symbol}, {_where(result, place, brief=True)})",)


def _where(result: Result, place: Place, *, brief: bool = False) -> str:
    """The place in words; brief leaves out what there is only one of."""
    words = [
        (len(result.spec.layer_directions) > 1, f"layer {place.layer}, {place.direction}"),
        (True, f"t={place.t}"),
        (result.inputs.batch > 1, f"item {place.item}"),
        (True, f"unit {place.unit}"),
    ]
    return ", ".join(word for needed, word in words if needed or not brief)
