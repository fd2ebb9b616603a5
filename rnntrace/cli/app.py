"""The typer application, and the one place where errors become a line and an exit code."""

import gc
import os
import re
import signal
import sys
import traceback
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from rnntrace.cli.backward import backward
from rnntrace.cli.cells import cells
from rnntrace.cli.command import HELP_FLAGS, IN_CHILD, Command
from rnntrace.cli.compare import compare
from rnntrace.cli.completion import completed
from rnntrace.cli.diagnose import diagnose
from rnntrace.cli.doctor import doctor
from rnntrace.cli.exercise import exercise
from rnntrace.cli.explain import explain
from rnntrace.cli.grade import grade
from rnntrace.cli.inspect import inspect
from rnntrace.cli.layouts import layouts
from rnntrace.cli.limited import Ended, own_exit_code
from rnntrace.cli.mistakes import mistakes
from rnntrace.cli.plot import plot
from rnntrace.cli.run import run
from rnntrace.cli.show import show
from rnntrace.cli.stderr import give_up, say
from rnntrace.cli.worksheet import worksheet
from rnntrace.errors import ExitCode, RnnTraceError, shortened
from rnntrace.version import __version__

app = typer.Typer(
    name="rnntrace",
    help="See inside recurrent networks: every gate and state, step by step, beside the framework's own result.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="To begin: rnntrace run lstm --hidden 2, and rnntrace COMMAND --help, which begins with examples.\n\n"
    "Exit codes: 0 agrees, 1 does not agree or could not be judged, 2 the request could not be carried out.",
)
OF_RUNS = (run, compare, backward, diagnose, mistakes, inspect, explain, cells, show, plot, layouts)
COMMANDS = (*OF_RUNS, exercise, worksheet, grade, doctor)
for command in COMMANDS:
    app.command(cls=Command, context_settings={"help_option_names": HELP_FLAGS})(completed(command))


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"rnntrace {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """See inside recurrent networks: every gate and state, step by step, beside the framework's own result."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code: nothing but a verdict ends it with 1."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)
    for name in ("COLUMNS", "LINES"):
        # What is no number of columns is an error inside rich and typer.
        if not re.fullmatch("[0-9]{1,6}", os.environ.get(name, "")):
            os.environ.pop(name, None)
    try:
        code = exit_code(arguments, in_child=True)
    except Ended as ended:
        # The child has done everything, or all is cut off: to take apart what was imported takes longer than the fork did.
        os._exit(own_exit_code(_flushed(int(ended.code or ExitCode.AGREES))))
    except SystemExit:
        # Of rich, when nobody reads the help to its end.
        code = ExitCode.AGREES
    except Exception:
        # A mistake of ours, not of the request: no verdict, and a code that no verdict has.
        with suppress(OSError):
            traceback.print_exc()
        code = ExitCode.BROKEN
    code = _flushed(code)
    # The system takes back all that is left. Looking through torch's modules for garbage first takes a tenth of a run.
    gc.freeze()
    sys.exit(own_exit_code(code))


def _stop(number: int, frame: object) -> None:
    """End as an exception does, so that no file in the making is left behind."""
    raise Ended(128 + number)


def _flushed(code: int) -> int:
    """The exit code once everything is written; Python would write it while it ends, and make an error of that 120."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            give_up(stream)
            if stream is sys.stdout and not isinstance(error, BrokenPipeError):
                code = _refuse(f"cannot write to stdout: {getattr(error, 'strerror', None) or error}")
    return code


def exit_code(arguments: list[str] | None = None, *, in_child: bool = False) -> int:
    """Run the command line; everything that a user can get wrong becomes one line on stderr.

    A command that is carried out `in_child` goes on in a process of its own, and this one raises Ended.
    """
    try:
        context = {IN_CHILD: True} if in_child else {}
        done = _command()(args=arguments, prog_name="rnntrace", standalone_mode=False, obj=context)
        code = int(done or ExitCode.AGREES)
    except RnnTraceError as error:
        return _refuse(str(error))
    except TyperException as error:
        from rnntrace.cli.misuse import explained

        # Without arguments the help has been printed, and there is nothing to add.
        message = explained(error, {command.__name__: command for command in COMMANDS})
        return _refuse(shortened(message)) if message else ExitCode.REFUSED
    except ImportError as error:
        if (error.name or "").startswith("rnntrace"):
            raise
        return _refuse(f"{error.name or 'a package'} cannot be imported: {str(error).strip().rpartition(chr(10))[2]}")
    except OSError as error:
        # Of files of ours a FileError tells. This is of stdout, or of a system that has no more of something.
        return _refuse(f"the system refuses: {error}")
    except MemoryError:
        return _refuse("there is not enough memory")
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    except RuntimeError as error:
        # Python 3.11 makes this of an interrupt that comes while a class is made.
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        code = ExitCode.INTERRUPTED
    # Typer makes an interrupt this code and says nothing.
    if code == ExitCode.INTERRUPTED:
        say("interrupted")
    return code


def _command() -> Any:
    """What typer makes of the application."""
    command: Any = get_command(app)
    for flag in command.get_params(typer.Context(command, **command.context_settings)):
        # typer's own flags, such as --help, are None where they are not given. For that pydantic is loaded, and for False not.
        flag.default = flag.default or False
    return command


def _refuse(message: str) -> int:
    say(f"error: {message}")
    return ExitCode.REFUSED
