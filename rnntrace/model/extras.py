"""Optional packages: what each is for, and how a module that needs one is loaded."""

from importlib import import_module
from typing import Any

from rnntrace.errors import MissingExtraError

EXTRAS = {
    "safetensors": ("safetensors", "reading and writing .safetensors"),
    "onnx": ("onnx", "reading .onnx"),
    "keras": ("h5py", "reading .keras, .weights.h5 and .h5"),
    "matlab": ("scipy", "reading .mat"),
    "live-keras": ("keras", "judging beside Keras 3"),
    "onnxruntime": ("onnxruntime", "judging beside ONNX Runtime"),
    "dask": ("distributed", "grading on a cluster"),
    "plot": ("matplotlib", "pictures as .png, .svg and .pdf"),
}
"""By the name of the pip extra: the optional package that it brings, and what that is for."""


def optional(name: str) -> Any:
    """A module of rnntrace that may need an optional package. Raises MissingExtraError with the way to get it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        extra = next((extra for extra, (package, _) in EXTRAS.items() if package == missing), None)
        what = missing if extra is None else f"'rnntrace[{extra}]'"
        raise MissingExtraError(f"this needs the package {missing}, which is not installed: pip install {what}") from None
