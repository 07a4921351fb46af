"""Registered methods, optimizers and random matrices, and the errors for wrong ones."""

import json
import linecache
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
import torch

from dfa_book.plots import (
    accuracy_curves,
    final_accuracies,
    label,
    rate_curves,
    score_curves,
)
from dfa_book.site.verify import results_files
from dfa_lib import (
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
from dfa_lib.experiments import batches, extension
from dfa_lib.experiments import runner as experiments
from dfa_lib.experiments.digest import code_digest
from dfa_lib.experiments.names import COLOURS, OPTIMIZER_NAMES
from dfa_lib.feedback import FEEDBACK
from dfa_lib.learning_rules import backpropagation, gradients
from dfa_lib.methods import METHODS
from dfa_lib.networks import depth, forward
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.training import initial_parameters, train_stack

pytestmark = pytest.mark.usefixtures("registrations_end")


def sign_symmetric(parameters, layer, error, delta):
    return delta @ parameters[f"W{layer + 1}"].sign().mT


def own_bp(parameters, layer, error, delta):
    return delta @ parameters[f"W{layer + 1}"].mT


def own_fa(parameters, layer, error, delta):
    return delta @ parameters[f"B{layer}"]


def own_dfa(parameters, layer, error, delta):
    return error @ parameters[f"B{layer}"]


def bp_as_gradients(parameters, X, y, activation):
    return gradients(backpropagation(parameters, X, y, activation))


def own_momentum(theta, g, state, learning_rate):
    (v,) = state
    v = 0.9 * v + learning_rate * g
    return theta - v, (v,)


def sign_sgd(theta, g, state, learning_rate):
    return theta - learning_rate * g.sign(), state


def own_uniform(shape, a, generator):
    return a * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)


def curves(history):
    return [getattr(history, name) for name in ("train_loss", "test_loss", "train_accuracy")]


# ---- it trains as the library would ----


@pytest.mark.parametrize("hidden", [16, (16, 8)])
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    ("theirs", "own", "direct"), [("bp", own_bp, None), ("fa", own_fa, False), ("dfa", own_dfa, True)]
)
def test_a_rule_written_again_as_a_transport_gives_the_librarys_bits(
    theirs, own, direct, precision, hidden, small_run
):
    register_method("own", own, direct_feedback=direct)
    fields = {"hidden": hidden, "precision": precision, "learning_rate": 0.3}
    mine, librarys = (train(small_run(method=method, **fields)) for method in ("own", theirs))
    assert curves(mine) == curves(librarys)
    if direct is not None:
        assert mine.weight_alignment == librarys.weight_alignment
        assert mine.gradient_alignment == librarys.gradient_alignment


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_rule_written_again_as_gradients_trains_as_the_librarys(optimizer, small_run):
    register_method("own", gradients=bp_as_gradients)
    fields = {"precision": "float64", "optimizer": optimizer, "learning_rate": 0.01, "hidden": (16, 8)}
    mine, theirs = (train(small_run(method=method, **fields)) for method in ("own", "bp"))
    assert mine.test_loss == pytest.approx(theirs.test_loss, rel=1e-10)


def test_an_optimizer_written_again_gives_the_librarys_bits(small_run):
    register_optimizer("own", own_momentum, state=1)
    fields = {"method": "dfa", "weight_decay": 1e-3, "learning_rate": 0.05}
    mine, theirs = (train(small_run(optimizer=name, **fields)) for name in ("own", "momentum"))
    assert curves(mine) == curves(theirs)


def test_a_first_state_may_be_a_function(small_run):
    register_optimizer("counted", own_momentum, state=1)
    register_optimizer("made", own_momentum, state=lambda theta: (torch.zeros_like(theta),))
    mine, theirs = (train(small_run(optimizer=name)) for name in ("counted", "made"))
    assert curves(mine) == curves(theirs)


@pytest.mark.parametrize(("method", "hidden"), [("dfa", 16), ("fa", (16, 8))])
def test_a_random_matrix_written_again_is_the_librarys(method, hidden, small_run):
    register_feedback("own", own_uniform)
    for kind in ("own", "uniform"):
        run = small_run(method=method, hidden=hidden, feedback=kind)
        found = initial_parameters(run, 192)
        assert kind == run.feedback
        if kind == "own":
            mine = found
    assert mine.keys() == found.keys()
    for name, value in mine.items():
        torch.testing.assert_close(value, found[name], rtol=1e-6, atol=1e-9)


def test_sign_symmetric_feedback_is_its_formula(random_network, random_batch, relative_error):
    register_method("sign_symmetric", sign_symmetric)
    p, (X, y) = random_network((5, 4, 3, 1)), random_batch(7, 5)
    passed = forward(p, X, "tanh")
    e = (torch.sigmoid(passed.logits) - y) / 7
    delta2 = (e @ p["W3"].sign().T) * (1 - passed.hidden[2] ** 2)
    delta1 = (delta2 @ p["W2"].sign().T) * (1 - passed.hidden[1] ** 2)
    expected = {
        "W1": X.T @ delta1, "W2": passed.hidden[1].T @ delta2, "W3": passed.hidden[2].T @ e,
        "b1": delta1.sum(0, keepdim=True), "b2": delta2.sum(0, keepdim=True),
        "b3": e.sum(0, keepdim=True),
    }  # fmt: skip
    found = gradients(METHODS["sign_symmetric"].rule(p, X, y, "tanh"))
    assert relative_error(found, expected) < 1e-13


def test_gradients_decide_what_is_trained(small_run):
    def trained_feedback(parameters, X, y, activation):
        passed = forward(parameters, X, activation)
        e = (torch.sigmoid(passed.logits) - y) / len(y)
        delta = (e @ parameters["B1"]) * (passed.pre_activations[0] > 0)
        W2 = passed.hidden[1].mT @ e
        return {"W1": X.mT @ delta, "W2": W2, "B1": W2.mT}

    register_method("kolen_pollack", gradients=trained_feedback, direct_feedback=True)
    run = small_run(method="kolen_pollack", weight_decay=0.1, epochs=60, learning_rate=0.5)
    seen = {}
    history = train(run, observe=lambda epoch, parameters: seen.update({epoch: parameters}))
    assert history.weight_alignment[-1] > history.weight_alignment[0]
    for name in ("b1", "b2"):
        assert torch.equal(seen[1][name], seen[60][name])
    # B and W2ᵀ take the same steps, and weight decay shrinks their difference.
    apart = [torch.linalg.vector_norm(seen[i]["W2"].mT - seen[i]["B1"]) for i in (1, 60)]
    assert apart[1] < 0.01 * apart[0]


# ---- where the library's names go, it goes ----


def test_other_processes_give_the_bits_of_this_one(small_run, tmp_path):
    register_method("sign_symmetric", sign_symmetric)
    register_optimizer("sign_sgd", sign_sgd)
    register_feedback("own", own_uniform)
    runs = [
        small_run(method="sign_symmetric", seed=0),
        small_run(method="sign_symmetric", optimizer="sign_sgd", learning_rate=1e-3),
        small_run(method="dfa", feedback="own"),
        small_run(method="bp"),
    ]
    alone = run_all(runs, tmp_path / "alone.csv")
    together = run_all(runs, tmp_path / "together.csv", jobs=2)
    assert alone.equals(together)
    assert list(alone["method"].unique()) == ["sign_symmetric", "dfa", "bp"]
    assert (tmp_path / "alone.csv").read_bytes() == (tmp_path / "together.csv").read_bytes()


def test_a_worker_has_the_code_of_the_moment(small_run):
    tables = []
    for scale in (1.0, 0.0):
        register_method("own", lambda p, l, e, d, scale=scale: scale * d @ p[f"W{l + 1}"].mT)
        runs = [small_run(method="own", seed=seed) for seed in range(2)]
        tables.append((run_all(runs), run_all(runs, jobs=2)))
    for here, there in tables:
        assert here.equals(there)
    assert not tables[0][1].equals(tables[1][1])


def test_what_is_shipped_needs_neither_this_module_nor_a_registration(small_run):
    register_method("sign_symmetric", sign_symmetric)
    run = small_run(method="sign_symmetric")
    program = """
        import pickle, sys
        from dfa_lib.experiments.extension import train_shipped
        from dfa_lib.methods import METHODS
        history = train_shipped(sys.stdin.buffer.read())
        assert "sign_symmetric" not in METHODS and "test_extension" not in sys.modules
        sys.stdout.buffer.write(pickle.dumps(history))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        input=extension.ship(run),
        capture_output=True,
        check=True,
        cwd=Path(extension.__file__).parents[2],
    )
    history = pickle.loads(done.stdout)
    assert history.run == run
    assert curves(history) == curves(train(run))


def test_learning_rates_are_tuned(small_run):
    register_method("sign_symmetric", sign_symmetric)
    register_optimizer("sign_sgd", sign_sgd)
    start = small_run(method="sign_symmetric", optimizer="sign_sgd", learning_rate=1e-3)
    (chosen,), scores = tune([start])
    assert chosen.method == "sign_symmetric"
    assert set(scores["optimizer"]) == {"sign_sgd"}


def mixed(theta, g, state, learning_rate):
    # Right for a single run only: in a batch, this is the norm over all runs.
    return theta - learning_rate * g / torch.linalg.vector_norm(g), state


def unmixed(theta, g, state, learning_rate):
    return theta - learning_rate * g / torch.linalg.vector_norm(g, dim=-1, keepdim=True), state


@pytest.mark.parametrize(("update", "sizes"), [(mixed, [1, 1, 1]), (unmixed, [3])])
def test_only_what_keeps_runs_apart_trains_in_a_stack(update, sizes, small_run, monkeypatch):
    register_optimizer("normalised", update)
    register_method("sign_symmetric", sign_symmetric)
    runs = [small_run(method="sign_symmetric", optimizer="normalised", seed=seed) for seed in range(3)]
    made = []

    def counted(runs):
        made.append(len(runs))
        return train_stack(runs)

    monkeypatch.setattr(batches, "train_stack", counted)
    histories = list(batches.train_batches(runs))
    assert made == sizes
    for run, history in zip(runs, histories, strict=True):
        assert history.test_loss == pytest.approx(train(run).test_loss, rel=1e-4)


def test_a_rule_for_one_run_at_a_time_does_not_stack():
    register_method("of_one", lambda p, l, e, d: d @ p[f"W{l + 1}"].t())
    register_method("of_many", own_bp)
    assert not extension.REGISTERED["method", "of_one"].batches
    assert extension.REGISTERED["method", "of_many"].batches


# In a separate process: torch.compile cannot trace the type checks that the tests run with.
COMPILE = """
import json, logging, math
import torch
from dfa_lib import Run, engine, register_optimizer, train

def lion(theta, g, state, learning_rate):
    (m,) = state
    return theta - learning_rate * torch.sign(0.9 * m + 0.1 * g), (0.99 * m + 0.01 * g,)

def clipped(theta, g, state, learning_rate):
    length = torch.linalg.vector_norm(g).item()
    if length > 0.1:
        g = g * 0.1 / length
    return theta - learning_rate * g, state

def uncompiled(theta, g, state, learning_rate):
    if torch.compiler.is_compiling():
        raise RuntimeError("not this one")
    return theta - learning_rate * g, state

register_optimizer("lion", lion, state=1)
register_optimizer("clipped", clipped)
register_optimizer("uncompiled", uncompiled)
losses = {}
for optimizer in ("lion", "clipped", "uncompiled"):
    run = Run(method="dfa", optimizer=optimizer, learning_rate=0.01, hidden=64, samples=640,
              test_samples=640, epochs=2)
    losses[optimizer] = []
    for engine.WORTH_COMPILING in (0, math.inf):
        history = train(run)
        losses[optimizer].append(history.train_loss + history.test_loss)
print(json.dumps(losses))
"""


@pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="there is no C++ compiler here, so nothing to compare with",
)
def test_an_optimizer_is_compiled_if_it_can_be_and_trains_as_it_is_otherwise():
    ran = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, check=True)
    losses = json.loads(ran.stdout)
    assert losses.keys() == {"lion", "clipped", "uncompiled"}
    for compiled, eager in losses.values():
        # Lion takes signs, which rounding may flip near 0.
        assert compiled == pytest.approx(eager, rel=1e-3)
    assert losses["uncompiled"][0] == losses["uncompiled"][1]


# ---- results files ----


def test_results_are_read_back_under_the_same_code(small_run, tmp_path):
    register_method("own", sign_symmetric)
    register_feedback("mine", own_uniform)
    runs = [small_run(method="own"), small_run(method="dfa", feedback="mine")]
    table = run_all(runs, tmp_path / "own.csv")
    assert read_results(tmp_path / "own.csv").equals(
        table.sort_values(["method", "epoch"]).reset_index(drop=True)
    )
    text = (tmp_path / "own.csv").read_text(encoding="utf-8")
    assert (
        f",own@{code_digest((sign_symmetric, {'form': 'transport', 'direct_feedback': None}))}," in text
    )


def test_results_that_are_there_are_not_trained_again(small_run, tmp_path):
    calls = []
    register_method("own", sign_symmetric)
    run = small_run(method="own")
    first = run_all([run], tmp_path / "own.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "train", calls.append)
        register_method("own", sign_symmetric)
        assert run_all([run], tmp_path / "own.csv").equals(first)
    assert not calls


def test_edited_code_does_not_get_the_results_of_what_it_was(small_run, tmp_path):
    path = tmp_path / "own.csv"
    register_method("own", sign_symmetric)
    run_all([small_run(method="own")], path)
    before = path.read_bytes()
    register_method("own", own_bp)
    for use in (lambda: read_results(path), lambda: run_all([small_run(method="own")], path)):
        with pytest.raises(InputError, match=r"another method 'own' \(.*whose code differs"):
            use()
    assert path.read_bytes() == before
    register_method("own", sign_symmetric)
    run_all([small_run(method="own")], path)
    assert path.read_bytes() == before


def test_results_of_what_is_not_registered_say_what_to_call(small_run, tmp_path):
    register_optimizer("sign_sgd", sign_sgd)
    run_all([small_run(optimizer="sign_sgd")], tmp_path / "own.csv")
    del extension.REGISTERED["optimizer", "sign_sgd"], OPTIMIZERS["sign_sgd"]
    with pytest.raises(InputError, match=r"own\.csv holds runs.*'sign_sgd'.*call register_optimizer"):
        read_results(tmp_path / "own.csv")


def test_files_with_registered_names_are_not_verified_where_those_are_unknown(small_run, tmp_path):
    register_optimizer("sign_sgd", sign_sgd)
    run_all([small_run(optimizer="sign_sgd"), small_run()], tmp_path / "own.csv")
    run_all([small_run()], tmp_path / "theirs.csv")
    del extension.REGISTERED["optimizer", "sign_sgd"], OPTIMIZERS["sign_sgd"]
    assert [path.name for path in results_files(tmp_path)] == ["theirs.csv"]


def test_a_name_without_a_digest_is_not_taken_on_trust(small_run, tmp_path):
    path = tmp_path / "own.csv"
    register_method("own", own_bp)
    run_all([small_run(method="own")], path)
    digest = extension.REGISTERED["method", "own"].digest
    path.write_text(path.read_text(encoding="utf-8").replace(f"@{digest}", ""), encoding="utf-8")
    with pytest.raises(InputError, match="of unknown code"):
        read_results(path)


SCALE = 2.0


def helped(p, l, e, d):
    return helper(d) @ p[f"W{l + 1}"].mT


def helper(d):
    return SCALE * d


def test_the_digest_follows_what_a_function_uses(monkeypatch):
    before = code_digest(helped)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert code_digest(helped) != before
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    assert code_digest(helped) == before
    monkeypatch.setitem(globals(), "helper", lambda d: 2 * d)
    assert code_digest(helped) != before
    assert code_digest(partial(helped, l=1)) != code_digest(partial(helped, l=2))


def defined(source, **values):
    """Define a function as a notebook cell does, with its source in ``linecache``."""
    name = f"<cell {len(linecache.cache)}>"
    source = textwrap.dedent(source)
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = {"__name__": "__main__", **values}
    exec(compile(source, name, "exec"), namespace)
    return namespace["f"]


def test_the_digest_ignores_comments_layout_and_docstrings():
    one = defined("def f(a, b):\n    return a @ b")
    two = defined('# why\ndef f(a,\n      b):\n    """Say so."""\n    return (a @ b)  # because')
    other = defined("def f(a, b):\n    return b @ a")
    assert code_digest(one) == code_digest(two) != code_digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('def f(p, l):\n    return p[f"W{l}"]', 'def f(p, l):\n    return p[f"B{l}"]'),
        ("def f(a, k=1):\n    return a", "def f(a, k=2):\n    return a"),
        ("def f(a):\n    return (lambda b: b + 1)(a)", "def f(a):\n    return (lambda b: b + 2)(a)"),
    ],
)
def test_the_digest_sees_small_differences(one, other):
    assert code_digest(defined(one)) != code_digest(defined(other))
    # Also without their source.
    bare = [dict[str, object](), dict[str, object]()]
    for source, space in zip((one, other), bare, strict=True):
        exec(compile(source, "<nowhere>", "exec"), space)
    assert code_digest(bare[0]["f"]) != code_digest(bare[1]["f"])


def test_the_digest_sees_values_that_a_function_closes_over():
    def made(scale):
        return lambda d: scale * d

    assert code_digest(made(1.0)) == code_digest(made(1.0)) != code_digest(made(2.0))
    tensors = [made(torch.arange(3.0) + i) for i in (0, 0, 1)]
    assert code_digest(tensors[0]) == code_digest(tensors[1]) != code_digest(tensors[2])


def test_the_digest_is_that_of_every_process():
    program = "from test_extension import helped, code_digest; print(code_digest(helped))"
    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert said.stdout.strip() == code_digest(helped)


# ---- figures ----


def test_it_is_drawn_beside_the_librarys(small_run):
    register_method("sign_symmetric", sign_symmetric, label="sign-symmetric", colour="#882255")
    register_optimizer("sign_sgd", sign_sgd, label="sign SGD")
    register_feedback("own", own_uniform, label="uniform, again")
    methods, optimizers = ("bp", "sign_symmetric"), ("sgd", "sign_sgd")
    runs = [small_run(method=m, optimizer=o, seed=s)
            for m in methods for o in optimizers for s in range(2)]  # fmt: skip
    table = run_all(runs)
    (legend,) = accuracy_curves(table).legends
    entries = [text.get_text() for text in legend.get_texts()]
    assert any(entry.startswith("sign-symmetric, sign SGD") for entry in entries)
    figure = final_accuracies(table, by="optimizer")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["SGD", "sign SGD"]
    matrices = run_all([small_run(method="dfa", feedback=f, seed=s) for f in ("uniform", "own")
                        for s in range(2)])  # fmt: skip
    figure = final_accuracies(matrices, by="feedback")
    labels = {t.get_text() for t in figure.axes[0].get_yticklabels()}
    assert labels == {"uniform on ±1/√h", "uniform, again"}
    _, scores = tune(runs[-1:])
    assert score_curves(scores, by="optimizer").axes[0].get_title() == "sign SGD"
    tried = run_all([small_run(method="sign_symmetric", optimizer="sign_sgd", learning_rate=r)
                     for r in scores["learning_rate"]])  # fmt: skip
    assert rate_curves(tried, scores, by="optimizer").axes[0].get_title() == "sign SGD"


def test_without_a_label_it_is_called_by_its_name_and_has_a_colour_of_its_own():
    for i in range(3):
        register_method(f"rule{i}", own_bp)
        register_optimizer(f"optimizer{i}", sign_sgd)
    assert label("rule1", "optimizer2") == "rule1, optimizer2"
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_colours_do_not_run_out():
    for i in range(12):
        register_method(f"rule{i}", own_bp)
    assert len(COLOURS) == len(METHODS)


def test_a_cell_that_is_run_again_changes_nothing():
    for _ in range(2):
        register_method("own", own_bp)
        register_optimizer("own", sign_sgd)
        register_feedback("own", own_uniform)
        entered = (COLOURS["own"], list(extension.REGISTERED))
    assert entered == (COLOURS["own"], list(extension.REGISTERED))
    register_method("own", own_bp, colour="#123456")
    register_method("own", sign_symmetric)
    assert COLOURS["own"] == "#123456"


# ---- what is wrong is said at once, and nothing is entered ----

TAKEN = "is the library's own: choose another name"


def raising(p, l, e, d):
    return p["B1"]


def nans(p, l, e, d):
    return d @ p["W2"].mT / 0.0 * 0.0


BAD_RULES = {
    TAKEN: ("dfa", own_bp, {}),
    "small letters, digits and underscores": ("Sign-symmetric", own_bp, {}),
    "must be a function, not 3": ("own", 3, {}),
    "needs either a transport or gradients": ("own", None, {}),
    "and not both": ("own", own_bp, {"gradients": bp_as_gradients}),
    r"a function of \(parameters, layer, error, delta\), not of \(d\)": ("own", lambda d: d, {}),
    r"a function of \(parameters, X, y, activation\)": ("own", None, {"gradients": lambda X: X}),
    r"must be a tensor of shape \(6, 4\), not None": ("own", lambda p, l, e, d: None, {}),
    r"for layer 1 must have the shape \(6, 4\), not \(6, 1\)": ("own", lambda p, l, e, d: d, {}),
    "raised KeyError: 'B1'; there are W1, b1, W2, b2, and random matrices with direct_feedback=True": (
        "own", raising, {}
    ),
    "raised KeyError: 'W9'; there are W1, b1, W2, b2, B1$": (
        "own", lambda p, l, e, d: d @ p["W9"], {"direct_feedback": True}
    ),
    r"with two hidden layers, .*6x3 and 1x4\); with direct_feedback=True, B_l is \(1, units of l\)": (
        "own", own_fa, {"direct_feedback": True}
    ),
    "with two hidden layers, .* with direct_feedback=False, B_l is shaped as the transpose": (
        "own", own_dfa, {"direct_feedback": False}
    ),
    r"with two hidden layers, .* must have the shape \(6, 4\), not \(6, 3\)": (
        "own", lambda p, l, e, d: d if d.shape[-1] > 1 else d @ p[f"W{l + 1}"].mT, {}
    ),
    "must be finite, and has nan": ("own", nans, {}),
    "the same for the same": ("own", lambda p, l, e, d: d @ torch.randn(1, 4), {}),
    "changes that in place": ("own", lambda p, l, e, d: d @ p["W2"].mul_(2).mT, {}),
    "must return a dictionary of gradients, not None": (
        "own", None, {"gradients": lambda p, X, y, a: None}
    ),
    "a gradient for 'W9'; there are W1, b1, W2, b2": (
        "own", None, {"gradients": lambda p, X, y, a: {"W9": X}}
    ),
    r"gradient of W2 .* shape \(4, 1\), not \(6, 5\)": (
        "own", None, {"gradients": lambda p, X, y, a: {"W2": X}}
    ),
    "a gradient for every W, and W1 has none": (
        "own",
        None,
        {"gradients": lambda p, X, y, a: {"W2": p["W2"]}, "direct_feedback": True},
    ),
    "direct_feedback must be None, True or False": ("own", own_bp, {"direct_feedback": "yes"}),
    "is that of bp": ("own", own_bp, {"colour": COLOURS["bp"].lower()}),
    "red, green and blue": ("own", own_bp, {"colour": "bluish"}),
    "label must be a text": ("own", own_bp, {"label": " "}),
}  # fmt: skip


@pytest.mark.parametrize("sentence", BAD_RULES)
def test_a_bad_rule_is_told_in_one_sentence(sentence, unchecked):
    name, transport, options = BAD_RULES[sentence]
    methods = dict(METHODS)
    with pytest.raises(InputError, match=sentence) as said:
        register_method(name, transport, **options)
    assert "\n" not in str(said.value)
    assert methods == METHODS
    assert ("method", name) not in extension.REGISTERED
    assert COLOURS.keys() == METHODS.keys()


BAD_UPDATES = {
    TAKEN: ("adam", sign_sgd, {}),
    r"not of \(theta, g, state\)": ("own", lambda theta, g, state: (theta, state), {}),
    "must return the new theta and the new state": ("own", lambda theta, g, state, learning_rate: g, {}),
    "must keep a state of 0 tensors, as it began with, not 1": (
        "own", lambda theta, g, state, learning_rate: (theta, (g,)), {}
    ),
    r"new theta .* must have the shape \(7,\), not \(\)": (
        "own", lambda theta, g, state, learning_rate: (g.sum(), state), {}
    ),
    "changes that in place": ("own", lambda theta, g, state, learning_rate: (theta.sub_(g), state), {}),
    "must be finite": ("own", lambda theta, g, state, learning_rate: (theta / (g - g), state), {}),
    "the same for the same": (
        "own", lambda theta, g, state, learning_rate: (theta + torch.randn(7), state), {}
    ),
    "raised ValueError": ("own", own_momentum, {"state": 2}),
    "state must be how many tensors": ("own", own_momentum, {"state": -1}),
    "first state .* must be a tuple of tensors": ("own", own_momentum, {"state": lambda theta: theta}),
    "label must be a text": ("own", sign_sgd, {"label": ""}),
}  # fmt: skip


@pytest.mark.parametrize("sentence", BAD_UPDATES)
def test_a_bad_optimizer_is_told_in_one_sentence(sentence, unchecked):
    name, update, options = BAD_UPDATES[sentence]
    optimizers = dict(OPTIMIZERS)
    with pytest.raises(InputError, match=sentence) as said:
        register_optimizer(name, update, **options)
    assert "\n" not in str(said.value)
    assert optimizers == OPTIMIZERS
    assert OPTIMIZER_NAMES.keys() == OPTIMIZERS.keys()


BAD_MATRICES = {
    TAKEN: ("gaussian", own_uniform),
    r"a function of \(shape, a, generator\)": ("own", lambda shape: torch.zeros(shape)),
    "must be drawn from the generator": ("own", lambda shape, a, generator: torch.randn(shape)),
    r"must have the shape \(1, 16\), not \(16, 1\)": (
        "own", lambda shape, a, generator: torch.zeros(shape[::-1])
    ),
    "must be finite, and has inf": (
        "own", lambda shape, a, generator: torch.full(shape, float("inf"))
    ),
    "raised RuntimeError": ("own", lambda shape, a, generator: torch.zeros(shape).view(-1, 99)),
}  # fmt: skip


@pytest.mark.parametrize("sentence", BAD_MATRICES)
def test_a_bad_random_matrix_is_told_in_one_sentence(sentence, unchecked):
    name, draw = BAD_MATRICES[sentence]
    kinds = dict(FEEDBACK)
    with pytest.raises(InputError, match=sentence) as said:
        register_feedback(name, draw)
    assert "\n" not in str(said.value)
    assert kinds == FEEDBACK


def twice_the_error(p, l, e, d):
    return e.mul_(2) @ p[f"B{l}"]


def twice_the_signal(p, l, e, d):
    d *= 2
    return d @ p[f"W{l + 1}"].mT


def twice_behind_torchs_back(p, l, e, d):
    e.data.mul_(2)
    return e @ p[f"B{l}"]


def below_the_last_layer_only(p, l, e, d):
    return (d if d is e else d.mul_(2)) @ p[f"W{l + 1}"].mT


def half_the_inputs(p, X, y, activation):
    return gradients(backpropagation(p, X.mul_(0.5), y, activation))


def a_tensor_more(p, l, e, d):
    p["last"] = e
    return d @ p[f"W{l + 1}"].mT


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        (twice_the_error, {"direct_feedback": True}),
        (twice_the_signal, {}),
        (twice_behind_torchs_back, {"direct_feedback": True}),
        (below_the_last_layer_only, {}),
        (a_tensor_more, {}),
        (None, {"gradients": half_the_inputs}),
    ],
)
def test_a_rule_that_changes_what_it_is_given_trains_nothing(rule, options):
    with pytest.raises(InputError, match="must leave what it is given as it is, and it changes that"):
        register_method("own", rule, **options)
    assert ("method", "own") not in extension.REGISTERED


def test_an_optimizer_that_changes_its_state_in_place_is_refused():
    def update(theta, g, state, learning_rate):
        state[0].add_(g)
        return theta - learning_rate * state[0], state

    with pytest.raises(InputError, match="must leave what it is given as it is, and it changes that"):
        register_optimizer("own", update, state=1)


def up_to_two_hidden_layers(p, l, e, d):
    return d @ p[{1: "W2", 2: "W3"}[l]].mT


def test_what_fails_in_deeper_networks_only_is_told_when_they_are_trained(small_run):
    register_method("shallow", up_to_two_hidden_layers)
    train(small_run(method="shallow", hidden=(16, 8)))
    with pytest.raises(InputError, match="the method 'shallow' raised KeyError: 3"):
        train(small_run(method="shallow", hidden=(16, 8, 4)))


def test_other_processes_tell_it_too(small_run):
    register_method("shallow", up_to_two_hidden_layers)
    runs = [small_run(method="shallow", hidden=(16, 8, 4), seed=seed) for seed in range(2)]
    with pytest.raises(InputError, match="the method 'shallow' raised"):
        run_all(runs, jobs=2)


def test_a_rule_with_random_matrices_has_them_of_the_kind_asked_for():
    register_method("own", own_dfa, direct_feedback=True)
    register_method("without", own_bp)
    assert Run(method="own", learning_rate=0.1).feedback == "uniform"
    assert Run(method="without", feedback="gaussian", learning_rate=0.1).feedback is None
    p = initial_parameters(Run(method="own", hidden=(6, 4), learning_rate=0.1), 5)
    assert [tuple(p[f"B{l}"].shape) for l in range(1, depth(p))] == [(1, 6), (1, 4)]
