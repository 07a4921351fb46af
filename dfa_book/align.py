"""Two-layer students of a two-layer teacher, trained online by BP or DFA, and the theory of both.

Student and teacher have erf units: ``y = Σ_k v_k g(λ_k)`` with ``g(z) = erf(z/√2)`` and
``λ_k = w_k·x/√D`` for Gaussian inputs ``x`` in D dimensions. Each step uses a fresh input; a *time* is
a number of steps divided by D. For large D the covariance of the λ of student and teacher, the *order
parameters*, follows closed differential equations (Saad and Solla, 1995; for DFA, Refinetti et al.,
2021).
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from joblib import Parallel, delayed
from numpy import ndarray
from scipy.integrate import solve_ivp
from scipy.special import erf

from dfa_lib.experiments.kept_table import (
    LOSS,
    REAL,
    SHARE,
    TEXT,
    WHOLE,
    Row,
    TablePath,
    kept_table,
    plan_digest,
)
from dfa_lib.experiments.orphans import tied
from dfa_lib.experiments.runner import MOST_SEEDS
from dfa_lib.validation import whole_number

METHODS = ("bp", "dfa")
STUDENT, RATE = 4, 2.0
TEACHER = np.array([1.0, 1.0])
"""The teacher's output weights; the rows of its first layer are orthogonal, of length √D."""
STARTS = {"same": 0.1, "small": 0.1, "large": 1.0}
"""Standard deviation of a student's first weights. Runs of ``same`` share their order parameters."""
# Times at which students are measured: 0, and from 0.05 on a fifth more each time.
TIMES = np.append(0.0, 0.05 * 1.2 ** np.arange(40))
# Runs from the same start end before time 20: the escape from a plateau amplifies any difference.
SAME_TIMES = TIMES[TIMES <= 20][::2]

Covariance = Float[ndarray, "*runs n n"]
Covariances = Float[ndarray, "n n *runs"]
Weights = Float[ndarray, "*runs k"]
OneCovariance = Float[ndarray, "n n"]
OneWeights = Float[ndarray, "k"]
Indices = int | ndarray

COLUMNS = {
    **{"experiment": TEXT, "start": TEXT, "method": TEXT, "dimensions": WHOLE, "seed": WHOLE},
    **{"time": REAL, "loss": LOSS, "alignment": REAL, "distance": REAL},
    **{"signs_of_feedback": SHARE, "signs_of_start": SHARE},
}


# ---- theory ----


def I2(C: Covariances, a: Indices, b: Indices) -> ndarray:
    """Return ⟨g(a) g(b)⟩ for Gaussian variables with covariance C; a and b are their indices."""
    return np.asarray(2 / np.pi * np.arcsin(C[a, b] / np.sqrt((1 + C[a, a]) * (1 + C[b, b]))))


def I3(C: Covariances, a: Indices, b: Indices, c: Indices) -> ndarray:
    """Return ⟨g'(a) b g(c)⟩."""
    A = 1 + C[a, a]
    L3 = A * (1 + C[c, c]) - C[a, c] ** 2
    return np.asarray(2 / np.pi * (C[b, c] * A - C[a, b] * C[a, c]) / (A * np.sqrt(L3)))


def I4(C: Covariances, a: Indices, b: Indices, c: Indices, d: Indices) -> ndarray:
    """Return ⟨g'(a) g'(b) g(c) g(d)⟩."""
    A, B, ab = 1 + C[a, a], 1 + C[b, b], C[a, b]
    L4 = A * B - ab**2

    def L(i: Indices, j: Indices) -> ndarray:
        crossed = C[b, i] * C[b, j] * A + C[a, i] * C[a, j] * B
        return np.asarray(L4 * C[i, j] - crossed + ab * (C[a, i] * C[b, j] + C[a, j] * C[b, i]))

    cosine = L(c, d) / np.sqrt((L4 + L(c, c)) * (L4 + L(d, d)))
    return np.asarray(4 / np.pi**2 * np.arcsin(cosine.clip(-1, 1)) / np.sqrt(L4))


def drift(
    C: OneCovariance, v: OneWeights, teacher: Float[ndarray, "m"], feedback: OneWeights, rate: float
) -> tuple[OneCovariance, OneWeights]:
    """Return the time derivatives of order parameters and of the student's output weights.

    C has the student's units first, then the teacher's: Q, R and T. BP is the ``feedback`` v.
    """
    K, n = len(v), len(C)
    a = np.append(v, -teacher)  # the error is Σ_i a_i g(i)
    k, i, j = np.ogrid[:K, :n, :n]
    towards = np.zeros((n, n))  # of w_k, along w_i
    towards[:K] = -rate * feedback[:, None] * (I3(C, k, i, j) @ a)
    dC = towards + towards.T
    k, l, i, j = np.ogrid[:K, :K, :n, :n]
    dC[:K, :K] += rate**2 * np.outer(feedback, feedback) * (I4(C, k, l, i, j) @ a @ a)
    return dC, -rate * (I2(C, *np.ogrid[:K, :n]) @ a)


def theory(
    C: OneCovariance, v: OneWeights, feedback: OneWeights | None, times: ndarray
) -> tuple[Covariance, Weights]:
    """Integrate ``drift`` from C and v; return order parameters and output weights at ``times``.

    Without ``feedback``, the rule is BP.
    """
    n = len(C)

    def slope(_: float, state: ndarray) -> ndarray:
        C, v = state[: n * n].reshape(n, n), state[n * n :]
        return np.append(*drift(C, v, TEACHER, v if feedback is None else feedback, RATE))

    span = (0.0, float(times[-1]))
    solved = solve_ivp(slope, span, np.append(C, v), "LSODA", times, rtol=1e-7, atol=1e-9)
    return solved.y[: n * n].T.reshape(-1, n, n), solved.y[n * n :].T


def loss(C: Covariance, v: Weights) -> ndarray:
    """Return half the expected squared error."""
    a = np.concatenate([v, np.broadcast_to(-TEACHER, (*v.shape[:-1], len(TEACHER)))], axis=-1)
    n = a.shape[-1]
    products = I2(np.moveaxis(C, (-2, -1), (0, 1)), *np.ogrid[:n, :n])
    return np.asarray(0.5 * np.einsum("...i,ij...,...j->...", a, products, a))


# ---- simulation ----


class Students(NamedTuple):
    """Students at their start: a run has weights of student and teacher, output weights, feedback."""

    W: Float[ndarray, "runs n d"]
    v: Float[ndarray, "runs k"]
    feedback: Float[ndarray, "runs k"]


def simulate(
    students: Students, times: ndarray, streams: Sequence[np.random.Generator]
) -> tuple[Covariance, Weights]:
    """Train each student by BP and by DFA on the same inputs.

    Returns order parameters and output weights, with the axes runs, BP and DFA, times.
    """
    (runs, K), D = students.v.shape, students.W.shape[-1]
    W = np.concatenate([students.W[:, :K], students.W], axis=1)  # BP's, DFA's, the teacher's
    v = np.stack([students.v, students.v], axis=1)
    steps, measured = np.rint(times * D).astype(int), []
    for step in range(steps[-1] + 1):
        for _ in range(int((steps == step).sum())):
            both = np.stack([np.delete(W, np.s_[K : 2 * K], 1), W[:, K:]], axis=1)
            measured.append((both @ both.mT / D, v))
        if step % 64 == 0:
            inputs = np.stack([stream.standard_normal((64, D)) for stream in streams])
        x = inputs[:, step % 64]
        local = (W @ x[:, :, None])[..., 0] / math.sqrt(D)
        g, own = erf(local / math.sqrt(2)), local[:, : 2 * K].reshape(runs, 2, K)
        hidden = g[:, : 2 * K].reshape(runs, 2, K)
        e = ((v * hidden).sum(axis=2) - (g[:, 2 * K :] @ TEACHER)[:, None])[:, :, None]
        B = np.stack([v[:, 0], students.feedback], axis=1)
        delta = e * B * np.exp(-(own**2) / 2) * math.sqrt(2 / math.pi)
        W[:, : 2 * K] -= RATE / math.sqrt(D) * delta.reshape(runs, -1, 1) * x[:, None]
        v = v - RATE / D * e * hidden
    C, outputs = (np.stack(each, axis=2) for each in zip(*measured, strict=True))
    return C, outputs


# ---- many runs ----


def same_start() -> tuple[OneCovariance, OneWeights, OneWeights]:
    """Return the order parameters, output weights and feedback that all runs of ``same`` start with."""
    stream, K = np.random.default_rng(1_000), STUDENT
    W = stream.standard_normal((K + len(TEACHER), 10))
    W[:K] *= STARTS["same"]
    C = W @ W.T / 10
    C[K:, K:] = np.eye(len(TEACHER))
    return C, STARTS["same"] * stream.standard_normal(K), np.resize([1.0, -1.0], K)


def draw(start: str, D: int, stream: np.random.Generator) -> Students:
    """Draw one student, its teacher and its feedback."""
    n = STUDENT + len(TEACHER)
    axes = math.sqrt(D) * np.linalg.qr(stream.standard_normal((D, n)))[0].T
    if start == "same":
        C, v, feedback = same_start()
        return Students(np.linalg.cholesky(C) @ axes, v, feedback)
    W = STARTS[start] * stream.standard_normal((STUDENT, D))
    v = STARTS[start] * stream.standard_normal(STUDENT)
    return Students(np.concatenate([W, axes[STUDENT:]]), v, stream.choice([-1.0, 1.0], STUDENT))


def train_students(start: str, D: int, seeds: Sequence[int], expected: Sequence[ndarray]) -> list[Row]:
    """Train students; return a row for each seed, method and time, from ``start`` on.

    ``expected`` has for each method the order parameters and output weights of the theory, side by side.
    """
    place = list(STARTS).index(start)
    streams = [np.random.default_rng([seed, place, D]) for seed in seeds]
    students = Students(*map(np.stack, zip(*(draw(start, D, s) for s in streams), strict=True)))
    times = SAME_TIMES if start == "same" else TIMES
    C, v = simulate(students, times, streams)
    F = students.feedback[:, None, None]
    with np.errstate(invalid="ignore"):
        cosine = (v * F).sum(-1) / np.linalg.norm(v, axis=-1) / np.linalg.norm(F, axis=-1)
    distance = np.full(cosine.shape, math.nan)
    if start == "same":
        distance = np.sqrt(((flat(C, v) - np.stack(expected)) ** 2).mean(axis=-1))
    signs = [((v > 0) == (of > 0)).mean(axis=-1) for of in (F, v[:, :, :1])]
    measures = (loss(C, v), cosine, distance, *signs)
    return [
        (start, method, D, seed, float(f"{time:.4g}"), *(float(f"{m[r, b, t]:.6g}") for m in measures))
        for r, seed in enumerate(seeds)
        for b, method in enumerate(METHODS)
        for t, time in enumerate(times)
    ]


def flat(C: Covariance, v: Weights) -> ndarray:
    """Return Q, R and output weights side by side."""
    K = v.shape[-1]
    return np.concatenate([C[..., :K, :].reshape(*v.shape[:-1], -1), v], axis=-1)


def align_table(
    dimensions: Sequence[int], seeds: int, *, results: TablePath = None, jobs: int = 1
) -> pd.DataFrame:
    """Train students in several dimensions from the same start, and in the lowest from their own.

    ``results`` is a CSV to read from and to save to.

    Returns
    -------
    pandas.DataFrame
        One row per run and time: ``start`` (of ``STARTS``), ``method``, ``dimensions``, ``seed``,
        ``time``, ``loss``, ``alignment`` (cosine of output weights and DFA's feedback), ``distance``
        from theory (root mean square over Q, R and v; nan but for ``same``), and the shares of output
        weights with the sign of the feedback and with that of their own start.

    Raises
    ------
    InputError
        If the CSV is damaged or belongs to another experiment.
    """
    wanted = [(seed,) for seed in range(whole_number("seeds", seeds, maximum=MOST_SEEDS))]

    def make(missing: list[Row]) -> Iterator[tuple[list[Row], int]]:
        new = [seed for (seed,) in missing]
        C, v, feedback = same_start()
        expected = [flat(*theory(C, v, of, SAME_TIMES)) for of in (None, feedback)]
        tasks = [("same", D) for D in dimensions] + [(s, min(dimensions)) for s in ("small", "large")]
        parallel = Parallel(n_jobs=min(jobs, len(tasks)), batch_size=1)
        tasks.sort(key=lambda task: -task[1])  # the longest first
        done = parallel(delayed(tied(train_students))(*task, new, expected) for task in tasks)
        yield [row for rows in done for row in rows], len(new)

    plan = (list(dimensions), STUDENT, RATE, STARTS, TIMES.tolist())
    return kept_table(
        results,
        COLUMNS,
        {"experiment": plan_digest(repr(plan))},
        make,
        key=("seed",),
        wanted=wanted,
        datasets=[],
        jobs=jobs,
    )
