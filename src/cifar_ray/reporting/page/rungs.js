// ASHA's rungs: who was compared where, who went on.

/** At each rung: the trials that reached it, with their accuracy there and whether they went beyond. */
function rungResults(detail) {
  return detail.rungs.map((epoch) => {
    const reached = detail.trials.flatMap((trial) => {
      const columns = detail.metrics[trial.trial_id];
      const index = columns ? columns.epoch.indexOf(epoch) : -1;
      if (index < 0) return [];
      const isStopped = trial.outcome === "stopped" && trial.num_epochs === epoch;
      return [{ id: trial.trial_id, accuracy: columns.validation_accuracy[index], fate: isStopped ? "stopped here" : trial.num_epochs > epoch ? "went on" : `${outcomeName(trial.outcome, detail.row)} here` }];
    });
    const spent = sum(Object.values(detail.metrics).map(({ epoch: epochs }) => epochs.filter((each) => each <= epoch).length));
    const numOf = (fate) => reached.filter((each) => each.fate === fate).length;
    return { epoch, reached, numStopped: numOf("stopped here"), numPassed: numOf("went on"), spent };
  });
}

function rungsCard(onPick) {
  const place = chartPlace("chart-rungs", 300, (instance) => instance.on("click", (params) => params.data?.id && onPick(params.data.id)));
  const table = el("div");
  const node = card("ASHA's rungs", "rungs", figure(place), table);

  function update(detail) {
    const rungs = rungResults(detail);
    place.node.hidden = !rungs.some(({ reached }) => reached.length);
    if (!rungs.length) return void fill(table, empty("There is no rung", detail.sweep.searcher === "pbt"
      ? "In a population nobody is stopped: after each generation the best quarter replaces the worst." : "The grace period is as long as the longest trial: ASHA stops nobody."));
    const points = (isStopped) => rungs.flatMap(({ reached }, rung) => reached.map(({ id, fate, accuracy }, index) =>
      ({ id, fate, value: [rung + (reached.length > 1 ? jitter(index) : 0), 100 * accuracy] }))).filter(({ fate }) => (fate === "stopped here") === isStopped);
    place.draw({
      legend: { ...topLegend(), left: "center" },
      xAxis: axis("rung", stepAxis(rungs.length, (value) => `epoch ${rungs[value]?.epoch}`)),
      yAxis: axis("validation accuracy there (%)", { nameGap: 40 }),
      tooltip: tooltip((params) => [params.data.id, [["accuracy there", `${params.value[1].toFixed(2)} %`], ["what became of it", params.data.fate]]]),
      series: [
        { type: "scatter", name: "stopped here", symbol: "emptyRect", symbolSize: 8, color: ink("outcome-stopped"), data: points(true) },
        { type: "scatter", name: "went on, or ended otherwise", symbol: "circle", symbolSize: 9, color: ink("accent"), data: points(false) },
      ],
    }, rungs.map(({ epoch, reached, numStopped }) => `After epoch ${epoch}: ${reached.length} compared, ${numStopped} stopped.`).join(" "));
    const { sweep } = detail;
    const whole = sweep.num_trials * sweep.max_epochs;
    const trained = sum(detail.trials.map((trial) => trial.num_epochs));
    fill(table, plainTable("Rungs", ["after epoch", "reached it", "stopped there", "went on", "epochs spent up to there"],
      rungs.map(({ epoch, reached, numStopped, numPassed, spent }) => [String(epoch), ...[reached.length, numStopped, numPassed, spent].map(count)])),
    el("p", { class: "note" }, `Of the trials that reach a rung, the best one in ${sweep.reduction_factor} goes on; each is compared with the others that have come as far. ` +
      `${count(trained)} epochs were trained; all trials to their last epoch would have been ${count(whole)} (${percent(trained / whole, 0)} %).`));
  }
  return { node, update };
}
