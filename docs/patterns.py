"""The page of mistakes: every one in words, and how it shows in the numbers of one module."""

from dataclasses import replace
from typing import Any

import numpy as np
from reference import GENERATED

from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import Mistake, catalogue, outputs_of
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

STEPS, BATCH, SIZE = 6, 3, 5
SHOWS = 1e-9
"""From this difference on a mistake shows; right replays in float64 are within 1e-15."""
TURNS: tuple[dict[str, Any], ...] = (
    {},
    {"states": True},
    {"num_layers": 2},
    {"num_layers": 2, "bidirectional": True, "states": True},
    {"num_layers": 3},
    {"inputs": 4},
    {"batch": STEPS},
    {"recurrent_activation": "hard_sigmoid"},
    {"lengths": (6, 3, 4)},
    {"reset_after": False},
    {"scale": 20.0, "states": True},
    {"others_in_reverse": True},
)
"""Modules and signals on which a mistake is tried, the simplest first; it is measured on the first where it shows."""


VARIANTS: dict[str, dict[str, Any]] = {
    "LSTM with peepholes": {"kind": "LSTM", "peepholes": True},
    "LSTM with coupled gates": {"kind": "LSTM", "coupled": True},
    "LSTM with sums clipped at 0.5": {"kind": "LSTM", "clip": 0.5},
    "LSTM with layer norm": {"kind": "LSTM", "layer_norm": True},
    "GRU with hard gates": {"kind": "GRU", "recurrent_activation": "hard_sigmoid:0.3:0.4"},
    "RNN of independent units": {"kind": "RNN", "independent": True},
}
"""What a kind may be, and has mistakes of its own."""


def mistakes_page() -> str:
    """The catalogue by kind, each mistake with the time at which it first shows and how large it is."""
    lines = [
        "# Mistakes",
        "",
        "These are the mistakes that `rnntrace diagnose` looks for, that `rnntrace run KIND --mistake ID` makes on",
        "purpose, and that `--blind` asks a pass about: the declarations in `engine/diagnose/catalogue/`. Each was measured in",
        f"float64, on weights as torch draws them, with {SIZE} inputs, {SIZE} units, {STEPS} steps, {BATCH} items and initial",
        "states of zero, or with what it needs to be seen: initial states, two directions, layers, lengths. *first* is the",
        "step at which the output first differs, *then* the largest difference there and at the last step. A dash says that",
        "the final states alone differ. A right replay is within 1e-15.",
        "",
    ]
    headings = "| id | what went wrong | fix | seen in | first | then |"
    for kind in ("RNN", "LSTM", "GRU"):
        lines += [f"## {kind}", "", headings, "|---|---|---|---|---|---|"]
        lines += [_row(mistake, kind) for mistake in catalogue(_case(kind).cell)]
        lines.append("")
    lines += ["## Variants", "", "What a variant of a cell, or a cell of your own, adds to these.", ""]
    for title, options in VARIANTS.items():
        plain = {mistake.id for mistake in catalogue(_case(options["kind"]).cell)}
        own = [mistake for mistake in catalogue(_case(**options).cell) if mistake.id not in plain]
        lines += [f"### {title}", "", headings, "|---|---|---|---|---|---|", *(_row(mistake, **options) for mistake in own), ""]
    lines += [
        "## What is not among them",
        "",
        "- Dropout left in training mode: two runs differ from each other. Call `module.eval()`.",
        "- Other weights than those in the file (another seed, a copy that was not made): nothing explains it, and `diagnose`",
        "  says so where no unit goes along with the module's.",
        "- Initial states that are not at hand, such as those in which another sequence had ended: `diagnose` looks whether",
        "  there are any that give the outputs.",
        "- Values copied from what `print` shows, or on a grid as int8 leaves them: `diagnose` sees that, and looks for a",
        "  mistake beside it.",
        "- Peepholes that no file holds: outputs that were computed with them, beside weights without.",
    ]
    return GENERATED + "\n".join(lines) + "\n"


def _row(mistake: Mistake, kind: str, **options: Any) -> str:
    first, then = _measured(mistake, kind, options)
    words = (mistake.says, mistake.fix, ", ".join(mistake.frameworks), first, then)
    return f"| `{mistake.id}` | " + " | ".join(word.replace("|", "\\|") for word in words) + " |"


def _measured(mistake: Mistake, kind: str, options: dict[str, Any]) -> tuple[str, str]:
    """The first step that differs, and by how much it and the last one do."""
    for turn in TURNS:
        if ("reset_after" in turn and kind != "GRU") or ("recurrent_activation" in turn and kind == "RNN"):
            continue
        case = _case(kind, **{**options, **turn})
        right, wrong = outputs_of(case), outputs_of(case, (mistake,))
        assert right is not None
        if wrong is None:
            continue
        if wrong["output"].shape != right["output"].shape:
            return "–", f"{wrong['output'].shape[2]} values for {right['output'].shape[2]}"
        by_step = np.abs(wrong["output"] - right["output"]).max(axis=(1, 2))
        if (late := np.flatnonzero(by_step > SHOWS)).size:
            return f"t={late[0] + 1}", f"{by_step[late[0]]:.2g} … {by_step[-1]:.2g}"
        states = max(np.abs(wrong[name] - right[name]).max() for name in right if name != "output")
        if states > SHOWS:
            return "–", f"{states:.2g}"
    raise ValueError(f"{mistake.id} shows nowhere")


def _case(
    kind: str,
    *,
    states: bool = False,
    lengths: tuple[int, ...] | None = None,
    scale: float = 1.0,
    inputs: int = SIZE,
    batch: int = BATCH,
    others_in_reverse: bool = False,
    **options: Any,
) -> Case:
    """A module and its signals, always the same; `scale` multiplies the initial cell state."""
    if others_in_reverse:
        others = {"RNN": ("relu",), "LSTM": ("hard_sigmoid", "relu", "relu"), "GRU": ("hard_sigmoid", "relu")}
        options |= {"bidirectional": True, "reverse_activations": others[kind]}
    spec = ModuleSpec(kind=kind, input_size=inputs, hidden_size=SIZE, dtype="float64", **options)
    generator = np.random.default_rng(0)

    def block(shape: tuple[int, ...]) -> Array:
        return generator.uniform(-(SIZE**-0.5), SIZE**-0.5, shape)

    weights = Weights(
        {
            column: LayerWeights(arrays={name: block(shape) for name, shape in spec.shapes(column[0]).items()})
            for column in spec.layer_directions
        }
    )
    x = generator.standard_normal((STEPS, batch, inputs))
    drawn = [generator.standard_normal((len(spec.layer_directions), batch, SIZE)) * states for _ in spec.cell.states]
    signals = Inputs(x, drawn[0], drawn[1] * scale if len(drawn) > 1 else None)
    return Case.of(spec, weights, replace(signals, lengths=lengths))
