"""The report of a comparison: that of a run for each module, and the verdict on all of them."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.errors import show
from rnntrace.report.panels import heat
from rnntrace.report.run import run_report
from rnntrace.report.select import View
from rnntrace.report.table import SCHEMA, Line, Report
from rnntrace.report.tidy import tidy_rows


def compare_report(
    file: str, results: Mapping[str, Result], view: View, assumed: Mapping[str, tuple[str, ...]] | None = None
) -> Report:
    """What `rnntrace compare` tells of the modules in a file, by prefix; `assumed` are the fields the file does not tell."""
    assumed = assumed or {}
    reports = {show(prefix): run_report(result, view, "compare") for prefix, result in results.items()}
    if len(reports) == 1:
        ((name, report),) = reports.items()
        ((prefix, result),) = results.items()
        taken = assumed.get(prefix, ())
        return replace(
            report,
            headline=((_name(file, name), ()), *report.headline, *_taken(result, taken)),
            document={**report.document, "file": file, "module": prefix, "assumed": list(taken)},
        )
    lines: list[Line] = []
    for (name, report), (prefix, result) in zip(reports.items(), results.items(), strict=True):
        lines += [((name, *report.headline[0][0]), report.headline[0][1]), *report.headline[1:]]
        lines += _taken(result, assumed.get(prefix, ()))
    return Report(
        headline=(((file, _counted(results)), ()), *lines),
        tables=tuple(
            replace(table, title=f"{prefix} · {table.title}") for prefix, report in reports.items() for table in report.tables
        ),
        conclusion=_conclusion(results, reports),
        passed=all(report.passed for report in reports.values()),
        document={
            "schema": SCHEMA,
            "command": "compare",
            "file": file,
            "passed": all(report.passed for report in reports.values()),
            "modules": [
                {"module": prefix, "assumed": list(assumed.get(prefix, ())), **report.document}
                for prefix, report in zip(results, reports.values(), strict=True)
            ],
        },
        warnings=tuple(f"{prefix}: {warning}" for prefix, report in reports.items() for warning in report.warnings),
        rows=tidy_rows(dict(zip(reports, results.values(), strict=True)), view),
        panels=heat(results, view),
    )


def _taken(result: Result, assumed: Collection[str]) -> tuple[Line, ...]:
    """What the file does not tell, and which it was taken for."""
    spec = result.spec
    taken = {
        "nonlinearity": spec.nonlinearity,
        "batch_first": "batch first" if spec.batch_first else "time first",
        "direction": "reverse" if spec.reverse else "forward",
        "recurrent_activation": f"gates {spec.recurrent_activation}",
    }
    words = [word for name, word in taken.items() if name in assumed and word]
    return (((f"not told by the file, and taken for: {', '.join(words)}",), ()),) if words else ()


def _name(file: str, prefix: str) -> tuple[str, ...]:
    return (file, prefix) if prefix else (file,)


def _counted(results: Mapping[str, Result]) -> str:
    """How many results there are: of modules, or of one module that was judged by several sides."""
    sides = {result.observation.framework for result in results.values()}
    return f"{len(results)} " + ("modules" if len(sides) == 1 else "sides")


def _conclusion(results: Mapping[str, Result], reports: Mapping[str, Report]) -> tuple[str, ...]:
    """The worst verdict first, then every module's own."""
    severity = [Verdict.FAIL, Verdict.UNDECIDED, Verdict.DRIFT, Verdict.ROUNDED, Verdict.PASS, Verdict.IDENTICAL]
    worst = min((result.verdict for result in results.values()), key=severity.index)
    agree = sum(result.passed for result in results.values())
    return (
        f"{worst}  {agree} of {_counted(results)} agree",
        *(f"{prefix}: {' · '.join(report.conclusion)}" for prefix, report in reports.items()),
    )
