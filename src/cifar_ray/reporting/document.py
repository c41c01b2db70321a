"""Builds a report from the store's records: the document, its figures and the page."""

from __future__ import annotations

from collections.abc import Sequence

from cifar_ray.records import TestScores
from cifar_ray.reporting.figures import confusion_figure, curves_figure
from cifar_ray.reporting.formats import usage_text
from cifar_ray.reporting.html import file_page
from cifar_ray.reporting.payload import page_payload
from cifar_ray.reporting.tables import CONFUSION, CURVES, report_markdown
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore


def render_report(runs: RunStore, scores: Sequence[TestScores]) -> dict[str, bytes]:
    """From key to content: each sweep's own figures, and in every sweep's report the table and page of all sweeps."""
    sweeps = {each.sweep_id: runs.sweep(each.sweep_id) for each in scores}
    results = {sweep_id: result for sweep_id in sweeps if (result := runs.result(sweep_id)) is not None}
    usage = {sweep_id: usage_text(runs.objects.sizes(sweep_id)) for sweep_id in sweeps}
    document = report_markdown(scores, sweeps, results, usage).encode()
    page = file_page(page_payload(runs, list(sweeps))).encode()
    files: dict[str, bytes] = {}
    for each in scores:
        curves = curves_figure(sweeps[each.sweep_id], runs.metrics(each.sweep_id))
        files[layout.report(each.sweep_id, CURVES)] = curves
        files[layout.report(each.sweep_id, CONFUSION)] = confusion_figure(each)
        files[layout.report(each.sweep_id, "table.md")] = document
        files[layout.report(each.sweep_id, "index.html")] = page
    return files
