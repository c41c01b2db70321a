// Two or more sweeps side by side.

function compareView(root, ids) {
  const wanted = ids.split(",");
  const bars = chartPlace("chart-compare-scores", 60 + 46 * wanted.length);
  const table = el("div"), caption = el("p", { class: "note" });
  const best = bestCourses();
  root.append(el("h1", {}, "Compare"), card("Side by side", "side", table), card("Scores", "scores", figure(bars), caption), best.node);

  function update() {
    const found = wanted.map((id) => app.details.get(id)).filter(Boolean);
    const rows = found.map(({ row }) => row);
    const apart = whyApart(found);
    fill(table, wanted.length > found.length ? empty("A sweep cannot be shown", wanted.filter((id) => !app.details.has(id)).join(", ")) : null,
      plainTable("Sweeps side by side", ["", ...rows.map((row) => link(sweepAddress(row.id), row.id))], sideBySide(found)), overSeeds(wanted));
    drawScores(bars, rows, !apart);
    bars.node.hidden = Boolean(apart) && !rows.some(({ test }) => test);
    caption.textContent = `Filled: test accuracy with its 95 % Wilson interval, which is of the number of images alone, not of another seed. ${apart ?? "Hollow: best validation accuracy of the training that is scored."}`;
    best.node.hidden = Boolean(apart);
    if (!apart) best.update(found);
  }
  return { update, needs: wanted };
}

/** Why no validation accuracy of these sweeps may be set against another's; null where nothing is against it. */
function whyApart(found) {
  const differ = (of) => new Set(found.map(({ sweep }) => of(sweep.dataset))).size > 1;
  const why = differ(({ fingerprint }) => fingerprint) ? "The training images differ (SHA-256)"
    : differ(({ validation_share: share }) => share) ? "Some hold out more of the images for validation than others" : null;
  return why && `${why}: no validation accuracy is set against another.`;
}

function sideBySide(found) {
  const rows = found.map(({ row }) => row);
  const sweeps = found.map(({ sweep }) => sweep);
  return [
    ["state", ...rows.map(stateTag)], ["study", ...rows.map((row) => row.study)], ["data", ...rows.map(dataTag)],
    ["data SHA-256", ...sweeps.map(({ dataset }) => dataset.fingerprint.slice(0, 12))],
    ["images", ...sweeps.map(({ dataset }) => `${count(dataset.num_train)} to train, ${count(dataset.num_validation)} to validate`)],
    ["chosen by", ...sweeps.map((sweep) => sweep.chosen_by)],
    ["seed", ...rows.map((row) => String(row.seed))],
    ["trials × epochs", ...rows.map((row) => `${row.num_trials} × ${row.max_epochs}`)],
    ["best validation %", ...rows.map((row) => percent(row.best_validation))],
    ["test %", ...rows.map((row) => percent(row.test?.accuracy))],
    ["95 % interval", ...rows.map((row) => (row.test ? intervalText(row.test.interval) : MISSING))],
    ["epochs trained", ...rows.map((row) => count(row.num_epochs))],
    ["wall time", ...rows.map((row) => duration(row.wall_s) + withPauses(row))], ["cost", ...rows.map((row) => row.cost?.text ?? MISSING)],
    ["commit", ...sweeps.map((sweep) => sweep.commits.join(", "))],
    ...settingNames(found).map(([name, label]) => [`winner: ${label}`, ...found.map((each) => winnerOf(each)?.settings[name] ?? MISSING)]),
  ];
}

const settingNames = (found) => (found[0]?.settings ?? []).map(({ name, label }) => [name, label])
  .filter(([name]) => found.some((each) => ![undefined, MISSING].includes(winnerOf(each)?.settings[name])));
const winnerOf = (detail) => detail.trials.find((trial) => trial.trial_id === detail.row.winner);

/** Mean test accuracies over seeds, of each kind of sweep of which two or more are compared. */
function overSeeds(wanted) {
  const shown = (app.payload.seed_means ?? []).filter(({ sweep_ids: ids }) => ids.filter((id) => wanted.includes(id)).length > 1);
  return shown.length ? [el("h3", {}, "Over seeds"),
    plainTable("Test accuracy over seeds", ["sweeps", "mean test %", "95 % interval of the mean"],
      shown.map((each) => [each.title, percent(each.mean), intervalText(each.interval)])),
    el("p", { class: "note" }, "All evaluated sweeps on this page that are alike in all but the seed (and the commit), the newest of each seed; the interval, by Student's t, is over seeds.")] : null;
}

const sweepColour = (index) => palette()[index % palette().length];

function bestCourses() {
  const place = chartPlace("chart-compare", 340);
  const legend = el("ul", { class: "legend" });
  const node = card("Best so far", "best", figure(place), legend, el("p", { class: "note" }, "Best validation accuracy of all trials of the search so far. Times are wall time since each sweep began; sweeps that kept none are compared by epochs."));
  function update(found) {
    const steps = found.map(bestSoFar);
    const hasTimes = steps.flat().every(({ ended }) => ended);
    const x = (each, step) => (hasTimes ? secondsInto(each.sweep, step.ended) : step.number);
    place.draw({
      xAxis: axis(hasTimes ? "seconds since the sweep began" : "epochs of all trials", { min: 0 }), yAxis: axis("best validation accuracy (%)", { nameGap: 36 }),
      tooltip: tooltip((params) => [params.seriesName, [[hasTimes ? "after" : "epochs", hasTimes ? duration(params.value[0]) : params.value[0]], ["best so far", `${params.value[1].toFixed(2)} %`]]]),
      series: found.map((each, index) => ({
        type: "line", name: each.row.id, step: "end", symbolSize: 5, lineStyle: { width: 2.5, type: index % 2 ? "dashed" : "solid" },
        color: sweepColour(index), data: steps[index].map((step) => [x(each, step), 100 * step.best]),
      })),
    }, found.map(({ row }, index) => `${row.id}: best validation accuracy ${percentSign(steps[index].at(-1)?.best)}`).join("; "));
    fill(legend, found.map(({ row }, index) => el("li", {}, el("i", { style: { background: sweepColour(index) }, "aria-hidden": "true" }), row.id)));
  }
  return { node, update };
}

function drawScores(place, rows, hasValidation) {
  const points = (accuracy) => rows.flatMap((row, index) => (isNumber(accuracy(row)) ? [{ value: [100 * accuracy(row), index], itemStyle: { color: sweepColour(index) } }] : []));
  place.draw({
    xAxis: axis("accuracy (%)"), yAxis: axis("", { type: "category", inverse: true, data: rows.map((row) => row.id), axisLabel: { color: ink("ink"), overflow: "break", lineHeight: 13, width: Math.max(130, place.node.clientWidth / 4) } }),
    tooltip: tooltip((params) => [rows[params.value[1]].id, [[params.seriesName, `${params.value[0].toFixed(2)} %`]]]),
    series: [
      { type: "scatter", name: "best validation", symbol: "emptyCircle", symbolSize: 11, data: points((row) => (hasValidation ? row.best_validation : null)) },
      { type: "scatter", name: "test", symbolSize: 11, data: points((row) => row.test?.accuracy) },
      {
        type: "custom", name: "95 % interval", z: 1, encode: { x: [0, 2], y: 1 }, data: rows.flatMap(({ test }, index) => (test ? [[100 * test.interval[0], index, 100 * test.interval[1]]] : [])),
        renderItem: (params, api) => {
          const [from, y] = api.coord([api.value(0), api.value(1)]);
          const [to] = api.coord([api.value(2), api.value(1)]);
          return { type: "line", shape: { x1: from, x2: to, y1: y, y2: y }, style: { stroke: sweepColour(api.value(1)), lineWidth: 3 } };
        },
      },
    ],
  }, rows.map((row) => `${row.id}: ${hasValidation ? `validation ${percentSign(row.best_validation)}, ` : ""}test ${percentSign(row.test?.accuracy)}`).join("; "));
}
