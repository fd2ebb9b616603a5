"""Keras' files: .keras, .weights.h5 and the older .h5. Read with h5py; Keras itself is never loaded, so nothing is run.

What a layer is stands in the model's configuration; a file of weights alone has none, and then kinds are told from shapes.
Where the weights lie: keras/src/saving/saving_lib.py and keras/src/legacy/saving/legacy_h5_format.py.
"""

import json
import re
import zipfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

from rnntrace.errors import FileError, SpecError, WeightsError, show
from rnntrace.files import keras_layers
from rnntrace.files.hdf5 import Hdf5
from rnntrace.files.keras_chain import Surroundings, known_layer
from rnntrace.files.keras_layers import Config, Version
from rnntrace.files.keras_masks import PASSING, Masks
from rnntrace.files.keras_store import Groups, Store
from rnntrace.files.tensors import Tensors, check_distinct, check_text, of_model, reading
from rnntrace.model.chain import Before, Dense, Lookup
from rnntrace.model.module import Contents, Layer, Mask, Refused, stacked

RECURRENT = re.compile(r"LSTM|GRU|RNN")
"""What the names of recurrent layers have in them, also of those that are not read."""


def read(path: Path, kind: str, config: Config | None = None) -> Tensors:
    """The recurrent layers of a model by name; layers that feed one another become layers of one module.

    Weights alone are read by the `config` beside them, if there is one. Raises FileError if the file has its own.
    """
    with reading(kind):
        if kind == "keras":
            with zipfile.ZipFile(path) as archive:
                check_distinct(archive.namelist())
                own, metadata = (
                    _read_json(archive, name) if name in archive.namelist() else None
                    for name in ("config.json", "metadata.json")
                )
                content = Hdf5(archive.read("model.weights.h5"))
            version = metadata.get("keras_version") if isinstance(metadata, dict) else None
        else:
            content = Hdf5(path.read_bytes())
            text, version = content.attribute("", "model_config"), content.attribute("", "keras_version")
            own = config if text is None else json.loads(text)
            version = version or (config or {}).get("keras_version")
        if config is not None and own is not config:
            raise FileError("it holds its own configuration, beside which `config` says nothing: leave that out")
        store = Store(content)
        model = _Model(store, Version(str(version or ""), store.is_older))
        try:
            layers = list(model.declared(own) if _has_layers(own) else model.undeclared())
        except (KeyError, TypeError, AttributeError, IndexError):
            reason = "its configuration is not one that Keras writes: expected layers with class_name and config"
            raise FileError(reason) from None
    if not layers and not model.refused:
        raise FileError("it has no SimpleRNN, LSTM or GRU layer: expected one, alone or inside Bidirectional")
    return of_model(Contents(stacked(layers), model.refused, store.unused))


def _read_json(archive: zipfile.ZipFile, name: str) -> Any:
    check_text(archive.getinfo(name).file_size, f"its {name}")
    return json.loads(archive.read(name))


def _has_layers(model: Any) -> TypeGuard[Config]:
    """Whether a model's configuration, if there is one, lists its layers; that of a class of one's own need not."""
    return isinstance(model, dict) and (isinstance(model["config"], list) or "layers" in model["config"])


class _Model:
    """The recurrent layers of a model; those that cannot be judged are `refused`, by name."""

    def __init__(self, store: Store, version: Version) -> None:
        self.store, self.version = store, version
        self.refused: dict[str, Refused] = {}

    def declared(
        self, model: Config, path: str = "", group: str = "", mask: Mask | None = None
    ) -> Generator[Layer, None, Mask | None]:
        """Those that the configuration lists; `path` and `group` lead to the model inside others, and `mask` comes from there.

        What is returned is the mask of the last layer.
        """
        config = model["config"]
        # Keras 1 wrote the layers of a Sequential without anything around them.
        layers = config if isinstance(config, list) else config["layers"]
        is_sequence = model["class_name"] == "Sequential"
        groups, masks = Groups(group), Masks(path, mask)
        passed: dict[str, str | None] = {}
        around = Surroundings()
        found_layers: list[Layer] = []
        previous = None
        for layer in layers:
            kind, inner = str(layer["class_name"]), layer["config"]
            # Layers of one's own class may tell their name beside their configuration, or not at all.
            name = str(inner.get("name") or layer.get("name") or kind)
            own_group = groups.next(kind)
            reads = previous if is_sequence else _source(layer)
            # What reads a layer that gives on what it gets reads the layer below.
            reads = passed.get(reads or "", reads)
            arriving = masks.arriving(name, [previous] if is_sequence else None, layer)
            if kind in PASSING:
                passed[name] = reads
            elif "layers" in inner:
                masks.leaving(name, (yield from self.declared(layer, f"{path}{name}/", own_group + "/", arriving)))
                around.add(name, kind, reads, None)
                previous = name
                continue
            else:
                around.add(name, kind, reads, self._known(kind, inner, path + name, own_group))
                with self._refusing(path + name):
                    if (found := keras_layers.recurrent(layer)) is not None:
                        module = keras_layers.declared(*found, self.store.layer(path + name, own_group), self.version, arriving)
                        around.recurrent.add(name)
                        found_layers.append(Layer(path + name, module, None if reads is None else path + reads))
                    elif RECURRENT.search(unknown := _recurrent_name(kind, inner)):
                        raise WeightsError(f"{show(unknown)[:60]} is no SimpleRNN, LSTM or GRU layer, and is not read")
            masks.passing(name, kind, inner, arriving)
            previous = name
        for one in found_layers:
            # What is around a model inside another is not followed.
            name = one.name.removeprefix(path)
            module = one.module if path else replace(one.module, before=around.before(name), behind=around.behind(name))
            yield replace(one, module=module)
        return masks.of(previous)

    def _known(self, kind: str, config: Config, name: str, group: str) -> Dense | Lookup | None:
        return known_layer(kind, config, name, group, self.store, self.version.hard_sigmoid)

    def undeclared(self) -> Iterator[Layer]:
        """Those of a file of weights alone."""
        before, width = Before(), 0
        for name, directions in self.store.all():
            try:
                module = keras_layers.undeclared(self.store.read(directions), self.version)
                fits = width in (0, module.spec.input_size)
                yield Layer(name, replace(module, before=before if fits else None))
                before, width = Before(name, assumed=True), module.spec.width
            except (WeightsError, SpecError) as error:
                raise FileError(f"layer {show(name)}: {error}") from None

    @contextmanager
    def _refusing(self, name: str) -> Iterator[None]:
        """Around reading one layer: what is wrong with it is said of it alone."""
        try:
            yield
        except (WeightsError, SpecError) as error:
            self.refused[name] = Refused(f"layer {show(name)}", str(error))


def _recurrent_name(kind: str, config: Mapping[str, Any]) -> str:
    """The class of a layer, or of what it is wrapped around."""
    inside = config.get("cell" if kind == "RNN" else "layer")
    words = [str(part["class_name"]) for part in (inside if isinstance(inside, list) else [inside]) if isinstance(part, dict)]
    return f"{kind} around {', '.join(words)}" if words else kind


def _source(layer: Config) -> str | None:
    """The layer whose output a layer of a functional model reads, if it reads one alone, once, and no initial state."""
    nodes = layer.get("inbound_nodes") or []
    if len(nodes) != 1:
        return None
    if isinstance(nodes[0], dict):
        if (nodes[0].get("kwargs") or {}).get("initial_state"):
            return None
        tensor = (nodes[0].get("args") or [None])[0]
        history = tensor.get("config", {}).get("keras_history") if isinstance(tensor, dict) else None
    else:
        # Keras 2: a list of [layer, node, tensor, options], the initial states behind the input.
        history = nodes[0][0] if len(nodes[0]) == 1 else None
    return str(history[0]) if history and list(history[1:3]) == [0, 0] else None
