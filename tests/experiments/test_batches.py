import logging
from dataclasses import replace

import pytest
import torch

from dfa_lib import InputError, run_all, train
from dfa_lib.experiments import batches
from dfa_lib.experiments import runner as experiments
from dfa_lib.experiments.batches import train_batches
from dfa_lib.training import train_stack


@pytest.fixture
def memory(monkeypatch):
    """Simulate that more than ``memory[0]`` runs do not fit in memory; record the sizes tried."""
    limit, tried = [3], []

    def limited(runs):
        tried.append(len(runs))
        if len(runs) > limit[0]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return train_stack(runs)

    monkeypatch.setattr(batches, "train_stack", limited)
    return limit, tried


def test_runs_of_one_shape_train_as_one_stack(memory, small_run):
    limit, tried = memory
    limit[0] = 99
    runs = [small_run(method=m, seed=seed) for seed in range(3) for m in ("bp", "dfa")]
    histories = list(train_batches(runs))
    assert tried == [3, 3]
    assert {history.run for history in histories} == set(runs)
    for history in histories:
        assert history.test_loss == pytest.approx(train(history.run).test_loss, rel=1e-4)


def test_a_stack_that_does_not_fit_is_split_until_it_does(memory, small_run, caplog):
    _, tried = memory
    runs = [small_run(seed=seed) for seed in range(7)]
    with caplog.at_level(logging.WARNING):
        histories = list(train_batches(runs))
    assert tried == [7, 3, 4, 2, 2]
    assert [history.run for history in histories] == runs
    assert [record.getMessage() for record in caplog.records] == [
        "A batch of 7 runs does not fit in memory: split in two.",
        "A batch of 4 runs does not fit in memory: split in two.",
    ]


def test_what_was_trained_before_a_run_that_does_not_fit_is_not_lost(memory, small_run):
    limit, _ = memory
    training = train_batches([small_run(method="dfa"), small_run(method="bp")])
    assert next(training).run.method == "dfa"
    limit[0] = 0
    with pytest.raises(InputError, match=r"bp with sgd .* does not fit in the memory of cpu; a smaller"):
        next(training)


def test_run_all_trains_what_is_on_a_gpu_in_stacks_and_the_rest_by_itself(monkeypatch, small_run):
    # Needs no GPU: the batch is trained on the CPU instead.
    def on_the_cpu(runs):
        assert {run.device for run in runs} == {"cuda"}
        for history in train_stack([replace(run, device="cpu") for run in runs]):
            yield replace(history, run=replace(history.run, device="cuda"))

    monkeypatch.setattr(experiments, "train_batches", on_the_cpu)
    runs = [small_run(device=device, seed=seed) for seed in (0, 1) for device in ("cpu", "cuda")]
    table = run_all(runs)
    assert table["device"].tolist() == ["cpu", "cpu", "cuda", "cuda"] * 2
    losses = table["test_loss"].to_numpy().reshape(4, 2)
    assert losses[0].tolist() == train(runs[0]).test_loss
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
