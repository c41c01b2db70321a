"""Sweep the study `resnet-beyond`.

ray job submit --working-dir . -- python jobs/tune_resnet_beyond.py
"""

from cifar_ray.tuning.command import tune_command

if __name__ == "__main__":
    tune_command("resnet-beyond")()
