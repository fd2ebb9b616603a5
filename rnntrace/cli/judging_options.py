"""The flags that say how a replay is run and judged."""

from typing import Annotated

import typer

from rnntrace.cli.choices import Capture, ReplayDtype, ReplayMode
from rnntrace.cli.options import JUDGING

MistakeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mistake",
        metavar="ID",
        help="Replay with a deliberate mistake, to see what it looks like: an id of `rnntrace mistakes`; several joined by +.",
        rich_help_panel=JUDGING,
    ),
]
Blind = Annotated[
    bool,
    typer.Option(
        "--blind",
        help="List the mistakes this run could not reveal, and what would reveal them.",
        rich_help_panel=JUDGING,
    ),
]
CaptureOption = Annotated[
    Capture, typer.Option("--capture", help="Capture torch's own gates; auto: up to a size limit.", rich_help_panel=JUDGING)
]
Tolerance = Annotated[
    str,
    typer.Option(
        "--tolerance",
        metavar="torch|rounding|exact|ulp:N|decimals:N",
        help="torch: as torch.testing for the dtype; rounding: what rounding can explain; exact: none; ulp:N: N units in the "
        "last place; decimals:N: half a unit of the Nth decimal.",
        rich_help_panel=JUDGING,
    ),
]
Rtol = Annotated[
    float | None,
    typer.Option("--rtol", help="Relative tolerance; if given, only it and --atol decide.", rich_help_panel=JUDGING),
]
Atol = Annotated[
    float | None,
    typer.Option("--atol", help="Absolute tolerance; if given, only it and --rtol decide.", rich_help_panel=JUDGING),
]
NoDrift = Annotated[
    bool,
    typer.Option(
        "--no-drift", help="FAIL, and not PASS (drift), where rounding makes the trajectories diverge.", rich_help_panel=JUDGING
    ),
]
NoRounded = Annotated[
    bool,
    typer.Option(
        "--no-rounded",
        help="FAIL, and not PASS (rounded), where values agree only to the digits typed.",
        rich_help_panel=JUDGING,
    ),
]
Lambda = Annotated[
    float | None,
    typer.Option(
        "--lambda",
        help="Scale of the rounding bound: λ in its probabilistic analysis.",
        show_default="2",
        rich_help_panel=JUDGING,
    ),
]
Replay = Annotated[
    ReplayMode,
    typer.Option(
        "--replay", help="Show the free-running replay, or one forced with torch's own states.", rich_help_panel=JUDGING
    ),
]
ReplayDtypeOption = Annotated[
    ReplayDtype | None,
    typer.Option(
        "--replay-dtype",
        help="Number format of the replay.",
        show_default="the module's, float32 for half types",
        rich_help_panel=JUDGING,
    ),
]
