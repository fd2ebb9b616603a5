"""The report of a comparison: that of a run for each module, and the verdict on all of them."""

from collections.abc import Mapping
from dataclasses import replace

from rnntrace.engine.compare import Verdict
from rnntrace.errors import show
from rnntrace.report.result import Result
from rnntrace.report.run import run_report
from rnntrace.report.select import View
from rnntrace.report.table import SCHEMA, Line, Report
from rnntrace.report.tidy import tidy_rows


def compare_report(file: str, results: Mapping[str, Result], view: View, *, from_shapes: bool = True) -> Report:
    """What `rnntrace compare` tells of the modules in a file, by prefix; `from_shapes` if their specs were told from shapes."""
    reports = {show(prefix): run_report(result, view, "compare") for prefix, result in results.items()}
    if len(reports) == 1:
        ((prefix, report),) = reports.items()
        ((_, result),) = results.items()
        return replace(report, headline=((_name(file, prefix), ()), *report.headline, *_taken(result, from_shapes)))
    lines: list[Line] = []
    for (prefix, report), result in zip(reports.items(), results.values(), strict=True):
        lines += [((prefix, *report.headline[0][0]), report.headline[0][1]), *report.headline[1:]]
        lines += _taken(result, from_shapes)
    return Report(
        headline=(((file, f"{len(reports)} modules"), ()), *lines),
        tables=tuple(
            replace(table, title=f"{prefix} · {table.title}") for prefix, report in reports.items() for table in report.tables
        ),
        conclusion=_conclusion(results, reports),
        passed=all(report.passed for report in reports.values()),
        document={
            "schema": SCHEMA,
            "command": "compare",
            "passed": all(report.passed for report in reports.values()),
            "modules": [
                {"module": prefix, **report.document} for prefix, report in zip(results, reports.values(), strict=True)
            ],
        },
        warnings=tuple(f"{prefix}: {warning}" for prefix, report in reports.items() for warning in report.warnings),
        rows=tidy_rows(dict(zip(reports, results.values(), strict=True)), view),
    )


def _taken(result: Result, from_shapes: bool) -> tuple[Line, ...]:
    """What no shape tells, and which it was taken for."""
    words = [word for word in (result.spec.nonlinearity, "" if result.spec.is_cell else _order(result)) if word]
    if not from_shapes or not words:
        return ()
    return (((f"not told by shapes, and taken for: {', '.join(words)}",), ()),)


def _order(result: Result) -> str:
    return "batch first" if result.spec.batch_first else "time first"


def _name(file: str, prefix: str) -> tuple[str, ...]:
    return (file, prefix) if prefix else (file,)


def _conclusion(results: Mapping[str, Result], reports: Mapping[str, Report]) -> tuple[str, ...]:
    """The worst verdict first, then every module's own."""
    severity = [Verdict.FAIL, Verdict.UNDECIDED, Verdict.DRIFT, Verdict.PASS, Verdict.IDENTICAL]
    worst = min((result.verdict for result in results.values()), key=severity.index)
    agree = sum(result.passed for result in results.values())
    return (
        f"{worst}  {agree} of {len(results)} modules agree",
        *(f"{prefix}: {' · '.join(report.conclusion)}" for prefix, report in reports.items()),
    )
