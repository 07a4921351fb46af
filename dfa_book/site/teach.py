"""The teaching edition: each chapter as a notebook for students and as one for instructors.

Both are plain Jupyter notebooks in the profile ``class``. The student's has a gap in place of each
solution. Two further editions are sources of assignments for nbgrader and Otter-Grader.
"""

import ast
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from dfa_lib.experiments.provenance import commit
from dfa_lib.validation import InputError

from .book import Book, put_in_place, read_config, read_page
from .checks import parameter_problems
from .gaps import GAP, GAPS, NBGRADER_CONFIG, OTTER_CONFIG, Solution
from .launch import repository, site_address
from .myst import FIGURE, Bibliography, Directive, Page, Writer, blocks, labels
from .notebooks import glued, read_notebook
from .status import status

# Editions to read, and editions from which graders make assignments.
EDITIONS = ("student", "instructor")
GRADED = ("nbgrader", "otter")
PROFILE = "class"
# Folder in _build.
EDITIONS_FOLDER = "teach"
# The site's home page is not a chapter.
LEFT_OUT = ("index",)
# Tags of code that is collapsed in Jupyter.
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
# Labels of exercises, which are part of cell ids.
LABEL = re.compile(r"[A-Za-z0-9_-]{1,50}")
ALONE = re.compile(r"^#+ +(?:Exercise|Solution)\b.*", re.MULTILINE)
# Metadata to keep; editors and papermill add others, such as paths and widgets.
METADATA = ("kernelspec", "language_info")


@dataclass
class Piece:
    """A cell, or the part of a cell that belongs to one solution or to none."""

    cell: NotebookNode
    text: str
    solution: str | None  # label of its exercise

    @property
    def tags(self) -> set[str]:
        """The cell's tags."""
        return set(self.cell.metadata.get("tags", []))


def teach(book: Book) -> dict[str, dict[str, int]]:
    """Write both editions of every chapter, and what graders need, into ``_build/teach``.

    Return how many ``exercises`` and ``gaps`` (cells to be filled in) each chapter has. What was written
    before stays if a chapter cannot be read, has something that plain Markdown cannot show, a picture
    that is not in the book, or a solution without its exercise (``InputError``).
    """
    with book.workspace() as folder:
        counts = write_editions(book, folder / EDITIONS_FOLDER, (*EDITIONS, *GRADED))
        config = folder / EDITIONS_FOLDER / "nbgrader" / "nbgrader_config.py"
        config.write_text(NBGRADER_CONFIG, encoding="utf-8")
        put_in_place(folder / EDITIONS_FOLDER, book.build / EDITIONS_FOLDER)
    return counts


def write_editions(
    book: Book, folder: Path, editions: Sequence[str] = EDITIONS
) -> dict[str, dict[str, int]]:
    """Write editions of every chapter into folders below one; else as ``teach``."""
    pages = read_pages(book)
    known, names = labels(pages), [page.name for page in pages]
    taught = taught_chapters(book)
    chapters = {page.name: page for page in pages if page.name in taught}
    bibliography = Bibliography(book.source / "references.bib")
    results, address = glued_results(book), site_address(book.root)
    counts = {}
    for name, page in chapters.items():
        notebook = read_notebook(book.notebook(name))
        for said in parameter_problems(notebook):
            raise InputError(f"{name}: {said}.")
        pieces = list(_pieces(name, notebook))
        for edition in editions:
            writer = Writer(page, chapters, known, bibliography, results, names, address)
            cells = list(_cells(pieces, writer, edition))
            first = _about(book, page, edition, quotes=bool(writer.quoted))
            assignment = PurePosixPath(name).name  # graders know no folders of chapters
            metadata = {key: notebook.metadata[key] for key in METADATA if key in notebook.metadata}
            made = new_notebook(cells=[first, *cells], metadata=metadata)
            target = folder / edition / f"{name}.ipynb"
            if edition == "otter":
                made.cells.insert(0, new_raw_cell(OTTER_CONFIG.format(name=assignment), id="config"))
                target = folder / edition / f"{assignment}.ipynb"
            elif edition == "nbgrader":  # which wants a folder for each assignment
                target = folder / edition / "source" / assignment / f"{assignment}.ipynb"
            nbformat.validate(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(made, target)
            for image in writer.images:
                _copy_image(book, name, image, target.parent)
            if edition == "student":
                counts[name] = {
                    "exercises": len({p.solution for p in pieces} - {None}),
                    "gaps": sum(GAP in c.metadata.get("tags", []) for c in cells),
                }
    kept = book.root / "results" / PROFILE
    for edition in editions:
        if edition in EDITIONS and kept.is_dir():  # learning rates that take minutes to tune
            shutil.copytree(kept, folder / edition / "results" / PROFILE)
    return counts


def taught_chapters(book: Book) -> list[str]:
    """Return the chapters with notebooks for students and instructors."""
    return [name for name in book.chapters() if name not in LEFT_OUT]


def _copy_image(book: Book, chapter: str, image: str, folder: Path) -> None:
    """Copy a picture of a chapter to the same relative path beside a notebook."""
    source, target = book.notebook(chapter).parent / image, folder / image
    within = source.resolve().is_relative_to(book.source.resolve())
    if not (within and source.is_file() and target.resolve().is_relative_to(folder.resolve())):
        raise InputError(f"{chapter} shows {image}, which is not a file beside or below it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


# ---- reading ----


def read_pages(book: Book) -> list[Page]:
    """Return the pages of the book in the order of its table of contents, with their numbers."""
    return [Page(page.name, _source(book, page.name), page.chapter) for page in book.pages()]


def _source(book: Book, name: str) -> list[tuple[bool, str]]:
    path = book.notebook(name)
    if path.exists():
        return [(cell.cell_type == "code", cell.source) for cell in read_notebook(path).cells]
    path = path.with_suffix(".md")
    return [(False, read_page(path))] if path.exists() else []


def _pieces(name: str, notebook: NotebookNode) -> Iterator[Piece]:
    """Yield the cells of a chapter, split where a solution begins or ends.

    A solution is between solution-start and solution-end, or is a ``{solution}``, or has the tag
    ``solution``; then it belongs to the last exercise before it.
    """
    exercise: str | None = None
    solution: str | None = None
    for cell in notebook.cells:
        if cell.cell_type == "raw" or "injected-parameters" in cell.metadata.get("tags", []):
            continue  # for other programs, or from an earlier execution
        tagged = "solution" in cell.metadata.get("tags", [])
        if tagged and exercise is None and solution is None and "{solution" not in cell.source:
            raise InputError(f"{name}, cell {cell.id} is tagged solution, but follows no exercise.")
        if cell.cell_type == "code":
            yield Piece(cell, cell.source, solution or (exercise if tagged else None))
            continue
        parts: list[Piece] = []
        for block in blocks(cell.source):
            text, kind = (block, "") if isinstance(block, str) else (block.source, block.name)
            if isinstance(block, Directive) and kind in ("exercise", "exercise-start"):
                exercise = block.options.get("label", "")
                if not LABEL.fullmatch(exercise):
                    raise InputError(
                        f"{name}, cell {cell.id}: an exercise needs a label of letters, digits and "
                        f"hyphens, which its solution names; it has {exercise or 'none'!r}."
                    )
            if isinstance(block, Directive) and kind in ("solution", "solution-start"):
                solution = block.argument
            if isinstance(block, str) and (alone := ALONE.search(block)):
                raise InputError(
                    f"{name}, cell {cell.id}: {alone[0]!r} is a heading, so that students would be "
                    f"given the solution; put exercises between {{exercise-start}} and "
                    f"{{exercise-end}}, and solutions likewise."
                )
            of = solution or (exercise if tagged and not kind.startswith("exercise") else None)
            if parts and parts[-1].solution == of:
                parts[-1].text += f"\n{text}"
            else:
                parts.append(Piece(cell, text, of))
            if kind in ("solution", "solution-end"):
                solution = None
        yield from parts
    if solution is not None:
        raise InputError(f"{name}: the solution of {solution} has no solution-end.")


def glued_results(book: Book) -> dict[tuple[str, str], Any]:
    """Return the values that executed chapters have glued, by chapter and key.

    Chapters that have changed since, or were executed in the profile ``smoke``, are left out.
    """
    results: dict[tuple[str, str], Any] = {}
    for row in status(book):
        if row["state"] == "fresh" and "profile=smoke" not in row["parameters"].split():
            values = glued(read_notebook(book.executed(row["chapter"])))
            results |= {(row["chapter"], key): _value(text) for key, text in values.items()}
    return results


def _value(text: str) -> Any:
    """Parse a Python literal; return the text of anything else."""
    try:
        return float(text) if text in ("nan", "inf", "-inf") else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


# ---- writing ----


def _cells(pieces: Sequence[Piece], writer: Writer, edition: str) -> Iterator[NotebookNode]:
    """Yield an edition's cells."""
    for place, piece in enumerate(pieces):
        if piece.solution is not None and edition in GAPS:
            if piece.solution not in (before.solution for before in pieces[:place]):
                own = [other for other in pieces if other.solution == piece.solution]
                yield from GAPS[edition](_solution(piece.solution, own, writer))
        elif piece.cell.cell_type == "code":
            if FIGURE.search(piece.text):
                names = (figure["name"] for figure in FIGURE.finditer(piece.text))
                numbers = ", ".join(writer.labels[name].text for name in names)
                yield new_markdown_cell(f"**{numbers}**", id=f"{piece.cell.id}-number")
            yield _code(piece, writer)
        else:
            text = writer.markdown(piece.text)
            if writer.page.chapter and text.startswith("# "):
                text = f"# {writer.page.chapter}. {text.removeprefix('# ')}"
            if text:
                shown = {a: data for a, data in piece.cell.get("attachments", {}).items() if a in text}
                before = sum(other.cell.id == piece.cell.id for other in pieces[:place])
                yield new_markdown_cell(
                    text,
                    id=f"{piece.cell.id}-{before}" if before else piece.cell.id,
                    metadata={"tags": ["solution"]} if piece.solution else {},
                    **({"attachments": shown} if shown else {}),
                )
    if writer.cited:
        references = writer.bibliography.listed(writer.cited)
        yield new_markdown_cell(f"## References\n\n{references}", id="references")


def _code(piece: Piece, writer: Writer) -> NotebookNode:
    source = writer.code(piece.text)
    metadata: dict[str, Any] = {"tags": ["solution"]} if piece.solution else {}
    if "parameters" in piece.tags:
        metadata["tags"] = ["parameters"]
        takes = f"{PROFILE} (within a minute), digits (minutes) or mnist (hours)"
        source = re.sub(r"(?m)^profile\s*=.*", f'profile = "{PROFILE}"  # {takes}', source)
    elif piece.tags & FOLDED and not piece.solution:
        metadata["jupyter"] = {"source_hidden": True}
    return cast(NotebookNode, new_code_cell(source, id=piece.cell.id, metadata=metadata))


def _solution(label: str, pieces: Sequence[Piece], writer: Writer) -> Solution:
    texts = (writer.markdown(p.text) for p in pieces if p.cell.cell_type == "markdown")
    shown = [p.text for p in pieces if p.cell.cell_type == "code" and "remove-input" not in p.tags]
    return Solution(label, writer.exercise(label), "\n\n".join(filter(None, texts)), shown)


def _about(book: Book, page: Page, edition: str, *, quotes: bool) -> NotebookNode:
    """Return the first cell: description, origin and installation."""
    title = read_config(book).get("title", book.root.name)
    version, _, changed = commit().partition("-")
    published = repository(book.root)
    if published is None:
        source, where = "", ", where FOLDER is a copy of the book's repository"
        install = 'pip install -c FOLDER/requirements.txt "FOLDER[notebooks]"'
    else:
        source, where = f" of <{published.url}>", ""
        install = (
            f"pip install -c {published.url}/raw/{version}/requirements.txt "
            f'"dfa_lib[notebooks] @ git+{published.url}@{version}"'
        )
    edition = "instructor" if edition == "instructor" else "student"  # graders cut solutions out
    follows = "a gap for your answer" if edition == "student" else "its solution"
    about = (
        f"Each exercise is followed by {follows}. Made by `make teach` from commit "
        f"`{version}`{source}{', edited' if changed else ''}."
    )
    if address := site_address(book.root):
        about += f" With its figures, it is a page of the site: <{address}{page.name}.html>."
    if quotes:
        about += " Results that it quotes from other chapters are those of the book itself."
    text = f"""\
**{page.title}**, {edition} edition. From *{title}: an executable companion*. {about}

To run it, install the book's library, once{where}:

```
{install}
```

Nothing is downloaded while it runs, and two cores need less than a minute. The cell of parameters
decides how much is trained. Text and figures are under CC BY 4.0, code under the MIT licence."""
    return cast(NotebookNode, new_markdown_cell(text, id="about"))
