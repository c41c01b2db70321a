"""Builds the page: one HTML document with its own style and scripts and, as a file, with its data inside."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from cifar_ray.reporting.payload import to_json

SCRIPTS = (
    "core.js",
    "format.js",
    "chart.js",
    "table.js",
    "overview.js",
    "curves.js",
    "compare.js",
    "rungs.js",
    "parameters.js",
    "timeline.js",
    "findings.js",
    "sweep.js",
    "trial.js",
    "evaluation.js",
    "app.js",
)
"""In the order in which they build on each other."""

OWN_SERVER = "'self'"
"""What the live page may contact."""


def file_page(payload: Mapping[str, Any]) -> str:
    """The page with its data inside, which opens from disk and contacts nothing."""
    return _document(to_json(payload), connect="'none'")


@cache
def live_page() -> str:
    """The page that asks its own server for data."""
    return _document("null", connect=OWN_SERVER)


@cache
def content_policy(connect: str) -> str:
    """The page's Content-Security-Policy: its own scripts and style by checksum, and no other source."""
    scripts = " ".join(_checksum(text) for text in (_chart_library(), _application()))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {_checksum(_text('style.css'))}; img-src data:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def _document(payload: str, connect: str) -> str:
    parts = {
        "policy": content_policy(connect),
        "style": _text("style.css"),
        "library": _chart_library(),
        "application": _application(),
        # nothing in a record can end the script element
        "payload": payload.replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _text("index.html"))


@cache
def _application() -> str:
    """Our scripts as one, in a scope of its own."""
    return '"use strict";\n(() => {\n' + "\n".join(_text(name) for name in SCRIPTS) + "\n})();\n"


def _chart_library() -> str:
    return _text("vendor/echarts.min.js")


@cache
def _text(name: str) -> str:
    return (files("cifar_ray.reporting") / "page" / name).read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
