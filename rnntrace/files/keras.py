"""Keras' files: .keras, .weights.h5 and the older .h5. Read with h5py; Keras itself is never loaded, so nothing is run.

What a layer is stands in the model's configuration; a file of weights alone has none, and then kinds are told from shapes.
The layers: keras/src/layers/rnn/{lstm,gru,simple_rnn,bidirectional}.py; where their weights lie: keras/src/saving/saving_lib.py
and keras/src/legacy/saving/legacy_h5_format.py.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

from rnntrace.errors import FileError, SpecError, WeightsError, show
from rnntrace.files.hdf5 import Hdf5
from rnntrace.files.keras_store import Groups, Parts, Store
from rnntrace.files.tensors import Tensors, reading
from rnntrace.model.conventions import BY_NAME, KERAS
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import from_convention
from rnntrace.model.module import Contents, Layer, Module, stacked
from rnntrace.model.spec import FORWARD, REVERSE, ModuleSpec
from rnntrace.model.weights import LayerWeights, Weights

KINDS = {"SimpleRNN": "RNN", "LSTM": "LSTM", "GRU": "GRU"}
PASSING = ("Dropout", "SpatialDropout1D", "GaussianNoise", "ActivityRegularization")
"""Layers that may stand between two of a stack: outside of training they give on what they get."""
GATES = {1: "RNN", 3: "GRU", 4: "LSTM"}
SUPPORTED = {"activation": "tanh", "recurrent_activation": "sigmoid"}

Config = Mapping[str, Any]


def read(path: Path, kind: str) -> Tensors:
    """The recurrent layers of a model by name; layers that feed one another become layers of one module."""
    with reading(kind):
        if kind == "keras":
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json")) if "config.json" in archive.namelist() else None
                content = Hdf5(archive.read("model.weights.h5"))
        else:
            content = Hdf5(path.read_bytes())
            text = content.attribute("", "model_config")
            config = None if text is None else json.loads(text)
        store = Store(content)
        try:
            layers = list(_declared(config, store) if _has_layers(config) else _undeclared(store))
        except (KeyError, TypeError, AttributeError, IndexError):
            reason = "its configuration is not one that Keras writes: expected layers with class_name and config"
            raise FileError(reason) from None
    if not layers:
        raise FileError("it has no SimpleRNN, LSTM or GRU layer: expected one, alone or inside Bidirectional")
    return Tensors({}, {}, contents=Contents(stacked(layers), {}, store.unused))


def _has_layers(model: Any) -> TypeGuard[Config]:
    """Whether a model's configuration, if there is one, lists its layers; that of a class of one's own need not."""
    return isinstance(model, dict) and (isinstance(model["config"], list) or "layers" in model["config"])


def _declared(model: Config, store: Store, path: str = "", group: str = "") -> Iterator[Layer]:
    """The recurrent layers of a model's configuration; `path` and `group` lead to the model inside others."""
    config = model["config"]
    # Keras 1 wrote the layers of a Sequential without anything around them.
    layers = config if isinstance(config, list) else config["layers"]
    is_sequence = model["class_name"] == "Sequential"
    groups = Groups(group)
    passed: dict[str, str | None] = {}
    previous = None
    for layer in layers:
        kind, inner = str(layer["class_name"]), layer["config"]
        # Layers of one's own class may tell their name beside their configuration, or not at all.
        name = str(inner.get("name") or layer.get("name") or kind)
        own_group = groups.next(kind)
        reads = previous if is_sequence else _source(layer)
        # What reads a layer that gives on what it gets reads the layer below.
        reads = passed.get(reads or "", reads)
        if kind in PASSING:
            passed[name] = reads
        elif "layers" in inner:
            yield from _declared(layer, store, f"{path}{name}/", own_group + "/")
        elif (found := _recurrent(kind, inner)) is not None:
            with _named(path + name):
                module = _module(*found, store.layer(path + name, own_group))
            yield Layer(path + name, module, None if reads is None else path + reads)
        previous = name


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


def _recurrent(kind: str, config: Config) -> tuple[str, Config, Config | None] | None:
    """The kind, configuration and that of the backward layer, for a layer that is recurrent."""
    if kind == "RNN" and isinstance(config.get("cell"), dict):
        cell = config["cell"]
        kind, config = str(cell["class_name"]).removesuffix("Cell"), {**config, **cell["config"]}
    if kind != "Bidirectional":
        return (kind, config, None) if kind in KINDS else None
    inner = config["layer"]
    found = _recurrent(str(inner["class_name"]), inner["config"])
    if found is None:
        return None
    with _named(str(config["name"])):
        if config.get("merge_mode") != "concat":
            raise WeightsError(f"merge_mode {show(str(config.get('merge_mode')))} is not supported: expected concat")
        kind, forward, _ = found
        other = config.get("backward_layer") or inner
        _, backward, _ = _recurrent(str(other["class_name"]), other["config"]) or (None, {}, None)
        for option in ("units", "use_bias", "reset_after", *SUPPORTED):
            if forward.get(option) != backward.get(option):
                raise WeightsError(f"its two directions have another {option}: expected them alike")
        if forward.get("go_backwards"):
            raise WeightsError("go_backwards inside Bidirectional is not supported")
    return kind, forward, backward


def _module(kind: str, config: Config, backward: Config | None, parts: Sequence[Parts]) -> Module:
    """A layer as its configuration says. Raises WeightsError for what would change the result and is not supported."""
    activation = config.get("activation", "tanh")
    if not (kind == "SimpleRNN" and activation == "relu"):
        for option, supported in SUPPORTED.items():
            found = config.get(option, supported)
            if found != supported:
                raise WeightsError(f"{option} {show(str(found))[:40]} is not supported: expected {supported}")
    reverse = bool(config.get("go_backwards", False))
    options = {
        "bidirectional": backward is not None,
        "reverse": reverse,
        "batch_first": not config.get("time_major", False),
        "nonlinearity": activation if kind == "SimpleRNN" else None,
        # Before it had the option, Keras reset before the product.
        "reset_after": kind != "GRU" or bool(config.get("reset_after", False)),
    }
    last = not config.get("return_sequences", False)
    return _built(KINDS[kind], parts, options, (), output_reversed=reverse, last_output=last)


def _undeclared(store: Store) -> Iterator[Layer]:
    """The layers of a file of weights alone: kinds from shapes, everything else as Keras has it by default."""
    for name, parts in store.all():
        with _named(name):
            W_hh = parts[0][1][0]
            if W_hh.ndim != 2 or W_hh.shape[1] % W_hh.shape[0] or W_hh.shape[1] // W_hh.shape[0] not in GATES:
                raise WeightsError(f"a recurrent_kernel of shape {W_hh.shape} belongs to no SimpleRNN, LSTM or GRU")
            kind = GATES[W_hh.shape[1] // W_hh.shape[0]]
            # A GRU that resets after the product has two biases; without any, it is taken for what is the default.
            after = kind != "GRU" or len(parts[0]) < 3 or parts[0][2][0].ndim == 2
            options = {"bidirectional": len(parts) == 2, "batch_first": True, "reset_after": after}
            assumed = ("nonlinearity",) * (kind == "RNN") + ("direction",) * (len(parts) == 1)
            yield Layer(name, _built(kind, parts, options, assumed, output_reversed=False, last_output=True))


def _built(
    kind: str,
    parts: Sequence[Parts],
    options: Mapping[str, Any],
    assumed: tuple[str, ...],
    *,
    output_reversed: bool,
    last_output: bool,
) -> Module:
    """A module from the arrays of its directions: kernel, recurrent_kernel and, where there is one, bias."""
    shapes = [array.shape for array, _ in parts[0][:2]]
    if any(len(shape) != 2 for shape in shapes):
        raise WeightsError(f"kernel and recurrent_kernel should have two dimensions, and have shapes {shapes[0]}, {shapes[1]}")
    formats = {found for direction in parts for _, found in direction}
    spec = ModuleSpec(
        kind=kind,
        input_size=shapes[0][0],
        hidden_size=shapes[1][0],
        bias=len(parts[0]) == 3,
        dtype=formats.pop() if len(formats) == 1 else "float32",
        **options,
    )
    directions = (FORWARD, REVERSE) if spec.bidirectional else spec.directions
    if len(parts) != len(directions):
        raise WeightsError(f"weights of {len(directions)} directions were expected, and of {len(parts)} found")
    columns = {(0, name): _column(spec, [array for array, _ in found]) for name, found in zip(directions, parts, strict=True)}
    biases = 2 if _has_two_biases(spec) else 1
    return Module(spec, Weights(columns), KERAS, assumed, output_reversed, last_output, biases)


def _column(spec: ModuleSpec, arrays: Sequence[Array]) -> LayerWeights:
    width = len(spec.cell.gates) * spec.hidden_size
    two = _has_two_biases(spec)
    expected = [(spec.input_size, width), (spec.hidden_size, width), (2, width) if two else (width,)]
    for name, array, shape in zip(("kernel", "recurrent_kernel", "bias"), arrays, expected, strict=False):
        if array.shape != shape:
            raise WeightsError(f"{name} should have shape {shape}, and has shape {array.shape}")
    biases = arrays[2] if two and spec.bias else arrays[2:]
    return from_convention(BY_NAME[KERAS], spec.cell, arrays[0], arrays[1], *biases)


def _has_two_biases(spec: ModuleSpec) -> bool:
    return spec.family == "GRU" and spec.reset_after


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Around what is said of one layer."""
    try:
        yield
    except (WeightsError, SpecError) as error:
        raise FileError(f"layer {show(name)}: {error}") from None
