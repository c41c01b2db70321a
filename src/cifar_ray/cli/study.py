"""`cifar-ray study`: look at what can be searched."""

from __future__ import annotations

import click
from rich.console import Console

from cifar_ray.cli.completion import study_names
from cifar_ray.cli.flag_types import SEED
from cifar_ray.cli.own_studies import own_studies
from cifar_ray.errors import ConfigurationError
from cifar_ray.reporting.terminal import studies_renderable, study_renderable
from cifar_ray.studies import STUDIES, get_study


@click.group()
def study() -> None:
    """List the studies and show what they search."""


@study.command("list")
def list_studies() -> None:
    """List the studies: the package's, and your own in jobs/*.toml.

    A file there defines a study by its search space, fixed settings and budget: docs/extending.md has an example.
    """
    files = own_studies()
    found = list(STUDIES.values())
    broken: list[ConfigurationError] = []
    for name in files:
        try:
            found.append(get_study(name, files))
        except ConfigurationError as error:
            broken.append(error)
    Console().print(studies_renderable(found))
    for each in broken:
        each.show()


@study.command()
@click.argument("name", metavar="STUDY", shell_complete=study_names)
@click.option(
    "--sample", type=click.IntRange(0, 1000), default=0, metavar="N", help="Also print N sampled configurations."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of those samples; needs --sample.")
def show(name: str, sample: int, seed: int) -> None:
    """Show a study's space, budget and published result.

    STUDY is one of the package's, or your own, defined by a file jobs/STUDY.toml: docs/extending.md has an example.
    """
    chosen = get_study(name, own_studies())
    console = Console()
    console.print(study_renderable(chosen))
    if sample:
        # a population asks for more trials; its searcher changes no draw
        drawing = chosen.with_searcher("random").with_budget(num_trials=sample)
        for index, config in enumerate(drawing.sample(seed)):
            settings = {key: value for key, value in config.to_dict().items() if key in chosen.space}
            console.print(f"t{index:04d} {settings}", markup=False, soft_wrap=True)
