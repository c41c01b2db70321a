"""Writes the README's table of values from the comments in values.yaml: python tests/helm/values_table.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from chart import FOLDER, load_yaml

README = FOLDER / "README.md"
START, END = "<!-- values: python tests/helm/values_table.py -->\n", "<!-- end of values -->\n"
_LINE = re.compile(r"(?P<indent> *)(?:# (?P<comment>.*)|(?P<key>[\w.-]+):.*)")


def leaves(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value that has no named values below, with its path."""
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from leaves(value, f"{path}.{name}" if path else name)
    else:
        yield path, values


def comments(text: str) -> dict[str, str]:
    """What the comments above each key say, by the key's path; of a key without, what those of its parent say."""
    found: dict[str, str] = {}
    path: list[str] = []
    said: list[str] = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            said = []
        elif match["comment"]:
            said.append(match["comment"])
        else:
            path = [*path[: len(match["indent"]) // 2], match["key"]]
            found[".".join(path)] = " ".join(said) or found.get(".".join(path[:-1]), "")
            said = []
    return found


def table() -> str:
    """The table, in Markdown."""
    text = (FOLDER / "values.yaml").read_text()
    said = comments(text)
    rows = [f"| `{path}` | `{json.dumps(value)}` | {said[path]} |\n" for path, value in leaves(load_yaml(text))]
    return "".join(["| value | default | what it does |\n", "|---|---|---|\n", *rows])


def with_table(readme: str) -> str:
    """The README with the table as it should be."""
    before, rest = readme.split(START)
    return f"{before}{START}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
