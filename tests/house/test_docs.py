"""What the documents tell a reader to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cifar_ray.cli.main import main

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "cifar-ray"
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "cluster").iterdir(),
    CHART / "README.md",
    CHART / "templates" / "NOTES.txt",
]
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in DOCUMENTS}
# a line that begins with the word, or code within a line
_COMMANDS = re.compile(r"(?:^(?:# )?|`|&& )(cifar-ray [a-z][^`#&]*?)(?=\s*(?:$|`|#|&&))", re.MULTILINE)
_SETTINGS = re.compile(r"--set\S* ((?:[\w-]|\\\.)+(?:\.(?:[\w\"/-]|\\\.)+)+)=")
_TARGETS = re.compile(r"(?:^|`)make ([a-z][a-z0-9-]*)", re.MULTILINE)
_LINKS = re.compile(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)")
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
DEFAULTS = {"studies": "studyDefaults", "workerGroups": "workerDefaults"}


def _found(pattern: re.Pattern[str]) -> list[Any]:
    pairs = {(name, found) for name, text in TEXTS.items() for found in pattern.findall(text.replace("\\\n", " "))}
    return [pytest.param(*pair, id=f"{pair[0]}: {pair[1]}") for pair in sorted(pairs)]


@pytest.mark.parametrize(("document", "command"), _found(_COMMANDS))
def test_a_command_is_one_that_there_is(document: str, command: str) -> None:
    words = shlex.split(re.sub(r"\{\{.*?\}\}", "--help", command).replace("…", ""))[1:]
    verb: click.Command = main
    while isinstance(verb, click.Group) and words and not words[0].startswith("-"):
        found = verb.get_command(click.Context(verb), name := words.pop(0))
        assert found is not None, f"{document}: no {name} in {verb.name}"
        verb = found
    known = {name for each in verb.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known, document


@pytest.mark.parametrize(("document", "key"), _found(_SETTINGS))
def test_a_value_that_is_set_is_one_of_the_charts(document: str, key: str) -> None:
    first, *rest = re.split(r"(?<!\\)\.", key.partition('"')[0].rstrip("."))
    found: Any = VALUES.get(first)
    if first in DEFAULTS:  # a map from names to what is said over the defaults
        assert rest.pop(0) in found or first == "workerGroups", document
        found = VALUES[DEFAULTS[first]]
    for part in rest:
        assert part in found, f"{document}: no {key} in values.yaml"
        found = found[part]


@pytest.mark.parametrize(("document", "target"), _found(_TARGETS))
def test_a_target_is_one_of_the_makefiles(document: str, target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), document


@pytest.mark.parametrize(("document", "link"), _found(_LINKS))
def test_a_link_leads_somewhere(document: str, link: str) -> None:
    assert (ROOT / document).parent.joinpath(link).exists()
