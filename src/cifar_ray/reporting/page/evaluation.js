// The winner on the test set.

function evaluationView(root, id) {
  const classes = chartPlace("chart-classes", 520);
  const confusion = chartPlace("chart-confusion", 460);
  const reliability = chartPlace("chart-reliability", 380);
  const head = el("div"), table = el("div"), mistakes = el("div"), provenance = el("div"), nothing = el("div"), aboutBins = el("div");
  const body = el("div", { class: "grid two" },
    card("Scores", "table", table), card("By class", "classes", figure(classes, "Bars: ours, with 95 % Wilson intervals; diamonds: the report's, where it has a model of this kind.")),
    card("Predicted by true class", "confusion", figure(confusion, "Each row sums to 100 %.")),
    card("Reliability", "reliability", aboutBins, figure(reliability)),
    card("Most confident mistakes", "mistakes", mistakes), card("Provenance", "provenance", provenance));
  root.append(head, nothing, body);

  function update() {
    const detail = app.details.get(id);
    const found = detail.evaluation;
    fill(head, sweepHead(detail, "test"));
    body.hidden = !found;
    fill(nothing, found ? null : empty("There are no test scores", nextStep(detail)));
    if (!found) return;
    const { scores } = found;
    fill(table, plainTable("Test scores", ["", ...found.columns.map(({ heading }) => heading)], found.labels.map((label) => [label, ...found.columns.map(({ cells }) => cells[label] ?? MISSING)])),
      [found.caution, found.note, ...scores.remarks].filter(Boolean).map((text) => el("p", { class: "note" }, text)));
    drawClasses(classes, found);
    drawConfusion(confusion, scores);
    reliability.node.hidden = !scores.reliability.length;
    fill(aboutBins, scores.reliability.length ? aboutReliability(scores) : empty("These scores hold no confidences", "They were measured by a version that did not keep them, and the test set is opened once."));
    if (scores.reliability.length) drawReliability(reliability, scores);
    fill(mistakes, scores.mistakes.length ? el("ul", { class: "mistakes" }, scores.mistakes.map(mistakeItem))
      : empty("These scores hold no images", scores.accuracy === 1 ? "There was no mistake." : "They were measured by a version that did not keep them, and the test set is opened once."));
    fill(provenance, facts([["scored trial", link(sweepAddress(id, "trial", scores.trial_id), `${scores.trial_id}, ${scores.seeds.length ? `retrained with seed ${scores.seeds[0].seed}, ` : ""}epoch ${scores.epoch}`)], ["scored at (UTC)", moment(scores.scored_at)], ["scored on", scores.device],
      ["commit of the scoring", scores.commit ?? "unknown"], ["test SHA-256", scores.test_fingerprint]]), provenanceFacts(detail));
  }
  return { update, needs: [id] };
}

/** Only base64 becomes an image's address. */
const mistakeItem = (mistake) => el("li", {},
  el("img", { src: /^[A-Za-z0-9+/=]+$/.test(mistake.png) ? `data:image/png;base64,${mistake.png}` : "data:,", width: 80, height: 80, alt: `a ${mistake.true_class}, test image ${mistake.index}` }),
  el("span", {}, el("b", {}, mistake.predicted_class), ` ${percent(mistake.confidence, 1)} %`), el("small", {}, `is: ${mistake.true_class}`));

function drawClasses(place, { scores, class_intervals: intervals, report }) {
  const names = Object.keys(scores.accuracy_by_class);
  place.draw({
    legend: topLegend(), grid: { left: 8, right: 10, top: 34, bottom: 8 },
    xAxis: axis("", { type: "category", data: names, axisLabel: { color: ink("ink"), rotate: 40, interval: 0 } }), yAxis: axis("accuracy (%)", { min: 0, max: 100, nameGap: 40 }),
    tooltip: tooltip(({ dataIndex }) => {
      const name = names[dataIndex];
      return [name, [["ours", percentSign(scores.accuracy_by_class[name])], ["95 % interval", intervals[name] && intervalText(intervals[name], 1)], ["report", report && percentSign(report.by_class[name], 1)]]];
    }),
    series: [
      { type: "bar", name: "ours", color: ink("accent"), barMaxWidth: 26, itemStyle: { borderRadius: [4, 4, 0, 0], opacity: 0.65 }, data: names.map((name) => 100 * scores.accuracy_by_class[name]) },
      { type: "custom", name: "95 % interval", itemStyle: { color: ink("ink") }, encode: { x: 0, y: [1, 2] }, data: names.map((name, index) => [index, ...(intervals[name] ?? [0, 0]).map((each) => 100 * each)]), renderItem: whisker },
      ...(report && names.every((name) => name in report.by_class) ? [{ type: "scatter", name: "report", symbol: "diamond", symbolSize: 11, color: palette()[1], itemStyle: { borderColor: ink("raised"), borderWidth: 1 }, data: names.map((name) => 100 * report.by_class[name]) }] : []),
    ],
  }, `Accuracy by class: ${names.map((name) => `${name} ${percentSign(scores.accuracy_by_class[name], 1)}`).join(", ")}`);
}

function whisker(params, api) {
  const [x, low] = api.coord([api.value(0), api.value(1)]);
  const [, high] = api.coord([api.value(0), api.value(2)]);
  const stroke = { stroke: ink("ink"), lineWidth: 1.4 };
  const part = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style: stroke });
  return { type: "group", children: [part(x, low, x, high), part(x - 4, low, x + 4, low), part(x - 4, high, x + 4, high)] };
}

function drawConfusion(place, scores) {
  const names = Object.keys(scores.accuracy_by_class);
  const cells = scores.confusion_matrix.flatMap((row, truth) => row.map((images, guess) => [guess, truth, (100 * images) / Math.max(1, sum(row)), images]));
  place.draw({
    grid: { left: 8, right: 8, top: 8, bottom: 20 },
    xAxis: axis("predicted", { type: "category", data: names, nameGap: 62, axisLabel: { rotate: 40, interval: 0, color: ink("ink") } }),
    yAxis: axis("", { type: "category", data: names, inverse: true, axisLabel: { interval: 0, color: ink("ink") } }),
    visualMap: { show: false, min: 0, max: 100, dimension: 2, inRange: { color: isDark() ? ["#15202c", "#1d5c8c", "#7cc4f5"] : ["#ffffff", "#8fbfe0", "#08407a"] } },
    tooltip: tooltip(({ value }) => [`${names[value[1]]} taken for ${names[value[0]]}`, [["images", count(value[3])], ["share of the class", `${value[2].toFixed(1)} %`]]]),
    series: [{ type: "heatmap", data: cells.map((value) => ({ value, label: { color: (value[2] > 50) !== isDark() ? "#fff" : isDark() && value[2] > 50 ? "#04121d" : ink("ink") } })),
      label: { show: true, fontSize: 11, formatter: ({ value }) => (value[2] >= 0.5 ? value[2].toFixed(0) : "") } }],
  }, `Confusion matrix. Most often confused: ${cells.filter(([guess, truth]) => guess !== truth).sort((one, other) => other[2] - one[2]).slice(0, 3).map(([guess, truth, share]) => `${names[truth]} taken for ${names[guess]} ${share.toFixed(0)} %`).join(", ")}.`);
}

function drawReliability(place, scores) {
  const bins = scores.reliability.filter(({ num_images: images }) => images);
  place.draw({
    legend: topLegend(), grid: { left: 8, right: 14, top: 34, bottom: 16 },
    xAxis: axis("confidence (%)", { min: 0, max: 100 }), yAxis: axis("accuracy (%)", { min: 0, max: 100, nameGap: 40 }),
    tooltip: tooltip(({ seriesName, dataIndex }) => {
      const { low, high, num_images: images, confidence, accuracy } = bins[dataIndex] ?? {};
      return seriesName === "model" ? [`confidence ${intervalText([low, high], 0)} %`, [["images", count(images)], ["mean confidence", percentSign(confidence, 1)], ["accuracy", percentSign(accuracy, 1)]]] : null;
    }),
    series: [
      { type: "line", name: "as sure as right", data: [[0, 0], [100, 100]], symbol: "none", color: ink("muted"), lineStyle: { type: "dashed", width: 1.4 }, silent: true },
      { type: "line", name: "model", color: ink("accent"), lineStyle: { width: 2.4 }, data: bins.map((bin) => [100 * bin.confidence, 100 * bin.accuracy]),
        symbolSize: (value, { dataIndex }) => 5 + 16 * Math.sqrt(bins[dataIndex].num_images / scores.num_images) },
    ],
  }, `Reliability over ${bins.length} bins.`);
}

function aboutReliability({ reliability, num_images: total }) {
  const error = sum(reliability.map((bin) => (bin.num_images / total) * Math.abs(bin.accuracy - bin.confidence)));
  return el("p", { class: "note" }, "Of the images that the model was so sure about, how many it got right; larger circles are of more images. Above the dashed line it was less sure than it could be, below it too sure. " +
    `The mean distance from that line, the expected calibration error, is ${(100 * error).toFixed(1)} points.`);
}
