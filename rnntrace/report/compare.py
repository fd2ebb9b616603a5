"""The report of a comparison: that of a run for each module, and the verdict on all of them."""

from collections.abc import Mapping
from dataclasses import replace

from rnntrace.engine.judge.result import Result
from rnntrace.engine.judge.verdict import Verdict
from rnntrace.errors import show
from rnntrace.report.panels import heat
from rnntrace.report.run import plays, run_report
from rnntrace.report.select import View
from rnntrace.report.table import SCHEMA, Line, Report
from rnntrace.report.tidy import tidy_rows


def compare_report(file: str, results: Mapping[str, Result], view: View) -> Report:
    """What `rnntrace compare` tells of the modules in a file, by prefix."""
    reports = {show(prefix): run_report(result, view, "compare") for prefix, result in results.items()}
    if len(reports) == 1:
        ((name, report),) = reports.items()
        ((prefix, result),) = results.items()
        return replace(
            report,
            headline=((_name(file, name), ()), *report.headline, *_taken(result)),
            document={**report.document, "file": file, "module": prefix, "assumed": list(result.assumed)},
        )
    lines: list[Line] = []
    for (name, report), result in zip(reports.items(), results.values(), strict=True):
        lines += [((name, *report.headline[0][0]), report.headline[0][1]), *report.headline[1:]]
        lines += _taken(result)
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
                {"module": prefix, "assumed": list(result.assumed), **report.document}
                for (prefix, result), report in zip(results.items(), reports.values(), strict=True)
            ],
        },
        warnings=tuple(f"{prefix}: {warning}" for prefix, report in reports.items() for warning in report.warnings),
        rows=tidy_rows(dict(zip(reports, results.values(), strict=True)), view),
        panels=heat(results, view),
        plays=lambda: plays(results, view),
    )


def _taken(result: Result) -> tuple[Line, ...]:
    """What the file does not tell, and which it was taken for."""
    spec = result.spec
    taken = {
        "nonlinearity": spec.nonlinearity,
        "batch_first": "batch first" if spec.batch_first else "time first",
        "direction": "reverse" if spec.reverse else "forward",
        "recurrent_activation": f"gates {spec.recurrent_activation}",
        "reset_after": f"reset {'after' if spec.reset_after else 'before'} the product",
    }
    words = [word for name, word in taken.items() if name in result.assumed and word]
    return (((f"not recorded in the file, assumed: {', '.join(words)}",), ()),) if words else ()


def _name(file: str, prefix: str) -> tuple[str, ...]:
    return (file, prefix) if prefix else (file,)


def _counted(results: Mapping[str, Result]) -> str:
    """How many results there are: of modules, or of one module that was judged by several sides."""
    sides = {result.observation.framework for result in results.values()}
    return f"{len(results)} " + ("modules" if len(sides) == 1 else "sides")


def worst(results: Mapping[str, Result]) -> Verdict:
    """The verdict on all of them together."""
    severity = [Verdict.FAIL, Verdict.UNDECIDED, Verdict.DRIFT, Verdict.ROUNDED, Verdict.PASS, Verdict.IDENTICAL]
    return min((result.verdict for result in results.values()), key=severity.index)


def _conclusion(results: Mapping[str, Result], reports: Mapping[str, Report]) -> tuple[str, ...]:
    """The worst verdict first, then every module's own."""
    agree = sum(result.passed for result in results.values())
    return (
        f"{worst(results)}  {agree} of {_counted(results)} agree",
        *(f"{prefix}: {' · '.join(report.conclusion)}" for prefix, report in reports.items()),
    )
