"""`mistakes`: the catalogue."""

from rnntrace.engine.diagnose.mistake import Mistake, catalogue
from rnntrace.model.spec import ModuleSpec, parse_kind


def mistakes_of(kind: str | None = None) -> dict[str, tuple[Mistake, ...]]:
    """The catalogue of a kind, or of all three, by kind. Raises SpecError for an unknown one."""
    kinds = ("RNN", "LSTM", "GRU") if kind is None else (parse_kind(kind),)
    return {kind: catalogue(ModuleSpec(kind=kind, input_size=1, hidden_size=1).cell) for kind in kinds}
