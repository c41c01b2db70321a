"""What the end of a run says of skipped tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SKIPPING = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_page(number):
    pytest.skip("no browser is installed")

@pytest.mark.skipif(True, reason="torch sees no CUDA device here")
def test_gpu():
    pass

def test_another():
    pass
"""


def test_skipped_tests_are_counted_by_reason_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "test_all.py").write_text(SKIPPING)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "COLUMNS": "200", "PYTEST_ADDOPTS": ""}
    words = [sys.executable, "-m", "pytest", "-p", "not_tested", "-c", os.devnull, "--numprocesses", "1", str(tmp_path)]
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    title, *lines = done.stdout.splitlines()[-4:-1]
    assert " NOT TESTED " in title
    assert lines == ["3 skipped: no browser is installed", "1 skipped: torch sees no CUDA device here"]
