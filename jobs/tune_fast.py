"""Sweep the study `fast`.

ray job submit --working-dir . -- python jobs/tune_fast.py
"""

from cifar_ray.tuning.command import tune_command

if __name__ == "__main__":
    tune_command("fast")()
