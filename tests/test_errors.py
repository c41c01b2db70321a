import pickle
import traceback

import pytest
from click.testing import CliRunner

from cifar_ray.cli.main import main
from cifar_ray.errors import (
    CifarRayError,
    ConfigurationError,
    InterruptedSweepError,
    StorageError,
    UnknownNameError,
    UnreachableError,
    last_line,
)


def test_shows_message_and_hint_without_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    ConfigurationError("it is wrong", "do this").show()
    assert capsys.readouterr().err == "error: it is wrong\nhint: do this\n"


def test_what_others_have_written_moves_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    StorageError("SweepRecord.\x1b]0;owned\x07x: odd\nand \x1b[2J more", "see \x9b1m it").show()
    assert capsys.readouterr().err == "error: SweepRecord. ]0;owned x: odd\nand  [2J more\nhint: see  1m it\n"


def test_hint_survives_pickling_between_processes() -> None:
    error = pickle.loads(pickle.dumps(StorageError("no", "set it")))  # noqa: S301  # our own bytes
    assert (type(error), error.message, error.hint) == (StorageError, "no", "set it")


def test_exit_codes_tell_bad_input_unreachable_and_interrupted_apart() -> None:
    errors = (CifarRayError, ConfigurationError, UnreachableError, InterruptedSweepError)
    assert [error.exit_code for error in errors] == [1, 2, 4, 130]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnte", "did you mean resnet?"),
        ("RESNET", "did you mean resnet?"),
        ("ce", "did you mean cnn-ema?"),
        ("zzz", "`cifar-ray study list` shows what there is"),
    ],
)
def test_unknown_name_hints_at_the_nearest(name: str, hint: str) -> None:
    assert UnknownNameError.of("study", name, ["resnet", "cnn", "cnn-ema"]).hint == hint


def test_names_that_no_command_lists_are_all_in_the_hint() -> None:
    names = sorted(f"setting_{number}" for number in range(10))
    assert UnknownNameError.of("setting", "zzz", names).hint == f"there are {', '.join(names)}"
    assert UnknownNameError.of("setting", "lr", ["learning_rate", "momentum"]).hint == "did you mean learning_rate?"


@pytest.mark.parametrize("kind", ["study", "sweep", "job"])
def test_the_command_that_a_hint_names_is_there(kind: str) -> None:
    command = str(UnknownNameError.of(kind, "zzz", ["a-1"]).hint).split("`")[1].removeprefix("cifar-ray ")
    assert CliRunner().invoke(main, [*command.split(), "--help"]).exit_code == 0


def test_a_traceback_has_the_hint_too() -> None:
    error = pickle.loads(pickle.dumps(StorageError("no", "set it")))  # noqa: S301  # our own bytes
    printed = "".join(traceback.format_exception_only(error))
    assert printed.endswith("StorageError: no\nhint: set it\n")
    # where Ray hands on a traceback as a text
    assert last_line(OSError(printed)) == "cifar_ray.errors.StorageError: no"


def test_unknown_name_where_there_is_none() -> None:
    assert UnknownNameError.of("sweep", "x", []).hint == "there is no sweep yet"


@pytest.mark.parametrize(("error", "line"), [(OSError("Traceback\n\nno room \n"), "no room"), (OSError(), "OSError")])
def test_the_last_line_of_what_another_library_says(error: Exception, line: str) -> None:
    assert last_line(error) == line
