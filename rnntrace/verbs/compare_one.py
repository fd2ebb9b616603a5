"""`compare` with one file: saved weights beside torch, and saved weights against given outputs."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.judge.quantised import left_open
from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.rounding import Typed
from rnntrace.engine.judge.tolerance import MOST_DIGITS
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.engine.replay.replay import replay
from rnntrace.equations.cell import listed
from rnntrace.errors import SignalError, UsageError, show
from rnntrace.files.grid import Grid
from rnntrace.files.ignored import Ignored
from rnntrace.frameworks.protocol import MASKS
from rnntrace.frameworks.registry import framework as beside
from rnntrace.frameworks.registry import framework_for
from rnntrace.model.conventions import ONNX
from rnntrace.model.courses import COURSES
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.module import Module
from rnntrace.model.signals import assemble, check_not_empty, has_holes
from rnntrace.model.spec import REVERSE, ModuleSpec
from rnntrace.model.vocabulary import Name, canonical_names, is_output
from rnntrace.verbs.given.expected import Expected, read_expected
from rnntrace.verbs.given.initial import as_held
from rnntrace.verbs.given.masks import as_masked, as_masked_aloud, is_said, repeats, undecided, without_repeats
from rnntrace.verbs.given.ordered import ordered, read_in_order
from rnntrace.verbs.given.overrides import FileOverrides, Modules, as_merged
from rnntrace.verbs.given.sources import Sources
from rnntrace.verbs.head import with_head
from rnntrace.verbs.judged import judged
from rnntrace.verbs.run import build_and_trace

TAKEN = {
    "h0": "an initial state, h0, and zeros are taken for it",
    "c0": "an initial state, c0, and zeros are taken for it",
    "lengths": "the lengths of the sequences, and all are taken to be as long as the input",
}
"""What stands in for a signal that a model hands in when it runs, where it is not given."""


def compare_with_framework(
    modules: Modules,
    sources: Mapping[str, Sources],
    judging: JudgeOptions,
    *,
    framework: str | None = None,
    distribution: str = "normal",
    seed: int | None = None,
    device: str = "cpu",
) -> dict[str, Result]:
    """Trace every module beside a framework, each on its signals among `sources`. One seed serves all.

    A framework that has a module in float32 alone is compared in that. Raises UsageError for a module that it lacks.
    """
    if framework is not None:
        modules = {prefix: _in_its_format(module, framework) for prefix, module in modules.items()}
    masked = {
        prefix: as_masked_aloud(module, as_held(module, ordered(module.spec, sources[prefix])))
        for prefix, module in modules.items()
    }
    for prefix, module in modules.items():
        needs = {MASKS} if has_holes(module.spec, masked[prefix].request) else frozenset[str]()
        try:
            found = framework_for(module.spec, framework, needs)
        except UsageError as error:
            raise UsageError(f"{show(prefix)}: {error}" if prefix else str(error)) from None
        if found is None:
            where = f"{show(prefix)}: " if prefix else ""
            what = " and ".join([str(module.spec), *needs])
            raise UsageError(f"{where}no framework that is installed has {what}: give outputs of its own as `expected`")
    results: dict[str, Result] = {}
    for prefix, module in modules.items():
        result = build_and_trace(
            module.spec,
            masked[prefix],
            judging,
            module.weights,
            framework=framework,
            remarks=module.remarks,
            distribution=distribution,
            seed=seed,
            device=device,
        )
        results[prefix] = undecided(result, module.open)
        seed = result.seed
    return results


def merged_readings(
    beside_expected: Callable[[Modules], dict[str, Result]], modules: Modules, overrides: FileOverrides
) -> dict[str, dict[str, Result]]:
    """The results with both directions merged, by each way that fits the shapes of what is expected; see `as_merged`."""
    found: dict[str, dict[str, Result]] = {}
    for merge, other in as_merged(modules, overrides).items():
        with suppress(SignalError):
            found[merge] = beside_expected(other)
    return found


def _in_its_format(module: Module, name: str) -> Module:
    """The module in float32, where that is what the framework has of it; weights from a text, say, are in float64."""
    spec, lacks = module.spec, beside(name).lacks
    narrow = replace(spec, dtype="float32")
    if spec.dtype != "float64" or not (lack := lacks(spec)) or lacks(narrow):
        return module
    return replace(module, spec=narrow, remarks=(*module.remarks, f"{name} has no {lack}: both sides run in float32"))


def compare_with_expected(
    modules: Modules,
    sources: Sources,
    judging: JudgeOptions,
    expected: Any,
    ignored: Ignored | None = None,
    require: Sequence[str] = (),
    grid: Grid | None = None,
) -> dict[str, Result]:
    """Replay the one module with numpy alone and judge it by what a file or typed JSON holds: see `read_expected`.

    What the file does not hold is not judged. Where every layer's h is known, as that of one layer is from the output, single
    steps are judged; else the trajectory is. Raises UsageError, FileError and SignalError.
    """
    if len(modules) != 1:
        raise UsageError(f"`expected` is for one module, and there are {len(modules)}: choose with `module`")
    if judging.replay == "forced":
        raise UsageError("`replay=forced` needs a framework's states, and `expected` gives outputs: leave one of them out")
    ((prefix, module),) = modules.items()
    spec = module.spec

    def read(sources: Sources) -> tuple[Sources, Inputs, str, Expected]:
        held, doubt = as_masked(module, as_held(module, sources))
        inputs = assemble(spec, held.request, partial(_no_draw, spec)).rounded(spec.precision)
        if module.layout != ONNX:
            check_not_empty(inputs.lengths)
        return held, inputs, doubt, read_expected(module, inputs, expected, ignored, require, held.axes, grid)

    # A course says the order of axes, and none is looked for.
    sources, inputs, doubt, given = read(sources) if module.layout in COURSES else read_in_order(spec, sources, read)
    doubt = module.open or doubt
    if "output" in given.values and repeats(module, sources):
        output = without_repeats(spec, inputs, given.values["output"])
        given = replace(given, values={**given.values, "output": output})
    remarks = [*module.remarks]
    remarks += [
        f"the model gives this layer {TAKEN[name]}: see `{name}`" for name in module.takes if not _is_given(sources, name)
    ]
    weights = module.weights.astype(spec.precision.replay)
    quantised: Typed | None = None
    if module.levels and not given.half_units:
        quantised, step = left_open(replay(spec, weights, inputs), weights, module.levels)
        given = replace(given, half_units={name: np.full(array.shape, step / 2) for name, array in given.values.items()})

    def against(given: Expected, inputs: Inputs, judging: JudgeOptions = judging) -> Result:
        return judged(
            spec,
            weights,
            inputs,
            given.observation(spec, expected),
            judging,
            origin=sources.described(spec, "given"),
            warnings=[*sources.warnings, *given.notes, *remarks],
            typed=quantised or (sources.typed(spec, inputs, module.half_units) if given.half_units else None),
        )

    result = undecided(against(given, inputs), doubt)
    if result.passed:
        result = undecided(result, _not_judged(result, given.names))
    if given.last_output is not None and result.passed:
        # The output of the last step is h_n once more: both must agree.
        h_n = f"{spec.cell.output}_n"
        half_units: dict[Name, Array] = {} if given.last_half_unit is None else {h_n: given.last_half_unit}
        last = against(replace(given, values={h_n: given.last_output}, half_units=half_units), inputs)
        result = result if last.passed else last
    if result.verdict is Verdict.FAIL:
        result = replace(
            result, agrees_to=_decimals(result, lambda rounded: against(given, inputs, replace(judging, **rounded)))
        )
    if given.step is not None:
        worst = max((difference.max_abs for difference in result.comparison.differences), default=0.0)
        remark = f"the largest difference is {worst / given.step:.3g} steps of a grid of {given.step:.6g}"
        result = replace(result, step=given.step, warnings=(*result.warnings, remark))
    if _is_last_output(result, given, against):
        hint = "what was given for h_n agrees with output[-1]: the reverse direction ends at t = 1, and its h_n is output[0]"
        result = replace(result, warnings=(*result.warnings, hint))
    if not doubt and not result.passed and "output" in given.values:
        readings = _other_readings(spec, inputs, given.values["output"])
        hints = [
            hint
            for hint, output, signals in readings
            if against(replace(given, values={"output": output}, half_units={}), signals).passed
        ]
        result = replace(result, warnings=(*result.warnings, *hints))
    if given.softmax:
        result = with_head(result, module.head, given.softmax, judging.tolerance_for(spec))
    return {prefix: replace(result, levels=module.levels, handed_in=given.names, unused=(*sources.unused, *given.unused))}


def _is_last_output(result: Result, given: Expected, against: Callable[[Expected, Inputs], Result]) -> bool:
    """Whether the well-known slip was made: of what is judged as h_n, all that fails is a reverse row that is output[-1]."""
    spec, name = result.spec, f"{result.spec.cell.output}_n"
    if result.verdict is not Verdict.FAIL or not spec.bidirectional or spec.merges or name not in given.values:
        return False
    h_n, output = result.replayed_outputs[name][-1], result.replayed_outputs["output"]
    slip = output[-1][:, spec.output_units(REVERSE)] - h_n
    if not slip.any():
        return False
    rows = given.values[name]
    honest = np.concatenate([rows[:-1], rows[-1:] - slip])
    return against(replace(given, values={**given.values, name: honest}), result.inputs).passed


def _not_judged(result: Result, names: Collection[Name]) -> str:
    """Why agreement says nothing of some of what was given, in a sentence. To hand in more is no way to pass with less."""
    unjudged = {key[2] if is_output(key[2]) else key for key in result.comparison.unjudged}
    found = canonical_names(result.spec, unjudged & {*names})
    why = "what is allowed there is more than a fifth of the values; a wider format or other weights would help"
    return f"agreement says nothing of {', '.join(found)}: {why}" if found else ""


def _decimals(result: Result, judged: Callable[[dict[str, Any]], Result]) -> int | None:
    """To how many decimals, two or more, all values agree that fail; `judged` tries a tolerance."""
    worst = max(difference.max_abs for difference in result.comparison.differences)
    certain = math.floor(-math.log10(2 * worst)) if 0 < worst < math.inf else 0
    # Rounding may have moved a value a little beyond half a unit.
    for n in (certain + 1, certain):
        if (
            2 <= n <= MOST_DIGITS
            and judged({"tolerance": f"decimals:{n}", "rtol": None, "atol": None, "lam": None, "rounded": False}).passed
        ):
            return n
    return None


def _other_readings(spec: ModuleSpec, inputs: Inputs, output: Array) -> Iterator[tuple[str, Array, Inputs]]:
    """Other ways to read what was given: what it means if one of them agrees, the output and the inputs read so."""
    if spec.bidirectional:
        halves = np.roll(output, spec.output_size, axis=2)
        yield "the output agrees if its halves are swapped: forward comes first in torch", halves, inputs
    states = inputs.states
    if (
        spec.is_cell
        or spec.batch_first
        or inputs.unbatched
        or inputs.valid is not None
        or any(rows.any() for rows in states.values())
    ):
        return
    zeros = {state: np.zeros((len(rows), inputs.steps, rows.shape[2]), rows.dtype) for state, rows in states.items()}
    turned = replace(inputs, x=inputs.x.swapaxes(0, 1), states=zeros)
    yield "the output agrees if axis 0 of x and output is the batch: pass `batch_first`", output.swapaxes(0, 1), turned


def _is_given(sources: Sources, name: str) -> bool:
    """Whether there is an array of initial states, or lengths, by this name."""
    request = sources.request
    return is_said(sources) if name == "lengths" else isinstance(request.states.get(name[:-1]), np.ndarray)


def _no_draw(spec: ModuleSpec, shape: tuple[int, ...]) -> Array:
    starts = listed([f"{state}0" for state in spec.cell.states]) if spec.is_custom else "h0 and c0"
    raise UsageError(
        show(f"`expected` needs `input`, and {starts} that are zeros or given: random signals would be other ones")
    )
