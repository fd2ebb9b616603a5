"""Several results together: the modules of a file or model, or one module judged by several sides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.errors import show
from rnntrace.report.compare import compare_report, worst

if TYPE_CHECKING:
    from rnntrace.verbs.page import Page


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

    def page(self, *, digits: int = 4) -> "Page":
        """An interactive page of all of them, as `rnntrace compare --format page` writes it. Raises UsageError for too much."""
        from rnntrace.report.select import View
        from rnntrace.verbs.page import page_of

        report = compare_report("", self.found, View())
        # The first line names a file.
        return page_of(replace(report, headline=report.headline[1:]), digits)

    def _repr_html_(self) -> str:
        return "\n".join(result._repr_html_() for result in self.values() if hasattr(result, "_repr_html_"))
