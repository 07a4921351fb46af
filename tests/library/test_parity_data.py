import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits as sklearn_digits

from dfa_lib.data.digits import load_digits
from dfa_lib.data.examples import Examples
from dfa_lib.data.images import Digits, normalised
from dfa_lib.data.parity import draw_stacks, parity
from dfa_lib.training import load_problem


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def raw_images(digits):
    """Invert the normalisation: pixels of all three sets from 0 to 16, as in scikit-learn."""
    lowest = load_digits().train.images.min()
    highest = load_digits().train.images.max()
    return torch.round(16 * (digits.images - lowest) / (highest - lowest)).to(torch.uint8).numpy()


def test_splits_are_1257_training_180_validation_and_360_test_digits():
    sets = load_digits()
    assert [len(digits) for digits in sets] == [1257, 180, 360]
    assert all(digits.images.shape == (len(digits), 64) for digits in sets)
    assert sets.pixels == 64


def test_train_validation_and_test_share_no_image():
    images = [{image.tobytes() for image in raw_images(digits)} for digits in load_digits()]
    # No image occurs twice in the source, so the sets are disjoint as images, not only as indices.
    assert [len(s) for s in images] == [1257, 180, 360]
    assert not images[0] & images[1]
    assert not images[0] & images[2]
    assert not images[1] & images[2]


def test_every_digit_of_the_source_is_there_with_its_own_label():
    images, labels = sklearn_digits(return_X_y=True)
    truth = {x.astype(np.uint8).tobytes(): y for x, y in zip(images, labels, strict=True)}
    seen = {}
    for digits in load_digits():
        for image, label in zip(raw_images(digits), digits.labels.tolist(), strict=True):
            seen[image.tobytes()] = label
    assert seen == truth


def test_every_set_has_all_ten_digits():
    for digits in load_digits():
        counts = torch.bincount(digits.labels, minlength=10)
        assert counts.shape == (10,)
        assert counts.min() >= 0.05 * len(digits)


def test_pixels_have_mean_0_and_deviation_1_on_training_digits_alone():
    train, validation, test = (digits.images.double() for digits in load_digits())
    assert train.mean().item() == pytest.approx(0, abs=1e-6)
    assert train.std().item() == pytest.approx(1, abs=1e-6)
    # Validation and test digits are normalised by the training digits: nearly, not exactly, to 0 and 1.
    assert all(1e-4 < abs(x.mean()) < 0.1 for x in (validation, test))


def test_normalisation_reads_no_held_out_pixel():
    train, held_out = torch.tensor([[0.0, 2.0], [4.0, 6.0]]), torch.tensor([[100.0, -100.0]])
    labels = torch.zeros(2, dtype=torch.long)
    sets = normalised(Digits(train, labels), Digits(held_out, labels[:1]), Digits(held_out, labels[:1]))
    std = (20 / 3) ** 0.5  # of 0, 2, 4, 6, with n - 1
    assert sets.train.images.flatten().tolist() == pytest.approx([-3 / std, -1 / std, 1 / std, 3 / std])
    assert sets.test.images.flatten().tolist() == pytest.approx([97 / std, -103 / std])
    assert torch.equal(sets.test.images, sets.validation.images)


def test_the_checksum_names_the_data():
    sets = load_digits()
    images = sets.test.images.clone()
    images[0, 0] += 1
    assert sets.checksum() == load_digits().checksum()
    assert sets.checksum() != sets._replace(test=Digits(images, sets.test.labels)).checksum()


def test_parity_by_hand():
    stacks = torch.tensor([[1, 2, 4], [1, 2, 5], [0, 0, 0], [9, 9, 9]])
    assert parity(stacks).tolist() == [[1], [0], [0], [1]]


@given(k=st.integers(1, 6), samples=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_label_is_the_parity_of_the_digits_in_the_picture(k, samples, seed):
    digits = load_digits().train
    stacks = draw_stacks(digits, k, samples, generator(seed))
    X, y = stacks.batch(0, samples)
    assert X.shape == (samples, 64 * k)
    assert y.shape == (samples, 1)
    # Look the digits up by their pixels: no image occurs twice.
    shown = {
        image.numpy().tobytes(): int(d) for image, d in zip(digits.images, digits.labels, strict=True)
    }
    for picture, label in zip(X, y, strict=True):
        total = sum(shown[part.numpy().tobytes()] for part in picture.split(64))
        assert label.item() == total % 2


@given(
    samples=st.integers(1, 60), size=st.integers(1, 70), k=st.integers(1, 4), seed=st.integers(0, 2**32)
)
def test_batches_make_up_the_epoch(samples, size, k, seed):
    stacks = draw_stacks(load_digits().train, k, samples, generator(seed))
    batches = [stacks.batch(start, size) for start in range(0, len(stacks), size)]
    X, y = stacks.batch(0, samples)
    assert torch.equal(torch.cat([b[0] for b in batches]), X)
    assert torch.equal(torch.cat([b[1] for b in batches]), y)
    assert all(len(b[0]) == size for b in batches[:-1])


@given(samples=st.integers(1, 60), count=st.integers(1, 80), seed=st.integers(0, 2**32))
def test_shuffling_and_cutting_keep_examples_with_their_labels(samples, count, seed):
    items = torch.arange(10.0).unsqueeze(1)
    index = torch.randint(10, (samples, 1), generator=generator(seed))
    examples = Examples(items, index, index.float())
    moved = examples.shuffled(generator(seed))
    X, y = moved.batch(0, samples)
    assert torch.equal(X, y)
    assert sorted(y.flatten().tolist()) == sorted(examples.labels.flatten().tolist())
    assert torch.equal(examples.head(count).index, index[:count])


def test_digits_are_drawn_uniformly_and_both_parities_are_equally_likely():
    digits = load_digits().train
    stacks = draw_stacks(digits, 3, 40_000, generator())
    assert stacks.index.min() == 0
    assert stacks.index.max() == len(digits) - 1
    assert stacks.labels.mean().item() == pytest.approx(0.5, abs=5 * 0.5 / 200)


def same(a, b):
    return torch.equal(a.index, b.index) and torch.equal(a.labels, b.labels)


def test_stacks_are_fresh_each_epoch(small_run):
    problem = load_problem(small_run())
    assert not same(problem.training(), problem.training())
    assert not same(problem.held_out(), problem.held_out())


@pytest.mark.parametrize("epochs", [1, 3])
def test_one_seed_draws_the_same_stacks_and_another_seed_draws_others(epochs, small_run):
    first, again, other = (load_problem(small_run(seed=seed)) for seed in (5, 5, 6))
    for _ in range(epochs):
        a, b, c = (problem.training() for problem in (first, again, other))
        assert same(a, b)
        assert not same(a, c)
        a, b, c = (problem.held_out() for problem in (first, again, other))
        assert same(a, b)
        assert not same(a, c)


def test_held_out_stacks_do_not_depend_on_how_many_were_trained_on(small_run):
    few, many = (load_problem(small_run(samples=n)) for n in (10, 1000))
    few.training(), many.training()
    assert same(few.held_out(), many.held_out())


def test_methods_that_share_a_seed_share_their_stacks(small_run):
    bp, dfa = (load_problem(small_run(method=method)) for method in ("bp", "dfa"))
    assert same(bp.training(), dfa.training())
    assert same(bp.held_out(), dfa.held_out())


@pytest.mark.parametrize("evaluate_on", ["test", "validation"])
def test_stacks_come_from_the_digits_that_they_should_come_from(evaluate_on, small_run):
    problem = load_problem(small_run(evaluate_on=evaluate_on))
    assert torch.equal(problem.training().items, load_digits().train.images)
    assert torch.equal(problem.held_out().items, getattr(load_digits(), evaluate_on).images)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_an_epoch_has_the_stacks_that_the_run_asks_for(k, small_run):
    problem = load_problem(small_run(k=k, samples=77, test_samples=33))
    assert problem.inputs == 64 * k
    assert problem.training().index.shape == (77, k)
    assert problem.held_out().index.shape == (33, k)
