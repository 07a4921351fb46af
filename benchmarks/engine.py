"""Benchmarks of training: step times, baselines, throughput, memory. Run by ``make bench``.

Prints Markdown tables, which ``benchmarks/README.md`` explains.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import joblib
import numpy as np
import torch
from baselines import Baseline
from measure import alternate, describe_machine, median, table
from torch import Tensor

from dfa_book.chapter import starting_rate
from dfa_lib import InputError, Run, run_all, train, training
from dfa_lib.data.images import Digits, DigitSets
from dfa_lib.data.mnist import load_mnist
from dfa_lib.experiments import repeats
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.training import DIGIT_SETS, PRECISIONS, load_problem, start_engine, train_stack

BASELINE_OPTIMIZERS = ("sgd", "adadelta")


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    datasets: tuple[str, ...] = ("digits", "mnist")  # tables other than step times use the last
    pairs: int = 200  # of one step each
    seconds: float = 3.0  # at most, for the pairs of one row; four times as long against baselines
    warm_up: int = 10
    rounds: int = 3  # of whole runs
    runs: int = 2  # per process and round
    steps: int = 200  # per run
    epoch: int | None = None  # samples of a whole epoch; None is the dataset's default
    batched: int = 60
    batched_epochs: int = 5


FULL = Scale()
QUICK = Scale(("digits",), pairs=1, warm_up=0, rounds=1, runs=1, steps=2, epoch=256, batched=2)


def example_run(dataset: str, method: str = "dfa", optimizer: str = "sgd", **fields: object) -> Run:
    """Return a run at the learning rate where the book's tuning starts."""
    rate = starting_rate(dataset, method, optimizer)
    return Run(dataset=dataset, k=3, method=method, optimizer=optimizer, learning_rate=rate, **fields)


# ---- one step ----


def our_step(run: Run) -> Callable[[], None]:
    """Return a function that makes the next training step of ``run``, including its batch.

    Call both under ``training.using_threads``.
    """
    problem = load_problem(run)
    engine = start_engine([run], problem.inputs)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        buffer = problem.training().buffer(run.batch_size)
        while True:
            examples = problem.training()
            for start in range(0, len(examples), run.batch_size):
                yield examples.batch(start, run.batch_size, out=buffer)

    batch = batches()
    return lambda: engine.step(*next(batch))


def product_bound(run: Run) -> Callable[[], None]:
    """Return a function that computes only the two large products that every step needs.

    They are ``X W1`` of the forward pass and ``Xᵀ δ1`` of the backward pass, written to preallocated
    tensors. The numbers are random and as large as in training, because denormal numbers are slow.
    """
    assert run.k is not None
    (hidden,), inputs = run.hidden_widths, run.k * DIGIT_SETS[run.dataset]().pixels
    dtype, source = PRECISIONS[run.precision], torch.Generator().manual_seed(run.seed)

    def normal(rows: int, columns: int, size: float) -> Tensor:
        return (size * torch.randn(rows, columns, generator=source)).to(dtype)

    X, delta = normal(run.batch_size, inputs, 1.0), normal(run.batch_size, hidden, 1e-3)
    W1 = normal(inputs, hidden, inputs**-0.5)
    A, G = torch.empty_like(delta), torch.empty_like(W1)

    def multiply() -> None:
        torch.mm(X, W1, out=A)
        torch.mm(X.T, delta, out=G)

    return multiply


def step_table(dataset: str, scale: Scale) -> str:
    """Compare each optimizer's step with the product bound."""
    header = ["method", "optimizer"]
    for threads in thread_counts():
        header += [f"step, ms (threads: {threads})", "bound, ms", "bound / step"]
    rows = []
    for method, optimizer in (("bp", "sgd"), *(("dfa", name) for name in OPTIMIZERS)):
        run = example_run(dataset, method, optimizer)
        row = [method, optimizer]
        for threads in thread_counts():
            with training.using_threads(threads):
                bound, ours = alternate(
                    [product_bound(run), our_step(run)],
                    scale.pairs,
                    seconds=scale.seconds,
                    warm_up=scale.warm_up,
                ).T
            row += [milliseconds(ours), milliseconds(bound), f"{median(bound / ours):.2f}"]
        rows.append(row)
    return table(header, rows)


def baseline_table(dataset: str, scale: Scale) -> str:
    """Compare our step with the PyTorch baselines."""
    rows = []
    for optimizer in BASELINE_OPTIMIZERS:
        run = example_run(dataset, "bp", optimizer)
        with training.using_threads(joblib.cpu_count()):
            actions = [our_step(run), *(Baseline(run, in_memory=m).step for m in (True, False))]
            ours, *others = alternate(
                actions, scale.pairs, seconds=4 * scale.seconds, warm_up=scale.warm_up
            ).T
        row = [optimizer, milliseconds(ours)]
        for theirs in others:
            row += [milliseconds(theirs), f"{median(theirs / ours):.2f}"]
        rows.append(row)
    header = ["optimizer", "ours, ms", "in memory, ms", "in memory / ours"]
    return table([*header, "DataLoader, ms", "DataLoader / ours"], rows)


# ---- whole runs ----


def throughput_table(dataset: str, scale: Scale) -> str:
    """Compare parallel runs with sequential ones, on one core and on all of them."""
    samples, cores = scale.steps * 128, joblib.cpu_count()
    run = example_run(dataset, samples=samples, test_samples=samples // 20, epochs=1)

    def side_by_side(jobs: int) -> None:
        run_all(repeats([run], jobs * scale.runs), jobs=jobs)

    def one_after_another(threads: int) -> None:
        for repeat in repeats([run], scale.runs):
            train(repeat, threads=threads)

    ways = [
        (f"{jobs} at a time, 1 thread each", jobs * scale.runs, partial(side_by_side, jobs))
        for jobs in process_counts(cores)
    ]
    if cores > 1:
        ways.append((f"1 at a time, {cores} threads", scale.runs, partial(one_after_another, cores)))
    # The warm-up starts the processes, which import torch and load the digits.
    return rate_table(ways, scale)


def batch_table(dataset: str, scale: Scale, device: str) -> str:
    """Compare a batch of runs with the same runs one at a time."""
    run = example_run(dataset, samples=scale.epoch, epochs=scale.batched_epochs, device=device)

    def one_at_a_time() -> None:
        for repeat in repeats([run], scale.runs):
            train(repeat)

    # Histories are plain numbers, so their creation waits for the GPU.
    ways = [
        ("1 at a time", scale.runs, one_at_a_time),
        (
            f"a batch of {scale.batched}",
            scale.batched,
            lambda: train_stack(repeats([run], scale.batched)),
        ),
    ]
    return rate_table(ways, scale)


def rate_table(ways: Sequence[tuple[str, int, Callable[[], object]]], scale: Scale) -> str:
    """Compare ways to train, each with a name, its number of runs and a function that trains them."""
    names, counts, actions = zip(*ways, strict=True)
    times = alternate(actions, scale.rounds, warm_up=min(scale.warm_up, 1))
    rates = 60 * np.array(counts) / times
    rows = [
        [name, f"{median(rate):.1f}", f"{median(rate / rates[:, 0]):.2f}"]
        for name, rate in zip(names, rates.T, strict=True)
    ]
    return table(["runs", "runs per minute", "times the first row"], rows)


def memory_table(dataset: str, scale: Scale) -> str:
    """Measure the peak memory of one epoch in a separate process."""
    run = example_run(dataset, samples=scale.epoch, epochs=1)
    script = Path(__file__).with_name("memory.py")
    answer = subprocess.run(
        [sys.executable, str(script), json.dumps(asdict(run))],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    before, peak = (int(size) / 1e6 for size in answer.stdout.split())
    header = ["after `import torch`, MB", "peak of the run, MB", "above `import torch`, MB"]
    return table(header, [[f"{before:.0f}", f"{peak:.0f}", f"{peak - before:.0f}"]])


# ---- shared ----


def thread_counts() -> list[int]:
    """Return 1 and the number of cores, without duplicates."""
    return sorted({1, joblib.cpu_count()})


def process_counts(largest: int) -> list[int]:
    """Return 1, 2, 4, … and ``largest``."""
    powers = [2**i for i in range(largest.bit_length())]
    return sorted({*(count for count in powers if count < largest), largest})


def milliseconds(times: np.ndarray) -> str:
    """Format the median of times in seconds as milliseconds."""
    return f"{1e3 * median(times):.2f}"


@cache
def random_digits() -> DigitSets:
    """Return noise with the shape of MNIST, which is enough to time a step."""
    source = torch.Generator().manual_seed(0)

    def draw(count: int) -> Digits:
        pixels = torch.randn(count, 784, generator=source)
        return Digits(pixels, torch.randint(10, (count,), generator=source))

    return DigitSets(train=draw(55_000), validation=draw(5_000), test=draw(10_000))


def use_mnist_or_noise() -> bool:
    """Load MNIST, or replace it by noise in this process; return whether it is MNIST."""
    try:
        load_mnist()
    except InputError as problem:
        print(f"MNIST is not here: {problem}", file=sys.stderr)
        DIGIT_SETS["mnist"] = random_digits
        return False
    return True


def report(scale: Scale) -> Iterator[str]:
    """Yield the parts of the report as soon as they are measured."""
    yield f"Measured on: {describe_machine()}."
    for dataset in scale.datasets:
        if dataset == "mnist" and not use_mnist_or_noise():
            yield "MNIST was not to be had: its steps were timed on random pixels of the same shape."
        yield f"### One step: {dataset}, k=3"
        yield step_table(dataset, scale)
    task = f"{dataset}, k=3"
    yield f"### Against PyTorch's modules, autograd and optimizers: {task}, BP, float32, all cores"
    yield baseline_table(dataset, scale)
    yield f"### Runs side by side: {task}, DFA with SGD, {scale.steps} steps a run"
    # Other processes would load the real digits.
    noise = DIGIT_SETS[dataset] is random_digits
    yield "Left out, as MNIST is not here." if noise else throughput_table(dataset, scale)
    yield f"### Memory of one run: {task}, DFA with SGD, one epoch"
    yield "Left out, as MNIST is not here." if noise else memory_table(dataset, scale)
    yield f"### Batches of runs on a GPU: {task}, DFA with SGD, {scale.batched_epochs} epochs"
    if torch.cuda.is_available():
        yield f"On: {torch.cuda.get_device_name()}."
        yield batch_table(dataset, scale, "cuda")
    else:
        yield "This machine has no CUDA GPU."


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few steps on the digits; the numbers mean nothing"
    )
    scale = QUICK if parser.parse_args(arguments).quick else FULL
    for piece in report(scale):
        print(piece, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
