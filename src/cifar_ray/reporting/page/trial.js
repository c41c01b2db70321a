// One trial: its curves, configuration, checkpoints, where it ran and how fast.

function trialView(root, id, trialId) {
  const pair = chartPlace("chart-trial-accuracy", 300);
  const loss = chartPlace("chart-trial-loss", 300);
  const rate = chartPlace("chart-trial-rate", 220);
  const speed = chartPlace("chart-trial-speed", 220);
  const head = el("div"), settings = el("div"), where = el("div"), provenance = el("div"), nothing = el("div");
  const plots = el("div", { class: "grid two" }, card("Accuracy", "accuracy", figure(pair)), card("Loss", "loss", figure(loss)),
    card("Learning rate", "rate", figure(rate)), card("Throughput", "speed", figure(speed, "Training images over the wall time of the epoch, validation included; of a cohort all its trials share that time.")));
  const about = el("div", { class: "grid two" }, card("Configuration", "configuration", settings), card("Where it ran, what it left", "where", where), card("Provenance", "provenance", provenance));
  root.append(head, nothing, plots, about);

  function update() {
    const detail = app.details.get(id);
    const trial = detail.trials.find((each) => each.trial_id === trialId);
    plots.hidden = about.hidden = !trial;
    if (!trial) return void fill(head, empty(`There is no trial ${trialId} in ${id}`, link(sweepAddress(id), "Back to the sweep")));
    const rank = rankedTrials(detail).indexOf(trial) + 1;
    const columns = detail.metrics[trialId];
    fill(head, el("div", { class: "title" }, el("h1", {}, `Trial ${trialId}`), outcomeTag(trial.outcome, detail.row), dataTag(detail.row)),
      el("p", { class: "lead" }, isNumber(trial.best_validation_accuracy) ? `${percentSign(trial.best_validation_accuracy)} validation accuracy at epoch ${trial.best_epoch}, rank ${rank} of ${detail.trials.length}` : "no epoch with a finite loss"),
      trial.error ? el("p", { class: "problem reason" }, trial.error) : null);
    fill(nothing, columns ? null : empty(trial.outcome === "running" ? "No epoch yet" : "It finished no epoch"));
    plots.hidden = !columns;
    if (columns) {
      twoLines(pair, columns, "accuracy", 100, "accuracy (%)");
      twoLines(loss, columns, "loss", 1, "cross-entropy");
      oneLine(rate, columns, columns.learning_rate, "learning rate");
      oneLine(speed, columns, columns.seconds.map((seconds) => (seconds > 0 ? detail.sweep.dataset.num_train / seconds : null)), "images a second");
    }
    fill(settings, facts(Object.entries(trial.config).map(([name, value]) => [name.replaceAll("_", " "), trial.settings[name] === MISSING ? "not used" : number(value, 6)])));
    fill(where, facts([
      ["node", trial.node ?? "not known"], ["device", columns?.device.at(-1) ?? "not known"], ["epochs", `${trial.num_epochs} of ${detail.sweep.max_epochs}`],
      ["parent", trial.parent ? trialLink(id, trial.parent) : null],
      ["wall time of its epochs", duration(trial.seconds)], ["accelerator time", detail.row.has_accelerators ? duration(trial.accelerator_seconds) : "none"],
      ["shared with", columns && columns.num_sharing.some((each) => each > 1) ? `up to ${Math.max(...columns.num_sharing) - 1} other trials of its cohort` : "nobody"],
      ["complete checkpoints", trial.checkpoints.length ? trial.checkpoints.map((epoch) => `epoch ${epoch}`).join(", ") : "none in this store"],
    ]));
    fill(provenance, provenanceFacts(detail));
  }
  return { update, needs: [id] };
}

function twoLines(place, columns, metric, scale, name) {
  const data = (part) => columns.epoch.map((epoch, index) => [epoch, isNumber(columns[`${part}_${metric}`][index]) ? scale * columns[`${part}_${metric}`][index] : null]);
  place.draw({
    legend: topLegend(), xAxis: axis("epoch", { minInterval: 1 }), yAxis: axis(name, { nameGap: 40 }),
    tooltip: tooltip((params) => [params.seriesName, [["epoch", params.value[0]], [name, number(params.value[1], 5)]]]),
    series: [
      { type: "line", name: "validation", data: data("validation"), color: palette()[0], symbolSize: 5, lineStyle: { width: 2.6 } },
      { type: "line", name: "training", data: data("train"), color: palette()[1], symbol: "emptyRect", symbolSize: 4, lineStyle: { width: 1.4, type: "dashed" } },
    ],
  }, `${name} by epoch, validation and training, ${plural(columns.epoch.length, "epoch")}.`);
}

function oneLine(place, columns, values, name) {
  place.draw({
    xAxis: axis("epoch", { minInterval: 1 }), yAxis: axis(name, { nameGap: 52, scale: false, axisLabel: { formatter: (value) => number(value, 3) } }),
    tooltip: tooltip((params) => ["", [["epoch", params.value[0]], [name, number(params.value[1], 4)]]]),
    series: [{ type: "line", name, color: ink("accent"), symbolSize: 4, data: columns.epoch.map((epoch, index) => [epoch, values[index]]) }],
  }, `${name} by epoch.`);
}
