"""The flags that commands share, in the groups of the help; those of judging are in `judging_options`."""

from pathlib import Path
from typing import Annotated

import typer

from rnntrace.cli.choices import (
    Distribution,
    DtypeName,
    Format,
    GateActivation,
    Keep,
    Merge,
    PlotKind,
    Reset,
    When,
)

MODULE, SIGNALS, JUDGING, VIEW, OUTPUT, LIMITS = "Module", "Input", "Judging", "View", "Output", "Limits"
VARIANTS = "Variants (torch lacks them)"
GRADIENTS = "Gradients"
CLASS = "Class"


Sizes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SIZES",
        help="Input size and hidden size, as torch writes them: LSTM 3 2, or in one word 'LSTM(3, 2, num_layers=2)'.",
        show_default=False,
    ),
]
GoBackwards = Annotated[
    bool,
    typer.Option(
        "--go-backwards",
        help="Treat the layer as go_backwards=True (weights-only files do not record it).",
        rich_help_panel=MODULE,
    ),
]
InputSize = Annotated[
    int | None,
    typer.Option(
        "--input-size",
        "-i",
        help="Size of x at each step; with --text, the alphabet's.",
        show_default="3",
        rich_help_panel=MODULE,
    ),
]
Hidden = Annotated[int, typer.Option("--hidden", "-H", help="Size of the hidden state.", rich_help_panel=MODULE)]
Layers = Annotated[int, typer.Option("--layers", "-l", help="Number of stacked layers.", rich_help_panel=MODULE)]
Bidirectional = Annotated[
    bool,
    typer.Option(
        "--bidirectional", "-b", help="Run a second direction, from the last step to the first.", rich_help_panel=MODULE
    ),
]
NoBias = Annotated[bool, typer.Option("--no-bias", help="Leave out both biases.", rich_help_panel=MODULE)]
NonlinearityOption = Annotated[
    str | None,
    typer.Option(
        "--nonlinearity",
        metavar="NAME",
        help="Activation of an RNN: tanh, relu, or another one as for --activation.",
        show_default="tanh",
        rich_help_panel=MODULE,
    ),
]
ProjSize = Annotated[
    int,
    typer.Option("--proj-size", help="Project the hidden state of an LSTM to this size; 0 for none.", rich_help_panel=MODULE),
]
Dropout = Annotated[
    float,
    typer.Option(
        "--dropout", help="Accepted as in torch; dropout only acts in training, and this is eval mode.", rich_help_panel=MODULE
    ),
]
BatchFirst = Annotated[
    bool,
    typer.Option(
        "--batch-first", help="x and output are (batch, time, ·) instead of (time, batch, ·).", rich_help_panel=MODULE
    ),
]
WeightsSource = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE|JSON",
        help="Load weights: a state_dict as .pt, .safetensors, .npz, .json or typed as JSON; .onnx; .keras or .h5.",
        rich_help_panel=MODULE,
    ),
]
Module = Annotated[
    str | None,
    typer.Option("--module", metavar="NAME", help="The module with this prefix, in a file of several.", rich_help_panel=MODULE),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--names",
        metavar="PART=PATTERN",
        help="Names of a custom module: 'weight_ih=W_ih{_reverse}.{layer}', 'weight_ih=W_{gate}x'; once for each part.",
        rich_help_panel=MODULE,
    ),
]
Layout = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="NAME",
        help="Whose plain arrays the weights are: keras, tf1, onnx, matlab, cs231n, … as `rnntrace layouts` lists them.",
        show_default="told by the names of the arrays",
        rich_help_panel=MODULE,
    ),
]
RecurrentActivation = Annotated[
    GateActivation | None,
    typer.Option(
        "--recurrent-activation",
        help="Activation of the gates, if the file does not record it; hard_sigmoid is that of the Keras that wrote the file.",
        show_default="as the file has it",
        rich_help_panel=MODULE,
    ),
]
CellFile = Annotated[
    str | None,
    typer.Option(
        "--cell",
        metavar="FILE",
        help="A cell of your own, as equations in a text file; `rnntrace cells` gives texts to begin with.",
        show_default=False,
        rich_help_panel=MODULE,
    ),
]
GateActivationName = Annotated[
    str | None,
    typer.Option(
        "--recurrent-activation",
        metavar="NAME",
        help="Activation of the gates, as for --activation.",
        show_default="sigmoid",
        rich_help_panel=VARIANTS,
    ),
]
ActivationName = Annotated[
    str | None,
    typer.Option(
        "--activation",
        metavar="NAME",
        help="Activation of the candidate: a name of Keras or ONNX, with its numbers: relu, hard_sigmoid, elu:0.5.",
        show_default="tanh",
        rich_help_panel=VARIANTS,
    ),
]
CellActivationName = Annotated[
    str | None,
    typer.Option(
        "--cell-activation",
        metavar="NAME",
        help="Activation of an LSTM's cell state on its way to h.",
        show_default="that of the candidate",
        rich_help_panel=VARIANTS,
    ),
]
ReverseActivations = Annotated[
    str | None,
    typer.Option(
        "--reverse-activations",
        metavar="A,B,C",
        help="Activations of the reverse direction: of gates, candidate and cell state, as far as there are such.",
        show_default="as forward",
        rich_help_panel=VARIANTS,
    ),
]
MergeOption = Annotated[
    Merge | None,
    typer.Option(
        "--merge",
        help="How two directions are joined, as in Keras' Bidirectional.",
        show_default="concat",
        rich_help_panel=VARIANTS,
    ),
]
MergeOfFile = Annotated[
    Merge | None,
    typer.Option(
        "--merge",
        help="How two directions are joined, if the file does not record it.",
        show_default="as the file has it",
        rich_help_panel=MODULE,
    ),
]
ResetOfFile = Annotated[
    Reset | None,
    typer.Option(
        "--reset",
        help="Where the reset gate of a GRU acts, seen from the matrix product, if the file does not record it.",
        show_default="as the file has it",
        rich_help_panel=MODULE,
    ),
]
Peepholes = Annotated[
    bool, typer.Option("--peepholes", help="Gates of an LSTM see the cell state, unit by unit.", rich_help_panel=VARIANTS)
]
Coupled = Annotated[bool, typer.Option("--coupled", help="The forget gate of an LSTM is 1 - i.", rich_help_panel=VARIANTS)]
Clip = Annotated[
    float | None,
    typer.Option(
        "--clip",
        help="Cut off the sums inside activations at plus and minus this.",
        show_default="none",
        rich_help_panel=VARIANTS,
    ),
]
LayerNorm = Annotated[
    bool, typer.Option("--layer-norm", help="Layer norm of each gate's sum and of the cell state.", rich_help_panel=VARIANTS)
]
Independent = Annotated[
    bool, typer.Option("--independent", help="A unit of an RNN sees its own state alone (IndRNN).", rich_help_panel=VARIANTS)
]
ResetBefore = Annotated[
    bool,
    typer.Option("--reset-before", help="A GRU whose reset gate acts before the matrix product.", rich_help_panel=VARIANTS),
]
ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="What Keras' weights alone (.h5) are the weights of: model.to_json() in a file.",
        rich_help_panel=MODULE,
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="PATTERN",
        help="Arrays to leave out of every file, such as 'ln_*'; may be repeated.",
        rich_help_panel=MODULE,
    ),
]
Dtype = Annotated[DtypeName, typer.Option("--dtype", help="Number format of the module.", rich_help_panel=MODULE)]
Framework = Annotated[
    str | None,
    typer.Option(
        "--framework",
        metavar="NAME",
        help="The framework beside which the replay is judged: torch, keras or onnxruntime.",
        show_default="torch, or one that has the variant",
        rich_help_panel=JUDGING,
    ),
]
Device = Annotated[str, typer.Option("--device", help="Device that torch runs on.", rich_help_panel=MODULE)]

Steps = Annotated[
    int | None, typer.Option("--steps", "-T", help="Number of time steps.", show_default="4", rich_help_panel=SIGNALS)
]
Batch = Annotated[
    int | None,
    typer.Option("--batch", "-B", help="Number of sequences in the batch.", show_default="1", rich_help_panel=SIGNALS),
]
Unbatched = Annotated[
    bool, typer.Option("--unbatched", help="Feed x as (time, input), without a batch.", rich_help_panel=SIGNALS)
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="FILE|JSON",
        help="x from .npy, .npz, .csv, .json, .pt, .safetensors or typed as JSON; keys x, h0, c0, lengths, mask give all.",
        rich_help_panel=SIGNALS,
    ),
]
AxesOrder = Annotated[
    str | None,
    typer.Option(
        "--axes",
        metavar="ORDER",
        help="Order of the axes of x and other sequences, given and expected, such as unit,batch,time; states lack time.",
        show_default="the module's own",
        rich_help_panel=SIGNALS,
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAME=A-B,…",
        help="Columns of a table (CSV, text) by name, from 1: 'x=2-4' of --input, 'h=5-8,i=9-12' of --expected.",
        show_default="by their headings",
        rich_help_panel=JUDGING,
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        "--scale",
        metavar="NUMBER",
        help="Step of a fixed-point grid, such as 1/128: integers of --expected and of weights become numbers.",
        show_default=False,
        rich_help_panel=JUDGING,
    ),
]
ZeroPoint = Annotated[int, typer.Option("--zero-point", metavar="N", help="The integer that means 0.", rich_help_panel=JUDGING)]
FixedPoint = Annotated[
    str | None,
    typer.Option(
        "--q",
        metavar="M.N",
        help="The grid of a fixed-point format: 1.15 is --scale 2**-15.",
        show_default=False,
        rich_help_panel=JUDGING,
    ),
]
Text = Annotated[
    list[str] | None,
    typer.Option(
        "--text", help="x from text, one-hot; several texts between commas or by repeating it.", rich_help_panel=SIGNALS
    ),
]
Alphabet = Annotated[
    str | None,
    typer.Option(
        "--alphabet",
        help="The characters of --text in order.",
        show_default="those that occur, sorted",
        rich_help_panel=SIGNALS,
    ),
]
H0 = Annotated[
    str | None,
    typer.Option(
        "--h0",
        metavar="zeros|random|FILE|JSON",
        help="Initial hidden state.",
        show_default="zeros, or what an ONNX model holds",
        rich_help_panel=SIGNALS,
    ),
]
C0 = Annotated[
    str | None,
    typer.Option(
        "--c0",
        metavar="zeros|random|FILE|JSON",
        help="Initial cell state of an LSTM.",
        show_default="zeros, or what an ONNX model holds",
        rich_help_panel=SIGNALS,
    ),
]
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="m0=VALUES",
        help="Initial state of another name, with values as of --h0; may be repeated.",
        show_default=False,
        rich_help_panel=SIGNALS,
    ),
]
Lengths = Annotated[
    str | None,
    typer.Option("--lengths", metavar="5,3,2", help="Length of each sequence: the batch is packed.", rich_help_panel=SIGNALS),
]
Mask = Annotated[
    str | None,
    typer.Option(
        "--mask",
        metavar="FILE|JSON",
        help="1 at steps that count, 0 where a state is handed on; in the shape of x without its last axis.",
        rich_help_panel=SIGNALS,
    ),
]
Dist = Annotated[
    Distribution, typer.Option("--dist", help="What is drawn: normal (0, 1) or uniform [0, 1).", rich_help_panel=SIGNALS)
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        help="Seed for parameters, x, h0 and c0, drawn in that order.",
        show_default="drawn and printed",
        rich_help_panel=SIGNALS,
    ),
]

Show = Annotated[
    str,
    typer.Option(
        "--show",
        help="What to show: input, gates, states, terms, weights, outputs or all; heat for gates and states as coloured cells.",
        rich_help_panel=VIEW,
    ),
]
Layer = Annotated[str | None, typer.Option("--layer", metavar="0,2", help="Layers to show, from 0.", rich_help_panel=VIEW)]
Time = Annotated[
    str | None,
    typer.Option(
        "--time", metavar="2:4", help="Steps to show, both ends included; t = 0 is the initial state.", rich_help_panel=VIEW
    ),
]
Unit = Annotated[str | None, typer.Option("--unit", metavar="0:3", help="Units to show, from 0.", rich_help_panel=VIEW)]
Item = Annotated[
    str | None, typer.Option("--item", metavar="0", help="Items of the batch to show, from 0.", rich_help_panel=VIEW)
]
Digits = Annotated[int, typer.Option("--digits", min=0, max=17, help="Digits after the point.", rich_help_panel=VIEW)]
MaxRows = Annotated[
    int, typer.Option("--max-rows", min=0, help="Longest table shown in full; 0 for no limit.", rich_help_panel=VIEW)
]

FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to write the result.", rich_help_panel=OUTPUT)]
OutputFile = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the result to a file instead.", rich_help_panel=OUTPUT),
]
Save = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Save the trace as .npz or .safetensors.", rich_help_panel=OUTPUT),
]
KeepOption = Annotated[
    Keep | None,
    typer.Option(
        "--keep",
        help="What a trace keeps: states alone, gates too, or the affine terms of the gates as well.",
        show_default="gates, or terms where --show names them",
        rich_help_panel=OUTPUT,
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Draw every gate and state, and crosses where it fails: .png, .svg or .pdf.",
        rich_help_panel=OUTPUT,
    ),
]
PlotKindOption = Annotated[
    PlotKind,
    typer.Option("--plot-kind", help="What --plot draws; difference: replay against framework.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print only the verdict; json, jsonl and csv stay complete.", rich_help_panel=OUTPUT),
]
Color = Annotated[When, typer.Option("--color", help="When to colour.", rich_help_panel=OUTPUT)]

Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        help="Time limit, including the libraries that read the files; 0 for no limit. Also RNNTRACE_TIMEOUT.",
        show_default="60, and 60 more per GiB of the files",
        rich_help_panel=LIMITS,
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Memory limit: 512M, 2GiB; 0 for no limit. Also RNNTRACE_MAX_MEMORY.",
        show_default="4GiB",
        rich_help_panel=LIMITS,
    ),
]
Loss = Annotated[
    str,
    typer.Option(
        "--loss",
        metavar="sum|last|mse",
        help="The loss: the sum of the output, or of its last step, or the squared error beside --target.",
        rich_help_panel=GRADIENTS,
    ),
]
Target = Annotated[
    str | None,
    typer.Option("--target", metavar="FILE|JSON", help="What the output should be, for --loss mse.", rich_help_panel=GRADIENTS),
]
Grad = Annotated[
    str | None,
    typer.Option(
        "--grad",
        metavar="FILE|JSON",
        help="∂L/∂output, or those of output, h_n and c_n by name, in place of a loss.",
        rich_help_panel=GRADIENTS,
    ),
]
Truncate = Annotated[
    int | None,
    typer.Option(
        "--truncate",
        metavar="K",
        help="Let no gradient go back over a step that is a multiple of K.",
        show_default=False,
        rich_help_panel=GRADIENTS,
    ),
]
ClipNorm = Annotated[
    float | None,
    typer.Option(
        "--clip-norm",
        help="Clip the gradients of all parameters by their norm, as torch.nn.utils does.",
        show_default=False,
        rich_help_panel=GRADIENTS,
    ),
]
ClipValue = Annotated[
    float | None,
    typer.Option("--clip-value", help="Cut them off at this value either side.", show_default=False, rich_help_panel=GRADIENTS),
]
Backward = Annotated[
    bool,
    typer.Option("--backward", help="Of gradients, in the backward pass.", rich_help_panel=GRADIENTS),
]
