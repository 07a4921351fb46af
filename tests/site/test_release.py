"""What a release says of itself, in three files, is the same."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

from dfa_book.site.book import Book
from dfa_book.site.crate import cite_repository
from dfa_book.site.launch import ADDRESS

ROOT = Path(__file__).parents[2]
# The pages of the first release, which others have linked to.
ADDRESSES = [
    "appendix-derivation",
    "appendix-representations",
    "appendix-reproducibility",
    "bibliography",
    "conclusion",
    "deviations",
    "experiments",
    "extension",
    "figures",
    "foundations",
    "glossary",
    "index",
    "introduction",
    "learning-problems",
    "ledger",
    "live",
    "reference/analysis",
    "reference/data",
    "reference/figures",
    "reference/index",
    "reference/machinery",
    "reference/optimizers",
    "reference/own",
    "reference/rules",
    "reference/runs",
    "teaching",
    "two-minutes",
]
HEADING = re.compile(r"^## (\d+\.\d+\.\d+), (not released yet|\d{4}-\d\d-\d\d)$", re.MULTILINE)


def disagreements(changes, project, citation):
    """Say where the changelog, the project's file and the citation do not tell of the same release."""
    found = []
    versions = HEADING.findall(changes)
    if re.findall(r"(?m)^## .*", changes) != [f"## {v}, {day}" for v, day in versions] or not versions:
        return ["a heading of the changelog is no version with its day"]
    if project["project"]["version"] != citation["version"]:
        found.append("pyproject.toml and CITATION.cff have different versions")
    numbers = [tuple(map(int, version.split("."))) for version, _ in versions]
    if numbers != sorted(set(numbers), reverse=True):
        found.append("the changelog's versions do not fall")
    released = [(v, day) for v, day in versions if day != "not released yet"]
    if released and released[0] != (citation["version"], str(citation["date-released"])):
        found.append("the last release is not the one that CITATION.cff cites")
    if not isinstance(citation["date-released"], date):
        found.append("date-released is no date")
    return found


@pytest.fixture
def files():
    return (
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")),
        yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8")),
    )


def test_changelog_project_and_citation_tell_of_the_same_release(files):
    assert disagreements(*files) == []


@pytest.mark.parametrize(
    ("changes", "cited", "why"),
    [
        ("# Changes\n", {}, "a heading of the changelog"),
        ("## Soon\n", {}, "a heading of the changelog"),
        ("## 1.0.0, 2026-12-01\n", {}, "is not the one that CITATION.cff cites"),
        ("## 1.0.0, not released yet\n## 1.1.0, not released yet\n", {}, "versions do not fall"),
        ("## 1.0.0, not released yet\n", {"version": "9.9.9"}, "different versions"),
        ("## 1.0.0, not released yet\n", {"date-released": "soon"}, "no date"),
    ],
)
def test_what_disagrees_is_found(files, changes, cited, why):
    _, project, citation = files
    assert why in " ".join(disagreements(changes, project, citation | cited))


def test_an_archive_finds_what_it_needs(files):
    citation = files[2]
    assert citation["cff-version"] == "1.2.0"
    assert {"title", "abstract", "authors", "license", "version", "date-released"} <= citation.keys()
    if "repository-code" in citation:
        assert re.fullmatch(ADDRESS, citation["repository-code"])


def test_the_citation_says_once_where_the_code_is(tmp_path):
    cited = tmp_path / "CITATION.cff"
    cited.write_text("title: A title\nrepository-code: https://example.org/old\nversion: 1.0.0\n")
    book = Book(tmp_path, tmp_path)
    for url in ("https://example.org/a", "https://example.org/b"):
        cite_repository(book, url.replace("https://", "https://me:secret@"))
        assert yaml.safe_load(cited.read_text()) == {
            "title": "A title",
            "version": "1.0.0",
            "repository-code": url,
        }
    cite_repository(book, "")
    assert "repository-code" not in yaml.safe_load(cited.read_text())
    assert cited.read_text().startswith("title: A title\n")


def test_every_address_that_was_published_leads_somewhere():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    moved = config["sphinx"]["config"].get("dfa_moved", {})
    assert set(ADDRESSES) <= {page.name for page in Book(ROOT, ROOT).pages()} | moved.keys()
