import re
from collections.abc import Callable
from dataclasses import replace

from cifar_ray.finals import Finals
from cifar_ray.provenance import Interruption, Resumption
from cifar_ray.records import SweepRecord, SweepResult, TestScores
from cifar_ray.reporting.tables import confusion_table, report_markdown, scores_table
from cifar_ray.scrutiny import SeedScore

HOSTILE = "a|b<script>`c`*d*[e](f)\n# g"


def rows(table: str) -> dict[str, list[str]]:
    """Cells by row label, as a Markdown reader splits them: at bars that no backslash escapes."""
    split = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]
    assert len({len(cells) for cells in split}) == 1, "every row has as many cells as the heading"
    return {cells[0]: cells[1:] for cells in split}


def test_a_row_holds_ours_and_the_reports(scores: TestScores) -> None:
    table = rows(scores_table([scores]))
    assert table[""] == ["ours: CNN", "report: CNN"]
    assert table["accuracy"] == ["64.38", "64.4"]
    assert table["cat"] == ["41.5", "41.5"]
    assert table["validation accuracy"] == ["67.10", "67.1"]
    assert table["epoch"] == ["27", "27"]
    assert table["learning rate"] == ["0.0039", "0.0039"]
    assert table["loss"] == ["1.0321", "–"]


def test_confusion_matrix_has_true_classes_in_rows(shapes_scores: TestScores) -> None:
    table = rows(confusion_table(shapes_scores))
    assert table["true ↓ predicted →"] == ["circle", "square"]
    assert (table["circle"], table["square"]) == (["90", "10"], ["30", "70"])


def test_document_says_where_every_number_comes_from(
    scores: TestScores, sweep_record: SweepRecord, result: SweepResult
) -> None:
    noted = replace(scores, remarks=("epoch 28 was damaged",))
    text = report_markdown([noted], {"cnn-1": sweep_record}, {"cnn-1": result})
    for part in (
        "sweep cnn-1",
        "trial t0003",
        "source: cifar10",
        "SHA-256 abababababab (train), cdcdcdcdcdcd (test)",
        "seed 0",
        "commit abc (sweep), abc123 (test)",
        "torch 2.13.0",
        "NVIDIA H100 at 2026-01-01T02:00:00+00:00",
        "2 trials (1 completed, 1 stopped), 5 epochs, 3 min 07 s of wall time, 1 h 05 min of accelerators",
        "remark: epoch 28 was damaged",
        "cnn-1/report/figures/curves.png)",
        "cnn-1/report/figures/confusion.png)",
    ):
        assert part in text
    assert "official archive" not in text


def test_a_wall_time_in_which_it_lay_still_says_so(
    scores: TestScores, sweep_record: SweepRecord, result: SweepResult
) -> None:
    resumed = replace(sweep_record, interruptions=(Interruption(at="2026-01-01T00:30:00+00:00", why="a signal"),))
    text = report_markdown([scores], {"cnn-1": resumed}, {"cnn-1": result})
    assert "3 min 07 s of wall time with pauses, 1 h 05 min of accelerators" in text


def test_what_a_resumed_sweep_went_on_with_is_told(scores: TestScores, sweep_record: SweepRecord) -> None:
    same = Resumption(
        at="2026-01-02T00:00:00+00:00",
        commit=sweep_record.commit,
        versions=sweep_record.versions,
        hardware=sweep_record.hardware,
    )
    newer = {**sweep_record.versions, "torch": "9.9"}
    other = replace(same, commit="def", versions=newer, hardware={**sweep_record.hardware, "cpus": "64"})
    text = report_markdown([scores], {"cnn-1": replace(sweep_record, resumptions=(same, other))}, {})
    assert "- resumed at 2026-01-02T00:00:00+00:00\n" in text
    assert "- resumed at 2026-01-02T00:00:00+00:00: commit def, torch 9.9, cpus 64\n" in text


def test_document_warns_of_other_data(scores: TestScores, shapes_scores: TestScores, sweep_record: SweepRecord) -> None:
    copy = replace(scores, dataset=replace(scores.dataset, source="/d/cifar10-jpeg", name="cifar10-jpeg"))
    assert "not the official archive" in report_markdown([copy], {"cnn-1": sweep_record}, {})
    assert "not CIFAR-10" in report_markdown([shapes_scores], {"cnn-1": sweep_record}, {})


def test_a_sweep_without_a_result_has_no_cost(scores: TestScores, sweep_record: SweepRecord) -> None:
    assert "cost" not in report_markdown([scores], {"cnn-1": sweep_record}, {})


def test_names_cannot_break_the_document(scores: TestScores, sweep_record: SweepRecord) -> None:
    hostile = replace(
        scores, dataset=replace(scores.dataset, name=HOSTILE, source=HOSTILE), remarks=(HOSTILE,), device=HOSTILE
    )
    assert rows(scores_table([hostile]))["data"][0].startswith("a\\|b\\<script\\>")
    text = report_markdown([hostile], {"cnn-1": sweep_record}, {})
    assert not re.search(r"(?<!\\)<script", text)
    assert not re.search(r"(?<!\\)`c", text)
    assert not re.search(r"(?<!\\)\[e", text)
    assert "\n# g" not in text


def test_an_underscore_inside_a_word_stays_bare(scores: TestScores) -> None:
    named = replace(scores, dataset=replace(scores.dataset, name="my_data _x_"))
    assert rows(scores_table([named]))["data"][0] == r"my_data \_x\_"


def test_finals_stand_in_the_document(
    scores: TestScores, sweep_record: SweepRecord, result: SweepResult, finals_of: Callable[..., Finals]
) -> None:
    finals = finals_of("t0003", 0.671, 0.60, 0.62)
    seed = SeedScore(trial_id="t0001", seed=4711, epoch=27, validation_accuracy=0.62, accuracy=scores.accuracy)
    sweep = replace(
        sweep_record, num_finalists=1, num_seeds=2, final_epochs=27, best_of="cnn-0", changes=("cutout=8", "mixup=0.2")
    )
    text = report_markdown(
        [replace(scores, seeds=(seed,))], {"cnn-1": sweep}, {"cnn-1": replace(result, finals=finals)}
    )
    assert "searcher: the best of cnn-0 with cutout=8, mixup=0.2;" in text
    assert "at most 4 epochs; finals: the best 1 on 2 seeds each, 27 epochs" in text
    assert "winner: trial t0003, retrained with seed 4711, epoch 27" in text
    assert "| t0003 | 67.10 | 2 | 61.00 | 48.29 to 73.71 | 6.10 |" in text
    assert "(1 completed, 1 stopped) and 2 trainings of its finals" in text
