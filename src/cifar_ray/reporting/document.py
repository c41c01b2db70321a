"""Builds a report from the store's records: the document, its figures and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cifar_ray.errors import CifarRayError, RecordError
from cifar_ray.records import TestScores
from cifar_ray.reporting.figures import confusion_figure, curves_figure
from cifar_ray.reporting.formats import usage_text
from cifar_ray.reporting.html import file_page
from cifar_ray.reporting.payload import page_payload, sweep_payload
from cifar_ray.reporting.tables import CONFUSION, CURVES, report_markdown
from cifar_ray.storage import layout
from cifar_ray.storage.patient_store import PatientStore
from cifar_ray.storage.runs import RunStore

TABLE, PAGE = "table.md", "index.html"


def write_reports(
    runs: RunStore, scores: Sequence[TestScores], on_failure: Callable[[CifarRayError], None]
) -> list[str]:
    """Store the sweeps' reports; returns the addresses of their pages. What fails goes to `on_failure`."""
    patient = RunStore(PatientStore(runs.objects))
    try:
        files = render_report(patient, scores, on_failure)
        for key, content in files.items():
            patient.objects.write(key, content)
    except CifarRayError as error:
        on_failure(error)
        return []
    return [f"{runs.objects.uri}/{key}" for key in files if key.endswith(f"/{PAGE}")]


def render_report(
    runs: RunStore, scores: Sequence[TestScores], on_unreadable: Callable[[RecordError], None]
) -> dict[str, bytes]:
    """From key to content: each sweep's own figures, and in every sweep's report the table and page of all sweeps.

    A sweep whose records cannot be read is left out, and its error goes to `on_unreadable`.
    """
    files: dict[str, bytes] = {}
    details: dict[str, Any] = {}
    for each in scores:
        sweep_id = each.sweep_id
        try:
            curves = curves_figure(runs.sweep(sweep_id), runs.metrics(sweep_id))
            details[sweep_id] = sweep_payload(runs, sweep_id)
        except RecordError as error:
            on_unreadable(RecordError(f"no report of sweep {sweep_id}: {error.message}", error.hint))
            continue
        files[layout.report(sweep_id, CURVES)] = curves
        files[layout.report(sweep_id, CONFUSION)] = confusion_figure(each)
    return files | _shared_files(runs, [each for each in scores if each.sweep_id in details], details)


def _shared_files(runs: RunStore, scores: Sequence[TestScores], details: Mapping[str, Any]) -> dict[str, bytes]:
    """The table and the page, once for each sweep."""
    sweeps = {sweep_id: runs.sweep(sweep_id) for sweep_id in details}
    results = {sweep_id: result for sweep_id in details if (result := runs.result(sweep_id)) is not None}
    usage = {sweep_id: usage_text(runs.objects.sizes(sweep_id)) for sweep_id in details}
    document = report_markdown(scores, sweeps, results, usage).encode()
    page = file_page(page_payload(runs, details)).encode()
    shared = {TABLE: document, PAGE: page}
    return {layout.report(sweep_id, name): content for sweep_id in details for name, content in shared.items()}
