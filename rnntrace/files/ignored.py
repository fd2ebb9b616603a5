"""Arrays that are left out on purpose."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from rnntrace.errors import UsageError, show
from rnntrace.files.tensors import Tensors

FEW = 5
"""Names that are listed where a pattern fits none."""


@dataclass(frozen=True)
class Ignored:
    """Shell-style patterns such as `ln_*`: what they fit by its full name is left out of every file of a request.

    Letters are told apart by their case. It remembers the names that it met, so that a pattern that fits none is noticed.
    """

    patterns: tuple[str, ...] = ()
    _met: dict[str, None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, name: str) -> bool:
        """Whether this is left out."""
        self._met[name] = None
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def without(self, tensors: Tensors) -> Tensors:
        """What is left of a file: arrays, those that cannot be read, and the modules of a model that declares its layers."""
        if not self.patterns:
            return tensors
        prefixes = tensors.contents.prefixes if tensors.contents else ()
        kept = {name for name in (*tensors.arrays, *tensors.refused, *prefixes) if not self(name)}
        return replace(
            tensors,
            arrays={name: array for name, array in tensors.arrays.items() if name in kept},
            refused={name: reason for name, reason in tensors.refused.items() if name in kept},
            contents=tensors.contents and tensors.contents.only(kept),
        )

    def check(self) -> None:
        """To be called when every file was read. Raises UsageError for a pattern that fits nothing in them."""
        for pattern in self.patterns:
            if not any(fnmatchcase(name, pattern) for name in self._met):
                raise UsageError(f"`ignore={show(pattern)!r}` fits nothing{_near(pattern, self._met)}")


def _near(pattern: str, names: Iterable[str]) -> str:
    """The names that may have been meant, or some of all."""
    named = [name for name in names if name]
    words = pattern.strip("*?")
    near = [name for name in named if fnmatchcase(name.lower(), f"*{words.lower()}*")]
    near = near or get_close_matches(words, named, FEW, cutoff=0.5)
    listed = ", ".join(show(name)[:60] for name in (near or named)[:FEW])
    if not listed:
        return ""
    return f": did you mean {listed}?" if near else f": the files hold {listed}" + (" …" if len(named) > FEW else "")
