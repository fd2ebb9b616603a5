"""Flags in groups. Each flag is declared once, in `options` or `judging_options`; a command takes groups of them.

    @grouped
    def show(trace: Path, view: ViewFlags, written: OutputFlags) -> int: ...

is for typer a command with every flag of these groups as a parameter of its own.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, get_type_hints

from rnntrace.cli import judging_options, options
from rnntrace.cli.choices import Capture, Distribution, DtypeName, Format, ReplayMode, When


@dataclass(frozen=True)
class ModuleFlags:
    """A module, as it is built."""

    input_size: options.InputSize = None
    hidden: options.Hidden = 2
    layers: options.Layers = 1
    bidirectional: options.Bidirectional = False
    no_bias: options.NoBias = False
    nonlinearity: options.NonlinearityOption = None
    proj_size: options.ProjSize = 0
    dropout: options.Dropout = 0.0
    batch_first: options.BatchFirst = False
    weights: options.WeightsSource = None
    layout: options.Layout = None
    dtype: options.Dtype = DtypeName.FLOAT32


@dataclass(frozen=True)
class VariantFlags:
    """What a cell has that torch's do not."""

    peepholes: options.Peepholes = False
    coupled: options.Coupled = False
    clip: options.Clip = None
    reset_before: options.ResetBefore = False
    activation: options.ActivationName = None
    recurrent_activation: options.GateActivationName = None
    cell_activation: options.CellActivationName = None
    reverse_activations: options.ReverseActivations = None
    merge: options.MergeOption = None
    layer_norm: options.LayerNorm = False
    independent: options.Independent = False


@dataclass(frozen=True)
class FileFlags:
    """A module in a file, and what the file leaves open."""

    weights: options.WeightsSource = None
    cell: options.CellFile = None
    module: options.Module = None
    names: options.Names = None
    layout: options.Layout = None
    config: options.ConfigFile = None
    ignore: options.Ignore = None
    nonlinearity: options.NonlinearityOption = None
    batch_first: options.BatchFirst = False
    go_backwards: options.GoBackwards = False
    recurrent_activation: options.RecurrentActivation = None
    merge: options.MergeOfFile = None
    reset: options.ResetOfFile = None


@dataclass(frozen=True)
class GivenSignals:
    """x, initial states, lengths and mask that are given."""

    unbatched: options.Unbatched = False
    input: options.Input = None
    axes: options.AxesOrder = None
    text: options.Text = None
    alphabet: options.Alphabet = None
    h0: options.H0 = None
    c0: options.C0 = None
    states: options.States = None
    lengths: options.Lengths = None
    mask: options.Mask = None


@dataclass(frozen=True)
class SignalFlags(GivenSignals):
    """And those that are drawn."""

    steps: options.Steps = None
    batch: options.Batch = None
    dist: options.Dist = Distribution.NORMAL
    seed: options.Seed = None


@dataclass(frozen=True)
class GridFlags:
    """What numbers of a port or a spreadsheet mean: integers of fixed-point arithmetic, columns of a table."""

    scale: options.Scale = None
    zero_point: options.ZeroPoint = 0
    q: options.FixedPoint = None
    columns: options.Columns = None


@dataclass(frozen=True)
class ToleranceFlags:
    """How far apart values may be."""

    tolerance: judging_options.Tolerance = "torch"
    rtol: judging_options.Rtol = None
    atol: judging_options.Atol = None
    lam: judging_options.Lambda = None


@dataclass(frozen=True)
class JudgeFlags(ToleranceFlags):
    """How a replay is run and judged."""

    capture: judging_options.CaptureOption = Capture.AUTO
    no_drift: judging_options.NoDrift = False
    mistake: judging_options.MistakeOption = None
    blind: judging_options.Blind = False
    replay: judging_options.Replay = ReplayMode.FREE
    replay_dtype: judging_options.ReplayDtypeOption = None
    device: options.Device = "cpu"


@dataclass(frozen=True)
class GradientFlags:
    """The loss whose gradients are meant, and what is done to them."""

    loss: options.Loss = "sum"
    target: options.Target = None
    grad: options.Grad = None
    truncate: options.Truncate = None
    clip_norm: options.ClipNorm = None
    clip_value: options.ClipValue = None


@dataclass(frozen=True)
class TableFlags:
    """How numbers are written."""

    digits: options.Digits = 4
    max_rows: options.MaxRows = 40


@dataclass(frozen=True)
class ViewFlags(TableFlags):
    """What is shown."""

    show: options.Show = "gates,states"
    layer: options.Layer = None
    time: options.Time = None
    unit: options.Unit = None
    item: options.Item = None


@dataclass(frozen=True)
class OutputFlags:
    """Where a report goes, and how it looks."""

    format: options.FormatOption = Format.TABLE
    output: options.OutputFile = None
    color: options.Color = When.AUTO


@dataclass(frozen=True)
class VerdictFlags(OutputFlags):
    """And whether anything but the verdict is wanted."""

    quiet: options.Quiet = False


@dataclass(frozen=True)
class LimitFlags:
    """What a command may take that reads files which others may have written."""

    timeout: options.Timeout = None
    max_memory: options.MaxMemory = None


def grouped(command: Callable[..., int]) -> Callable[..., int]:
    """The command with the flags of its groups in their place."""
    groups: dict[str, Any] = {name: hint for name, hint in get_type_hints(command).items() if is_dataclass(hint)}
    hints, parameters = get_type_hints(command, include_extras=True), []
    for name, parameter in signature(command).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        own = get_type_hints(groups[name], include_extras=True)
        parameters += [
            Parameter(flag.name, Parameter.KEYWORD_ONLY, default=flag.default, annotation=own[flag.name])
            for flag in fields(groups[name])
        ]

    @wraps(command)
    def flat(**values: Any) -> int:
        found = {name: group(**{flag.name: values.pop(flag.name) for flag in fields(group)}) for name, group in groups.items()}
        return command(**found, **values)

    parameters = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
    own_hints = {parameter.name: parameter.annotation for parameter in parameters}
    flat.__signature__ = signature(command).replace(parameters=parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = own_hints | {"return": int}
    return flat


def flags_of(*groups: Any) -> dict[str, Any]:
    """Every flag of these groups, by its name."""
    return {name: value for group in groups for name, value in asdict(group).items()}
