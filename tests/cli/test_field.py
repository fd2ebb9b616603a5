"""What people were stuck at, in public reports and questions: what a file says beside its weights is answered as it should be.

The cases are looked for in $RNNTRACE_FIELD, then beside the repository in ../shared/field; each has its README.md.
"""

import os
import shlex
from pathlib import Path

import pytest
from commandline import all_in, ask

BESIDE = Path(__file__).parents[3] / "shared" / "field"
FOLDERS = [Path(os.environ.get("RNNTRACE_FIELD") or BESIDE), BESIDE]
FOLDER = next((folder for folder in FOLDERS if (folder / "README.md").is_file()), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FOLDER is None, reason="the cases are not there: see RNNTRACE_FIELD"),
]

Answer = tuple[str, str, int, tuple[str, ...]]
SUMMED = "compare lstm.pt --batch-first --input x.npz --expected"

LISTED = "compare get_weights.npz --layout keras --input x.npz --expected"
BY_GATE = "--names 'weight_ih=W_{gate}' --names 'weight_hh=U_{gate}' --names 'bias_ih=b_{gate}'"

ANSWERS: list[Answer] = [
    # Gates with the hard sigmoid of Keras 2 and of Keras 3.
    ("02-hard-sigmoid", "inspect model.h5", 0, ("gates hard_sigmoid",)),
    ("02-hard-sigmoid", "compare model.h5 --input x.npz --expected keras2.npz -q", 0, ("PASS",)),
    ("02-hard-sigmoid", "compare model.h5 --input x.npz --expected keras3.npz -q", 1, ("FAIL",)),
    ("02-hard-sigmoid", "compare model.h5 --input x.npz --expected numpy.npz -q", 1, ("FAIL",)),
    ("02-hard-sigmoid", "compare model.keras --input x.npz --expected keras3.npz -q", 0, ("PASS",)),
    ("02-hard-sigmoid", "compare model.keras --input x.npz --expected keras2.npz -q", 1, ("FAIL",)),
    # Two files of the same weights, in other orders of gates and with another reset; of a layer and its cell.
    ("01-gru-torch-to-keras", "compare gru.pt model.keras --input x.npz", 1, ("gru.gate-order.zrn",)),
    ("14-onnx-linear-before-reset", "compare gru.pt gru.onnx --input x.npz", 1, ("FAIL  the reset gate", "same weights")),
    ("19-lstm-vs-cell", "compare lstm.pt cell.pt --input x.npz", 1, ("FAIL", "other weights altogether")),
    # Layers of cuDNN: its x has time first.
    ("03-cudnn-gru", "compare cudnn.h5 --axes time,batch,unit --input x.npz --expected gpu.npz -q", 0, ("PASS", "CuDNN")),
    ("03-cudnn-gru", "diagnose cudnn.h5 --input x.npz --expected gpu.npz", 0, ("gru.time.batch-swapped",)),
    ("03-cudnn-gru", "diagnose port.npz --input x.npz --expected gpu.npz", 0, ("gru.transpose.reshaped-blocks-back",)),
    # Masks: at the end of the sequences, and in front.
    ("15-keras-masks", "inspect model.keras", 0, ("masked by masking (Masking)",)),
    ("15-keras-masks", "compare model.keras --input post.npz --expected post_y.npz -q", 0, ("PASS", "masking (Masking)")),
    ("15-keras-masks", "compare model.keras --input post_len.npz --expected post_y.npz -q", 0, ("PASS",)),
    ("15-keras-masks", "compare model.keras --input post.npz --expected port_post.npz -q", 1, ("FAIL", "reverse")),
    ("15-keras-masks", "diagnose model.keras --input post.npz --expected port_post.npz", 0, ("lstm.lengths.ignored",)),
    ("15-keras-masks", "compare model.keras --input pre.npz --expected pre_y.npz -q", 0, ("PASS", "masking (Masking)")),
    ("15-keras-masks", "compare model.keras --input pre.npz --expected port_pre.npz -q", 1, ("FAIL", "t=3")),
    ("15-keras-masks", "diagnose model.keras --input pre.npz --expected port_pre.npz", 0, ("lstm.lengths.ignored",)),
    # Lengths that an export has baked in.
    ("16-onnx-sequence-lens", "compare dynamic.onnx --input x.npz --lengths 4,2 --expected torch.npz -q", 0, ("PASS",)),
    ("16-onnx-sequence-lens", "compare baked.onnx --input x.npz --expected torch.npz -q", 1, ("FAIL", "holds lengths")),
    ("16-onnx-sequence-lens", "compare baked.onnx --input x.npz --expected baked_y.npz -q", 0, ("PASS", "see --lengths")),
    ("16-onnx-sequence-lens", "compare baked.onnx --lengths 4,2 --input x.npz --expected torch.npz -q", 0, ("PASS",)),
    # MATLAB's X, (input, time), and Y in the same order; a course's order of axes.
    ("25-matlab", "compare net1.npz --layout matlab --input X.csv --expected Y.csv -q", 0, ("PASS", "(unit, time)")),
    ("25-matlab", "compare net1.npz --layout matlab --input X.csv --expected Z.csv -q", 1, ("FAIL",)),
    # ONNX's Y beside the model of torch that was exported; h_n of the last layer alone.
    ("16-onnx-sequence-lens", "compare lstm.pt --input x.npz --expected baked_y.npz -q", 0, ("PASS", "(time, directions,")),
    ("16-onnx-sequence-lens", "compare lstm.pt --input x.npz --lengths 4,2 --expected baked_y.npz -q", 1, ("FAIL",)),
    ("17-only-first-layer", "compare gru.pt --input x.npz --expected one_hn.npz -q", 1, ("FAIL", "last layer alone")),
    # Peepholes, which another runtime reads in another order.
    ("20-peepholes", "compare lstm.onnx --input x.npz --expected right.npz -q", 0, ("PASS",)),
    ("20-peepholes", "compare lstm.onnx --input x.npz --expected runtime.npz -q", 1, ("FAIL", "t=1")),
    ("20-peepholes", "compare swapped.onnx --input x.npz --expected runtime.npz -q", 0, ("PASS",)),
    ("20-peepholes", "inspect lstm.onnx", 0, ("LSTM", "peepholes")),
    # Cells of one's own under torch's names.
    ("21-layernorm-lstm", "compare ln.pt --input x.npz -q", 2, ("ln_ih.weight", "layer norm", "--ignore 'ln_*'")),
    ("21-layernorm-lstm", "diagnose ln.pt --input x.npz --expected mine.npz", 2, ("ln_ih.weight", "layer norm")),
    ("21-layernorm-lstm", "inspect ln.pt", 0, ("LSTMCell(3, 4)", "layer norm")),
    ("21-layernorm-lstm", "compare ln.pt --ignore 'ln_*' --input x.npz -q", 0, ("PASS",)),
    ("21-layernorm-lstm", "compare extra/peephole.pt --input extra/x.npz -q", 2, ("weight_ci", "peepholes")),
    ("21-layernorm-lstm", "compare extra/awd.pt --input extra/x.npz -q", 2, ("weight_hh_l0_raw", "weight drop")),
    ("21-layernorm-lstm", "compare extra/wn.pt --input extra/x.npz --ignore h_0 -q", 0, ("PASS", "weight norm")),
    ("21-layernorm-lstm", "compare extra/l.pt --input extra/x.npz --expected extra/y.npz -q", 2, ("h_0", "did you mean h0?")),
    ("21-layernorm-lstm", "compare extra/l.pt --seed 1 -q", 0, ("PASS",)),
    # Weights in other formats than their names tell.
    ("22-dynamic-quantised", "inspect int8.pt", 0, ("integers of 8 bits",)),
    ("22-dynamic-quantised", "compare int8.pt --input x.npz --expected int8.npz -q", 0, ("PASS (rounded)", "7 bits")),
    ("22-dynamic-quantised", "compare int8.pt --input x.npz --expected zeros.npz -q", 1, ("FAIL",)),
    ("22-dynamic-quantised", "compare int8.pt --input x.npz --expected sign.npz -q", 1, ("FAIL",)),
    # Plain arrays: of TensorFlow 1, of courses, gate by gate, of MATLAB.
    ("04-tf1-fused-cell", "inspect tf_vars.npz", 2, ("TensorFlow 1 kernel on [x; h] of LSTM(6, 7)", "--layout tf1")),
    ("04-tf1-fused-cell", "compare tf_vars.npz --layout tf1 --batch-first --input x.npz --expected tf.npz -q", 0, ("PASS",)),
    ("07-course-rnn-forward", "compare parameters.npz --input x.npz --expected right.npz -q", 0, ("PASS", "coursera")),
    ("07-course-rnn-forward", "compare parameters.npz --input x.npz --expected mine.npz -q", 1, ("FAIL", "t=1")),
    ("07-course-rnn-forward", "diagnose parameters.npz --input x.npz --expected mine.npz", 0, ("rnn.state.h0-ignored",)),
    ("08-per-gate-arrays", f"{LISTED} keras.npz -q", 0, ("PASS", "hard_sigmoid by default")),
    ("08-per-gate-arrays", f"{LISTED} c_port.npz -q", 1, ("FAIL",)),
    ("08-per-gate-arrays", f"compare named.npz {BY_GATE} --input x.npz --expected keras.npz -q", 2, ("--layout keras",)),
    ("08-per-gate-arrays", f"compare named.npz --layout keras {BY_GATE} --input x.npz --expected keras.npz -q", 0, ("PASS",)),
    ("25-matlab", "inspect net73.mat", 0, ("MATLAB", "LSTM")),
    ("25-matlab", "compare net73.mat --unbatched --input XT.csv --expected Y.npz -q", 0, ("PASS",)),
    ("25-matlab", "compare net.npz --layout matlab --unbatched --input XT.csv --expected Y.npz -q", 0, ("PASS",)),
    ("25-matlab", "compare net1.npz --unbatched --input XT.csv --expected Z.npz -q", 1, ("FAIL", "t=2")),
    ("26-keras-stateful", "diagnose model.keras --input x.npz --expected second.npz", 0, ("lstm.state.carried-over",)),
    # The halves of both directions added, as a flag says it, and where it alone agrees.
    ("32-sum-of-directions", f"{SUMMED} right.npz -q", 0, ("PASS", "--merge sum alone agrees")),
    ("32-sum-of-directions", f"{SUMMED} right.npz --merge sum -q", 0, ("PASS",)),
    ("32-sum-of-directions", f"{SUMMED} right.npz --merge ave -q", 1, ("FAIL", "t=1")),
    ("32-sum-of-directions", f"{SUMMED} runtime.npz --merge sum -q", 1, ("FAIL", "t=1")),
    ("32-sum-of-directions", f"{SUMMED} runtime.npz -q", 2, ("as wide as one direction", "--merge")),
    ("32-sum-of-directions", "inspect sum.keras", 0, ("merge sum",)),
]
"""By case: what a person types, the exit code, and what the answer has in it."""


@pytest.mark.parametrize(("case", "line", "code", "fragments"), ANSWERS, ids=[f"{case}: {line}" for case, line, *_ in ANSWERS])
def test_the_answer_is_the_right_one(
    case: str,
    line: str,
    code: int,
    fragments: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Typed in the folder of the case."""
    assert FOLDER is not None
    monkeypatch.chdir(FOLDER / case)
    answer = ask(capsys, *shlex.split(line))
    assert (answer.code, all_in(fragments, answer.out + answer.err)) == (code, True)
