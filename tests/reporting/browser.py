"""A real browser on the page, and the stores that it is shown."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.reporting.html import file_page
from cifar_ray.reporting.payload import page_payload, sweep_payload
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study

WIDE = 1360
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
RESULTS = Path(__file__).parents[2] / "docs" / "results"
REAL = "cnn-20261123-202106-86f1"
"""A finished and evaluated sweep of the study cnn on real images."""


@contextmanager
def started_browser() -> Iterator[Browser]:
    """Headless; the test is skipped where none is installed."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser is installed ({', '.join(BROWSERS)})")
    with sync_playwright() as playwright:
        # its sandbox needs rights that root in a container has not
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def offline_page(browser: Browser) -> Iterator[Page]:
    """A page without a network, that fails the test for every error it tells of."""
    context = browser.new_context(viewport={"width": WIDE, "height": 900}, offline=True, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(10_000)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    assert said == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    context.close()


def copied_sweeps(folder: Path, *sweep_ids: str) -> RunStore:
    """A store of real sweeps, to be changed."""
    for sweep_id in sweep_ids:
        shutil.copytree(RESULTS / sweep_id, folder / "store" / sweep_id)
    return RunStore(FolderStore(folder / "store"))


def save_page(runs: RunStore, path: Path) -> str:
    """The page of all sweeps as a file; returns its address."""
    details = {sweep_id: sweep_payload(runs, sweep_id) for sweep_id in runs.sweep_ids()}
    path.write_text(file_page(page_payload(runs, details)))
    return path.as_uri()


def option_of(page: Page, chart: str) -> dict[str, Any]:
    """What a chart has drawn, once it has come on the screen."""
    page.locator(f"#{chart}").scroll_into_view_if_needed()
    page.locator(f"#{chart}:not([data-waiting]) canvas").first.wait_for()
    found: dict[str, Any] = page.evaluate(
        "id => { const o = echarts.getInstanceByDom(document.getElementById(id)).getOption();"
        " return JSON.parse(JSON.stringify({series: o.series, xAxis: o.xAxis, yAxis: o.yAxis})); }",
        chart,
    )
    return found


def points_by_trial(option: dict[str, Any]) -> dict[str, list[list[float]]]:
    """The validation curves of the chart of all trials."""
    found: dict[str, list[list[float]]] = {}
    for series in option["series"]:
        if series["id"].startswith("best-"):
            found[series["name"]] = series["data"]
        elif series["id"] == "validation":
            found |= {each["name"]: each["coords"] for each in series["data"]}
        elif series["id"] == "validation points":
            found |= {each["name"]: [each["value"]] for each in series["data"]}
    return found


def write_large_sweep(runs: RunStore, sweep: SweepRecord, num_trials: int) -> None:
    """As ASHA would have left it: most trials short, some of thirty epochs."""
    draw = random.Random(0)
    configs = get_study("cnn").with_budget(num_trials=num_trials).sample(0)
    runs.create_sweep(replace(sweep, num_trials=num_trials, max_epochs=30))
    metrics = []
    for index, config in enumerate(configs):
        trial = f"t{index:04d}"
        num_epochs = draw.choices((1, 4, 16, 30), (75, 19, 4, 2))[0]
        quality = draw.uniform(0.3, 0.8)
        lines = [
            EpochMetrics(
                trial_id=trial,
                epoch=epoch,
                train_loss=2.3 - quality * epoch / 30,
                train_accuracy=quality * epoch / (epoch + 1),
                validation_loss=2.3 - quality * epoch / 32,
                validation_accuracy=quality * epoch / (epoch + 1.2),
                learning_rate=config.learning_rate,
                seconds=2.0,
                node=f"10.0.0.{index % 8}",
                ended_at=f"2026-01-01T{index // 60 % 24:02d}:{index % 60:02d}:{epoch:02d}+00:00",
            )
            for epoch in range(1, num_epochs + 1)
        ]
        metrics += lines
        runs.write_trial(
            sweep.sweep_id,
            TrialRecord(
                trial_id=trial,
                config=config.to_dict(),
                outcome="completed" if num_epochs == 30 else "stopped",
                num_epochs=num_epochs,
                best_epoch=num_epochs,
                best_validation_accuracy=lines[-1].validation_accuracy,
                node=lines[-1].node,
                seconds=2.0 * num_epochs,
            ),
        )
    runs.write_metrics(sweep.sweep_id, metrics)
