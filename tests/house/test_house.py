"""What the layout promises."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cifar_ray.cli.main import main

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_every_module_states_its_duty_and_stays_readable(path: Path) -> None:
    text = path.read_text()
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert text.count("\n") < 300


@pytest.mark.fault("the clock jumps")
def test_nothing_is_timed_by_the_clock_of_the_day() -> None:
    """It may be put back. Its readers only write down when something was."""
    readers = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and re.fullmatch(
                r"time\.time(_ns)?|(datetime\.)?date(time)?\.(now|utcnow|today)", ast.unparse(node.func)
            ):
                readers.add(str(path.relative_to(ROOT / "src/cifar_ray")))
    assert readers == {"provenance.py", "storage/layout.py"}


def test_jobs_are_thin() -> None:
    for path in (ROOT / "jobs").glob("*.py"):
        assert path.read_text().count("\n") <= 45, path.name


LAPTOP = ("cli.main", "cli.cluster", "submission.waiting", "reporting.document", "storage.runs", "cluster.local")


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        *((f"cifar_ray.{each}", "torch") for each in (*LAPTOP, "cluster.on_kubernetes.doctor", "planning.planner")),
        # Ray reads its token's variables when it is loaded, and a command may have to set them first
        ("cifar_ray.cli.job", "ray"),
        # half a second and a hundred megabytes, of which an engine needs nothing
        ("cifar_ray.tuning.engine", "ray.tune"),
        # drivers train nothing and score nothing, and start three seconds sooner
        ("cifar_ray.tuning.command", "torch"),
        ("cifar_ray.tuning.remote", "torch"),
        ("runpy; runpy.run_path('jobs/evaluate_best.py')", "torch"),
        ("cifar_ray.training.trial, cifar_ray.evaluation.scoring", "ray"),
    ],
)
def test_modules_load_without(modules: str, unwanted: str) -> None:
    code = f"import sys, {modules}; sys.exit({unwanted!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_every_requirement_is_pinned() -> None:
    project = PROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    pinned = {normal(name) for name in CONSTRAINTS}
    names = {normal(re.split(r"[\[<>=!~ ]", requirement)[0]) for requirement in wanted} - {"cifar-ray"}
    assert names <= pinned


def test_top_level_is_the_fixed_one() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    top = {line.partition("/")[0] for line in done.stdout.splitlines()}
    assert top <= {
        *("src", "jobs", "tests", "cluster", "helm", "docs", "benchmarks", ".ci"),
        *("Dockerfile", "Makefile", "pyproject.toml", "constraints.txt", ".gitignore", ".dockerignore"),
        *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
    }


def commands(group: click.Group) -> Iterator[click.Command]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield from commands(command) if isinstance(command, click.Group) else [command]


def test_what_commands_leave_in_a_checkout_is_ignored() -> None:
    """`ray job submit --working-dir .` uploads all that git does not ignore."""
    options = [each for command in commands(main) for each in command.params if isinstance(each.default, Path)]
    left = [
        f"{each.default}/x" if isinstance(each.type, click.Path) and not each.type.file_okay else str(each.default)
        for each in options
    ]
    assert {"results/x", "exports/x", "plan.png", "demo-results/x"} <= set(left)
    done = subprocess.run(["git", "check-ignore", *left], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        pytest.skip("not a git checkout")
    assert done.stdout.splitlines() == left


def test_shell_scripts_parse() -> None:
    scripts = [*(ROOT / "helm").rglob("*.sh"), *(ROOT / "tests").rglob("*.sh")]
    assert scripts
    for path in scripts:
        subprocess.run(["bash", "-n", path], check=True)
