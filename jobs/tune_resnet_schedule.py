"""Sweep the study `resnet-schedule`.

ray job submit --working-dir . -- python jobs/tune_resnet_schedule.py
"""

from cifar_ray.tuning.command import tune_command

if __name__ == "__main__":
    tune_command("resnet-schedule")()
