import json
import subprocess

import pytest

from dfa_lib import InputError, provenance, run_all
from dfa_lib.provenance import checksums, commit, fingerprint, machine, read_record, versions


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
    (first,) = read_record(path)
    run_all([small_run(seed=seed) for seed in range(3)], results=path)
    (second,) = read_record(path)
    assert (first["runs"], second["runs"]) == (1, 3)
    assert second["started"] == first["started"]
    assert second["seconds"] >= first["seconds"]


def test_other_code_has_an_entry_of_its_own(small_run, tmp_path, monkeypatch):
    path = tmp_path / "some.csv"
    run_all([small_run()], results=path)
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789ab")
    run_all([small_run(), small_run(seed=1)], results=path)
    assert [session["runs"] for session in read_record(path)] == [1, 1]
    assert read_record(path)[1]["commit"] == "0123456789ab"


def test_nothing_is_recorded_where_nothing_is_trained(small_run, tmp_path):
    path = tmp_path / "some.csv"
    run_all([small_run()], results=path)
    before = (tmp_path / "some.json").read_bytes()
    run_all([small_run()], results=path)
    assert (tmp_path / "some.json").read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sessions": 3}', "\x00"])
def test_a_damaged_record_is_named_before_anything_is_trained(text, small_run, tmp_path):
    (tmp_path / "some.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"some\.json is damaged.*move it away"):
        run_all([small_run()], results=tmp_path / "some.csv")
    assert not (tmp_path / "some.csv").exists()


def test_a_file_without_a_record_has_no_entries(tmp_path):
    assert read_record(tmp_path / "some.csv") == []


def test_without_git_the_commit_is_unknown(monkeypatch):
    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert commit() == "unknown"


def test_digits_have_a_checksum_and_clusters_none():
    assert list(checksums(["clusters", "digits"])) == ["digits"]
