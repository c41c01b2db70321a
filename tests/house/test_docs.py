"""What the documents tell a reader to type exists."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cifar_ray.cli.main import main
from cifar_ray.studies.study_file import parse_study

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
_ANCHORS = re.compile(r"\]\((?!http)([^)#]*)#([^)]+)\)")
_HEADINGS = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SCORED_ROWS = re.compile(r"^\| \[[^]]+\]\((\S+)/report/table\.md\) .*$", re.MULTILINE)
_SCORES = re.compile(r"(\d+\.\d\d) % \((\d+\.\d\d) to (\d+\.\d\d)\)")
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


@pytest.mark.parametrize(("document", "link"), _found(_ANCHORS))
def test_an_anchor_is_a_heading(document: str, link: tuple[str, str]) -> None:
    path, anchor = link
    text = (ROOT / document).parent.joinpath(path).read_text() if path else TEXTS[document]
    # as GitHub makes them of a heading's text, without the targets of its links
    headings = [re.sub(r"\]\([^)]*\)", "", each).lower() for each in _HEADINGS.findall(text)]
    assert anchor in {re.sub(r"[^\w\- ]", "", each).replace(" ", "-") for each in headings}


def _score(folder: Path) -> tuple[str, str, str]:
    scores = json.loads((folder / "evaluation" / "test_scores.json").read_text())
    accuracy, low, high = (f"{100 * share:.2f}" for share in (scores["accuracy"], *scores["accuracy_interval"]))
    return accuracy, low, high


@pytest.mark.parametrize("row", list(_SCORED_ROWS.finditer(TEXTS["docs/results/README.md"])), ids=lambda row: row[1])
def test_a_row_of_results_has_the_score_of_its_record(row: re.Match[str]) -> None:
    assert _score(ROOT / "docs" / "results" / row[1]) in _SCORES.findall(row[0])


def test_the_readmes_scores_are_of_records() -> None:
    known = {_score(path.parents[1]) for path in (ROOT / "docs" / "results").glob("*/evaluation/test_scores.json")}
    found = _SCORES.findall(TEXTS["README.md"])
    assert found
    assert set(found) <= known


def test_the_study_in_extending_is_one() -> None:
    text = re.search(r"```toml\n(.*?)```", TEXTS["docs/extending.md"], re.DOTALL)
    assert text is not None
    study = parse_study("narrow-cnn", text[1])
    assert len(study.sample(0)) == study.budget.num_trials
