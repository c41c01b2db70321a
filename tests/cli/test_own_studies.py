"""A person's own study, from where its file lies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from cifar_ray.cli import own_studies
from cifar_ray.cli.main import main
from cifar_ray.errors import ConfigurationError

OWN = """\
title = "Batch sizes"
budget = { num_trials = 4, max_epochs = 2 }
space = { batch_size = [32, 64, 128] }
fixed = { model = "classic_cnn", optimizer = "sgd", learning_rate = 0.01, weight_decay = 0, dropout = 0 }
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture(autouse=True)
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "jobs"
    (folder / "below").mkdir(parents=True)
    for script in ("evaluate_best.py", "tune_own.py", "tune_cnn.py"):
        (folder / script).touch()
    (folder / "sizes.toml").write_text(OWN)
    monkeypatch.chdir(folder / "below")
    return folder


def test_it_is_listed_and_shown() -> None:
    assert "Batch sizes" in run("study", "list").output
    shown = run("study", "show", "sizes").output
    assert "sizes: Batch sizes (jobs/tune_own.py sizes)" in shown
    assert "32 or 64 or 128" in shown


def test_any_number_of_a_populations_draws_is_shown(jobs: Path) -> None:
    searched = OWN.replace("space = {", "space = { learning_rate = [0.01, 0.02],").replace("learning_rate = 0.01, ", "")
    text = searched.replace("num_trials = 4, max_epochs = 2", "num_trials = 20, max_epochs = 5")
    shown = []
    for searcher in ("random", "pbt"):
        (jobs / "sizes.toml").write_text(f'searcher = "{searcher}"\n{text}')
        done = run("study", "show", "sizes", "--sample", "23", "--seed", "3")
        shown.append([line for line in done.output.splitlines() if line.startswith("t00")])
    assert len(shown[0]) == 23
    assert shown[0] == shown[1], "draws are the seed's"


def test_hints_for_a_population_can_be_followed_in_its_file(jobs: Path) -> None:
    (jobs / "sizes.toml").write_text(f'searcher = "pbt"\n{OWN}')
    hint = run("study", "show", "sizes").output.partition("hint: ")[2]
    assert hint.startswith("take 20 trials and 5 epochs, or more: by --trials and --max-epochs or, where a study file ")
    enough = OWN.replace("num_trials = 4, max_epochs = 2", "num_trials = 20, max_epochs = 5")
    (jobs / "sizes.toml").write_text(f'searcher = "pbt"\nfinalists = 1\nseeds = 1\n{enough}')
    assert (
        "hint: add --seeds 0 or, where a study file sets pbt, leave out its finalists and seeds"
        in run("study", "show", "sizes").output
    )


def test_it_is_planned(tmp_path: Path) -> None:
    words = ("--workers", "1", "--trials", "4,8", "--reduction-factor", "4", "--simulations", "3", "--epoch-s", "1")
    done = run("plan", "sizes", *words, "--deadline", "1h", "--figure", str(tmp_path / "plan.png"))
    assert done.exit_code == 0, done.output
    assert "Best of 4 trials of 2 epochs" in " ".join(done.stdout.split())
    assert "next: cifar-ray job submit sizes" in done.stdout


def test_a_population_is_planned_as_the_sweep_of_another_searcher(jobs: Path) -> None:
    population = OWN.replace("num_trials = 4, max_epochs = 2", "num_trials = 20, max_epochs = 5")
    searched = population.replace("space = {", "space = { learning_rate = [0.01, 0.02],")
    (jobs / "sizes.toml").write_text('searcher = "pbt"\n' + searched.replace("learning_rate = 0.01, ", ""))
    words = ["--searcher", "random", "--max-epochs", "3", "--trials", "4", "--reduction-factor", "4"]
    done = run("plan", "sizes", *words, "--workers", "1", "--simulations", "3", "--epoch-s", "1", "--deadline", "1h")
    assert done.exit_code == 0, done.output
    command = done.stdout.partition("next: ")[2].split()
    assert command[:4] == ["cifar-ray", "job", "submit", "sizes"]
    assert "--searcher random" in " ".join(command)
    assert run("job", "submit", *command[3:], "--dry-run").exit_code == 0


def test_a_study_is_shown_with_all_digits_of_its_values(jobs: Path) -> None:
    exact = OWN.replace("space = {", "space = { momentum = [0.12345, 0.12349], seed = { uniform = [0, 4294967295] },")
    (jobs / "sizes.toml").write_text(exact.replace("0.01", "0.0123456"))
    shown = run("study", "show", "sizes").output
    assert "0.12345 or 0.12349" in shown
    assert "0 to 4294967295, uniform, whole numbers" in shown
    assert "always 0.0123456" in shown


def test_it_is_submitted_with_its_file(jobs: Path) -> None:
    done = run("job", "submit", "sizes", "--trials", "2", "--dry-run")
    spec = json.loads(done.output)
    assert spec["entrypoint"][:5] == ["python", "tune_own.py", "sizes", "--trials", "2"]
    assert spec["working_dir"] == str(jobs)
    assert spec["metadata"]["study"] == "sizes"


def test_one_that_is_broken_stops_no_other(jobs: Path) -> None:
    (jobs / "broken.toml").write_text("[")
    (jobs / "resnet.toml").write_text(OWN)
    assert run("job", "submit", "sizes", "--dry-run").exit_code == 0
    assert run("job", "submit", "cnn", "--dry-run").exit_code == 0
    listed = run("study", "list").output
    assert listed.count("Batch sizes") == 1
    assert "broken.toml: it is not TOML" in listed
    assert "resnet.toml has a name that the package has taken" in listed
    for command in (["study", "show", "broken"], ["job", "submit", "broken", "--dry-run"]):
        refused = run(*command)
        assert refused.exit_code == 2
        assert "broken.toml: it is not TOML" in refused.output


def test_it_is_offered_to_the_shell() -> None:
    shell = ShellComplete(main, {}, "cifar-ray", "_CIFAR_RAY_COMPLETE")
    assert [item.value for item in shell.get_completions(["job", "submit"], "si")] == ["sizes"]


def test_in_a_folder_that_is_gone_there_are_the_packages_studies(jobs: Path) -> None:
    (jobs / "below").rmdir()
    assert run("study", "show", "cnn").exit_code == 0
    refused = run("job", "submit", "cnn", "--dry-run")
    assert (refused.exit_code, "the current folder has been removed" in refused.output) == (2, True)
    for flag, says in (("--data", "--data is './x': [Errno 2]"), ("--storage", "--storage is './x': [Errno 2]")):
        refused = run("job", "submit", "cnn", "--jobs", str(jobs), flag, "./x", "--dry-run")
        assert (refused.exit_code, says in refused.output) == (2, True)
    refused = run("results", "list", "--storage", "x")
    assert (refused.exit_code, "storage 'x': [Errno 2]" in refused.output) == (2, True)


def test_without_jobs_there_are_the_packages_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none() -> Path:
        raise ConfigurationError("none")

    monkeypatch.setattr(own_studies, "find_jobs", find_none)
    assert run("study", "show", "cnn").exit_code == 0
    assert "unknown study 'sizes'" in run("study", "show", "sizes").output
