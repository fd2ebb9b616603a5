"""What a flag with a few possible values may be."""

from enum import StrEnum


class GateActivation(StrEnum):
    """Activation of the gates of an LSTM or GRU."""

    SIGMOID = "sigmoid"
    HARD_SIGMOID = "hard_sigmoid"
    HARD_SIGMOID_KERAS3 = "hard_sigmoid_keras3"


class Reset(StrEnum):
    """Values of --reset."""

    BEFORE = "before"
    AFTER = "after"


class Merge(StrEnum):
    """Values of --merge."""

    CONCAT = "concat"
    SUM = "sum"
    MUL = "mul"
    AVE = "ave"


class DtypeName(StrEnum):
    """Number format of the module."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class ReplayDtype(StrEnum):
    """Number format of the replay."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"


class Distribution(StrEnum):
    """What is drawn."""

    NORMAL = "normal"
    UNIFORM = "uniform"


class Keep(StrEnum):
    """What a trace keeps."""

    STATES = "states"
    GATES = "gates"
    TERMS = "terms"


class Capture(StrEnum):
    """Whether torch's own gates are captured."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Check(StrEnum):
    """What stands beside gradients in place of a framework."""

    FD = "fd"


class ReplayMode(StrEnum):
    """Which replay is shown."""

    FREE = "free"
    FORCED = "forced"


class Format(StrEnum):
    """How the result is written."""

    TABLE = "table"
    PLAIN = "plain"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"
    HTML = "html"
    PAGE = "page"


class When(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class ExerciseAction(StrEnum):
    """What is done with an exercise."""

    NEW = "new"
    CHECK = "check"


class GradeFormat(StrEnum):
    """How grades are written."""

    TABLE = "table"
    PLAIN = "plain"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    HTML = "html"
    GRADESCOPE = "gradescope"
    CLASSROOM = "classroom"
    JUNIT = "junit"
    TAP = "tap"


class SheetFormat(StrEnum):
    """How worksheets are written."""

    HTML = "html"
    LATEX = "latex"
    MARKDOWN = "markdown"


class PlotKind(StrEnum):
    """What is drawn."""

    HEATMAP = "heatmap"
    LINES = "lines"
    HISTOGRAM = "histogram"
    SATURATION = "saturation"
    DIFFERENCE = "difference"
