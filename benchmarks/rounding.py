"""How often honest implementations are failed, and how small a mistake is found, by the fixed pair and by the rounding bound.

    python benchmarks/rounding.py --cases 10000

Honest pairs are torch on the path that it takes by itself (oneDNN or native), with its captured gates, beside the replay: all
kinds and formats, hidden sizes up to 512, weights and inputs up to 5 and 100 times larger than usual, chaotic and overflowing
ones among them. Where ONNX Runtime is installed its outputs are judged too. Then one weight is moved, and the smallest step
that fails is told.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

from rnntrace.engine.judge.options import JudgeOptions  # noqa: E402
from rnntrace.engine.judge.result import Result  # noqa: E402
from rnntrace.engine.judge.verdict import Verdict  # noqa: E402
from rnntrace.errors import FrameworkError  # noqa: E402
from rnntrace.model.dtypes import DTYPES, rounded  # noqa: E402
from rnntrace.model.inputs import SignalRequest  # noqa: E402
from rnntrace.model.spec import ModuleSpec  # noqa: E402
from rnntrace.model.weights import LayerWeights, Weights  # noqa: E402
from rnntrace.verbs.given.sources import Sources  # noqa: E402
from rnntrace.verbs.judged import judged  # noqa: E402
from rnntrace.verbs.run import build_and_trace  # noqa: E402

HIDDEN = (1, 2, 3, 5, 8, 16, 32, 64, 128, 256, 512)
SCALES = (1.0, 1.0, 2.0, 3.0, 5.0)
INPUTS = (1.0, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Case:
    """A random module with its signals."""

    spec: ModuleSpec
    weights: Weights
    request: SignalRequest


def cases(count: int, seed: int) -> Iterator[Case]:
    """Random ones; the same for the same seed."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        kind = str(generator.choice(["RNN", "RNN", "LSTM", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"]))
        hidden = int(generator.choice(HIDDEN, p=np.array([3, 3, 3, 3, 3, 3, 2, 2, 1, 0.3, 0.1]) / 23.4))
        layered = not kind.endswith("Cell")
        spec = ModuleSpec(
            kind=kind,
            input_size=int(generator.integers(1, 9)),
            hidden_size=hidden,
            num_layers=int(generator.choice([1, 1, 2, 3])) if layered else 1,
            bidirectional=bool(layered and generator.random() < 0.3),
            bias=bool(generator.random() < 0.8),
            nonlinearity=str(generator.choice(["tanh", "relu"])) if kind.startswith("RNN") else None,
            proj_size=hidden // 2 if kind == "LSTM" and hidden > 1 and generator.random() < 0.2 else 0,
            dtype=str(generator.choice(list(DTYPES))),
        )
        steps, batch = int(generator.integers(1, 13 if hidden > 64 else 33)), int(generator.integers(1, 5))
        weights = random_weights(spec, generator, float(generator.choice(SCALES)))
        x = generator.normal(size=(steps, batch, spec.input_size)) * generator.choice(INPUTS)
        x = rounded(x.astype(spec.precision.replay), spec.precision)
        state = "random" if generator.random() < 0.5 else "zeros"
        yield Case(spec, weights, SignalRequest(x=x, h0=state, c0=state if spec.has_cell_state else "zeros"))  # type: ignore[arg-type]


def random_weights(spec: ModuleSpec, generator: np.random.Generator, scale: float) -> Weights:
    """Uniform as torch draws them, times a scale, in the module's format."""
    limit = scale / np.sqrt(spec.hidden_size)
    gates, hidden, size = len(spec.cell.gates), spec.hidden_size, spec.output_size

    def draw(*shape: int) -> Any:
        return rounded(generator.uniform(-limit, limit, shape).astype(spec.precision.replay), spec.precision)

    return Weights(
        {
            (layer, direction): LayerWeights(
                draw(gates, hidden, spec.layer_input_size(layer)),
                draw(gates, hidden, size),
                draw(gates, hidden) if spec.bias else None,
                draw(gates, hidden) if spec.bias else None,
                draw(size, hidden) if spec.proj_size else None,
            )
            for layer, direction in spec.layer_directions
        }
    )


def honest(count: int, seed: int) -> None:
    """Count the verdicts of honest pairs."""
    verdicts: Counter[tuple[str, Verdict]] = Counter()
    pair_fails = refused = 0
    for number, case in enumerate(cases(count, seed)):
        for tolerance in ("torch", "rounding"):
            judging = JudgeOptions(tolerance=tolerance)
            try:
                result = build_and_trace(case.spec, Sources(case.request), judging, case.weights, seed=number)
            except FrameworkError:
                # torch has no such module in this format here.
                refused += 1
                break
            verdicts[tolerance, result.verdict] += 1
            if tolerance == "torch":
                # The pair alone would fail what only rounding explains.
                pair_fails += result.verdict is Verdict.FAIL or result.comparison.by_rounding > 0
            if result.verdict is Verdict.FAIL:
                print(f"FAIL by {tolerance}, case {number}: {case.spec} {result.comparison.first_failure}")
            if result.comparison.doubt:
                print(f"UNDECIDED by {tolerance}, case {number}: {case.spec} {result.comparison.doubt}")
        if number % 1000 == 999:
            print(f"{number + 1} cases …", file=sys.stderr)
    print(f"\nhonest pairs: {count - refused} of {count} cases that torch can run")
    print(f"  the fixed pair alone fails {pair_fails}")
    for tolerance in ("torch", "rounding"):
        words = ", ".join(f"{verdicts[tolerance, verdict]} {verdict}" for verdict in Verdict if verdicts[tolerance, verdict])
        print(f"  --tolerance {tolerance}: {words}")


def onnx_runtime(count: int, seed: int) -> None:
    """The same with ONNX Runtime's outputs, where it is installed."""
    try:
        import onnxruntime
    except ImportError:
        print("\nONNX Runtime is not installed: left out")
        return
    from onnx_model import as_onnx

    from rnntrace.model.module import Module
    from rnntrace.verbs.compare_one import compare_with_expected

    verdicts: Counter[Verdict] = Counter()
    by_rounding = 0
    for case in cases(count, seed):
        spec = case.spec
        if spec.dtype != "float32" or spec.is_cell or spec.proj_size or spec.num_layers > 1:
            continue
        request = replace(case.request, states={})
        session = onnxruntime.InferenceSession(as_onnx(spec, case.weights), providers=["CPUExecutionProvider"])
        Y, Y_h = session.run(["Y", "Y_h"], {"X": request.x})
        modules = {"": Module(spec, case.weights)}
        with tempfile.TemporaryDirectory() as folder:
            expected = f"{folder}/expected.npz"
            np.savez(expected, output=np.moveaxis(Y, 1, 2).reshape(Y.shape[0], Y.shape[2], -1), h_n=Y_h)
            found = compare_with_expected(modules, Sources(request), JudgeOptions(), expected)[""]
        verdicts[found.verdict] += 1
        by_rounding += found.comparison.by_rounding > 0
    print("\nONNX Runtime:", ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items()))
    print(f"  the fixed pair alone fails {by_rounding + verdicts[Verdict.FAIL]}")


def smallest_step(seed: int) -> None:
    """The smallest change of one weight that is found, relative to eps, by each tolerance."""
    print("\nsmallest change of one weight that fails, in eps of the format (median over 20 modules)")
    print(f"  {'module':28} {'pair':>10} {'rounding':>10}")
    for kind in ("RNN", "LSTM", "GRU"):
        for dtype in DTYPES:
            for hidden in (4, 64):
                found: dict[str, list[float]] = {"pair": [], "rounding": []}
                for number in range(20):
                    spec = ModuleSpec(kind=kind, input_size=4, hidden_size=hidden, dtype=dtype)
                    request = SignalRequest(steps=8, batch=2)
                    result = build_and_trace(spec, Sources(request), JudgeOptions(), seed=seed + number)
                    for name in found:
                        found[name].append(_smallest(result, name) / spec.precision.eps)
                pair, rounding = (median(found[name]) for name in found)
                print(f"  {f'{kind}(4, {hidden}) {dtype}':28} {pair:10.0f} {rounding:10.0f}")


def _smallest(result: Result, name: str) -> float:
    """The smallest power of two by which one weight must move until the comparison fails."""
    judging = JudgeOptions(tolerance="rounding") if name == "rounding" else JudgeOptions(tolerance="torch", lam=1e-12)
    column = result.weights[0, "forward"]
    for exponent in range(-52, 1):
        W_hh = column.W_hh.copy()
        W_hh[0, 0, 0] += 2.0**exponent
        changed = Weights({**result.weights.columns, (0, "forward"): column.replaced(W_hh=W_hh)})
        if judged(result.spec, changed, result.inputs, result.observation, judging).verdict is Verdict.FAIL:
            return 2.0**exponent
    return float("inf")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    honest(arguments.cases, arguments.seed)
    onnx_runtime(arguments.cases, arguments.seed + 1)
    smallest_step(arguments.seed)
