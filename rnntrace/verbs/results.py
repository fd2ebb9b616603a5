"""Several results together: the modules of a file or model, or one module judged by several sides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.errors import show
from rnntrace.report.compare import worst


@dataclass(frozen=True, repr=False)
class Results(Mapping[str, Result]):
    """Results by the name of the module."""

    found: Mapping[str, Result]

    def __getitem__(self, name: str) -> Result:
        return self.found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    @property
    def verdict(self) -> Verdict:
        """The worst of them."""
        return worst(self.found)

    @property
    def passed(self) -> bool:
        """Whether all of them agree."""
        return all(result.passed for result in self.values())

    def __repr__(self) -> str:
        names = {name: show(name) or "(no name)" for name in self}
        width = max(map(len, names.values()))
        lines = [f"{names[name]:<{width}}  {result.verdict}  {result.trace.summary}" for name, result in self.items()]
        return "\n".join([f"<Results {self.verdict}: {len(self)} of them>", *lines])

    def _repr_html_(self) -> str:
        return "\n".join(result._repr_html_() for result in self.values() if hasattr(result, "_repr_html_"))
