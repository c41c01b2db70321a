// Which settings made the difference: importance, parallel coordinates, one plot a setting.

function parametersCard(onPick) {
  const bars = chartPlace("chart-importance", 240);
  const parallel = chartPlace("chart-parallel", 330);
  const grid = el("div", { class: "multiples" });
  const places = new Map();
  const method = el("p", { class: "note" });
  const nothing = el("div");
  const node = card("Settings", "settings", nothing, el("h3", {}, "Importance"), figure(bars), method,
    el("h3", {}, "Every trial through its settings"), el("div", { class: "sideways", tabindex: "0", role: "region", "aria-label": "Every trial through its settings" }, figure(parallel)), el("p", { class: "note" }, "One line a trial: the higher its validation accuracy, the more it stands out. Drag along an axis to pick a range."),
    el("h3", {}, "Accuracy by setting"), grid);

  function update(detail) {
    const { parameters } = detail;
    const trials = detail.trials.filter((trial) => isNumber(trial.best_validation_accuracy));
    const isShown = parameters.length > 0 && trials.length > 0;
    for (const child of [...node.children].slice(1)) child.hidden = child !== nothing && !isShown;
    fill(nothing, isShown ? null : empty("Nothing to compare yet", "Settings are compared once two trials that differ have trained an epoch."));
    if (!isShown) return;
    drawImportance(bars, parameters);
    method.textContent = parameters.some(({ importance }) => isNumber(importance))
      ? `Method: ${detail.importance_method} ${reservation(detail)}`
      : "Importance needs eight ended trials and two settings that vary.";
    drawParallel(parallel, parameters, trials);
    for (const parameter of parameters) {
      if (!places.has(parameter.name)) {
        const place = chartPlace(`chart-by-${parameter.name}`, 210, (instance) => instance.on("click", (params) => onPick(params.data.id)));
        places.set(parameter.name, place);
        grid.append(figure(place));
      }
      drawByParameter(places.get(parameter.name), parameter, trials);
    }
  }
  return { node, update };
}

/** Why the trials' accuracies are not of the same training. */
function reservation({ sweep, rungs }) {
  if (sweep.searcher === "pbt") return "A trial of a later generation owes a part of its accuracy to the weights that it began with.";
  return rungs.length ? "ASHA trained the trials for different lengths, and a stopped one counts with what it had reached." : "";
}

function drawImportance(place, parameters) {
  const ranked = parameters.filter(({ importance }) => isNumber(importance)).sort((one, other) => one.importance - other.importance);
  place.node.hidden = ranked.length === 0;
  if (!ranked.length) return;
  place.draw({
    grid: { left: 8, right: 50, top: 6, bottom: 6 },
    xAxis: axis("", { min: 0, show: false }), yAxis: axis("", { type: "category", data: ranked.map(({ label }) => label), axisLabel: { color: ink("ink"), fontSize: 12 } }),
    series: [{ type: "bar", barMaxWidth: 16, color: ink("accent"), itemStyle: { borderRadius: [0, 4, 4, 0] }, data: ranked.map(({ importance }) => importance),
      label: { show: true, position: "right", color: ink("ink"), formatter: ({ value }) => `${(100 * value).toFixed(0)} %` } }],
  }, `Importance: ${[...ranked].reverse().map(({ label, importance }) => `${label} ${percentSign(importance, 0)}`).join(", ")}`);
}

function drawParallel(place, parameters, trials) {
  const drawn = [...trials].sort((one, other) => one.best_validation_accuracy - other.best_validation_accuracy); // the best above the others
  const accuracies = drawn.map((trial) => 100 * trial.best_validation_accuracy);
  const text = { color: ink("ink"), fontSize: 11 };
  const label = { color: ink("ink"), fontSize: 10, backgroundColor: ink("raised"), padding: [1, 3], borderRadius: 3 }; // above the lines
  place.node.style.minWidth = `${85 * (parameters.length + 1)}px`; // a narrow screen scrolls it
  fit(place.node);
  const axes = parameters.map((parameter, dim) => ({
    dim, name: parameter.label, nameTextStyle: text, axisLabel: label,
    ...(parameter.kind === "choice" ? { type: "category", data: parameter.values.map((value) => number(value)) }
      : { type: parameter.kind === "log" ? "log" : "value", min: parameter.low, max: parameter.high, axisLabel: { ...label, formatter: (value) => number(value, 2) } }),
  }));
  place.draw({
    xAxis: [], yAxis: [], grid: { show: false },
    parallel: { left: 40, right: 60, top: 40, bottom: 24, parallelAxisDefault: { z: 5, axisLine: { lineStyle: { color: ink("muted") } }, axisTick: { show: false }, areaSelectStyle: { color: ink("accent") } } },
    parallelAxis: [...axes, { dim: parameters.length, name: "validation %", nameTextStyle: { ...text, fontWeight: "bold" }, scale: true, axisLabel: label }],
    visualMap: { show: false, dimension: parameters.length, min: Math.min(...accuracies), max: Math.max(...accuracies), inRange: { color: isDark() ? SCALE.slice(1) : SCALE.slice(0, 5).reverse() } },
    series: [{ type: "parallel", lineStyle: { width: 1.8, opacity: trials.length > 200 ? 0.2 : 0.7 }, inactiveOpacity: 0.04, progressive: 0, smooth: 0.05,
      data: drawn.map((trial, index) => ({ name: trial.trial_id, value: [...parameters.map((parameter) => (parameter.kind === "choice" ? number(trial.config[parameter.name]) : trial.config[parameter.name])), accuracies[index]] })) }],
  }, `Parallel coordinates of ${plural(trials.length, "trial")} over ${parameters.map(({ label }) => label).join(", ")} and validation accuracy.`);
}

function drawByParameter(place, parameter, trials) {
  const isChoice = parameter.kind === "choice";
  const x = (trial, index) => (isChoice ? parameter.values.indexOf(trial.config[parameter.name]) + jitter(index) : trial.config[parameter.name]);
  const scale = isChoice
    ? stepAxis(parameter.values.length, (value) => number(parameter.values[value]))
    : { type: parameter.kind === "log" ? "log" : "value", min: parameter.low, max: parameter.high, axisLabel: { formatter: (value) => number(value, 2) } };
  place.draw({
    grid: { left: 4, right: 10, top: 12, bottom: 8 },
    xAxis: axis(parameter.label, { ...scale, nameGap: 26 }), yAxis: axis("", { axisLabel: { formatter: "{value} %" } }),
    tooltip: tooltip((params) => [params.data.id, [[parameter.label, params.data.setting], ["best validation", `${params.value[1].toFixed(2)} %`], ["outcome", params.seriesName]]]),
    series: OUTCOMES.map((outcome) => ({
      type: "scatter", name: outcome, symbol: SYMBOLS[outcome], symbolSize: outcome === "completed" ? 10 : 7, z: outcome === "completed" ? 3 : 2, color: outcomeColour(outcome), itemStyle: { opacity: 0.85 },
      data: trials.map((trial, index) => [trial, index]).filter(([trial]) => trial.outcome === outcome)
        .map(([trial, index]) => ({ id: trial.trial_id, setting: trial.settings[parameter.name] ?? MISSING, value: [x(trial, index), 100 * trial.best_validation_accuracy] })),
    })).filter(({ data }) => data.length),
  }, `Best validation accuracy by ${parameter.label}, ${plural(trials.length, "trial")}.`);
}
