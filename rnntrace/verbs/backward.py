"""`backward`: the gradients of a module, gate by gate and step by step, beside autograd's or those that are handed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntrace.engine.backward.clipping import Clipping
from rnntrace.engine.backward.differences import by_differences
from rnntrace.engine.backward.judge import BackwardResult, judge_backward
from rnntrace.engine.judge.options import JudgeOptions
from rnntrace.engine.replay.replay import replay as replay_engine
from rnntrace.equations.cell import Cell
from rnntrace.errors import UsageError
from rnntrace.files.ignored import Ignored
from rnntrace.model.axes import Axes
from rnntrace.model.backward import BackwardObservation
from rnntrace.model.conventions import TORCH
from rnntrace.model.dtypes import Array, is_whole
from rnntrace.model.inputs import Inputs
from rnntrace.model.kinds import is_kind
from rnntrace.model.signals import assemble, check_not_empty
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.report.table import Report
from rnntrace.verbs.given.gradients import check_loss, loss_in, read_gradients
from rnntrace.verbs.given.initial import as_held
from rnntrace.verbs.given.keywords import given, pass_on, refuse, several
from rnntrace.verbs.given.masks import as_masked_aloud
from rnntrace.verbs.given.modules import VARIANTS, module_for, spec_of_kind
from rnntrace.verbs.given.ordered import OWN_ORDER, ordered
from rnntrace.verbs.given.overrides import FileOverrides, course_of, named_course, own_states, read_weights
from rnntrace.verbs.given.sources import read_sources
from rnntrace.verbs.run import checked_seed
from rnntrace.verbs.shown import Shown

if TYPE_CHECKING:
    from rnntrace.verbs.page import Page

OF_A_KIND = ("input_size", "hidden", "layers", "bidirectional", "bias", "proj_size", "dtype", "weights")
"""What the weights in a file say by themselves."""
DIFFERENCES = "fd"
"""Finite differences, as what stands beside the replay."""
OF_A_FILE = ("module", "names", "config", "ignore", "go_backwards", "reset")
"""What belongs to a file of weights."""


class ShownGradients(BackwardResult, Shown):
    """Gradients that show themselves."""

    __repr__ = BackwardResult.__repr__

    def report(self) -> Report:
        """What `rnntrace backward` prints."""
        from rnntrace.report.backward import backward_report
        from rnntrace.report.select import View

        return backward_report(self, View(frozenset({"gradients", "states", "parameters"})))

    def page(
        self,
        *,
        layer: Sequence[int] | None = None,
        time: Sequence[int] | None = None,
        unit: Sequence[int] | None = None,
        item: Sequence[int] | None = None,
        digits: int = 4,
    ) -> "Page":
        """An interactive page, as `rnntrace backward --format page` writes it. Raises UsageError for too much."""
        from rnntrace.report.backward import backward_report
        from rnntrace.report.select import View
        from rnntrace.verbs.page import page_of

        return page_of(backward_report(self, View(layers=layer, times=time, units=unit, items=item)), digits)


def backward(
    source: Any = None,
    input: Any = None,
    hx: Any = None,
    grad: Any = None,
    loss: str = "sum",
    *,
    target: Any = None,
    truncate: int | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    expected: Any = None,
    cell: Cell | str | Path | None = None,
    input_size: int | None = None,
    hidden: int = 2,
    layers: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    nonlinearity: str | None = None,
    proj_size: int = 0,
    dropout: float = 0.0,
    batch_first: bool = False,
    peepholes: bool = False,
    coupled: bool = False,
    clip: float | None = None,
    reset_before: bool = False,
    activation: str | None = None,
    recurrent_activation: str | None = None,
    cell_activation: str | None = None,
    reverse_activations: str | Sequence[str] = (),
    merge: str | None = None,
    layer_norm: bool = False,
    independent: bool = False,
    weights: Any = None,
    dtype: str = "float32",
    module: str | None = None,
    names: str | Sequence[str] = (),
    layout: str | None = None,
    config: Any = None,
    ignore: str | Sequence[str] = (),
    go_backwards: bool = False,
    reset: str | None = None,
    steps: int | None = None,
    batch: int | None = None,
    unbatched: bool = False,
    axes: str | Axes | None = None,
    text: str | Sequence[str] = (),
    alphabet: str | None = None,
    h0: Any = None,
    c0: Any = None,
    states: Mapping[str, Any] | None = None,
    lengths: Sequence[int] | None = None,
    mask: Any = None,
    dist: str = "normal",
    seed: int | None = None,
    capture: str = "auto",
    tolerance: str = "torch",
    rtol: float | None = None,
    atol: float | None = None,
    lam: float | None = None,
    drift: bool = True,
    replay_dtype: str | None = None,
    mistake: str | Sequence[str] = (),
    blind: bool = False,
    check: str = "",
) -> BackwardResult:
    """Replay a module forward and backward, and judge every gradient beside autograd's, or by what was handed in.

    `source` is a kind ("lstm"), whose weights are drawn as in `run`, or weights as in `compare`: a file, a state_dict, a module
    of torch, a pair (spec, weights), a result. `input`, or x, `hx` and the other signals are as there.

    The loss is "sum", of the whole output, "last", of the output at the last step, or "mse", beside a `target` of the output's
    shape. In its place, `grad` gives ∂L/∂output, or a dictionary of those of output, h_n and c_n. With `truncate` no gradient
    goes back over a step that is a multiple of it. `clip_norm` and `clip_value` clip the gradients of the parameters as
    torch.nn.utils does, on both sides.

    `expected` are gradients to judge by in place of torch's, which is then not loaded: of parameters under torch's names, of x,
    h0 and c0, and of gates and states, `d_f`, before the activation `d_a_f`. How the replay is judged is said as in `run`;
    `check="fd"` puts finite differences in float64 beside it in place of torch. A `mistake` of `rnntrace mistakes --backward`
    is made on purpose, and with `blind` the result says which ones these gradients could not have shown. Raises RnnTraceError.
    """
    keywords = locals()
    options = given(backward, keywords)
    _check(options, loss, truncate, clip_norm, clip_value, check)
    if axes is not None:
        refuse(options, ("expected", "target", "grad"), OWN_ORDER)
    ignored = Ignored(several(ignore))
    judging = pass_on(JudgeOptions, keywords, mistakes=several(mistake))
    if hx is not None:
        h0, c0 = hx if isinstance(hx, tuple | list) else (hx, None)
        keywords |= {"h0": h0, "c0": c0}
    problem = _problem(source, keywords, options, ignored, expected is None)
    spec, own, inputs, remarks = problem.spec, problem.weights, problem.inputs, [*problem.remarks]
    trace = replay_engine(spec, own, inputs, dtype=judging.numpy_dtype(spec))
    given_loss = loss_in(spec, trace, loss, grad, target, problem.layout)
    clipping = Clipping(clip_norm, clip_value)
    if expected is not None:
        observation, notes = read_gradients(spec, inputs, expected, ignored, problem.layout)
        remarks += notes
    elif check:
        observation = by_differences(spec, own, inputs, given_loss.gradients, truncate)
    elif lacks := spec.torch_lacks or ("module that merges its directions" if spec.merges else ""):
        remarks.append(
            f"torch has no {lacks.removeprefix('a ').removeprefix('an ')}: finite differences stand beside the replay"
        )
        observation = by_differences(spec, own, inputs, given_loss.gradients, truncate)
    else:
        observation = _of_torch(spec, own, inputs, given_loss.gradients, capture, truncate)
    ignored.check()
    result = judge_backward(spec, own, inputs, given_loss, observation, judging, truncate=truncate, clipping=clipping)
    result = replace(result, seed=problem.seed, origin=problem.origin, warnings=(*remarks, *result.warnings))
    if judging.mistakes or blind:
        result = _asked_of(result, judging)
    return ShownGradients(**{field.name: getattr(result, field.name) for field in fields(result)})


def _check(
    options: Mapping[str, Any],
    loss: str,
    truncate: int | None,
    clip_norm: float | None,
    clip_value: float | None,
    check: str,
) -> None:
    """Raises UsageError for what means nothing, or does not go together."""
    if check not in ("", DIFFERENCES):
        raise UsageError(f"`check` is {DIFFERENCES}, finite differences, or left out, not {check!r}")
    if check:
        refuse(
            options, ("expected", "capture"), "says what stands beside the replay, and so does `check`: leave one of them out"
        )
    if "mistake" in options:
        refuse(options, ("replay_dtype",), "cannot be combined with `mistake`, which computes in the module's own format")
    check_loss(options, loss)
    if truncate is not None and (not is_whole(truncate) or truncate < 1):
        raise UsageError(f"`truncate` is a number of steps, 1 or more, not {truncate}")
    for name, limit in {"clip_norm": clip_norm, "clip_value": clip_value}.items():
        if limit is not None and not 0 < limit < float("inf"):
            raise UsageError(f"`{name}` must be a finite number above 0, not {limit}")


def _asked_of(result: BackwardResult, judging: JudgeOptions) -> BackwardResult:
    """The answers to `mistake` and `blind`."""
    from rnntrace.engine.backward.deliberate import with_gradient_blindness, with_gradient_mistakes

    tolerance = judging.tolerance_of_mistakes(result.spec)
    if judging.blind:
        result = with_gradient_blindness(result, tolerance)
    return with_gradient_mistakes(result, judging.mistakes, tolerance) if judging.mistakes else result


@dataclass(frozen=True)
class _Problem:
    """A module with weights and inputs, the seed if any were drawn, where signals are from, and the layout of the weights."""

    spec: ModuleSpec
    weights: Weights
    inputs: Inputs
    seed: int | None
    origin: Mapping[str, str]
    remarks: Sequence[str]
    layout: str


def _problem(source: Any, keywords: dict[str, Any], options: Mapping[str, Any], ignored: Ignored, drawn: bool) -> _Problem:
    """What there is to go back through; if `drawn`, numbers that are not given are."""
    of_kind = source is None or (isinstance(source, str) and is_kind(source))
    if of_kind:
        refuse(options, OF_A_FILE, "belongs to a file of weights: leave it out")
        if keywords["weights"] is None:
            refuse(options, ("layout",), "says how weights are laid out: leave it out, or give them")
        sources = pass_on(read_sources, keywords, course=named_course(keywords["layout"]))
        spec = spec_of_kind(source, sources, keywords)
        loaded = None if keywords["weights"] is None else module_for(keywords["weights"], spec, keywords["layout"])
    else:
        refuse(
            options, (*OF_A_KIND, *(set(VARIANTS) - {"recurrent_activation", "merge"})), "is said by the weights: leave it out"
        )
        modules = read_weights(source, pass_on(FileOverrides, keywords, names=several(keywords["names"]), ignored=ignored))
        if len(modules) != 1:
            raise UsageError(f"gradients are those of one module, and there are {len(modules)}: choose with `module`")
        (loaded,) = modules.values()
        spec = loaded.spec
        own, course = own_states(modules), course_of(modules)
        sources = pass_on(read_sources, keywords, batch_first=spec.batch_first, ignored=ignored, own_states=own, course=course)
    if loaded or keywords["input_size"] is not None:
        sources = ordered(spec, sources)
    if loaded:
        loaded = replace(loaded, spec=spec)
        sources = as_masked_aloud(loaded, as_held(loaded, sources))
    remarks = [*sources.warnings, *(loaded.remarks if loaded else ())]
    origin = sources.described(spec, keywords["dist"])
    if loaded and not sources.request.draws:
        inputs = assemble(spec, sources.request, partial(_no_draw, spec)).rounded(spec.precision)
        return _Problem(spec, loaded.weights.rounded(spec.precision), inputs, None, origin, remarks, loaded.layout)
    from rnntrace.frameworks.torch import modules as torch

    if not drawn:
        raise UsageError("`expected` needs weights and `input` that are given: random ones would be other ones")
    seed = checked_seed(keywords["seed"])
    torch.seed(seed)
    weights = torch.drawn_weights(spec)
    inputs = assemble(spec, sources.request, torch.drawing(spec, keywords["dist"])).rounded(spec.precision)
    check_not_empty(inputs.lengths)
    weights = loaded.weights.rounded(spec.precision) if loaded else weights
    return _Problem(spec, weights, inputs, seed, origin, remarks, loaded.layout if loaded else TORCH)


def _no_draw(spec: ModuleSpec, shape: tuple[int, ...]) -> Array:
    raise AssertionError(shape)


def _of_torch(
    spec: ModuleSpec, weights: Weights, inputs: Inputs, loss: Mapping[str, Array], capture: str, truncate: int | None
) -> BackwardObservation:
    from rnntrace.frameworks.torch.backward import observe_backward
    from rnntrace.frameworks.torch.modules import build, load_weights
    from rnntrace.frameworks.torch.squeezed import observe_masked

    module = build(spec)
    load_weights(module, spec, weights)
    observe = observe_backward if inputs.mask is None else observe_masked
    return observe(module, spec, inputs, loss, capture, truncate=truncate)
