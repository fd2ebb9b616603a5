"""`inspect`: what there is in a file of weights, or in weights in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnntrace.files.ignored import Ignored
from rnntrace.report.inspect import Inspection, inspect_report
from rnntrace.report.table import Report
from rnntrace.verbs.given.arrays import label_of
from rnntrace.verbs.given.keywords import several
from rnntrace.verbs.given.modules import check_judged, check_layout, modules_of
from rnntrace.verbs.shown import Shown


@dataclass(frozen=True, repr=False)
class ShownInspection(Shown, Inspection):
    """An inspection that shows itself; with `statistics` also how the weights of each gate are spread."""

    statistics: bool = False

    def report(self) -> Report:
        """A table of modules, and of the weights of each if that was asked for."""
        return inspect_report(self, weights=self.statistics)


def inspect(
    file: Any,
    *,
    weights: bool = False,
    names: str | Sequence[str] = (),
    layout: str | None = None,
    config: Any = None,
    ignore: str | Sequence[str] = (),
) -> ShownInspection:
    """What a file of weights holds: its recurrent modules as in `load`, those that are refused, and how many other tensors.

    Weights in memory may stand for the file. `config` is as in `load`. With `weights` it also shows how those of each gate
    are spread. Raises as `load` does, but not for a module of which it can tell what it is: that is listed.
    """
    ignored = Ignored(several(ignore))
    contents = modules_of(file, several(names), ignored, layout, config=config)
    check_layout(layout, {label_of(file): contents.modules})
    ignored.check()
    if contents.only_wrong:
        check_judged(file, contents)
    flags = {"names": several(names), "layout": layout, "config": config, "ignore": several(ignore)}
    on_disk = isinstance(file, str | Path) and all(
        value is None or isinstance(value, str | Path | tuple) for value in flags.values()
    )
    return ShownInspection(
        label_of(file),
        contents.modules,
        contents.others,
        contents.refused,
        neighbours=contents.neighbours,
        source=str(file) if on_disk else "",
        flags={name: str(value) if isinstance(value, Path) else value for name, value in flags.items()},
        statistics=weights,
    )
