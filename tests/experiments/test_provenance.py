import json
import re
import subprocess
from pathlib import Path

import pytest

from dfa_book.site.freshness import staleness
from dfa_lib import InputError, run_all, train
from dfa_lib.experiments import kept_table, provenance
from dfa_lib.experiments.kept_table import unit_digests
from dfa_lib.experiments.provenance import (
    Record,
    checksums,
    commit,
    fingerprint,
    log_path,
    machine,
    numerical_code,
    source_digest,
    versions,
)
from dfa_lib.experiments.results import read_histories, rows_of, run_digest, runs_table

LIBRARY = Path(provenance.__file__).parents[1]


def test_a_results_file_has_beside_it_what_it_was_made_with(small_run, tmp_path):
    runs = [small_run(seed=seed) for seed in range(3)]
    run_all(runs, results=tmp_path / "some.csv")
    (session,) = json.loads((tmp_path / "some.json").read_text(encoding="utf-8"))["sessions"]
    assert session["runs"] == 3
    assert session["seconds"] > 0
    assert session["started"] <= session["finished"]
    assert session["commit"] == commit()
    assert session["library"] == fingerprint()
    assert session["versions"] == versions()
    assert session["machine"] == machine()
    assert session["data"] == checksums(["digits"])
    assert session["trained by"] == "jobs=1"


def test_more_runs_on_the_same_machine_extend_the_entry(small_run, tmp_path):
    path = tmp_path / "some.csv"
    run_all([small_run()], results=path)
    (first,) = Record.read(path).sessions
    run_all([small_run(seed=seed) for seed in range(3)], results=path)
    (second,) = Record.read(path).sessions
    assert (first["runs"], second["runs"]) == (1, 3)
    assert second["started"] == first["started"]
    assert second["seconds"] >= first["seconds"]


def test_other_code_has_an_entry_of_its_own(small_run, tmp_path, monkeypatch):
    path = tmp_path / "some.csv"
    run_all([small_run()], results=path)
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789ab")
    run_all([small_run(), small_run(seed=1)], results=path)
    assert [session["runs"] for session in Record.read(path).sessions] == [1, 1]
    assert Record.read(path).sessions[1]["commit"] == "0123456789ab"


def test_a_record_names_the_runs_by_digests_of_their_rows(small_run, tmp_path):
    path = tmp_path / "some.csv"
    run_all([small_run(seed=seed) for seed in range(3)], results=path)
    (session,) = Record.read(path).sessions
    found = unit_digests(path.read_text())
    assert set(session["digests"].split()) == set(found)
    assert sorted(fields["seed"] for fields in found.values()) == ["0", "1", "2"]
    assert {run_digest(history) for history in read_histories(path).values()} == set(found)
    other = path.read_text().replace(",0.1,", ",0.10,")
    assert not set(unit_digests(other)) & set(found)


def test_a_kill_between_log_and_results_leaves_no_run_that_no_record_knows(
    small_run, tmp_path, monkeypatch
):
    path, real, saved = tmp_path / "some.csv", kept_table._append, []

    def killed_before_the_second(*given):
        saved.append(given)
        if len(saved) == 2:
            raise KeyboardInterrupt
        real(*given)

    monkeypatch.setattr(kept_table, "_append", killed_before_the_second)
    runs = [small_run(seed=seed) for seed in range(2)]
    with pytest.raises(KeyboardInterrupt):
        run_all(runs, results=path)
    assert len(unit_digests(path.read_text())) == 1
    assert staleness(path) is None
    run_all(runs, results=path)
    assert len(unit_digests(path.read_text())) == 2
    assert staleness(path) is None


def test_a_record_that_cannot_be_written_does_not_lose_the_results(small_run, tmp_path, monkeypatch):
    path = tmp_path / "some.csv"

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(provenance, "replace_text", full)
        with pytest.raises(InputError, match=r"some\.csv has all that is finished, but its rows could"):
            run_all([small_run()], results=path)
        assert len(read_histories(path)) == 1
        assert staleness(path) is None
    run_all([small_run()], results=path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["some.csv", "some.json"]


def test_a_kill_between_record_and_log_counts_nothing_twice(small_run, tmp_path):
    path = tmp_path / "some.csv"
    with runs_table(path).writer() as writer:
        writer.start(["digits"], "jobs=1")
        writer.append(rows_of([train(small_run())]))
        log = log_path(path).read_text()
    before = Record.read(path).sessions
    log_path(path).write_text(log)
    assert Record.read(path).sessions == before
    run_all([small_run()], results=path)
    assert Record.read(path).sessions == before
    assert not log_path(path).exists()


def test_nothing_is_recorded_where_nothing_is_trained(small_run, tmp_path):
    path = tmp_path / "some.csv"
    run_all([small_run()], results=path)
    before = (tmp_path / "some.json").read_bytes()
    run_all([small_run()], results=path)
    assert (tmp_path / "some.json").read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        *('{"sessions": [[]]}', '{"sessions": "", "more": 1}', "null", "1", '"text"', "\ufeff{}"),
        *("", "[]", "{}", '{"sessions": 3}', "\x00", '{"sessions": [3]}', '{"sessions": [{}]}'),
        *('{"sessions": []}', '{"session": [{}]}', "[" * 100_000),
    ],
)
def test_a_damaged_record_is_named_before_anything_is_trained(text, small_run, tmp_path):
    (tmp_path / "some.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"some\.json is damaged.*put it back, or move it away with"):
        run_all([small_run()], results=tmp_path / "some.csv")
    assert not (tmp_path / "some.csv").exists()


def test_a_file_without_a_record_has_no_entries(tmp_path):
    assert Record.read(tmp_path / "some.csv").sessions == []


def test_without_git_the_commit_is_unknown(monkeypatch):
    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert commit() == "unknown"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A function that commits files in ``tmp_path``, and one that puts the library there."""

    def git(*words):
        author = ["-c", "user.name=A Reader", "-c", "user.email=reader@example.org"]
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, capture_output=True)

    def commit_files(*names):
        git("init")
        git("add", *names)
        git("commit", "--message", "A state of the files")

    def library_at(folder):
        source = tmp_path / folder / "dfa_lib/experiments/provenance.py"
        source.parent.mkdir(parents=True)
        source.write_text("before\n", encoding="utf-8")
        monkeypatch.setattr(provenance, "__file__", str(source))
        return source

    return commit_files, library_at


def test_the_commit_is_marked_where_the_library_was_edited_and_not_for_results(repository, tmp_path):
    commit_files, library_at = repository
    source, results = library_at("."), tmp_path / "results/sgd.csv"
    results.parent.mkdir()
    results.write_text("before\n", encoding="utf-8")
    commit_files(".")
    results.write_text("after\n", encoding="utf-8")
    assert re.fullmatch("[0-9a-f]{12}", commit())
    source.write_text("after\n", encoding="utf-8")
    assert re.fullmatch("[0-9a-f]{12}-dirty", commit())


@pytest.mark.parametrize("committed", ["thesis.tex", "."])
def test_the_commit_of_another_projects_repository_is_not_named(committed, repository, tmp_path):
    """Neither if git ignores the environment with the library, nor if it tracks a copy of it."""
    commit_files, library_at = repository
    library_at("venv/lib/site-packages")
    (tmp_path / "thesis.tex").write_text("text\n", encoding="utf-8")
    commit_files(committed)
    assert commit() == "unknown"


def test_digits_have_a_checksum_and_clusters_none():
    assert list(checksums(["clusters", "digits"])) == ["digits"]


# ---- the digest of the code ----


@pytest.fixture
def library(tmp_path):
    """Return a function that changes files of a small library and returns its digest."""
    files = {
        "training.py": "from .engine import step\n",
        "engine.py": "def step(x):\n    return x + 1\n",
        "data/parity.py": "x = 1\n",
        "plots.py": "colour = 1\n",
    }

    def digest(**changes):
        for name, text in (files | changes).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return source_digest(tmp_path)

    return digest


def test_the_digest_follows_what_training_imports(library):
    before = library()
    assert library(**{"engine.py": "def step(x):\n    return x + 2\n"}) != before
    assert library(**{"plots.py": "colour = 2\n"}) == before
    assert library(**{"data/parity.py": "x = 2\n"}) == before
    imported = {"engine.py": "from .data.parity import x\ndef step(x):\n    return x + 1\n"}
    assert library(**imported) != library(**imported, **{"data/parity.py": "x = 2\n"})


def test_the_digest_leaves_out_comments_docstrings_layout_and_messages(library):
    step = "def step(x):\n    if not x:\n        raise ValueError(f'{x} a')\n    return x + 1\n"
    before = library(**{"engine.py": step})
    said = (
        "# why\ndef step(x):\n    'What it does.'\n    if not x:\n"
        "        raise ValueError('b')\n\n    return (x + 1)  # so\n"
    )
    assert library(**{"engine.py": said}) == before


def test_the_digest_knows_what_is_imported_and_not_where(library):
    above = "from torch import add\ndef step(x):\n    return add(x, 1)\n"
    within = "def step(x):\n    from torch import add\n    return add(x, 1)\n"
    before = library(**{"engine.py": above})
    assert library(**{"engine.py": within}) == before
    assert library(**{"engine.py": within.replace("torch", "numpy")}) != before


def test_a_statement_may_move_to_another_module_and_not_change(library):
    """The set of statements stays the same, and so do the numbers that they compute."""
    one = "from torch import add\ndef step(x):\n    return add(x, scale)\n"
    before = library(**{"engine.py": "from .data.parity import x\nscale = 2\n" + one})
    moved = library(
        **{
            "engine.py": one + "from .scales import scale\n",
            "scales.py": "from .data import parity\nscale = 2\n",
        }
    )
    assert moved == before
    assert library(**{"scales.py": "from .data import parity\nscale = 3\n"}) != before


def test_the_label_of_a_method_is_not_a_number(library):
    before = library(**{"engine.py": "method = Method(rule, label='NTK')\n"})
    assert library(**{"engine.py": "method = Method(rule, label='NTK (W1)')\n"}) == before
    assert library(**{"engine.py": "method = Method(other, label='NTK')\n"}) != before


def test_the_digest_knows_one_name_of_a_tensor_from_another(library):
    before = library(**{"engine.py": "def step(x, layer):\n    return x[f'W{layer}']\n"})
    assert library(**{"engine.py": "def step(x, layer):\n    return x[f'B{layer}']\n"}) != before


def test_the_digest_of_this_library_covers_all_that_a_run_is_computed_with():
    sources = set(numerical_code(LIBRARY))
    assert {"engine.py", "networks.py", "optimizers.py", "lazy.py", "data/parity.py"} <= sources
    assert not {"plots.py", "cli.py", "experiments.py", "provenance.py"} & sources
    assert source_digest(LIBRARY) in fingerprint()
