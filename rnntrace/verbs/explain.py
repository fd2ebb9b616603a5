"""`explain`: the equations of a module, and what one unit of it computes at one step with the numbers put in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntrace.equations.cell import Cell
from rnntrace.errors import SpecError, UsageError, show
from rnntrace.files import is_json
from rnntrace.model.axes import Axes
from rnntrace.model.conventions import TORCH, Convention
from rnntrace.model.kinds import parse_kind
from rnntrace.model.module import Module
from rnntrace.model.spec import ModuleSpec
from rnntrace.report.explain import equations_report
from rnntrace.report.table import Report
from rnntrace.verbs.given.arrays import label_of
from rnntrace.verbs.given.cells import cell as own_cell
from rnntrace.verbs.given.initial import as_held
from rnntrace.verbs.given.keywords import given, pass_on, refuse, several
from rnntrace.verbs.given.masks import as_masked_aloud
from rnntrace.verbs.given.modules import VARIANTS, is_result, module_for, spec_of_kind
from rnntrace.verbs.given.ordered import OWN_ORDER, ordered
from rnntrace.verbs.given.overrides import FileOverrides, course_of, named_course, read_weights
from rnntrace.verbs.given.sources import SIGNALS, own_signals, read_sources
from rnntrace.verbs.given.traces import is_trace, opened
from rnntrace.verbs.layouts import convention_named
from rnntrace.verbs.shown import Shown

if TYPE_CHECKING:
    from rnntrace.verbs.derived import ShownExplanation, ShownGradientExplanation

OF_A_KIND = ("input_size", "hidden", "layers", "bidirectional", "bias", "proj_size", *VARIANTS, "weights", "dtype")
"""What weights say by themselves."""
OF_WEIGHTS = ("module", "names", "config", "go_backwards", "reset")
"""What nothing but weights needs."""
OF_A_PLACE = (
    "weights",
    "steps",
    "batch",
    "unbatched",
    "input",
    "axes",
    "h0",
    "c0",
    "states",
    "lengths",
    "mask",
    "dist",
    "seed",
    "top",
    "back",
)
"""What nothing but numbers needs."""


@dataclass(frozen=True, repr=False)
class Equations(Shown):
    """The equations of a module, and which part of which of a framework's arrays is whose."""

    spec: ModuleSpec
    convention: Convention

    def report(self) -> Report:
        """The equations, the shapes, and the arrays gate by gate."""
        return equations_report(self.spec, self.convention)


@dataclass(frozen=True, repr=False)
class ChainRule(Shown):
    """The equations of a module's backward pass."""

    spec: ModuleSpec

    def report(self) -> Report:
        """The chain rule, step by step, and what parameters get."""
        from rnntrace.report.gradient_derivation import gradient_equations_report

        return gradient_equations_report(self.spec)


def explain(
    what: Any = None,
    *,
    cell: Cell | str | Path | None = None,
    layer: int | None = None,
    direction: str | None = None,
    t: int | None = None,
    item: int | None = None,
    unit: int | None = None,
    gate: str | None = None,
    top: int | None = None,
    back: int = 0,
    framework: str | None = None,
    input_size: int | None = None,
    hidden: int = 2,
    layers: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    nonlinearity: str | None = None,
    go_backwards: bool = False,
    reset: str | None = None,
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
    module: str | None = None,
    names: str | Sequence[str] = (),
    layout: str | None = None,
    config: Any = None,
    weights: Any = None,
    dtype: str = "float32",
    steps: int | None = None,
    batch: int | None = None,
    unbatched: bool = False,
    input: Any = None,
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
    backward: bool = False,
    loss: str = "sum",
    target: Any = None,
    grad: Any = None,
    truncate: int | None = None,
) -> "Equations | ChainRule | ShownExplanation | ShownGradientExplanation":
    """Explain a kind ("lstm"), a specification, weights, a result or a saved trace: its equations, or what a place computed.

    A `cell` of your own, its text or a file of it, stands in place of a kind, or says what weights are.

    A place has a step `t` from 1, and a layer, direction, item and unit from 0, by default the first ones; with a `gate`, that
    quantity alone is derived, and `back` steps before it too. `top` singles out as many terms, and 0 writes out all. Without a
    place the arrays are laid out as in the `framework` that is named. Of a result its own signals are taken; for the rest, what
    is not given is drawn from `seed`, the same as in `run`, and only then torch is loaded. Raises RnnTraceError.

    Of a `backward` pass it is the chain rule, of a loss as in `backward`, and `back` goes to the steps after the place.
    """
    keywords = locals()
    options = given(explain, keywords)
    asked = {"layer": layer, "direction": direction, "t": t, "item": item, "unit": unit, "gate": gate}
    place = {name: value for name, value in asked.items() if value is not None}
    if what is None and cell is not None and weights is not None:
        what, weights = weights, None
        options = {name: value for name, value in options.items() if name != "weights"}
    kind_alone = what is None or isinstance(what, ModuleSpec) or (isinstance(what, str | Path) and is_kind(str(what)))
    if not kind_alone or isinstance(what, ModuleSpec):
        refuse(options, OF_A_KIND, "describes a kind, and weights say it by themselves: leave it out")
    if kind_alone:
        refuse(options, OF_WEIGHTS, "belongs to weights, in a file or in memory: leave it out, or give them instead of a kind")
    if kind_alone and weights is None:
        refuse(options, ("layout",), "says how weights are laid out: leave it out, or give them")
    if place:
        refuse(options, ("framework",), "lays out arrays, and `t` puts numbers in: leave one of them out")
    else:
        refuse(options, OF_A_PLACE, "belongs to `t`, which puts numbers in: give both or neither")
    if not (backward and place):
        of_gradients = {"loss", "target", "grad", "truncate"}
        refuse(options, of_gradients, "belongs to gradients with numbers put in: give `backward` and `t` too")
    if axes is not None:
        refuse(options, ("target", "grad"), OWN_ORDER)
    if not kind_alone and is_trace(what):
        what = opened(what)
    if is_result(what) and place and not backward and SIGNALS.isdisjoint(options):
        from rnntrace.verbs.derived import derived_of

        return derived_of(what, place, top=top, back=back)
    found: Module | None = None
    if not kind_alone:
        found = read_module(what, pass_on(FileOverrides, keywords, names=several(names)))
    told = found.spec if found else what if isinstance(what, ModuleSpec) else None
    course = course_of({"": found}) if found else named_course(layout)
    if told:
        batch_first = told.batch_first
    declared = told.cell if told else None if cell is None else own_cell(cell)
    own_states = declared.states if declared else ()
    sources = own_signals(what, options) or pass_on(
        read_sources, keywords, batch_first=batch_first, own_states=own_states, course=course
    )
    spec = told or spec_of_kind(what, sources, keywords)
    if not place:
        if backward:
            return ChainRule(spec)
        return Equations(spec, convention_named(framework or (found.layout if found else TORCH)))
    if told or weights is not None or input_size is not None:
        sources = ordered(spec, sources)
    own = found or (module_for(weights, spec, layout) if weights is not None else None)
    if own:
        sources = as_masked_aloud(own, as_held(replace(own, spec=spec), sources))
        sources = replace(sources, warnings=(*sources.warnings, *own.remarks))
    from rnntrace.verbs.derived import derived_from, derived_gradients

    if backward:
        of_loss = {"loss": loss, "target": target, "grad": grad, "truncate": truncate}
        return derived_gradients(spec, own, sources, place, dist=dist, seed=seed, top=top, back=back, **of_loss)
    return derived_from(spec, own, sources, place, dist=dist, seed=seed, top=top, back=back)


def read_module(source: Any, overrides: FileOverrides) -> Module:
    """The one recurrent module of a source. Raises FileError, WeightsError, and UsageError if there are more."""
    modules = read_weights(source, overrides)
    if len(modules) > 1:
        choices = ", ".join(show(prefix) or "(no prefix)" for prefix in modules)
        raise UsageError(f"{label_of(source)} holds {len(modules)} modules: choose one of {choices} with `module`")
    return next(iter(modules.values()))


def is_kind(what: str) -> bool:
    """Whether this is the name of a kind, and not a file of weights or JSON. Raises SpecError if it is neither."""
    try:
        parse_kind(what)
    except SpecError as error:
        if is_json(what) or Path(what).suffix or Path(what).exists():
            return False
        raise SpecError(f"{error}, or name a file of weights") from None
    return True
