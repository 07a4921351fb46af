import math
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from dfa_lib import InputError, Run, train
from dfa_lib.data.clusters import DENSITIES
from dfa_lib.feedback import FEEDBACK
from dfa_lib.networks import ACTIVATIONS, forward
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.randomness import generator
from dfa_lib.run import DATASETS
from dfa_lib.training import (
    METHODS,
    METRICS,
    History,
    initial_parameters,
    load_problem,
    using_threads,
)

LAZY = [name for name, method in METHODS.items() if method.lazy]


def values(history):
    return {name: getattr(history, name) for name in METRICS}


# ---- what a run learns ----


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_the_parity_of_one_digit(method, small_run):
    rate = 0.02 if method == "gaussian_features" else 0.2
    history = train(
        small_run(method=method, k=1, samples=4_000, hidden=128, epochs=4, learning_rate=rate)
    )
    assert history.test_accuracy[-1] > 0.8
    assert history.train_loss[-1] < history.train_loss[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dataset", ["digits", "clusters"])
def test_a_history_has_one_value_per_epoch(dataset, method, small_run):
    history = train(small_run(dataset=dataset, method=method, epochs=3))
    assert all(len(v) == 3 for v in values(history).values())
    assert all(isinstance(x, float) for v in values(history).values() for x in v)
    assert all(0 <= x <= 1 for x in history.train_accuracy + history.test_accuracy)
    assert all(0 < x < math.inf for x in history.train_loss + history.test_loss)
    assert not history.diverged


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("method", ["bp", "fa", "dfa"])
@pytest.mark.parametrize("hidden", [(16,), (16, 8), (16, 8, 4)])
def test_networks_of_any_depth_train(activation, method, hidden, small_run):
    for biases in (True, False):
        run = small_run(activation=activation, method=method, hidden=hidden, biases=biases, epochs=1)
        assert not train(run).diverged


@pytest.mark.parametrize(
    ("optimizer", "torch_optimizer"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)]
)
def test_training_is_a_torch_loop_over_the_same_batches(
    optimizer, torch_optimizer, small_run, relative_error
):
    # 300 = 128 + 128 + 44: the last batch is smaller, and counts as an update like any other.
    run = small_run(
        samples=300, hidden=(8, 4), precision="float64", optimizer=optimizer, learning_rate=0.05
    )
    problem = load_problem(run)
    network = torch.nn.Sequential(
        torch.nn.Linear(192, 8),
        torch.nn.ReLU(),
        torch.nn.Linear(8, 4),
        torch.nn.ReLU(),
        torch.nn.Linear(4, 1),
    ).double()
    layers = [network[0], network[2], network[4]]
    start = initial_parameters(run, 192)
    with torch.no_grad():
        for number, layer in enumerate(layers, start=1):
            layer.weight.copy_(start[f"W{number}"].T)
            layer.bias.copy_(start[f"b{number}"][0])
    rule = torch_optimizer(network.parameters(), lr=0.05)
    losses = []
    for _ in range(run.epochs):
        examples = problem.training()
        for i in (0, 128, 256):
            X, y = examples.batch(i, 128)
            rule.zero_grad()
            F.binary_cross_entropy_with_logits(network(X), y).backward()
            rule.step()
        X, y = problem.held_out().batch(0, run.test_samples)
        losses.append(F.binary_cross_entropy_with_logits(network(X), y).item())

    seen = []
    history = train(run, observe=lambda epoch, parameters: seen.append(parameters))
    for number, layer in enumerate(layers, start=1):
        assert relative_error(seen[-1][f"W{number}"], layer.weight.detach().T) <= 1e-10
        assert relative_error(seen[-1][f"b{number}"], layer.bias.detach()[None]) <= 1e-10
    assert history.test_loss == pytest.approx(losses, rel=1e-10)


@pytest.mark.parametrize(("samples", "test_samples"), [(256, 128), (100, 300), (700, 600)])
def test_metrics_are_those_of_the_parameters_at_the_epochs_end(samples, test_samples, small_run):
    # 300 and 600 need several evaluation batches, of unequal sizes.
    run = small_run(samples=samples, test_samples=test_samples, precision="float64")
    seen = []
    history = train(run, observe=lambda epoch, parameters: seen.append(parameters))
    problem = load_problem(run)
    for epoch in range(run.epochs):
        stacks = {"train": problem.training(), "test": problem.held_out()}
        for name, examples in stacks.items():
            # The epoch's first training stacks, as many as there are held-out ones.
            X, y = examples.batch(0, test_samples)
            logits = forward(seen[epoch], X).logits
            loss = F.binary_cross_entropy_with_logits(logits, y).item()
            right = ((logits > 0) == (y == 1)).double().mean().item()
            assert getattr(history, f"{name}_loss")[epoch] == pytest.approx(loss, rel=1e-10)
            assert getattr(history, f"{name}_accuracy")[epoch] == pytest.approx(right, rel=1e-10)


# ---- the same bits ----


@pytest.mark.parametrize("dataset", ["digits", "clusters"])
@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bits(dataset, method, small_run):
    run = small_run(dataset=dataset, method=method)
    assert values(train(run))["test_loss"] == values(train(run))["test_loss"]
    assert str(values(train(run))) == str(values(train(run)))  # text, as nan is not equal to itself


def test_another_seed_gives_other_numbers(small_run):
    assert train(small_run(seed=0)).test_loss != train(small_run(seed=1)).test_loss


def test_the_global_random_state_is_neither_read_nor_changed(small_run):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = train(small_run(method="dfa"))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert train(small_run(method="dfa")) == first


def test_observing_a_run_does_not_change_it(small_run):
    run, epochs = small_run(method="dfa", epochs=3), []
    assert train(run, observe=lambda epoch, parameters: epochs.append(epoch)) == train(run)
    assert epochs == [1, 2, 3]


def test_parameters_that_were_observed_do_not_change_afterwards(small_run):
    seen, copies = [], []

    def observe(epoch, parameters):
        seen.append(parameters)
        copies.append({name: p.clone() for name, p in parameters.items()})

    train(small_run(method="dfa", optimizer="adam", epochs=3), observe=observe)
    for parameters, copy in zip(seen, copies, strict=True):
        assert all(torch.equal(parameters[name], copy[name]) for name in copy)
    assert not torch.equal(seen[0]["W1"], seen[1]["W1"])


def test_more_epochs_continue_the_same_run(small_run):
    short, long = train(small_run(epochs=2)), train(small_run(epochs=4))
    assert long.test_loss[:2] == short.test_loss
    assert long.train_accuracy[:2] == short.train_accuracy


def test_fa_and_dfa_train_alike_with_one_hidden_layer_and_not_like_backpropagation(small_run):
    fa, dfa, bp = (train(small_run(method=method)) for method in ("fa", "dfa", "bp"))
    assert values(fa) == values(dfa)
    assert fa.test_loss != bp.test_loss


def test_fa_and_dfa_train_differently_in_deeper_networks(small_run):
    fa, dfa = (train(small_run(method=method, hidden=(16, 8))) for method in ("fa", "dfa"))
    assert fa.test_loss != dfa.test_loss


def test_ntk_trains_alike_whatever_activation_was_passed(small_run):
    assert (
        values(train(small_run(method="relu_features", activation="tanh")))["test_loss"]
        == (values(train(small_run(method="relu_features")))["test_loss"])
    )


def test_both_precisions_start_from_the_same_numbers(small_run):
    single, double = (
        initial_parameters(small_run(method="dfa", precision=precision), 64)
        for precision in ("float32", "float64")
    )
    for name, p in double.items():
        assert p.dtype == torch.float64
        assert torch.equal(single[name], p.float())


def test_validation_and_test_are_judged_on_different_digits_after_the_same_training(small_run):
    test, validation = (train(small_run(evaluate_on=where)) for where in ("test", "validation"))
    assert test.train_loss == validation.train_loss
    assert test.test_loss != validation.test_loss


def test_threads_are_put_back_as_they_were(small_run):
    before = torch.get_num_threads()
    seen = []
    train(small_run(), threads=2, observe=lambda *_: seen.append(torch.get_num_threads()))
    assert seen == [2, 2]
    assert torch.get_num_threads() == before


def test_streams_of_random_numbers_depend_on_seed_and_name_alone():
    def numbers(seed, name):
        return torch.rand(5, generator=generator(seed, name)).tolist()

    assert numbers(0, "weights") == numbers(0, "weights")
    drawn = [
        numbers(seed, name) for seed in range(5) for name in ("weights", "feedback", "train", "test")
    ]
    assert len({tuple(d) for d in drawn}) == 20


# ---- divergence ----


def blows_up_later(small_run, **fields):
    # At η·λ = 1001 every update multiplies the weights by -1000, whatever the data: finite for an epoch
    # or two, beyond float32 soon after.
    return small_run(learning_rate=1.0, weight_decay=1001.0, epochs=8, **fields)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_an_enormous_rate_is_recorded_as_divergence(method, activation, small_run):
    history = train(small_run(method=method, activation=activation, learning_rate=1e300, epochs=3))
    assert history.diverged
    assert all(len(v) == 3 and math.isnan(v[-1]) for v in values(history).values())


@pytest.mark.parametrize("method", ["bp", "dfa"])
def test_every_value_is_nan_from_the_epoch_of_divergence_on(method, small_run):
    epochs = []
    run = blows_up_later(small_run, method=method)
    history = train(run, observe=lambda epoch, parameters: epochs.append(epoch))
    finite = len(epochs)
    assert 1 <= finite < run.epochs
    assert history.diverged
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        recorded = getattr(history, name)
        assert all(map(math.isfinite, recorded[:finite]))
        assert all(map(math.isnan, recorded[finite:]))
        assert len(recorded) == run.epochs


def test_a_run_that_stays_finite_has_not_diverged(small_run):
    assert not train(small_run()).diverged
    assert not History(small_run()).diverged


# ---- what a run is ----


def test_fields_that_do_not_apply_are_none(small_run):
    digits = small_run(dimensions=7, labelling=3, density="uniform")
    assert (digits.dimensions, digits.labelling, digits.density) == (None, None, None)
    clusters = small_run(dataset="clusters", k=3)
    assert clusters.k is None
    for method in METHODS:
        run = small_run(method=method, feedback="gaussian")
        assert run.feedback == ("gaussian" if method in ("fa", "dfa") else None)


@pytest.mark.usefixtures("unchecked")
def test_runs_that_mean_the_same_are_equal(small_run):
    assert small_run() == small_run(k=3, feedback="uniform", dimensions=9)
    assert small_run(hidden=16) == small_run(hidden=[16]) == small_run(hidden=(16,))
    assert hash(small_run(hidden=[16, 8])) == hash(small_run(hidden=(16, 8)))
    assert small_run(learning_rate=1) == small_run(learning_rate=1.0)
    assert small_run(seed=np.int64(3)) == small_run(seed=3)
    assert small_run(method="ntk", activation="tanh") == small_run(method="ntk")


def test_defaults_are_those_of_the_dataset():
    digits, mnist, clusters = (Run(dataset=name, learning_rate=1.0) for name in DATASETS)
    assert (digits.k, digits.hidden, digits.batch_size, digits.epochs) == (3, 512, 128, 20)
    assert (mnist.samples, mnist.test_samples, mnist.k) == (60_000, 10_000, 3)
    assert (clusters.samples, clusters.test_samples, clusters.dimensions) == (256, 4_000, 15)
    assert (clusters.labelling, clusters.density) == (None, "centred")
    dfa = Run(method="dfa", learning_rate=1.0)
    assert (dfa.feedback, dfa.dataset, dfa.optimizer) == ("uniform", "digits", "sgd")


def test_a_run_cannot_be_changed(small_run):
    run = small_run()
    with pytest.raises(FrozenInstanceError):
        run.k = 1


def test_there_is_no_default_learning_rate():
    with pytest.raises(TypeError, match="learning_rate"):
        Run()


WHOLE = [0, -1, 1.5, "3", True, math.nan, [1]]
POSITIVE = [0, -1, math.nan, math.inf, -math.inf, "1e-3", True, None, [0.1], 1j]
BAD = (
    [("dataset", v, DATASETS) for v in ("mnits", "", 3, None)]
    + [("method", v, METHODS) for v in ("bpp", "DFA", None, 1)]
    + [("feedback", v, FEEDBACK) for v in ("normal", "", 0)]
    + [("optimizer", v, OPTIMIZERS) for v in ("SGD", "adamw", None)]
    + [("activation", v, ACTIVATIONS) for v in ("gelu", None, ["relu"])]
    + [("evaluate_on", v, ("test", "validation")) for v in ("train", None)]
    + [("precision", v, ("float32", "float64")) for v in ("float16", torch.float32)]
    + [("device", v, ("cpu", "cuda")) for v in ("gpu", "cuda:1", None)]
    + [(name, v, ["at least 1"]) for name in ("k", "samples", "test_samples") for v in WHOLE]
    + [(name, v, ["at least 1"]) for name in ("epochs", "passes", "batch_size") for v in [*WHOLE, None]]
    + [("hidden", v, ["at least 1"]) for v in [0, -1, 1.5, "3", True, None]]
    + [("seed", v, ["at least 0"]) for v in (-1, 1.5, "0", None, True)]
    + [("learning_rate", v, ["positive, finite"]) for v in POSITIVE]
    + [("weight_decay", v, ["zero or a positive, finite"]) for v in (-1, math.nan, math.inf, "0", None)]
    + [("biases", v, ["True or False"]) for v in (1, "yes", None)]
)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("name", "value", "accepted"), BAD)
def test_a_bad_value_is_named_and_the_accepted_ones_are_listed(name, value, accepted, small_run):
    with pytest.raises(InputError) as caught:
        small_run(**({"method": "dfa"} | {name: value}))
    message = str(caught.value)
    for part in (name, repr(value), *accepted):
        assert part in message
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("dimensions", 2, ["at least 3"]),
        ("dimensions", 4.0, ["at least 3"]),
        ("labelling", -1, ["at least 0"]),
        ("density", "normal", DENSITIES),
        ("samples", 0, ["at least 1"]),
    ],
)
def test_a_bad_value_of_the_clusters_is_named_too(name, value, accepted, small_run):
    with pytest.raises(InputError) as caught:
        small_run(**({"dataset": "clusters"} | {name: value}))
    assert all(part in str(caught.value) for part in (name, repr(value), *accepted))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("widths", [(16, 0), (16, "8"), [True], (16, 1.5)])
def test_a_bad_width_among_several_is_named(widths, small_run):
    with pytest.raises(InputError, match="hidden must be a whole number of at least 1"):
        small_run(hidden=widths)


def test_no_width_at_all_is_refused(small_run):
    with pytest.raises(InputError, match="hidden must be a width of at least 1"):
        small_run(hidden=())


@pytest.mark.parametrize("method", LAZY)
def test_lazy_methods_have_one_hidden_layer(method, small_run):
    with pytest.raises(InputError, match=f"one width for {method}.*16, 8"):
        small_run(method=method, hidden=(16, 8))


def test_a_likely_misspelling_is_put_right(small_run):
    with pytest.raises(InputError, match="did you mean adadelta"):
        small_run(optimizer="adadlta")


def test_cuda_where_there_is_none_is_a_sentence(small_run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"'cuda'.*no CUDA GPU.*accepted is cpu"):
        train(small_run(device="cuda"))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_bad_threads_are_named(threads, small_run):
    with pytest.raises(InputError, match="threads must be a whole number of at least 1"):
        train(small_run(), threads=threads)


SPECS = st.fixed_dictionaries(
    {
        "dataset": st.sampled_from(DATASETS),
        "method": st.sampled_from(["bp", "fa", "dfa"]),
        "learning_rate": st.floats(min_value=1e-300, max_value=1e300),
    },
    optional={
        "k": st.integers(1, 9),
        "samples": st.integers(1, 10**6),
        "dimensions": st.integers(3, 50),
        "labelling": st.integers(0, 2**40),
        "density": st.sampled_from(DENSITIES),
        "feedback": st.sampled_from(list(FEEDBACK)),
        "hidden": st.integers(1, 999) | st.lists(st.integers(1, 99), min_size=1, max_size=4).map(tuple),
        "activation": st.sampled_from(list(ACTIVATIONS)),
        "biases": st.booleans(),
        "optimizer": st.sampled_from(list(OPTIMIZERS)),
        "weight_decay": st.floats(min_value=0, max_value=1e300),
        "batch_size": st.integers(1, 999),
        "passes": st.integers(1, 999),
        "seed": st.integers(0, 2**63 - 1),
    },
)


@given(spec=SPECS)
def test_a_specification_is_complete_once_it_is_a_run(spec):
    run = Run(**spec)
    again = Run(**{field.name: getattr(run, field.name) for field in fields(Run)})
    assert again == run
    assert hash(again) == hash(run)
    assert replace(run) == run
    assert run.hidden_widths
    assert (run.k is None) == (run.dataset == "clusters") == (run.dimensions is not None)
    assert run.method in run.describe()
    for name, value in spec.items():
        if name != "hidden":
            assert getattr(run, name) in (value, None)


# ---- what a notebook has set, and what does not fit ----


def set_autocast():
    torch.set_autocast_enabled("cpu", True)


SETTINGS = {
    "products in bfloat16": lambda: torch.set_float32_matmul_precision("medium"),
    "products in bfloat16, the newer way": lambda: setattr(torch.backends, "fp32_precision", "bf16"),
    "default type": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "deterministic": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "no denormal numbers": lambda: torch.set_flush_denormal(True),
    "autocast": set_autocast,
    "threads": lambda: torch.set_num_threads(2),
}


def settings():
    return [
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.mkldnn.matmul.fp32_precision,
        torch.backends.cuda.matmul.fp32_precision,
        torch.is_autocast_enabled("cpu"),
        torch.get_num_threads(),
        bool(torch.tensor([5e-324], dtype=torch.float64, device="cpu").mul(1).any()),
    ]


@pytest.fixture
def restored():
    """Restore torch's global settings."""
    threads = torch.get_num_threads()
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.fp32_precision = "ieee"
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.use_deterministic_algorithms(False)
    torch.set_flush_denormal(False)
    torch.set_autocast_enabled("cpu", False)
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("dataset", ["digits", "clusters"])
def test_a_runs_numbers_do_not_depend_on_torchs_settings_which_stay(setting, dataset, small_run):
    run = small_run(dataset=dataset, method="dfa", optimizer="adam", hidden=64)
    expected = train(run)
    SETTINGS[setting]()
    before = settings()
    assert str(train(run)) == str(expected)
    assert settings() == before


@pytest.mark.usefixtures("restored")
def test_products_in_bfloat16_would_give_other_numbers():
    """Otherwise the test above could not fail: not every processor flushes denormal numbers."""
    a, b = torch.randn(2, 256, 256, generator=torch.Generator().manual_seed(0))
    exact = a @ b
    SETTINGS["products in bfloat16"]()
    if torch.equal(a @ b, exact):
        pytest.skip("this processor has no products in bfloat16")
    with using_threads(1):
        assert torch.equal(a @ b, exact)


@pytest.mark.parametrize("name", ["samples", "test_samples", "hidden", "k", "batch_size"])
def test_sizes_have_a_limit_that_is_stated(name, small_run):
    for size in (2**31, 10**20, 10**5000):
        with pytest.raises(InputError, match=f"^{name} must be at most 100,000,000, not "):
            small_run(**{name: size})


def test_seeds_have_64_bits(small_run):
    assert small_run(seed=2**63 - 1).seed == 2**63 - 1
    for name in ("seed", "labelling"):
        with pytest.raises(InputError, match=f"^{name} must be at most 9,223,372,036,854,775,807, not "):
            small_run(dataset="clusters", **{name: 2**63})


@pytest.mark.parametrize("fields", [{"hidden": (100_000_000, 100_000_000)}, {"k": 100_000_000}])
def test_a_run_that_does_not_fit_in_memory_is_told_in_a_sentence(fields, small_run):
    with pytest.raises(InputError, match="does not fit in memory; a smaller k, samples"):
        train(small_run(**fields))


def test_threads_have_a_limit_that_is_stated(small_run):
    with pytest.raises(InputError, match="threads must be at most 512, not 1000000"):
        train(small_run(), threads=1_000_000)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("value", [None, "bp", {"method": "bp"}])
def test_what_is_no_run_is_named(value):
    with pytest.raises(InputError, match=r"run must be a Run\(\.\.\.\), not "):
        train(value)
