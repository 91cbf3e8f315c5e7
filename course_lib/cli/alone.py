"""Make a page that stands alone: one HTML file that asks for nothing from anywhere.

Only the page's own program and style may act on it: a Content-Security-Policy names both
by their SHA-256. The model's page and the site's live widgets are such files.
"""

import base64
import hashlib
import json
import os
import re
from pathlib import Path


def fingerprint(code: str) -> str:
    """Name code as a Content-Security-Policy names what may run: by its SHA-256."""
    digest = hashlib.sha256(code.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def policy(code: str, look: str, workers: bool = False) -> str:
    """Allow a page this one program and this one style sheet, and nothing else.

    With workers, the program may also start others that it makes itself.
    """
    rules = [
        "default-src 'none'",
        f"script-src '{fingerprint(code)}'" + " blob:" * workers,
        f"style-src '{fingerprint(look)}'",
        *["worker-src blob:"] * workers,
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join(rules)


def data(facts: dict) -> str:
    """Write facts as JSON in which no text can end the element that holds it."""
    return json.dumps(facts).replace("<", "\\u003c")


def text(raw: bytes) -> str:
    """Write bytes as base64."""
    return base64.b64encode(raw).decode("ascii")


def filled(template: str, words: dict[str, str]) -> str:
    """Put each word in its place in a template: {{ name }}."""
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: words[found[1]], template)


def write(path: Path, page: str) -> int:
    """Write a page whole or not at all; how many bytes it has."""
    written = page.encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(written)
    os.replace(part, path)
    return len(written)
