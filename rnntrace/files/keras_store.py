"""Where the weights of a Keras layer lie in its HDF5 file: two ways of writing, that of Keras 3 and the older one.

Keras 3 writes `layers/lstm_1/cell/vars/0`, groups named by class and number, with the layer's own name as an attribute; the
older way is a group for each layer, with an attribute that lists its weights in order.
"""

import re
from collections import Counter
from collections.abc import Iterator

from rnntrace.errors import WeightsError, show
from rnntrace.files.hdf5 import Hdf5
from rnntrace.model.dtypes import Array

Parts = list[tuple[Array, str]]
"""kernel, recurrent_kernel and perhaps bias of one direction, each with its number format."""

LARGEST = 2**24
"""Most numbers of a layer that is not recurrent."""
_CELL = "/cell/vars/"
_INSIDE = re.compile(r"/(?:forward|backward)_[^/]*(?:/[^/]*)?$|/[^/]*_cell(?:_\d+)?$")
"""In the older way, what follows a layer's name in those of its weights: direction and cell."""
_DIRECTIONS = ("/forward_layer", "/backward_layer")


class Groups:
    """The groups in which Keras 3 puts the layers of a model, in their order: layers/lstm, layers/lstm_1 and so on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._used: Counter[str] = Counter()

    def next(self, class_name: str) -> str:
        """The group of the next layer of this class."""
        snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)).lower()
        number = self._used[snake]
        self._used[snake] += 1
        return f"{self._path}layers/{snake}" + (f"_{number}" if number else "")


class Store:
    """The weights of a file by layer."""

    def __init__(self, content: Hdf5) -> None:
        self._content = content
        self._root = "model_weights/" if content.attribute("model_weights", "layer_names") is not None else ""
        self._used: set[str] = set()
        # Both by layer, and then a list of paths for each direction, forward first.
        self._newer = _newer(content)
        self._older = _older(content)

    @property
    def unused(self) -> int:
        """How many arrays were not asked for."""
        return len(self._content.names) - len(self._used)

    def layer(self, path: str, group: str) -> list[Parts]:
        """The arrays of a layer, direction by direction; `path` is its name behind those of the models around it.

        `group` is where Keras 3 puts it by class and number. Raises WeightsError.
        """
        outermost, *inside, name = path.split("/") if "/" in path else (path, path)
        # The older way has groups for the layers of the outermost model alone, and may leave out models between.
        shorter = ["/".join([outermost, *inside[start:], name]) for start in range(len(inside) + 1)]
        for key in (*shorter, outermost):
            if key in self._older:
                return self.read(self._older[key])
        # A layer made of two, whose directions have names of their own.
        if ways := [names for key, (names, *_) in self._older.items() if key.startswith(path + "/")]:
            return self.read(ways)
        if group in self._newer and self._name(group) in (None, name):
            return self.read(self._newer[group])
        found = [outer for outer in self._newer if self._name(outer) == name]
        if not found:
            raise WeightsError(f"no weights are stored for it: expected them in {show(group)}/cell/vars")
        if len(found) > 1:
            raise WeightsError("two layers have this name, so that their weights cannot be told apart")
        return self.read(self._newer[found[0]])

    def plain(self, name: str, group: str) -> list[Array]:
        """The arrays of a layer that is not recurrent, in order, also inside TimeDistributed. Raises WeightsError."""
        names = [f"{self._root}{name}/{key}" for key in self._content.attribute(f"{self._root}{name}", "weight_names") or ()]
        for outer in (group, f"{group}/layer"):
            if not names and self._name(outer) in (None, name if outer == group else self._name(outer)):
                names = [f"{outer}/vars/{number}" for number in range(3) if f"{outer}/vars/{number}" in self._content.names]
        if not names or not set(names) <= {*self._content.names}:
            raise WeightsError(f"no weights are stored for {show(name)}")
        if sum(map(self._content.size, names)) > LARGEST:
            raise WeightsError(f"the weights of {show(name)} are over {LARGEST:,} numbers")
        self._used.update(names)
        return [self._content.array(key)[0] for key in names]

    @property
    def is_older(self) -> bool:
        """Whether it is written the older way, if it has any recurrent layer."""
        return bool(self._older)

    def all(self) -> Iterator[tuple[str, list[list[str]]]]:
        """Every layer that has a recurrent matrix, with its name; with its group where others have its name or it has none.

        Beside it stand the names of its arrays, direction by direction, for `read`.
        """
        yield from self._older.items()
        uses = Counter(map(self._name, self._newer))
        for outer, directions in self._newer.items():
            name = self._name(outer)
            yield outer if name is None or uses[name] > 1 else name, directions

    def _name(self, outer: str) -> str | None:
        """The layer's own name, as far as the file tells it."""
        name = self._content.attribute(f"{outer}/vars", "name")
        return None if name is None else str(name)

    def read(self, directions: list[list[str]]) -> list[Parts]:
        """The arrays of these names, direction by direction. Raises WeightsError."""
        for names in directions:
            if not 2 <= len(names) <= 3:
                raise WeightsError(f"it should have kernel, recurrent_kernel and perhaps bias, and has {len(names)} arrays")
            for name in names:
                if name not in self._content.names:
                    raise WeightsError(f"its weights {show(name)} are named and not there")
            self._used.update(names)
        return [[self._content.array(name) for name in names] for names in directions]


def _newer(content: Hdf5) -> dict[str, list[list[str]]]:
    """Keras 3's layers by their group."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in sorted(content.names):
        owner, cell, number = name.rpartition(_CELL)
        if cell and number.isdecimal():
            outer = next((owner.removesuffix(direction) for direction in _DIRECTIONS if owner.endswith(direction)), owner)
            found.setdefault(outer, {}).setdefault(owner, []).append(name)
    return {outer: [names for _, names in sorted(directions.items(), reverse=True)] for outer, directions in found.items()}


def _older(content: Hdf5) -> dict[str, list[list[str]]]:
    """The recurrent layers that were written the older way; a whole model has them in a group beside the optimizer's.

    A layer of a model inside the model has no group of its own: its key is `model/layer`.
    """
    root = "model_weights/" if content.attribute("model_weights", "layer_names") is not None else ""
    found: dict[str, list[list[str]]] = {}
    # A hostile file may name a layer many times.
    for group in dict.fromkeys(content.attribute(root.rstrip("/"), "layer_names") or ()):
        outer = f"{root}{group}"
        weights = content.attribute(outer, "weight_names") or ()
        owners: dict[str, list[str]] = {}
        for name in weights:
            owners.setdefault(name.rpartition("/")[0], []).append(f"{outer}/{name}")
        layers: dict[str, list[list[str]]] = {}
        for owner, names in owners.items():
            if any("recurrent_kernel" in name for name in names):
                layers.setdefault(_INSIDE.sub("", owner).removeprefix(f"{group}/"), []).append(names)
        for layer, directions in layers.items():
            found[str(group) if sum(map(len, directions)) == len(weights) else f"{group}/{layer}"] = directions
    return found
