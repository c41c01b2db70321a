// All sweeps of the store: filter, sort, compare.

function overviewView(root) {
  const chosen = new Set(recall("with", "").split(",").filter(Boolean));
  const filter = el("input", { type: "search", id: "filter", value: recall("find", ""), placeholder: "study, data, state, id …", oninput: () => (remember("find", filter.value), update()) });
  const go = el("a", { class: "button", role: "link" }, "Compare");
  const table = sortableTable({
    name: "sort", caption: "Sweeps", order: "-started", rowKey: (row) => row.id, columns: overviewColumns(chosen, showChosen),
  });
  const nothing = el("div");
  const numbers = el("p", { class: "lead" });
  root.append(
    el("h1", {}, "Sweeps"), numbers,
    el("div", { class: "tools" }, el("label", { for: "filter" }, "Filter"), filter, go), table.node, nothing);

  function showChosen() {
    const ids = [...chosen].filter((id) => app.payload.sweeps.some((row) => row.id === id));
    remember("with", ids.join(","));
    go.textContent = ids.length < 2 ? "Tick two or more to compare" : `Compare ${ids.length} sweeps`;
    if (ids.length < 2) {
      go.removeAttribute("href");
      go.setAttribute("aria-disabled", "true");
    } else {
      go.href = `#/compare/${ids.map(encodeURIComponent).join(",")}`;
      go.removeAttribute("aria-disabled");
    }
  }

  function update() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (row) => [row.id, row.study, row.data, row.state, row.is_cifar10 === false ? "not cifar-10" : ""].join(" ").toLowerCase();
    const rows = app.payload.sweeps.filter((row) => words.every((word) => text(row).includes(word)));
    table.update(rows);
    table.node.hidden = rows.length === 0;
    numbers.textContent = `${plural(app.payload.sweeps.length, "sweep")} in ${app.payload.store}` +
      (words.length ? `, ${rows.length} shown` : "");
    fill(nothing, rows.length ? null : app.payload.sweeps.length
      ? empty("No sweep matches the filter", "Clear it to see all.")
      : empty("There is no sweep in this store yet", "Start one with ", command("cifar-ray job submit cnn"), " or try the whole way with ", command("make demo"), "."));
    showChosen();
  }

  return { update, needs: [] };
}

function overviewColumns(chosen, onChoose) {
  const tick = (row) => el("input", {
    type: "checkbox", "aria-label": `compare ${row.id}`, checked: chosen.has(row.id), disabled: row.state === "unreadable",
    onchange: (event) => (event.currentTarget.checked ? chosen.add(row.id) : chosen.delete(row.id), onChoose()),
  });
  return [
    {
      key: "id", label: "sweep", isText: true, value: (row) => row.id,
      cell: (row) => el("span", { class: "pick" }, tick(row), row.state === "unreadable"
        ? el("span", {}, row.id, el("small", { class: "problem" }, row.problem, row.hint ? ` (${row.hint})` : ""))
        : el("span", {}, link(sweepAddress(row.id), row.id), el("small", {}, `${row.study} · seed ${row.seed}`))),
    },
    { key: "state", label: "state", isText: true, value: (row) => row.state, cell: stateTag },
    { key: "data", label: "data", isText: true, value: (row) => row.data, cell: (row) => (row.data ? dataTag(row) : MISSING) },
    { key: "validation", label: "best val. %", value: (row) => row.best_validation, cell: (row) => percent(row.best_validation) },
    {
      key: "test", label: "test %", value: (row) => row.test?.accuracy,
      cell: (row) => (row.test ? el("span", {}, percent(row.test.accuracy), el("small", {}, row.test.interval.map((each) => percent(each, 1)).join("–"))) : MISSING),
    },
    {
      key: "trials", label: "trials", value: (row) => row.num_trials,
      cell: (row) => (row.outcomes ? outcomeBar(row.outcomes, row.num_trials) : MISSING),
    },
    { key: "epochs", label: "epochs", value: (row) => row.num_epochs, cell: (row) => count(row.num_epochs) },
    { key: "wall", label: "wall time", value: (row) => row.wall_s, cell: (row) => duration(row.wall_s) },
    {
      key: "accelerator", label: "accelerator-h", value: (row) => row.accelerator_s,
      cell: (row) => (row.has_accelerators ? (row.accelerator_s / 3600).toFixed(2) : row.state === "unreadable" ? MISSING : "none (CPU)"),
    },
    {
      key: "cost", label: "cost", value: (row) => row.cost?.price,
      cell: (row) => (row.cost?.price == null ? MISSING : row.cost.amount),
    },
    { key: "started", label: "started (UTC)", isText: true, value: (row) => row.started_at, cell: (row) => moment(row.started_at) },
  ];
}

/** Two or more sweeps side by side. */
function compareView(root, ids) {
  const wanted = ids.split(",");
  const place = chartPlace("chart-compare", 340);
  const bars = chartPlace("chart-compare-scores", 60 + 46 * wanted.length);
  const table = el("div");
  root.append(
    el("h1", {}, "Compare"), card("Side by side", "side", table),
    card("Scores", "scores", figure(bars, "Test accuracy with its 95 % Wilson interval (filled), best validation accuracy (hollow). Intervals are of the number of images alone, not of another seed.")),
    card("Best so far", "best", figure(place, "Best validation accuracy of all trials so far. Times are wall time since each sweep began; sweeps that kept none are compared by epochs.")));

  function update() {
    const found = wanted.map((id) => app.details.get(id)).filter(Boolean);
    const rows = found.map(({ row }) => row);
    fill(table, wanted.length > found.length ? empty("A sweep cannot be shown", wanted.filter((id) => !app.details.has(id)).join(", ")) : null,
      plainTable("Sweeps side by side", ["", ...rows.map((row) => link(sweepAddress(row.id), row.id))], [
        ["state", ...rows.map(stateTag)], ["study", ...rows.map((row) => row.study)], ["data", ...rows.map(dataTag)],
        ["seed", ...rows.map((row) => String(row.seed))],
        ["trials × epochs", ...rows.map((row) => `${row.num_trials} × ${row.max_epochs}`)],
        ["best validation %", ...rows.map((row) => percent(row.best_validation))],
        ["test %", ...rows.map((row) => percent(row.test?.accuracy))],
        ["95 % interval", ...rows.map((row) => row.test?.interval.map((each) => percent(each)).join(" to ") ?? MISSING)],
        ["epochs trained", ...rows.map((row) => count(row.num_epochs))],
        ["wall time", ...rows.map((row) => duration(row.wall_s))], ["cost", ...rows.map((row) => row.cost?.text ?? MISSING)],
        ["commit", ...found.map(({ sweep }) => sweep.commit ?? "unknown")],
        ...settingNames(found).map(([name, label]) => [`winner: ${label}`, ...found.map((each) => winnerOf(each)?.settings[name] ?? MISSING)]),
      ]));
    drawScores(bars, rows);
    const steps = found.map(bestSoFar);
    const hasTimes = steps.flat().every(({ ended }) => ended);
    const x = (each, step) => (hasTimes ? (Date.parse(step.ended) - Date.parse(each.sweep.started_at)) / 1000 : step.number);
    place.draw({
      xAxis: axis(hasTimes ? "seconds since the sweep began" : "epochs of all trials", { min: 0 }), yAxis: axis("best validation accuracy (%)", { nameGap: 36 }),
      tooltip: tooltip((params) => [params.seriesName, [[hasTimes ? "after" : "epochs", hasTimes ? duration(params.value[0]) : params.value[0]], ["best so far", `${params.value[1].toFixed(2)} %`]]]),
      legend: { top: 0, textStyle: { color: ink("ink") } },
      series: found.map((each, index) => ({
        type: "line", name: each.row.id, step: "end", symbolSize: 5, lineStyle: { width: 2.5, type: index % 2 ? "dashed" : "solid" },
        color: palette()[index % palette().length], data: steps[index].map((step) => [x(each, step), 100 * step.best]),
      })),
    }, rows.map((row) => `${row.id}: best validation accuracy ${percentSign(row.best_validation)}`).join("; "));
  }
  return { update, needs: wanted };
}

const settingNames = (found) => (found[0]?.settings ?? []).map(({ name, label }) => [name, label])
  .filter(([name]) => found.some((each) => ![undefined, MISSING].includes(winnerOf(each)?.settings[name])));
const winnerOf = (detail) => detail.trials.find((trial) => trial.trial_id === detail.row.winner);

function drawScores(place, rows) {
  const scored = rows.map((row, index) => [row, index]);
  const colour = (index) => palette()[index % palette().length];
  place.draw({
    xAxis: axis("accuracy (%)"), yAxis: axis("", { type: "category", inverse: true, data: rows.map((row) => row.id), axisLabel: { color: ink("ink") } }),
    tooltip: tooltip((params) => [rows[params.value[1]].id, [[params.seriesName, `${params.value[0].toFixed(2)} %`]]]),
    series: [
      { type: "scatter", name: "best validation", symbol: "emptyCircle", symbolSize: 11, data: scored.filter(([row]) => isNumber(row.best_validation)).map(([row, index]) => ({ value: [100 * row.best_validation, index], itemStyle: { color: colour(index) } })) },
      { type: "scatter", name: "test", symbolSize: 11, data: scored.filter(([row]) => row.test).map(([row, index]) => ({ value: [100 * row.test.accuracy, index], itemStyle: { color: colour(index) } })) },
      {
        type: "custom", name: "95 % interval", z: 1, encode: { x: [0, 2], y: 1 }, data: scored.filter(([row]) => row.test).map(([row, index]) => [100 * row.test.interval[0], index, 100 * row.test.interval[1]]),
        renderItem: (params, api) => {
          const [from, y] = api.coord([api.value(0), api.value(1)]);
          const [to] = api.coord([api.value(2), api.value(1)]);
          return { type: "line", shape: { x1: from, x2: to, y1: y, y2: y }, style: { stroke: colour(api.value(1)), lineWidth: 3 } };
        },
      },
    ],
  }, rows.map((row) => `${row.id}: validation ${percentSign(row.best_validation)}, test ${percentSign(row.test?.accuracy)}`).join("; "));
}
