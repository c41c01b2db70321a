"""The page of real sweeps in a real browser: it shows what the records hold, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import REAL, RESULTS, copied_sweeps, option_of, points_by_trial, save_page, write_large_sweep
from epoch_lines import make_line
from playwright.sync_api import Page

from cifar_ray.finals import Finals
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TestScores, TrialEvent, TrialRecord
from cifar_ray.reporting.formats import setting
from cifar_ray.resource_use import Cost
from cifar_ray.scrutiny import Mistake, ReliabilityBin
from cifar_ray.storage import layout
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NARROW = 360
HOSTILE = '</script><img src=x onerror="window.broken=1"><b>{{payload}}'
DRAWN_IN_S = 5.0
FRAME_S = 0.05
NUM_FRAMES = 40
FRAMES = """(async count => {
    for (let frame = 0; frame < count; frame++) {
        scrollBy({top: 60, behavior: "instant"});
        await new Promise(requestAnimationFrame);
    }
})"""


@pytest.fixture(scope="module")
def real() -> RunStore:
    return RunStore(FolderStore(RESULTS))


@pytest.fixture(scope="module")
def real_page(real: RunStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_page(real, tmp_path_factory.mktemp("page") / "index.html")


def test_curves_of_every_trial(page: Page, real: RunStore, real_page: str) -> None:
    page.goto(f"{real_page}#/sweep/{REAL}")
    drawn = points_by_trial(option_of(page, "chart-curves"))
    metrics = real.metrics(REAL)
    assert sum(map(len, drawn.values())) == len(metrics)
    for line in metrics:
        assert [line.epoch, pytest.approx(100 * line.validation_accuracy, abs=1e-3)] in drawn[line.trial_id]
    page.get_by_role("button", name="Loss", exact=True).click()
    drawn = points_by_trial(option_of(page, "chart-curves"))
    for line in metrics:
        assert [line.epoch, pytest.approx(line.validation_loss, rel=1e-4)] in drawn[line.trial_id]


def test_best_so_far_rungs_and_cost(page: Page, real: RunStore, real_page: str) -> None:
    page.goto(f"{real_page}#/sweep/{REAL}")
    metrics, trials = real.metrics(REAL), real.trials(REAL)
    (best,) = option_of(page, "chart-best")["series"]
    assert best["data"][-1] == [len(metrics), pytest.approx(66.16, abs=1e-2)]
    stopped, others = option_of(page, "chart-rungs")["series"]
    reached = Counter(line.epoch for line in metrics if line.epoch in (1, 4, 16))
    assert len(stopped["data"]) == sum(trial.outcome == "stopped" for trial in trials)
    assert len(stopped["data"]) + len(others["data"]) == reached.total()
    cost = {each["name"]: each["data"][0] for each in option_of(page, "chart-cost")["series"]}
    assert sum(cost.values()) == pytest.approx(sum(2 * line.seconds / line.num_sharing for line in metrics), rel=1e-4)
    assert set(cost) == {"the winner", "completed", "stopped"}


def test_what_was_held_and_its_price(page: Page, real: RunStore, tmp_path: Path) -> None:
    runs, result = copied_sweeps(tmp_path, REAL), real.result(REAL)
    assert result is not None
    cost = Cost(
        device="core", held_s=3600.0, useful_s=1500.0, failed_s=0.0, repeated_s=300.0, price=1234.5, currency="EUR"
    )
    runs.write_result(replace(result, cost=cost))
    address = save_page(runs, tmp_path / "index.html")
    page.goto(address)
    page.get_by_text("1,234.50 EUR").first.wait_for()
    page.goto(f"{address}#/sweep/{REAL}")
    page.get_by_text("1.00 core-hours held: 42 % in epochs of use, 8 % in epochs trained again").first.wait_for()
    drawn = {each["name"]: each["data"][0] for each in option_of(page, "chart-cost")["series"]}
    assert (drawn["trained again"], drawn["no epoch to show"]) == (300, 1800)


def test_the_time_line_tells_waiting_from_lost(
    page: Page, runs: RunStore, sweep_record: SweepRecord, tmp_path: Path
) -> None:
    def at(second: float) -> str:
        return f"2026-01-01T00:00:{second:06.3f}+00:00"

    runs.create_sweep(replace(sweep_record, started_at=at(0), num_trials=1))
    events = (("started", 5), ("lost", 20), ("started", 25), ("ended", 44))
    trial = TrialRecord(
        trial_id="t0000",
        config={},
        outcome="completed",
        num_epochs=2,
        events=tuple(TrialEvent(what=what, at=at(second)) for what, second in events),  # type: ignore[arg-type]
    )
    runs.write_trial("cnn-1", trial)
    line = make_line("t0000", 1, 0.5, seconds=4.0, node="10.0.0.1", ended_at=at(12))
    runs.write_metrics("cnn-1", [line, replace(line, epoch=2, seconds=10.0, ended_at=at(40))])
    page.goto(f"{save_page(runs, tmp_path / 'index.html')}#/sweep/cnn-1")
    (bars,) = option_of(page, "chart-timeline")["series"]
    assert [(bar["kind"], bar["value"][1], bar["value"][2]) for bar in bars["data"]] == [
        ("waiting", 0, 5),
        ("starting", 5, 8),
        ("training", 8, 12),
        ("lost", 12, 20),
        ("waiting", 20, 25),
        ("starting", 25, 30),
        ("training", 30, 40),
        ("ending", 40, 44),
    ]


def test_settings(page: Page, real: RunStore, real_page: str) -> None:
    page.goto(f"{real_page}#/sweep/{REAL}")
    trials = {trial.trial_id: trial for trial in real.trials(REAL)}
    (lines,) = option_of(page, "chart-parallel")["series"]
    assert {line["name"] for line in lines["data"]} == set(trials)
    accuracies = [line["value"][-1] for line in lines["data"]]
    assert accuracies == sorted(accuracies), "the best lie above the others"
    by_rate = option_of(page, "chart-by-learning_rate")["series"]
    assert {point["id"] for series in by_rate for point in series["data"]} == set(trials)
    for series in by_rate:
        for point in series["data"]:
            trial = trials[point["id"]]
            accuracy = 100 * (trial.best_validation_accuracy or 0)
            assert point["value"] == [pytest.approx(trial.config["learning_rate"]), pytest.approx(accuracy)]
            assert trial.outcome == series["name"]
    (bars,) = option_of(page, "chart-importance")["series"]
    assert sum(bars["data"]) == pytest.approx(1)


def test_evaluation(page: Page, real: RunStore, real_page: str) -> None:
    scores = real.test_scores(REAL)
    assert scores is not None
    page.goto(f"{real_page}#/sweep/{REAL}/test")
    bars, intervals, report = option_of(page, "chart-classes")["series"]
    assert bars["data"] == pytest.approx([100 * value for value in scores.accuracy_by_class.values()])
    assert len(intervals["data"]) == 10
    assert all(low < bars["data"][index] < high for index, low, high in intervals["data"])
    assert report["data"][0] == pytest.approx(77.0)
    (cells,) = option_of(page, "chart-confusion")["series"]
    assert len(cells["data"]) == 100
    for column, row, _, images in (cell["value"] for cell in cells["data"]):
        assert scores.confusion_matrix[row][column] == images
    assert "64.14 to 66.01" in page.locator("#table").inner_text()
    assert "hold no confidences" in page.locator("#reliability").inner_text()  # older than these fields


def test_sorting_and_filtering_stay_in_the_address(page: Page, real: RunStore, real_page: str) -> None:
    page.goto(f"{real_page}#/sweep/{REAL}")
    rows = page.locator("#trials tbody tr")
    page.locator("#trials").get_by_role("button", name="learning rate").press("Enter")
    rates = sorted((trial.config["learning_rate"], trial.trial_id) for trial in real.trials(REAL))
    assert rows.first.get_attribute("data-row") == rates[-1][1]
    page.locator("#outcome").select_option("completed")
    assert rows.count() == 3
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    assert rows.count() == 3
    assert page.locator("#trials th[aria-sort=descending]").inner_text().startswith("learning rate")

    page.goto(f"{real_page}#/")
    page.locator("#filter").fill("f23b evaluated")
    assert page.locator("main tbody tr").count() == 1
    page.locator("#filter").fill("no such sweep")
    assert "No sweep matches" in page.locator("main").inner_text()


def test_other_colours_leave_the_reader_where_he_was(page: Page, real_page: str) -> None:
    page.goto(f"{real_page}#/sweep/{REAL}")
    accent = option_of(page, "chart-best")["series"][0]["color"]
    table = page.locator("#trials .scroll")
    table.evaluate("node => node.scrollTo(0, 150)")
    place = page.evaluate("scrollY")
    button = page.locator("#theme")
    button.press("Enter")
    assert option_of(page, "chart-best")["series"][0]["color"] != accent
    assert button.evaluate("node => node === document.activeElement")
    assert (page.evaluate("scrollY"), table.evaluate("node => node.scrollTop")) == (place, 150)


def test_it_is_printed_whole_and_on_white(page: Page, real_page: str) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(f"{real_page}#/sweep/{REAL}")
    width = "document.querySelector('#chart-curves canvas').clientWidth"
    theme = "document.documentElement.dataset.theme"
    option_of(page, "chart-curves")
    before = page.evaluate(width)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(theme) == "light"
    charts = page.locator(".chart:visible")
    assert charts.count() == page.locator(".chart canvas:visible").count(), "a second canvas would hide the first"
    assert all(chart.evaluate("node => node.querySelector('canvas').clientWidth") < 680 for chart in charts.all())
    assert page.locator("#trials .scroll").evaluate("node => node.scrollHeight - node.clientHeight") == 0
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert (page.evaluate(theme), page.evaluate(width)) == ("dark", before)

    page.goto(f"{real_page}#/sweep/{REAL}/test")
    option_of(page, "chart-confusion")
    page.evaluate("(now => Date.now = () => (now += 1000))(Date.now())")  # a busy machine: ECharts puts the rest off
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    opacity = "node => node.getContext('2d').getImageData(node.width / 2, node.height / 2, 1, 1).data[3]"
    assert page.locator("#chart-confusion canvas").first.evaluate(opacity) > 0, "its cells come from another canvas"
    page.goto(f"{real_page}#/sweep/{REAL}")
    option_of(page, "chart-curves")


def test_deep_links_and_comparison(page: Page, real: RunStore, real_page: str) -> None:
    page.goto(f"{real_page}#/sweep/{REAL}/trial/t0009")
    assert "66.16 %" in page.locator("main").inner_text()
    validation, _ = option_of(page, "chart-trial-accuracy")["series"]
    assert len(validation["data"]) == 30
    page.goto(f"{real_page}#/sweep/{REAL}/trial/t9999")
    assert "no trial t9999" in page.locator("main").inner_text()
    page.goto(f"{real_page}#/sweep/other-1")
    assert "holds nothing about other-1" in page.locator("main").inner_text()

    page.goto(f"{real_page}#/")
    for sweep in (REAL, "cnn-20261123-140840-f23b"):
        page.get_by_role("checkbox", name=f"compare {sweep}").check()
    page.get_by_role("link", name="Compare 2 sweeps").click()
    first, second = option_of(page, "chart-compare")["series"]
    assert {round(first["data"][-1][1], 2), round(second["data"][-1][1], 2)} == {66.16, 64.74}


def test_the_file_is_small_enough(real: RunStore, real_page: str) -> None:
    """A megabyte and a half for the page itself, and most of a sweep's are its pictures of mistakes."""
    assert Path(real_page.removeprefix("file://")).stat().st_size < (1.5 + 0.16 * len(real.sweep_ids())) * 2**20


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_no_serious_fault(page: Page, real_page: str, colours: str) -> None:
    page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
    for place in ("", f"sweep/{REAL}", f"sweep/{REAL}/test", f"sweep/{REAL}/trial/t0009", "compare/" + REAL):
        page.goto("about:blank")
        page.goto(f"{real_page}#/{place}")
        page.locator("main h1").wait_for()
        found = Axe().run(page).response["violations"]
        serious = [
            (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], place


@pytest.mark.parametrize("place", ["", f"sweep/{REAL}", f"sweep/{REAL}/test", f"sweep/{REAL}/trial/t0009"])
def test_a_phone_need_not_scroll_sideways(page: Page, real_page: str, place: str) -> None:
    page.set_viewport_size({"width": NARROW, "height": 700})
    page.goto(f"{real_page}#/{place}")
    page.locator("main h1").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW


def test_a_thousand_trials(page: Page, runs: RunStore, sweep_record: SweepRecord, tmp_path: Path) -> None:
    """In seconds of the page's own thread: what else the cores do at that moment is no matter."""
    write_large_sweep(runs, sweep_record, 1000)
    address = save_page(runs, tmp_path / "index.html")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy_s() -> float:
        found = devtools.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in found if each["name"] == "TaskDuration")

    page.goto(f"{address}#/sweep/cnn-1")
    page.locator("#trials tbody tr").nth(999).wait_for(state="attached")
    page.evaluate(f"{FRAMES}(2)")
    drawn_s = busy_s()
    lines = points_by_trial(option_of(page, "chart-curves")).values()
    assert sum(map(len, lines)) == len(runs.metrics("cnn-1"))
    before_s = busy_s()
    page.evaluate(f"{FRAMES}({NUM_FRAMES})")
    assert drawn_s < DRAWN_IN_S
    assert busy_s() - before_s < NUM_FRAMES * FRAME_S


def test_hostile_names_are_text(
    page: Page,
    runs: RunStore,
    sweep_record: SweepRecord,
    trial_record: TrialRecord,
    epoch_metrics: list[EpochMetrics],
    result: SweepResult,
    scores: TestScores,
    tmp_path: Path,
) -> None:
    dataset = replace(sweep_record.dataset, name=HOSTILE, source=HOSTILE)
    runs.create_sweep(replace(sweep_record, dataset=dataset, commit=HOSTILE, hardware={HOSTILE: HOSTILE}))
    config = {"model": HOSTILE, HOSTILE: HOSTILE, "__proto__": 1}
    runs.write_trial("cnn-1", replace(trial_record, config=config))
    failed = replace(trial_record, trial_id="t0001", config=config | {"model": "b"}, outcome="failed", error=HOSTILE)
    runs.write_trial("cnn-1", failed)
    runs.write_metrics("cnn-1", [replace(line, device=HOSTILE, node=HOSTILE) for line in epoch_metrics])
    runs.write_result(result)
    by_class = {HOSTILE: 0.5, "b": 0.5}
    mistake = Mistake(
        index=0, true_class=HOSTILE, predicted_class="b", confidence=0.9, png='x" onerror="window.broken=1'
    )
    matrix = ((1, 1), (1, 1))
    scores = replace(scores, dataset=dataset, accuracy_by_class=by_class, confusion_matrix=matrix)
    scores = replace(scores, mistakes=(mistake,), remarks=(HOSTILE,))
    runs.write_test_scores(replace(scores, confusion_matrix=((5, 5), (5, 5))))
    address = save_page(runs, tmp_path / "index.html")
    for place in ("", "sweep/cnn-1", "sweep/cnn-1/test", "sweep/cnn-1/trial/t0001"):
        page.goto("about:blank")
        page.goto(f"{address}#/{place}")
        page.locator("main h1").wait_for()
        for chart in page.locator(".chart:visible").all():
            chart.scroll_into_view_if_needed()
            chart.hover()
        assert page.evaluate("window.broken") is None
        assert page.locator("img[src=x], b b, main script").count() == 0
        assert HOSTILE in page.locator("body").inner_text()
    page.goto(f"{address}#/sweep/cnn-1")
    option_of(page, "chart-by-model")
    page.evaluate(
        "echarts.getInstanceByDom(document.getElementById('chart-by-model'))"
        ".dispatchAction({type: 'showTip', seriesIndex: 0, dataIndex: 0})"
    )
    assert HOSTILE in page.locator(".tip").inner_text()
    assert page.evaluate("window.broken") is None


def test_reliability_mistakes_and_shapes(
    page: Page,
    runs: RunStore,
    sweep_record: SweepRecord,
    result: SweepResult,
    shapes_scores: TestScores,
    tmp_path: Path,
) -> None:
    runs.create_sweep(replace(sweep_record, dataset=shapes_scores.dataset))
    runs.write_result(result)
    bins = tuple(
        ReliabilityBin(low=low, high=low + 0.5, num_images=images, confidence=confidence, accuracy=accuracy)
        for low, images, confidence, accuracy in ((0.0, 0, None, None), (0.5, 200, 0.9, 0.8))
    )
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    mistake = Mistake(index=7, true_class="circle", predicted_class="square", confidence=0.987, png=png)
    runs.write_test_scores(replace(shapes_scores, num_images=200, reliability=bins, mistakes=(mistake,)))
    address = save_page(runs, tmp_path / "index.html")
    for place in ("sweep/cnn-1", "sweep/cnn-1/test", "sweep/cnn-1/trial/t0000"):
        page.goto("about:blank")
        page.goto(f"{address}#/{place}")
        assert page.locator(".banner").inner_text().startswith("NOT CIFAR-10")
    page.goto(f"{address}#/sweep/cnn-1/test")
    _, model = option_of(page, "chart-reliability")["series"]
    assert model["data"] == [[pytest.approx(90), pytest.approx(80)]]
    assert "expected calibration error, is 10.0 points" in page.locator("#reliability").inner_text()
    image = page.get_by_role("img", name="a circle, test image 7")
    assert image.evaluate("image => image.naturalWidth") == 1
    assert "square 98.7 %" in page.locator("#mistakes").inner_text()


def test_finals_have_a_card_where_there_were_any(
    page: Page, real: RunStore, tmp_path: Path, real_page: str, finals_of: Callable[..., Finals]
) -> None:
    page.goto(f"{real_page}#/sweep/{REAL}")
    page.get_by_text("What came out").first.wait_for()
    assert page.locator("#finals").is_hidden()
    runs, result = copied_sweeps(tmp_path, REAL), real.result(REAL)
    assert result is not None
    longer = replace(runs.sweep(REAL), num_finalists=1, num_seeds=2, final_epochs=60)
    runs.objects.write(layout.sweep_record(REAL), longer.to_json().encode())
    runs.write_result(replace(result, finals=finals_of(result.ranking[0], 0.6616, 0.60, 0.62)))
    page.goto(f"{save_page(runs, tmp_path / 'index.html')}#/sweep/{REAL}")
    card = page.locator("#finals")
    card.get_by_text("wins with a mean validation accuracy of 61.00 % over 2 seeds").wait_for()
    assert card.locator("tbody tr").inner_text().split("\t") == [
        *(result.ranking[0], "66.16", "2", "61.00", "48.29 to 73.71", "5.16")
    ]
    assert "finals: the best 1 on 2 seeds each, 60 epochs" in page.locator("main").inner_text()


def test_the_winner_is_whom_the_finals_chose(page: Page, tmp_path: Path) -> None:
    """Beside a test accuracy stand the settings that it is of."""
    sweep = "fast-20261126-082542-6d4f82a5"
    runs = copied_sweeps(tmp_path, sweep)
    page.goto(f"{save_page(runs, tmp_path / 'index.html')}#/sweep/{sweep}")
    findings = page.locator("#findings")
    findings.get_by_text("Which settings won?").wait_for()
    scores = runs.test_scores(sweep)
    assert scores is not None
    text = findings.inner_text()
    assert f"{scores.trial_id} with 87." in text
    assert "%, of one model on these images (the best of 8 trials is an optimistic estimate): " in text
    assert "at epoch 3 of the search, chosen by the finals before t0002, the best of the search" in text
    assert "90.72 %\ntrial t0007, retrained in the finals" in page.locator(".tiles").inner_text()
    (rate,) = (trial.config["learning_rate"] for trial in runs.trials(sweep) if trial.trial_id == scores.trial_id)
    assert setting("learning_rate", {"learning_rate": rate}) in findings.locator(".chips").inner_text()
    # the finals trained most of its epochs, and took most of what it cost
    rows = {each.split("\t")[0]: each.split("\t")[1:] for each in page.locator("#cost tbody tr").all_inner_texts()}
    result = runs.result(sweep)
    assert result is not None
    assert result.cost is not None
    assert (rows["finals"][1], rows["all"][1]) == ("52", str(result.num_epochs))
    assert int(rows["finals"][3].split()[0]) > 60
    assert rows["all"][2].startswith(f"{result.cost.held_s / 3600:.0f} h"), "all that was held"


def test_a_population_says_whose_heir_a_trial_is(page: Page, tmp_path: Path, real_page: str) -> None:
    runs = copied_sweeps(tmp_path, REAL)
    population = replace(runs.sweep(REAL), searcher="pbt", max_epochs=6)
    runs.objects.write(layout.sweep_record(REAL), population.to_json().encode())
    runs.write_trial(REAL, replace(runs.trials(REAL)[9], parent="t0003"))
    page.goto(f"{save_page(runs, tmp_path / 'index.html')}#/sweep/{REAL}/trial/t0009")
    page.get_by_role("link", name="t0003").click()
    page.get_by_role("heading", name="Trial t0003").wait_for()
    said = page.locator("main").inner_text()
    assert "parent" not in said
    assert "30 trials; a population of 6, 5 generations of 6 epochs" in said
    page.goto(f"{page.url.partition('#')[0]}#/sweep/{REAL}")
    heir = page.locator("#trials tr[data-row=t0009]")
    heir.wait_for()
    assert heir.inner_text().split("\t")[:3] == ["t0009", "1", "t0003"]
    said = page.locator("main").inner_text()
    assert "owes a part of its accuracy to the weights that it began with" in said
    assert "stopped one counts" not in said
