"""JavaScript of the page on which networks train in the browser, its digits and still pictures.

Its source is ES modules in ``book/_static/live``. Browsers load modules and Web Workers only from a
server, but the site works from a folder, too. So the build bundles the modules into one script, which
contains the worker's script as a string.
"""

import json
import re
import shutil
from pathlib import Path

import torch

from dfa_lib.data.digits import load_digits
from dfa_lib.data.images import Digits

from .live_pictures import draw_stills

MODULES = "live"
SCRIPT, DIGITS = "live.mjs", "live-digits.mjs"
IMPORT = re.compile(r'^import [^;]*? from "\./([\w-]+\.mjs)";\n', re.MULTILINE)
WHOLE_MODULE = re.compile(r'^import \* as (\w+) from "\./([\w-]+)\.mjs";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:function\*?|const|class) (\w+)", re.MULTILINE)


def write_live(static: Path) -> None:
    """Replace the modules in a site's ``_static``, if any, by the script, the digits and pictures."""
    modules = static / MODULES
    if not modules.is_dir():
        return
    (static / SCRIPT).write_text(script(modules), encoding="utf-8")
    (static / DIGITS).write_text(digits_script(), encoding="utf-8")
    draw_stills(static)
    shutil.rmtree(modules)


def script(modules: Path) -> str:
    """Bundle the page's modules into one script."""
    worker = json.dumps(joined(modules / "worker.mjs")).replace("</", "<\\/")
    return f"(() => {{\nconst WORKER = {worker};\n{joined(modules / 'page.mjs')}}})();\n"


def joined(entry: Path) -> str:
    """Concatenate a module and its imports in the order of dependencies.

    Top-level names must differ between modules; otherwise the browser refuses the script.
    """
    texts: dict[str, str] = {}

    def add(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        for name in IMPORT.findall(text):
            if name not in texts:
                add(path.with_name(name))
        text = WHOLE_MODULE.sub(lambda match: _namespace(path, match[1], match[2]), text)
        text = re.sub(r"^export ", "", IMPORT.sub("", text), flags=re.MULTILINE)
        texts[path.name] = _without_comments(text)

    add(entry)
    return '"use strict";\n' + "".join(texts.values())


def _namespace(path: Path, name: str, module: str) -> str:
    exported = EXPORT.findall(path.with_name(f"{module}.mjs").read_text(encoding="utf-8"))
    return f"const {name} = {{ {', '.join(exported)} }};\n"


def _without_comments(text: str) -> str:
    """Remove comment lines and indentation."""
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))


def digits_script() -> str:
    """Return the bundled training and test digits as a script: a letter per pixel, "a" for white."""
    sets = load_digits()
    levels = torch.unique(sets.train.images)  # 17, sorted: 8 × 8 pixels of 0 to 16, normalised

    def shipped(digits: Digits) -> dict[str, object]:
        places = torch.searchsorted(levels, digits.images).flatten().tolist()
        return {
            "pixels": "".join(chr(ord("a") + place) for place in places),
            "labels": digits.labels.tolist(),
        }

    data = {"levels": levels.tolist(), "train": shipped(sets.train), "test": shipped(sets.test)}
    return f"globalThis.dfaDigits = {json.dumps(data, separators=(',', ':'))};\n"
