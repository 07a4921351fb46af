"""The content-security policy of pages, and what violates it.

Untrusted text, such as a value of a record, is escaped where it is written. If that fails, browsers
still refuse to run it: they run the theme's inline scripts, by hash, and files of the site only.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from urllib.parse import urlsplit

from bs4 import BeautifulSoup

# Inline handlers of the theme's buttons; ``test_browser.py`` detects others.
HANDLERS = ("toggleFullScreen()", "window.print()")
# Attributes whose address a browser loads, and link types that it loads.
LOADING = ("src", "srcset", "poster", "data")
LINKS = {"icon", "manifest", "modulepreload", "prefetch", "preconnect", "preload", "stylesheet"}
CSS_ADDRESS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


def restrict(page: BeautifulSoup, hosts: Sequence[str] = ()) -> list[str]:
    """Give a page its policy, and return its violations, a sentence each."""
    scripts = [script for script in page.find_all("script") if not script.has_attr("src")]
    own = [script for script in scripts if script.find_parent("head")]  # written by templates
    meta = page.new_tag(
        "meta",
        attrs={
            "http-equiv": "Content-Security-Policy",
            "content": policy([script.get_text() for script in own], hosts),
        },
    )
    charset = page.find("meta", charset=True)
    if charset is not None:  # which has to be in the first 1,024 bytes
        charset.insert_after(meta)
    else:
        (page.head or page).insert(0, meta)
    allowed = {f"//{host}" for host in hosts}
    return [
        *(
            f"a script stands in the text, where browsers do not run it; put it into _static: "
            f"{' '.join(script.get_text().split())[:60]}"
            for script in scripts
            if script not in own
        ),
        *(
            f"{address} is loaded from another host, which dfa_other_hosts in _config.yml does not name"
            for address in _loaded(page)
            if (host := urlsplit(address).netloc) and f"//{host}" not in allowed
        ),
    ]


def policy(scripts: Sequence[str], hosts: Sequence[str] = ()) -> str:
    """Return the policy of a page with these inline scripts and other hosts to load from."""
    hashes = sorted({_hash(text) for text in (*scripts, *HANDLERS)})
    others = [f"https://{host}" for host in hosts]
    directives = {
        "default-src": others or ["'none'"],
        # Hashes of inline handlers require 'unsafe-hashes', which allows nothing without a hash.
        "script-src": ["'self'", "'unsafe-hashes'", *hashes, *others],
        "style-src": ["'self'", "'unsafe-inline'", *others],  # for figures and the theme
        "img-src": ["'self'", "data:", *others],
        "font-src": ["'self'", "data:", *others],
        "connect-src": ["'self'", *others],
        "worker-src": ["blob:"],  # the live page
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(values)}" for name, values in directives.items())


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _loaded(page: BeautifulSoup) -> Iterator[str]:
    for element in page.find_all(True):
        for name in LOADING:
            if name in element.attrs:
                yield from (part.split()[0] for part in str(element[name]).split(", ") if part.strip())
        if element.name == "link" and LINKS.intersection(element.get_attribute_list("rel")):
            yield str(element.get("href", ""))
        if element.name in ("use", "image"):
            yield str(element.get("href", element.get("xlink:href", "")))
        yield from CSS_ADDRESS.findall(str(element.get("style", "")))
        if element.name == "style":
            yield from CSS_ADDRESS.findall(element.get_text())
