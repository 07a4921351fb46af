"""The result in a few numbers: one source for home page, two-minute page, conclusion and ledger."""

import re
from pathlib import Path

import pandas as pd
import pytest

from dfa_book import answers, story
from dfa_book.claims import ledger
from dfa_book.claims.judge import Evidence, judge
from dfa_book.claims.measures import ADAPTIVE, best_lazy
from dfa_book.digit_tables import sample_stacks
from dfa_book.panels import figure_html
from dfa_book.words import SPACE, points
from dfa_lib.optimizers import OPTIMIZERS

ROOT = Path(__file__).parents[2]
QUOTING = ("index.ipynb", "two-minutes.md", "conclusion.ipynb")


@pytest.fixture(scope="module")
def mnist():
    return Evidence("mnist", ROOT / "results" / "mnist")


@pytest.fixture(scope="module")
def on_mnist(mnist):
    return story.outcome(mnist)


def rows(ends, unstable=(), **fields):
    """A results table: two epochs for each seed, which end at ``ends``."""
    return [
        {"dataset": "digits", "k": 3, "epochs": 2, "epoch": epoch, "seed": seed}
        | {"optimizer": "sgd", "test_accuracy": end - 0.1 * (2 - epoch)}
        | {"outcome": "unstable" if seed in unstable else "learned"}
        | fields
        for seed, end in enumerate(ends)
        for epoch in (1, 2)
    ]


def made_up(bp, dfa, adaptive_dfa=None, unstable=()):
    """Evidence on the digits with these final accuracies, by seed."""
    sgd = rows(bp, method="bp") + rows(dfa, unstable, method="dfa")
    lazy = rows([0.52] * len(bp), method="ntk") + rows([0.5] * len(bp), method="linear_features")
    both = [
        row
        for o in OPTIMIZERS
        for row in (
            rows(bp, method="bp", optimizer=o)
            + rows(
                adaptive_dfa if adaptive_dfa and o in ADAPTIVE else dfa,
                unstable if o == "adam" else (),
                method="dfa",
                optimizer=o,
            )
        )
    ]
    tables = {"sgd": sgd, "reproduction": lazy, "adaptive_methods": both}
    return Evidence("digits", None, tables={n: pd.DataFrame(t) for n, t in tables.items()})


ODD = {
    "one seed": made_up([0.8], [0.7]),
    "unstable": made_up([0.8, 0.81, 0.82], [0.7, 0.71, 0.5], unstable=[2]),
    "reversed": made_up([0.7, 0.71, 0.7], [0.8, 0.82, 0.81]),
    "equal": made_up([0.8, 0.81], [0.8, 0.81]),
}


# ---- one source ----


def test_the_story_and_the_ledger_have_the_same_numbers(mnist, on_mnist):
    by_id = {claim.id: judge(claim, mnist) for claim in ledger.CLAIMS}
    assert on_mnist.gap.interval() == by_id["3b"].numbers[0].interval
    assert (on_mnist.sgd["dfa"] - on_mnist.lazy).interval() == by_id["3a"].numbers[0].interval
    gaps = [number.interval.mean for number in by_id["8b"].numbers]
    assert [on_mnist.gaps[o].interval().mean for o in ("rmsprop", "adadelta")] == gaps
    assert on_mnist.lazy.values.tolist() == best_lazy(3)(mnist).values.tolist()
    assert points(by_id["3b"].numbers[0].interval.mean) in story.finding(on_mnist)


@pytest.mark.parametrize("name", QUOTING)
def test_pages_that_tell_the_story_take_its_numbers_and_verdicts_from_the_ledger(name):
    text = (ROOT / "book" / name).read_text()
    quoted = set(re.findall(r"ledger\.ipynb::(\w+)", text))
    assert {"finding_digits", "finding_mnist"} <= quoted
    glued = set(re.findall(r"experiments\.ipynb::([\w-]+)|learning-problems\.ipynb::([\w-]+)", text))
    assert not [key for pair in glued for key in pair if "verdict" in key and "matrices" not in key]
    assert not re.search(r"::\w*(?:bp|dfa)_(?:k3|best)", text)


def test_two_pages_with_different_values_of_one_result_are_found(on_mnist):
    ours = {key: repr(value) for key, value in story.numbers(on_mnist).items()}
    assert answers.differences({"experiments": ours | {"x": "1"}, "ledger": ours | {"y": "2"}}) == []
    (wrong,) = answers.differences({"experiments": ours, "ledger": ours | {"bp_k3": "0.5"}})
    assert wrong == f"ledger has 0.5 for bp_k3, and experiments has {ours['bp_k3']}; execute both again."


# ---- sentences ----


def plain(text):
    return text.replace(SPACE, " ")


def test_the_finding_is_a_sentence_in_points(on_mnist):
    points = r"\d+\.\d points \(\d+\.\d to \d+\.\d(; \d of 5 seeds unstable)?\)"
    assert re.fullmatch(
        r"On MNIST, BP with SGD gets \d\d\.\d % right, DFA \d\d\.\d %, and the best fixed features "
        rf"\d\d\.\d %: {points} below DFA\. Random feedback costs {points}; "
        rf"with a step size for each weight it costs {points}\.",
        plain(story.finding(on_mnist)),
    )
    fixed = plain(story.fixed_features(on_mnist))
    assert fixed.endswith("fixed gates).")


@pytest.mark.parametrize("name", ODD)
def test_every_sentence_can_be_read_whatever_came_out(name):
    found = story.outcomes({"digits": ODD[name]})
    said = " ".join(
        [*story.sentences(found).values(), story.curves_in_words(found), story.gaps_in_words(found)]
    )
    said += story.results_table(found)
    assert "nan" not in said
    assert not re.search(r"(?<![\w.])-\d|−0\.0\b|None|\{", said)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "one seed",
            "features 52.0 %: 18.0 points (one seed) below DFA. Random feedback costs 10.0 points (one",
        ),
        ("unstable", "1 of 3 seeds unstable); with"),
        ("reversed", "Random feedback gains 10.7 points (9.2 to 12.1); with"),
        ("equal", "costs 0.0 points (0.0 to 0.0); with"),
    ],
)
def test_odd_results_are_said_as_they_are(name, sentence):
    assert sentence in plain(story.finding(story.outcome(ODD[name])))


def test_a_line_that_leaves_seeds_out_says_so_where_the_numbers_do_not(on_mnist):
    assert story.left_out({"mnist": on_mnist}) == ""
    assert plain(story.left_out({"digits": story.outcome(ODD["unstable"])})) == (
        "On the digits, the line of DFA leaves out 1 unstable seed of 3; the numbers count all."
    )


def test_a_dataset_without_results_is_said_to_be_missing(mnist, on_mnist):
    found = story.outcomes({"digits": Evidence("digits", None), "mnist": mnist})
    assert list(found) == ["mnist"]
    assert story.absent(found) == "This edition has no results on the digits."
    assert story.sentences(found)["finding_digits"] == story.absent(found)
    assert story.results_table(found).count("<td>–</td>") == 8


def test_the_two_minute_page_can_be_read_in_two_minutes(on_mnist):
    text = (ROOT / "book" / "two-minutes.md").read_text()
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for key, sentence in story.sentences({"digits": on_mnist, "mnist": on_mnist}).items():
        prose = prose.replace(f"{{glue:text}}`ledger.ipynb::{key}:s`", sentence)
    prose = re.sub(r"\{\w+\}`([^<`]*)(?:<[^>]*>)?`|\]\([^)]*\)", r"\1", prose)
    assert "glue" not in prose
    assert len(re.findall(r"\w[\w.’'-]*", prose)) <= 250


# ---- figures ----


def test_the_curves_are_named_at_their_ends_and_solid(on_mnist):
    figure = story.story_curves({"mnist": on_mnist})
    (panel,) = figure.axes
    said = {" ".join(text.get_text().split()) for text in panel.texts}
    assert said == {"BP", "DFA", "best fixed features", "guessing"}
    curves = [line for line in panel.lines if isinstance(line, story.Curve)]
    assert [line.get_linestyle() for line in curves] == ["-"] * 3
    ends = [on_mnist.sgd["bp"], on_mnist.sgd["dfa"], on_mnist.lazy]
    assert [line.y[-1] for line in curves] == [pytest.approx(s.values.mean()) for s in ends]


def test_the_summary_has_a_row_for_each_optimizer_and_says_bps_lead(on_mnist):
    found = {"digits": story.outcome(ODD["unstable"]), "mnist": on_mnist}
    figure = story.gap_rows(found)
    assert len(figure.axes) == 2
    for panel, each in zip(figure.axes, found.values(), strict=True):
        assert [t.get_text() for t in panel.get_yticklabels()][:2] == ["SGD", "momentum"]
        said = [t.get_text() for t in panel.texts]
        assert [points(gap.interval().mean) for gap in each.gaps.values()] == [
            text for text in said if re.fullmatch(r"−?[\d.]+", text)
        ]
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert len(crosses) == 1  # of DFA with Adam
    assert "dfa-figure" in figure_html(figure, story.gaps_in_words(found), "gaps")


def test_without_results_figures_say_so():
    for figure in (story.story_curves({}), story.gap_rows({})):
        assert figure.axes[0].texts[0].get_text() == "There are no results here yet."


def test_stacks_are_drawn_over_their_sums():
    stacks, digits = sample_stacks("digits")
    figure = story.stack_row(stacks[3], digits)
    titles = [panel.get_title() for panel in figure.axes]
    assert len(titles) == 3
    for title, index in zip(titles, stacks[3].index, strict=True):
        terms, total, parity = re.fullmatch(r"(.*) = (\d+): (odd|even)", title).groups()
        assert [int(term) for term in terms.split(" + ")] == digits.labels[index].tolist()
        assert int(total) == digits.labels[index].sum()
        assert parity == ("odd" if int(total) % 2 else "even")
    assert story.stacks_in_words(stacks[3], digits).count(" is ") == 3


# ---- links ----


def test_links_to_the_repository_are_there_when_it_is_known(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DFA_REPOSITORY_URL", "https://github.com/someone/thesis")
    said = story.links()
    assert said.startswith("[The repository](https://github.com/someone/thesis) · ")
    assert "[run it on Binder](https://mybinder.org/v2/gh/someone/thesis/" in said
    assert "introduction.ipynb" in said
    monkeypatch.setenv("DFA_REPOSITORY_URL", "https://example.org/thesis")
    assert story.links().startswith("[The repository](https://example.org/thesis) · ")


def test_without_a_known_repository_there_are_no_links(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert story.links() == ""
