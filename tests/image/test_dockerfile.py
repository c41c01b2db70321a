"""The image's recipe: linted, safe, small, and its install steps done for real in a fresh virtual environment."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from dockerfile import DOCKERFILE, ROOT, Instruction, arguments, instructions, stages

CHART = ROOT / "helm" / "cifar-ray"
JOBS = sorted(path.name for path in (ROOT / "jobs").glob("*.py"))
(SHELL,) = (json.loads(each.text) for each in instructions() if each.word == "SHELL")


def test_hadolint_finds_nothing() -> None:
    beside_python = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside_python) if beside_python.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not on PATH")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_it_builds_on_rays_own_image_by_digest_if_one_is_given() -> None:
    (_, base, build, final) = stages()
    assert base[0].text == "rayproject/ray:${RAY_VERSION}-${PYTHON}-${VARIANT}${RAY_DIGEST} AS ray"
    assert (build[0].text, final[0].text) == ("ray AS build", "ray")
    assert (arguments()["VARIANT"], arguments()["RAY_DIGEST"]) == ("gpu", "")


def test_nothing_in_it_is_done_by_root() -> None:
    assert [each.text for each in instructions() if each.word == "USER"] == ["1000:100"]
    assert not re.search(r"\bsudo\b|\bADD\b", DOCKERFILE.read_text())
    for each in instructions():
        if each.word == "COPY":
            assert each.flags.get("chown") == "1000:100"


def test_every_install_heeds_the_constraints() -> None:
    installs = [each.text for each in instructions() if each.word == "RUN" and "pip install" in each.text]
    assert len(installs) == 3
    for text in installs:
        assert "constraints.txt" in text or "--no-deps" in text


@pytest.mark.parametrize(("variant", "index"), [("gpu", ""), ("cpu", "https://download.pytorch.org/whl/cpu")])
def test_the_variant_says_where_torch_comes_from(variant: str, index: str) -> None:
    (install,) = (each.rest for each in instructions() if each.word == "RUN" and "--requirement" in each.text)
    shown = 'pip() { echo "${PIP_EXTRA_INDEX_URL-}"; }; ' + install
    env = {"PATH": os.environ["PATH"], "VARIANT": variant}
    done = subprocess.run([*SHELL, shown], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{index}\n"


def test_the_chart_finds_the_user_and_the_jobs_where_it_looks() -> None:
    (folder,) = (each.text for each in instructions() if each.word == "WORKDIR")
    (jobs,) = (each.rest for each in stages()[-1] if each.word == "COPY")
    (user,) = (each.text for each in instructions() if each.word == "USER")
    security = yaml.safe_load((CHART / "values.yaml").read_text())["security"]
    assert f"\nworkingDir: {folder}\n" in (CHART / "templates" / "_pod.tpl").read_text()
    assert jobs == f"jobs {folder}/jobs"
    assert f'"{folder}/jobs"' in (CHART / "templates" / "rayjobs.yaml").read_text()
    assert user == f"{security['runAsUser']}:{security['runAsGroup']}"


def test_it_carries_the_labels_that_registries_read() -> None:
    assert any(each.word == "ENV" and each.text == "CIFAR_RAY_COMMIT=${REVISION}" for each in instructions())
    (label,) = (each.text for each in instructions() if each.word == "LABEL")
    for name in ("title", "description", "version", "revision", "licenses", "base.name"):
        assert f"org.opencontainers.image.{name}=" in label


def test_what_is_copied_is_let_into_the_context_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {name for each in instructions() if each.word == "COPY" for name in each.rest.split()[:-1]}
    assert "*" in lines
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    assert any(fnmatch.fnmatch("src/cifar_ray/__pycache__", line.replace("**/", "*/")) for line in lines)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of `ray` made by the Dockerfile's steps, in a virtual environment that stands for Ray's own Python."""
    root = tmp_path_factory.mktemp("image")
    venv = root / "venv"
    # Ray brings virtualenv; `python -m venv` takes 15 s longer
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", str(venv)], check=True, timeout=120)
    (root / "home").mkdir()
    for stage in stages()[2:]:
        # an argument from before the first FROM is unset in a stage that does not name it
        declared: dict[str, str] = {}
        for each in stage:
            if each.word == "ARG":
                name = each.text.partition("=")[0]
                declared[name] = arguments()[name]
            elif each.word == "COPY":
                _copy(each, root)
            elif each.word == "RUN":
                _run(each, root, declared)
    yield root
    # 1.8 GB, and pytest keeps the folders of three runs
    shutil.rmtree(root)


def _here(text: str, root: Path) -> str:
    return text.replace("/home/ray", f"{root}/home").replace("/tmp/build", f"{root}/mounts")


def _copy(instruction: Instruction, root: Path) -> None:
    *sources, target = instruction.rest.split()
    folder = Path(_here(target, root))
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, folder)


def _run(instruction: Instruction, root: Path, declared: dict[str, str]) -> None:
    for source, target in re.findall(r"--mount=type=bind,from=build,source=(\S+),target=(\S+)", instruction.text):
        link = Path(_here(target, root))
        link.parent.mkdir(exist_ok=True)
        if not link.exists():
            link.symlink_to(_here(source, root))
    hidden = ("PYTHON", "VIRTUAL_ENV", *arguments())
    keep = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    path = f"{root / 'venv' / 'bin'}:{os.environ['PATH']}"
    # the GPU variant takes torch from PyPI's index, as `make install` does; compiling would only cost time
    ours = {"PATH": path, "PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | declared
    command = [*SHELL, _here(instruction.rest, root)]
    done = subprocess.run(command, env=keep | ours, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{instruction.rest}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.image
def test_its_steps_install_a_cifar_ray_that_works(replayed: Path) -> None:
    python = str(replayed / "venv" / "bin" / "python")
    where = "import cifar_ray, importlib.metadata as m; print(cifar_ray.__file__, m.version('cifar-ray'))"
    found = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True, cwd=replayed).stdout
    assert found.startswith(str(replayed / "venv")), "installed, not a checkout"
    assert found.split()[1] in DOCKERFILE.read_text()
    page = "from cifar_ray.reporting.html import live_page; print(len(live_page()))"
    drawn = subprocess.run([python, "-c", page], capture_output=True, text=True, check=True, cwd=replayed).stdout
    assert int(drawn) > 500_000, "with the library that draws"
    jobs = replayed / "home" / "cifar-ray" / "jobs"
    assert sorted(path.name for path in jobs.glob("*.py")) == JOBS

    def ask(job: str) -> str:
        command = [python, str(jobs / job), "--help"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with ThreadPoolExecutor() as pool:
        answers = dict(zip(JOBS, pool.map(ask, JOBS), strict=True))
    assert {job for job, text in answers.items() if "--start-or-resume" in text} == {*JOBS} - {"evaluate_best.py"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.image
def test_it_has_the_versions_of_the_constraints(replayed: Path) -> None:
    pip = [str(replayed / "venv" / "bin" / "python"), "-m", "pip", "freeze"]
    frozen = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"^([\w.-]+)==([^+\s]+)", frozen, re.MULTILINE))
    wanted = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert found["ray"] == arguments()["RAY_VERSION"]
    assert {name: version for name, version in found.items() if wanted.get(name, version) != version} == {}
    assert "pytest" not in found
