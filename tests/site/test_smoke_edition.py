"""The whole book in the smoke profile: executed, built, and trained again by samples."""

import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from dfa_book.site.verify import verify
from dfa_book.studies import REPRODUCED

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The exit status of the build, what it said, and its folder."""
    output = tmp_path_factory.mktemp("site")
    earlier = output / "_build" / "html" / "_modules" / "gone.html"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("a page of an earlier build", encoding="utf-8")
    command = [sys.executable, "-c", "from dfa_book.site.cli import main; raise SystemExit(main())"]
    # In one process: starting others takes longer than what they would train.
    command += ["build", "--profile", "smoke", "-p", "jobs", "1", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1_800, check=False)
    return done.returncode, done.stdout + done.stderr, output / "_build"


def test_the_book_builds_without_a_warning(built):
    status, said, _ = built
    assert status == 0, said
    assert "WARNING" not in said


def test_pages_of_an_earlier_build_are_gone(built):
    html = built[2] / "html"
    pages = [path.relative_to(html).as_posix() for path in html.rglob("*.html")]
    assert "_modules/dfa_lib/engine.html" in pages
    assert "_modules/gone.html" not in pages


def test_figures_are_drawn_from_runs_of_this_build(built):
    results = built[2] / "results" / "smoke"
    rows = {path.name: len(path.read_text().splitlines()) - 1 for path in results.glob("*.csv")}
    # methods · k · seeds · epochs
    assert rows["reproduction.csv"] == len(REPRODUCED) * 2 * 2 * 2
    assert rows["sgd.csv"] == 2 * 2 * 2 * 2
    assert rows["tuning.csv"] > rows["reproduction.csv"]


def test_the_results_of_a_figure_can_be_downloaded(built):
    html = built[2] / "html"
    page = BeautifulSoup((html / "experiments.html").read_bytes(), "html.parser")
    for name in ("sgd.csv", "sgd.json"):
        (link,) = [a["href"] for a in page.find_all("a", href=True) if a["href"].endswith(f"/{name}")]
        assert (html / link).read_bytes() == (built[2] / "results" / "smoke" / name).read_bytes()


def test_runs_picked_at_random_are_trained_again_to_the_same_bits(built):
    rows = verify(built[2] / "results" / "smoke", sample=2)
    files = {"sgd.csv", "tuning.csv", "alignment.csv", "adaptive_methods.csv"}
    assert {row.file for row in rows} >= files
    assert [row for row in rows if not row.same_bits] == []


def test_a_trial_build_says_so_on_its_pages(built):
    for name in ("index", "experiments", "glossary"):
        page = BeautifulSoup((built[2] / "html" / f"{name}.html").read_bytes(), "html.parser")
        assert "no number here means anything" in page.select_one(".bd-header-announcement").get_text()
