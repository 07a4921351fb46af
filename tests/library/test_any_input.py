"""Whatever is passed to the library is accepted for what it is, or refused in a sentence."""

import contextlib
from dataclasses import fields, replace
from functools import partial

import pytest
import torch
from attacks import VALUES, is_refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfa_book.chapter import PARAMETERS, check_parameters
from dfa_book.converged import converged_table
from dfa_book.digit_tables import digit_components, digit_counts, sample_stacks
from dfa_book.probes import probe_table
from dfa_lib import (
    METHODS,
    OPTIMIZERS,
    History,
    InputError,
    Run,
    read_results,
    register_feedback,
    register_method,
    register_optimizer,
    run_all,
    train,
    tune,
)
from dfa_lib.experiments import repeats, runner
from dfa_lib.experiments.results import rows_of, runs_table
from dfa_lib.run import DATASETS
from dfa_lib.training import METRICS

SMALL = {"samples": 64, "test_samples": 32, "hidden": 4, "epochs": 1, "learning_rate": 0.1}
RUN = Run(**SMALL)


def made_up(run):
    history = History(run)
    for _ in range(run.epochs):
        history.append(dict.fromkeys(METRICS, 0.5))
    return history


def never(*_, **__):
    """Stand for training that must not begin, and for code that is given."""
    raise AssertionError("it was called")


CALLS = {
    "train": train,
    "train, threads": lambda v: train(RUN, threads=v),
    "run_all": run_all,
    "run_all, a run": lambda v: run_all([RUN, v]),
    "run_all, results": lambda v: run_all([RUN], v),
    "run_all, reuse": lambda v: run_all([RUN], reuse=v),
    "run_all, a file to reuse": lambda v: run_all([RUN], reuse=[v]),
    "run_all, jobs": lambda v: run_all([RUN], jobs=v),
    "run_all, cluster": lambda v: run_all([RUN], cluster=v),
    "tune": lambda v: tune(v, seeds=0),
    "tune, a run": lambda v: tune([v], seeds=0),
    "tune, seeds": lambda v: tune([RUN], seeds=v),
    "tune, reuse": lambda v: tune([RUN], seeds=0, reuse=v),
    "repeats, seeds": lambda v: repeats([RUN], v),
    "read_results": read_results,
    "register_method": lambda v: register_method(v, never),
    "register_method, transport": lambda v: register_method("mine", v),
    "register_method, gradients": lambda v: register_method("mine", gradients=v),
    "register_method, direct_feedback": lambda v: register_method("mine", never, direct_feedback=v),
    "register_method, label": lambda v: register_method("mine", transport, label=v),
    "register_method, colour": lambda v: register_method("mine", transport, colour=v),
    "register_method, what is returned": lambda v: register_method("mine", lambda *_: v),
    "register_method, what is in it": lambda v: register_method("mine", gradients=lambda *_: {"W1": v}),
    "register_optimizer": lambda v: register_optimizer(v, never),
    "register_optimizer, update": lambda v: register_optimizer("mine", v),
    "register_optimizer, state": lambda v: register_optimizer("mine", update, state=v),
    "register_optimizer, what is returned": lambda v: register_optimizer("mine", lambda *_, **__: v),
    "register_optimizer, theta": lambda v: register_optimizer("mine", lambda *_, **__: (v, ())),
    "register_feedback": lambda v: register_feedback(v, never),
    "register_feedback, draw": lambda v: register_feedback("mine", v),
    "register_feedback, label": lambda v: register_feedback("mine", draw, label=v),
    "register_feedback, what is returned": lambda v: register_feedback("mine", lambda *_: v),
    "digit_counts": digit_counts,
    "digit_counts, results": lambda v: digit_counts("digits", results=v),
    "digit_components": digit_components,
    "sample_stacks": sample_stacks,
    "probe_table, results": lambda v: probe_table([RUN], 0, results=v),
    "probe_table, seeds": lambda v: probe_table([RUN], v),
    "converged_table, seeds": lambda v: converged_table([(RUN, "ntk")], v),
    **{
        f"check_parameters, {name}": lambda v, name=name: check_parameters({name: v})
        for name in PARAMETERS
    },
}


def transport(parameters, layer, error, delta):
    return delta @ parameters[f"W{layer + 1}"].mT


def update(theta, g, state, learning_rate):
    return theta - learning_rate * g, state


def draw(shape, a, generator):
    return never()


@pytest.mark.usefixtures("unchecked", "registrations_end")
@pytest.mark.parametrize("name", CALLS)
def test_a_call_accepts_a_value_or_refuses_it_in_a_sentence(
    name, portion, attacks, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "train", made_up)
    for value in portion(VALUES, 25):
        attacks("inputs of the API")
        try:
            is_refused(partial(CALLS[name], value))
        except BaseException as error:
            raise AssertionError(f"{name}: {value!r:.50}") from error


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", [field.name for field in fields(Run)])
def test_a_field_of_a_run_accepts_what_a_table_gives_back_or_refuses_it(
    name, portion, attacks, tmp_path
):
    table = runs_table(tmp_path / "some.csv")
    for value in portion(VALUES, 25):
        for dataset in ("digits", "clusters"):
            attacks("inputs of the API")
            with contextlib.suppress(InputError):
                run = Run(**(SMALL | {"dataset": dataset, name: value}))
                (row,) = rows_of([made_up(replace(run, epochs=1))])
                (line,) = table.text([row])
                assert table._values([line]) == [row]
                assert run.describe().isprintable()


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.usefixtures("unchecked")
@given(
    spec=st.dictionaries(
        st.sampled_from([field.name for field in fields(Run)]),
        ANYTHING | st.integers(-3, 3) | st.sampled_from([*METHODS, *OPTIMIZERS, *DATASETS, "cpu"]),
        max_size=4,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_fields_make_a_run_or_a_sentence(spec, attacks):
    attacks("inputs of the API")
    is_refused(lambda: hash(Run(**(SMALL | spec))))


ODD_TENSORS = {
    "sparse": torch.eye(7).to_sparse(),
    "on meta": torch.empty(7, device="meta"),
    "complex": torch.ones(7, dtype=torch.complex64),
    "whole": torch.ones(7, dtype=torch.int64),
    "truths": torch.ones(7, dtype=torch.bool),
    "half": torch.ones(7, dtype=torch.float16),
    "double": torch.ones(7, dtype=torch.float64),
    "with a gradient": torch.ones(7, requires_grad=True),
    "expanded": torch.ones(1).expand(7),
    "infinite": torch.full((7,), torch.inf),
}


@pytest.mark.usefixtures("unchecked", "registrations_end")
@pytest.mark.parametrize("kind", ODD_TENSORS)
def test_an_odd_tensor_from_a_function_of_ones_own_is_trained_with_or_refused(kind, attacks):
    odd = ODD_TENSORS[kind]

    def as_asked(shape):
        with contextlib.suppress(RuntimeError):
            return odd[:1].expand(shape) if kind != "sparse" else torch.ones(shape).to_sparse()
        return odd

    def drawn(shape, a, generator):
        return as_asked(shape)

    def carried(parameters, layer, error, delta):
        return as_asked((*delta.shape[:-1], parameters[f"W{layer}"].shape[-1]))

    def updated(theta, g, state, learning_rate):
        return as_asked(theta.shape), state

    ways = {
        "feedback": (register_feedback, drawn),
        "method": (register_method, carried),
        "optimizer": (register_optimizer, updated),
    }
    for field, (register, function) in ways.items():
        attacks("inputs of the API")
        if not is_refused(partial(register, "mine", function)):
            chosen = {"method": "dfa"} | {field: "mine"}
            is_refused(lambda chosen=chosen: train(Run(**(SMALL | chosen))))
