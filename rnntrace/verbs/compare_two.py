"""`compare` with two files: two saved traces, or two files of weights on the same input."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnntrace.engine.judge.judge import not_finite
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.pairing import Place, Quantity, pair_outputs, pair_up
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Comparison, compare
from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import Trace
from rnntrace.errors import UsageError, show
from rnntrace.model.inputs import Inputs
from rnntrace.model.observation import Observation
from rnntrace.model.signals import Draw, assemble
from rnntrace.model.spec import ModuleSpec
from rnntrace.verbs.given.arrays import labels_of
from rnntrace.verbs.given.initial import as_held, held_apart
from rnntrace.verbs.given.masks import unmasked
from rnntrace.verbs.given.ordered import ordered
from rnntrace.verbs.given.overrides import Modules
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.given.traces import opened
from rnntrace.verbs.input_differences import inputs_apart, weights_apart
from rnntrace.verbs.judged import judged
from rnntrace.verbs.run import checked_seed
from rnntrace.verbs.same_weights import arrangement, as_layer, paired

OTHER = "other"
"""What the second file's values are called."""
ACTIVATIONS = {"nonlinearity": "activation", "recurrent_activation": "activation of gates"}
"""Fields of a spec, in words, of which a file of weights may say nothing."""


def compare_traces(first: Any, second: Any, judging: JudgeOptions) -> Result:
    """Two saved traces of the same shape: where the first differs from the second, and which signals and weights do.

    The first says what is judged, and how: where the second has another activation, other lengths or other symbols, that is a
    FAIL whatever the values.
    Raises UsageError and FileError.
    """
    mine, theirs = opened(first), opened(second)
    names = labels_of(first, second)
    if _form(mine) != _form(theirs):
        raise UsageError(f"{names[0]} is a trace of {_shape(mine)}, and {names[1]} one of {_shape(theirs)}")
    spec, trace, other = mine.spec, mine.trace, theirs.trace
    unsound = [sentence for result in (mine, theirs) for sentence in not_finite(result.inputs, result.weights)]

    def compared(quantities: Sequence[Quantity]) -> Comparison:
        return compare(quantities, judging.tolerance_for(spec), spec.precision, sound=not unsound)

    terms = trace.replaced(values=trace.terms)
    terms_apart = compared(pair_up(terms, terms, other.terms)).first_failure
    return replace(
        mine,
        replayed_outputs=trace.outputs,
        observation=Observation(OTHER, "", "", 0, names[1], other.outputs, {}, other.columns),
        comparison=compared([*pair_up(trace, trace, other.columns), *pair_outputs(trace, trace, other.outputs)]),
        mistakes=(),
        single_steps=False,
        contradictions=(
            *_other_module(names, spec, theirs.spec),
            *_other_lengths(names, mine.inputs, theirs.inputs),
            *_other_symbols(names, trace, other),
            *([_terms_apart(terms_apart)] if terms_apart else ()),
            *(f"{name}: {said}" for name, side in zip(names, (mine, theirs), strict=True) for said in side.contradictions),
        ),
        warnings=tuple(
            dict.fromkeys(
                (
                    *mine.warnings,
                    *unsound,
                    *_made_on_purpose(names[0], mine),
                    *_made_on_purpose(names[1], theirs),
                    *_not_passed(names[0], mine),
                    *_not_passed(names[1], theirs),
                    *_other_format(names, spec, theirs.spec),
                    *inputs_apart(mine.inputs, theirs.inputs),
                    *weights_apart(mine.weights, theirs.weights, spec.cell),
                )
            )
        ),
    )


def compare_weights(
    first: Modules,
    second: Modules,
    sources: Sources,
    judging: JudgeOptions,
    names: tuple[str, str],
    *,
    distribution: str = "normal",
    seed: int | None = None,
) -> dict[str, Result]:
    """Modules of two files, by prefix or one of each: every gate and state on the same input, and which weights differ.

    Both are replayed with numpy; torch is loaded only to draw signals that are not given. Raises UsageError.
    """
    pairs = paired(first, second, names)
    if pairs is None:
        mine, theirs = (", ".join(show(prefix) or "(no prefix)" for prefix in modules) for modules in (first, second))
        raise UsageError(f"{names[0]} holds {mine}, and {names[1]} holds {theirs}: choose with `module`")
    results: dict[str, Result] = {}
    seed = checked_seed(seed)
    for mine, theirs in pairs:
        spec = first[mine].spec
        other = as_layer(second[theirs].spec, spec)
        if _shape_alone(other, spec) != spec:
            raise UsageError(
                f"{names[0]} holds {_described(spec)}, and {names[1]} {_described(other)}: they are different modules"
            )
        signals = as_held(first[mine], ordered(spec, sources))
        inputs = _inputs(spec, signals, distribution, seed)
        weights, changed = (module.weights.astype(spec.precision.replay) for module in (first[mine], second[theirs]))
        # Beside the first module stands the second as it is, with what it says of its activations and its reset.
        trace = replay(_as_it_is(spec, other, second[theirs].assumed), changed, inputs)
        observation = Observation(OTHER, "", "", 0, names[1], trace.outputs, {}, trace.columns)
        read = (
            f"{name}: {remark}"
            for name, module in zip(names, (first[mine], second[theirs]), strict=True)
            for remark in (*module.remarks, *unmasked(module, signals))
        )
        remarks = [*read, *_other_format(names, spec, other), *arrangement(names, spec, first[mine], second[theirs], inputs)]
        if mine != theirs and len(pairs) > 1:
            remarks.append(
                f"{show(mine)} in {names[0]} stands beside {show(theirs)} in {names[1]}, the only one of its kind and size"
            )
        if other.kind != second[theirs].spec.kind:
            remarks.append(f"{names[1]} holds {second[theirs].spec}, which is compared as one layer, called for every step")
        result = judged(
            spec,
            weights,
            inputs,
            observation,
            judging,
            seed=seed if signals.request.draws else None,
            origin=signals.described(spec, distribution),
            warnings=[*signals.warnings, *remarks],
        )
        unrecorded = first[mine].assumed, second[theirs].assumed
        unsound = [] if not_finite(inputs, weights) else not_finite(inputs, changed)
        contradictions = (
            *_other_module(names, spec, other, *unrecorded),
            *held_apart(names, first[mine], second[theirs], sources),
            *(f"{found} in {names[1]}" for found in unsound),
        )
        result = replace(result, contradictions=contradictions, unused=sources.unused)
        if not (result.passed or any(weights_apart(weights, changed, spec.cell))):
            result = replace(result, warnings=(*result.warnings, f"{names[0]} and {names[1]} hold the same weights"))
        results[mine] = result
    return results


def _as_it_is(spec: ModuleSpec, other: ModuleSpec, assumed: Collection[str]) -> ModuleSpec:
    """The first module with the activations and the reset of the second, as far as its file tells them."""
    said = {name: getattr(other, name) for name in (*ACTIVATIONS, "reset_after") if name not in assumed}
    return replace(spec, **said)


def _shape_alone(other: ModuleSpec, spec: ModuleSpec) -> ModuleSpec:
    """The other module with everything that its file may say differently and still be compared."""
    taken = {name: getattr(spec, name) for name in ("batch_first", "dropout", "dtype")}
    if other.family == spec.family:
        taken |= {name: getattr(spec, name) for name in (*ACTIVATIONS, "reset_after")}
    return replace(other, **taken)


def _other_module(
    names: tuple[str, str],
    mine: ModuleSpec,
    theirs: ModuleSpec,
    unrecorded: Collection[str] = (),
    not_told: Collection[str] = (),
) -> Iterator[str]:
    """What the second file says of its module that is not so in the first; some of it the files do not tell."""
    for field, what in ACTIVATIONS.items():
        own, other = getattr(mine, field), getattr(theirs, field)
        if own != other and field not in not_told:
            assumed = ", as no flag says otherwise" if field in unrecorded else ""
            yield f"the {what} is {own} in {names[0]}{assumed}, and {other} in {names[1]}"
    if mine.reset_after != theirs.reset_after:
        places = ("after" if spec.reset_after else "before" for spec in (mine, theirs))
        yield "the reset gate acts " + ", and ".join(
            f"{where} the product in {name}" for where, name in zip(places, names, strict=True)
        )


def _other_lengths(names: tuple[str, str], mine: Inputs, theirs: Inputs) -> Iterator[str]:
    """A sentence if the sequences are not equally long, or other steps are masked."""
    if (mine.mask is None) != (theirs.mask is None) or not np.array_equal(mine.mask, theirs.mask):  # type: ignore[arg-type]
        yield f"other steps are masked: see `rnntrace show` of {names[0]} and of {names[1]}"
    elif not np.array_equal(mine.ends, theirs.ends):
        yield f"the lengths of the sequences differ: see `rnntrace show` of {names[0]} and of {names[1]}"


def _other_symbols(names: tuple[str, str], mine: Trace, theirs: Trace) -> Iterator[str]:
    """A sentence if one trace keeps gates, states or terms that the other does not."""
    kept = [list(dict.fromkeys(symbol for *_, symbol in (*trace.columns, *trace.terms))) for trace in (mine, theirs)]
    if {*kept[0]} != {*kept[1]}:
        yield f"{names[0]} keeps {', '.join(kept[0])}, and {names[1]} keeps {', '.join(kept[1])}"


def _other_format(names: tuple[str, str], mine: ModuleSpec, theirs: ModuleSpec) -> Iterator[str]:
    """A remark if the second file has another number format."""
    if mine.dtype != theirs.dtype:
        yield f"{names[1]} is {theirs.dtype}, and is judged as {mine.dtype}, which {names[0]} is"


def _terms_apart(place: Place) -> str:
    return f"the terms differ, first {place.symbol}, layer {place.layer}, {place.direction}, t={place.t}, unit {place.unit}"


def _described(spec: ModuleSpec) -> str:
    words = [str(spec), spec.torch_lacks]
    return ", ".join(filter(None, words))


def _inputs(spec: ModuleSpec, sources: Sources, distribution: str, seed: int) -> Inputs:
    """The signals of both sides; torch is loaded only if some are drawn."""
    draw: Draw = np.zeros
    if sources.request.draws:
        from rnntrace.frameworks.torch import modules as framework

        draw = framework.drawing(spec, distribution)
        framework.seed(seed)
    return assemble(spec, sources.request, draw).rounded(spec.precision)


def _form(result: Result) -> tuple[object, ...]:
    """What two traces have in common that can be compared: symbols of the cell and shapes of the states."""
    states = {key: values.shape for key, values in result.trace.columns.items() if key[2] in result.spec.cell.states}
    return result.spec.cell.symbols, states


def _not_passed(name: str, result: Result) -> Iterator[str]:
    """That the replay of a trace does not agree with its own framework, whatever the other trace holds."""
    if not result.passed:
        yield f"{name} is {result.verdict} by itself: see rnntrace show"


def _made_on_purpose(name: str, result: Result) -> Iterator[str]:
    """A sentence for each mistake that a trace was made with."""
    for mistake in result.mistakes:
        yield f"{name} was replayed with a deliberate mistake: {mistake.id}"


def _shape(result: Result) -> str:
    spec, inputs = result.spec, result.inputs
    return f"{spec} with T={inputs.steps}, B={inputs.batch}"
