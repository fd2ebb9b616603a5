"""A trace among what a user gives: a result, or the path of a saved one, told from weights before anything is loaded."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntrace.files import metadata_of
from rnntrace.verbs.given.modules import is_result

if TYPE_CHECKING:
    from rnntrace.engine.judge.result import Result


def is_trace(source: Any) -> bool:
    """Whether this is a saved trace or a result, and not weights; no array is read. Raises FileError."""
    return is_result(source) or (isinstance(source, str | Path) and bool(metadata_of(str(source))))


def opened(source: Any) -> "Result":
    """A result as it is, or out of a saved trace, which is judged again. Raises FileError."""
    if is_result(source):
        return source
    from rnntrace.verbs.open_trace import open_trace

    return open_trace(source)
