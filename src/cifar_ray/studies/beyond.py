"""Studies beyond the report's: what it left for later, and what has been found since."""

from __future__ import annotations

from cifar_ray.studies.published import CNN
from cifar_ray.studies.space import Choice, LogUniform
from cifar_ray.studies.study import Budget, Study

_MODERN = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "nesterov": True,
    "batch_size": 128,
    "schedule": "one_cycle",
    "augmentation": True,
    # crop and flip only, as in He et al. (2016)
    "rotation": False,
    "seed": 42,
}

CNN_EMA = Study(
    name="cnn-ema",
    title="Classic CNN, its weights averaged",
    # the report's space, with the averaging that a rate without a schedule calls for (docs/methods.md)
    space=CNN.space,
    fixed={**CNN.fixed, "averaging": "ema"},
    # twice the trials, one in eight going on, and six epochs fewer: about five minutes on two cores (docs/methods.md)
    budget=Budget(num_trials=60, max_epochs=24, reduction_factor=8),
    accelerators_per_trial=CNN.accelerators_per_trial,
    is_cohort=True,
)

CNN_DEPTH = Study(
    name="cnn-depth",
    title="Classic CNN of searched depth and width",
    # the report compares ResNets with a CNN of two convolutions: here it may grow to what two cores train in an hour
    space={
        "depth": Choice((4, 6, 8)),
        "width": Choice((24, 32)),
        "learning_rate": LogUniform(3e-2, 3e-1),
        "weight_decay": LogUniform(2e-4, 2e-3),
        "dropout": Choice((0.0, 0.1, 0.3)),
        "label_smoothing": Choice((0.0, 0.1)),
    },
    fixed={
        **_MODERN,
        "model": "deep_cnn",
        "batch_norm": True,
        "crop_padding": 2,
        "crop_border": "reflected",
        "alternating_flip": True,
    },
    # no trial is cut, as nothing can be judged before a one-cycle schedule has decayed: short full trainings choose
    # which configurations the finals train for longer (docs/methods.md)
    budget=Budget(num_trials=16, max_epochs=5, grace_period=5),
    accelerators_per_trial=0.5,
    finalists=2,
    seeds=2,
    final_epochs=16,
)

RESNET_BEYOND = Study(
    name="resnet-beyond",
    title="ResNet with newer methods",
    space={
        "depth": Choice((18, 34, 50)),
        "learning_rate": LogUniform(2e-2, 5e-1),
        "weight_decay": LogUniform(1e-4, 2e-3),
        "label_smoothing": Choice((0.0, 0.1)),
        "mixup": Choice((0.0, 0.2)),
        "cutout": Choice((0, 8, 16)),
        "averaging": Choice(("none", "ema")),
        "decays_all": Choice((False, True)),
    },
    fixed={"model": "resnet", "stem": "cifar", "dropout": 0.0, **_MODERN},
    # no trial is cut: until a one-cycle schedule has decayed, the order says little of the final one (docs/methods.md)
    budget=Budget(num_trials=16, max_epochs=50, grace_period=50),
    accelerators_per_trial=1.0,
)

NF_RESNET = Study(
    name="nf-resnet",
    title="ResNet without normalisation",
    space={
        "depth": Choice((18, 34)),
        "learning_rate": LogUniform(2e-2, 5e-1),
        "weight_decay": LogUniform(1e-5, 5e-4),
        "gradient_clipping": Choice((0.01, 0.04, 0.16)),
        "dropout": Choice((0.0, 0.1, 0.3)),
        "cutout": Choice((0, 8, 16)),
    },
    fixed={"model": "nf_resnet", "decays_all": False, **_MODERN},
    # no trial is cut, as in RESNET_BEYOND
    budget=Budget(num_trials=16, max_epochs=50, grace_period=50),
    accelerators_per_trial=1.0,
)

FAST = Study(
    name="fast",
    title="The speed runs' network",
    # around the values of arXiv 2404.00498, converted from sums over a batch of 1,024 to means over half of it
    space={
        "learning_rate": LogUniform(0.35, 1.5),
        "filter_rate": LogUniform(0.06, 0.24),
        "weight_decay": LogUniform(5e-4, 3e-3),
        "bias_rate": Choice((16.0, 64.0)),
        "label_smoothing": Choice((0.1, 0.2)),
        "averaging": Choice(("none", "lookahead")),
    },
    fixed={
        **_MODERN,
        "model": "speed_net",
        "optimizer": "muon",
        "momentum": 0.85,
        "batch_size": 512,
        "schedule": "triangular",
        "crop_padding": 2,
        "crop_border": "reflected",
        "alternating_flip": True,
        "dropout": 0.0,
        # of a size between the paper's two networks, with channels in mirrored pairs (docs/methods.md)
        "block_depth": 3,
        "widening": 1.25,
        "flip_equivariant": True,
        "cutout": 10,
        "first_size": 24,
    },
    # no trial is cut, as in CNN_DEPTH
    budget=Budget(num_trials=8, max_epochs=3, grace_period=3),
    accelerators_per_trial=1.0,
    finalists=2,
    seeds=2,
    final_epochs=8,
)
