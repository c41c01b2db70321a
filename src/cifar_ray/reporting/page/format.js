// Numbers, names and colours as the whole page shows them.

const MISSING = "–";
const OUTCOMES = ["completed", "stopped", "running", "diverged", "failed"];
const SYMBOLS = { completed: "circle", stopped: "rect", running: "emptyCircle", diverged: "triangle", failed: "diamond" };
const MARKS = { completed: "●", stopped: "■", running: "○", diverged: "▲", failed: "◆" };
// Okabe and Ito's colours, which colour-blind eyes tell apart, ordered for the page's two backgrounds
const PALETTES = {
  light: ["#0072b2", "#d55e00", "#009e73", "#b5578f", "#b57d00", "#2b8fc4", "#8c564b", "#1a1a1a"],
  dark: ["#4db2ec", "#ff8a3d", "#2fc79a", "#e39cc6", "#f0b429", "#8fd0f5", "#c99a8d", "#f2f2f2"],
};
const SCALE = ["#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838"]; // cividis

const isDark = () => document.documentElement.dataset.theme === "dark";
const palette = () => PALETTES[isDark() ? "dark" : "light"];
const inks = new Map(); // of the present theme: asking the style sheet again costs a layout
function ink(name) {
  if (!inks.has(name)) inks.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return inks.get(name);
}
const outcomeColour = (outcome) => ink(`outcome-${OUTCOMES.includes(outcome) ? outcome : "stopped"}`);

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const percent = (value, digits = 2) => (isNumber(value) ? (100 * value).toFixed(digits) : MISSING);
const percentSign = (value, digits = 2) => (isNumber(value) ? `${percent(value, digits)} %` : MISSING);
const intervalText = (interval, digits = 2) => (interval ? interval.map((end) => percent(end, digits)).join(" to ") : MISSING);
const count = (value) => (isNumber(value) ? value.toLocaleString("en-US") : MISSING);
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** Why there is no curve. */
const noEpoch = ({ row }) => (row.num_epochs ? "No epoch has a finite loss" : row.finished_at ? "No trial finished an epoch" : "No epoch has been trained yet");

function duration(seconds) {
  if (!isNumber(seconds)) return MISSING;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** Said of a wall time in which the sweep lay still until it was resumed. */
const withPauses = (row) => (row.has_pauses ? " with pauses" : "");

function number(value, digits = 3) {
  if (value === null || value === undefined) return MISSING;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (!isNumber(value) || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(digits)));
}

const moment = (text) => (text ? text.slice(0, 16).replace("T", " ") : MISSING);
const secondsInto = (sweep, text) => (Date.parse(text) - Date.parse(sweep.started_at)) / 1000;
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** The records of an interrupted sweep still call trials running that no driver trains. */
const outcomeName = (outcome, row) => (outcome === "running" && row.state === "interrupted" ? "interrupted" : outcome);

const outcomeTag = (outcome, row) =>
  el("span", { class: `tag outcome ${OUTCOMES.includes(outcome) ? outcome : ""}` },
    el("span", { "aria-hidden": "true", class: "mark" }, MARKS[outcome] ?? "■"), outcomeName(outcome, row));

const stateTag = (row) => el("span", { class: `tag state ${row.state}` }, row.state, row.silent_since ? ", silent" : "");

const dataTag = (row) =>
  el("span", { class: row.is_cifar10 ? "data" : "data other" }, row.data, row.is_cifar10 ? "" : el("b", {}, " NOT CIFAR-10"));

/** Trials by outcome as one bar, with the numbers in words. */
function outcomeBar(row) {
  const { outcomes, num_trials: numTrials } = row;
  const parts = OUTCOMES.filter((name) => outcomes[name]);
  const waiting = Math.max(0, numTrials - sum(parts.map((name) => outcomes[name])));
  const words = [...parts.map((name) => `${outcomes[name]} ${outcomeName(name, row)}`), ...(waiting ? [`${waiting} to come`] : [])].join(", ");
  return el("div", { class: "outcomes" },
    el("div", { class: "bar", role: "img", "aria-label": words },
      parts.map((name) => el("i", { class: name, style: { flex: `${outcomes[name]} 0 0` } })),
      waiting ? el("i", { class: "waiting", style: { flex: `${waiting} 0 0` } }) : null),
    el("span", { class: "words" }, words));
}
