"""How a replay is run and judged, and what is kept of it."""

from dataclasses import dataclass

import numpy as np

from rnntrace.engine.judge.tolerance import Tolerance, make_tolerance
from rnntrace.engine.replay.trace import term_symbols
from rnntrace.equations.cell import Cell
from rnntrace.errors import UsageError
from rnntrace.model.spec import ModuleSpec

CAPTURES = ("auto", "on", "off")
"""Whether the framework's own gates are captured."""
KEPT = ("states", "gates", "terms")
"""What a trace may keep: states alone, gates too, or the affine terms of gates as well."""
REPLAY_DTYPES = ("float64", "float32")
"""Number formats of a replay."""


@dataclass(frozen=True)
class JudgeOptions:
    """How a replay is run and judged, and what is kept of it: the keywords of `run` by the same names.

    Raises UsageError for a word that is none of the choices.
    """

    capture: str = "auto"
    tolerance: str = "torch"
    rtol: float | None = None
    atol: float | None = None
    lam: float | None = None
    replay: str = "free"
    replay_dtype: str | None = None
    keep: str = "gates"
    mistakes: tuple[str, ...] = ()
    blind: bool = False
    drift: bool = True
    rounded: bool = True

    def __post_init__(self) -> None:
        # Type checkers know; a notebook does not.
        if not isinstance(tolerance := self.tolerance, str):
            raise UsageError(
                f"`tolerance` is a word such as exact or decimals:4, not {tolerance}: give numbers as `rtol` and `atol`"
            )
        check_mode(self.replay)
        for name, choices in {"capture": CAPTURES, "keep": KEPT, "replay_dtype": (None, *REPLAY_DTYPES)}.items():
            if (value := getattr(self, name)) not in choices:
                raise UsageError(f"unknown {name} {value!r}: choose one of {', '.join(filter(None, choices))}")

    def tolerance_for(self, spec: ModuleSpec) -> Tolerance:
        """How far apart values of a module may be. Raises UsageError."""
        return make_tolerance(self.tolerance, spec.dtype, self.rtol, self.atol, self.lam)

    def kept(self, cell: Cell) -> tuple[str, ...]:
        """The gates and states that are kept, in the order of computation."""
        return tuple(symbol for symbol in cell.symbols if self.keep != "states" or symbol in cell.states)

    def numpy_dtype(self, spec: ModuleSpec) -> np.dtype[np.floating]:
        """The format in which the replay computes."""
        return np.dtype(self.replay_dtype or spec.precision.replay)

    def kept_terms(self, cell: Cell) -> tuple[str, ...]:
        """The affine terms of gates that are kept beside them."""
        return term_symbols(cell) if self.keep == "terms" else ()

    def tolerance_of_mistakes(self, spec: ModuleSpec) -> Tolerance:
        """That for a mistaken trajectory, which has no bound on its rounding: none is needed to see the mistake."""
        own = self.tolerance_for(spec)
        return own if own.of_trajectory else make_tolerance("torch", spec.dtype)

    @property
    def pair(self) -> bool:
        """Whether rtol or atol were given: they alone decide."""
        return self.rtol is not None or self.atol is not None

    @property
    def free(self) -> bool:
        """Whether the replay that is shown runs free."""
        return self.replay == "free"

    @property
    def needs_all(self) -> str:
        """The option that needs the whole trace at once, and in memory; empty if there is none."""
        options = {
            "`capture=on`": self.capture == "on",
            "`mistake`": self.mistakes,
            "`blind`": self.blind,
            f"`tolerance={self.tolerance}`": self.tolerance.startswith("decimals"),
        }
        return next((option for option, given in options.items() if given), "")


def check_mode(mode: str) -> None:
    """Raises UsageError unless the mode of a replay is free or forced."""
    if mode not in ("free", "forced"):
        raise UsageError(f"unknown replay {mode!r}: choose free or forced")
