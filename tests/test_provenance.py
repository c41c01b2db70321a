import subprocess
from pathlib import Path
from typing import Any

import pytest

from cifar_ray import provenance


def test_versions_hold_what_numbers_depend_on() -> None:
    versions = provenance.package_versions()
    packages = {"cifar-ray", "torch", "torchvision", "pytorch-lightning", "ray", "numpy", "pillow"}
    assert set(versions) == {"python", *packages}
    assert all(versions.values())


def test_the_commit_is_this_checkouts() -> None:
    here = Path(__file__).parent
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    assert str(provenance.source_commit()).removesuffix("-dirty") == done.stdout[:12]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit, from which the module is said to run."""
    (tmp_path / "provenance.py").write_text("one")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "provenance.py")
    git(tmp_path, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "--message", "one")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_tracked_files_that_differ_from_the_commit_are_told(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")[:12]
    assert provenance.source_commit() == head
    (checkout / "new.py").write_text("of no commit")
    assert provenance.source_commit() == head
    (checkout / "provenance.py").write_text("another")
    assert provenance.source_commit() == f"{head}-dirty"


def test_a_checkout_that_takes_too_long_to_compare_is_not_called_clean(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = subprocess.run

    def run_slowly(arguments: list[str], **options: Any) -> Any:
        if "status" in arguments:
            raise subprocess.TimeoutExpired(arguments, options["timeout"])
        return run(arguments, **options)

    head = git(checkout, "rev-parse", "HEAD")[:12]
    monkeypatch.setattr(subprocess, "run", run_slowly)
    assert provenance.source_commit() == f"{head}-dirty"


def test_a_copy_that_is_installed_in_another_projects_checkout_has_not_its_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / ".venv/cifar_ray"
    installed.mkdir(parents=True)
    (installed / "provenance.py").write_text("one")
    monkeypatch.setattr(provenance, "__file__", str(installed / "provenance.py"))
    assert provenance.source_commit() is None


def test_an_image_names_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFAR_RAY_COMMIT", "feedface")
    assert provenance.source_commit() == "feedface"
