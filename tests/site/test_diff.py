"""What moved between two builds."""

import copy
import json

import pytest

from dfa_book.site.cli import main

NUMBER = {"mean": 0.15, "low": 0.11, "high": 0.18, "n": 3}
CLAIM = {
    "id": "3b",
    "text": "DFA lags behind BP.",
    "rule": {"numbers": [{"what": "BP minus DFA", "above": 0.0, "below": None}]},
    "verdicts": {"mnist": {"verdict": "holds", "numbers": [NUMBER]}},
}


@pytest.fixture
def sites(tmp_path):
    """Write two sites that say the same, but for what a function changes in the second."""

    def write(change=lambda claims, shown: None):
        claims = {"claims": [CLAIM, CLAIM | {"id": "4"}]}
        shown = {"numbers": {"one::gap": "0.15"}, "figures": {"fig-sgd": "a", "fig-depth": "b"}}
        for name in ("old", "new"):
            claims, shown = copy.deepcopy(claims), copy.deepcopy(shown)
            if name == "new":
                change(claims, shown)
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (folder / "claims.json").write_text(json.dumps(claims))
            (folder / "shown.json").write_text(json.dumps(shown))
        return ["diff", str(tmp_path / "old"), str(tmp_path / "new")]

    return write


def test_of_two_sites_that_say_the_same_nothing_has_moved(sites, capsys):
    assert main(sites()) == 0
    assert capsys.readouterr().out == "Nothing has moved.\n"


def test_verdicts_numbers_and_figures_that_moved_are_listed_and_no_others(sites, capsys):
    def change(claims, shown):
        first = claims["claims"][0]
        first["verdicts"]["mnist"]["verdict"] = "undecided"
        first["verdicts"]["mnist"]["numbers"][0]["low"] = -0.01
        first["verdicts"]["digits"] = {"verdict": "holds", "numbers": []}
        first["rule"]["numbers"][0]["above"] = 0.1
        claims["claims"][1]["id"] = "5"
        shown["numbers"]["one::gap"] = "0.14"
        shown["figures"]["fig-sgd"] = "c"
        del shown["figures"]["fig-depth"]

    assert main(sites(change)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "claim 3b, rule of number 1 has moved: BP minus DFA: 0.0 to None → BP minus DFA: 0.1 to None",
        "claim 3b, verdict on mnist has moved: holds → undecided",
        "claim 3b, number 1 on mnist has moved: 0.15, 0.11, 0.18 (n = 3) → 0.15, -0.01, 0.18 (n = 3)",
        "claim 3b, verdict on digits is new",
        "claim 4 is gone",
        "claim 5 is new",
        "number one::gap has moved: 0.15 → 0.14",
        "figure fig-sgd has moved",
        "figure fig-depth is gone",
    ]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("claims.json", None, "has no claims.json: name the folder of a built site"),
        ("shown.json", None, "has no shown.json"),
        ("claims.json", "{", "cannot be read"),
        ("claims.json", "[]", "is not what dfa-book writes"),
        ("claims.json", '{"claims": [{"id": "3b"}]}', "is not what dfa-book writes"),
    ],
)
def test_a_folder_that_is_no_site_is_refused_with_a_sentence(sites, tmp_path, capsys, name, text, why):
    command = sites()
    path = tmp_path / "new" / name
    path.unlink() if text is None else path.write_text(text)
    assert main(command) == 2
    assert why in capsys.readouterr().err
