"""Sweep a study of your own, defined by a file STUDY.toml beside this one.

ray job submit --working-dir . -- python jobs/tune_own.py STUDY
"""

from pathlib import Path

from cifar_ray.tuning.command import tune_own_command

if __name__ == "__main__":
    tune_own_command(Path(__file__).parent)()
