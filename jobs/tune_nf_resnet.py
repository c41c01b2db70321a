"""Sweep the study `nf-resnet`.

ray job submit --working-dir . -- python jobs/tune_nf_resnet.py
"""

from cifar_ray.tuning.command import tune_command

if __name__ == "__main__":
    tune_command("nf-resnet")()
