"""`run`: build a module, draw what it needs from a seed, and trace it."""

import secrets
from collections.abc import Mapping

import numpy as np

from rnntrace.api.judging import Judging
from rnntrace.api.load import load_parameters
from rnntrace.api.sources import Sources
from rnntrace.api.trace import as_seen_by, result_of
from rnntrace.errors import UsageError
from rnntrace.model.dtypes import Array, rounded
from rnntrace.model.layouts import cast
from rnntrace.model.signals import assemble
from rnntrace.model.spec import ModuleSpec
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

    `weights` is a file or typed JSON with torch's names. From `seed` are drawn, in this order: the parameters as the module
    is built (even when `weights` then replaces them, as in torch), x, h0, c0; signals only if they are not given. Without a
    seed one is drawn; the result names it unless nothing was drawn at all.
    """
    parameters = None if weights is None else load_parameters(weights, spec)
    return build_and_trace(spec, sources, judging, parameters, distribution=distribution, seed=seed, device=device)


def build_and_trace(
    spec: ModuleSpec,
    sources: Sources | None = None,
    judging: Judging | None = None,
    parameters: Mapping[str, Array] | None = None,
    *,
    distribution: str = "normal",
    seed: int | None = None,
    device: str = "cpu",
) -> Result:
    """As `run`, with the parameters themselves under torch's names."""
    from rnntrace.frameworks import torch as framework

    sources, judging = sources or Sources(), judging or Judging()
    draw = framework.drawing(spec, distribution)
    seed = checked_seed(seed)
    framework.seed(seed)
    module = framework.build(spec, device)
    if parameters is not None:
        framework.load_parameters(module, cast(parameters, spec.precision.replay))
    inputs = as_seen_by(spec, assemble(spec, sources.request, draw))
    if parameters is not None and not sources.request.draws:
        seed = None
    warnings = [*sources.warnings, *_loses(spec, parameters or {})]
    return result_of(module, spec, inputs, judging, seed=seed, origin=sources.described(distribution), warnings=warnings)


def checked_seed(seed: int | None) -> int:
    """The seed, or one that is drawn. Raises UsageError if torch could not take it."""
    if seed is None:
        return secrets.randbelow(SEEDS)
    if not 0 <= seed < 2**63:
        raise UsageError(f"a seed is a whole number from 0 to 2**63 - 1, not {seed}")
    return seed


def _loses(spec: ModuleSpec, parameters: Mapping[str, Array]) -> list[str]:
    """A warning if the module's format does not hold the weights as they are."""
    exact = all(np.array_equal(rounded(array, spec.precision), array, equal_nan=True) for array in parameters.values())
    return [] if exact else [f"the weights have more digits than {spec.dtype} holds and were rounded: see --dtype"]
