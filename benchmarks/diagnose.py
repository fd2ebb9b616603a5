"""How fast and how surely mistakes are found: every single one, and random pairs of two families.

    python benchmarks/diagnose.py [--runs 20] [--pairs 20]

For each kind the modules are drawn anew: plain, bidirectional, stacked, both, with lengths, without biases, on H = 2 … 6. Found
means that the mistake is the first answer, or that the first answer gives the same outputs.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rnntrace.engine.diagnose.case import Case, Outputs
from rnntrace.engine.diagnose.mistake import Mistake, catalogue, outputs_of
from rnntrace.engine.diagnose.search import Diagnosis, diagnose
from rnntrace.engine.judge.tolerance import TORCH_TOLERANCES
from rnntrace.model.dtypes import Array
from rnntrace.model.inputs import Inputs
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

KINDS = ("RNN", "LSTM", "GRU")
SHAPES: tuple[dict[str, Any], ...] = (
    {},
    {"bidirectional": True},
    {"num_layers": 2},
    {"num_layers": 2, "bidirectional": True},
    {"bias": False},
)
STEPS, BATCH, LIMIT = 5, 3, 10.0


def main() -> None:
    """Print a line for single mistakes and one for pairs, for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="modules for each kind")
    parser.add_argument("--pairs", type=int, default=20, help="pairs for each kind")
    options = parser.parse_args()
    print(f"{'':12}{'found':>12}{'tried/s':>10}{'median s':>10}{'longest s':>11}")
    for kind in KINDS:
        generator = np.random.default_rng(1)
        singles = [
            (case, (mistake,)) for _ in range(options.runs) for case in [drawn(kind, generator)] for mistake in shown(case)
        ]
        report(kind, singles)
        report(f"{kind}, pairs", [pair(kind, generator) for _ in range(options.pairs)])


def drawn(kind: str, generator: np.random.Generator) -> Case:
    """A module of the kind with weights as torch draws them, and inputs and initial states of a normal distribution."""
    hidden, inputs = int(generator.integers(2, 7)), int(generator.integers(2, 7))
    shape = SHAPES[generator.integers(len(SHAPES))]
    spec = ModuleSpec(kind=kind, input_size=inputs, hidden_size=hidden, dtype="float64", **shape)
    gates, bound = len(spec.cell.gates), hidden**-0.5

    def block(*shape: int) -> Array:
        return generator.uniform(-bound, bound, shape)

    def column(layer: int) -> LayerWeights:
        biases = (block(gates, hidden), block(gates, hidden)) if spec.bias else (None, None)
        return LayerWeights(block(gates, hidden, spec.layer_input_size(layer)), block(gates, hidden, hidden), *biases)

    weights = Weights({(layer, direction): column(layer) for layer, direction in spec.layer_directions})
    states = {f"{state}0": generator.standard_normal((len(spec.layer_directions), BATCH, hidden)) for state in spec.cell.states}
    lengths = (STEPS, 2, 4) if generator.random() < 0.2 else None
    signals = Inputs(generator.standard_normal((STEPS, BATCH, inputs)), **states, lengths=lengths)  # type: ignore[arg-type]
    return Case.of(spec, weights, signals)


def shown(case: Case) -> Iterator[Mistake]:
    """The mistakes that change these outputs by more than the tolerance."""
    right = outputs_of(case)
    for mistake in catalogue(case.cell):
        outputs = outputs_of(case, (mistake,))
        if outputs is not None and not same(outputs, right, 1e-6):
            yield mistake


def pair(kind: str, generator: np.random.Generator) -> tuple[Case, tuple[Mistake, ...]]:
    """A module and two mistakes of different families that can be made together."""
    while True:
        case = drawn(kind, generator)
        found = list(shown(case))
        first, second = sorted(generator.choice(len(found), 2, replace=False))
        both = found[first], found[second]
        if both[0].family != both[1].family and outputs_of(case, both) is not None:
            return case, both


def report(name: str, cases: Sequence[tuple[Case, tuple[Mistake, ...]]]) -> None:
    """Diagnose all of them and print what came of it."""
    seconds, tried, found = [], 0, 0
    for case, mistakes in cases:
        outputs = outputs_of(case, mistakes)
        assert outputs is not None
        start = time.perf_counter()
        diagnosis = diagnose(case, outputs, TORCH_TOLERANCES["float64"], seconds=LIMIT)
        seconds.append(time.perf_counter() - start)
        tried += diagnosis.tried
        if explains(case, diagnosis, outputs):
            found += 1
        else:
            print(
                "missed:", "+".join(mistake.id for mistake in mistakes), "for", [answer.id for answer in diagnosis.answers[:2]]
            )
    share = f"{found} of {len(cases)}"
    print(f"{name:12}{share:>12}{tried / sum(seconds):>10.0f}{np.median(seconds):>10.3f}{max(seconds):>11.2f}")


def explains(case: Case, diagnosis: Diagnosis, outputs: Outputs) -> bool:
    """Whether the first answer gives these outputs."""
    return bool(diagnosis.answers) and same(outputs_of(case, diagnosis.answers[0].mistakes), outputs, 1e-6)


def same(first: Outputs | None, second: Outputs | None, atol: float) -> bool:
    """Whether two sets of outputs agree; NaN, where a mistake leaves a state unknown, with NaN."""
    assert first is not None
    assert second is not None
    return all(
        first[name].shape == second[name].shape and np.allclose(first[name], second[name], rtol=0, atol=atol, equal_nan=True)
        for name in second
    )


if __name__ == "__main__":
    main()
