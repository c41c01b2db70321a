import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cifar_ray.cli.main import main
from cifar_ray.settings import read_settings

LOOKS = (
    *(["list"], ["list", "--json"], ["show"], ["pull"], ["export", "--format", "csv"], ["compare", "cnn-1", "cnn-2"]),
    *(["curves-bias", "cnn-1"], ["gc", "cnn-1"]),
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            "--help",
            "study --help",
            "job --help",
            "job submit --help",
            "local up --help",
            "results --help",
            "dashboard --help",
        ),
        *("demo --help", "cluster --help", "cluster doctor --help", "plan --help"),
    ],
)
def test_help_answers_in_half_a_second_without_torch_and_ray(arguments: str) -> None:
    code = (
        "import sys, runpy; sys.argv = ['cifar-ray', *sys.argv[1:]]\n"
        "try: runpy.run_module('cifar_ray.cli.main', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print({'torch', 'ray', 'pytorch_lightning', 'matplotlib', 'kubernetes'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, *arguments.split()]
    taken_s: list[float] = []
    # of the processor's time, which other work on the machine does not lengthen, or not as much, nor each time
    while min(taken_s, default=math.inf) >= 0.5 and len(taken_s) < 5:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "Usage: " in done.stdout
        assert done.stdout.endswith("set()\n")
        taken_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken_s) < 0.5


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of it and of all below it."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*path, name))


def test_h_is_help_of_every_command() -> None:
    known = list(commands(main))
    assert {(), ("demo",), ("job", "submit"), ("results", "gc")} <= set(known)
    for path in known:
        said = run(*path, "-h")
        assert (said.exit_code, said.output) == (0, run(*path, "--help").output), path
        assert said.output.startswith(" ".join(["Usage: main", *path])), path


def test_every_command_is_told_whole_in_the_list_of_its_group() -> None:
    listed = " ".join(run("--help").output.split())
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert f" {name} {command.get_short_help_str(200)}" in listed, "as the command itself says"
        assert "..." not in run(name, "--help").output.rpartition("Commands:")[2]


def test_the_help_says_where_a_study_of_ones_own_is_explained() -> None:
    for verb in ("list", "show"):
        assert "docs/extending.md" in run("study", verb, "--help").output


def test_study_list_and_show() -> None:
    listed = run("study", "list").output
    assert all(name in listed for name in ("cnn", "resnet", "resnet-schedule", "92.37"))
    shown = run("study", "show", "resnet", "--sample", "2").output
    assert "0.0001 to 0.01, log-uniform" in shown
    assert "t0001" in shown
    assert run("study", "show", "resnet", "--sample", "2", "--seed", "1").output != shown
    refused = run("study", "show", "resnet", "--sample", "2", "--seed", "-1")
    assert (refused.exit_code, "'--seed': -1 is not in the range" in refused.output) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["study", "show", "resnt"], "did you mean resnet"),
        (["job", "submit", "cnnn"], "did you mean cnn, cnn-ema?"),
        (["job", "submit", "cnn", "--trials", "0"], "trials: 0 is out of range"),
        (["job", "submit", "cnn", "--max-epochs", "-1"], "max epochs: -1 is out of range"),
        *(
            (
                ["job", "submit", "resnet", "--accelerators-per-trial", share],
                f"accelerators per trial: {share} is out of",
            )
            for share in ("-1", "1.5", "2", "nan")
        ),
        (["job", "submit", "cnn", "extra"], "unexpected 'extra'"),
        (["job", "submit", "evaluate", "--trials", "3"], "evaluate takes --storage"),
        (["job", "submit", "cnn", "--resume"], "--resume needs to know which sweep"),
        (["job", "submit", "cnn", "--sweep-id", "../x"], "sweep id '../x' is malformed"),
        (["job", "submit", "cnn", "--storage", "gs://x"], "unknown scheme"),
        (["job", "submit", "cnn", "--cpus-per-trial", "64", "--dry-run"], "cnn train together"),
        (["job", "submit", "cnn", "--accelerators-per-trial", "1", "--dry-run"], "cnn train together"),
        (
            ["job", "submit", "cnn", "--sweep-id", "a", "--resume", "--start-or-resume", "--dry-run"],
            "exclude each other",
        ),
        (["job", "submit", "cnn"], "cifar-ray local up"),
        (["job", "status"], "cifar-ray local up"),
        (["job", "list"], "RAY_ADDRESS is not read"),
        (["results", "show", "--storage", "s3://UP"], "no bucket name"),
        *((["results", *verb, "--storage", "/no/such"], "there is no folder /no/such") for verb in LOOKS),
        (["results", "list", "--storage", __file__], f"there is no folder {__file__}"),
        (["plan", "cnn", "--curves", "cnn-1", "--storage", "/no/such"], "there is no folder /no/such"),
        (["results", "show"], "there is no sweep"),
        (["results", "pull", "nope"], "unknown sweep"),
        (["local", "env"], "no local cluster is running"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert "Traceback" not in result.output
    lines = result.output.strip().splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) == 1 or (lines[1].startswith("hint: ") and len(lines) == 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["stduy", "show"], "Did you mean 'study'?"),
        (["study", "shwo"], "Did you mean 'show'?"),
        (["job", "submit", "cnn", "--trails", "3"], "Did you mean '--trials'?"),
        (["job", "submit", "evalute"], "did you mean evaluate?"),
    ],
)
def test_a_misspelt_command_gets_the_nearest(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, says in result.output) == (2, True), result.output


def test_a_pipe_that_closes_early_ends_it_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "cifar_ray.cli.main", "study", "list"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["study", "list"], ["results", "list", "--json"], ["--help"]])
def test_a_disk_that_is_full_is_one_line(arguments: list[str], unbuffered: str) -> None:
    command = [sys.executable, "-m", "cifar_ray.cli.main", *arguments]
    with open("/dev/full", "wb") as full:
        env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(command, env=env, stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
    said = b"error: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_a_terminal_of_no_width_gets_tables_all_the_same() -> None:
    command = [sys.executable, "-m", "cifar_ray.cli.main", "study", "list"]
    done = subprocess.run(command, env=os.environ | {"COLUMNS": "0"}, capture_output=True, timeout=30, check=True)
    assert b"resnet-schedule" in done.stdout


def test_the_package_is_the_command() -> None:
    command = [sys.executable, "-m", "cifar_ray", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith("cifar-ray, version ")


def test_a_terminal_of_ascii_gets_question_marks() -> None:
    command = [sys.executable, "-m", "cifar_ray.cli.main", "study", "show", "cnn"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"always 64" in done.stdout


def test_a_default_place_that_is_not_there_yet_holds_no_sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for uri in (None, str(tmp_path / "new")):
        if uri:
            monkeypatch.setenv("CIFAR_RAY_STORAGE", uri)
        listed = run("results", "list")
        assert (listed.exit_code, listed.stdout.startswith("no sweep yet in /")) == (0, True)
        assert "cifar-ray job submit cnn" in listed.stdout
        assert listed.stderr == (f"there is no folder {uri}, which CIFAR_RAY_STORAGE names\n" if uri else "")
    (empty := tmp_path / "a store").mkdir()
    for verb in ("list", "show"):
        assert f"cifar-ray job submit cnn --storage '{empty}'" in run("results", verb, "--storage", str(empty)).output
    # a command that waits for a sweep says nothing of a folder that is yet to come
    assert run("results", "wait", "cnn-1", "--timeout-s", "0").stderr.startswith("error: not all sweeps")
    (tmp_path / "new").write_text("")
    listed = run("results", "list")
    assert (listed.exit_code, f"{uri}: Not a directory" in listed.output) == (2, True)


def test_what_the_local_cluster_has_left_is_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = read_settings().home / "local" / "s3"
    kept.mkdir(parents=True)
    assert "local up" not in run("results", "list").stderr
    (kept / "cifar-ray_1.dat").write_bytes(b"objects")
    said = f"the local cluster is down; its results are in {kept}: `cifar-ray local up` makes them readable\n"
    assert run("results", "list").stderr == said
    assert run("results", "list", "--json").stdout == "[]\n"
    assert said in run("results", "show").stderr
    assert run("results", "list", "--storage", str(tmp_path)).stderr == ""
    monkeypatch.setenv("CIFAR_RAY_STORAGE", str(tmp_path))
    assert run("results", "list").stderr == ""


@pytest.mark.parametrize("flag", ["--data", "--storage"])
def test_keys_are_refused_before_they_stand_in_a_folders_path(flag: str) -> None:
    result = run("job", "submit", "cnn", flag, "s3:AKIA1:SECRETPW@bucket/x", "--dry-run")
    assert (result.exit_code, "SECRETPW" in result.output) == (2, False)
    assert f"the URI of {flag} holds a user or keys" in result.output


@pytest.mark.parametrize("flags", ["--no-cohort", "--best-of cnn-1", "--sweep-id cnn-1 --resume"])
def test_a_dry_run_passes_what_only_the_store_could_refuse(flags: str) -> None:
    result = run("job", "submit", "cnn", "--cpus-per-trial", "2", *flags.split(), "--dry-run")
    assert result.exit_code == 0, result.output


def test_an_unreachable_cluster_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    result = run("job", "list")
    assert (result.exit_code, "Traceback" in result.output) == (4, False)
    assert "no Ray cluster answers at http://127.0.0.1:9 ([Errno 111] Connection refused)" in result.output
    assert "reading" in (stderr := run("results", "list").stderr)
    assert "set CIFAR_RAY_STORAGE" in stderr


def test_a_script_can_tell_that_there_is_no_local_cluster() -> None:
    result = run("local", "status")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "error: no local cluster is running\nhint: start one with `cifar-ray local up`\n"


@pytest.mark.parametrize("command", ["local status", "local env", "local up", "job list"])
def test_a_home_that_is_a_file_is_an_error_of_one_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CIFAR_RAY_HOME", str(tmp_path / "file"))
    result = run(*command.split())
    assert (result.exit_code, "Traceback" in result.output) == (2, False), result.output
    assert f"error: {tmp_path}/file/local" in result.output
    assert "Not a directory" in result.output


def test_the_help_says_which_commands_have_which_exit_codes() -> None:
    said = " ".join(run("job", "--help").output.split())
    assert "Exit codes of submit, status --watch and logs --follow, by how the job ended: 0 succeeded" in said
    assert "Of every command: 0 done, 2 bad input, 4 cluster unreachable" in said


def test_down_without_a_cluster_is_no_error() -> None:
    result = run("local", "down")
    assert (result.exit_code, result.output) == (0, "no local cluster is running\n")
