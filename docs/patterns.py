"""The page of mistakes: every one in words, and how it shows in the numbers of one module."""

from dataclasses import replace
from typing import Any

import numpy as np
from reference import GENERATED

from rnntrace.engine.diagnose.case import Case
from rnntrace.engine.diagnose.mistake import Mistake, catalogue, outputs_of
from rnntrace.model.dtypes import Array
from rnntrace.model.signals import Inputs
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
)
"""Modules and signals on which a mistake is tried, the simplest first; it is measured on the first where it shows."""


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
    for kind in ("RNN", "LSTM", "GRU"):
        headings = "| id | what went wrong | fix | seen in | first | then |"
        lines += [f"## {kind}", "", headings, "|---|---|---|---|---|---|"]
        lines += [_row(mistake, kind) for mistake in catalogue(_case(kind).cell)]
        lines.append("")
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
        "- Peepholes that were dropped: weights with peepholes are not read.",
    ]
    return GENERATED + "\n".join(lines) + "\n"


def _row(mistake: Mistake, kind: str) -> str:
    first, then = _measured(mistake, kind)
    words = (mistake.says, mistake.fix, ", ".join(mistake.frameworks), first, then)
    return f"| `{mistake.id}` | " + " | ".join(word.replace("|", "\\|") for word in words) + " |"


def _measured(mistake: Mistake, kind: str) -> tuple[str, str]:
    """The first step that differs, and by how much it and the last one do."""
    for turn in TURNS:
        if ("reset_after" in turn and kind != "GRU") or ("recurrent_activation" in turn and kind == "RNN"):
            continue
        case = _case(kind, **turn)
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
    **options: Any,
) -> Case:
    """A module and its signals, always the same; `scale` multiplies the initial cell state."""
    spec = ModuleSpec(kind=kind, input_size=inputs, hidden_size=SIZE, dtype="float64", **options)
    generator = np.random.default_rng(0)

    def block(*shape: int) -> Array:
        return generator.uniform(-(SIZE**-0.5), SIZE**-0.5, (len(spec.cell.gates), SIZE, *shape))

    weights = Weights(
        {
            (layer, direction): LayerWeights(block(spec.layer_input_size(layer)), block(SIZE), block(), block())
            for layer, direction in spec.layer_directions
        }
    )
    x = generator.standard_normal((STEPS, batch, inputs))
    drawn = [generator.standard_normal((len(spec.layer_directions), batch, SIZE)) * states for _ in spec.cell.states]
    signals = Inputs(x, drawn[0], drawn[1] * scale if len(drawn) > 1 else None)
    return Case.of(spec, weights, replace(signals, lengths=lengths))
