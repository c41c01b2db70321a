"""One trial's settings: what a search space is sampled into and a model is trained from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, asdict, dataclass, fields
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from cifar_ray.errors import ConfigurationError, UnknownNameError

Model = Literal["classic_cnn", "deep_cnn", "resnet", "nf_resnet", "speed_net"]
Optimizer = Literal["adam", "adamw", "sgd", "muon"]
Schedule = Literal["none", "steps", "cosine", "one_cycle", "triangular"]
Stem = Literal["cifar", "imagenet"]
Border = Literal["black", "reflected"]
RateScaling = Literal["none", "linear", "square_root"]
Averaging = Literal["none", "ema", "lookahead"]

MAX_EPOCHS = 10_000
BASE_BATCH_SIZE = 64
"""The report's batch size, to which rate scaling is relative."""

DEPTHS: Mapping[str, Sequence[int]] = {"deep_cnn": (2, 4, 6, 8), "resnet": (18, 34, 50), "nf_resnet": (18, 34)}
"""The depths that a model may have; models that are not named ignore it."""

ANY_SIZE = ("resnet", "nf_resnet", "speed_net")
"""Models that pool over whatever size their last convolutions leave."""


@dataclass(frozen=True)
class Setting:
    """Describes a field of TrialConfig beyond its type; other packages look it up in DESCRIPTIONS."""

    label: str = ""
    """Its name in tables, whose rows are in the order of the fields; without one it has no row."""
    _: KW_ONLY
    short: str = ""
    """Its name in the heading of a narrow column, where the label is too long."""
    models: Sequence[str] = ()
    """The networks that use it; empty if all do."""
    optimizers: Sequence[str] = ()
    """The optimisers that use it; empty if all do."""
    is_augmenting: bool = False
    """Whether it says how images are augmented, and so has no effect without augmentation."""
    is_method: bool = False
    """Whether it goes beyond the report; its default is then what the report does."""
    is_settable: bool = True
    """Whether `--setting` may change it: the budget sets the epochs, and another kind of network is another study."""
    is_adjustable: bool = False
    """Whether it may change during a training: weights and optimiser state then carry over as they are."""
    in_cohorts: bool = False
    """Whether training/cohort.py honours it; if not, a cohort study may not have it, and `--best-of` trains alone."""


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Every setting of one training run."""

    model: Annotated[Model, Setting("model", is_settable=False, in_cohorts=True)]
    max_epochs: Annotated[int, Setting(is_settable=False, in_cohorts=True)]
    """The most epochs this trial may train; schedules stretch over it."""
    depth: Annotated[int, Setting("depth", models=tuple(DEPTHS), is_settable=False)] = 18
    """Layers of a ResNet; convolutions of a deep CNN."""
    width: Annotated[int, Setting("width", models=("deep_cnn",), is_settable=False)] = 32
    """Channels of a deep CNN's first stage; each later stage has twice as many as the one before."""
    stem: Annotated[Stem, Setting(models=("resnet",), is_settable=False)] = "cifar"
    """First layer of a ResNet: 3x3 at stride 1 without pooling, or ImageNet's 7x7 at stride 2 with pooling."""
    block_depth: Annotated[int, Setting("convolutions of a block", models=("speed_net",), is_method=True)] = 2
    """Convolutions of each of a speed net's three blocks: 2, or 3 with a shortcut around the last two."""
    widening: Annotated[float, Setting("widening", models=("speed_net",), is_method=True)] = 1.0
    """Factor on a speed net's channels, which are 64, 256 and 256 at 1."""
    flip_equivariant: Annotated[
        bool, Setting("flip-equivariant", short="flip-eq.", models=("speed_net",), is_method=True)
    ] = False
    """A speed net's channels in mirrored pairs (Cohen and Welling, arXiv 1602.07576): a flipped image has the same
    logits."""
    optimizer: Annotated[Optimizer, Setting("optimiser", short="opt.", in_cohorts=True)]
    """`adamw` is Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101); `muon` orthogonalises the
    updates of convolutions (Jordan et al. 2024) and is SGD for all else."""
    learning_rate: Annotated[float, Setting("learning rate", short="rate", is_adjustable=True, in_cohorts=True)]
    """The initial rate; for `one_cycle` and `triangular` the peak."""
    schedule: Annotated[Schedule, Setting("schedule", short="sched.", in_cohorts=True)] = "none"
    batch_size: Annotated[int, Setting("batch size", in_cohorts=True)] = BASE_BATCH_SIZE
    rate_scaling: Annotated[RateScaling, Setting("rate scaling", is_method=True, in_cohorts=True)] = "none"
    """How the rate scales with batch size / 64: not at all, in proportion, or with its square root."""
    filter_rate: Annotated[float, Setting("filter rate", optimizers=("muon",), is_method=True, is_adjustable=True)] = (
        0.24
    )
    """For Muon only: the rate of the convolutions, whose updates have a scale of their own."""
    bias_rate: Annotated[
        float,
        Setting(
            "bias rate", models=("classic_cnn", "deep_cnn", "resnet", "speed_net"), is_method=True, in_cohorts=True
        ),
    ] = 1.0
    """For the biases of batch norm: factor on the learning rate, and divisor of the weight decay."""
    momentum: Annotated[float, Setting("momentum", optimizers=("sgd", "muon"), is_adjustable=True, in_cohorts=True)] = (
        0.9
    )
    """For SGD and Muon only. A `one_cycle` schedule takes it from 0.95 to 0.85 and back, as torch does by default."""
    nesterov: Annotated[bool, Setting("Nesterov", optimizers=("sgd", "muon"), is_method=True, in_cohorts=True)] = False
    """For SGD and Muon only."""
    weight_decay: Annotated[float, Setting("weight decay", short="decay", is_adjustable=True, in_cohorts=True)]
    decays_all: Annotated[bool, Setting("decays norms and biases", is_method=True, in_cohorts=True)] = True
    """Whether weight decay acts on norms and biases, too."""
    gradient_clipping: Annotated[float, Setting("gradient clipping", is_method=True, is_adjustable=True)] = 0.0
    """Adaptive: the most that the ratio of a unit's gradient norm to its weight norm may be (Brock et al., arXiv
    2102.06171); 0 clips nothing."""
    dropout: Annotated[float, Setting("dropout", short="drop", is_adjustable=True, in_cohorts=True)]
    """Dropout after each hidden dense layer (classic and deep CNN) or before the last layer (ResNets)."""
    label_smoothing: Annotated[float, Setting("label smoothing", is_method=True, is_adjustable=True)] = 0.0
    """Share of the target that is spread over all classes, in training only."""
    averaging: Annotated[Averaging, Setting("averaging", is_method=True, in_cohorts=True)] = "none"
    """Which average of the weights over the steps is validated and kept."""
    batch_norm: Annotated[
        bool, Setting("batch norm", short="norm", models=("classic_cnn", "deep_cnn"), in_cohorts=True)
    ] = False
    """Batch norm after each convolution of the classic or deep CNN; a ResNet always has it, an NF-ResNet never."""
    xavier: Annotated[bool, Setting("Xavier", short="Xav.", models=("classic_cnn",), in_cohorts=True)] = False
    """Xavier initialisation of the classic CNN's dense layers."""
    augmentation: Annotated[bool, Setting("augmentation", short="aug.", in_cohorts=True)] = False
    """Random crop, flip and rotation, drawn anew each epoch."""
    rotation: Annotated[bool, Setting("rotation", is_augmenting=True, is_method=True)] = True
    """Whether augmentation rotates images."""
    crop_padding: Annotated[int, Setting("crop padding", is_augmenting=True, is_method=True)] = 4
    """Pixels by which the random crop may extend beyond the image, on each side."""
    crop_border: Annotated[Border, Setting("crop border", is_augmenting=True, is_method=True)] = "black"
    """What the crop finds beyond the image."""
    alternating_flip: Annotated[bool, Setting("alternating flip", is_method=True)] = False
    """Augmentation flips an image every other epoch, instead of at random (Jordan, arXiv 2404.00498)."""
    cutout: Annotated[int, Setting("cutout", is_method=True, is_adjustable=True)] = 0
    """Side, in pixels, of the square that is blanked in each training image (DeVries and Taylor, arXiv 1708.04552)."""
    first_size: Annotated[
        int, Setting("images of the first epochs, pixels", short="first px", models=ANY_SIZE, is_method=True)
    ] = 32
    """Side, in pixels, that training images are shrunk to in the first two thirds of the epochs, after all other
    processing: progressive resizing (Tan and Le, arXiv 2104.00298). A single epoch's images are not shrunk."""
    mixup: Annotated[float, Setting("mixup", is_method=True, is_adjustable=True)] = 0.0
    """Alpha of the Beta distribution of the mixing share (Zhang et al., arXiv 1710.09412); 0 mixes nothing."""
    seed: Annotated[int, Setting("weight seed", short="seed", in_cohorts=True)] = 42
    """Seeds the initial weights and the dropout masks."""

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            _check_choice(name, getattr(self, name), allowed)
        if depths := DEPTHS.get(self.model):
            listed = ", ".join(map(str, depths))
            _check(self.depth in depths, "depth", self.depth, f"one of {listed} of a {self.model}; left out, it is 18")
        _check(1 <= self.max_epochs <= MAX_EPOCHS, "max_epochs", self.max_epochs, f"in [1, {MAX_EPOCHS}]")
        _check(2 <= self.batch_size <= 50_000, "batch_size", self.batch_size, "in [2, 50000]")
        _check(0 < self.learning_rate < float("inf"), "learning_rate", self.learning_rate, "above 0")
        _check(0 <= self.weight_decay < float("inf"), "weight_decay", self.weight_decay, "0 or above")
        _check(0 <= self.dropout < 1, "dropout", self.dropout, "in [0, 1)")
        _check(0 <= self.momentum < 1, "momentum", self.momentum, "in [0, 1)")
        _check(not self.nesterov or self.momentum > 0, "nesterov", self.nesterov, "False without momentum")
        _check(0 <= self.seed < 2**32, "seed", self.seed, "in [0, 2^32)")
        _check(0 <= self.crop_padding <= 4, "crop_padding", self.crop_padding, "in [0, 4]")
        _check(0 <= self.cutout <= 32, "cutout", self.cutout, "in [0, 32]")
        _check(0 <= self.mixup <= 1000, "mixup", self.mixup, "in [0, 1000]")
        _check(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "in [0, 1)")
        _check(0 < self.filter_rate < float("inf"), "filter_rate", self.filter_rate, "above 0")
        _check(0 < self.bias_rate < float("inf"), "bias_rate", self.bias_rate, "above 0")
        _check(0 <= self.gradient_clipping < float("inf"), "gradient_clipping", self.gradient_clipping, "0 or above")
        _check(1 <= self.width <= 1024, "width", self.width, "in [1, 1024]")
        _check_choice("block_depth", self.block_depth, (2, 3))
        _check(0.5 <= self.widening <= 8, "widening", self.widening, "in [0.5, 8]")
        if self.model != "speed_net":
            _check(self.block_depth == 2, "block_depth", self.block_depth, f"2 of a {self.model}")
            _check(self.widening == 1, "widening", self.widening, f"1 of a {self.model}")
            _check(not self.flip_equivariant, "flip_equivariant", True, f"False of a {self.model}")
        _check(16 <= self.first_size <= 32, "first_size", self.first_size, "in [16, 32]")
        if self.model not in ANY_SIZE:
            _check(self.first_size == 32, "first_size", self.first_size, f"32 of a {self.model}")
        needs_augmentation = "False without augmentation"
        _check(self.augmentation or not self.alternating_flip, "alternating_flip", True, needs_augmentation)

    def _check_effect(self, name: str) -> None:
        """ConfigurationError where the setting of that name would do nothing, or not what it says."""
        if why := self._why_idle(name):
            raise ConfigurationError(f"{name}={getattr(self, name)} would do nothing: {why}", f"leave out {name}")
        if name == "dropout" and self.model == "speed_net":
            _check(self.dropout == 0, "dropout", self.dropout, "0 of a speed_net")
        if name in ("momentum", "schedule") and self.schedule == "one_cycle":
            _check(self.momentum == 0.9, "momentum", self.momentum, "0.9 with one_cycle, which sets it")

    def _why_idle(self, name: str) -> str:
        """Why the setting has no effect with the others as they are; empty if it has one."""
        setting = DESCRIPTIONS[name]
        if self.optimizer not in (users := setting.optimizers or (self.optimizer,)):
            return f"it is of {', '.join(users)}, not of {self.optimizer}"
        if self.model not in (users := setting.models or (self.model,)):
            return f"it is of {', '.join(users)}, not of {self.model}"
        if setting.is_augmenting and not self.augmentation:
            return "there is no augmentation"
        if name == "bias_rate" and self.model in DESCRIPTIONS["batch_norm"].models and not self.batch_norm:
            return "there is no batch norm"
        if name == "first_size" and self.first_size < 32 and self.max_epochs == 1:
            return "a single epoch's images are not shrunk"
        if name == "decays_all" and not self.decays_all and self.weight_decay == 0:
            return "there is no weight decay"
        if name == "rate_scaling" and self.rate_scaling != "none" and self.batch_size == BASE_BATCH_SIZE:
            return f"the rate is for a batch of {BASE_BATCH_SIZE}, and scales from there"
        return ""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialConfig:
        """From plain JSON values; a missing or unknown setting raises ConfigurationError."""
        names = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise ConfigurationError(f"unknown trial settings: {', '.join(unknown)}")
        for name, value in values.items():
            # a bool is an int, too
            if (kind := _KINDS[name]) in (bool, int, float):
                is_kind = type(value) is kind or (kind is float and type(value) is int and abs(value) <= _MAX_WHOLE)
                is_whole = kind is float and type(value) is int
                _check(is_kind, name, value, "2^53 or less, if whole" if is_whole else _WANTED[kind])
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigurationError(f"not a trial configuration: {error}") from error


_KINDS = get_type_hints(TrialConfig)
_CHOICES = {name: get_args(kind) for name, kind in _KINDS.items() if get_origin(kind) is Literal}
_MAX_WHOLE = 2**53
"""A greater whole number may be no float at all, and would fail wherever it is written as one."""
_WANTED = {bool: "true, yes, false or no", int: "a whole number", float: "a number"}
DESCRIPTIONS: Mapping[str, Setting] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(TrialConfig, include_extras=True).items()
}
"""The description of each setting, by its name."""
DEFAULTS = {field.name: field.default for field in fields(TrialConfig) if field.default is not MISSING}
"""Of the settings that have one."""


def settings_where(is_so: Callable[[Setting], bool]) -> frozenset[str]:
    """The names of the settings for which `is_so` holds."""
    return frozenset(name for name, setting in DESCRIPTIONS.items() if is_so(setting))


NOT_SETTABLE = settings_where(lambda setting: not setting.is_settable)


def parse_setting(text: str) -> tuple[str, Any]:
    """Parse `name=value` into a setting's name and its value, of its type; ConfigurationError where it is no setting.

    The configuration that takes the value checks its range.
    """
    name, equals, value = text.partition("=")
    known = sorted(set(_KINDS) - NOT_SETTABLE)
    if name in NOT_SETTABLE or not equals:
        raise ConfigurationError(f"{text!r} sets nothing", f"take name=value, of {', '.join(known)}")
    if name not in known:
        raise UnknownNameError.of("setting", name, known)
    kind = _KINDS[name]
    if name in _CHOICES:
        _check_choice(name, value, _CHOICES[name])
    try:
        if kind is bool:
            return name, {"true": True, "yes": True, "false": False, "no": False}[value.lower()]
        return name, kind(value) if kind in (int, float) else value
    except (KeyError, ValueError):
        raise ConfigurationError(f"{name} is {value!r}", f"{name} must be {_WANTED[kind]}") from None


def _check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    _check(value in allowed, name, value, f"one of {', '.join(map(str, allowed))}")


def check_effects(configs: Sequence[TrialConfig], names: Collection[str]) -> None:
    """ConfigurationError where one of these settings has an effect in none of the configurations, or breaks a symmetry.

    Not meant for recorded configurations, as earlier versions accepted such settings, nor for settings that were drawn.
    """
    for name in names:
        refusals = []
        for config in configs:
            try:
                config._check_effect(name)
            except ConfigurationError as error:
                refusals.append(error)
        if configs and len(refusals) == len(configs):
            raise refusals[0]
    for config in configs if {"flip_equivariant", "first_size"} & {*names} else ():
        # only then are its pooling windows symmetric under a flip
        is_symmetric = not config.flip_equivariant or config.first_size % 8 == 0
        _check(is_symmetric, "first_size", config.first_size, "16, 24 or 32 with flip_equivariant")


def _check(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigurationError(f"{name} is {value!r}", f"{name} must be {wanted}")
