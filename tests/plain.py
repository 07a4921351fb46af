"""What tests ask of a notebook that has left the book."""

import re
import warnings

from bs4 import BeautifulSoup
from nbconvert import HTMLExporter

# Roles, directives and labels of MyST, which only the site understands.
MYST = re.compile(
    r"\{(?:glue|cite|numref|ref|eq|term|doc|(?:prf|py):\w+)\W|^\s*:::|```\{|^\([\w:.-]+\)=\s*$", re.M
)


def traces_of_myst(notebook):
    """What of MyST a reader meets: in the notebook's text, and in the page that nbconvert makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nbconvert's templates
        body, _ = HTMLExporter().from_notebook_node(notebook)
    shown = BeautifulSoup(body, "html.parser").body.get_text()
    written = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return sorted({found.group().strip() for text in (shown, *written) for found in MYST.finditer(text)})
