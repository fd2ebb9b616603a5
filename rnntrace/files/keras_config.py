"""The configuration of a Keras model in a file of its own, as `model.to_json()` gives it, beside a file of weights alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnntrace.errors import FileError, show
from rnntrace.files.tensors import check_text

Config = Mapping[str, Any]


def read_config(source: str | Path | Config) -> Config:
    """A model's configuration, of a file, of text, or as a dictionary. Raises FileError."""
    if isinstance(source, Mapping):
        found: Any = source
        label = "the configuration"
    else:
        is_text = str(source).lstrip().startswith("{")
        label = "the configuration" if is_text else show(str(source))
        try:
            if not is_text:
                check_text(Path(source).stat().st_size, label)
            found = json.loads(str(source) if is_text else Path(source).read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise FileError(f"{label}: it cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise FileError(f"{label}: not valid JSON: {error}") from None
    if not (isinstance(found, Mapping) and "class_name" in found and "config" in found):
        raise FileError(f"{label} is no model's configuration: expected what `model.to_json()` of Keras writes")
    return found
