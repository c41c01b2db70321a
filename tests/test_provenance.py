import subprocess
from pathlib import Path

import pytest

from cifar_ray import provenance


def test_versions_hold_what_numbers_depend_on() -> None:
    versions = provenance.package_versions()
    assert {"python", "cifar-ray", "torch", "torchvision", "pytorch-lightning", "ray"} <= set(versions)


def test_the_commit_is_this_checkouts() -> None:
    here = Path(__file__).parent
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    assert str(provenance.source_commit()).removesuffix("-dirty") == done.stdout[:12]


def test_an_image_names_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFAR_RAY_COMMIT", "feedface")
    assert provenance.source_commit() == "feedface"
