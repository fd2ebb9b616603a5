"""An LSTM of every variant as a loop written by hand, forward and of one layer, and what it may be made of."""

from collections.abc import Callable

import numpy as np

from rnntrace.engine.diagnose.case import Case

Arrays = dict[str, np.ndarray]
Activation = Callable[[np.ndarray], np.ndarray]


def σ(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def hard(slope: float, offset: float = 0.5) -> Activation:
    return lambda a: np.clip(slope * a + offset, 0, 1)


def elu(alpha: float) -> Activation:
    return lambda a: np.where(a > 0, a, alpha * (np.exp(a) - 1))


def leaky(alpha: float) -> Activation:
    return lambda a: np.where(a > 0, a, alpha * a)


def same(a: np.ndarray) -> np.ndarray:
    return a


def norm(a: np.ndarray) -> np.ndarray:
    return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)


def norm_of_sample(a: np.ndarray) -> np.ndarray:
    return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, ddof=1, keepdims=True) + 1e-5)


def norm_by_std(a: np.ndarray) -> np.ndarray:
    return (a - a.mean(-1, keepdims=True)) / (a.std(-1, ddof=1, keepdims=True) + 1e-5)


def rms(a: np.ndarray) -> np.ndarray:
    return a / np.sqrt((a * a).mean(-1, keepdims=True) + 1e-5)


def lstm(
    case: Case,
    *,
    p: tuple[int, int, int] | None = None,
    p_weights: tuple[float, float, float] = (1, 1, 1),
    o_sees_before: bool = False,
    clip: Activation = same,
    clip_c: Activation = same,
    gate: Activation = σ,
    candidate: Activation = np.tanh,
    shown: Activation = np.tanh,
    coupled: bool = False,
    exchanged: bool = False,
    ln: Activation | None = None,
    ln_c: Activation | None = None,
    scale: bool = True,
    shifted: bool = True,
) -> Arrays:
    """`p` says which block of the peepholes i, f and o take; `ln` and `ln_c` are layer norms of sums and of c."""
    w = case.weights[0, "forward"].arrays
    names = "igo" if coupled else "ifgo"
    place = {name: k for k, name in enumerate(names)}
    gains, shifts = w.get("gain"), w.get("shift")
    h, c, output = case.inputs.h0[0], case.inputs.c0[0], []  # type: ignore[index]

    def normed(a: np.ndarray, k: int, norm: Activation | None) -> np.ndarray:
        if norm is None or gains is None or shifts is None:
            return a
        return (gains[k] if scale else 1) * norm(a) + (shifts[k] if shifted else 0)

    def summed(x: np.ndarray, name: str, seen: np.ndarray | None) -> np.ndarray:
        k = place[name]
        a = x @ w["W_ih"][k].T + h @ w["W_hh"][k].T
        if "b_ih" in w:
            a = a + w["b_ih"][k] + w["b_hh"][k]
        if p is not None and seen is not None:
            own = "ifo".index(name)
            a = a + p_weights[own] * w["p"][p[own]] * seen
        return clip(normed(a, k, ln))

    for x in case.inputs.x:
        i, g = gate(summed(x, "i", c)), candidate(summed(x, "g", None))
        f = 1 - i if coupled else gate(summed(x, "f", c))
        new = clip_c(i * c + f * g if exchanged else f * c + i * g)
        o = gate(summed(x, "o", c if o_sees_before else new))
        c = new
        h = o * shown(normed(c, len(names), ln_c))
        output.append(h)
    return {"output": np.stack(output), "h_n": h[None], "c_n": c[None]}


def cut(a: np.ndarray) -> np.ndarray:
    return np.clip(a, -0.3, 0.3)


def softsign(a: np.ndarray) -> np.ndarray:
    return a / (1 + abs(a))
