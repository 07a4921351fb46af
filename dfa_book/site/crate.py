"""Data files of the built site: claims, a script that recomputes them, numbers, an RO-Crate.

An RO-Crate (https://w3id.org/ro/crate/1.1) describes data files and their origin in JSON-LD.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dfa_lib.experiments.provenance import commit, fingerprint

from ..claims.export import METADATA, NAME, SCHEMA_NAME, write_claims
from .book import Book, read_mapping, read_page
from .launch import public_address, repository
from .notebooks import glued, outputs, read_notebook

CITED = "CITATION.cff"
CRATE = "ro-crate-metadata.json"
SCRIPT = "recompute_verdicts.py"
SHOWN = "shown.json"
ABOUT = {
    NAME: "Each claim of the thesis with its rule, its numbers and its verdict on each dataset",
    SCHEMA_NAME: "JSON schema of claims.json",
    SCRIPT: "Recomputes the verdicts of claims.json from the results tables",
    SHOWN: "The numbers that stand in the text, and a digest of what each figure shows",
}
TYPES = {".csv": "text/csv", ".json": "application/json", ".py": "text/x-python"}


def cite_repository(book: Book, url: str) -> None:
    """Write the repository's address into ``CITATION.cff``, or remove it if it is empty."""
    path = book.root / CITED
    if path.is_file():
        text = re.sub(r"(?m)^repository-code:.*\n", "", read_page(path))
        line = f"repository-code: {json.dumps(public_address(url))}\n" if url else ""
        path.write_text(text.rstrip("\n") + "\n" + line, encoding="utf-8")


def write_data(book: Book, html: Path) -> None:
    """Write the ledger's claims, the numbers and digests of figures, and the RO-Crate into a site."""
    shown: dict[str, dict[str, str]] = {"numbers": {}, "figures": {}}
    for chapter in book.chapters():
        notebook = read_notebook(book.executed(chapter))
        shown["numbers"] |= {f"{chapter}::{key}": value for key, value in glued(notebook).items()}
        for output in outputs(notebook):
            metadata = output.get("metadata", {})
            if METADATA in metadata:
                write_claims(metadata[METADATA], html)
            if "dfa_figure" in metadata:
                drawn = hashlib.sha256(str(output["data"].get("text/html")).encode()).hexdigest()
                shown["figures"][metadata["dfa_figure"]["name"]] = drawn
    (html / SHOWN).write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    script = book.root / "results" / SCRIPT
    if script.is_file():
        shutil.copyfile(script, html / SCRIPT)
    files = [html / name for name in ABOUT if (html / name).is_file()]
    files += sorted(html.glob("_downloads/*/*.csv")) + sorted(html.glob("_downloads/*/*.json"))
    crate = {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": _graph(book, html, files)}
    text = json.dumps(crate, indent=1, ensure_ascii=False)
    (html / CRATE).write_text(text + "\n", encoding="utf-8")


def _graph(book: Book, html: Path, files: Sequence[Path]) -> list[dict[str, Any]]:
    cited = book.root / CITED
    citation = read_mapping(cited) if cited.is_file() else {}
    published = repository(book.root)
    code: dict[str, Any] = {
        "@id": published.url if published else "#code",
        "@type": "SoftwareSourceCode",
        "name": "dfa_lib, by which the results were computed",
        "programmingLanguage": "Python",
        "version": f"commit {commit()}; {fingerprint()}",
    }
    return [
        {
            "@id": CRATE,
            "@type": "CreativeWork",
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "about": {"@id": "./"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": citation.get("title", "A book, its claims and its results"),
            "description": " ".join(citation.get("abstract", "Claims and results of a book.").split()),
            "datePublished": f"{datetime.now(UTC):%Y-%m-%d}",
            "license": {"@id": "https://creativecommons.org/licenses/by/4.0/"},
            "hasPart": [{"@id": _place(path, html)} for path in files] + [{"@id": code["@id"]}],
        },
        code,
        *({"@id": _place(path, html), **_file(path)} for path in files),
    ]


def _place(path: Path, html: Path) -> str:
    return path.relative_to(html).as_posix()


def _file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    kind = "Results of runs, one row for each run and epoch, or the record of what they were made with"
    return {
        "@type": "File",
        "name": path.name,
        "description": ABOUT.get(path.name, kind),
        "encodingFormat": TYPES[path.suffix],
        "contentSize": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
