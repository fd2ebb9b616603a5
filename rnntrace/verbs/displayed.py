"""A result that shows itself in a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from rnntrace.engine.judge.result import Result

if TYPE_CHECKING:
    from rnntrace.verbs.page import Page

MAX_TABLES, MAX_ROWS = 4, 20
"""As much is shown of a long trace: tables, each of a layer, direction and item, and rows in each."""


@dataclass(frozen=True, repr=False)
class DisplayedResult(Result):
    """A result with the forms that notebooks ask for: tables with the verdict, and the cell's equations for a page in LaTeX."""

    def _repr_html_(self) -> str:
        """What `rnntrace run` prints, with the warnings; of a long trace a part that says so."""
        from rnntrace.render import Style
        from rnntrace.render.html import fragment
        from rnntrace.report.run import run_report
        from rnntrace.report.select import View

        view, remarks = View(), [*self.warnings]
        if len(self.spec.layer_directions) * self.inputs.batch > MAX_TABLES:
            place = self.comparison.first_failure
            item, first = (place.item, place.layer) if place else (0, 0)
            layers = range(self.spec.num_layers)[first : first + MAX_TABLES // len(self.spec.directions)]
            view = View(items=[item], layers=layers)
            shown = f"layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))} and item {item}"
            remarks.append(f"shown: {shown}; {self.spec.num_layers} layers and {self.inputs.batch} items are in .trace")
        report = run_report(self, view)
        above = (((self.title,), ()),) if self.title else ()
        below = (((remark,), ()) for remark in remarks)
        return fragment(replace(report, headline=(*above, *report.headline, *below)), Style(max_rows=MAX_ROWS))

    def page(
        self,
        *,
        layer: Sequence[int] | None = None,
        time: Sequence[int] | None = None,
        unit: Sequence[int] | None = None,
        item: Sequence[int] | None = None,
        digits: int = 4,
    ) -> "Page":
        """An interactive page, as `rnntrace run --format page` writes it: a notebook shows it, and `save` keeps it in a file.

        It plays the layers, steps, units and items that are named, all of them where none are. Raises UsageError if there is
        more than a page can hold.
        """
        from rnntrace.report.run import run_report
        from rnntrace.report.select import View
        from rnntrace.verbs.page import page_of

        return page_of(run_report(self, View(layers=layer, times=time, units=unit, items=item)), digits)

    @property
    def title(self) -> str:
        """What stands above the tables, if anything."""
        return self.name

    def _repr_latex_(self) -> str:
        """The equations of the cell, typeset."""
        from rnntrace.render.layout import typeset
        from rnntrace.report.explain import equations

        return typeset(equations(self.spec))


def displayed(result: Result) -> DisplayedResult:
    """A result that shows itself."""
    return DisplayedResult(**{field.name: getattr(result, field.name) for field in fields(result)})
