// When each trial trained and where, what that cost, and what went wrong.

/** A trial's stretches of time in seconds since the sweep began: training an epoch, and what lay before, between and after. */
function stretches(detail, trial) {
  const columns = detail.metrics[trial.trial_id];
  if (!columns || !columns.ended_at.every(Boolean)) return [];
  const since = (moment) => secondsInto(detail.sweep, moment);
  const events = (trial.events ?? []).map(({ what, at }) => ({ what, at: since(at) }));
  const found = [];
  let last = 0;
  columns.ended_at.map((ended, index) => [since(ended), columns.seconds[index], columns.epoch[index], columns.node[index]])
    .sort(([one], [other]) => one - other)
    .forEach(([end, seconds, epoch, where]) => {
      const start = Math.max(last, end - seconds);
      found.push(...pauses(events, last, start, epoch === 1).map((pause) => ({ ...pause, epoch, where })));
      found.push({ from: start, to: end, kind: "training", epoch, where });
      last = end;
    });
  const ended = events.findLast(({ what }) => what === "ended")?.at;
  const { epoch, where } = found.at(-1) ?? {};
  return ended - last > 0.5 ? [...found, { from: last, to: ended, kind: "ending", epoch, where }] : found;
}

/** What a trial did from one time to another, in which it finished no epoch. */
function pauses(events, from, to, isFirst) {
  if (to - from <= 0.5) return [];
  const inside = events.filter(({ what, at }) => at > from && at <= to && what !== "ended");
  if (!inside.length) return [{ from, to, kind: isFirst ? "waiting" : "between" }];
  const kinds = { started: "starting", lost: "waiting" };
  const bounds = [{ at: from, kind: inside[0].what === "lost" ? "lost" : "waiting" }, ...inside.map(({ what, at }) => ({ at, kind: kinds[what] })), { at: to }];
  return bounds.slice(0, -1).map(({ at, kind }, index) => ({ from: at, to: bounds[index + 1].at, kind })).filter((each) => each.to - each.from > 0.1);
}

const KINDS = {
  waiting: "waiting for its turn or for a node", starting: "starting, or waiting for its cohort", training: "training", between: "between epochs",
  lost: "lost: it failed, or its process or node died", ending: "uploading, until it had ended",
};

function timelineCard(onPick) {
  let shown = { startValue: 0, endValue: 39 }; // of many lanes: as the reader left the slider
  const place = chartPlace("chart-timeline", 380, (instance) => {
    instance.on("click", (params) => params.data?.id && onPick(params.data.id));
    instance.on("datazoom", () => ([shown] = instance.getOption().dataZoom.map(({ startValue, endValue }) => ({ startValue, endValue }))));
  });
  const nothing = el("div");
  const note = el("p", { class: "note" }, "Solid: an epoch, coloured by what became of the trial. Pale: waiting for its turn, or starting; thin: between two epochs, or uploading at its end; red and narrow: an epoch cut off, since its process or node was lost.");
  const node = card("Time line", "timeline", nothing, figure(place), note);

  function update(detail) {
    const lanes = detail.trials.map((trial) => ({ trial, bars: stretches(detail, trial) })).filter(({ bars }) => bars.length)
      .sort((one, other) => String(one.trial.node).localeCompare(String(other.trial.node)) || trained(one) - trained(other) || one.trial.trial_id.localeCompare(other.trial.trial_id));
    place.node.hidden = note.hidden = lanes.length === 0;
    fill(nothing, lanes.length ? null : detail.trials.some((trial) => trial.num_epochs)
      ? empty("The records hold no times of day", "This sweep ran with a version that kept the length of each epoch, not when it was. A sweep that is run now has a time line.")
      : empty(noEpoch(detail)));
    if (!lanes.length) return;
    const isMany = lanes.length > 40;
    place.node.style.height = `${Math.min(560, 90 + 18 * lanes.length)}px`;
    fit(place.node);
    const nodes = new Set(lanes.map(({ trial }) => trial.node));
    place.draw({
      grid: { left: 8, right: isMany ? 30 : 14, top: 8, bottom: 14 },
      xAxis: axis("seconds since the sweep began", { min: 0, scale: false }),
      yAxis: axis("", { type: "category", inverse: true, data: lanes.map(({ trial }) => (nodes.size > 1 ? `${trial.node} ${trial.trial_id}` : trial.trial_id)) }),
      dataZoom: isMany ? [{ type: "slider", yAxisIndex: 0, width: 14, ...shown, filterMode: "weakFilter", showDetail: false }] : [],
      tooltip: tooltip(({ data }) => [data.id, [["what", KINDS[data.kind]], ["epoch", data.epoch], ["for", duration(data.value[2] - data.value[1])], ["on", data.where]]]),
      series: [{
        type: "custom", encode: { x: [1, 2], y: 0 }, progressive: 0, renderItem: drawStretch,
        data: lanes.flatMap(({ trial, bars }, lane) => bars.map((bar) => ({ id: trial.trial_id, kind: bar.kind, epoch: bar.epoch, where: bar.where, value: [lane, bar.from, bar.to, DRAWN[bar.kind], OUTCOMES.indexOf(trial.outcome)] }))),
      }],
    }, `Time line of ${plural(lanes.length, "trial")} on ${plural(nodes.size, "node")}.`);
  }
  return { node, update };
}

const DRAWN = { training: 1, waiting: 2, starting: 2, between: 3, ending: 3, lost: 4 };

const trained = ({ bars }) => bars.find(({ kind }) => kind === "training")?.from ?? 0;

function drawStretch(params, api) {
  const [x, y] = api.coord([api.value(1), api.value(0)]);
  const [end] = api.coord([api.value(2), api.value(0)]);
  const room = api.size([0, 1])[1];
  const kind = api.value(3);
  const height = Math.max(1, { 1: Math.min(13, room * 0.7), 2: Math.min(7, room * 0.4), 3: 2, 4: Math.min(5, room * 0.3) }[kind]);
  const style = kind === 1 ? { fill: outcomeColour(OUTCOMES[api.value(4)]), opacity: 0.9 }
    : kind === 4 ? { fill: outcomeColour("failed"), opacity: 0.9 } : { fill: ink("muted"), opacity: 0.3 };
  return { type: "rect", shape: { x, y: y - height / 2, width: Math.max(1, end - x - 0.6), height, r: 1.5 }, style };
}

/** Seconds of devices: each epoch's time divided by the trials that shared it, times the accelerators, or the cores where there are none. */
function deviceSeconds(detail, trial) {
  const columns = detail.metrics[trial.trial_id];
  const held = detail.sweep.accelerators_per_trial || detail.sweep.cpus_per_trial;
  return columns ? sum(columns.seconds.map((seconds, index) => (seconds / columns.num_sharing[index]) * held)) : 0;
}

function costCard() {
  const place = chartPlace("chart-cost", 150);
  const table = el("div");
  const node = card("Cost, and where it went", "cost", figure(place), table);

  function update(detail) {
    const { row } = detail;
    const unit = row.has_accelerators ? "accelerator time" : "core time";
    const groups = [["the winner", (trial) => trial.trial_id === row.winner],
      ...OUTCOMES.map((outcome) => [outcome, (trial) => trial.outcome === outcome && trial.trial_id !== row.winner])]
      .map(([name, isIn]) => ({ name, trials: detail.trials.filter(isIn) })).filter(({ trials }) => trials.length)
      .map(({ name, trials }) => ({ name, trials: trials.length, epochs: sum(trials.map((trial) => trial.num_epochs)), seconds: sum(trials.map((trial) => deviceSeconds(detail, trial))) }));
    // trainings of the finals are in the sweep's cost, not among its trials
    const ofFinals = row.cost && detail.finals ? row.cost.useful_s + row.cost.failed_s - sum(groups.map(({ seconds }) => seconds)) : 0;
    if (ofFinals > 1e-6) groups.push({ name: "finals", colour: palette()[1], epochs: row.num_epochs - sum(groups.map(({ epochs }) => epochs)), seconds: ofFinals });
    // held by trials or cohorts, and no whole epoch that counts came of it
    const lost = row.cost ? [["trained again", row.cost.repeated_s], ["no epoch to show", row.cost.idle_s]]
      .filter(([, seconds]) => seconds > 0).map(([name, seconds], index) => ({ name, seconds, colour: ink(index ? "line" : "muted") })) : [];
    const trained = sum(groups.map(({ seconds }) => seconds));
    const total = trained + sum(lost.map(({ seconds }) => seconds));
    place.node.hidden = !total;
    const colour = (name) => (name === "the winner" ? ink("accent") : outcomeColour(name));
    place.draw({
      grid: { left: 4, right: 10, top: 34, bottom: 4 }, legend: { ...topLegend(), left: 0 },
      xAxis: axis("", { min: 0, max: total, scale: false, axisLabel: { formatter: duration } }), yAxis: axis("", { type: "category", data: [""] }),
      tooltip: tooltip((params) => [params.seriesName, [[unit, duration(params.value)]]]),
      series: [...groups, ...lost].map(({ name, seconds, colour: own }) => ({ type: "bar", stack: "cost", name, color: own ?? colour(name), barWidth: 34, data: [seconds] })),
    }, `${unit}: ${[...groups, ...lost].map(({ name, seconds }) => `${name} ${duration(seconds)}`).join(", ")}`);
    fill(table, plainTable("Cost by outcome", ["", "trials", "epochs", unit, "share"],
      [...groups.map((group) => [group.name, group.trials ? count(group.trials) : MISSING, count(group.epochs), duration(group.seconds), `${percent(group.seconds / (total || 1), 0)} %`]),
        ...lost.map(({ name, seconds }) => [name, MISSING, MISSING, duration(seconds), `${percent(seconds / (total || 1), 0)} %`]),
        ["all", count(detail.trials.length), count(sum(groups.map(({ epochs }) => epochs))), duration(total), "100 %"]]),
    el("p", { class: "note" }, `Wall time ${duration(row.wall_s)}${withPauses(row)}. An epoch that trials shared as a cohort counts in parts. ${row.cost ? `No epoch to show: starts, restarts, epochs cut off, uploads, waiting for others. ${row.cost.price == null ? row.cost.remark ?? "No table of prices was given (CIFAR_RAY_PRICES)" : `Price of all that was held: ${row.cost.amount}`}.` : "Waiting, starting and uploading are in the wall time alone."}`));
  }
  return { node, update };
}

function failuresCard() {
  const body = el("div");
  const node = card("Failures", "failures", body);
  function update(detail) {
    const bad = detail.trials.filter(({ outcome, error }) => outcome === "failed" || outcome === "diverged" || error);
    fill(body, bad.length ? [
      plainTable("Failed and diverged trials", ["trial", "outcome", "after", "reason"], bad.map((trial) => [
        trialLink(detail.row.id, trial.trial_id), outcomeTag(trial.outcome, detail.row), plural(trial.num_epochs, "epoch"),
        el("span", { class: "reason" }, trial.error ?? "its loss was no finite number: a lower learning rate may hold")]), "texts"),
      el("p", { class: "note" }, "The whole log is the job's: ", command("cifar-ray job logs"), ".")]
      : el("p", { class: "note" }, "No trial has failed or diverged."));
  }
  return { node, update };
}
