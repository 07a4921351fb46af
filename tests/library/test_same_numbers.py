"""The numerical code gives the numbers that the first edition's gave (commit 5daab5f).

The values were computed by that code, in double precision. While they hold, results that it has
trained are those of today's code: ``provenance.SAME_NUMBERS`` says so. Whoever changes numbers on
purpose removes that entry and these values.
"""

import math

import pytest

from dfa_lib import Run, train
from dfa_lib.experiments.provenance import SAME_NUMBERS, fingerprint, same_numbers

NAN = math.nan
RATES = {
    "sgd": 0.1,
    "momentum": 0.02,
    "nesterov": 0.02,
    "adagrad": 0.02,
    "adadelta": 0.5,
    "rmsprop": 0.002,
    "adam": 0.002,
}
# Training loss, test loss and gradient alignment of the last epoch.
VALUES = {
    "bp sgd": (0.689240509444, 0.69644603938, NAN),
    "bp momentum": (0.697997088711, 0.695559716034, NAN),
    "bp nesterov": (0.69731778741, 0.695540365962, NAN),
    "bp adagrad": (0.68219781074, 0.703047144851, NAN),
    "bp adadelta": (0.685645578288, 0.698263773694, NAN),
    "bp rmsprop": (0.675999652432, 0.699186938741, NAN),
    "bp adam": (0.692919873619, 0.696326138738, NAN),
    "fa sgd": (0.700057282614, 0.698931702237, 0.123177996459),
    "fa adam": (0.695059951949, 0.698036212405, 0.0107541911779),
    "dfa sgd": (0.697012814936, 0.696015633283, 0.0933314097405),
    "dfa momentum": (0.699452935077, 0.695862472213, 0.118361478043),
    "dfa nesterov": (0.699458051253, 0.695845759252, 0.119138470155),
    "dfa adagrad": (0.698035112001, 0.709978627012, 0.134303388574),
    "dfa adadelta": (0.697255695684, 0.696428200985, 0.108528425332),
    "dfa rmsprop": (0.701974230938, 0.698694186046, 0.197458262134),
    "dfa adam": (0.701252274106, 0.702715070935, -0.0342887734074),
    "ntk sgd": (0.701015405603, 0.700898821259, NAN),
    "ntk adam": (0.70005936584, 0.699152747879, NAN),
    "gaussian_features sgd": (0.715258900493, 0.746725563437, NAN),
    "gaussian_features adam": (0.761057839612, 0.796414904295, NAN),
    "relu_features sgd": (0.698477707288, 0.696081897188, NAN),
    "relu_features adam": (0.700894884986, 0.695602272132, NAN),
    "linear_features sgd": (0.707333820266, 0.700576662189, NAN),
    "linear_features adam": (0.716160565439, 0.701375435683, NAN),
    "clusters bp": (0.673774032287, 0.680072540743, NAN),
    "clusters dfa": (0.685876988725, 0.684641140319, 0.103358472628),
}
# Alignment with backpropagation of all updates at once, and of the optimizer's step, by the code of
# f577dd5fb28d, which computed each gradient two or three times.
STEPS = {
    "bp sgd": (NAN, 0.999693072251),
    "bp momentum": (NAN, 0.905371328613),
    "bp nesterov": (NAN, 0.919670177133),
    "bp adagrad": (NAN, 0.641189848911),
    "bp adadelta": (NAN, 0.945261313779),
    "bp rmsprop": (NAN, 0.76475553028),
    "bp adam": (NAN, 0.713456829202),
    "fa sgd": (0.0292216437309, 0.0294065430024),
    "fa adam": (-0.141849738582, -0.140925452188),
    "dfa sgd": (0.280585771302, 0.28142597688),
    "dfa momentum": (0.322534367529, 0.327906355474),
    "dfa nesterov": (0.320001108865, 0.314427087412),
    "dfa adagrad": (0.829595510745, 0.155620114496),
    "dfa adadelta": (0.277395202996, 0.178816953731),
    "dfa rmsprop": (0.407564738861, 0.215817950239),
    "dfa adam": (0.101506428009, 0.0647349714355),
    "ntk sgd": (NAN, 0.999858875992),
    "ntk adam": (NAN, 0.776214865211),
    "gaussian_features sgd": (NAN, 0.999998446752),
    "gaussian_features adam": (NAN, 0.806799227734),
    "relu_features sgd": (NAN, 0.999952619188),
    "relu_features adam": (NAN, 0.807222706856),
    "linear_features sgd": (NAN, 0.999985348492),
    "linear_features adam": (NAN, 0.881017977758),
    "clusters bp": (NAN, 1),
    "clusters dfa": (0.345145849738, 0.345145849738),
}


def run_of(key: str) -> Run:
    method, optimizer = key.split()
    if method == "clusters":
        return Run(
            dataset="clusters",
            method=optimizer,
            learning_rate=0.5,
            samples=64,
            test_samples=200,
            hidden=16,
            epochs=2,
            passes=5,
            precision="float64",
            evaluate_on="validation",
        )
    deep = method == "fa"
    return Run(
        method=method,
        optimizer=optimizer,
        learning_rate=RATES[optimizer],
        k=2,
        samples=500,
        test_samples=200,
        hidden=(16, 8) if deep else 16,
        activation="tanh" if deep else "relu",
        feedback="gaussian" if deep else None,
        epochs=2,
        weight_decay=0.001,
        precision="float64",
        seed=3,
    )


@pytest.mark.parametrize("key", VALUES)
def test_a_run_gives_the_first_editions_numbers(key: str) -> None:
    history = train(run_of(key))
    found = (history.train_loss[-1], history.test_loss[-1], history.gradient_alignment[-1])
    assert found == pytest.approx(VALUES[key], rel=1e-8, nan_ok=True)
    found = (history.update_alignment[-1], history.step_alignment[-1])
    assert found == pytest.approx(STEPS[key], rel=1e-8, nan_ok=True)


def test_the_code_of_the_first_edition_is_known_as_todays() -> None:
    assert set(SAME_NUMBERS.values()) == {fingerprint().split()[1]}
    for earlier in ("b4ef636ce6d1", "f577dd5fb28d"):
        library = same_numbers(f"dfa_lib {earlier} with torch 2.13.0")
        assert library.startswith(f"dfa_lib {fingerprint().split()[1]}")
