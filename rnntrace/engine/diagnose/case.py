"""What a replay starts from, and an entry of the catalogue: how a mistake is described, and the functions that apply it."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace

from rnntrace.engine.replay.replay import replay
from rnntrace.engine.replay.trace import VALUES, Trace
from rnntrace.equations.cell import Cell
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.keys import Key
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

Outputs = Mapping[str, Array]
"""output (T, B, D·R) and final states such as h_n (L·D, B, R), as far as they are known."""


@dataclass(frozen=True)
class Case:
    """What a replay starts from, the declaration that it follows in each direction, and how it is run."""

    spec: ModuleSpec
    weights: Weights
    inputs: Inputs
    cells: Mapping[str, Cell]
    run: Callable[["Case"], Trace]

    @classmethod
    def of(cls, spec: ModuleSpec, weights: Weights, inputs: Inputs) -> "Case":
        """The case without any mistake."""
        return cls(spec, weights, inputs, {direction: spec.cell_of(direction) for direction in spec.directions}, replayed)

    @property
    def cell(self) -> Cell:
        """That of the first direction; the others have its gates, states and parameters."""
        return next(iter(self.cells.values()))

    def with_inputs(self, **signals: object) -> "Case":
        """The same with other signals."""
        return replace(self, inputs=replace(self.inputs, **signals))  # type: ignore[arg-type]

    def with_weights(self, change: Callable[[LayerWeights], LayerWeights]) -> "Case":
        """The same with the weights of every layer and direction changed."""
        columns = {column: change(weights) for column, weights in self.weights.columns.items()}
        return replace(self, weights=Weights(columns))


def replayed(case: Case) -> Trace:
    """The replay of a case."""
    return replay(case.spec, case.weights, case.inputs, cell=case.cells)


Change = Callable[[Case], Case | None]
"""The case with the mistake in it; None where it cannot be made there, or makes no difference."""
Read = Callable[[Case, Outputs], Outputs]
"""What is taken for the outputs."""


def unchanged(case: Case) -> Case | None:
    """No change of what the replay starts from."""
    return case


def as_they_are(case: Case, outputs: Outputs) -> Outputs:
    """No change of how outputs are read."""
    return outputs


def same_axes(sequence: Array) -> Array:
    """No change of the axes of a sequence."""
    return sequence


@dataclass(frozen=True)
class Description:
    """What there is to say of a mistake.

    `id` is stable: `lstm.gate-order.iofc` is kind, family and name. `says` is what went wrong in one sentence, `fix` what to
    do, `frameworks` where it comes from, `needs` what a run must have for it to be applied, with the flag that gives it.
    `causal` says that the first steps of an output depend on the first steps of x alone, `itemwise` that an item's output
    depends on that item alone, both as they should. `rare` ones are tried in pairs after all others; one that `reshapes` gives
    outputs of another shape, and is looked for but never applied on request.
    """

    id: str
    says: str
    fix: str
    _: KW_ONLY
    frameworks: tuple[str, ...] = ()
    needs: str = ""
    causal: bool = True
    itemwise: bool = True
    rare: bool = False
    reshapes: bool = False

    @property
    def family(self) -> str:
        """What sort of mistake it is; two of one family are not tried together."""
        return self.id.split(".")[1]


@dataclass(frozen=True)
class Entry(Description):
    """A mistake as the catalogue declares it: its description, and how it is applied.

    `sequence` brings an array (T, B, ·) of the changed case to the axes of the right one.
    """

    change: Change = unchanged
    read: Read = as_they_are
    sequence: Callable[[Array], Array] = same_axes


def by_layer(case: Case, play: Callable[[Case], Trace]) -> Trace:
    """Every layer played by itself, on the output of the layer below."""
    spec, x = case.spec, case.inputs.x
    columns: dict[Key, Array] = {}
    for layer in range(spec.num_layers):
        rows = slice(layer * len(spec.directions), (layer + 1) * len(spec.directions))
        initial = {state: values[rows] for state, values in case.inputs.states.items()}
        one = replace(
            case.with_inputs(x=x, states=initial),
            spec=replace(spec, num_layers=1, input_size=spec.layer_input_size(layer), merge=spec.merge_of(layer)),
            weights=Weights({(0, direction): case.weights[layer, direction] for direction in spec.directions}),
        )
        trace = play(one)
        columns |= {(layer, direction, symbol): array for (_, direction, symbol), array in trace.columns.items()}
        x = trace.output
    return Trace(spec, case.inputs, {VALUES: columns})
