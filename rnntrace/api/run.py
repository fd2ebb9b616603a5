"""`run`: build a module, draw what it needs from a seed, and trace it."""

import secrets

import numpy as np

from rnntrace.api.judging import Judging
from rnntrace.api.load import load_weights
from rnntrace.api.sources import Sources
from rnntrace.api.trace import as_seen_by, result_of
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import rounded
from rnntrace.model.signals import assemble
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights
from rnntrace.report.result import Result

SEEDS = 2**32
"""A seed that was not given is drawn below this."""


def run(
    spec: ModuleSpec,
    sources: Sources | None = None,
    judging: Judging | None = None,
    *,
    weights: str | None = None,
    distribution: str = "normal",
    seed: int | None = None,
    device: str = "cpu",
) -> Result:
    """Build the module that `spec` describes and trace it on the signals of `sources`.

    `weights` is a file or typed JSON, see `load`. From `seed` are drawn, in this order: the parameters as the module
    is built (even when `weights` then replaces them, as in torch), x, h0, c0; signals only if they are not given. Without a
    seed one is drawn; the result names it unless nothing was drawn at all.
    """
    loaded = None if weights is None else load_weights(weights, spec)
    return build_and_trace(spec, sources, judging, loaded, distribution=distribution, seed=seed, device=device)


def build_and_trace(
    spec: ModuleSpec,
    sources: Sources | None = None,
    judging: Judging | None = None,
    weights: Weights | None = None,
    *,
    distribution: str = "normal",
    seed: int | None = None,
    device: str = "cpu",
) -> Result:
    """As `run`, with the weights themselves."""
    from rnntrace.frameworks import torch as framework

    sources, judging = sources or Sources(), judging or Judging()
    draw = framework.drawing(spec, distribution)
    seed = checked_seed(seed)
    framework.seed(seed)
    module = framework.build(spec, device)
    if weights is not None:
        framework.load_weights(module, spec, weights.astype(spec.precision.replay))
    inputs = as_seen_by(spec, assemble(spec, sources.request, draw))
    if weights is not None and not sources.request.draws:
        seed = None
    warnings = [*sources.warnings, *_loses(spec, weights)]
    return result_of(module, spec, inputs, judging, seed=seed, origin=sources.described(distribution), warnings=warnings)


def checked_seed(seed: int | None) -> int:
    """The seed, or one that is drawn. Raises UsageError if torch could not take it."""
    if seed is None:
        return secrets.randbelow(SEEDS)
    if not 0 <= seed < 2**63:
        raise UsageError(f"a seed is a whole number from 0 to 2**63 - 1, not {seed}")
    return seed


def _loses(spec: ModuleSpec, weights: Weights | None) -> list[str]:
    """A warning if the module's format does not hold the weights as they are."""
    arrays = weights.arrays if weights else ()
    exact = all(np.array_equal(rounded(array, spec.precision), array, equal_nan=True) for array in arrays)
    return [] if exact else [f"the weights have more digits than {spec.dtype} holds and were rounded: see --dtype"]
