import os
import subprocess
import sys
from pathlib import Path


def test_torchvision_loads_beside_this_torch() -> None:
    """In a process of its own, since an earlier import here would hide a failure."""
    code = "from cifar_ray.torchvision_import import torchvision; print(torchvision.models.resnet18.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "resnet18", done.stderr


def test_a_torchvision_that_brings_its_operators_keeps_them(tmp_path: Path) -> None:
    """A stand-in for a build whose extension loads: an operator declared before it would clash with its own."""
    (tmp_path / "torchvision.py").write_text(
        "import torch\n"
        "torch.library.define('torchvision::nms', '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n"
    )
    code = "from cifar_ray.torchvision_import import torchvision; print(torchvision.__file__)"
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=environ
    )
    assert done.stdout.strip() == str(tmp_path / "torchvision.py"), done.stderr
