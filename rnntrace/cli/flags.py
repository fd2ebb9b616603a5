"""Keywords of the library as the flags of the command line: what a message calls `proj_size` is --proj-size here.

Below this floor messages put keywords in backticks, alone or with a value, as in `tolerance=rounding`, and know of no flags.
"""

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

_OF_MODULE = (
    "hidden input_size layers bidirectional bias nonlinearity proj_size dropout batch_first weights dtype device module"
)
_OF_SIGNALS = "steps batch unbatched input axes text alphabet h0 c0 states lengths mask dist seed"
_OF_FILES = "module names layout config ignore go_backwards merge reset expected require framework cell"
_OF_VARIANTS = "peepholes coupled clip reset_before layer_norm independent"
_OF_ACTIVATIONS = "activation recurrent_activation cell_activation reverse_activations"
_OF_JUDGING = (
    "capture tolerance rtol atol lam drift rounded scale zero_point q columns mistake blind replay replay_dtype seconds"
)
_OF_GRADIENTS = "backward loss target grad truncate clip_norm clip_value check"
_OF_VIEW = (
    "show layer time unit item digits max_rows format output save keep plot plot_kind kind at top back family quiet color"
)
_OF_LIMITS = "timeout max_memory"
_OF_COURSES = "roster key match student gradescope jobs dask resume journal explain fill feedback"
_OF_RUNS = (_OF_MODULE, _OF_SIGNALS, _OF_FILES, _OF_VARIANTS, _OF_ACTIVATIONS, _OF_JUDGING, _OF_GRADIENTS)
KEYWORDS = frozenset(" ".join((*_OF_RUNS, _OF_VIEW, _OF_LIMITS, _OF_COURSES)).split())
"""Those that are flags."""
OTHER_NAMES = {
    "lam": "lambda",
    "seconds": "time-limit",
    "num_layers": "layers",
    "hidden_size": "hidden",
    "states": "state",
    "graph_inputs": "weights",
    "t": "at t",
}
"""Where a flag has another name than the keyword, or a field of a specification than both."""
_KEYWORD = re.compile(r"`(?P<name>[a-z](?:[a-z0-9_]|\\_)*)(?:=(?P<value>[^`]*))?`")


def in_flags(text: str, dashes: str = "--") -> str:
    """The text with flags in place of keywords: `batch=2` is --batch 2, and `bias=False` is --no-bias."""

    def flag(found: re.Match[str]) -> str:
        name, value = found["name"].replace("\\", ""), found["value"]
        if name not in KEYWORDS and name not in OTHER_NAMES:
            return found[0]
        flag = OTHER_NAMES.get(name, name).replace("_", "-")
        if value == "False":
            return f"{dashes}no-{flag}"
        return f"{dashes}{flag}" if value in (None, "True") else f"{dashes}{flag} {value}"

    return _KEYWORD.sub(flag, text) if "`" in text else text


def spelled(value: Any) -> Any:
    """A report, or a part of one, with flags in place of keywords in every text."""
    if isinstance(value, str):
        return in_flags(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: spelled(getattr(value, one.name)) for one in fields(value) if one.init})
    if isinstance(value, (tuple, list)):
        return type(value)(map(spelled, value))
    if isinstance(value, dict):
        return {key: spelled(entry) for key, entry in value.items()}
    if str(getattr(value, "dtype", "")) == "object":
        words = value.copy()
        words.flat = [spelled(word) for word in value.flat]
        return words
    return value
