// Learning curves of all trials, and the best so far against time.

const NUM_NAMED = 8; // the trials that get a strong colour each

/** Trials by best validation accuracy, best first; those without one last. */
function rankedTrials(detail) {
  return [...detail.trials].sort((one, other) =>
    (other.best_validation_accuracy ?? -1) - (one.best_validation_accuracy ?? -1) || one.trial_id.localeCompare(other.trial_id));
}

/** Rank to colour: strong for the best, pale hues as far apart as they go for all others. */
function trialColour(rank) {
  const strong = palette();
  if (rank < NUM_NAMED) return strong[rank];
  const hue = Math.round((rank * 0.618034 * 360) % 360);
  return isDark() ? `hsl(${hue} 30% 55%)` : `hsl(${hue} 38% 66%)`;
}

/** Where a trial's epochs lie on the chosen axis; null where the records do not say. */
function positions(detail, columns, by) {
  const { sweep } = detail;
  if (by === "epoch") return columns.epoch;
  if (by === "wall") return columns.ended_at.map((ended) => (ended ? secondsInto(sweep, ended) : null));
  let total = 0;
  return columns.seconds.map((seconds, index) =>
    (total += by === "trial" ? seconds : (seconds / columns.num_sharing[index]) * sweep.accelerators_per_trial));
}

const AXES = { epoch: "epoch", wall: "seconds since the sweep began", trial: "seconds of the trial's own epochs", accelerator: "accelerator-seconds of the trial" };

function curveLines(detail, by, metric) {
  return rankedTrials(detail).map((trial, rank) => {
    const columns = detail.metrics[trial.trial_id];
    if (!columns) return null;
    const xs = positions(detail, columns, by);
    const scale = metric === "accuracy" ? 100 : 1;
    const points = (name) => columns[`${name}_${metric}`]
      .map((value, index) => [xs[index], isNumber(value) ? scale * value : null])
      .filter(([x, y]) => isNumber(x) && isNumber(y)).sort(([one], [other]) => one - other);
    return { trial, rank, colour: trialColour(rank), validation: points("validation"), training: points("train") };
  }).filter((line) => line && line.validation.length + line.training.length);
}

function curveSeries(lines) {
  const named = lines.filter(({ rank }) => rank < NUM_NAMED);
  const others = lines.filter(({ rank }) => rank >= NUM_NAMED);
  const bundle = (id, group, part, style, z) => ({
    id, type: "lines", coordinateSystem: "cartesian2d", polyline: true, z, progressive: 0, silent: part === "training", name: id,
    emphasis: { lineStyle: { width: 3.5, opacity: 1 } },
    data: group.filter((line) => line[part].length > 1).map((line) => ({ name: line.trial.trial_id, coords: line[part], lineStyle: { color: line.colour, ...style } })),
  });
  const points = (id, group, part, opacity) => ({ // a trial of one epoch has no line
    id, name: id, type: "scatter", symbolSize: 5, z: 3, data: group.filter((line) => line[part].length === 1)
      .map((line) => ({ name: line.trial.trial_id, value: line[part][0], itemStyle: { color: line.colour, opacity } })),
  });
  return [
    bundle("training", lines, "training", { width: 1, opacity: lines.length > 60 ? 0.12 : 0.4 }, 1),
    points("training points", lines, "training", 0.35),
    bundle("validation", others, "validation", { width: 1.4, opacity: lines.length > 100 ? 0.45 : 0.9 }, 2),
    points("validation points", others, "validation", 0.9),
    ...named.reverse().map((line) => ({
      id: `best-${line.trial.trial_id}`, name: line.trial.trial_id, type: "line", color: line.colour, z: 10 - line.rank / 10, symbol: "circle",
      symbolSize: 4, showSymbol: line.validation.length < 40, lineStyle: { width: 2.4 }, data: line.validation,
      emphasis: { focus: "series", lineStyle: { width: 4 } }, blur: { lineStyle: { opacity: 0.25 } },
    })),
  ];
}

function curvesCard(detail, onPick) {
  const hasTimes = () => Object.values(current.metrics).every(({ ended_at }) => ended_at.every(Boolean));
  let current = detail;
  const metric = choice("metric", "What is drawn", [["accuracy", "Accuracy"], ["loss", "Loss"]], () => draw());
  const by = choice("by", "Against what", [
    ["epoch", "Epoch"], ...(hasTimes() ? [["wall", "Wall time"]] : []), ["trial", "Trial's time"],
    ...(detail.sweep.accelerators_per_trial ? [["accelerator", "Accelerator-s"]] : []),
  ], () => draw());
  const place = chartPlace("chart-curves", 430, (instance) => instance.on("click", (params) => {
    const id = params.data?.name ?? params.seriesName;
    if (current.metrics[id]) onPick(id);
  }));
  const legend = el("ul", { class: "legend" }), nothing = el("div");
  const node = card("Learning curves", "curves", el("div", { class: "tools" }, metric.node, by.node), nothing, figure(place), legend,
    el("p", { class: "note" }, "Bold: validation, faint: training; one colour a trial, strong for the best eight. Drag with the zoom tool, or Ctrl and the wheel. A click opens the trial."));

  function draw() {
    const lines = curveLines(current, by.value, metric.value);
    const isAccuracy = metric.value === "accuracy";
    const all = lines.flatMap((line) => [...line.validation, ...line.training]);
    const xs = all.map(([x]) => x);
    const ys = all.map(([, y]) => y).sort((one, other) => one - other);
    const top = isAccuracy ? 100 : ys[Math.floor(0.98 * (ys.length - 1))] * 1.05;
    const best = lines[0];
    place.node.hidden = !best;
    fill(nothing, best ? null : empty(noEpoch(current)));
    if (!best) return void fill(legend);
    place.draw({
      grid: { left: 8, right: 14, top: 30, bottom: 14 },
      xAxis: axis(AXES[by.value], { min: by.value === "epoch" ? 1 : 0, max: Math.max(2, xs.reduce((a, b) => Math.max(a, b))) }),
      yAxis: axis(isAccuracy ? "accuracy (%)" : "cross-entropy", { min: Math.floor(ys[0] / (isAccuracy ? 10 : 1)) * (isAccuracy ? 10 : 1), max: isAccuracy ? Math.min(100, Math.ceil(ys.at(-1) / 10) * 10) : Number(top.toPrecision(2)), nameGap: 40 }),
      dataZoom: zoom(), toolbox: zoomTools(),
      tooltip: tooltip((params) => curveTip(current, params.data?.name || params.seriesName, params, isAccuracy)),
      series: curveSeries(lines),
    }, `Learning curves of ${plural(lines.length, "trial")}. ${isNumber(best.trial.best_validation_accuracy) ? `Best: ${best.trial.trial_id} with ${percentSign(best.trial.best_validation_accuracy)} validation accuracy at epoch ${best.trial.best_epoch}` : "No epoch has a finite loss"}.`);
    fill(legend, lines.slice(0, NUM_NAMED).map((line) => el("li", {},
      el("i", { style: { background: line.colour }, "aria-hidden": "true" }), trialLink(current.row.id, line.trial.trial_id),
      ` ${percentSign(line.trial.best_validation_accuracy)}`)), lines.length > NUM_NAMED ? el("li", {}, `and ${lines.length - NUM_NAMED} others`) : null);
  }

  function highlight(id) {
    const instance = charts.get(place.node);
    instance?.dispatchAction({ type: "downplay" });
    if (!id) return;
    instance?.dispatchAction({ type: "highlight", seriesId: `best-${id}` });
    instance?.dispatchAction({ type: "highlight", seriesId: "validation", name: id });
  }
  return { node, highlight, update: (fresh) => ((current = fresh), draw()) };
}

function curveTip(detail, id, params, isAccuracy) {
  const trial = detail.trials.find((each) => each.trial_id === id);
  if (!trial) return null;
  const here = Array.isArray(params.value) ? [["here", isAccuracy ? `${params.value[1].toFixed(2)} %` : number(params.value[1], 4)]] : [];
  return [`${id} · ${outcomeName(trial.outcome, detail.row)}`, [...here,
    ["best validation", `${percentSign(trial.best_validation_accuracy)} (epoch ${trial.best_epoch ?? MISSING})`], ["epochs", String(trial.num_epochs)],
    ...detail.parameters.slice(0, 6).map(({ name, label }) => [label, trial.settings[name] ?? MISSING])]];
}

/** Each improvement of the best validation accuracy, in the order in which epochs came. */
function bestSoFar(detail) {
  const lines = Object.entries(detail.metrics).flatMap(([id, columns]) => columns.order.map((order, index) => ({
    id, order, accuracy: columns.validation_accuracy[index], ended: columns.ended_at[index],
    isFinite: isNumber(columns.validation_loss[index]) && isNumber(columns.train_loss[index]),
  }))).sort((one, other) => one.order - other.order);
  const steps = [];
  let best = -1;
  lines.forEach((line, index) => {
    if (line.isFinite && line.accuracy > best) {
      best = line.accuracy;
      steps.push({ number: index + 1, best, id: line.id, ended: line.ended });
    }
  });
  if (steps.length) steps.push({ ...steps.at(-1), number: lines.length, ended: lines.at(-1).ended });
  return steps;
}

function bestCard() {
  const place = chartPlace("chart-best", 280);
  const nothing = el("div");
  const node = card("Best so far", "best", nothing, figure(place));
  function update(detail) {
    const steps = bestSoFar(detail);
    place.node.hidden = !steps.length;
    fill(nothing, steps.length ? null : empty(noEpoch(detail)));
    if (!steps.length) return;
    const hasTimes = steps.every(({ ended }) => ended);
    const x = (step) => (hasTimes ? secondsInto(detail.sweep, step.ended) : step.number);
    place.draw({
      xAxis: axis(hasTimes ? "seconds since the sweep began" : "epochs of all trials, as they came", { min: 0, scale: false }),
      yAxis: axis("best validation (%)", { nameGap: 40 }),
      tooltip: tooltip((params) => [steps[params.dataIndex].id, [["best so far", `${params.value[1].toFixed(2)} %`], [hasTimes ? "after" : "epochs", hasTimes ? duration(params.value[0]) : params.value[0]]]]),
      series: [{ type: "line", step: "end", name: "best", color: ink("accent"), lineStyle: { width: 2.5 }, areaStyle: { opacity: 0.08 }, symbolSize: 6, data: steps.map((step) => [x(step), 100 * step.best]) }],
    }, `Best validation accuracy rose from ${percentSign(steps[0].best)} to ${percentSign(steps.at(-1).best)} in ${plural(steps.length - 2, "improvement")}.`);
  }
  return { node, update };
}
