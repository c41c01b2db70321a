import re
from pathlib import Path

import pytest

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies import Choice, LogUniform, Range, as_defined, get_study
from cifar_ray.studies.study import Budget
from cifar_ray.studies.study_file import parse_study, read_study, study_files

OWN = """\
title = "Mine"

[budget]
num_trials = 4
max_epochs = 3

[space]
learning_rate = { log_uniform = [1e-2, 1] }
dropout = [0.0, 0.25]

[fixed]
model = "classic_cnn"
optimizer = "sgd"
weight_decay = 0
batch_size = 32
"""


def test_a_file_is_a_study(tmp_path: Path) -> None:
    path = tmp_path / "my-own.toml"
    path.write_text(OWN)
    study = read_study(path)
    assert (study.name, study.title, study.definition) == ("my-own", "Mine", OWN)
    assert study.space == {"learning_rate": LogUniform(0.01, 1), "dropout": Choice((0.0, 0.25))}
    assert study.fixed == {"model": "classic_cnn", "optimizer": "sgd", "weight_decay": 0, "batch_size": 32}
    assert study.budget == Budget(num_trials=4, max_epochs=3)
    assert (study.accelerators_per_trial, study.published) == (1, None)
    assert [config.max_epochs for config in study.sample(0)] == [3] * 4


def test_what_a_file_may_say_beyond_that() -> None:
    more = ['searcher = "tpe"', "is_cohort = true", "accelerators_per_trial = 0.5"]
    more += ["finalists = 2", "seeds = 3", "final_epochs = 9"]
    study = parse_study("mine", "\n".join([*more, OWN]))
    assert (study.searcher, study.is_cohort, study.accelerators_per_trial) == ("tpe", True, 0.5)
    assert (study.finalists, study.seeds, study.final_epochs) == (2, 3, 9)


def test_a_setting_may_be_for_the_finals_alone() -> None:
    """The search has one epoch, in which no image is shrunk."""
    own = OWN.replace("max_epochs = 3", "max_epochs = 1").replace('"classic_cnn"', '"resnet"\nfirst_size = 24')
    assert parse_study("mine", f"finalists = 2\nseeds = 3\nfinal_epochs = 9\n{own}").fixed["first_size"] == 24
    with pytest.raises(ConfigurationError, match="a single epoch's images are not shrunk"):
        parse_study("mine", own)


@pytest.mark.parametrize(
    ("line", "instead", "says"),
    [
        ("num_trials = 4", f"num_trials = {'9' * 5000}", "it is not TOML: Exceeds the limit"),
        ("[space]", "[space", "it is not TOML: .*line 7"),
        ("[space]", "x = " + "[" * 5000, "it is not TOML"),
        ('title = "Mine"', 'title = "Mine"\nname = "other"', "name is not for a file to say"),
        ('title = "Mine"', 'title = "Mine"\npublished = 1', "published is not for a file to say"),
        ('title = "Mine"', 'title = "Mine"\ndefinition = ""', "definition is not for a file to say"),
        ("[space]", "[spaces]", "spaces: Unexpected"),
        ("[fixed]\n", "[[fixed]]\n", r"fixed is \[{"),
        ('title = "Mine"', 'title = "Mine"\nfinalists = 1', "seeds: 0 is out of range"),
        ('title = "Mine"', 'title = "Mine"\naccelerators_per_trial = 2', "2 accelerators per trial are out of range"),
        ('title = "Mine"', 'title = "Mine"\naccelerators_per_trial = 0', "0 accelerators per trial are out of range"),
        (
            'title = "Mine"',
            'title = "Mine"\naccelerators_per_trial = 5e-5',
            "5e-05 accelerators per trial are out of range",
        ),
        ("num_trials = 4", 'num_trials = "4"', r"budget.num_trials: Input should be a valid integer"),
        ("num_trials = 4", "num_trials = 0", "trials: 0 is out of range"),
        ("dropout = [0.0, 0.25]", "dropout = []", r"dropout is \[\]"),
        ("dropout = [0.0, 0.25]", "dropout = 0.25", "dropout is 0.25"),
        ("dropout = [0.0, 0.25]", f"dropout = {[0.25] * 200 + [2.5]}", "dropout is 2.5"),
        ("dropout = [0.0, 0.25]", 'dropout = ["0.25"]', "dropout: Input should be a valid number"),
        ("dropout = [0.0, 0.25]", "dropout = [nan]", "dropout is nan"),
        ("dropout = [0.0, 0.25]", f"dropout = 0x{'f' * 5000}", "it cannot be read: Exceeds the limit"),
        ("dropout = [0.0, 0.25]", f"dropout = {{ uniform = [0x{'f' * 5000}, 1] }}", "it cannot be read: Exceeds the"),
        ("dropout = [0.0, 0.25]", f"dropout = {'[' * 300}{']' * 300}", "it cannot be read: .*depth exceeded"),
        ("dropout = [0.0, 0.25]", f"dropout{'.a' * 2000} = 1", r"dropout is {'a': .{30,60}\n"),
        ("[fixed]\n", f"[[fixed]]\na{'.a' * 2000} = 1\n", r"fixed is \[{'a': .{30,60}, 'batch_size'"),
        (
            "dropout = [0.0, 0.25]",
            "dropout = { log_uniform = [0.1, 0.25], base = 2 }",
            "dropout is {'base': 2, 'log_uniform'",
        ),
        ("dropout = [0.0, 0.25]", 'dropout = { log_uniform = ["0.1", 0.25] }', "dropout is {'log_uniform'"),
        ("dropout = [0.0, 0.25]", "dropout = { log_uniform = [false, 1] }", "dropout is {'log_uniform'"),
        ("dropout = [0.0, 0.25]", "dropout = { log_uniform = [0.25, 0.1] }", "bounds 0.25, 0.1 make no range"),
        ("dropout = [0.0, 0.25]", "drop_out = [0.0, 0.25]", "unknown setting 'drop_out'"),
        ("dropout = [0.0, 0.25]", "dropout = [0.0]\nmax_epochs = [1, 2]", r"max_epochs stands in \[space\]"),
        ("dropout = [0.0, 0.25]", "dropout = [0.0]\nbatch_size = [32]", "searched and fixed at once: batch_size"),
        ("[space]\nlearning_rate = { log_uniform = [1e-2, 1] }\ndropout = [0.0, 0.25]\n", "", "its space is empty"),
        ("batch_size = 32", "batch_size = 32\nfinalists = 2", r"finalists stands in \[fixed\]"),
        ('title = "Mine"', 'title = "Mine"\nseeds = 2', "seeds without finalists"),
        ("batch_size = 32", "batch_size = 32.0", r"mine\.toml: batch_size: Input should be a valid integer"),
        ("batch_size = 32", "batch_size = 32\nbatch_norm = 1", "batch_norm: Input should be a valid boolean"),
        ("batch_size = 32", "batch_size = 32\nmixup = 1979-05-27", "mixup: Input should be a valid number"),
        ("batch_size = 32", "batch_size = 32\nfilter_rate = 0.2", "filter_rate=0.2 would do nothing"),
        ("batch_size = 32", "batch_size = 32\nlr = 0.2", "unknown setting 'lr'"),
        ('model = "classic_cnn"', 'model = ["classic_cnn"]', "model: Input should be 'classic_cnn'"),
    ],
)
def test_what_is_wrong_is_named(line: str, instead: str, says: str, tmp_path: Path) -> None:
    assert OWN.count(line) == 1
    (tmp_path / "mine.toml").write_text(OWN.replace(line, instead))
    with pytest.raises(ConfigurationError, match=says) as refused:
        read_study(tmp_path / "mine.toml")
    assert refused.value.message.startswith(f"study file {tmp_path / 'mine.toml'}: ")


BUDGET = "[budget]\nnum_trials = 4\nmax_epochs = 3\n"


@pytest.mark.parametrize(
    ("line", "instead", "says", "hint"),
    [
        ('title = "Mine"\n', "", "title: Field required", "write it above the first table"),
        ("max_epochs = 3", "", "budget.max_epochs: Field required", "write it in the table [budget]"),
        (BUDGET, "", "budget: Field required", "write it as a table, [budget]"),
        ("dropout = [0.0, 0.25]", "", "dropout: Field required", "write it in [fixed], or search it in [space]"),
        ("title", "titel = 1\ntitle", "titel: Unexpected", "leave it out, or correct it: did you mean title?"),
        ("num_trials", "max_epoch = 3\nnum_trials", "budget.max_epoch: Unexpected", "did you mean max_epochs?"),
        ("num_trials", "zzz = 3\nnum_trials", "budget.zzz: Unexpected", "there are grace_period, max_epochs, num_"),
        ("title", "names = 1\ntitle", "names: Unexpected", "correct it: "),
        ('"Mine"', "3", "title: Input should be a valid string, not 3", ""),
        ("title", "cpus_per_trial = 2\ntitle", "cpus_per_trial: Unexpected", "of the command, --cpus-per-trial"),
        ("num_trials", "trials = 3\nnum_trials", "budget.trials: Unexpected", "did you mean num_trials?"),
        (
            'model = "classic_cnn"',
            'model = "deep_cnn"',
            "depth is 18",
            "one of 2, 4, 6, 8 of a deep_cnn; left out, it is",
        ),
        ("weight_decay = 0", f"weight_decay = {2**53 + 1}", "weight_decay is 9", "must be 2^53 or less, if whole"),
        ("dropout = [0.0", f"bias_rate = [1, {2**53 + 1}]\ndropout = [0.0", "bias_rate is 9", "2^53 or less"),
        ('optimizer = "sgd"', 'optimizer = "sdg"', "optimizer: Input should be .* or 'muon', not 'sdg'", ""),
        ('"Mine"', f"[{'9' * 500}]", r"title: Input should be a valid string, not \[9{9,30}\.\.\.9{9,30}\]$", ""),
    ],
)
def test_what_a_field_lacks_is_said(line: str, instead: str, says: str, hint: str) -> None:
    assert OWN.count(line) == 1
    with pytest.raises(ConfigurationError) as refused:
        parse_study("mine", OWN.replace(line, instead))
    assert re.search(says, refused.value.message)
    assert hint in (refused.value.hint or "")
    assert bool(refused.value.hint) == bool(hint)
    assert "mean name" not in str(refused.value.hint), "which is not for a file to say"


@pytest.mark.parametrize("model", ['["classic_cnn"]', "3", "{ of = 3 }"])
def test_a_cohorts_model_is_checked_like_any_other(model: str) -> None:
    with pytest.raises(ConfigurationError, match="model: Input should be 'classic_cnn'"):
        parse_study("mine", "is_cohort = true\n" + OWN.replace('"classic_cnn"', model))


MANY = [each / 50 for each in range(41)]


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (("nesterov", ["true", "false"]), ("momentum", MANY[:40]), "nesterov is True"),
        (("nesterov", ["false", "true"]), ("momentum", MANY[:40][::-1]), "nesterov is True"),
        (("alternating_flip", ["false", "true"]), ("augmentation", ["true"] * 99 + ["false"]), "alternating_flip is"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_two_values_that_exclude_each_other_are_found(first, second, says: str, is_first: bool) -> None:
    lines = [f"{name} = [{', '.join(map(str, values))}]" for name, values in (first, second)[:: 1 if is_first else -1]]
    with pytest.raises(ConfigurationError, match=says):
        parse_study("mine", OWN.replace("dropout = [0.0, 0.25]", "\n".join(["dropout = [0.0, 0.25]", *lines])))


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("dropout = { uniform = [0, 0.25] }", Range(0, 0.25)),
        ("dropout = { uniform = [0, 0.25] }\nmixup = { uniform = [0, 1] }", Range(0, 1)),
        ("dropout = [0]\nseed = { uniform = [0, 9] }", Range(0, 9, is_whole=True)),
        ("dropout = [0]\nseed = { log_uniform = [1, 64] }", Range(1, 64, is_log=True, is_whole=True)),
    ],
)
def test_a_range_is_of_what_its_setting_takes(written: str, domain: Range) -> None:
    study = parse_study("mine", OWN.replace("dropout = [0.0, 0.25]", written))
    name, found = list(study.space.items())[-1]
    assert found == domain
    assert {type(getattr(config, name)) for config in study.sample(0)} == {int if domain.is_whole else float}


NUMBERS = "take a list of values, { uniform = [low, high] } or { log_uniform = [low, high] }"


@pytest.mark.parametrize(
    ("written", "says", "hint"),
    [
        ("mixup = { uniform = [0.5, 0.25] }", "mixup: bounds 0.5, 0.25 make no range", "take two finite"),
        ("mixup = { log_uniform = [0, 1] }", "mixup: bounds 0, 1 make no range", "take two finite numbers, 0 < low"),
        ("mixup = { uniform = [0, inf] }", "mixup: bounds 0, inf", "take two finite"),
        (f"mixup = {{ uniform = [0, 1{'0' * 400}] }}", "bounds 0.0, inf", "take two finite"),
        ("mixup = { uniform = [0] }", "mixup is {'uniform'", NUMBERS),
        ("mixup = { uniform = [0, true] }", "mixup is {'uniform'", NUMBERS),
        ("mixup = { integer = [0, 1] }", "mixup is {'integer'", NUMBERS),
        ("mixup = { uniform = [0, 1], log_uniform = [1, 2] }", "mixup is {'log_uniform'", NUMBERS),
        ("cutout = { uniform = [1, 9.0] }", "cutout is {'uniform'", f"{NUMBERS}, with whole numbers"),
        ("cutout = { log_uniform = [0, 9] }", "cutout: bounds 0, 9 make no range", "take two finite numbers, 0 < low"),
        ("batch_norm = { uniform = [0, 1] }", "batch_norm is {'uniform'", "take a list of values"),
        ("schedule = { uniform = [0, 1] }", "schedule is {'uniform'", "take a list of values"),
        # what the network refuses at a bound, which no draw may reach
        ("label_smoothing = { uniform = [0.0, 1.0] }", "label_smoothing is 1.0", "label_smoothing must be in [0, 1)"),
        ("cutout = { uniform = [0, 33] }", "cutout is 33", "cutout must be in [0, 32]"),
        # of no effect but at a bound, where it is as it would be anyway
        (
            'schedule = ["one_cycle"]\nmomentum = { uniform = [0.5, 0.9] }',
            "momentum is 0.[5-8]",
            "momentum must be 0.9",
        ),
    ],
)
def test_what_is_wrong_with_a_range_is_said(written: str, says: str, hint: str | None) -> None:
    with pytest.raises(ConfigurationError, match=says) as refused:
        parse_study("mine", OWN.replace("dropout = [0.0, 0.25]", f"dropout = [0.0]\n{written}"))
    assert (refused.value.hint or "").startswith(hint or "")
    assert bool(refused.value.hint) == bool(hint)


def test_a_choice_that_is_rarely_drawn_gives_a_setting_its_effect() -> None:
    rare = f"optimizer = {['adam'] * 99 + ['sgd']}\nmomentum = {{ uniform = [0.5, 0.9] }}\n"
    text = OWN.replace('optimizer = "sgd"\n', "").replace("dropout = [", rare + "dropout = [")
    assert parse_study("mine", text).space["momentum"] == Range(0.5, 0.9)
    with pytest.raises(ConfigurationError, match=r"momentum=.* would do nothing"):
        parse_study("mine", text.replace("'sgd'", "'adamw'"))


@pytest.mark.parametrize("sizes", ["[20, 24]", "{ uniform = [16, 32] }", f"{[24] * 200 + [20]}"])
def test_sizes_that_are_not_symmetric_under_a_flip_are_refused(sizes: str) -> None:
    fixed = 'model = "speed_net"\nflip_equivariant = true'
    text = OWN.replace('model = "classic_cnn"', fixed).replace(
        "dropout = [0.0, 0.25]", f"dropout = [0]\nfirst_size = {sizes}"
    )
    with pytest.raises(ConfigurationError, match=r"first_size is .*\n.* must be 16, 24 or 32 with flip_equivariant"):
        parse_study("mine", text)
    parse_study("mine", text.replace(sizes, "[16, 24, 32]"))
    parse_study("mine", text.replace("flip_equivariant = true", "flip_equivariant = false"))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for name, content, says in (
        ("Mine", OWN.encode(), "'Mine' is no name of a study"),
        ("a" * 39, OWN.encode(), "is no name of a study"),
        ("latin", OWN.replace("Mine", "Stück").encode("latin-1"), "can't decode"),
        ("long", OWN.encode() + b"#" * 65_536, "more than 65,536 bytes"),
    ):
        path = tmp_path / f"{name}.toml"
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=says):
            read_study(path)
    with pytest.raises(ConfigurationError) as refused:
        parse_study("-mine", OWN)
    assert "no dash first" in str(refused.value.hint)
    with pytest.raises(ConfigurationError, match="No such file"):
        read_study(tmp_path / "none.toml")


def test_a_study_is_found_by_its_files_name(tmp_path: Path) -> None:
    for name in ("mine", "cnn"):
        (tmp_path / f"{name}.toml").write_text(OWN)
    (tmp_path / "broken.toml").write_text("[")
    (tmp_path / ".#mine.toml").write_text(OWN)
    (tmp_path / "folder.toml").mkdir()
    files = study_files(tmp_path)
    assert list(files) == ["broken", "cnn", "mine"]
    assert get_study("mine", files).title == "Mine"
    assert get_study("resnet", files) == get_study("resnet")
    with pytest.raises(ConfigurationError, match=r"cnn\.toml has a name that the package has taken"):
        get_study("cnn", files)
    with pytest.raises(ConfigurationError, match="unknown study 'mien'") as unknown:
        get_study("mien", files)
    assert "did you mean mine" in str(unknown.value.hint)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN, encoding="utf-8-sig")
    assert read_study(tmp_path / "mine.toml").definition == OWN


def test_an_adapted_study_knows_what_it_was() -> None:
    own, cnn = parse_study("mine", OWN), get_study("cnn")
    for study in (own, cnn):
        assert as_defined(study.with_budget(num_trials=9).with_seeds(2).with_searcher("tpe")) == study
