// The result in words: what won, by how much, how certain that is, what it cost, what to try next.

function findingsCard() {
  const body = el("div", { class: "findings" });
  return { node: card("What came out", "findings", body), update: (detail) => fill(body, ...findings(detail)) };
}

/** The best settings retrained on several seeds; hidden for a sweep without finals. */
function finalsCard() {
  const body = el("div");
  const node = card("Finals", "finals", body);
  return { node, update: ({ finals }) => {
    node.hidden = !finals;
    fill(body, finals ? [el("p", {}, finals.text), plainTable("Finals", finals.heading, finals.rows), el("p", { class: "note" }, finals.note)] : null);
  } };
}

/** A command on this page's sweeps: of a live page with the options that name its store. */
const submit = (text) => command(`cifar-ray job submit ${text}${app.payload.options ?? ""}`);

const finding = (question, ...answer) => el("div", {}, el("h3", {}, question), el("p", {}, ...answer));

function findings(detail) {
  const { row, sweep } = detail;
  const ranked = rankedTrials(detail).filter((trial) => isNumber(trial.best_validation_accuracy));
  const [best, second] = ranked;
  if (!best) {
    return [empty(noEpoch(detail), nextStep(detail))];
  }
  const interval = row.best_interval ?? [0, 1];
  const near = ranked.filter((trial) => trial !== best && trial.best_validation_accuracy >= interval[0]);
  const verb = row.finished_at ? "won" : "lead";
  // the finals may prefer another trial to the one that the search found best
  const winner = ranked.find((trial) => trial.trial_id === row.winner) ?? best;
  const isBest = winner === best;
  const lead = (other) => 100 * (best.best_validation_accuracy - other.best_validation_accuracy);
  return [
    finding(`Which settings ${verb}?`, trialLink(row.id, winner.trial_id), " with ", el("b", {}, percentSign(winner.best_validation_accuracy)), ` validation accuracy at epoch ${winner.best_epoch}${detail.finals ? " of the search" : ""}${isBest ? "" : `, chosen by the finals before ${best.trial_id}, the best of the search`}: `,
      el("span", { class: "chips" }, detail.parameters.filter(({ name }) => (winner.settings[name] ?? MISSING) !== MISSING).map(({ name, label }) => el("span", { class: "chip" }, `${label} `, el("b", {}, winner.settings[name]))))),
    finding("By how much?", ...(second ? [isBest ? "" : `In the search ${best.trial_id} was `, `${lead(second).toFixed(2)} points ahead of `, trialLink(row.id, second.trial_id)] : ["There is no second trial with an accuracy"]),
      ranked.length > 2 ? `, ${lead(ranked[Math.floor(ranked.length / 2)]).toFixed(1)} ahead of the median trial.` : "."),
    finding("How sure is that?", `On ${count(sweep.dataset.num_validation)} validation images the ${isBest ? "winner" : "best trial"}'s 95 % interval is ${intervalText(interval, 1)} %, of one model on these images${ranked.length > 1 ? ` (the best of ${count(ranked.length)} trials is an optimistic estimate)` : ""}: `,
      near.length ? `${plural(near.length, "other trial")} ${near.length === 1 ? "lies" : "lie"} within it, so validation alone does not tell them apart.` : "no other trial lies within it.",
      row.test ? ` Test accuracy ${percentSign(row.test.accuracy)} (${intervalText(row.test.interval, 1)}), measured once.` : "", detail.finals ? ` The finals, below, ${row.finished_at ? "tried" : "try"} the best on other seeds.` : " One seed: another may order them otherwise."),
    finding("At what cost?", `${duration(row.wall_s)} of wall time${withPauses(row)}, ${count(row.num_epochs)} epochs`, row.cost ? `; ${row.cost.text}.` : row.has_accelerators ? `, ${(row.accelerator_s / 3600).toFixed(2)} accelerator-hours.` : ", on CPUs alone.",
      ` The winner's own training${detail.finals ? " in the search" : ""}: ${duration(deviceSeconds(detail, winner))} of ${duration(sum(detail.trials.map((trial) => deviceSeconds(detail, trial))))}.`),
    finding("What to try next?", nextSteps(detail, ranked, winner)),
  ];
}

/** What a sweep without test scores needs first; null for one that has them. */
function nextStep({ row, sweep }) {
  if (sweep.parent) return `These are the finals of ${sweep.parent}: they are resumed and scored with it.`;
  if (row.silent_since) return [`Its driver has been silent since ${moment(row.silent_since)} UTC. If it is gone, resume the sweep: `, submit(`${row.study} --sweep-id ${row.id} --resume`)];
  if (row.state === "running") return "Wait: the sweep is still running.";
  if (row.state === "interrupted") return ["Resume it: ", submit(`${row.study} --sweep-id ${row.id} --resume`)];
  if (!row.winner) return "There is no winner to score: look at the failures, mend the cause, then start another sweep.";
  return row.state === "evaluated" ? null : ["Score the winner on the test set: ", submit(`evaluate ${row.id}`)];
}

/** Advice that the records themselves give. */
function nextSteps(detail, ranked, winner) {
  const { row, sweep } = detail;
  const first = nextStep(detail);
  if (sweep.parent || !row.finished_at) return first;
  const steps = first ? [el("li", {}, first)] : [];
  const { max_epochs: epochs, final_epochs: finalEpochs } = sweep;
  if (winner.best_epoch >= epochs - 1 && !finalEpochs && sweep.searcher !== "pbt") steps.push(el("li", {}, `The winner was best at epoch ${winner.best_epoch} of ${epochs}; it may want more: `, submit(`${row.study} --best-of ${row.id} --max-epochs ${2 * epochs}${sweep.same_images}`)));
  const top = ranked.slice(0, Math.max(4, Math.ceil(ranked.length / 4)));
  const important = [...detail.parameters].sort((one, other) => (other.importance ?? 0) - (one.importance ?? 0)).slice(0, 3);
  for (const parameter of ranked.length >= 8 ? important : []) {
    const values = top.map((trial) => trial.config[parameter.name]);
    if (parameter.kind === "choice") {
      const tally = parameter.values.map((value) => [value, values.filter((each) => each === value).length]).sort(([, one], [, other]) => other - one);
      if (tally[0][1] >= 0.75 * top.length && tally[0][0] === winner.config[parameter.name]) steps.push(el("li", {}, `${tally[0][1]} of the best ${top.length} trials have ${parameter.label} ${number(tally[0][0])}: fix it, and search the rest finer.`));
    } else {
      const low = Math.min(...values), high = Math.max(...values);
      steps.push(el("li", {}, `The best ${top.length} trials have a ${parameter.label} from ${number(low, 2)} to ${number(high, 2)}; all lie between ${number(parameter.low, 2)} and ${number(parameter.high, 2)}.`));
    }
  }
  return steps.length ? el("ul", {}, steps) : "The records suggest nothing in particular; another seed tells how much of the winner was luck.";
}
