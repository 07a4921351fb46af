import math

import numpy as np
import pytest
import torch

from dfa_lib import InputError
from dfa_lib.validation import (
    choice,
    nearest,
    positive_number,
    shown,
    whole_number,
)

HUGE = pytest.param(10**5000, id="more digits than Python writes down")


def test_a_choice_is_returned_as_it_is():
    assert choice("colour", "red", ["red", "blue"]) == "red"


@pytest.mark.parametrize("value", ["rod", "Red", "", None, 1, ["red"], {"red"}])
def test_a_bad_choice_is_named_and_the_accepted_ones_are_listed(value):
    with pytest.raises(InputError) as caught:
        choice("colour", value, (name for name in ("red", "blue")))
    assert str(caught.value).startswith(f"colour cannot be {value!r}")
    assert str(caught.value).endswith("accepted are red, blue.")


def test_only_a_likely_misspelling_is_suggested():
    assert nearest("rmsporp", ["sgd", "rmsprop"]) == " (did you mean rmsprop?)"
    assert nearest("zzz", ["sgd", "rmsprop"]) == ""


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), torch.tensor(3)])
def test_whole_numbers_of_any_kind_become_ints(value):
    number = whole_number("k", value)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, 1.0, 1.5, "3", None, True, math.nan, 1j, int),
        *(b"3", np.True_, np.float64(3), np.array(2.7), np.array([1, 2]), torch.tensor(2.7)),
    ],
)
def test_anything_but_a_whole_number_is_named(value):
    with pytest.raises(InputError, match="k must be a whole number of at least 1, not"):
        whole_number("k", value)


@pytest.mark.parametrize("value", [100_000_001, 2**31, 10**20, 10**400, HUGE])
def test_whole_numbers_have_a_limit_that_is_stated(value):
    with pytest.raises(InputError, match=r"^k must be at most 100,000,000, not .{1,60}\.$"):
        whole_number("k", value)


def test_the_minimum_of_a_whole_number_counts():
    assert whole_number("seed", 0, minimum=0) == 0
    with pytest.raises(InputError, match="dimensions must be a whole number of at least 3, not 2"):
        whole_number("dimensions", 2, minimum=3)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2), torch.tensor(2.0)])
def test_positive_numbers_of_any_kind_become_floats(value):
    number = positive_number("rate", value)
    assert number == 2
    assert type(number) is float


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, math.nan, math.inf, "1e-3", True, None, 1j, [1.0], 10**400, HUGE),
        *(b"0.1", bytearray(b"0.1"), np.True_, torch.tensor(True), torch.ones(2), np.ones(2)),
    ],
)
def test_anything_but_a_positive_finite_number_is_named(value):
    with pytest.raises(InputError) as caught:
        positive_number("rate", value)
    assert str(caught.value) == f"rate must be a positive, finite number, not {shown(value)}."
    assert len(str(caught.value)) < 160


def test_zero_passes_where_it_may():
    assert positive_number("decay", 0, or_zero=True) == 0
    with pytest.raises(InputError, match="zero or a positive, finite number, not -1"):
        positive_number("decay", -1, or_zero=True)


def test_an_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)
