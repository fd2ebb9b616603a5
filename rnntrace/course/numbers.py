"""Everybody's own numbers: weights, x and initial states that follow from a secret and the id of a student.

HMAC-SHA256(secret, id) seeds numpy's PCG64, and its raw 64-bit words become whole numbers of units of the last decimal: nothing
is computed in floating point, and no stream of numpy is used that another version may change. In this order are drawn: the
parameters in torch's order, x, the initial states in the order of the cell.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np

from rnntrace.course.exercise import Exercise
from rnntrace.errors import FileError, UsageError, show
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import parameter_shapes, weights_from_torch
from rnntrace.model.signals import state_shape, x_shape
from rnntrace.model.spec import ModuleSpec
from rnntrace.model.weights import Weights

EVERYBODY = ""
"""Stands for the id where all have the same numbers."""
LARGEST_WEIGHT, LARGEST_INPUT, LARGEST_STATE = 1.0, 2.0, 0.9
"""Numbers are drawn from minus this to this: gates come out between their ends, and sums of a few terms are seen."""
LONGEST_SECRET = 2**16


@dataclass(frozen=True)
class Numbers:
    """What one student is given: `parameters` under torch's names, `signals` x, h0, c0, …, in the module's own layout."""

    spec: ModuleSpec
    parameters: Mapping[str, Array]
    signals: Mapping[str, Array]

    @property
    def weights(self) -> Weights:
        """The parameters as the engine holds them."""
        return weights_from_torch(self.spec, self.parameters)

    @property
    def arrays(self) -> dict[str, Array]:
        """All of it by name."""
        return {**self.parameters, **self.signals}


def numbers_of(exercise: Exercise, secret: bytes, student: str) -> Numbers:
    """The numbers of a student; those of EVERYBODY are one set for all."""
    draw = _drawing(secret, student, exercise.typed_decimals)
    spec, request = exercise.spec, exercise.request
    parameters = {name: draw(shape, LARGEST_WEIGHT) for name, shape in parameter_shapes(spec).items()}
    signals = {"x": draw(x_shape(spec, request.steps, request.batch, request.unbatched), LARGEST_INPUT)}
    for state in spec.cell.states:
        shape = state_shape(spec, request.batch, spec.size_of(state), request.unbatched)
        is_random = request.states.get(state) == "random"
        signals[f"{state}0"] = draw(shape, LARGEST_STATE) if is_random else np.zeros(shape)
    return Numbers(spec, parameters, signals)


def _drawing(secret: bytes, student: str, decimals: int) -> Callable[[tuple[int, ...], float], Array]:
    """Draws an array of a shape from minus a number to that number, on a grid of so many decimals, 0 left out."""
    digest = hmac.new(secret, normalized(student).encode(), hashlib.sha256).digest()
    stream = np.random.PCG64(int.from_bytes(digest, "big"))

    def draw(shape: tuple[int, ...], largest: float) -> Array:
        units = round(largest * 10**decimals)
        words = stream.random_raw(int(np.prod(shape)))
        whole = (words % np.uint64(2 * units)).astype(np.int64) - units
        # 0 would hide a mistake: the numbers from 0 on are one larger.
        whole += whole >= 0
        # The quotient of two whole numbers is the float nearest to the decimal fraction, on every machine.
        drawn: Array = (whole / 10**decimals).reshape(shape)
        return drawn

    return draw


def normalized(student: str) -> str:
    """An id as it is compared and hashed: in one form of Unicode, without blanks around it."""
    return normalize("NFC", student).strip()


def read_secret(path: Path) -> bytes:
    """The secret of an exercise. Raises FileError and UsageError."""
    try:
        with path.open("rb") as file:
            secret = file.read(LONGEST_SECRET + 1).strip()
    except OSError as error:
        raise FileError(
            f"{show(str(path))}: {error.strerror or error}: expected the secret from which everybody's numbers follow, "
            "as `rnntrace exercise new` writes it beside the exercise"
        ) from None
    if not 16 <= len(secret) <= LONGEST_SECRET:
        raise UsageError(f"{show(str(path))} should hold a secret of at least 16 characters, and holds {len(secret)}")
    return secret


def write_secret(path: Path) -> None:
    """A new secret, for nobody else to read; the one that is there already stays. Raises FileError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise FileError(f"cannot write {show(str(path))}: {error.strerror or error}") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(os.urandom(32).hex() + "\n")
