"""The ledger for programs, judged again by a script that knows nothing of this library."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from dfa_book.claims import export, ledger
from dfa_book.claims.judge import (
    FAILS,
    HOLDS,
    NOT_TESTED,
    Claim,
    Evidence,
    Judgement,
    Number,
    Part,
    exactly,
    judge,
)

ROOT = Path(__file__).parents[2]
STORED = ROOT / "results" / "mnist"
IN_NO_TABLE = ("2e", "13a", "13c", "13d", "13h", "13i")


@pytest.fixture(scope="module")
def claims():
    evidence = Evidence("mnist", STORED)
    left_out = Judgement(NOT_TESTED, reason="its networks are in no table, and take a while")
    judged = [
        (claim, {"mnist": left_out if claim.id in IN_NO_TABLE else judge(claim, evidence)})
        for claim in ledger.CLAIMS
    ]
    return export.export(judged, {"mnist": evidence})


def recompute(claims, folder, results=STORED, dataset="mnist"):
    export.write_claims(claims, folder)
    command = [sys.executable, str(ROOT / "results" / "recompute_verdicts.py")]
    command += [str(folder / "claims.json"), str(results), dataset]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rests_on_results(claim):
    stated = claim["verdicts"]["mnist"]
    return bool(stated["results"]) and stated["verdict"] != "not tested"


def test_a_script_without_the_library_comes_to_every_verdict_that_rests_on_results(claims, tmp_path):
    text = (ROOT / "results" / "recompute_verdicts.py").read_text(encoding="utf-8")
    assert "import dfa" not in text
    assert "from dfa" not in text
    done = recompute(claims, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == sum(map(rests_on_results, claims["claims"])) > 45


def test_the_script_comes_to_the_verdicts_on_own_claims(tmp_path):
    folder = ROOT / "results" / "digits"
    evidence = Evidence("digits", folder)
    judged = [(claim, {"digits": judge(claim, evidence)}) for claim in ledger.OWN_CLAIMS]
    done = recompute(export.export(judged, {"digits": evidence}), tmp_path, folder, "digits")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        claim.id for claim, judgements in judged if judgements["digits"].computed
    ]
    assert len(done.stdout.splitlines()) == len(ledger.OWN_CLAIMS) - 1  # 16e is of runs not stored here
    evidence = Evidence("mnist", STORED)
    judged = [(claim, {"mnist": judge(claim, evidence)}) for claim in ledger.OWN_CLAIMS]
    done = recompute(export.export(judged, {"mnist": evidence}), tmp_path)
    assert (done.returncode, done.stdout) == (0, "16e: holds\n")


def test_the_script_tells_a_verdict_that_does_not_follow(claims, tmp_path):
    wrong = copy.deepcopy(claims)
    lag = next(claim for claim in wrong["claims"] if claim["id"] == "3b")
    lag["verdicts"]["mnist"]["verdict"] = FAILS
    done = recompute(wrong, tmp_path)
    assert done.returncode == 1
    assert "3b: holds, but claims.json says does not hold" in done.stdout


def test_the_script_goes_by_the_tables_and_not_by_the_numbers_in_claims_json(claims, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    for path in STORED.glob("*.csv"):
        text = path.read_text(encoding="utf-8")
        if path.stem == "sgd":  # as if the two had changed places
            text = text.replace(",dfa,", ",xx,").replace(",bp,", ",dfa,").replace(",xx,", ",bp,")
        (results / path.name).write_text(text, encoding="utf-8")
    done = recompute(claims, tmp_path, results)
    assert done.returncode > 0
    assert "3b: does not hold, but claims.json says holds" in done.stdout


def test_every_claim_is_there_in_the_form_of_the_schema(claims):
    assert [claim["id"] for claim in claims["claims"]] == [claim.id for claim in ledger.CLAIMS]
    jsonschema.Draft202012Validator.check_schema(export.SCHEMA)
    jsonschema.validate(claims, export.SCHEMA)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("claims", 0, "verdicts", "mnist", "verdict"), "proved"),
        (("claims", 0, "text"), ""),
        (("claims", 0, "id"), "<b>"),
        (("claims", 0, "rule", "numbers", 0, "kind"), "z"),
        (("claims", 0, "verdicts", "mnist", "results"), {"sgd.csv": "0"}),
        (("claims", 0, "comment"), "one more"),
    ],
)
def test_the_schema_refuses_what_is_damaged(claims, place, value):
    damaged = copy.deepcopy(claims)
    *path, name = place
    inner = damaged
    for step in path:
        inner = inner[step]
    inner[name] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(damaged, export.SCHEMA)


def test_what_is_not_finite_is_null(tmp_path):
    nothing = Number(exactly(float("nan")))
    part = Part("a number", lambda _: exactly(0.0), above=0.0)
    claim = Claim("1", "It is so.", "section 1", "fig", (part,))
    judged = [(claim, {"mnist": Judgement("not tested", (nothing,), ("not tested",), reason="why")})]
    exported = export.export(judged, {"mnist": Evidence("mnist", None)})
    export.write_claims(exported, tmp_path)
    (number,) = json.loads((tmp_path / "claims.json").read_text())["claims"][0]["verdicts"]["mnist"][
        "numbers"
    ]
    assert number["mean"] is None
    (rule,) = exported["claims"][0]["rule"]["numbers"]
    assert (rule["above"], rule["below"]) == (0.0, None)


def test_a_verdict_is_cited_with_its_code_and_the_address_of_its_entry(monkeypatch):
    monkeypatch.setenv("DFA_SITE_URL", "https://example.org/book")
    export._site.cache_clear()
    lag = next(claim for claim in ledger.CLAIMS if claim.id == "3b")
    judgements = {dataset: Judgement(HOLDS) for dataset in ledger.DATASETS}
    said = export.citation(lag, judgements)
    assert "claim 3b, ‘With three digits and SGD, DFA lags behind BP.’: holds on the digits" in said
    assert said.endswith("https://example.org/book/ledger.html#claim-3b")
    assert "claim\\-3b" in ledger.entry(lag, judgements)
    export._site.cache_clear()
