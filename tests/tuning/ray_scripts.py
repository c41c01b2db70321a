"""Runs a Python script in a process of its own, where it may start a Ray of its own."""

import os
import subprocess
import sys

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Ray's own 15 leaves its processes hardly a fiftieth of a core beside tests that take both
    "RAY_worker_niceness": "0",
}


def run_script(script: str, *arguments: str, timeout_s: float = 120, **environ: str) -> str:
    """The script's standard output; fails where the script does. `environ` is added to the environment."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=os.environ | ENVIRONMENT | environ,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
