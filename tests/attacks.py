"""Inputs that people and programs get wrong, for the tests that try all of them everywhere."""

import datetime
import decimal
import fractions
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dfa_lib import InputError

# Of Python. What is wrong for one parameter may be right for another.
VALUES = [
    *(None, True, False, NotImplemented, ..., 0, 1, -1, 2, 7, 1_000_001, 2**31, 2**63, -(2**63)),
    *(10**400, 10**5000, 0.5, 3.0, -0.0, -1.5, 5e-324, 1e308, math.inf, -math.inf, math.nan, 1j),
    *("", " ", "0", "1", "0.1", "bp", "BP", "sgd", "cpu", "digits", "a,b", "a\nb", "\0", "\ud800", "é"),
    *("x" * 300, "<script>", "{}{0}%s", "../x", "~nobody-here/x", "a@b", '"', "\u202e", b"1", b"\xff"),
    *(bytearray(b"1"), memoryview(b"1"), [], [1], [None], ["bp"], (), (1, 2), (0,), ((1,),)),
    *({}, {"a": 1}, {"bp"}, frozenset(), range(3), range(0), slice(1), object(), type, int, len),
    *(ValueError("x"), lambda: 1, np.int64(3), np.float32(0.1)),
    *(np.bool_(True), np.str_("bp"), np.array(3)),
    *(np.array("bp"), np.array([1, 2]), np.array([]), np.datetime64("NaT"), np.timedelta64(1)),
    *(np.float64("nan"), torch.tensor(3), torch.tensor(0.5)),
    *(torch.tensor([1, 2]), torch.empty(0), torch.tensor(True)),
    *(torch.nn.Linear(1, 1), pd.NA, pd.NaT, pd.Series([1]), pd.DataFrame(), decimal.Decimal(1)),
    *(decimal.Decimal("sNaN"), fractions.Fraction(1, 3), Path(), Path("\0"), re.compile("")),
    *(datetime.date(2026, 1, 1), datetime.timedelta(1)),
]  # fmt: skip
# On the command line, in the environment and in fields of forms.
TEXTS = [
    *("", " ", "-", "--", "-1", "0", "1e999", "nan", "inf", "9" * 30, "1" * 5000, "1_0", "٣"),
    *("½", "None", "True", "[]", "{}", "{0}", "%s", "a b", "a\tb", "a\nb", "\0", "\udcff", "\x1b[31m"),
    *("\u202e", "x" * 300, "x" * 5000, ".", "..", "/", "../x", "/dev/null", "/dev/null/x", "/proc/x"),
    *("~nobody-here", "$(id)", "'; true #"),
    *("<script>alert(1)</script>", "javascript:alert(1)", "https://"),
    *("https://a b", "https://a.org/\"onload='x"),
    *("https://u:p@w@a.org/x", "file:///etc/passwd", "C:\\x"),
]  # fmt: skip

# On one line, as a record may have them: what is markup anywhere, and what is so at the start of a line.
MARKUP = (
    '<script>alert(4711)</script> <img src=x onerror="alert(4711)"> </code></p> '
    "[x](javascript:alert(4711)) ![x](y) <javascript:alert(4711)> `<script>` ``<b>`` {raw}`<b>` [](#x)",
    "{download}`x <y>` {{ title }} $x$ $$y$$ \\(z\\) (label)= [^1] &lt;b&gt; &#60;b> \\ \\<b> **a** _b_ "
    "~~c~~ https://evil.example www.evil.example a@evil.example ::: <b> ```{raw} html <b>",
    *("::: <b>", "```{raw} html <b>", "% gone", "# title", "- item", "1. item", ": definition"),
    *("| a | b |", "+++", "<!--"),
)


def manglings(content: bytes) -> dict[str, bytes]:
    """Return what editors, programs, transfers and merges make of a file."""
    text = content.decode("utf-8", "replace")
    half = len(content) // 2
    return {
        "empty": b"",
        "blank": b" \n\n",
        "a byte order mark": b"\xef\xbb\xbf" + content,
        "UTF-16": text.encode("utf-16"),
        "Latin-1": content + "é".encode("latin-1"),
        "zeros": bytes(len(content)),
        "a zero inside": content[:half] + b"\0" + content[half:],
        "half": content[:half],
        "twice": content + content,
        "another half": content[half:],
        "a merge": content[:half] + b"\n<<<<<<< HEAD\n=======\n>>>>>>> x\n" + content[half:],
        "Windows": content.replace(b"\n", b"\r\n"),
        "an old Macintosh": content.replace(b"\n", b"\r"),
        "tabs": content.replace(b"  ", b"\t"),
        "deep": b"[" * 100_000,
        "deep objects": b'{"a":' * 50_000,
        "null": b"null",
        "a number": b"9" * 5_000,
        "a list": b"[[], {}, null, 1]",
        "an object": b'{"a": {"b": [null]}, "": ""}',
        "noise": bytes(range(256)) * 4,
        "a tag": b"!!python/object/apply:os.system ['false']",
        "a bomb": b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n",
    }


def is_refused(call) -> bool:
    """Whether a call refuses its input, in one line that can be read; any other error is raised."""
    try:
        call()
    except InputError as refusal:
        said = str(refusal)
        assert "Traceback" not in said, said
        assert len(said) < 1_500, said
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", said), said
        return True
    return False


def changed_bytes(content: bytes):
    """Yield a file cut at each byte, and with each byte changed: in a bit, to another, or gone."""
    for place, byte in enumerate(content):
        yield "cut", place, content[:place]
        for kind, new in (
            ("flipped", bytes([byte ^ (1 << place % 8)])),
            ("changed", bytes([48 + (byte + 1) % 10])),
            ("blanked", b" "),
            ("removed", b""),
        ):
            if new != content[place : place + 1]:
                yield kind, place, content[:place] + new + content[place + 1 :]
