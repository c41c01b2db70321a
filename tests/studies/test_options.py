import click
import pytest
from click.testing import CliRunner

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies.flags import sweep_flags
from cifar_ray.studies.options import SweepOptions


def parse(arguments: list[str]) -> SweepOptions:
    """What a command with the flags of a sweep gets."""
    got: list[SweepOptions] = []
    command = click.command()(sweep_flags(lambda options: got.append(options)))
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return got[0]


@pytest.mark.parametrize(
    "options",
    [
        SweepOptions(),
        SweepOptions(trials=3, max_epochs=2, data="shapes", storage="s3://abc/x", seed=7),
        SweepOptions(accelerators_per_trial=0.25, cpus_per_trial=2.0, sweep_id="my-sweep", resume=True),
        SweepOptions(accelerators_per_trial=0.0),
        SweepOptions(sweep_id="my-sweep", start_or_resume=True),
        SweepOptions(time_limit="1h30m"),
    ],
)
def test_a_job_gets_the_options_that_were_submitted(options: SweepOptions) -> None:
    assert parse(options.to_arguments()) == options


@pytest.mark.parametrize(
    "bad",
    [
        {"seed": -1},
        {"accelerators_per_trial": 1.5},
        {"accelerators_per_trial": -0.5},
        {"cpus_per_trial": 0.0},
        {"cpus_per_trial": float("nan")},
        {"resume": True},
        {"start_or_resume": True},
        {"time_limit": "soon"},
    ],
)
def test_options_out_of_range(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        SweepOptions(**bad)  # type: ignore[arg-type]  # that is the point
