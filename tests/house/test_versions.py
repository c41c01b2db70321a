"""One Ray and one Python, wherever they are named."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import cifar_ray

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CHART = ROOT / "helm" / "cifar-ray"
(RAY,) = re.findall(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
PYTHON = PYPROJECT["tool"]["mypy"]["python_version"]
PLACES = [ROOT / "Dockerfile", *(ROOT / "cluster").iterdir(), *CHART.rglob("*.*"), *(ROOT / "docs").glob("*.md")]
TEXTS = [path for path in [*PLACES, ROOT / "README.md"] if path.is_file()]
# ray==2.60.0, ray[default]==2.60.0, rayproject/ray:2.60.0, 0.1.0-ray2.60.0, rayVersion: 2.60.0, RAY_VERSION=2.60.0
_RAYS = re.compile(r"(?:\bray(?:\[[\w,]+\])?==|/ray:|-ray|rayVersion:\s*[\"']?|RAY_VERSION=)(\d+\.\d+\.\d+)")
# py311, python3.11, python:3.11, Python 3.11
_PYTHONS = re.compile(r"\bpy3(\d{2})\b|\bpython[: ]?3\.(\d+)", re.IGNORECASE)
# cifar-ray:0.1.0-ray2.60.0
_TAGS = re.compile(r"/cifar-ray:(\d+\.\d+\.\d+)")


def _naming(pattern: re.Pattern[str]) -> set[str]:
    return {path.name for path in TEXTS if pattern.search(path.read_text())}


def test_the_places_that_name_versions_are_found() -> None:
    specs = {"raycluster.gpu.yaml", "aws.gpu.yaml", "onprem.gpu.yaml", "kubernetes.md"}
    assert {"Dockerfile", "values.yaml", *specs} <= _naming(_RAYS)
    assert {"Dockerfile", "README.md"} <= _naming(_PYTHONS)
    assert {"Dockerfile", *specs} <= _naming(_TAGS)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_one_ray_and_one_python(path: Path) -> None:
    text = path.read_text()
    assert set(_RAYS.findall(text)) <= {RAY}
    assert {f"3.{''.join(each)}" for each in _PYTHONS.findall(text)} <= {PYTHON}
    assert set(_TAGS.findall(text)) <= {PYPROJECT["project"]["version"]}


def test_the_project_asks_for_that_ray_and_that_python() -> None:
    (ray,) = (each for each in PYPROJECT["project"]["dependencies"] if each.startswith("ray["))
    assert f">={RAY.rpartition('.')[0]}," in ray
    first, _, bound = PYPROJECT["project"]["requires-python"].partition(",<3.")
    assert first == f">={PYTHON}"
    for name in ("README.md", "Makefile"):
        assert f"{PYTHON} to 3.{int(bound) - 1}" in (ROOT / name).read_text()
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{PYTHON.replace('.', '')}"


def test_the_chart_is_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == PYPROJECT["project"]["version"]
    assert yaml.safe_load((CHART / "values.yaml").read_text())["rayVersion"] == RAY


def test_the_package_says_its_version() -> None:
    assert cifar_ray.__version__ == PYPROJECT["project"]["version"]
