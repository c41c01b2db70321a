"""The `cifar-ray` command: finds a verb group's module when it is asked for, so that help answers at once."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

import click

from cifar_ray.output import FULL, exit_if_unwritable, forget_no_width, replace_unknown_characters

_GROUPS = {
    "demo": "Try everything on this machine in under five minutes.",
    "local": "Start, check and stop the one-machine cluster.",
    "study": "List the studies and show what they search.",
    "plan": "Forecast a sweep's time, cost and accuracy.",
    "job": "Submit, watch and stop sweeps and evaluations.",
    "cluster": "Check a release on Kubernetes and connect to it.",
    "dashboard": "Watch sweeps live in the browser.",
    "results": "List, show, compare, copy and delete sweeps.",
}


class LazyGroup(click.Group):
    """Imports `cifar_ray.cli.<name>` only for the command that is run."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As a program: what stdout cannot show is replaced, and what it cannot take is one line, not a traceback."""
        replace_unknown_characters()
        forget_no_width()
        try:
            return super().__call__(*args, **kwargs)
        except OSError as error:
            if error.errno in FULL:
                exit_if_unwritable()
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer meets them."""
        return list(_GROUPS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The module's command of the same name."""
        if name not in _GROUPS:
            return None
        command: click.Command = getattr(importlib.import_module(f"cifar_ray.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table above, without importing any group."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_GROUPS.items()))


@click.command(
    cls=LazyGroup,
    # the names alone, for click's "Did you mean …?"
    commands=[click.Command(name) for name in _GROUPS],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(version("cifar-ray"), prog_name="cifar-ray")
def main() -> None:
    """Run ASHA sweeps of CNNs on CIFAR-10 on a Ray cluster, with results in S3 and winners scored once on the test set.

    \b
    On this machine:    cifar-ray local up
                        cifar-ray job submit cnn
                        cifar-ray job submit evaluate
                        cifar-ray results show
    On Kubernetes:      cifar-ray cluster doctor --release R
                        cifar-ray job submit cnn --release R
    On another cluster: set RAY_API_SERVER_ADDRESS and RAY_AUTH_TOKEN first
    """


if __name__ == "__main__":
    main()
