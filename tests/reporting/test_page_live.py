"""The live page in a real browser while a store grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from browser import option_of, points_by_trial, write_large_sweep
from loopback_server import serving
from playwright.sync_api import Browser, Page

from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TestScores, TrialRecord
from cifar_ray.reporting.page_server import PageServer
from cifar_ray.storage import layout
from cifar_ray.storage.lease import LeaseRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import STUDIES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WITHIN_MS = 30_000
OPTIONS = " --storage s3://bucket"
"""With which the dashboard was started."""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    page = context.new_page()
    page.set_default_timeout(WITHIN_MS)
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    assert said == []
    context.close()


@pytest.fixture
def server(runs: RunStore) -> Iterator[PageServer]:
    with serving(PageServer(RunStore(runs.objects, OPTIONS))) as server:
        yield server


def test_it_follows_a_sweep_from_its_first_epoch_to_its_result(
    page: Page,
    server: PageServer,
    runs: RunStore,
    sweep_record: SweepRecord,
    trial_record: TrialRecord,
    epoch_metrics: list[EpochMetrics],
    result: SweepResult,
) -> None:
    # neither the first answer nor a later one is the last if it cannot be drawn
    spoilt = {"sweeps": [{"id": "cnn-1", "started_at": 0.5}]}
    page.add_init_script("addEventListener('unhandledrejection', (event) => event.preventDefault(), { once: true })")
    page.route("**/api/store.json", lambda route: route.fulfill(json=spoilt), times=1)
    page.goto(server.url)
    page.get_by_text("There is no sweep in this store yet").wait_for()
    begin = f"Start one with cifar-ray job submit cnn{OPTIONS} or try the whole way with cifar-ray demo."
    assert begin in page.locator("main").inner_text()
    runs.create_sweep(sweep_record)
    runs.objects.write(layout.lease("cnn-1"), b"{}")
    page.get_by_role("link", name="cnn-1").click()
    page.get_by_text("No epoch has been trained yet").first.wait_for()

    for number in (1, 3):
        lines = epoch_metrics[:number]
        last = lines[-1]
        runs.write_metrics("cnn-1", lines)
        # the driver counts a running trial's epochs when it has ended
        runs.write_trial("cnn-1", TrialRecord(trial_id="t0000", config=trial_record.config, outcome="running"))
        page.locator(".tile").filter(has_text=f"{100 * last.validation_accuracy:.2f} %").wait_for()
        assert len(points_by_trial(option_of(page, "chart-curves"))["t0000"]) == number
    assert page.locator("#liveness").inner_text() == "live"

    # a choice of the reader's outlives the next numbers
    page.get_by_role("button", name="Loss", exact=True).click()
    runs.write_metrics("cnn-1", epoch_metrics)
    runs.write_trial("cnn-1", replace(trial_record, trial_id="t0001", outcome="stopped", num_epochs=1, best_epoch=1))
    page.locator("#trials tr[data-row=t0001]").get_by_text("stopped").wait_for()
    drawn = points_by_trial(option_of(page, "chart-curves"))
    assert drawn["t0001"] == [[1, pytest.approx(epoch_metrics[4].validation_loss)]]

    page.route("**/api/sweeps/*", lambda route: route.fulfill(json={**route.fetch().json(), "rungs": 0}), times=1)
    page.evaluate(
        "new Promise((resolve, reject) => { setTimeout(reject, 30000, 'it was drawn');"
        " addEventListener('unhandledrejection', (event) => (event.preventDefault(), resolve())); })"
    )
    runs.write_trial("cnn-1", trial_record)
    runs.write_result(result)
    page.locator(".title .state").get_by_text("finished").wait_for()
    page.get_by_text(f"cifar-ray job submit evaluate cnn-1{OPTIONS}").first.wait_for()


def test_a_server_that_is_gone_is_told(
    page: Page, server: PageServer, runs: RunStore, sweep_record: SweepRecord
) -> None:
    runs.create_sweep(sweep_record)
    page.goto(server.sweep_url("cnn-1"))
    page.locator("main h1").wait_for()
    server.shutdown()
    server.server_close()
    page.get_by_text("server does not answer").wait_for()
    assert page.locator("main h1").is_visible()
    page.evaluate("() => { location.hash = '#/sweep/cnn-2'; }")
    page.get_by_text(f"Start it again: cifar-ray dashboard --port {server.server_port}{OPTIONS}.").wait_for()


def test_an_unknown_sweep_says_which_there_are(
    page: Page, server: PageServer, runs: RunStore, sweep_record: SweepRecord
) -> None:
    runs.create_sweep(sweep_record)
    page.goto(server.sweep_url("cnn-2"))
    page.get_by_text("did you mean cnn-1?").wait_for()
    said = page.locator("#liveness").inner_text()
    assert "unknown sweep 'cnn-2'" in said
    assert "does not answer" not in said, "it did"


@pytest.mark.parametrize("ids", ["cnn-1,cnn-2", "cnn-2,cnn-1"])
def test_a_sweep_that_cannot_be_had_keeps_no_other_away(
    page: Page, server: PageServer, runs: RunStore, sweep_record: SweepRecord, ids: str
) -> None:
    runs.create_sweep(sweep_record)
    page.goto(f"{server.url}#/compare/{ids}")
    page.locator("main").get_by_role("link", name="cnn-1").first.wait_for()
    page.locator("#liveness").get_by_text("unknown sweep 'cnn-2'").wait_for()
    # a time that is read once would stand still
    assert "UTC" not in page.locator("#foot").inner_text()


def after_redrawing(page: Page, part: str) -> None:
    """Wait until what is in that place has been replaced."""
    page.evaluate(
        "part => new Promise((resolve, reject) => { const was = document.querySelector(part).firstElementChild;"
        " setInterval(() => was.isConnected || resolve(), 50); setTimeout(reject, 30000, 'nothing was redrawn'); })",
        part,
    )


def test_news_leave_the_reader_where_he_was(
    page: Page, server: PageServer, runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord
) -> None:
    config = STUDIES["cnn"].sample(0)[0].to_dict()
    for sweep in ("cnn-1", "cnn-2"):
        runs.create_sweep(replace(sweep_record, sweep_id=sweep))
        runs.write_trial(sweep, replace(trial_record, config=config))
        # its wall time is news each second
        runs.objects.write(layout.lease(sweep), b"{}")
    page.goto(server.url)
    link = page.get_by_role("link", name="cnn-1")
    link.focus()
    after_redrawing(page, "tbody")
    assert link.evaluate("node => node === document.activeElement")
    link.press("Enter")
    tab = page.get_by_role("link", name="Test scores")
    tab.focus()
    after_redrawing(page, "main .title")
    assert tab.evaluate("node => node === document.activeElement")

    page.goto(f"{server.url}#/compare/cnn-1,cnn-2")
    table = page.locator("#side .scroll")
    table.evaluate("node => node.scrollTo(0, 150)")
    after_redrawing(page, "#side .scroll")
    assert table.evaluate("node => node.scrollTop") == 150


def test_news_wait_for_a_pressed_button(
    page: Page, server: PageServer, runs: RunStore, sweep_record: SweepRecord
) -> None:
    """No click reaches a link that is replaced under it."""
    runs.create_sweep(sweep_record)
    runs.objects.write(layout.lease("cnn-1"), b"{}")
    page.goto(server.url)
    page.get_by_role("link", name="cnn-1").hover()
    after_redrawing(page, "tbody")
    page.mouse.down()
    # a press is waited for as long as one may last
    page.evaluate("(now => Date.now = () => now)(Date.now())")
    for _ in range(2):
        with page.expect_response("**/api/store.json"):
            pass
    page.mouse.up()
    page.get_by_role("link", name="Test scores").wait_for()


def test_news_leave_the_time_line_where_it_was_slid_to(
    page: Page, server: PageServer, runs: RunStore, sweep_record: SweepRecord
) -> None:
    write_large_sweep(runs, sweep_record, 60)
    runs.objects.write(layout.lease("cnn-1"), b"{}")
    page.goto(server.sweep_url("cnn-1"))
    page.locator("#chart-timeline").scroll_into_view_if_needed()
    page.locator("#chart-timeline canvas").first.wait_for()
    chart = "const chart = echarts.getInstanceByDom(document.getElementById('chart-timeline'));"
    lanes = f"() => {{ {chart} const [zoom] = chart.getOption().dataZoom; return [zoom.startValue, zoom.endValue]; }}"
    assert page.evaluate(lanes) == [0, 39]
    page.evaluate(f"() => {{ {chart} chart.dispatchAction({{ type: 'dataZoom', startValue: 15, endValue: 54 }}); }}")
    after_redrawing(page, "main .title")
    assert page.evaluate(lanes) == [15, 54]


def test_what_has_no_news_is_not_drawn_again(
    page: Page, server: PageServer, runs: RunStore, sweep_record: SweepRecord
) -> None:
    """A command could not be marked and copied."""
    runs.create_sweep(sweep_record)
    page.goto(server.sweep_url("cnn-1"))
    text = f"cifar-ray job submit cnn --sweep-id cnn-1 --resume{OPTIONS}"
    command = page.get_by_text(text).first
    command.evaluate("node => getSelection().selectAllChildren(node)")
    for _ in range(2):
        with page.expect_response("**/api/sweeps/cnn-1.json"):
            pass
    page.wait_for_timeout(100)
    assert page.evaluate("getSelection().toString()") == text


def test_a_sweep_whose_driver_is_silent_is_not_drawn_again(
    page: Page, server: PageServer, runs: RunStore, sweep_record: SweepRecord
) -> None:
    runs.create_sweep(sweep_record)
    left = LeaseRecord(holder="1", host="head", num_renewals=9, renewed_at="2026-01-01T00:00:00+00:00")
    runs.objects.write(layout.lease("cnn-1"), left.to_json().encode())
    page.goto(server.sweep_url("cnn-1"))
    page.locator("main h1").evaluate("node => getSelection().selectAllChildren(node)")
    for _ in range(2):
        with page.expect_response("**/api/sweeps/cnn-1.json"):
            pass
    page.wait_for_timeout(100)
    assert page.evaluate("getSelection().toString()") == "cnn-1"
    assert page.locator("#liveness").inner_text() == "driver silent since 2026-01-01 00:00 UTC"
    assert page.locator("main .tag.state").first.inner_text() == "running, silent"
    advice = page.locator("main").inner_text()
    assert "Its driver has been silent since 2026-01-01 00:00 UTC." in advice
    assert "cifar-ray job submit cnn --sweep-id cnn-1 --resume" in advice
    # by a clock that is behind; the browser's stands, so that a beat is never long ago
    page.evaluate("(now => Date.now = () => now)(Date.now())")
    runs.objects.write(layout.lease("cnn-1"), replace(left, num_renewals=10).to_json().encode())
    page.locator("#liveness").get_by_text("live", exact=True).wait_for()
    page.locator("main .tag.state").get_by_text("running", exact=True).wait_for()


def test_a_comparison_has_the_mean_of_what_is_evaluated_meanwhile(
    page: Page, server: PageServer, runs: RunStore, put: Callable[..., None], scores: TestScores
) -> None:
    put("cnn-1", 0.6)
    put("cnn-2", seed=1)
    page.goto(f"{server.url}#/compare/cnn-1,cnn-2")
    page.locator("#side table").wait_for()
    assert page.get_by_role("heading", name="Over seeds").count() == 0
    runs.write_test_scores(replace(scores, sweep_id="cnn-2", accuracy=0.62))
    page.get_by_role("heading", name="Over seeds").wait_for()
    assert "61.00" in page.locator("#side table").last.inner_text()
