"""How much time and memory is asked for, by flags and variables, and what doctor says of it."""

import numpy as np
import pytest

from rnntrace.errors import UsageError
from rnntrace.model import allowance


@pytest.mark.parametrize(
    ("text", "seconds"), [("1", 1), ("0.5", 0.5), ("1e3", 1000), ("0", np.inf), ("inf", np.inf), ("", None)]
)
def test_a_time(text: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable as by the flag, which goes first."""
    assert allowance.timeout(text) == seconds
    monkeypatch.setenv("RNNTRACE_TIMEOUT", text)
    assert allowance.timeout() == seconds
    assert allowance.timeout("7") == 7


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("0", 0), ("4096", 4096), ("512M", 2**29), ("2GiB", 2**31), ("1.5g", 3 * 2**29), ("2 GB", 2**31), ("1T", 2**40)),
        *(("3k", 3072), ("7B", 7), ("", 2**32)),
    ],
)
def test_a_size(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable as by the flag, which goes first."""
    assert allowance.max_memory(text) == size
    monkeypatch.setenv("RNNTRACE_MAX_MEMORY", text)
    assert allowance.max_memory() == size
    assert allowance.max_memory("7") == 7


@pytest.mark.parametrize("text", ["x", "-1", "nan", "1 s", "9" * 400, "٣x"])
def test_no_time(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says where it was asked for."""
    if text == "9" * 400:
        assert allowance.timeout(text) == np.inf
        return
    with pytest.raises(UsageError, match="`timeout` should be a number of seconds, or 0"):
        allowance.timeout(text)
    monkeypatch.setenv("RNNTRACE_TIMEOUT", text)
    with pytest.raises(UsageError, match="RNNTRACE_TIMEOUT should be a number of seconds, or 0"):
        allowance.timeout()


@pytest.mark.parametrize("text", ["x", "-1", "1e9", "12X", "G", "1GiBB", "9" * 5000, "1 2"])
def test_no_size(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says where it was asked for, and does not repeat all of what was given."""
    with pytest.raises(UsageError, match="`max_memory` should be a size like 512M or 2GiB, or 0") as caught:
        allowance.max_memory(text)
    assert len(str(caught.value)) <= 1000
    monkeypatch.setenv("RNNTRACE_MAX_MEMORY", text)
    with pytest.raises(UsageError, match="RNNTRACE_MAX_MEMORY should be a size"):
        allowance.max_memory()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "fork", "environment", "time", "memory"),
    [
        ("linux", True, {}, "60 s, and 60 s per GiB of files", "4 GiB"),
        ("linux", True, {"RNNTRACE_TIMEOUT": "5", "RNNTRACE_MAX_MEMORY": "512M"}, "5 s", "0.5 GiB"),
        ("linux", True, {"RNNTRACE_TIMEOUT": "0", "RNNTRACE_MAX_MEMORY": "0"}, "none", "none"),
        ("darwin", True, {}, "60 s, and 60 s per GiB of files", "none: this system does not keep a process to a size"),
        ("win32", False, {"RNNTRACE_TIMEOUT": "5"}, "5 s; this system has no fork", "none: this system"),
    ],
)
def test_doctor_says_what_holds_here(
    system: str, fork: bool, environment: dict[str, str], time: str, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits in force, and which of them the system does not enforce."""
    monkeypatch.setattr("sys.platform", system)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if not fork:
        monkeypatch.delattr("os.fork")
    found = allowance.facts()
    assert found["limit of time for foreign files"].startswith(time)
    assert found["limit of memory for foreign files"].startswith(memory)
