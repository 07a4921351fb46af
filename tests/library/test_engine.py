import json
import logging
import math
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from dfa_lib import (
    InputError,
    Run,
    engine,
    train,
)
from dfa_lib.data.examples import Examples, stack
from dfa_lib.engine import Engine, compiled_advance
from dfa_lib.feedback import FEEDBACK
from dfa_lib.learning_rules import gradients
from dfa_lib.methods import METHODS
from dfa_lib.optimizers import OPTIMIZERS, step
from dfa_lib.training import (
    METRICS,
    initial_parameters,
    load_problem,
    stackable,
    start_engine,
    train_stack,
)

RATES = {"sgd": 0.1, "momentum": 0.01, "nesterov": 0.01, "adagrad": 0.01, "adadelta": 0.5}


def rate(optimizer):
    return RATES.get(optimizer, 0.001)


def assert_close(history, other, tolerance):
    for name in METRICS:
        expected = pytest.approx(getattr(other, name), rel=tolerance, abs=tolerance, nan_ok=True)
        assert getattr(history, name) == expected, name


# ---- the engine does what the equations say ----


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_the_engine_makes_the_steps_of_the_pure_functions(
    method, optimizer, weight_decay, small_run, relative_error
):
    run = small_run(
        method=method,
        optimizer=optimizer,
        weight_decay=weight_decay,
        learning_rate=rate(optimizer),
        precision="float64",
    )
    examples = load_problem(run).training()
    quick = start_engine([run], examples.inputs)
    plain, state = initial_parameters(run, examples.inputs), {}
    for start in range(0, 256, 100):  # the last batch is smaller
        X, y = examples.batch(start, 100)
        quick.step(X, y)
        plain, state = step(
            OPTIMIZERS[optimizer],
            plain,
            state,
            lambda point, X=X, y=y: gradients(METHODS[method].rule(point, X, y, run.activation)),
            learning_rate=run.learning_rate,
            weight_decay=weight_decay,
        )
    assert quick.parameters.keys() == plain.keys()
    assert relative_error(quick.parameters, plain) <= 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_only_what_has_a_gradient_is_trained(method, small_run):
    run = small_run(method=method, weight_decay=0.5)
    examples = load_problem(run).training()
    X, y = examples.batch(0, 32)
    parameters = initial_parameters(run, examples.inputs)
    quick = start_engine([run], examples.inputs)
    quick.step(X, y)
    trained = gradients(METHODS[method].rule(parameters, X, y, run.activation)).keys()
    for name, before in parameters.items():
        assert torch.equal(quick.parameters[name], before) == (name not in trained), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_step_takes_fresh_memory_for_the_parameters(optimizer, small_run):
    run = small_run(optimizer=optimizer)
    examples = load_problem(run).training()
    quick = start_engine([run], examples.inputs)
    tensors = [
        quick.theta,
        quick.gradient,
        *(s for s in quick.state if s.dim()),
        *quick.parameters.values(),
    ]
    places = [tensor.data_ptr() for tensor in tensors]
    quick.step(*examples.batch(0, 128))
    tensors = [
        quick.theta,
        quick.gradient,
        *(s for s in quick.state if s.dim()),
        *quick.parameters.values(),
    ]
    assert [tensor.data_ptr() for tensor in tensors] == places


def test_the_caller_keeps_the_parameters_it_passed(random_network, random_batch):
    parameters = random_network((5, 4, 1))
    before = {name: value.clone() for name, value in parameters.items()}
    quick = Engine(parameters, METHODS["bp"].rule, OPTIMIZERS["sgd"], learning_rate=0.1)
    quick.step(*random_batch(8, 5))
    assert all(torch.equal(parameters[name], before[name]) for name in before)
    assert not torch.equal(quick.parameters["W1"], before["W1"])


@pytest.mark.parametrize("method", METHODS)
def test_a_rule_yields_each_gradient_once_and_reads_no_weight_after_it_was_yielded(method, small_run):
    """A consumer may update W_l in place as soon as its gradient is yielded."""
    run = small_run(method=method, hidden=16)
    X, y = load_problem(run).training().batch(0, 32)
    parameters = initial_parameters(run, X.shape[-1])
    rule, names = METHODS[method].rule, []
    expected = gradients(rule(parameters, X, y, run.activation))
    for name, a, b in rule(parameters, X, y, run.activation):
        names.append(name)
        assert torch.equal(a @ b, expected[name])
        parameters[name].fill_(torch.nan)
    assert len(names) == len(set(names)) == len(expected)


# ---- stacks ----


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_runs_in_a_stack_come_out_as_alone(method, optimizer, small_run):
    kinds = list(FEEDBACK)
    runs = [
        small_run(
            method=method,
            optimizer=optimizer,
            learning_rate=rate(optimizer) * (1 + seed / 4),
            weight_decay=0.01,
            feedback=kinds[seed],
            seed=seed,
            samples=200,
            precision="float64",
        )
        for seed in range(3)
    ]
    for run, history in zip(runs, train_stack(runs), strict=True):
        assert history.run == run
        assert_close(history, train(run), 1e-9)


@pytest.mark.parametrize("method", ["fa", "dfa", "ntk"])
def test_stacks_of_clusters_and_of_validation_runs_come_out_as_alone(method, small_run):
    clusters = [small_run(dataset="clusters", method=method, seed=s, labelling=s) for s in range(3)]
    validation = [small_run(method=method, evaluate_on="validation", seed=s) for s in range(2)]
    deep = [small_run(method="fa", hidden=(16, 8), seed=s) for s in range(2)]
    for runs in (clusters, validation, deep):
        runs = [replace(run, precision="float64") for run in runs]
        for run, history in zip(runs, train_stack(runs), strict=True):
            assert_close(history, train(run), 1e-9)


def test_a_stack_of_one_is_the_run_itself(small_run):
    assert train_stack([small_run(method="dfa")]) == [train(small_run(method="dfa"))]


def test_a_run_that_diverges_does_not_stop_its_stack(small_run):
    runs = [small_run(method="dfa", learning_rate=lr) for lr in (0.1, 1e300, 0.2)]
    # In float32 a rate of 1e300 is infinite.
    histories = train_stack(runs)
    assert [history.diverged for history in histories] == [False, True, False]
    assert all(len(history.test_loss) == 2 for history in histories)
    for i in (0, 2):
        assert_close(histories[i], train(runs[i]), 1e-4)


def test_a_stack_that_diverges_as_a_whole_is_padded_with_nan(small_run):
    runs = [small_run(learning_rate=1e300, seed=seed, epochs=4) for seed in range(2)]
    for history in train_stack(runs):
        assert len(history.test_loss) == 4
        assert all(math.isnan(loss) for loss in history.test_loss)


@pytest.mark.parametrize(
    "change", [{"k": 1}, {"method": "dfa"}, {"optimizer": "adam"}, {"epochs": 3}, {"hidden": 8}]
)
def test_runs_of_different_shapes_are_refused_in_one_stack(change, small_run):
    with pytest.raises(InputError, match=r"runs in one batch may differ in seed, learning_rate"):
        train_stack([small_run(), small_run(**change)])
    assert stackable(small_run()) != stackable(small_run(**change))


def test_an_empty_stack_is_refused():
    with pytest.raises(InputError, match="at least one run"):
        train_stack([])


def test_a_stack_keeps_shared_items_once_and_puts_others_one_after_the_other():
    items = torch.arange(6.0).view(3, 2)
    labels = torch.zeros(2, 1)
    a = Examples(items, torch.tensor([[0, 1], [1, 2]]), labels)
    b = Examples(items, torch.tensor([[2, 2], [0, 0]]), labels + 1)
    other = Examples(items + 10, torch.tensor([[0, 1], [1, 2]]), labels)
    shared, mixed = stack([a, b]), stack([a, other])
    assert shared.items is items
    for together, parts in ((shared, (a, b)), (mixed, (a, other))):
        X, y = together.batch(0, 2)
        assert torch.equal(X, torch.stack([part.batch(0, 2)[0] for part in parts]))
        assert torch.equal(y, torch.stack([part.labels for part in parts]))


def test_batches_in_a_buffer_are_the_same_batches(small_run):
    examples = load_problem(small_run(samples=300)).training()
    buffer = examples.buffer(128)
    for start in (0, 128, 256):
        fresh, _ = examples.batch(start, 128)
        again, _ = examples.batch(start, 128, out=buffer)
        assert torch.equal(fresh, again)
        assert again.data_ptr() == buffer.data_ptr()


# ---- compiled updates ----

compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="there is no C++ compiler here, so nothing to compare with",
)


@pytest.fixture
def always_compile(monkeypatch):
    monkeypatch.setattr(engine, "WORTH_COMPILING", 0)


# In a separate process: torch.compile cannot trace the type checks that the tests run with.
COMPARE = """
import json, math
from dfa_lib import Run, engine, train
from dfa_lib.optimizers import OPTIMIZERS
losses = {}
for optimizer in OPTIMIZERS:
    run = Run(method="dfa", optimizer=optimizer, learning_rate=0.01, weight_decay=0.01, hidden=64,
              samples=640, test_samples=640, epochs=2)
    losses[optimizer] = []
    for engine.WORTH_COMPILING in (0, math.inf):
        history = train(run)
        losses[optimizer].append(history.train_loss + history.test_loss)
compiled = [engine.compiled_advance(o) is not engine.advance for o in OPTIMIZERS.values()]
print(json.dumps({"compiled": compiled, "losses": losses}))
"""


@compiler
def test_compiling_changes_nothing_beyond_rounding():
    ran = subprocess.run([sys.executable, "-c", COMPARE], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    said = json.loads(ran.stdout)
    assert all(said["compiled"])
    assert said["losses"].keys() == OPTIMIZERS.keys()
    for compiled, eager in said["losses"].values():
        assert compiled == pytest.approx(eager, rel=1e-5)


@pytest.mark.usefixtures("always_compile")
def test_without_a_compiler_training_goes_on_and_says_so_once(small_run, monkeypatch, caplog):
    def no_compiler(*_, **__):
        def fail(*_, **__):
            raise RuntimeError("no C++ compiler found\nand a long trace")

        return fail

    compiled_advance.cache_clear()
    monkeypatch.setattr(torch, "compile", no_compiler)
    with caplog.at_level(logging.WARNING):
        histories = [train(small_run(seed=seed, optimizer="momentum")) for seed in (0, 1)]
    compiled_advance.cache_clear()
    assert [record.getMessage() for record in caplog.records] == [
        "Updates are not compiled (no C++ compiler found): results are the same, but take longer."
    ]
    monkeypatch.setattr(engine, "WORTH_COMPILING", math.inf)
    assert histories == [train(small_run(seed=seed, optimizer="momentum")) for seed in (0, 1)]


def test_a_short_run_is_not_compiled_and_a_long_one_is(monkeypatch):
    compiled = []
    monkeypatch.setattr(
        engine, "compiled_advance", lambda optimizer: compiled.append(1) or engine.advance
    )
    start_engine([Run(learning_rate=0.1, optimizer="adam")], 192)
    assert compiled == []
    start_engine([Run(dataset="mnist", learning_rate=0.1, optimizer="adam")], 2352)
    assert compiled == [1]


def test_sgd_adds_its_step_within_the_product_and_needs_no_gradient(monkeypatch, small_run):
    monkeypatch.setattr(engine, "WORTH_COMPILING", 0)
    examples = load_problem(small_run()).training()
    quick = start_engine([small_run()], examples.inputs)
    quick.gradient.fill_(math.nan)
    quick.step(*examples.batch(0, 128))
    assert quick.theta.isfinite().all()
    assert quick.gradient.isnan().all()
