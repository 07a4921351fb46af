"""What GitHub runs: workflows true to their schema, scripts without mistakes, commands that exist."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))


def read(path):
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # "on" is a key, not true


def steps(path):
    content = read(path)
    jobs = content["jobs"].values() if "jobs" in content else [content["runs"]]
    return [step for job in jobs for step in job["steps"]]


def scripts(path):
    """The scripts of a workflow, with a word in place of each expression of GitHub's."""
    return [re.sub(r"\$\{\{.*?\}\}", "word", step["run"]) for step in steps(path) if "run" in step]


def script_words(pattern):
    return {w for path in [*WORKFLOWS, *ACTIONS] for s in scripts(path) for w in re.findall(pattern, s)}


@pytest.mark.parametrize(
    ("schema", "paths"),
    [("vendor.github-workflows", WORKFLOWS), ("vendor.github-actions", ACTIONS)],
    ids=["workflows", "actions"],
)
def test_they_hold_to_githubs_schema(schema, paths):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: path.stem)
def test_shellcheck_finds_nothing_in_their_scripts(path):
    for script in scripts(path):
        assert shellcheck("--shell=bash", "-", text=script) == []


def test_shellcheck_finds_what_is_wrong():
    assert shellcheck("--shell=bash", "-", text="rm $1") != []


def test_shellcheck_finds_nothing_in_what_every_submission_runs():
    assert shellcheck(str(ROOT / ".ci" / "run"), str(ROOT / ".binder" / "postBuild")) == []


def test_every_submission_runs_the_commands_in_the_order_of_the_readme():
    """`make teach` after `make book` once crashed, because nothing ran the two in this order."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    mnist = ".venv/bin/dfa-book {} --output _build/mnist"
    assert [line for line in lines if line.startswith(("make ", ".venv/"))] == [
        "make test",
        "make book",
        "make teach",
        "make pdf",
        "make test-site",
        mnist.format("build --profile mnist"),
        mnist.format("teach"),
        "make test-site SITE=_build/mnist/_build/html",
    ]


def shellcheck(*arguments, text=None):
    program = Path(sys.executable).with_name("shellcheck")
    command = [str(program), "--format=json", *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return [f"{found['line']}: {found['message']}" for found in json.loads(done.stdout)]


def test_what_they_call_is_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE)) | {".venv/.installed"}
    assert script_words(r"\bmake ([\w./-]+)") <= targets
    helped = subprocess.run(
        [sys.executable, "-c", "from dfa_book.site.cli import main; main(['--help'])"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    ).stdout  # fmt: skip
    for command in script_words(r"\bdfa-book (\w+)"):
        assert re.search(rf"^ +{command}\b", helped, re.MULTILINE)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_wait_for_jobs_that_exist_and_end(path):
    jobs = read(path)["jobs"]
    for job in jobs.values():
        assert set(job.get("needs", [])) <= set(jobs)
        assert int(job["timeout-minutes"]) <= 90


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_only_what_publishes_may_write(path):
    content = read(path)
    assert content["permissions"] == {"contents": "read"}
    writing = {name for name, job in content["jobs"].items() if "permissions" in job}
    assert writing <= {"publish", "notebooks", "outcome"}


def test_zizmor_finds_no_way_in():
    program = Path(sys.executable).with_name("zizmor")
    if not program.exists():
        pytest.skip("zizmor is not here yet: make test installs what requirements.txt has")
    command = [str(program), "--offline", "--no-progress", "--min-severity", "medium", ".github"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: path.stem)
def test_what_others_wrote_is_named_by_its_commit_and_its_version(path):
    """A tag can be moved; Dependabot proposes a newer commit, and reads the version beside it."""
    used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
    for action, version in used:
        if not action.startswith("./"):
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action)
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", version)


def test_each_schedule_is_one_that_its_jobs_know():
    content = read(ROOT / ".github" / "workflows" / "upkeep.yml")
    times = {entry["cron"] for entry in content["on"]["schedule"]}
    named = {
        re.search(r"github\.event\.schedule != '(.*?)'", j["if"])[1] for j in content["jobs"].values()
    }
    assert named == times


def test_editions_are_built_and_put_where_their_links_lead():
    """The digits first: the ledger of MNIST's edition has the verdicts on both."""
    jobs = read(ROOT / ".github" / "workflows" / "site.yml")["jobs"]
    builds = [step for step in jobs["editions"]["steps"] if "dfa-book build" in step.get("run", "")]
    assert [re.findall(r"--profile (\w+)", step["run"]) for step in builds] == [["digits"], ["mnist"]]
    address = "${{ env.ADDRESS }}/"
    of_digits, of_mnist = (step["env"]["DFA_SITE_URL"] for step in builds)
    assert (of_digits, of_mnist) == (address + "digits/", address)
    for step, other in zip(builds, (of_mnist, of_digits), strict=True):
        linked = re.findall(r'href="(.*?)"', step["env"]["DFA_FOOTER"])
        assert linked == [other, step["env"]["DFA_SITE_URL"] + "book.pdf"]
        assert step["env"]["DFA_OTHER_EDITION"] == other
    assert "mv _build/html digits\n" in builds[0]["run"]
    assert "mv digits _build/html/\n" in builds[1]["run"]
    uploaded = [s["with"]["path"] for s in jobs["editions"]["steps"] if "upload" in s.get("uses", "")]
    assert uploaded == ["_build/html/_notebooks", "_build/html"]


def test_python_is_the_one_of_the_conda_environment():
    conda = read(ROOT / "environment.yml")["dependencies"]
    (action,) = [s for p in ACTIONS for s in steps(p) if "setup-python" in s.get("uses", "")]
    assert f"python={action['with']['python-version']}" in conda
