// One sweep: the result first, then everything behind it.

function sweepView(root, id) {
  const pick = (trial) => (location.hash = sweepAddress(id, "trial", trial).slice(1));
  const head = el("div");
  const provenance = el("div");
  let parts = null;
  let table = null;

  function build(detail) {
    const curves = curvesCard(detail, pick);
    table = trialsCard(detail, (trial) => curves.highlight(trial?.trial_id));
    parts = [findingsCard(), finalsCard(), curves, bestCard(), rungsCard(pick), parametersCard(pick), table, timelineCard(pick), costCard(), failuresCard()];
    root.append(head, el("div", { class: "grid" }, parts.map(({ node }) => node), card("Provenance", "provenance", provenance)));
  }

  function update() {
    const detail = app.details.get(id);
    if (!parts) build(detail);
    fill(head, sweepHead(detail, "sweep"));
    for (const part of parts) part.update(detail);
    fill(provenance, provenanceFacts(detail));
  }
  return { update, needs: [id] };
}

function sweepHead(detail, tab) {
  const { row, sweep } = detail;
  const ended = sum(OUTCOMES.filter((name) => name !== "running").map((name) => row.outcomes[name] ?? 0));
  const tile = (label, value, small) => el("div", { class: "tile" }, el("span", { class: "label" }, label), el("span", { class: "value" }, value), el("span", { class: "small" }, small));
  return [
    el("div", { class: "title" }, el("h1", {}, row.id), stateTag(row), dataTag(row)),
    el("nav", { class: "tabs", "aria-label": "Parts of the sweep" },
      el("a", { href: sweepAddress(row.id), "aria-current": tab === "sweep" ? "page" : null }, "Sweep"),
      el("a", { href: sweepAddress(row.id, "test"), "aria-current": tab === "test" ? "page" : null }, "Test scores")),
    el("div", { class: "tiles" },
      tile("best validation", percentSign(row.best_validation), !row.best_trial ? noEpoch(detail).toLowerCase() : row.is_retrained ? `trial ${row.winner}, retrained in the finals` : `trial ${row.best_trial}`),
      tile("test accuracy", percentSign(row.test?.accuracy), row.test ? `95 %: ${intervalText(row.test.interval)}` : sweep.parent ? `scored with ${sweep.parent}` : "not evaluated"),
      tile("trials ended", `${ended} of ${row.num_trials}`, outcomeBar(row)),
      tile(`wall time${withPauses(row)}`, duration(row.wall_s), `${count(row.num_epochs)} epochs trained`),
      tile("accelerator-hours", row.has_accelerators ? (row.accelerator_s / 3600).toFixed(2) : MISSING, row.has_accelerators ? sweep.hardware.accelerator_types || "" : `CPU: ${sweep.hardware.cpu_model ?? "unknown"}`)),
  ];
}

function trialsCard(detail, onHover) {
  let current = detail;
  let table = null;
  let shownNames = null;
  const place = el("div");
  const value = (trial, name) => (typeof trial.config[name] === "number" ? trial.config[name] : trial.settings[name]);
  const ranks = () => new Map(rankedTrials(current).map((trial, index) => [trial.trial_id, isNumber(trial.best_validation_accuracy) ? index + 1 : null]));
  let rank = ranks();
  const hasParents = () => current.trials.some(({ parent }) => parent); // none in a population's first generation
  const tableOf = (names) => sortableTable({
    name: "trials", caption: "Trials, with every setting", order: "rank", rowKey: (trial) => trial.trial_id, onHover,
    columns: [
      { key: "trial", label: "trial", isText: true, value: (trial) => trial.trial_id, cell: (trial) => trialLink(current.row.id, trial.trial_id) },
      { key: "rank", label: "rank", value: (trial) => rank.get(trial.trial_id) },
      ...(hasParents() ? [{ key: "parent", label: "parent", isText: true, value: (trial) => trial.parent }] : []),
      { key: "outcome", label: "outcome", isText: true, value: (trial) => trial.outcome, cell: (trial) => outcomeTag(trial.outcome, current.row) },
      { key: "validation", label: "val. %", value: (trial) => trial.best_validation_accuracy, cell: (trial) => percent(trial.best_validation_accuracy) },
      { key: "epoch", label: "at epoch", value: (trial) => trial.best_epoch },
      { key: "epochs", label: "epochs", value: (trial) => trial.num_epochs },
      ...names.map(({ name, label }) => ({ key: name, label, value: (trial) => value(trial, name), cell: (trial) => trial.settings[name] ?? MISSING })),
      { key: "seconds", label: "time", value: (trial) => trial.seconds, cell: (trial) => duration(trial.seconds) },
      { key: "node", label: "node", isText: true, value: (trial) => trial.node },
    ],
  });
  const outcome = el("select", { id: "outcome", onchange: () => (remember("outcome", outcome.value), show()) },
    ["", ...OUTCOMES].map((name) => el("option", { value: name, selected: recall("outcome", "") === name }, name || "all outcomes")));
  const shown = el("span", { class: "note" });
  const node = card("Trials", "trials", el("div", { class: "tools" }, el("label", { for: "outcome" }, "Show"), outcome, shown), place);

  function show() {
    const rows = current.trials.filter((trial) => !outcome.value || trial.outcome === outcome.value);
    shown.textContent = `${rows.length} of ${current.trials.length}`;
    table.update(rows);
  }

  /** A column for each setting that any trial has: later trials of a running sweep may have others. */
  function rebuild() {
    const names = usedSettings(current);
    const key = [hasParents(), ...names.map(({ name }) => name)].join();
    if (key === shownNames) return;
    shownNames = key;
    table = tableOf(names);
    fill(place, table.node);
  }
  return { node, update: (fresh) => ((current = fresh), (rank = ranks()), rebuild(), show()) };
}

/** The known settings that any trial has, then those that this version does not know. */
function usedSettings({ settings, trials }) {
  const known = settings.filter(({ name }) => trials.some((trial) => trial.settings[name] !== MISSING));
  const others = [...new Set(trials.flatMap((trial) => Object.keys(trial.config)))].filter((name) => !settings.some((each) => each.name === name));
  return [...known, ...others.map((name) => ({ name, label: name.replaceAll("_", " ") }))];
}

function provenanceFacts({ sweep }) {
  const { dataset } = sweep;
  return facts([
    ["study", sweep.study], ["seed", String(sweep.seed)], ["commit", sweep.commit ?? "unknown"],
    ["data", `${dataset.name} (source: ${dataset.source})`], ["data SHA-256", dataset.fingerprint],
    ["images", `${count(dataset.num_train)} to train, ${count(dataset.num_validation)} to validate`],
    ["searcher", sweep.chosen_by],
    ["budget", `${sweep.num_trials} trials; ${sweep.budget}`],
    ["a trial asks for", `${sweep.accelerators_per_trial} accelerators, ${sweep.cpus_per_trial} CPUs${sweep.is_cohort ? ", as a cohort" : ""}`],
    ["hardware", Object.entries(sweep.hardware).filter(([, value]) => value).map(([name, value]) => `${name.replaceAll("_", " ")}: ${value}`).join(", ")],
    ["versions", Object.entries(sweep.versions).map((pair) => pair.join(" ")).join(", ")], ["started (UTC)", moment(sweep.started_at)],
    ...sweep.resumed.map((text) => ["resumed", text]),
  ]);
}
