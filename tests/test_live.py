"""The page on which networks train: its mathematics against the library's, and its views in Chromium."""

import json
import math
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from dfa_lib.alignment import gradient_alignment, sign_agreement, weight_alignment
from dfa_lib.feedback import feedback_matrices
from dfa_lib.learning_rules import (
    backpropagation,
    direct_feedback_alignment,
    feedback_alignment,
    gradients,
)
from dfa_lib.methods import METHODS
from dfa_lib.networks import ACTIVATIONS, accuracy, binary_cross_entropy, depth, initialise_network
from dfa_lib.optimizers import OPTIMIZERS, step
from dfa_lib.randomness import generator

ROOT = Path(__file__).parents[1]
LIVE = ROOT / "book" / "_static" / "live"
RATES = {"adadelta": 1.0, "adagrad": 0.02, "rmsprop": 0.002, "adam": 0.005}


# ---- the mathematics ----


def last_layer_alone(parameters, X, y, activation):
    """Fixed features of any depth: backpropagation's gradient, of the output layer."""
    last = str(depth(parameters))
    for name, a, b in backpropagation(parameters, X, y, activation):
        if name[1:] == last:
            yield name, a, b


RULES = {
    "bp": backpropagation,
    "fa": feedback_alignment,
    "dfa": direct_feedback_alignment,
    "relu_features": last_layer_alone,
    "ntk": METHODS["ntk"].rule,
}


def trained(rule, optimizer, activation, hidden):
    """Train a small network by the library; return what the page needs to do the same, and the ends."""
    draw = generator(3, "live")
    widths = (5, *hidden, 1)
    parameters = initialise_network(widths, draw)
    if rule in ("fa", "dfa"):
        parameters |= feedback_matrices(widths, "uniform", draw, direct=rule == "dfa")
    if rule == "ntk":
        gates = initialise_network(widths[:2], draw)
        parameters |= {"V1": gates["W1"], "c1": gates["b1"]}
    batches = []
    for _ in range(4):
        X = torch.randn(16, 5, generator=draw, dtype=torch.float64)
        batches.append((X, (X[:, :1] * X[:, 1:2] > 0).double()))
    rate = RATES.get(optimizer, 0.1)
    start, state, expected = parameters, {}, {}
    for t in range(1, 101):
        X, y = batches[(t - 1) % len(batches)]
        parameters, state = step(
            OPTIMIZERS[optimizer],
            parameters,
            state,
            lambda point, X=X, y=y: gradients(RULES[rule](point, X, y, activation)),
            learning_rate=rate,
        )
        if t in (1, 10, 100):
            expected[t] = matrices(parameters)
    X, y = batches[0]
    passes = METHODS["ntk" if rule == "ntk" else "bp"].forward
    logits = passes(parameters, X, activation).logits
    measures = {"loss": binary_cross_entropy(logits, y), "accuracy": accuracy(logits, y)}
    if rule in ("fa", "dfa"):
        direct = rule == "dfa"
        measures |= {
            "weight_angle": degrees(weight_alignment(parameters, direct=direct)[0]),
            "gradient_angle": degrees(
                gradient_alignment(RULES[rule], parameters, X, y, activation)[0]
            ),
            "sign_agreement": sign_agreement(parameters, direct=direct)[0],
        }
    return {
        "rule": rule,
        "optimizer": optimizer,
        "activation": activation,
        "rate": rate,
        "start": matrices(start),
        "batches": [list(matrices({"X": X, "y": y}).values()) for X, y in batches],
        "expected": expected,
        "measures": {name: float(value) for name, value in measures.items()},
    }


def degrees(cosine):
    return math.degrees(math.acos(float(cosine)))


def matrices(parameters):
    return {name: [*m.shape, m.flatten().tolist()] for name, m in parameters.items()}


@pytest.fixture(scope="module")
def largest_errors(request, tmp_path_factory):
    """Run the page's mathematics, in Node where there is one, else in Chromium."""
    script = ROOT / "tests" / "live_vectors.mjs"
    node = shutil.which("node")

    def by_node(cases):
        vectors = tmp_path_factory.mktemp("vectors") / "vectors.json"
        vectors.write_text(json.dumps(cases))
        command = [node, script, LIVE / "math.mjs", vectors]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return json.loads(done.stdout)

    def by_chromium(cases):
        page = request.getfixturevalue("chromium").new_page()
        sources = [path.read_text(encoding="utf-8") for path in (script, LIVE / "math.mjs")]
        return page.evaluate(
            """async ([sources, cases]) => {
                const load = source => import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
                const [{ largestErrors }, math] = await Promise.all(sources.map(load));
                return largestErrors(math, cases);
            }""",
            [sources, json.loads(json.dumps(cases))],
        )

    return by_node if node else by_chromium


@pytest.mark.parametrize("hidden", [(7,), (6, 4, 5)], ids=["one hidden layer", "three"])
def test_the_page_trains_as_the_library_does(hidden, largest_errors):
    cases = [
        trained(rule, optimizer, activation, hidden)
        for rule in RULES
        for optimizer in OPTIMIZERS
        for activation in ACTIVATIONS
        if rule != "ntk" or (len(hidden) == 1 and activation == "relu")
    ]
    for case, errors in zip(cases, largest_errors(cases), strict=True):
        assert len(errors) > 8
        wrong = {what: error for what, error in errors.items() if error > 1e-5}
        assert wrong == {}, [case[name] for name in ("rule", "optimizer", "activation")]
