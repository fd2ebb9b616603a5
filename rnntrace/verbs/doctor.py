"""`check_up`: what there is on this machine for rnntrace to work with."""

import platform
from importlib.metadata import PackageNotFoundError, version

from rnntrace.model import allowance
from rnntrace.model.extras import EXTRAS
from rnntrace.report.doctor import Checkup, Extra
from rnntrace.version import __version__

NEEDED = ("numpy", "torch", "rich", "typer")


def check_up() -> Checkup:
    """Versions, the processor as torch sees it, the path that nn.LSTM takes here, the limits, and the optional packages."""
    from rnntrace.frameworks.torch import run as framework

    versions = {"rnntrace": __version__, "python": platform.python_version()}
    versions |= {name: _version(name) or "not installed" for name in NEEDED}
    extras = (
        Extra(name, _version(package), gives, f"pip install -c constraints.txt 'rnntrace[{name}]'")
        for name, (package, gives) in EXTRAS.items()
    )
    return Checkup(versions, framework.facts() | allowance.facts(), tuple(extras))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
