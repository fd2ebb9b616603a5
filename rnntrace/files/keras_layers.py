"""One recurrent layer of Keras: what it is by its configuration, or by its arrays alone, and its weights.

The layers: keras/src/layers/rnn/{lstm,gru,simple_rnn,bidirectional}.py, and in Keras 2 keras/layers/recurrent.py.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rnntrace.errors import WeightsError, show
from rnntrace.files.keras_activations import activation_of
from rnntrace.files.keras_cudnn import from_cudnn, is_cudnn
from rnntrace.files.keras_store import Parts
from rnntrace.model.conventions import BY_NAME, KERAS
from rnntrace.model.dtypes import Array
from rnntrace.model.layouts import from_convention
from rnntrace.model.merges import CONCAT, MERGES
from rnntrace.model.module import Mask, Module
from rnntrace.model.spec import FORWARD, REVERSE, ModuleSpec
from rnntrace.model.spec_checks import ACTIVATIONS_OF
from rnntrace.model.weights import LayerWeights, Weights

KINDS = {"SimpleRNN": "RNN", "LSTM": "LSTM", "GRU": "GRU", "CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}
GATES = {1: "RNN", 3: "GRU", 4: "LSTM"}

OF_CUDNN = "its weights are those of a CuDNN layer, whose blocks were brought to the order of the plain layer"

PACKAGES = ("keras", "tf_keras", "tensorflow")
"""Where Keras' own classes come from, as a file says that names it at all."""

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Version:
    """Which Keras wrote a file, as its attribute keras_version says: `2.2.4-tf`, or nothing. `older` is a way of writing.

    TensorFlow's own Keras, `-tf`, had hard gates by default in TensorFlow 1 and smooth ones in 2, both as 2.2.4-tf.
    """

    text: str
    older: bool

    @property
    def hard_sigmoid(self) -> str:
        """The activation that it calls hard_sigmoid."""
        is_third = self._numbers >= (3,) if self._numbers else not self.older
        return "hard_sigmoid_keras3" if is_third else "hard_sigmoid"

    @property
    def gates(self) -> tuple[str, str]:
        """The activation of gates that is the default, and what is open if that is not known."""
        if not self.older or self._numbers >= (2, 3):
            return "sigmoid", ""
        if self._numbers and not self.text.endswith("-tf"):
            return "hard_sigmoid", ""
        which = f"Keras {show(self.text)[:20]}" if self.text else "a Keras that does not tell its version"
        return (
            "sigmoid",
            f"{which} may have sigmoid or hard_sigmoid gates, and the weights do not tell: pass `recurrent_activation`",
        )

    @property
    def _numbers(self) -> tuple[int, ...]:
        found = re.match(r"(\d{1,4})\.(\d{1,4})", self.text)
        return tuple(map(int, found.groups())) if found else ()


def recurrent(layer: Config) -> tuple[str, Config, Config | None] | None:
    """The kind, configuration and that of the backward layer, for a layer that is recurrent; how they merge is in the first.

    Raises WeightsError for what Bidirectional may do and is not supported, and for a class of somebody's own with such a name.
    """
    kind, config, classes = str(layer["class_name"]), layer["config"], [layer]
    if kind == "RNN" and isinstance(cell := config.get("cell"), dict):
        kind, config, classes = str(cell["class_name"]).removesuffix("Cell"), {**config, **cell["config"]}, [layer, cell]
    if kind != "Bidirectional":
        if kind not in KINDS:
            return None
        for each in classes:
            _refuse_foreign(each)
        return kind, config, None
    inner = config["layer"]
    found = recurrent(inner)
    if found is None:
        return None
    _refuse_foreign(layer)
    kind, forward, _ = found
    # None gives the two apart: what is joined here is what they are.
    merge = config.get("merge_mode") or CONCAT
    if merge not in MERGES:
        raise WeightsError(f"merge_mode {show(str(merge))} is not supported: expected {', '.join(MERGES)} or none")
    forward = {**forward, "merge_mode": merge}
    _, backward, _ = recurrent(config.get("backward_layer") or inner) or (None, {}, None)
    for option in ("units", "use_bias", "reset_after"):
        if forward.get(option) != backward.get(option):
            raise WeightsError(f"its two directions have another {option}: expected them alike")
    if forward.get("go_backwards"):
        raise WeightsError("go_backwards inside Bidirectional is not supported")
    return kind, forward, backward


def _refuse_foreign(layer: Config) -> None:
    """Raises WeightsError for a class that is not Keras' own, though it is called like one: what it computes is not known."""
    package = layer.get("module")
    if isinstance(package, str) and package.partition(".")[0] not in PACKAGES:
        name, package = show(str(layer["class_name"]))[:40], show(package)[:60]
        raise WeightsError(f"{name} is not Keras' own but of {package}, and may compute something else: it is not read")


def declared(
    kind: str, config: Config, backward: Config | None, parts: Sequence[Parts], version: Version, mask: Mask | None
) -> Module:
    """A layer as its configuration says. Raises WeightsError for what would change the result and is not supported."""
    reverse = bool(config.get("go_backwards", False))
    activations = _activations(KINDS[kind], config, version)
    options = {
        **activations,
        "reverse_activations": () if backward is None else tuple(_activations(KINDS[kind], backward, version).values()),
        "bidirectional": backward is not None,
        "merge": config.get("merge_mode", CONCAT),
        "reverse": reverse,
        "batch_first": not config.get("time_major", False),
        # Before it had the option, Keras reset before the product; cuDNN never does.
        "reset_after": kind != "GRU" or bool(config.get("reset_after", False)),
    }
    module = _built(KINDS[kind], parts, options, ())
    zeros = bool(config.get("zero_output_for_mask", backward is not None))
    return replace(
        module,
        output_reversed=reverse,
        last_output=not config.get("return_sequences", False),
        mask=mask and replace(mask, zeros=zeros),
        hard_sigmoid=version.hard_sigmoid,
    )


def _activations(kind: str, config: Config, version: Version) -> dict[str, str]:
    """The activations of one direction; an LSTM's cell state has the candidate's."""
    # Keras 1 called that of the gates so.
    gates = config.get("recurrent_activation", config.get("inner_activation", "sigmoid"))
    given = {"recurrent_activation": gates, "nonlinearity": config.get("activation", "tanh")}
    given["activation"] = given["cell_activation"] = given["nonlinearity"]
    return {name: activation_of(given[name], version.hard_sigmoid) for name in ACTIVATIONS_OF[kind]}


def undeclared(parts: Sequence[Parts], version: Version) -> Module:
    """A layer of which the weights alone are known: its kind by their shapes, all else as that Keras has it by default."""
    W_hh = parts[0][1][0]
    if W_hh.ndim != 2 or W_hh.shape[1] % W_hh.shape[0] or W_hh.shape[1] // W_hh.shape[0] not in GATES:
        raise WeightsError(f"a recurrent_kernel of shape {W_hh.shape} belongs to no SimpleRNN, LSTM or GRU")
    kind = GATES[W_hh.shape[1] // W_hh.shape[0]]
    gates, question = version.gates if kind != "RNN" else (None, "")
    # A GRU that resets after the product has two biases; without any, it is taken for what is the default.
    after = kind != "GRU" or len(parts[0]) < 3 or parts[0][2][0].ndim == 2 or is_cudnn(kind, parts[0])
    if is_cudnn(kind, parts[0]):
        # It has no other gates.
        gates, question = "sigmoid", ""
    options = {"bidirectional": len(parts) == 2, "batch_first": True, "reset_after": after, "recurrent_activation": gates}
    assumed = ("nonlinearity" if kind == "RNN" else "recurrent_activation", "direction" if len(parts) == 1 else "merge")
    module = _built(kind, parts, options, assumed)
    if kind == "GRU" and len(parts[0]) < 3:
        module = replace(module, assumed=(*module.assumed, "reset_after"))
    return replace(module, last_output=True, hard_sigmoid=version.hard_sigmoid, open=question)


def _built(
    kind: str,
    parts: Sequence[Parts],
    options: Mapping[str, Any],
    assumed: tuple[str, ...],
) -> Module:
    """A module from the arrays of its directions: kernel, recurrent_kernel and, where there is one, bias."""
    in_blocks = [is_cudnn(kind, direction) for direction in parts]
    if any(in_blocks) and options.get("reset_after", True):
        # The file holds both biases, of which the plain LSTM has the sum.
        plain = _built(kind, [from_cudnn(kind, one) for one in parts], options, assumed)
        return replace(plain, absent=0, remarks=(OF_CUDNN,))
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
    held = sum(array.size for direction in parts for array, _ in direction)
    return Module(spec, Weights(columns), KERAS, assumed, absent=spec.parameters - held)


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
