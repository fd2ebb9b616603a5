"""Formats whose library is not installed: one line says which extra brings it."""

import sys
from pathlib import Path

import pytest
from commandline import refused
from hostile_hdf5 import h5, keras
from hostile_onnx import model

from rnntrace.verbs.doctor import check_up

CONTENT = {"model.onnx": model, "model.keras": keras, "model.weights.h5": h5}


@pytest.mark.parametrize(
    ("file", "package", "extra"),
    [("model.onnx", "onnx", "onnx"), ("model.keras", "h5py", "keras"), ("model.weights.h5", "h5py", "keras")],
)
@pytest.mark.usefixtures("folder")
def test_a_missing_library_is_named(
    file: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The package and the line for pip; doctor names the same extra."""
    Path(file).write_bytes(CONTENT[file]())
    for name in list(sys.modules):
        if name.startswith(("rnntrace.files.onnx", "rnntrace.files.keras", "rnntrace.files.hdf5")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    line = refused(capsys, "inspect", file)
    assert f"this needs the package {package}, which is not installed: pip install 'rnntrace[{extra}]'" in line
    assert extra in {found.name for found in check_up().extras}
