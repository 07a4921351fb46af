import shutil
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from sklearn.decomposition import PCA

from dfa_book.digit_tables import (
    KS,
    SHOWN,
    digit_components,
    digit_counts,
    sample_stacks,
)
from dfa_book.site.freshness import staleness
from dfa_lib import InputError
from dfa_lib.data.digits import load_digits
from dfa_lib.experiments.provenance import Record
from dfa_lib.training import DIGIT_SETS

ROOT = Path(__file__).parents[2]
STORED = ROOT / "results" / "mnist"
BUILDERS = {
    "digit_counts": digit_counts,
    "sample_stacks": sample_stacks,
    "digit_components": digit_components,
}


@pytest.fixture
def no_images(monkeypatch):
    """A function that takes a dataset's images away."""

    def refuse():
        raise InputError("the images are not at hand")

    return lambda dataset: monkeypatch.setitem(DIGIT_SETS, dataset, refuse)


@pytest.fixture(params=BUILDERS)
def file(request, tmp_path):
    """Each function, and the CSV that it has saved."""
    build, path = BUILDERS[request.param], tmp_path / f"{request.param}.csv"
    build("digits", results=path)
    return build, path


def test_counts_are_those_of_the_three_sets():
    counts = digit_counts("digits").set_index(["set", "digit"])["count"]
    for name, digits in load_digits()._asdict().items():
        for digit in range(10):
            assert counts[name, digit] == digits.labels.tolist().count(digit)
    assert counts.sum() == 1_797


def test_components_are_as_many_as_scikit_learn_needs():
    table = digit_components("digits")
    images = load_digits().train.images.double().numpy()
    for share, components in zip(table["share"], table["components"], strict=True):
        assert components == PCA(share, svd_solver="full").fit(images).n_components_


def test_sample_stacks_are_test_digits_with_their_own_labels():
    stacks, shown = sample_stacks("digits")
    images, labels = load_digits().test
    # The bundled digits are scanned in 17 greys, so each can be told from its greys.
    scanned = ((images - images.min()) / (images.max() - images.min()) * 16).round()
    known = {tuple(image.tolist()): int(label) for image, label in zip(scanned, labels, strict=True)}
    for image, label in zip(shown.images, shown.labels, strict=True):
        assert image.min() == 0
        assert image.max() <= 255
        assert known[tuple((image / 255 * 16).round().tolist())] == label
    assert {k: tuple(stacks[k].index.shape) for k in stacks} == {k: (SHOWN, k) for k in KS}
    for stack in stacks.values():
        odd = [sum(shown.labels[row].tolist()) % 2 for row in stack.index]
        assert stack.labels.flatten().tolist() == odd


def test_mnists_own_greys_are_kept(mnist_folder):
    _, shown = sample_stacks("mnist")
    raw = (mnist_folder / "MNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    scanned = {image.tobytes() for image in np.frombuffer(raw, np.uint8).reshape(-1, 784)}
    assert {image.numpy().astype(np.uint8).tobytes() for image in shown.images} <= scanned


@pytest.mark.parametrize("name", BUILDERS)
def test_the_committed_tables_of_mnist_are_those_of_its_images(name, mnist_folder, tmp_path):
    BUILDERS[name]("mnist", results=tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (
        ROOT / "results" / "mnist" / f"{name}.csv"
    ).read_text()


def test_a_saved_table_is_read_without_the_images(file, no_images):
    build, path = file
    text = path.read_text()
    before = build("digits")
    no_images("digits")
    after = build("digits", results=path)
    if isinstance(before, pd.DataFrame):
        pd.testing.assert_frame_equal(after, before)
    else:
        assert str(after) == str(before)
    assert path.read_text() == text


def test_without_images_and_file_the_loaders_sentence_is_said(no_images, tmp_path):
    no_images("mnist")
    for build in BUILDERS.values():
        with pytest.raises(InputError, match="the images are not at hand"):
            build("mnist", results=tmp_path / "none.csv")


def test_a_table_of_another_dataset_is_refused(file):
    build, path = file
    with pytest.raises(InputError, match=r"its dataset is 'digits' and not 'mnist'"):
        build("mnist", results=path)


DAMAGE = {
    "a line is missing": lambda text: "".join(text.splitlines(keepends=True)[:-1]),
    "a line is cut short": lambda text: text[:-3],
    "a value is no number": lambda text: text[:-2] + "x\n",
    "a value is another": lambda text: text[:-2] + str((int(text[-2]) + 1) % 10) + "\n",
    "a column is missing": lambda text: text.replace("dataset,", "", 1),
    "no rows": lambda text: text.splitlines(keepends=True)[0],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_table_is_refused_in_a_sentence(file, damage):
    build, path = file
    path.write_text(DAMAGE[damage](path.read_text()))
    with pytest.raises(InputError, match=r"is damaged: .* delete it, and it will be computed again"):
        build("digits", results=path)


def test_every_byte_of_a_table_and_of_its_record_is_watched(tmp_path):
    """Cut anywhere, or with another digit in any place, it is refused or says the same."""
    path = tmp_path / "counts.csv"
    before, refused = digit_counts("digits", results=path), []
    for file in (path, path.with_suffix(".json")):
        content = file.read_bytes()
        for i in range(len(content)):
            digit = content[i : i + 1].isdigit()
            for changed in [content[:i], content[:i] + b"7" + content[i + 1 :]][: 1 + digit]:
                file.write_bytes(changed)
                try:
                    pd.testing.assert_frame_equal(digit_counts("digits", results=path), before)
                except InputError as problem:
                    refused.append(str(problem))
        file.write_bytes(content)
    assert all("is damaged" in message for message in refused)
    assert digit_counts("digits", results=path).equals(before)


@pytest.mark.parametrize("name", BUILDERS)
def test_the_committed_tables_of_mnist_have_records_that_know_them(name):
    path = ROOT / "results" / "mnist" / f"{name}.csv"
    assert staleness(path) is None
    assert Record.read(path).sessions[-1]["rows"] == len(path.read_text().splitlines()) - 1


@pytest.fixture
def execute():
    """Execute a chapter's code cells in this process, where a test can put things in their place."""
    shell = InteractiveShell.instance()

    def run(name, **parameters):
        shell.reset()
        for cell in nbformat.read(ROOT / "book" / f"{name}.ipynb", as_version=4).cells:
            if cell.cell_type == "code":
                shell.run_cell(cell.source).raise_error()
                if "parameters" in cell.metadata.get("tags", []):
                    shell.push(parameters)

    yield run
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    "name", [pytest.param("learning-problems", marks=pytest.mark.long), "appendix-representations"]
)
def test_the_mnist_edition_executes_from_its_results_where_mnist_is_not(
    name, execute, no_images, tmp_path
):
    shutil.copytree(STORED, tmp_path, dirs_exist_ok=True)
    no_images("mnist")
    execute(name, profile="mnist", jobs=1, results=str(tmp_path))
    stored, after = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (STORED, tmp_path)
    )
    assert after == stored
