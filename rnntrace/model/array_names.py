"""What frameworks call their arrays of weights, as patterns in the way of `names`: see `Renaming`."""

from collections.abc import Collection, Mapping

from rnntrace.model.conventions import COURSERA, CS231N, D2L, KERAS, MATLAB, ONNX, TORCH

_TORCHS = tuple(
    f"{part}{pattern}"
    for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    for pattern in (f"={part}", f"={part}_l{{layer}}{{_reverse}}")
)
_BY_GATE = ("weight_ih=W_{gate}", "weight_hh=U_{gate}", "bias=b_{gate}")

ARRAY_NAMES: Mapping[str, tuple[str, ...]] = {
    TORCH: (*_TORCHS, "bias=bias"),
    "candle": _TORCHS,
    "tinygrad": _TORCHS,
    KERAS: ("weight_ih=kernel", "weight_hh=recurrent_kernel", "bias=bias", *_BY_GATE),
    ONNX: ("weight_ih=W", "weight_hh=R", "bias=B", "peepholes=P"),
    "cuDNN": tuple(
        f"{part}={word}{joint}{{gate}}"
        for part, word in (("weight_ih", "W"), ("weight_hh", "R"), ("bias_ih", "bW"), ("bias_hh", "bR"))
        for joint in ("", "_")
    ),
    "oneDNN": ("weight_ih=weights_layer", "weight_hh=weights_iter", "bias=bias"),
    "TF1 BasicLSTMCell": (
        *("weight[rz]=gates.kernel", "weight[n]=candidate.kernel", "bias[rz]=gates.bias", "bias[n]=candidate.bias"),
        *("weight=kernel", "weight=weights", "bias=bias", "bias=biases"),
    ),
    "flax linen": ("weight_ih=i{gate}.kernel", "weight_hh=h{gate}.kernel", "bias_ih=i{gate}.bias", "bias_hh=h{gate}.bias"),
    "haiku": ("weight=linear.w", "bias=linear.b", "weight=w", "weight_ih=w_i", "weight_hh=w_h", "bias=b"),
    "equinox": ("weight_ih=weight_ih", "weight_hh=weight_hh", "bias_ih=bias", "bias_hh[n]=bias_n"),
    "Sonnet 2": ("weight_ih=w_i", "weight_hh=w_h", "bias=b"),
    "MXNet Gluon": (
        *(f"{part}=l{{layer}}_{name}" for part, name in (("weight_ih", "i2h_weight"), ("weight_hh", "h2h_weight"))),
        *(f"{part}_reverse=r{{layer}}_{name}" for part, name in (("weight_ih", "i2h_weight"), ("weight_hh", "h2h_weight"))),
        *(f"{part}=l{{layer}}_{name}" for part, name in (("bias_ih", "i2h_bias"), ("bias_hh", "h2h_bias"))),
        *(f"{part}_reverse=r{{layer}}_{name}" for part, name in (("bias_ih", "i2h_bias"), ("bias_hh", "h2h_bias"))),
        *("weight_ih=i2h_weight", "weight_hh=h2h_weight", "bias_ih=i2h_bias", "bias_hh=h2h_bias"),
    ),
    "CNTK": ("weight_ih=W", "weight_hh=H", "weight_hh[n]=H1", "bias=b"),
    "TFLite": (
        *("weight_ih=input_to_{gate}_weights", "weight_hh=recurrent_to_{gate}_weights"),
        *("bias={gate}_gate_bias", "bias={gate}_bias"),
    ),
    "Core ML": ("weight_ih=weight_ih", "weight_hh=weight_hh", "bias=bias"),
    "OpenVINO": ("weight_ih=W", "weight_hh=R", "bias=B"),
    "WebNN": ("weight_ih=weight", "weight_hh=recurrentWeight", "bias_ih=bias", "bias_hh=recurrentBias"),
    "MLX": ("weight_ih=Wx", "weight_hh=Wh", "bias_ih=bias", "bias_ih=b", "bias_hh[n]=bhn"),
    "flax nnx": ("weight_ih=dense_i.kernel", "weight_hh=dense_h.kernel", "bias_ih=dense_i.bias", "bias_hh=dense_h.bias"),
    "MPSGraph": ("weight_ih=inputWeight", "weight_hh=recurrentWeight", "bias=bias"),
    "Chainer": ("weight_ih=upward.W", "weight_hh=lateral.W", "bias=upward.b"),
    MATLAB: ("weight_ih=InputWeights", "weight_hh=RecurrentWeights", "bias=Bias"),
    CS231N: ("weight_ih=Wx", "weight_hh=Wh", "bias=b"),
    D2L: ("weight_ih=W_x{gate}", "weight_hh=W_h{gate}", "bias=b_{gate}"),
    COURSERA: ("weight=W{gate}", "bias=b{gate}", "weight_ih=Wax", "weight_hh=Waa", "bias=ba"),
}
"""By framework; slashes in names count as dots. One that is not here has the words of `ANYWHERE` alone."""
ANYWHERE = (
    *("weight_ih=W_ih", "weight_hh=W_hh", "bias_ih=b_ih", "bias_hh=b_hh"),
    *("weight_ih=kernel", "weight_hh=recurrent_kernel", "bias=bias"),
)
"""What arrays may be called in any layout, where it has no names of its own for them."""
HEADS = {"Wy", "Wya", "by"}
"""Of a course: what makes y of the hidden state, behind the cell."""
_UNMISTAKABLE: Mapping[str, tuple[frozenset[str], ...]] = {
    KERAS: (frozenset({"kernel", "recurrent_kernel"}),),
    MATLAB: (frozenset({"InputWeights", "RecurrentWeights"}),),
    CS231N: (frozenset({"Wx", "Wh", "b"}),),
    D2L: tuple(frozenset(f"{part}{gate}" for part in ("W_x", "W_h", "b_") for gate in gates) for gates in ("ifoc", "zrh")),
    COURSERA: (
        frozenset({"Wf", "Wi", "Wc", "Wo", "bf", "bi", "bc", "bo"}),
        frozenset({"Wf", "Wu", "Wc", "Wo", "bf", "bu", "bc", "bo"}),
        frozenset({"Wax", "Waa", "ba"}),
    ),
}


def framework_of(names: Collection[str]) -> str:
    """The only framework that has arrays of these names, in some module; empty if no name tells, or several do."""
    by_module: dict[str, set[str]] = {}
    for name in names:
        prefix, _, last = name.removesuffix(":0").replace("/", ".").rpartition(".")
        by_module.setdefault(prefix, set()).add(last)
    found = {
        framework
        for framework, sets in _UNMISTAKABLE.items()
        if any(wanted <= own for wanted in sets for own in by_module.values())
    }
    return found.pop() if len(found) == 1 else ""
