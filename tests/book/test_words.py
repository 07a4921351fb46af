import math

import pandas as pd
import pytest

from dfa_book import words
from dfa_book.claims.queries import Sample
from dfa_lib.experiments.statistics import Interval, mean_interval

NAN = math.nan


def seeds(*values, unstable=()):
    return Sample(pd.Series(values, dtype=float), frozenset(unstable))


def plain(text):
    """The text with ordinary spaces."""
    return text.replace(words.SPACE, " ")


def test_numbers_have_a_true_minus_and_a_rounded_zero_has_none():
    assert words.number(-0.12) == "−0.12"
    assert words.number(-0.001) == words.number(0.001) == "0.00"
    assert words.number(0.001, "+.2f") == "0.00"
    assert plain(words.span(-1, 2, "+.1f")) == "−1.0 to +2.0"


def test_a_mean_is_said_in_percent_and_its_interval_stays_below_a_hundred():
    assert plain(words.mean(seeds(0.7, 0.8))) == "75.0 %"
    text = plain(words.mean(seeds(0.99, 0.999, 0.98), interval=True))
    assert text.startswith("99.0 % (")
    assert float(text.split(" to ")[1].rstrip(")")) < 100


def test_a_mean_says_how_many_seeds_are_unstable_and_what_the_others_have():
    text = plain(words.mean(seeds(0.7, 0.5, 0.8, unstable=[1]), interval=True))
    assert text == "66.7 % (1 of 3 seeds unstable; the other 2: 75.0 %)"
    assert plain(words.mean(seeds(0.5, unstable=[0]))) == "50.0 % (1 of 1 seeds unstable)"
    assert words.mean(seeds(0.5, NAN)) == "no value (1 of 2 seeds not finite)"
    assert words.mean(seeds(0.1, 0.3), words.COSINE) == "0.20"


def test_a_difference_is_said_in_points_whichever_is_larger():
    assert plain(words.size(Interval(0.021, 0.01, 0.032, 5))) == "2.1 points (1.0 to 3.2)"
    assert plain(words.size(Interval(-0.021, -0.032, -0.01, 5))) == "2.1 points (1.0 to 3.2)"
    assert plain(words.size(Interval(-0.01, -0.03, 0.01, 5))) == "1.0 points (−1.0 to 3.0)"
    assert plain(words.size(mean_interval([0.1]))) == "10.0 points"


def test_an_interval_is_cut_off_at_what_is_possible():
    assert plain(words.signed(Interval(0.1, -1.2, 1.4, 2))) == "+10.0 points (−100.0 to +100.0)"
    assert words.signed(Interval(NAN, NAN, NAN, 2)) == "a run is not finite"


def test_the_interval_of_a_mixture_is_that_of_the_stable_seeds_and_says_so():
    interval = seeds(0.10, 0.12).interval()
    text = plain(words.gap(seeds(0.10, 0.30, 0.12, unstable=[1])))
    low, high = (words.number(100 * end, "+.1f") for end in (interval.low, interval.high))
    assert text == f"+17.3 (1 of 3 seeds unstable; the others: +11.0 ({low} to {high}))"
    assert plain(words.gap(seeds(0.1, 0.1))) == "+10.0 (+10.0 to +10.0)"
    assert words.gap(seeds(0.1)) == "+10.0"
    assert words.gap(seeds()) == "no seeds in common"


def test_no_line_breaks_within_an_interval():
    for text in (words.size(Interval(0.1, 0.0, 0.2, 3)), words.mean(seeds(0.7, 0.8), interval=True)):
        assert " " not in text.partition("(")[2]


def test_a_table_has_its_numbers_on_the_right():
    assert words.table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|--:|\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("names", "said"), [(["A"], "A"), (["A", "B"], "A and B"), (["A", "B", "C"], "A, B and C")]
)
def test_names_are_enumerated(names, said):
    assert words.enumerated(names) == said


def test_counts_have_their_noun():
    assert plain(words.plural(1, "seed")) == "1 seed"
    assert plain(words.plural(1_200, "seed")) == "1,200 seeds"
