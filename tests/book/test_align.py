"""Students of a teacher: the integrals, the equations, the simulation, and what is said of them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import erf

from dfa_book import align
from dfa_book.chapter import check_parameters
from dfa_book.chapters import align as chapter
from dfa_book.claims import measures
from dfa_book.claims.judge import FAILS, HOLDS, NOT_TESTED, Evidence, judge
from dfa_book.claims.own_claims import OWN_CLAIMS
from dfa_lib.validation import InputError

ROOT = Path(__file__).parents[2]
CLAIMS = {claim.id: claim for claim in OWN_CLAIMS}


def random_covariance(n, seed=0):
    mixed = np.random.default_rng(seed).standard_normal((n, n + 2))
    return mixed @ mixed.T / n


def g(z):
    return erf(z / math.sqrt(2))


def slope(z):
    return math.sqrt(2 / math.pi) * np.exp(-(z**2) / 2)


def gaussian_mean(function, C, nodes=40):
    """The mean of a function of Gaussian variables, by Gauss-Hermite quadrature."""
    z, weights = np.polynomial.hermite_e.hermegauss(nodes)
    grids = np.meshgrid(*[z] * len(C), indexing="ij")
    weight = np.prod(np.meshgrid(*[weights / math.sqrt(2 * math.pi)] * len(C), indexing="ij"), axis=0)
    return (weight * function(*np.tensordot(np.linalg.cholesky(C), grids, 1))).sum()


def test_the_closed_integrals_are_those_of_quadrature():
    C = random_covariance(4)
    two = C[:2, :2]
    assert align.I2(C, 0, 1) == pytest.approx(gaussian_mean(lambda a, b: g(a) * g(b), two), rel=1e-6)
    by_quadrature = gaussian_mean(lambda a, b, c: slope(a) * b * g(c), C[:3, :3])
    assert align.I3(C, 0, 1, 2) == pytest.approx(by_quadrature, rel=1e-5)
    by_quadrature = gaussian_mean(lambda a, b: slope(a) * b * g(b), two)
    assert align.I3(C, 0, 1, 1) == pytest.approx(by_quadrature, rel=1e-6)
    by_quadrature = gaussian_mean(lambda a, b, c, d: slope(a) * slope(b) * g(c) * g(d), C, 30)
    assert align.I4(C, 0, 1, 2, 3) == pytest.approx(by_quadrature, rel=1e-3)
    by_quadrature = gaussian_mean(lambda a, b: slope(a) ** 2 * g(a) * g(b), two)
    assert align.I4(C, 0, 0, 0, 1) == pytest.approx(by_quadrature, rel=1e-5)


def test_the_loss_is_half_the_expected_squared_error():
    C, v = random_covariance(4), np.array([0.7, -1.2])

    def squared_error(a, b, c, d):
        return (0.7 * g(a) - 1.2 * g(b) - g(c) - g(d)) ** 2 / 2

    assert align.loss(C, v) == pytest.approx(gaussian_mean(squared_error, C, 24), rel=1e-3)
    many = align.loss(np.stack([C, C]), np.stack([v, 2 * v]))
    assert many == pytest.approx([float(align.loss(C, each)) for each in (v, 2 * v)])


def test_the_drift_of_bp_is_the_gradient_of_the_loss_and_a_term_of_second_order():
    # dv = -η ∂loss/∂v, and dR, dQ without η² are those of dw = -η ∂loss/∂w, by finite differences.
    C, v, h = random_covariance(5, 1), np.array([0.7, -1.2, 0.4]), 1e-5
    dC, dv = align.drift(C, v, align.TEACHER, v, 1e-8)
    by_v = [(align.loss(C, v + h * e) - align.loss(C, v - h * e)) / (2 * h) for e in np.eye(3)]
    assert dv / 1e-8 == pytest.approx(-np.array(by_v), rel=1e-5)
    W = np.linalg.cholesky(C)  # weights in five dimensions with these order parameters

    def loss(W):
        return align.loss(W @ W.T, v)

    gradient = np.zeros((5, 5))
    for place in np.ndindex(3, 5):
        step = np.zeros((5, 5))
        step[place] = h
        gradient[place] = (loss(W + step) - loss(W - step)) / (2 * h)
    assert dC / 1e-8 == pytest.approx(-(gradient @ W.T + W @ gradient.T), rel=1e-4, abs=1e-6)


def test_the_second_order_of_the_drift_is_the_mean_product_of_two_changes():
    C, v, feedback = random_covariance(4, 2), np.array([0.5, 0.9]), np.array([1.0, -1.0])
    change = [align.drift(C, v, align.TEACHER, feedback, rate)[0] for rate in (1.0, 2.0)]
    second = (change[1] - 2 * change[0]) / 2

    def product(a, b, c, d):
        error = 0.5 * g(a) + 0.9 * g(b) - g(c) - g(d)
        return -slope(a) * slope(b) * error**2

    assert second[0, 1] == pytest.approx(gaussian_mean(product, C, 30), rel=1e-3)
    assert second[:, 2:] == pytest.approx(0, abs=1e-12)


def test_bp_is_the_case_of_feedback_by_the_output_weights():
    C, v, _ = align.same_start()
    times = np.array([0.0, 1.0])
    step = 5e-3
    by_hand, outputs = C, v
    for _ in range(200):
        dC, dv = align.drift(by_hand, outputs, align.TEACHER, outputs, align.RATE)
        by_hand, outputs = by_hand + step * dC, outputs + step * dv
    solved, solved_v = align.theory(C, v, None, times)
    assert solved[-1] == pytest.approx(by_hand, abs=2e-2)
    assert solved_v[-1] == pytest.approx(outputs, abs=2e-2)


def one_student(D=30, seed=3):
    student = align.draw("small", D, np.random.default_rng(seed))
    return align.Students(*(each[None] for each in student))


def test_a_step_is_that_of_autograd_for_bp_and_has_b_in_the_place_of_v_for_dfa():
    D, students = 30, one_student()
    C, v = align.simulate(students, np.array([0.0, 1 / D]), [np.random.default_rng(5)])
    x = torch.tensor(np.random.default_rng(5).standard_normal((64, D))[0])
    W = torch.tensor(students.W[0], requires_grad=True)
    outputs = torch.tensor(students.v[0], requires_grad=True)
    hidden = torch.erf(W @ x / math.sqrt(D) / math.sqrt(2))
    half = ((outputs @ hidden[:4] - hidden[4:].sum()) ** 2) / 2
    by_w, by_v = torch.autograd.grad(half, (W, outputs))
    replaced = torch.tensor(students.feedback[0]) / outputs.detach()
    for rule, factor in enumerate((torch.ones(4), replaced)):
        after = W.detach().clone()
        after[:4] -= align.RATE * factor[:, None] * by_w[:4]
        expected = (after @ after.T / D).numpy()
        assert C[0, rule, 1] == pytest.approx(expected, rel=1e-10)
        moved = (outputs - align.RATE / D * by_v).detach().numpy()
        assert v[0, rule, 1] == pytest.approx(moved, rel=1e-10)
    assert C[0, 0, 0] == pytest.approx(students.W[0] @ students.W[0].T / D)


def test_students_start_where_they_should():
    C, v, feedback = align.same_start()
    same = align.draw("same", 50, np.random.default_rng(0))
    assert np.allclose(same.W @ same.W.T / 50, C, rtol=0, atol=1e-12)
    assert (same.v.tolist(), same.feedback.tolist()) == (v.tolist(), feedback.tolist())
    large = align.draw("large", 5_000, np.random.default_rng(0))
    assert large.W[4:] @ large.W[4:].T / 5_000 == pytest.approx(np.eye(2), abs=1e-12)
    assert large.W[:4].std() == pytest.approx(1, rel=0.02)
    assert set(np.abs(large.feedback)) == {1.0}


def test_a_student_does_not_depend_on_those_beside_it(tmp_path):
    def ordered(table):
        return table.sort_values(["start", "method", "dimensions", "seed", "time"], ignore_index=True)

    file = tmp_path / "align.csv"
    alone = align.align_table((10, 20), 1, results=file)
    more = align.align_table((10, 20), 3, results=file)
    assert ordered(more[more["seed"] == 0]).equals(ordered(alone))
    assert ordered(align.align_table((10, 20), 3)).equals(ordered(more))
    with pytest.raises(InputError, match="belongs to another experiment"):
        align.align_table((10, 30), 3, results=file)


def test_first_steps_from_a_small_start_are_those_of_the_proposition():
    stream, c = np.random.default_rng(0), align.RATE * math.sqrt(2) * math.sqrt(2) / math.pi
    W, v, B = 1e-4 * stream.standard_normal((4, 6)), 1e-4 * stream.standard_normal(4), np.ones(4)
    both = np.vstack([W, np.eye(6)[4:]])
    C = both @ both.T
    r = C[:4, 4:] @ align.TEACHER / math.sqrt(2)
    for t, feedback in ((0.01, B), (1.0, None)):
        _, outputs = align.theory(C, v, feedback, np.array([0.0, t]))
        expected = (
            (v + r) * math.exp(c * t) / 2 + (v - r) * math.exp(-c * t) / 2
            if feedback is None
            else v + c * r * t + c**2 * B * t**2 / 2
        )
        assert outputs[-1] == pytest.approx(expected, rel=0.02, abs=1e-6)


# ---- what is said ----


def made_up(dfa_aligns, slopes, kept):
    """A table of students whose times, distances and signs are as given."""
    rows = []
    for seed in range(30):
        for method in align.METHODS:
            for D in (100, 400):
                distance = D ** (slopes + 0.01 * (seed % 3)) if slopes else math.nan
                rows += [("x", "same", method, D, seed, t, 1.0, 0.0, distance, 0.5, 0.5) for t in (0, 1)]
            for start, late in (("small", dfa_aligns), ("large", -dfa_aligns)):
                for t in range(9):
                    aligned = float(t >= 4 + late + seed % 2)
                    signs = (1.0, 0.5) if (method == "dfa") == kept else (0.5, 1.0)
                    learned = 1.0 - (t >= 4)
                    rows.append(("x", start, method, 100, seed, t, learned, aligned, math.nan, *signs))
    return pd.DataFrame(rows, columns=list(align.COLUMNS))


def test_the_claims_are_judged_by_students():
    ids = ("16a", "16b", "16c", "16d")
    right = Evidence("digits", None, tables={"align": made_up(-2, -0.5, True)})
    assert [judge(CLAIMS[id], right).verdict for id in ids] == [HOLDS] * 4
    assert measures.aligned_before_learned("small")(right).values.tolist()[:2] == [-2, -1]
    assert measures.finite_size_slope("bp")(right).values.tolist()[:2] == pytest.approx([-0.5, -0.49])
    wrong = Evidence("digits", None, tables={"align": made_up(2, -1.0, False)})
    assert [judge(CLAIMS[id], wrong).verdict for id in ids] == [FAILS] * 4


def test_stored_students_are_judged_once_and_both_editions_keep_the_same():
    for name in ("align.csv", "align.json"):
        digits, mnist = ((ROOT / "results" / d / name).read_bytes() for d in ("digits", "mnist"))
        assert digits == mnist
    stored = Evidence("digits", ROOT / "results" / "digits")
    for id in ("16a", "16b", "16c", "16d"):
        judgement = judge(CLAIMS[id], Evidence("mnist", ROOT / "results" / "mnist"))
        assert (judgement.verdict, judgement.reason) == (
            NOT_TESTED,
            "its students see no digits, and are judged once",
        )
        assert judge(CLAIMS[id], stored).computed


def test_stored_students_are_those_of_this_code():
    stored = pd.read_csv(ROOT / "results" / "digits" / "align.csv")
    C, v, feedback = align.same_start()
    expected = [align.flat(*align.theory(C, v, of, align.SAME_TIMES)) for of in (None, feedback)]
    for start in ("same", "large"):
        rows = align.train_students(start, 100, [7], expected)
        again = pd.DataFrame(rows, columns=list(align.COLUMNS)[1:])
        there = stored[
            (stored["start"] == start) & (stored["dimensions"] == 100) & (stored["seed"] == 7)
        ]
        early = (again["time"] < 3).to_numpy()  # later, rounding of another processor may have grown
        for name in ("loss", "alignment", "distance"):
            there_too = there[name].to_numpy()[early]
            assert again[name].to_numpy()[early] == pytest.approx(there_too, abs=1e-4, nan_ok=True)


def test_the_parity_runs_are_asked_for_the_same_order():
    rows = [
        ("dfa", "sgd", seed, epoch, cosine, loss, "learned")
        for seed in (0, 1)
        for epoch, cosine, loss in ((1, 0.1, 0.69), (2, 0.5, 0.68), (3, 0.7, 0.6), (4, 0.8, 0.1))
    ]
    columns = ["method", "optimizer", "seed", "epoch", "weight_alignment", "train_loss", "outcome"]
    evidence = Evidence("digits", None, tables={"alignment": pd.DataFrame(rows, columns=columns)})
    assert measures.alignment_before_loss()(evidence).values.tolist() == [-2, -2]


@pytest.fixture(scope="module")
def shown():
    return chapter.trained(check_parameters({"profile": "smoke", "jobs": 1}))


def test_the_chapter_says_what_its_students_did(shown):
    said = chapter.finding(shown).replace("\u00a0", " ")
    assert said.startswith("**What came out.** Simulations follow the equations")
    assert "its loss, and from a large one" in said
    for figure in (chapter.two_phases(shown), chapter.theory_and_students(shown)):
        assert figure["results"] == ("align",)
        assert len(figure["figure"].axes) == 2
        assert "4 students with 4 erf units" in figure["caption"].replace("\u00a0", " ")
    table = chapter.solutions(shown)
    assert {line.count("|") for line in table.split("\n\n")[1].splitlines()} == {6}
    stored = {d: Evidence(d, ROOT / "results" / d) for d in ("digits", "mnist")}
    epochs = measures.alignment_before_loss()(stored["mnist"]).mean
    assert f"| MNIST | −{-epochs:.1f} (" in chapter.parities(stored)
    nothing = dict.fromkeys(stored, Evidence("digits", None))
    assert chapter.parities(nothing).startswith("The runs on parities are not in this build")
