"""Claims of this book's own experiments, beyond the thesis, and the rules by which they are judged.

Each rule was committed before the runs that it judges.
"""

from .judge import Claim, Commit
from .measures import (
    RULES,
    accuracy_at_depth,
    accuracy_with,
    agreement_of_layer,
    aligned_before_learned,
    alignment_before_loss,
    all_signs,
    at_scale,
    finite_size_slope,
    hidden_progress,
    passed_the_edge,
    size_slope,
    steps_on_bits,
    steps_on_digits,
    unstable_past_the_edge,
    unstable_with,
)
from .thesis_claims import COUNTED, DEEP, DIGITS_ONLY, above, alike, below, between, claim

EDGE = Commit("76c373a", "2026-11-28 04:20")
"""The rules on the edge of stability, stated after a pilot of seven runs."""
ALIGN = Commit("333db15", "2026-11-28 07:48")
"""The rules on students of a teacher, stated after a pilot with ten other seeds."""
RICH = Commit("58e1d1a", "2026-11-28 11:44")
"""The rules on scaled outputs, stated after a pilot of 131 runs with three other seeds."""
HARD = Commit("752a291", "2026-11-28 12:14")
"""The rules on the hardness of parities, stated after a pilot with three other seeds."""

HERE = "this book"
_RUNS = {"form": "percent", "kind": "binomial", "repeats": "runs"}
_SHARE = {"form": "percent", "kind": "binomial", "repeats": "students"}
_NO_DIGITS = {"mnist": "its students see no digits, and are judged once"}
_ON_BITS = {"mnist": "its runs are on bits, and are judged once"}

# fmt: off
OWN_CLAIMS: tuple[Claim, ...] = (
    claim("15a", EDGE, "DFA with SGD becomes unstable where its gain passes 2.", HERE, "fig-edge",
        above(0.8, "share of DFA's unstable runs whose gain had passed 2 before they exploded",
              passed_the_edge("dfa", unstable=True), **_RUNS),
        below(0.2, "share of DFA's stable runs whose gain ever passed 2",
              passed_the_edge("dfa", unstable=False), **_RUNS),
        not_on=DIGITS_ONLY, note="The gain is measured twice an epoch, from the first half epoch on."),
    claim("15b", EDGE, "BP with SGD stays stable at a gain of 2.", HERE, "fig-edge",
        below(0.1, "share of unstable runs among BP's runs whose gain passes 2",
              unstable_past_the_edge("bp"), **_RUNS),
        not_on=DIGITS_ONLY),
    claim("15c", EDGE, "A rate that follows the gain keeps DFA stable.", HERE, "fig-edge-remedies",
        below(0.1, "share of unstable runs with the gain held at 1.2, among those that are unstable "
                   "without at the same rate and seed", unstable_with("hold"), **_RUNS),
        not_on=DIGITS_ONLY),
    claim("15d", EDGE, "The edge of stability is a part of DFA's lag behind BP.", HERE,
        "fig-edge-remedies",
        above(0, "accuracy of DFA with clipped updates minus that without, each at its best rate",
              accuracy_with("clip") - accuracy_with("none")),
        not_on=DIGITS_ONLY, note="With uniform B."),
    claim("16a", ALIGN, "Simulations approach the order-parameter equations as 1/√D.", HERE,
        "fig-align-theory",
        *(between(-0.7, -0.3, f"slope of log distance from theory against log D, {name}",
                  finite_size_slope(method), form=".2f", repeats="students")
          for method, name in RULES.items()),
        not_on=_NO_DIGITS),
    claim("16b", ALIGN, "From a small start, DFA aligns before it learns.", HERE, "fig-align",
        below(0, "time at which alignment is half way from its start to its highest value, minus that "
                 "at which the loss is half way to its lowest", aligned_before_learned("small"),
              form=".2f", repeats="students"),
        not_on=_NO_DIGITS, note="A time is a number of steps divided by D."),
    claim("16c", ALIGN, "From a start as large as the teacher, DFA learns before it aligns.", HERE,
        "fig-align",
        above(0, "time at which alignment is half way from its start to its highest value, minus that "
                 "at which the loss is half way to its lowest", aligned_before_learned("large"),
              form=".2f", repeats="students"),
        not_on=_NO_DIGITS),
    claim("16d", ALIGN, "DFA's random matrix picks the solution; with BP, the start does.", HERE,
        "fig-align",
        above(0.8, "share of DFA's students that end with all signs of the random matrix",
              all_signs("dfa", "feedback"), **_SHARE),
        below(0.5, "share of DFA's students that end with all signs of their start",
              all_signs("dfa", "start"), **_SHARE),
        above(0.5, "share of BP's students that end with all signs of their start",
              all_signs("bp", "start"), **_SHARE),
        not_on=_NO_DIGITS, note="Signs of output weights; from a small start."),
    claim("16e", ALIGN, "On parities, too, DFA aligns before its loss falls.", HERE, "fig-alignment",
        below(0, "epoch at which alignment is half way from 0 to its highest value, minus that at which "
                 "the training loss is half way from ln 2 to its lowest", alignment_before_loss(),
              form="epochs"),
        note="Claim 5c asks the same of the accuracy on test digits."),
    claim("17a", DEEP, "A second hidden layer helps BP.", HERE, "fig-depth-accuracy",
        above(0, "accuracy of BP with two hidden layers minus that with one",
              accuracy_at_depth("bp", 2) - accuracy_at_depth("bp", 1)),
        not_on=DIGITS_ONLY),
    claim("17b", DEEP, "Depth helps DFA less than BP.", HERE, "fig-depth-accuracy",
        *(above(0, f"what BP gains over one hidden layer minus what DFA gains, {layers} layers",
                accuracy_at_depth("bp", layers) - accuracy_at_depth("bp", 1)
                - (accuracy_at_depth("dfa", layers) - accuracy_at_depth("dfa", 1)))
          for layers in (2, 4)),
        not_on=DIGITS_ONLY),
    claim("17c", DEEP, "Depth helps FA more than DFA.", HERE, "fig-depth-accuracy",
        *(above(0, f"accuracy of FA minus that of DFA, {layers} hidden layers",
                accuracy_at_depth("fa", layers) - accuracy_at_depth("dfa", layers))
          for layers in (2, 4)),
        not_on=DIGITS_ONLY, note="With one hidden layer the two rules are the same."),
    claim("17d", DEEP, "DFA's update agrees with BP's less in the first layer than in the last.", HERE,
        "fig-depth-layers",
        *(below(0, "cosine of DFA's update with BP's at the last epoch, first hidden layer minus last, "
                   f"{layers} hidden layers",
                agreement_of_layer("dfa", layers, 1) - agreement_of_layer("dfa", layers, layers),
                form=".2f")
          for layers in (2, 4)),
        not_on=DIGITS_ONLY),
    claim("18a", RICH, "A large α makes training linear.", HERE, "fig-rich",
        *(alike(f"accuracy of {name} with α = 256 minus that of the linear model",
                at_scale(method, "256") - at_scale(method, "linear"))
          for method, name in RULES.items()),
        not_on=DIGITS_ONLY),
    claim("18b", RICH, "In the lazy limit, DFA learns with last-layer features only.", HERE, "fig-rich",
        alike("accuracy of DFA with α = 256 minus that of random ReLU features",
              at_scale("dfa", "256") - at_scale("relu_features", "none")),
        not_on=DIGITS_ONLY),
    claim("18c", RICH, "Both rules do better in the rich regime.", HERE, "fig-rich",
        *(above(0, f"accuracy of {name} with α = 1 minus that with α = 256",
                at_scale(method, "1") - at_scale(method, "256"))
          for method, name in RULES.items()),
        not_on=DIGITS_ONLY),
    claim("18d", RICH, "With SGD, DFA changes the tangent kernel less than BP does.", HERE,
        "fig-rich-optimizers",
        below(0, "change of the tangent kernel by DFA minus that by BP, k = 3",
              at_scale("dfa", "none", "kernel") - at_scale("bp", "none", "kernel"), form=".2f"),
        not_on=DIGITS_ONLY,
        note="The change is 1 minus the centred alignment of the kernels before and after training."),
    claim("19a", HARD, "DFA needs more steps than BP for parities of bits.", HERE, "fig-hard",
        *(above(1, f"steps of DFA over those of BP, {k} of 20 bits, {name}",
                steps_on_bits(k, "dfa", optimizer) / steps_on_bits(k, "bp", optimizer), **COUNTED)
          for optimizer, name in (("sgd", "SGD"), ("adam", "Adam")) for k in (2, 3, 4)),
        not_on=_ON_BITS, note="Steps until the test accuracy is first 75 %, each at its tuned rate."),
    claim("19b", HARD, "DFA's steps grow with the number of bits as BP's do.", HERE, "fig-hard-sizes",
        *(between(-0.5, 0.5, f"slope of log steps against log n, DFA minus BP, k = {k}",
                  size_slope(k, "dfa") - size_slope(k, "bp"), form=".2f")
          for k in (2, 3, 4)),
        not_on=_ON_BITS, note="Both by SGD at the rate 0.25."),
    claim("19c", HARD, "Weights of relevant inputs move before the accuracy does.", HERE,
        "fig-hard-progress",
        *(above(1.5, "movement of relevant inputs' weights over that of the others, before the accuracy "
                     f"is 55 %, {name}, {k} of 20 bits", hidden_progress(k, method), **COUNTED)
          for method, name in RULES.items() for k in (3, 4)),
        not_on=_ON_BITS, note="Root mean squares of first-layer weights; SGD at the rate 0.25."),
    claim("19d", HARD, "A third digit costs DFA more steps than BP.", HERE, "fig-hard",
        *(above(1, f"steps with three digits over steps with two, DFA's ratio over BP's, {name}",
                steps_on_digits(3, "dfa", optimizer) / steps_on_digits(2, "dfa", optimizer)
                / (steps_on_digits(3, "bp", optimizer) / steps_on_digits(2, "bp", optimizer)), **COUNTED)
          for optimizer, name in (("sgd", "SGD"), ("rmsprop", "RMSProp"))),
        not_on=DIGITS_ONLY, note="A run that does not get to 75 % counts with the steps it was given."),
)
