"""Bad and strange .h5 and .keras, written by h5py; none of them needs Keras."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
from commandline import EVIL
from hostile import Entry, flipped, loads, unfit, unreadable, zipped

KERNELS = {
    "0": np.linspace(-1, 1, 24, dtype=np.float32).reshape(3, 8),
    "1": np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8),
    "2": np.zeros(8, np.float32),
}
"""An LSTM of 3 inputs and 2 units: kernel, recurrent_kernel and bias."""
VARS = "layers/lstm/cell/vars"


def h5(change: Callable[[h5py.File], Any] | None = None, **options: Any) -> bytes:
    """An HDF5 file as Keras 3 writes it, with an LSTM, and something changed in it."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        for name, array in KERNELS.items():
            file.create_dataset(f"{VARS}/{name}", data=array)
        if change:
            change(file)
    return buffer.getvalue()


def instead(name: str, make: Callable[[h5py.Group, str], Any]) -> bytes:
    """The same with one of the arrays replaced by something else."""

    def change(file: h5py.File) -> None:
        del file[f"{VARS}/{name}"]
        make(file[VARS], name)

    return h5(change)


def linked(link: Any) -> bytes:
    """The same with a link for the kernel."""
    return instead("0", lambda group, name: group.__setitem__(name, link))


def virtual(group: h5py.Group, name: str) -> None:
    """A dataset whose values are those of another file."""
    layout = h5py.VirtualLayout((3, 8), "f4")
    layout[:] = h5py.VirtualSource("picture", "x", (3, 8))
    group.create_virtual_dataset(name, layout)


def unknown_filter(group: h5py.Group, name: str) -> None:
    """A dataset packed by a filter that a plug-in would have to bring."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((3, 8))
    plan.set_filter(32_000 + 15, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((3, 8))
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F32LE, space, plan)


def deep(file: h5py.File) -> None:
    """Groups one inside the other."""
    group = file
    for _ in range(500):
        group = group.create_group("g")


def evil(file: h5py.File) -> None:
    """A layer of a name that is no good, with too little in it."""
    del file["layers"]
    file.create_dataset(f"{EVIL}/cell/vars/0", (3, 8), "f4")


def cycle(file: h5py.File) -> None:
    """Groups that are each other's."""
    for number in range(20):
        file[f"layers/g{number}"] = file["layers"]


def listed(file: h5py.File) -> None:
    """A list of many layers, all of them one layer with a list of many weights."""
    file.attrs["layer_names"] = np.array(["l"] * 800, "S1")
    file.create_group("l").attrs["weight_names"] = np.array(["w"] * 800, "S1")


def model(config: Any) -> bytes:
    """A whole model as .h5 with any configuration at all."""
    text = config if isinstance(config, str | bytes) else json.dumps(config)
    return h5(lambda file: file.attrs.__setitem__("model_config", text))


def keras(config: Any = None, **members: bytes | None) -> bytes:
    """A .keras with any configuration at all."""
    text = config if isinstance(config, bytes) else json.dumps(sequential() if config is None else config).encode()
    named = {"metadata_json": b"{}", "config_json": text, "model_weights_h5": h5(), **members}
    content = {name[::-1].replace("_", ".", 1)[::-1]: data for name, data in named.items() if data is not None}
    return zipped({name.replace("model_weights", "model.weights"): data for name, data in content.items()})


def sequential(**options: Any) -> dict[str, Any]:
    """The configuration of a model with one LSTM."""
    lstm = {"name": "lstm", "units": 2, "use_bias": True, **options}
    return {"class_name": "Sequential", "config": {"name": "model", "layers": [{"class_name": "LSTM", "config": lstm}]}}


def inside(depth: int) -> dict[str, Any]:
    """Models in models."""
    found = sequential()
    for _ in range(depth):
        found = {"class_name": "Sequential", "config": {"name": "m", "layers": [found]}}
    return found


H5, KERAS = r"not a readable \.h5: ", r"not a readable \.keras: "
NOT_KERAS = "its configuration is not one that Keras writes|not a readable"
ELSEWHERE = "has its values in another file, and no other file is opened"

HDF5: dict[str, Entry] = {
    "h5 as Keras writes it": loads(h5),
    "keras as Keras writes it": loads(keras),
    "h5 that is cut off": unreadable(H5, lambda: h5()[:700]),
    "h5 that is its signature": unreadable(H5, lambda: h5()[:8]),
    "h5 with a bit over in its superblock": unreadable(H5, lambda: flipped(h5(), 9)),
    "h5 with an address beyond its end": unreadable(H5, lambda: flipped(h5(), 70)),
    "h5 of nothing": unreadable("it has no SimpleRNN, LSTM or GRU layer", lambda: h5(lambda file: file.clear())),
    "h5 with an external link": unreadable("is a link to another place", lambda: linked(h5py.ExternalLink("picture", "/x"))),
    "h5 with an external link to passwd": unreadable("is a link", lambda: linked(h5py.ExternalLink("/etc/passwd", "/"))),
    "h5 with a soft link": unreadable("is a link to another place", lambda: linked(h5py.SoftLink("/layers/lstm/cell/vars/1"))),
    "h5 with a soft link to itself": unreadable("is a link", lambda: linked(h5py.SoftLink(f"/{VARS}/0"))),
    "h5 with a soft link to nowhere": unreadable("is a link", lambda: linked(h5py.SoftLink("/nowhere"))),
    "h5 with values in another file": unreadable(
        ELSEWHERE,
        lambda: instead("0", lambda group, name: group.create_dataset(name, (3, 8), "f4", external=[("/etc/passwd", 0, 96)])),
    ),
    "h5 with a virtual dataset": unreadable(ELSEWHERE, lambda: instead("0", virtual)),
    "h5 with an unknown filter": unreadable("is packed by a filter|not a readable", lambda: instead("0", unknown_filter)),
    "h5 of a giant that is not there": unreadable(
        "values, over the limit",
        lambda: instead("0", lambda group, name: group.create_dataset(name, (2**20, 2**20), "f4", chunks=(64, 64))),
    ),
    "h5 of whole numbers": unreadable(
        "should hold floats", lambda: instead("0", lambda group, name: group.create_dataset(name, (3, 8), "i4"))
    ),
    "h5 of complex numbers": unreadable(
        "should hold floats", lambda: instead("0", lambda group, name: group.create_dataset(name, (3, 8), "c8"))
    ),
    "h5 of text": unreadable(
        "should hold floats", lambda: instead("0", lambda group, name: group.create_dataset(name, data=["a", "b"]))
    ),
    "h5 of records": unreadable(
        "should hold floats", lambda: instead("0", lambda group, name: group.create_dataset(name, (3,), [("a", "f4")]))
    ),
    "h5 of references": unreadable(
        "should hold floats", lambda: instead("0", lambda group, name: group.create_dataset(name, (3,), h5py.ref_dtype))
    ),
    "h5 of an empty dataset": unreadable(
        ".", lambda: instead("0", lambda group, name: group.create_dataset(name, data=h5py.Empty("f4")))
    ),
    "h5 of a group for a kernel": unreadable(".", lambda: instead("0", lambda group, name: group.create_group(name))),
    "h5 of no rows": unreadable(
        "dimensions above 0", lambda: instead("0", lambda group, name: group.create_dataset(name, (0, 8), "f4"))
    ),
    "h5 of a wrong shape": unfit(
        "should have shape", lambda: instead("0", lambda group, name: group.create_dataset(name, (3, 9), "f4"))
    ),
    "h5 without a recurrent kernel": unfit(
        "should have kernel, recurrent_kernel", lambda: h5(lambda file: [file.__delitem__(f"{VARS}/{n}") for n in "12"])
    ),
    "h5 with deep groups": unreadable("groups inside one another", lambda: h5(deep)),
    "h5 with groups that hold themselves": unreadable("which is the limit", lambda: h5(cycle)),
    "h5 with very many groups": unreadable(
        "groups and datasets are over the limit", lambda: h5(lambda file: [file.create_group(f"g{k}") for k in range(10_001)])
    ),
    "h5 that lists one layer very often": loads(lambda: h5(listed)),
    "h5 with a committed type": loads(lambda: h5(lambda file: file.__setitem__("type", np.dtype("f4")))),
    "h5 with an evil name": unfit("should have kernel, recurrent_kernel", lambda: h5(evil)),
    "h5 with a user block": loads(lambda: h5(userblock_size=0)),
    "h5 with bad JSON": unreadable(H5, lambda: model("{")),
    "h5 with a configuration of bytes": unreadable(".", lambda: model(b"\xff\xfe")),
    "h5 with brackets": unreadable(H5, lambda: model("[" * 60_000)),
    "h5 with a list for a configuration": loads(lambda: model([1])),
    "h5 with a configuration of nothing": unreadable(NOT_KERAS, lambda: model({})),
    "h5 with layers that are numbers": unreadable(
        NOT_KERAS, lambda: model({"class_name": "Sequential", "config": {"layers": [1, 2]}})
    ),
    "h5 with layers that are no list": unreadable(
        NOT_KERAS, lambda: model({"class_name": "Sequential", "config": {"layers": 7}})
    ),
    "keras without weights": unreadable(r"not a readable \.pt", lambda: keras(model_weights_h5=None)),
    "keras without a configuration": loads(lambda: keras(config_json=None)),
    "keras with weights that are none": unreadable(KERAS, lambda: keras(model_weights_h5=b"x" * 100)),
    "keras with bad JSON": unreadable(KERAS, lambda: keras(b"{")),
    "keras with NaN for units": loads(lambda: keras(sequential(units=float("nan")))),
    "keras with brackets": unreadable(KERAS, lambda: keras(b"[" * 10**6)),
    "keras with a configuration that is a bomb": unreadable(
        "over 200 times its size", lambda: zipped({"config.json": b" " * 2**27, "model.weights.h5": h5()}, zipfile.ZIP_DEFLATED)
    ),
    "keras with models in models": unreadable(".", lambda: keras(inside(15))),
    "keras with a lambda": unreadable(
        "no SimpleRNN, LSTM or GRU|configuration",
        lambda: keras(
            {
                "class_name": "Sequential",
                "config": {"layers": [{"class_name": "Lambda", "config": {"name": "l", "function": ["4wE=", None, None]}}]},
            }
        ),
    ),
    "keras with a module to import": loads(lambda: keras({"module": "os", "registered_name": "system", **sequential()})),
    "keras with another activation": unfit("activation .*is not supported", lambda: keras(sequential(activation=EVIL))),
    "keras with an activation that is an object": unfit(
        "activation .*is not supported", lambda: keras(sequential(activation={"module": "os"}))
    ),
    "keras with a traversal name": loads(lambda: keras(sequential(name="../../../etc/passwd"))),
    "keras with a traversal member": loads(lambda: keras(**{"../../pwned_x": b"x"})),
}
