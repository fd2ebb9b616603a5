"""Whole commands against a Python that imports what they cannot do without."""

import tempfile
from compileall import compile_dir
from pathlib import Path

from measure import Figure, in_turns, process

EMPTY = """
import typer
from typing import Annotated
names = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, context_settings=names)
@app.callback()
def options() -> None:
    "Empty."
@app.command()
def nothing(what: Annotated[str, typer.Argument()], many: Annotated[int, typer.Option()] = 1) -> None:
    "Nothing."
    import numpy, rich.table
app()
"""


def figures(pairs: int) -> list[Figure]:
    """Each command, on files of a small LSTM."""
    import numpy as np
    import safetensors.numpy
    import torch

    import rnntrace

    # As it is once installed: the peer's modules have their bytecode too.
    compile_dir(Path(rnntrace.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        module, x = torch.nn.LSTM(3, 2), torch.randn(4, 1, 3)
        with torch.no_grad():
            output, (h_n, c_n) = module(x)
        weights = {key: value.numpy() for key, value in module.state_dict().items()}
        np.savez(folder / "w.npz", **weights)
        safetensors.numpy.save_file(weights, folder / "w.safetensors")
        np.savez(folder / "x.npz", x=x.numpy())
        np.savez(folder / "out.npz", output=output.numpy(), h_n=h_n.numpy(), c_n=c_n.numpy())
        (folder / "empty.py").write_text(EMPTY)
        trace, given = str(folder / "t.npz"), ("--input", str(folder / "x.npz"), "--expected", str(folder / "out.npz"))
        process("-m", "rnntrace", "run", "lstm", "--seed", "1", "-q", "--save", trace)()
        run = ("run", "lstm", "--hidden", "2", "--seed", "1")
        imports, app = process("-c", "import numpy, typer, rich.table"), process(str(folder / "empty.py"), "nothing", "x")
        found = [
            in_turns("run", "H=2", "import torch", process("-m", "rnntrace", *run), process("-c", "import torch"), 1.2, pairs),
            in_turns(
                "--help",
                "",
                "--help of an empty app",
                process("-m", "rnntrace", "--help"),
                process(str(folder / "empty.py"), "--help"),
                1.25,
                pairs,
            ),
            in_turns("an empty app", "", "import numpy, typer, rich.table", app, imports, None, pairs),
        ]
        for command, *arguments in (
            ("explain", "lstm"),
            ("layouts",),
            ("show", trace),
            ("inspect", str(folder / "w.npz")),
            ("inspect", str(folder / "w.safetensors")),
            ("compare", str(folder / "w.npz"), *given),
            ("compare", str(folder / "w.safetensors"), *given),
        ):
            work, size = process("-m", "rnntrace", command, *arguments), Path(arguments[0]).suffix if arguments else ""
            found.append(in_turns(command, size, "import numpy, typer, rich.table", work, imports, 2.0, pairs))
            found.append(in_turns(command, size, "an empty app with numpy and rich", work, app, None, pairs))
        return found
