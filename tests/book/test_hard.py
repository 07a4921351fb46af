"""Parities of bits: labels, training against autograd, steps with runs that do not get there, claims."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dfa_book import hard
from dfa_book.chapter import check_parameters
from dfa_book.chapters import hard as chapter
from dfa_book.claims import measures
from dfa_book.claims.judge import FAILS, HOLDS, NOT_TESTED, Evidence, judge
from dfa_book.claims.own_claims import OWN_CLAIMS
from dfa_lib.learning_rules import backpropagation, direct_feedback_alignment, gradients
from dfa_lib.randomness import generator

ROOT = Path(__file__).parents[2]
IDS = ("19a", "19b", "19c", "19d")
CLAIMS = {claim.id: claim for claim in OWN_CLAIMS}


def test_the_label_is_the_product_of_the_first_bits_alone():
    X = hard.signs((500, 6), generator(0, "train"))
    assert set(X.unique().tolist()) == {-1, 1}
    products = [int(np.prod(row[:3])) for row in X.tolist()]
    assert hard.parity_labels(X, 3)[:, 0].tolist() == [float(product == 1) for product in products]
    X[:, 3:] *= -1
    assert hard.parity_labels(X, 3)[:, 0].tolist() == [float(product == 1) for product in products]


def by_hand(case, seed, steps):
    """Train by SGD with autograd, in float64; DFA's first layer by the formula."""
    drawn = hard.start_networks(case, [seed])
    W1, b1, W2, b2 = (drawn[name][0].double() for name in ("W1", "b1", "W2", "b2"))
    start, stream = W1, generator(seed, "train")
    block = hard.signs((hard.BLOCK, hard.BATCH, case.dimensions), stream).double()
    test = hard.signs((hard.TEST, case.dimensions), generator(seed, "test")).double()
    measured = []
    for t in range(steps):
        x, y = block[t], hard.parity_labels(block[t], case.k).double()
        weights = [w.clone().requires_grad_() for w in (W1, b1, W2, b2)]
        a = x @ weights[0] + weights[1]
        logits = torch.relu(a) @ weights[2] + weights[3]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y)
        slopes = list(torch.autograd.grad(loss, weights))
        if case.method == "dfa":
            e = (torch.sigmoid(logits) - y).detach() / len(x)
            delta = e * drawn["B1"][0].double() * (a.detach() > 0)
            slopes[:2] = [x.T @ delta, delta.sum(0, keepdim=True)]
        W1, b1, W2, b2 = (
            w - case.learning_rate * g for w, g in zip((W1, b1, W2, b2), slopes, strict=True)
        )
        answers = torch.relu(test @ W1 + b1) @ W2 + b2 > 0
        right = (answers == (hard.parity_labels(test, case.k) > 0.5)).double().mean().item()
        moved = (W1 - start) ** 2
        measured.append((right, math.sqrt(moved[: case.k].mean() / moved[case.k :].mean())))
    return measured


@pytest.mark.parametrize("method", ["bp", "dfa"])
def test_training_is_that_of_autograd_and_a_seed_does_not_depend_on_others(method):
    case = hard.BitsCase(2, 6, method, "sgd", 0.25)
    rows = hard.train_bits(case, [3, 4], 3)
    for seed in (3, 4):
        own = [row for row in rows if row[5] == seed]
        assert [row[6] for row in own] == [1, 2, 3]
        for row, expected in zip(own, by_hand(case, seed, 3), strict=True):
            assert row[7:] == pytest.approx(expected, abs=2e-3)
        assert [row[7:] for row in hard.train_bits(case, [seed], 3)] == [
            pytest.approx(row[7:], abs=1e-3) for row in own
        ]


def test_bp_and_dfa_of_a_seed_share_weights_and_differ_by_a_factor_for_each_unit():
    start = {m: hard.start_networks(hard.BitsCase(2, 6, m, "sgd", 1.0), [0]) for m in ("bp", "dfa")}
    assert all(torch.equal(start["dfa"][name], value) for name, value in start["bp"].items())
    X = hard.signs((1, 50, 6), generator(0, "train")).float()
    y = hard.parity_labels(X, 2)
    bp = gradients(backpropagation(start["bp"], X, y))["W1"]
    dfa = gradients(direct_feedback_alignment(start["dfa"], X, y))["W1"]
    torch.testing.assert_close(dfa, bp * start["dfa"]["B1"] / start["dfa"]["W2"].mT)


def test_fixed_features_do_not_move():
    rows = hard.train_bits(hard.BitsCase(2, 6, "relu_features", "sgd", 1.0), [0], 4)
    assert all(math.isnan(row[8]) for row in rows)


def test_a_run_ends_when_it_has_learned_or_has_no_steps_left():
    rows = hard.train_bits(hard.BitsCase(1, 6, "bp", "sgd", 1.0), [0, 1], 9)
    for seed in (0, 1):
        reached = [row[7] >= hard.DONE for row in rows if row[5] == seed]
        assert not any(reached[:-1])
    assert hard.train_bits(hard.BitsCase(6, 6, "bp", "sgd", 0.01), [0], 9)[-1][6] == 9


def test_a_table_grows_by_seeds_and_keeps_what_it_has(tmp_path):
    file, cases = tmp_path / "hard.csv", [hard.BitsCase(1, 6, m, "sgd", 0.5) for m in ("bp", "dfa")]
    hard.bits_table(cases, range(1), 4, results=file)
    more = hard.bits_table(cases, range(2), 4, results=file)
    assert more["seed"].nunique() == 2
    pd.testing.assert_frame_equal(more, hard.bits_table(cases, range(2), 4, results=file))


def test_runs_that_do_not_get_there_count_with_their_last_step():
    rows = [(0.1, 0, 1, 0.5), (0.1, 0, 2, 0.8), (0.1, 0, 4, 0.6), (0.1, 1, 1, 0.5), (0.1, 1, 8, 0.74)]
    rows += [(0.2, 0, 3, 0.9), (0.2, 1, 3, 0.9)]
    table = pd.DataFrame(rows, columns=["learning_rate", "seed", "step", "test_accuracy"]).assign(k=2)
    needed = hard.steps_needed(table, ["learning_rate", "seed"])
    assert needed["steps"].tolist() == [2, 8, 3, 3]
    assert needed["reached"].tolist() == [True, False, True, True]
    assert hard.fastest(table, ["k"]).to_dict() == {2: 0.2}


def made_up(dfa_takes, power, moved):
    """Bits and digits with known steps: DFA takes so many times as long, more so with three digits."""
    bits, digits = [], []
    for seed in range(4):
        for k in (2, 3, 4):
            for method, factor in (("bp", 1.0), ("dfa", dfa_takes)):
                for optimizer in ("sgd", "adam"):
                    steps = 100 * factor + seed
                    bits += [(k, 20, method, optimizer, 1.0, seed, steps, 0.8, 1.0)]
                for n in (10, 20, 40):
                    steps = 10 * n ** (power if method == "dfa" else 1.5) + seed
                    case = (k, n, method, "sgd", hard.SMALL_RATE, seed)
                    bits += [(*case, 5, 0.5, moved + seed / 100), (*case, steps, 0.8, 9.0)]
                for optimizer in ("sgd", "rmsprop"):
                    epoch = 10 * (1 + (k == 3) * (factor - 1)) + seed % 2
                    digits += [(k, method, optimizer, seed, epoch, 128, 128, 0.8)]
    digits = pd.DataFrame(
        digits,
        columns=["k", "method", "optimizer", "seed", "epoch", "samples", "batch_size", "test_accuracy"],
    )
    bits = pd.DataFrame([("x", *row) for row in bits], columns=list(hard.COLUMNS))
    return Evidence("digits", None, tables={"hard": bits, "hard_digits": digits})


def test_the_claims_are_judged_by_steps():
    right, wrong = made_up(2, 1.4, 2.0), made_up(0.5, 2.5, 1.0)
    assert [judge(CLAIMS[id], right).verdict for id in IDS] == [HOLDS] * 4
    assert [judge(CLAIMS[id], wrong).verdict for id in IDS] == [FAILS] * 4
    slopes = measures.size_slope(3, "dfa")(right).values
    assert slopes.to_numpy()[0] == pytest.approx(1.4)
    assert measures.hidden_progress(4, "bp")(right).values.tolist() == [2.0, 2.01, 2.02, 2.03]


def test_stored_runs_are_judged_once_and_both_editions_keep_the_same():
    digits, mnist = (
        {path.name: path.read_bytes() for path in (ROOT / "results" / name).glob("hard*")}
        for name in ("digits", "mnist")
    )
    tables = ("hard", "hard_digits", "hard_digits_tuning", "hard_tuning")
    assert sorted(digits) == sorted(f"{name}.{end}" for name in tables for end in ("csv", "json"))
    assert digits == mnist
    stored = Evidence("digits", ROOT / "results" / "digits")
    for id in IDS:
        assert judge(CLAIMS[id], Evidence("mnist", ROOT / "results" / "mnist")).verdict == NOT_TESTED
        assert judge(CLAIMS[id], stored).computed


def test_stored_runs_are_those_of_this_code():
    stored = pd.read_csv(ROOT / "results" / "digits" / "hard.csv")
    case = hard.BitsCase(2, 10, "dfa", "sgd", hard.SMALL_RATE)
    again = pd.DataFrame(hard.train_bits(case, [7], 16), columns=list(hard.COLUMNS)[1:])
    there = stored[(stored[list(hard.CASE)] == list(case)).all(axis=1) & (stored["seed"] == 7)].head(
        len(again)
    )
    for name in ("step", "test_accuracy", "relevant"):
        assert again[name].head(len(there)).to_numpy() == pytest.approx(there[name].to_numpy(), rel=1e-2)


def test_tuning_seeds_are_no_repeats():
    for name in ("hard", "hard_digits"):
        tuned, repeats = (
            pd.read_csv(ROOT / "results" / "digits" / f"{each}.csv") for each in (f"{name}_tuning", name)
        )
        assert not set(tuned["seed"]) & set(repeats["seed"])
        rates = hard.fastest(hard.with_steps(tuned) if "epoch" in tuned else tuned, chapter.KEY)
        own = repeats[
            (repeats["learning_rate"] != hard.SMALL_RATE) & (repeats["method"] != "relu_features")
        ]
        assert own.groupby(chapter.KEY)["learning_rate"].unique().map(list).to_dict() == {
            key: [rate] for key, rate in rates.items()
        }


@pytest.fixture(scope="module")
def shown():
    return chapter.studied(check_parameters({"profile": "smoke", "jobs": 1}))


def test_the_chapter_says_how_many_steps_were_needed(shown):
    said = chapter.finding(shown).replace("\u00a0", " ")
    assert said.startswith("**What came out.** The parity of 2 and 3 of 20 bits takes DFA with SGD ")
    assert "At the same small rate, steps for 3 bits over steps for 2 are BP " in said
    figures = [chapter.effort(shown), chapter.growth(shown), chapter.progress(shown)]
    for figure in figures:
        assert figure["results"][0] == "hard"
        assert figure["figure"].axes
    assert {line.count("|") for line in chapter.rates(shown).splitlines()} == {5}
