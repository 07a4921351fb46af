"""Kills at random moments give the results of an undisturbed call."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.posix
ROOT = Path(__file__).parents[2]
KILLS = 60

# Imports once, and forks a process for each attempt. Repeats until the file is complete, and starts
# again in an empty folder if that took too few kills.
ATTEMPTS = """if True:
    import json, os, random, signal, sys, time
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    from dfa_lib import Run, read_results
    from dfa_lib.experiments import runner as experiments
    from dfa_lib.data.digits import load_digits

    folder, kills_wanted = Path(sys.argv[1]), int(sys.argv[2])
    small = dict(samples=2_000, test_samples=256, hidden=64, epochs=2, learning_rate=0.01)
    runs = experiments.repeats([Run(method="dfa", **small), Run(optimizer="adam", **small)], 12)
    load_digits()  # for all attempts, which inherit it
    train = experiments.train

    def attempt(file, log, delay=None):
        '''Train what is missing. Return whether a kill came first.'''
        pid = os.fork()
        if pid == 0:
            def logged(run):
                with log.open("a") as lines:
                    lines.write(f"{runs.index(run)}\\n")
                return train(run)
            experiments.train = logged
            experiments.run_all(runs, file)
            os._exit(0)
        if delay is not None:
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        assert status in (0, signal.SIGKILL), status
        return status != 0

    def numbers(file):
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    start = time.perf_counter()
    attempt(folder / "undisturbed.csv", folder / "undisturbed.log")
    each = (time.perf_counter() - start) / len(runs)
    expected = (folder / "undisturbed.csv").read_bytes()

    chance = random.Random(0)
    in_training, again, strangers, endings = 0, [], set(), []
    while in_training < kills_wanted:
        place = folder / f"round-{len(endings)}"
        place.mkdir()
        file, saved, killed = place / "results.csv", set(), True
        while killed:
            log, before = folder / "attempt.log", len(saved)
            log.unlink(missing_ok=True)
            killed = attempt(file, log, chance.uniform(0, 3) * each)
            begun = numbers(log)
            in_training += killed and bool(begun)
            again += [number for number in begun if number in saved]
            if file.exists():
                done = read_results(file)
                saved = {
                    i for i, run in enumerate(runs)
                    if ((done["method"] == run.method) & (done["seed"] == run.seed)).any()
                }
            # Kills come neither always before the first run is saved, nor hardly ever.
            each *= 1.2 if killed and len(saved) == before else 0.9
            left = {path.name for path in place.iterdir()}
            strangers |= left - {"results.csv", ".results.csv.tmp", ".results.csv.lock"}
            strangers -= {"results.json", ".results.json.tmp", ".results.csv.log"}
        endings.append([file.read_bytes() == expected, sorted(path.name for path in place.iterdir())])
    print(json.dumps({
        "runs": numbers(folder / "undisturbed.log"), "in_training": in_training, "again": again,
        "strangers": sorted(strangers), "endings": endings,
    }))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="attempts are forked, which this system cannot")
def test_kills_at_random_moments_end_in_the_bytes_of_an_undisturbed_call(portion, attacks, tmp_path):
    kills = len(portion(range(KILLS), 10))
    command = [sys.executable, "-c", ATTEMPTS, str(tmp_path), str(kills)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert sorted(report["runs"]) == list(range(24))
    # Kills before the first run has started are not counted.
    assert report["in_training"] >= kills
    attacks("signals to run_all with one process", report["in_training"])
    assert report["again"] == []
    assert report["strangers"] == []
    for same_bytes, files in report["endings"]:
        assert same_bytes
        assert files == ["results.csv", "results.json"]


# Three processes train the same runs into one file, and a fourth reads it all the while.
TOGETHER = """if True:
    import os, sys, time
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    from dfa_lib import InputError, Run, read_results
    from dfa_lib.experiments import repeats, run_all
    from dfa_lib.data.digits import load_digits
    load_digits()
    small = dict(samples=256, test_samples=64, hidden=8, epochs=2, learning_rate=0.1)
    runs = repeats([Run(**small), Run(method="dfa", **small)], 6)
    runs.sort(key=lambda run: run.seed)  # all begin with both methods: a table of other runs is refused
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    whole = run_all(runs, folder / "whole.csv")

    def write(file, first):
        for last in range(first, len(runs) + 1, 3):
            while True:
                try:
                    run_all(runs[:last], file)
                    break
                except InputError as refused:
                    assert "another process" in str(refused), refused
                    time.sleep(0.002)

    def read(file):
        while len(found := read_results(file) if file.exists() else []) < len(whole):
            assert len(found) % 2 == 0

    for number in range(rounds):
        file = folder / f"{number}.csv"
        children = []
        works = [lambda first=first: write(file, first) for first in (3, 6, 12)]
        for work in (*works, lambda: read(file)):
            pid = os.fork()
            if pid == 0:
                work()
                os._exit(0)
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
        assert file.read_bytes() == (folder / "whole.csv").read_bytes()
    print(sorted(path.suffix for path in folder.iterdir() if path.name.startswith(".")))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked, which this system cannot")
def test_three_writers_and_a_reader_at_once_end_in_the_same_bytes(portion, attacks, tmp_path):
    rounds = len(portion(range(20), 2))
    command = [sys.executable, "-c", TOGETHER, str(tmp_path), str(rounds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    attacks("processes at once", 4 * rounds)
