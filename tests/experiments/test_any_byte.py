"""Tables and records that are damaged at any byte, on full disks, among planted files."""

import os
import resource
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from attacks import changed_bytes, is_refused

from dfa_book.converged import COLUMNS as CONVERGED
from dfa_book.deviations import EXPERIMENTS
from dfa_book.digit_tables import COMPONENT_COLUMNS, COUNT_COLUMNS, STACK_COLUMNS
from dfa_book.probes import EMBEDDING_COLUMNS, PROBE_COLUMNS
from dfa_lib import History, Run, read_results, run_all
from dfa_lib.experiments import repeats, runner
from dfa_lib.experiments.kept_table import LOSS, NAME, REAL, SHARE, TEXT, WHOLE, KeptTable
from dfa_lib.experiments.provenance import log_path
from dfa_lib.experiments.results import rows_of, runs_table
from dfa_lib.training import METRICS

ROOT = Path(__file__).parents[2]
WHOLES = {"counts": COUNT_COLUMNS, "stacks": STACK_COLUMNS, "components": COMPONENT_COLUMNS}
WHOLES |= {
    "map": EMBEDDING_COLUMNS,
    **{name: {"experiment": TEXT} | each.columns for name, each in EXPERIMENTS.items()},
}
KINDS = {**dict.fromkeys(WHOLES), "probes": PROBE_COLUMNS, "solutions": CONVERGED, "runs": None}
SMALL = {"samples": 64, "test_samples": 32, "hidden": 4, "epochs": 2, "learning_rate": 0.1}
RUNS = repeats([Run(**SMALL)], 3)
EXAMPLES = {TEXT: "some", NAME: "some", WHOLE: 3, REAL: 0.1234, LOSS: 0.7, SHARE: 0.96875}


def made_up(run):
    history = History(run)
    for epoch in range(run.epochs):
        history.append({name: 1 / (3 + epoch + run.seed + i) for i, name in enumerate(METRICS)})
    return history


def units_of(kind):
    """Return rows of a kind of table, unit by unit."""
    if kind == "runs":
        return [rows_of([made_up(run)]) for run in RUNS]
    columns = WHOLES.get(kind) or KINDS[kind]
    names = [name for name in columns if name in SMALL or name in ("seed", "k")] or ["seed"]

    def row(unit, place):
        return tuple(
            unit if name == "seed" else place if column is WHOLE and name not in names else
            EXAMPLES.get(column, place)
            for name, column in columns.items()
        )  # fmt: skip

    rows = [[row(unit, place) for place in range(2)] for unit in range(3)]
    return [[each for unit in rows for each in unit]] if kind in WHOLES else rows


def table_of(kind, path):
    if kind == "runs":
        return runs_table(path)
    return KeptTable(path, WHOLES.get(kind) or KINDS[kind], whole=kind in WHOLES)


@pytest.fixture
def saved(request, tmp_path):
    """Write tables of a kind, complete and as a kill has left them; return them and their units."""
    kind = request.param
    units = units_of(kind)
    table, begun = table_of(kind, tmp_path / "some.csv"), table_of(kind, tmp_path / "begun.csv")
    with table.writer() as writer:
        writer.start([], "jobs=1")
        for unit in units:
            writer.append(unit)
        begun.path.write_bytes(table.path.read_bytes())
        log_path(begun.path).write_bytes(log_path(table.path).read_bytes())
    return table, begun, units


@pytest.mark.parametrize("saved", KINDS, indirect=True)
def test_a_table_or_record_damaged_at_any_byte_is_refused_or_read_as_it_was(saved, portion, attacks):
    """The text of a record's free fields may change unnoticed: no number depends on it."""
    table, begun, units = saved
    whole = [row for unit in units for row in unit]
    places = (table.path, table.path.with_suffix(".json"), begun.path, log_path(begun.path))
    for path in places:
        content, read = path.read_bytes(), begun if "begun" in path.name else table
        # A kill may leave any part of a session, and rows that are gone are computed again.
        may_lack = read is begun or (path == table.path and not table.whole)
        lacks = [[row for unit in units[:n] for row in unit] for n in range(len(units) + 1)]
        for way, place, damaged in portion(changed_bytes(content), 40):
            attacks(f"bytes of a {path.suffix[1:]}")
            path.write_bytes(damaged)
            found = []
            if not is_refused(lambda read=read, found=found: found.append(read.read().rows)):
                accepted = lacks if may_lack else [whole]
                assert found[0] in accepted, (path.name, way, place)
        path.write_bytes(content)
    assert table.read().rows == whole
    assert begun.read().rows == whole


# ---- disks that are full ----


@contextmanager
def files_of_at_most(size):
    """Let no file grow beyond so many bytes: what is written last is cut, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_disk_that_is_full_at_any_byte_loses_no_saved_run(portion, attacks, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "train", made_up)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    whole = tmp_path / "whole" / "some.csv"
    run_all(RUNS, whole)
    largest = max(path.stat().st_size for path in whole.parent.iterdir())
    for size in portion(range(0, largest + 16, 16), 8):
        attacks("disks full at a byte")
        path = tmp_path / f"disk-{size}" / "some.csv"
        run_all(RUNS[:1], path)
        with files_of_at_most(size):
            full = is_refused(lambda path=path: run_all(RUNS, path))
        assert full == (size < largest), size
        kept = read_results(path)["seed"].tolist()
        assert kept[:2] == [0, 0]
        run_all(RUNS, path)
        assert path.read_bytes() == whole.read_bytes()
        assert left_in(path.parent) == ["some.csv", "some.json"]


# ---- what lies there already ----

PLANTS = {
    "a file": lambda place, victim: place.write_text("planted"),
    "a folder": lambda place, victim: place.mkdir(),
    "a full folder": lambda place, victim: (place / "inner").mkdir(parents=True),
    "a link": lambda place, victim: place.symlink_to(victim),
    "a hard link": lambda place, victim: place.hardlink_to(victim),
    "a link to nothing": lambda place, victim: place.symlink_to(victim.with_name("nothing")),
    "a link to itself": lambda place, victim: place.symlink_to(place),
    "a link to a folder": lambda place, victim: place.symlink_to(victim.parent),
    "a link to a device": lambda place, victim: place.symlink_to("/dev/zero"),
    "a link to a full disk": lambda place, victim: place.symlink_to("/dev/full"),
    "a pipe": lambda place, victim: os.mkfifo(place),
    "a file that cannot be read": lambda place, victim: (place.write_text(""), place.chmod(0)),
    "a file that is read-only": lambda place, victim: (place.write_text(""), place.chmod(0o444)),
}
PLACES = ("some.csv", "some.json", ".some.csv.tmp", ".some.json.tmp", ".some.csv.log", ".some.csv.lock")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("plant", PLANTS)
def test_what_lies_in_the_place_of_a_file_is_replaced_or_refused(
    plant, place, attacks, tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "train", made_up)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    victim, folder = tmp_path / "elsewhere" / "victim", tmp_path / "results"
    victim.parent.mkdir()
    folder.mkdir()
    victim.write_text("mine")
    PLANTS[plant](folder / place, victim)
    attacks("planted files and links")
    if not is_refused(lambda: run_all(RUNS, folder / "some.csv")):
        assert len(read_results(folder / "some.csv")) == 6
    assert victim.read_text() == "mine"
    assert {*left_in(victim.parent)} <= {"victim", "nothing", "nothing.json"}
