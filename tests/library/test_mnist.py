"""Loading and refusing MNIST, on a fake MNIST of 80 images; and on the real one, if it is there."""

import hashlib
import os
import struct
import subprocess
import sys
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from dfa_lib import InputError, Run, train
from dfa_lib.data import mnist

ROOT = Path(__file__).parents[2]


def idx(array):
    """Return an array in the format of MNIST's files: magic number, sizes, bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """A small MNIST of random pixels, whose checksums are accepted."""
    random = np.random.default_rng(0)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    arrays = {}
    for name, count in (("train", 60), ("t10k", 20)):
        arrays[f"{name}-images-idx3-ubyte"] = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{name}-labels-idx1-ubyte"] = random.integers(0, 10, count, dtype=np.uint8)
    checksums = {}
    for name, array in arrays.items():
        (raw / name).write_bytes(idx(array))
        checksums[name] = hashlib.md5(idx(array)).hexdigest()
    assert checksums.keys() == mnist.CHECKSUMS.keys()
    monkeypatch.setattr(mnist, "CHECKSUMS", checksums)
    monkeypatch.setattr(mnist, "VALIDATION", 10)
    monkeypatch.setenv("DFA_DATA_DIR", str(tmp_path))
    return raw, arrays


@pytest.fixture
def no_network(monkeypatch):
    def download(self):
        raise urllib.error.URLError("Network is unreachable")

    monkeypatch.setattr(mnist._torchvision_datasets().MNIST, "download", download)


def test_train_and_validation_split_the_training_file_and_test_is_the_test_file(made_up):
    _, arrays = made_up
    sets = mnist.load_mnist()
    assert [len(digits) for digits in sets] == [50, 10, 20]
    assert sets.pixels == 784

    # The random pixels span 0 to 255, so the normalisation can be inverted.
    low, high = sets.train.images.min(), sets.train.images.max()

    def with_labels(digits):
        pixels = np.round(255 * ((digits.images - low) / (high - low)).numpy()).astype(np.uint8)
        return [(x.tobytes(), y) for x, y in zip(pixels, digits.labels.tolist(), strict=True)]

    def stored(name):
        images, labels = arrays[f"{name}-images-idx3-ubyte"], arrays[f"{name}-labels-idx1-ubyte"]
        return [(x.tobytes(), int(y)) for x, y in zip(images, labels, strict=True)]

    # Each of the 60 different images is in one of the two sets, with its label.
    assert sorted(with_labels(sets.train) + with_labels(sets.validation)) == sorted(stored("train"))
    assert with_labels(sets.test) == stored("t10k")
    assert sets.train.images.double().mean().item() == pytest.approx(0, abs=1e-6)
    assert sets.train.images.double().std().item() == pytest.approx(1, abs=1e-6)


def test_a_run_trains_on_mnist_from_the_folder_that_dfa_data_dir_names(made_up, small_run):
    history = train(small_run(dataset="mnist", k=2))
    assert not history.diverged
    assert len(history.test_accuracy) == 2


def test_without_dfa_data_dir_mnist_lies_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("DFA_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert mnist.data_folder() == tmp_path / ".cache" / "dfa_lib"
    monkeypatch.setenv("DFA_DATA_DIR", "")
    assert mnist.data_folder() == tmp_path / ".cache" / "dfa_lib"
    monkeypatch.setenv("DFA_DATA_DIR", "~/digits")
    assert mnist.data_folder() == tmp_path / "digits"


def test_absent_mnist_without_a_network_names_the_folder_and_the_way_out(
    no_network, tmp_path, monkeypatch, small_run
):
    monkeypatch.setenv("DFA_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError) as caught:
        train(small_run(dataset="mnist"))
    for part in (str(tmp_path), "DFA_DATA_DIR", "Network is unreachable", "'digits'", *mnist.CHECKSUMS):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", mnist.CHECKSUMS)
def test_one_missing_file_counts_as_absent(name, made_up, no_network):
    raw, _ = made_up
    (raw / name).unlink()
    with pytest.raises(InputError, match="could not be downloaded"):
        mnist.load_mnist()


@pytest.mark.parametrize("name", mnist.CHECKSUMS)
@pytest.mark.parametrize("damage", ["truncated", "altered", "emptied"])
def test_a_damaged_file_is_named_and_left_alone(name, damage, made_up):
    file = made_up[0] / name
    content = file.read_bytes()
    wrong = {
        "truncated": content[:-1],
        "altered": content[:-1] + bytes([content[-1] ^ 1]),
        "emptied": b"",
    }[damage]
    file.write_bytes(wrong)
    with pytest.raises(InputError, match="truncated or altered") as caught:
        mnist.load_mnist()
    assert str(file) in str(caught.value)
    assert file.read_bytes() == wrong
    # Once the file is right again, so is the data set.
    file.write_bytes(content)
    assert len(mnist.load_mnist().test) == 20


def run_python(code):
    """Run code in a new process without torchvision, in the repository's root."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_torchvision_is_imported_only_for_mnist_and_beside_a_cpu_only_torch_too():
    # PyPI has torchvision for CUDA only. With a CPU-only torch, a plain import raises
    # "operator torchvision::nms does not exist".
    done = run_python(
        "import sys, dfa_lib.data.mnist as mnist\n"
        "assert not any(name.startswith('torchvision') for name in sys.modules)\n"
        "datasets = mnist._torchvision_datasets()\n"
        "print(datasets.MNIST.__name__)\n"
    )
    assert (done.stdout, done.returncode) == ("MNIST\n", 0), done.stderr


def test_three_sets_of_the_real_mnist_share_no_image(mnist_folder):
    sets = mnist.load_mnist()
    assert [len(digits) for digits in sets] == [55_000, 5_000, 10_000]
    # No image occurs twice in MNIST, so the sets are disjoint as images, not only as indices.
    pictures = {
        hashlib.md5(image.numpy().tobytes()).digest() for digits in sets for image in digits.images
    }
    assert len(pictures) == 70_000
    assert sets.train.images.double().mean().item() == pytest.approx(0, abs=1e-6)
    assert sets.train.images.double().std().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.long
def test_backpropagation_with_rmsprop_reads_three_mnist_digits_after_three_epochs(mnist_folder):
    run = Run(
        dataset="mnist", k=3, method="bp", optimizer="rmsprop", learning_rate=0.0004, epochs=3, seed=0
    )
    history = train(run)
    assert history.test_accuracy[2] >= 0.62
