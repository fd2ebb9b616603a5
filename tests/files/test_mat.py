"""MATLAB's .mat: matrices and structs of them, as scipy and HDF5 hold them."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from commandline import all_in, ask, refused
from hostile_matlab import ARRAYS, mat, mat73

from rnntrace.files import read_tensors
from rnntrace.model.dtypes import Array

I, H, T = 3, 4, 6


def network(seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        "InputWeights": rng.standard_normal((4 * H, I)),
        "RecurrentWeights": rng.standard_normal((4 * H, H)),
        "Bias": rng.standard_normal((4 * H, 1)),
    }


def outputs(net: dict[str, Array], x: Array) -> Array:
    """What an lstmLayer gives for X (I, T), as (T, H)."""
    h, c, found = np.zeros((H, 1)), np.zeros((H, 1)), []
    for column in x.T:
        a = net["InputWeights"] @ column[:, None] + net["RecurrentWeights"] @ h + net["Bias"]
        i, f, o = (1 / (1 + np.exp(-a[place * H : (place + 1) * H])) for place in (0, 1, 3))
        c = f * c + i * np.tanh(a[2 * H : 3 * H])
        h = o * np.tanh(c)
        found.append(h[:, 0])
    return np.array(found)


@pytest.mark.parametrize("form", ["plain", "packed", "struct", "7.3", "7.3 struct"])
def test_a_network_of_matlab(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights, input and outputs from a .mat: right ones pass, those of another network fail."""
    net, x = network(), np.random.default_rng(1).standard_normal((I, T))
    whole = {"net": net} if "struct" in form else net
    Path("net.mat").write_bytes(mat73(**whole) if "7.3" in form else mat(packed=form == "packed", **whole))
    Path("x.mat").write_bytes(mat73(x=x.T) if "7.3" in form else mat(x=x.T))
    asked = ("compare", "net.mat", "--unbatched", "--input", "x.mat", "--expected", "y.mat", "-q")
    scipy.io.savemat("y.mat", {"output": outputs(net, x)})
    answer = ask(capsys, *asked)
    assert (answer.code, "MATLAB" in answer.err) == (0, True)
    assert ask(capsys, *asked, "--layout", "matlab").code == 0
    scipy.io.savemat("y.mat", {"output": outputs(network(2), x)})
    assert ask(capsys, *asked).code == 1


def test_what_is_no_matrix_is_named() -> None:
    """Cells, texts, complex and sparse ones, structs in structs; whole numbers of the class double are floats."""
    inside = {"W": np.ones((2, 2)), "deeper": {"W": np.ones(1)}, "cells": np.array([1.0, "a"], object)}
    content = mat(
        net=inside, whole=np.arange(3.0), z=np.ones(2) * 1j, text="text", sparse=scipy.sparse.eye_array(3), byte=np.uint8(1)
    )
    Path("m.mat").write_bytes(content)
    found = read_tensors(Path("m.mat"))
    assert {name: found.dtypes[name] for name in found.arrays} == {"net.W": "float64", "whole": "float64", "byte": "uint8"}
    assert {*found.refused} == {"net.deeper", "net.cells", "z", "text", "sparse"}
    np.testing.assert_array_equal(found.arrays["whole"], [[0, 1, 2]])


def test_doubles_that_matlab_stored_in_bytes() -> None:
    """MATLAB keeps doubles that are whole numbers as integers; the class says what they are, in a struct too."""
    content = bytearray(mat(net={"W": np.ones((2, 2))}, W=np.ones((1, 8))))
    # The data of W, a double element of 64 bytes, as bytes: type 2 is uint8.
    at = content.rfind((9).to_bytes(4, "little") + (64).to_bytes(4, "little"))
    element = (2).to_bytes(4, "little") + (8).to_bytes(4, "little") + bytes(range(8))
    whole = int.from_bytes(content[at - 44 : at - 40], "little")
    del content[at:]
    content += element
    start = content.rfind((14).to_bytes(4, "little"))
    content[start + 4 : start + 8] = (len(content) - start - 8).to_bytes(4, "little")
    assert whole >= 0
    Path("m.mat").write_bytes(bytes(content))
    found = read_tensors(Path("m.mat"))
    np.testing.assert_array_equal(found.arrays["W"], [range(8)])
    assert found.dtypes["W"] == "float64"


def test_other_files_of_matlab_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A reference of an HDF5 file to another is not followed, and a class of weights must be one of floats."""
    Path("m.mat").write_bytes(mat(**ARRAYS | {"Bias": np.zeros((8, 1), np.int16)}))
    assert all_in(("Bias", "int16"), refused(capsys, "inspect", "m.mat"))
    Path("m.mat").write_bytes(mat73(cells={"#refs#": np.ones((2, 2))}, **ARRAYS))
    assert "1 recurrent module" in ask(capsys, "inspect", "m.mat").out
