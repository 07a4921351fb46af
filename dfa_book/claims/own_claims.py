"""Claims of this book's own experiments, beyond the thesis, and the rules by which they are judged.

Each rule was committed before the runs that it judges.
"""

from .judge import Claim, Commit
from .measures import accuracy_with, passed_the_edge, unstable_past_the_edge, unstable_with
from .thesis_claims import above, below, claim

EDGE = Commit("76c373a", "2026-11-28 04:20")
"""The rules on the edge of stability, stated after a pilot of seven runs."""

HERE = "this book"
_RUNS = {"form": "percent", "kind": "binomial", "repeats": "runs"}
_NOT_ON = {"mnist": "its runs are trained on the bundled digits only"}

# fmt: off
OWN_CLAIMS: tuple[Claim, ...] = (
    claim("15a", EDGE, "DFA with SGD becomes unstable where its gain passes 2.", HERE, "fig-edge",
        above(0.8, "share of DFA's unstable runs whose gain had passed 2 before they exploded",
              passed_the_edge("dfa", unstable=True), **_RUNS),
        below(0.2, "share of DFA's stable runs whose gain ever passed 2",
              passed_the_edge("dfa", unstable=False), **_RUNS),
        not_on=_NOT_ON, note="The gain is measured twice an epoch, from the first half epoch on."),
    claim("15b", EDGE, "BP with SGD stays stable at a gain of 2.", HERE, "fig-edge",
        below(0.1, "share of unstable runs among BP's runs whose gain passes 2",
              unstable_past_the_edge("bp"), **_RUNS),
        not_on=_NOT_ON),
    claim("15c", EDGE, "A rate that follows the gain keeps DFA stable.", HERE, "fig-edge-remedies",
        below(0.1, "share of unstable runs with the gain held at 1.2, among those that are unstable "
                   "without at the same rate and seed", unstable_with("hold"), **_RUNS),
        not_on=_NOT_ON),
    claim("15d", EDGE, "The edge of stability is a part of DFA's lag behind BP.", HERE,
        "fig-edge-remedies",
        above(0, "accuracy of DFA with clipped updates minus that without, each at its best rate",
              accuracy_with("clip") - accuracy_with("none")),
        not_on=_NOT_ON, note="With uniform B."),
)
