"""The benchmarks run, and their baselines train the same network. No time is asserted."""

import importlib
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark_module(monkeypatch):
    """Import a module of the benchmarks, as ``python benchmarks/engine.py`` would."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module
    for name in ("baselines", "engine", "measure"):
        sys.modules.pop(name, None)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("optimizer", ["sgd", "adadelta"])
def test_the_baselines_train_the_same_network(
    optimizer, in_memory, steps, benchmark_module, relative_error
):
    from dfa_lib import train
    from dfa_lib.training import initial_parameters

    example_run = benchmark_module("engine").example_run
    run = example_run(
        "digits", "bp", optimizer, samples=128 * steps, test_samples=10, epochs=1, precision="float64"
    )
    start = initial_parameters(run, 192)
    after = []
    train(run, observe=lambda epoch, parameters: after.append(parameters))
    baseline = benchmark_module("baselines").Baseline(run, in_memory=in_memory)
    assert relative_error(baseline.parameters(), start) < 1e-15
    for _ in range(steps):
        baseline.step()
    # Compare the changes: the weights themselves would hide an error in a small step.
    moved, expected = (
        {name: end[name] - start[name] for name in start} for end in (baseline.parameters(), after[0])
    )
    assert relative_error(moved, expected) < 1e-10


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_baselines_epochs_follow_each_other(in_memory, benchmark_module):
    run = benchmark_module("engine").example_run("digits", "bp", samples=200)
    batches = benchmark_module("baselines").Baseline(run, in_memory=in_memory).batches
    assert [next(batches)[0].shape for _ in range(3)] == [(128, 192), (72, 192), (128, 192)]


@pytest.mark.parametrize(("rounds", "seconds", "recorded"), [(3, math.inf, 3), (3, 0.0, 1)])
def test_actions_are_timed_in_turn(rounds, seconds, recorded, benchmark_module):
    calls = []
    times = benchmark_module("measure").alternate(
        [lambda: calls.append("a"), lambda: calls.append("b")], rounds, seconds=seconds, warm_up=2
    )
    assert calls == ["a", "b"] * (2 + recorded)
    assert times.shape == (recorded, 2)
    assert (times > 0).all()


@pytest.mark.parametrize(
    ("cores", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_processes_double_up_to_the_number_of_cores(cores, expected, benchmark_module):
    assert benchmark_module("engine").process_counts(cores) == expected


def test_without_mnist_steps_are_timed_on_random_pixels(benchmark_module, monkeypatch, capsys):
    engine = benchmark_module("engine")

    def missing():
        raise engine.InputError("it is not here.")

    def one_step(dataset, scale):
        engine.our_step(engine.example_run(dataset, samples=256))()
        return f"a step on {engine.DIGIT_SETS[dataset]().pixels} pixels"

    monkeypatch.setattr(engine, "load_mnist", missing)
    monkeypatch.setitem(engine.DIGIT_SETS, "mnist", missing)
    monkeypatch.setattr(engine, "step_table", one_step)
    monkeypatch.setattr(engine, "baseline_table", one_step)
    pieces = list(engine.report(replace(engine.QUICK, datasets=("mnist",))))
    assert "it is not here." in capsys.readouterr().err
    assert any("random pixels" in piece for piece in pieces)
    assert pieces.count("a step on 784 pixels") == 2
    assert pieces.count("Left out, as MNIST is not here.") == 2


def test_runs_of_a_batch_are_rated_per_run(benchmark_module, monkeypatch):
    engine = benchmark_module("engine")
    trained = []
    monkeypatch.setattr(engine, "train_stack", trained.append)
    scale = replace(engine.QUICK, batched=4, batched_epochs=1)
    table = engine.batch_table("digits", scale, "cpu").splitlines()
    assert [run.seed for run in trained[-1]] == [0, 1, 2, 3]
    assert [cells(row)[0] for row in table[2:]] == ["1 at a time", "a batch of 4"]


@pytest.mark.long
def test_a_quick_report_has_every_table_and_numbers_in_it(benchmark_module, capsys):
    threads = torch.get_num_threads()
    engine = benchmark_module("engine")
    engine.main(["--quick"])
    assert torch.get_num_threads() == threads
    machine, *sections = capsys.readouterr().out.split("### ")
    assert "cores" in machine
    assert torch.__version__ in machine
    titles = ["One step", "Against PyTorch", "Runs side by side", "Memory", "Batches of runs"]
    assert [title for title, s in zip(titles, sections, strict=True) if s.startswith(title)] == titles

    tables = [[line for line in s.splitlines() if line.startswith("|")] for s in sections]
    steps, against, throughput, memory, _ = tables
    assert [tuple(cells(row)[:2]) for row in steps[2:]] == [
        ("bp", "sgd"),
        *(("dfa", name) for name in engine.OPTIMIZERS),
    ]
    assert [cells(row)[0] for row in against[2:]] == ["sgd", "adadelta"]
    assert cells(throughput[2])[0] == "1 at a time, 1 thread each"
    assert len(memory) == 3
    for table in filter(None, tables):
        numeric = [rule == "---:" for rule in cells(table[1])]
        for row in table[2:]:
            values = [float(v) for v, n in zip(cells(row), numeric, strict=True) if n]
            assert values
            assert all(0 <= v < math.inf for v in values)
