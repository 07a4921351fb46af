"""Reports of stored runs that others have trained again."""

import json
import re
import shutil
from pathlib import Path

import pytest
from attacks import MARKUP, TEXTS

from dfa_book.site.book import Book, find_book
from dfa_book.site.checks import parser
from dfa_book.site.cli import main
from dfa_book.site.confirmations import confirmations, confirmed, read_report
from dfa_book.site.verify import _compare
from dfa_lib import History, InputError, Run, run_all

ROOT = Path(__file__).parents[2]


@pytest.fixture
def book(tmp_path, small_run, monkeypatch):
    """A book with stored results of four runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    for name, method in (("one", "bp"), ("two", "dfa")):
        runs = [small_run(method=method, seed=seed) for seed in range(2)]
        run_all(runs, results=tmp_path / "results" / "kept" / f"{name}.csv")
    (tmp_path / "results" / "confirmations").mkdir()
    return find_book()


def verify(*arguments, report="results/confirmations/mine.json"):
    command = ["verify", *arguments, "--results", "results/kept", "--sample", "1", "--jobs", "1"]
    return main([*command, "--report", report])


@pytest.fixture
def report(book):
    """A report on a run of each file, as JSON, and a function that stores another in its place."""
    assert verify() == 0
    path = book.root / "results" / "confirmations" / "mine.json"

    def store(changed, name="mine"):
        path.with_name(f"{name}.json").write_text(json.dumps(changed), encoding="utf-8")

    return json.loads(path.read_text(encoding="utf-8")), store


def files(book, *names):
    return [book.root / "results" / "kept" / f"{name}.csv" for name in names]


def test_a_report_of_runs_that_came_out_the_same_is_accepted_and_counted(book, report):
    accepted, refused = confirmations(book)
    assert refused == []
    assert len(accepted) == 1
    assert confirmed(accepted, files(book, "one", "two")).startswith(
        "confirmed on 1 machine, 1 to the bit ("
    )
    assert confirmed(accepted, files(book, "nowhere")) == ""


def test_with_a_report_the_records_stay_as_they_are(book):
    records = [path.with_suffix(".json") for path in files(book, "one", "two")]
    before = [path.read_bytes() for path in records]
    assert verify() == 0
    assert [path.read_bytes() for path in records] == before


def test_a_report_may_be_on_some_tables_only(book, capsys):
    assert verify("two") == 0
    (accepted,), _ = confirmations(book)
    assert confirmed([accepted], files(book, "two"))
    assert not confirmed([accepted], files(book, "one"))
    assert verify("three", report="other.json") == 2
    assert "three" in capsys.readouterr().err


def test_kinds_of_machine_are_counted_and_their_names_are_escaped(book, report):
    mine, store = report
    run, other_run = mine["runs"]
    near = {**run, "difference": 0.01, "same_bits": False}
    machine = mine["machine"] | {"processor": "<b>fast</b> | [x](y)"}
    store(mine | {"machine": machine, "runs": [near, other_run]}, "other")
    accepted, refused = confirmations(book)
    assert refused == []
    said = confirmed(accepted, files(book, "one", "two"))
    assert said.startswith("confirmed on 2 machines, 1 to the bit (")
    assert r"\<b\>fast\<\/b\> \| \[x\]\(y\)" in said
    # In the second table, both came to the same bits.
    assert confirmed(accepted, files(book, Path(other_run["file"]).stem)).startswith(
        "confirmed on 2 machines, 2 to the bit"
    )


def test_no_field_of_a_report_becomes_markup(book, report, attacks):
    """Whatever stands in a field or in its name: the report is refused, or the text escaped."""
    mine, store = report

    def told(changed):
        attacks("injections")
        store(changed)
        accepted, refused = confirmations(book)
        assert len(accepted) + len(refused) == 1
        assert all(said.isprintable() for said in refused)
        return confirmed(accepted, files(book, "one", "two"))

    def ways(value, path=()):
        if isinstance(value, dict | list):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                yield from ways(inner, (*path, key))
        else:
            yield path

    for way in ways(mine):
        for payload in (*MARKUP, *TEXTS):
            for name in (way[-1], payload):
                changed = json.loads(json.dumps(mine))
                place = changed
                for key in way[:-1]:
                    place = place[key]
                if isinstance(place, dict):
                    place[name] = payload
                else:
                    place[way[-1]] = payload
                said = told(changed)
                shown = parser().render(said)
                assert set(re.findall(r"<[^>]*>", shown)) <= {"<p>", "</p>"}, (way, payload)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"library": "dfa_lib 000000000000 with torch 2.13.0"}, "computed with dfa_lib 000000000000"),
        ({"data": {"digits": "0123456789abcdef"}}, "trained on digits of checksum 0123456789abcdef"),
        ({"results": "../kept"}, "its results cannot be '../kept'"),
        ({"results": "elsewhere"}, "is not stored in elsewhere/"),
        ({"runs": []}, "it has to list runs"),
        ({"runs": ["sgd"]}, "a run has to have"),
        ({"machine": {"processor": "x"}}, "its machine cannot be"),
        ({"commit": "$(rm -rf /)"}, "its commit cannot be"),
        ({"date": "yesterday"}, "its date cannot be"),
        ({"seconds": -1}, "its seconds cannot be"),
        ({"format": 2}, "in format 1"),
        ({"comment": "<script>"}, "it has to be an object with"),
    ],
)
def test_a_report_that_is_damaged_or_about_something_else_is_refused(book, report, changes, why):
    mine, store = report
    store(mine | changes)
    accepted, (said,) = confirmations(book)
    assert accepted == []
    assert "the report 'mine.json' is refused: " in said
    assert why in said


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"digest": "0123456789ab"}, "run 0123456789ab is not stored in kept/one.csv"),
        ({"digest": ""}, "a run's digest cannot be ''"),
        ({"file": "two.csv"}, "is not stored in kept/two.csv"),
        ({"file": "../../kept/one.csv"}, "a run's file cannot be"),
        ({"difference": 0.5, "same_bits": False}, "did not agree"),
        ({"difference": None, "same_bits": False}, "did not agree"),
        ({"difference": float("nan"), "same_bits": False}, "did not agree"),
        ({"difference": 0.01, "same_bits": True}, "a run's same_bits cannot be True"),
        ({"difference": "0"}, "a run's difference cannot be '0'"),
        ({"same_bits": "yes"}, "a run's same_bits cannot be 'yes'"),
    ],
)
def test_a_report_with_a_run_that_is_not_stored_or_did_not_agree_is_refused(book, report, changes, why):
    mine, store = report
    first, second = sorted(mine["runs"], key=lambda run: run["file"])
    store(mine | {"runs": [first | changes, second]})
    accepted, (said,) = confirmations(book)
    assert accepted == []
    assert why in said


def test_the_same_report_twice_counts_once(book, report):
    mine, store = report
    store(mine, "twice")
    accepted, (said,) = confirmations(book)
    assert len(accepted) == 1
    assert "all that it says is in another report from such a machine" in said
    store(mine | {"runs": mine["runs"] * 2}, "twice")
    assert "it has a run twice" in confirmations(book)[1][0]


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "x" * 1_000_001, "\ud800", "null"])
def test_a_file_that_is_no_report_is_refused(book, text):
    path = book.root / "mine.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(InputError, match="is refused"):
        read_report(path, book.root / "results")


def test_a_report_says_of_a_run_that_did_not_agree_that_it_did_not(book, report):
    _, path = report[0], book.root / "results" / "kept" / "one.csv"
    stored = path.read_text().splitlines()
    column = stored[0].split(",").index("test_accuracy")
    rows = [line.split(",") for line in stored[1:]]
    text = [",".join([*row[:column], "0.999", *row[column + 1 :]]) for row in rows]
    path.write_text("\n".join([stored[0], *text, ""]))
    assert verify(report="results/confirmations/wrong.json") == 1
    assert "did not agree" in confirmations(book)[1][-1]


def test_nothing_is_trained_for_a_report_that_could_not_be_kept(book, capsys, monkeypatch):
    monkeypatch.setattr("dfa_book.site.verify.verify", lambda *_, **__: pytest.fail("it was trained"))
    shutil.copytree("results/kept", "mine")
    for report, results, why in (
        ("r.json", "mine", "a report is about results that others have too"),
        ("no/r.json", "results/kept", "there is no folder no"),
        ("_toc.yml", "results/kept", "is there already"),
    ):
        assert main(["verify", "--results", results, "--report", report]) == 2
        assert why in capsys.readouterr().err


def test_the_reports_in_the_repository_are_all_accepted():
    """Whoever sends one in runs this, and sees why a report is refused."""
    accepted, refused = confirmations(Book(ROOT, ROOT))
    assert refused == []
    assert accepted


def test_a_metric_that_was_not_stored_yet_is_no_other_bit():
    run = Run(k=1, epochs=1, learning_rate=0.1)
    stored, again = History(run), History(run)
    measured = {"train_loss": 0.5, "test_loss": 0.6, "test_accuracy": 0.75}
    stored.append(measured)
    again.append(measured | {"sign_agreement": 0.6})
    assert _compare("sgd.csv", stored, again).same_bits
    other = History(run)
    other.append(measured | {"test_loss": 0.6000000001})
    assert not _compare("sgd.csv", stored, other).same_bits
