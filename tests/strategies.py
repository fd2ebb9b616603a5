"""Hypothesis strategies: modules that can exist, runs that fit them, and whole problems for numpy alone."""

from dataclasses import dataclass

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from rnntrace.model.dtypes import DTYPES
from rnntrace.model.inputs import Inputs, SignalRequest
from rnntrace.model.kinds import KINDS
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

MAX_LAYERS, MAX_SIZE, MAX_STEPS, MAX_BATCH = 3, 5, 6, 4


def examples(count: int) -> settings:
    """Settings of a property test: as many examples, the same ones every time, however long one takes."""
    return settings(max_examples=count, deadline=None, derandomize=True, database=None)


@dataclass(frozen=True)
class Case:
    """A module, the signals to ask for, and the seed from which everything random is drawn."""

    spec: ModuleSpec
    request: SignalRequest
    seed: int


@dataclass(frozen=True)
class Problem:
    """A module with weights and inputs, for a replay without a framework."""

    spec: ModuleSpec
    weights: Weights
    inputs: Inputs


@st.composite
def specs(
    draw: st.DrawFn,
    kinds: tuple[str, ...] = KINDS,
    dtypes: tuple[str, ...] = tuple(DTYPES),
    directions: tuple[bool, ...] = (False, True),
    reset_after: tuple[bool, ...] = (True,),
) -> ModuleSpec:
    """A module that can exist; `directions` are the values of `bidirectional`, `reset_after` those for a GRU."""
    kind = draw(st.sampled_from(kinds))
    hidden_size = draw(st.integers(1, MAX_SIZE))
    options: dict[str, object] = {}
    if not kind.endswith("Cell"):
        options["num_layers"] = draw(st.integers(1, MAX_LAYERS))
        options["bidirectional"] = draw(st.sampled_from(directions))
        options["batch_first"] = draw(st.booleans())
    if kind.startswith("RNN"):
        options["nonlinearity"] = draw(st.sampled_from(("tanh", "relu")))
    if kind == "LSTM":
        options["proj_size"] = draw(st.integers(0, hidden_size - 1))
    if kind.startswith("GRU"):
        options["reset_after"] = draw(st.sampled_from(reset_after))
    return ModuleSpec(
        kind=kind,
        input_size=draw(st.integers(1, MAX_SIZE)),
        hidden_size=hidden_size,
        bias=draw(st.booleans()),
        dtype=draw(st.sampled_from(dtypes)),
        **options,
    )


def lengths_of(steps: int, batch: int) -> st.SearchStrategy[tuple[int, ...]]:
    """One length an item, from 1 to the number of steps, in any order; the longest may be shorter than x."""
    return st.lists(st.integers(1, steps), min_size=batch, max_size=batch).map(tuple)


@st.composite
def requests(draw: st.DrawFn, spec: ModuleSpec) -> SignalRequest:
    """Signals that fit the module: batched, packed or unbatched, with zero or random initial states."""
    steps, batch = draw(st.integers(1, MAX_STEPS)), draw(st.integers(1, MAX_BATCH))
    forms = ("batched", "unbatched") if spec.is_cell else ("batched", "unbatched", "packed")
    form = draw(st.sampled_from(forms))
    state = st.sampled_from(("zeros", "random"))
    return SignalRequest(
        steps=steps,
        batch=1 if form == "unbatched" else batch,
        unbatched=form == "unbatched",
        h0=draw(state),
        c0=draw(state) if spec.has_cell_state else "zeros",
        lengths=draw(lengths_of(steps, batch)) if form == "packed" else None,
    )


@st.composite
def cases(draw: st.DrawFn, dtypes: tuple[str, ...] = tuple(DTYPES)) -> Case:
    """A module of torch.nn and a run that fits it."""
    spec = draw(specs(dtypes=dtypes))
    return Case(spec, draw(requests(spec)), draw(st.integers(0, 2**32 - 1)))


@st.composite
def problems(
    draw: st.DrawFn,
    kinds: tuple[str, ...] = KINDS,
    directions: tuple[bool, ...] = (False, True),
    packed: tuple[bool, ...] = (False, True),
) -> Problem:
    """A module in float64, of either GRU, with weights and inputs from a seed; `packed` says whether there are lengths."""
    spec = draw(specs(kinds, ("float64",), directions, (True, False)))
    steps, batch = draw(st.integers(1, MAX_STEPS)), draw(st.integers(1, MAX_BATCH))
    has_lengths = draw(st.sampled_from(packed))
    lengths = draw(lengths_of(steps, batch)) if has_lengths else None
    return problem(spec, steps, batch, lengths, draw(st.integers(0, 2**32 - 1)))


def problem(spec: ModuleSpec, steps: int, batch: int, lengths: tuple[int, ...] | None = None, seed: int = 0) -> Problem:
    """Weights as small as torch draws them, inputs and initial states of a normal distribution."""
    generator = np.random.default_rng(seed)
    bound = spec.hidden_size**-0.5

    def column(layer: int) -> LayerWeights:
        return LayerWeights(
            arrays={name: generator.uniform(-bound, bound, shape) for name, shape in spec.shapes(layer).items()}
        )

    weights = Weights({(layer, direction): column(layer) for layer, direction in spec.layer_directions})
    x = generator.standard_normal((steps, batch, spec.input_size))
    rows = len(spec.layer_directions)
    h0 = generator.standard_normal((rows, batch, spec.output_size))
    c0 = generator.standard_normal((rows, batch, spec.hidden_size)) if spec.has_cell_state else None
    return Problem(spec, weights, Inputs(x, h0, c0, lengths))
