"""The report's three studies as data, its results beside them."""

from __future__ import annotations

from cifar_ray.studies.space import Choice, LogUniform, SearchSpace
from cifar_ray.studies.study import Budget, PublishedResult, Study

# The report gives ranges without their scale; rates and decays are drawn log-uniformly (docs/decisions/).
LEARNING_RATE = LogUniform(1e-4, 1e-2)
WEIGHT_DECAY = LogUniform(1e-3, 1e-2)
ON_OR_OFF = Choice((False, True))

_SHARED: SearchSpace = {
    "learning_rate": LEARNING_RATE,
    "optimizer": Choice(("adam", "sgd")),
    "weight_decay": WEIGHT_DECAY,
    "augmentation": ON_OR_OFF,
}

CNN = Study(
    name="cnn",
    title="Classic CNN",
    space={
        **_SHARED,
        "dropout": Choice((0.1, 0.3, 0.5)),
        "batch_norm": ON_OR_OFF,
        "xavier": ON_OR_OFF,
        "seed": Choice((7, 42, 77)),
    },
    fixed={"model": "classic_cnn", "momentum": 0.9, "batch_size": 64, "schedule": "none"},
    budget=Budget(num_trials=30, max_epochs=30),
    accelerators_per_trial=0.25,
    is_cohort=True,
    published=PublishedResult(
        column="CNN",
        validation_accuracy=0.671,
        test_accuracy=0.644,
        accuracy_by_class={
            "airplane": 0.770,
            "automobile": 0.652,
            "bird": 0.524,
            "cat": 0.415,
            "deer": 0.624,
            "dog": 0.602,
            "frog": 0.801,
            "horse": 0.638,
            "ship": 0.720,
            "truck": 0.692,
        },
        winner={
            "optimizer": "sgd",
            "learning_rate": 0.0039,
            "momentum": 0.9,
            "weight_decay": 0.006,
            "dropout": 0.1,
            "batch_norm": False,
            "xavier": False,
            "augmentation": False,
        },
        epoch=27,
    ),
)

RESNET = Study(
    name="resnet",
    title="ResNet",
    space={
        **_SHARED,
        "dropout": Choice((0.1, 0.3, 0.5)),
        "seed": Choice((7, 42, 77)),
        "depth": Choice((18, 34)),
    },
    fixed={"model": "resnet", "momentum": 0.9, "batch_size": 64, "stem": "cifar", "schedule": "none"},
    budget=Budget(num_trials=30, max_epochs=30),
    accelerators_per_trial=1.0,
    published=PublishedResult(
        column="ResNet",
        validation_accuracy=0.876,
        test_accuracy=0.878,
        accuracy_by_class={
            "airplane": 0.838,
            "automobile": 0.922,
            "bird": 0.851,
            "cat": 0.791,
            "deer": 0.879,
            "dog": 0.748,
            "frog": 0.928,
            "horse": 0.934,
            "ship": 0.945,
            "truck": 0.941,
        },
        winner={
            "depth": 34,
            "optimizer": "adam",
            "learning_rate": 0.0001,
            "weight_decay": 0.0024,
            "dropout": 0.3,
            "augmentation": True,
        },
        epoch=28,
    ),
)

RESNET_SCHEDULE = Study(
    name="resnet-schedule",
    title="ResNet with a learning-rate schedule",
    # The report searched dropout, and its winner had none: so 0 is among the values.
    space={**_SHARED, "dropout": Choice((0.0, 0.1, 0.3, 0.5))},
    fixed={
        "model": "resnet",
        "depth": 34,
        "momentum": 0.9,
        "batch_size": 64,
        "stem": "cifar",
        "schedule": "steps",
        "seed": 42,
    },
    budget=Budget(num_trials=10, max_epochs=50),
    accelerators_per_trial=1.0,
    published=PublishedResult(
        column="ResNet + schedule",
        validation_accuracy=0.927,
        test_accuracy=0.9237,
        accuracy_by_class={
            "airplane": 0.930,
            "automobile": 0.964,
            "bird": 0.881,
            "cat": 0.842,
            "deer": 0.929,
            "dog": 0.879,
            "frog": 0.945,
            "horse": 0.954,
            "ship": 0.956,
            "truck": 0.957,
        },
        winner={
            "optimizer": "sgd",
            "learning_rate": 0.002,
            "weight_decay": 0.005,
            "augmentation": True,
            "dropout": 0.0,
        },
        epoch=None,
    ),
)
