"""Sweep the study `cnn-ema`.

ray job submit --working-dir . -- python jobs/tune_cnn_ema.py
"""

from cifar_ray.tuning.command import tune_command

if __name__ == "__main__":
    tune_command("cnn-ema")()
