"""How frameworks arrange the weights of an LSTM and a GRU, as data, each row read where `source` says.

Gates are written in torch's letters, from the first block to the last, whatever a framework calls them: i, f, o are the
input, forget and output gate and g the candidate of an LSTM; r, z are the reset and update gate and n the candidate of a GRU.
"""

from dataclasses import dataclass
from typing import TypeVar

from rnntrace.equations import cells
from rnntrace.equations.cell import Cell
from rnntrace.equations.parameters import Role

LSTM, GRU, RNN = ("".join(cell.gates) for cell in (cells.LSTM, cells.GRU, cells.RNN_TANH))
"""torch's own orders, ifgo, rzn and h."""
_T = TypeVar("_T")
TORCH, KERAS, ONNX = "PyTorch", "Keras 3", "ONNX"
"""Those whose files are read."""
MATLAB, CS231N, COURSERA, D2L = "MATLAB", "cs231n", "coursera", "d2l"
"""MATLAB, two courses and a book with a notation of their own."""


@dataclass(frozen=True, kw_only=True)
class Convention:
    """One framework.

    `lstm` and `gru` are gate orders, empty where it has none; biases are 1 or 2 vectors a layer. `reset` is where a GRU's
    reset gate acts, after or before the matrix product, or does by default where `reset_is_option`. `keeps` is what multiplies
    the state before: z, as in torch, or 1 - z. `transposed` matrices are (input, gates · hidden). `peepholes` is their order,
    empty where there are none. `joined` is "xh" or "hx" where the LSTM has one matrix on both, in this order. `forget_bias` is
    added to the forget gate's bias at run time. Where `one_array_a_gate` nothing is stacked; where `interleaved`, gates lie
    unit by unit. `axes` is the order of those of a sequence, where a course has one of its own.
    None, or an empty text, says that the source does not tell.
    Remarks say what no other field can, of the LSTM, of the GRU or of both.
    """

    framework: str
    lstm: str = ""
    lstm_biases: int | None = 2
    gru: str = ""
    gru_biases: int | None = 2
    reset: str = "after"
    reset_is_option: bool = False
    keeps: str = "z"
    transposed: bool | None = False
    peepholes: str = ""
    joined: str = ""
    forget_bias: float = 0.0
    one_array_a_gate: bool = False
    interleaved: bool = False
    axes: str = ""
    lstm_remarks: tuple[str, ...] = ()
    gru_remarks: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    source: str

    def order(self, cell: Cell) -> str:
        """Its order of these gates, as one text; empty if it has no cell with such gates. That of an RNN is "h"."""
        gates = {gate for parameter in cell.parameters if parameter.role is Role.INPUT_MATRIX for gate in parameter.gates}
        return next((order for order in (self.lstm, self.gru, RNN) if gates and gates <= {*order}), "")

    def _of(self, cell: Cell, lstm: _T, gru: _T, none: _T) -> _T:
        """What it says of its LSTM for a cell with these gates, or of its GRU."""
        return {"".join(sorted(LSTM)): lstm, "".join(sorted(GRU)): gru}.get("".join(sorted(cell.gates)), none)

    def remarks_on(self, cell: Cell) -> tuple[str, ...]:
        """What there is to say of it in a cell with these gates."""
        return self._of(cell, self.lstm_remarks, self.gru_remarks, ()) + self.remarks

    def biases(self, cell: Cell) -> int | None:
        """1 or 2 vectors a layer in a cell with these gates, or None where it is not known; an RNN has those of the LSTM."""
        return self._of(cell, self.lstm_biases, self.gru_biases, self.lstm_biases)


CONVENTIONS = (
    Convention(framework=TORCH, lstm="ifgo", gru="rzn", source="torch/nn/modules/rnn.py"),
    Convention(
        framework=KERAS,
        lstm="ifgo",
        lstm_biases=1,
        gru="zrn",
        reset_is_option=True,
        transposed=True,
        lstm_remarks=("the forget gate's bias starts at 1 and is stored so",),
        gru_remarks=("with reset_after=False the GRU resets before the product and has one bias of 3H",),
        remarks=("Bidirectional flips the backward output back, go_backwards alone does not",),
        source="keras/src/layers/rnn/{lstm,gru,bidirectional}.py",
    ),
    Convention(
        framework=ONNX,
        lstm="iofg",
        peepholes="iof",
        gru="zrn",
        reset="before",
        reset_is_option=True,
        gru_remarks=("with linear_before_reset=1 the GRU resets after the product",),
        remarks=("matrices are (directions, gates · H, ·)",),
        source="onnx/defs/rnn/defs.cc",
    ),
    Convention(
        framework="cuDNN",
        lstm="ifgo",
        gru="rzn",
        one_array_a_gate=True,
        remarks=("one matrix a gate, forward and backward as pseudo-layers",),
        source="its bindings in CUDA.jl",
    ),
    Convention(
        framework="oneDNN",
        lstm="ifgo",
        lstm_biases=1,
        gru="zrn",
        gru_biases=1,
        reset="before",
        gru_remarks=("lbr_gru resets after the product and has a fourth bias block, b_hn",),
        source="doc/primitives/rnn.md",
    ),
    Convention(
        framework="TF1 BasicLSTMCell",
        lstm="igfo",
        lstm_biases=1,
        gru="rzn",
        gru_biases=1,
        reset="before",
        transposed=True,
        joined="xh",
        forget_bias=1.0,
        lstm_remarks=(
            "forget_bias, 1 by default, is added at run time",
            "the state is (c, h)",
        ),
        remarks=("one kernel on [x; h]",),
        source="tf2onnx/rewriter/lstm_rewriter.py",
    ),
    Convention(
        framework="flax linen",
        lstm="ifgo",
        lstm_biases=1,
        gru="rzn",
        transposed=True,
        one_array_a_gate=True,
        lstm_remarks=(
            "a kernel a gate, ii to io and hi to ho; the LSTM's biases are on the h side",
            "the carry is (c, h)",
        ),
        gru_remarks=("the GRU has biases on the input side and b_hn",),
        source="flax/linen/recurrent.py",
    ),
    Convention(
        framework="haiku",
        lstm="igfo",
        lstm_biases=1,
        gru="zrn",
        gru_biases=1,
        reset="before",
        keeps="1 - z",
        transposed=True,
        joined="xh",
        forget_bias=1.0,
        lstm_remarks=(
            "1 is added to the forget gate at run time",
            "one matrix on [x; h] in the LSTM",
        ),
        source="haiku/_src/recurrent.py",
    ),
    Convention(
        framework="equinox",
        lstm="ifgo",
        lstm_biases=1,
        gru="rzn",
        gru_biases=1,
        gru_remarks=("the GRU has b_hn beside its bias of 3H",),
        source="equinox/nn/_rnn.py",
    ),
    Convention(
        framework="Sonnet 2",
        lstm="igfo",
        lstm_biases=1,
        transposed=True,
        remarks=("the forget bias is part of the stored bias",),
        source="sonnet/src/recurrent.py",
    ),
    Convention(framework="MXNet Gluon", lstm="ifgo", gru="rzn", source="gluon/rnn/rnn_cell.py"),
    Convention(
        framework="CNTK",
        lstm="igfo",
        lstm_biases=1,
        gru="zrn",
        gru_biases=1,
        reset="before",
        transposed=True,
        gru_remarks=("the candidate's recurrent matrix is stored on its own",),
        source="cntk/layers/blocks.py",
    ),
    Convention(
        framework="TFLite",
        lstm="ifgo",
        lstm_biases=1,
        one_array_a_gate=True,
        remarks=("a tensor a gate; without the input gate's, i = 1 - f",),
        source="tflite/kernels/lstm_shared.h",
    ),
    Convention(
        framework="Core ML",
        lstm="ifog",
        lstm_biases=1,
        gru="rnz",
        gru_biases=1,
        gru_remarks=("the GRU's b_hn is outside the reset gate, which torch cannot express",),
        remarks=("biases are summed",),
        source="coremltools/converters/mil/mil/ops/defs/iOS15/recurrent.py",
    ),
    Convention(
        framework="OpenVINO",
        lstm="figo",
        lstm_biases=1,
        remarks=("matrices are (directions, 4H, ·), x is batch first",),
        source="its operation set: LSTMSequence",
    ),
    Convention(
        framework="WebNN",
        lstm="iofg",
        gru="zrn",
        reset_is_option=True,
        gru_remarks=("resetAfter is true by default",),
        remarks=("the layout option ifgo or rzn gives torch's order",),
        source="webnn-baseline",
    ),
    Convention(
        framework="MLX",
        lstm="ifgo",
        lstm_biases=1,
        gru="rzn",
        gru_biases=1,
        gru_remarks=("the GRU has b_hn beside its bias of 3H",),
        source="mlx/nn/layers/recurrent.py",
    ),
    Convention(
        framework="flax nnx",
        lstm="ifgo",
        lstm_biases=None,
        gru="rzn",
        gru_biases=None,
        transposed=True,
        lstm_remarks=("the order is that of OptimizedLSTMCell",),
        remarks=("the gates are one concatenated Linear",),
        source="flax/nnx/nn/recurrent.py",
    ),
    Convention(
        framework="MPSGraph",
        lstm="ifgo",
        lstm_biases=1,
        gru="zrn",
        gru_biases=1,
        reset="before",
        reset_is_option=True,
        keeps="1 - z",
        lstm_remarks=("forgetGateLast gives the LSTM's i g f o",),
        gru_remarks=(
            "resetGateFirst gives the GRU's r z n, resetAfter with a secondary bias b_hn resets after, and flipZ keeps by z",
        ),
        source="Apple's documentation of MPSGraphLSTMDescriptor and MPSGraphGRUDescriptor",
    ),
    Convention(framework="OpenCV", lstm="ifog", lstm_biases=None, transposed=None, source="its layer LSTM"),
    Convention(framework="DL4J", lstm="gfoi", lstm_biases=None, transposed=None, source="its layer LSTM"),
    Convention(
        framework="Haste",
        lstm="igfo",
        lstm_biases=None,
        gru="zrn",
        gru_biases=None,
        reset="",
        keeps="",
        transposed=None,
        source="its layers LSTM and GRU",
    ),
    Convention(framework="candle", lstm="ifgo", gru="rzn", remarks=("torch's names",), source="candle-nn/src/rnn.rs"),
    Convention(framework="tinygrad", lstm="ifgo", remarks=("torch's names",), source="tinygrad/nn/__init__.py"),
    Convention(
        framework="Chainer",
        lstm="gifo",
        lstm_biases=1,
        interleaved=True,
        remarks=("gates are interleaved unit by unit: take every fourth row",),
        source="chainer/functions/rnn/lstm.py",
    ),
    Convention(
        framework=MATLAB,
        lstm="ifgo",
        lstm_biases=1,
        gru="rzn",
        gru_biases=1,
        reset_is_option=True,
        gru_remarks=("with recurrent-bias-after-multiplication the GRU has a second bias, b_hn of it inside the reset gate",),
        remarks=("Bias is (gates · H, 1)",),
        source="MathWorks' documentation of lstmLayer and gruLayer",
    ),
    Convention(
        framework=CS231N,
        lstm="ifog",
        lstm_biases=1,
        transposed=True,
        axes="batch,time,unit",
        remarks=("Wx, Wh and b; the RNN's are (D, H), (H, H) and (H,)", "x is (N, T, D), or (N, D) for one step"),
        source="the printed numbers of its assignment on captions, which this order of gates alone gives",
    ),
    Convention(
        framework=COURSERA,
        lstm="figo",
        lstm_biases=1,
        joined="hx",
        one_array_a_gate=True,
        axes="unit,batch,time",
        lstm_remarks=("Wf, Wi, Wc and Wo act on [a; x], a first; Wi is the update gate's and Wc the candidate's",),
        remarks=(
            "the RNN has Wax, Waa and ba; biases are (n_a, 1)",
            "x is (n_x, m, T), or (n_x, m) for one step; the head Wy or Wya with by gives y, a softmax over axis 0",
        ),
        source="the course on sequence models",
    ),
    Convention(
        framework=D2L,
        lstm="ifog",
        lstm_biases=1,
        gru="zrn",
        gru_biases=1,
        reset="before",
        transposed=True,
        one_array_a_gate=True,
        remarks=("W_xi, W_hi and b_i for each gate, c or h for the candidate; the RNN has W_xh, W_hh and b_h",),
        source="Dive into Deep Learning, its chapters on LSTM and GRU from scratch",
    ),
)


BY_NAME = {convention.framework: convention for convention in CONVENTIONS}
