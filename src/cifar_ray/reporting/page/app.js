// Starts the page, follows the address, and in live mode asks for what is new.

const POLL_MS = 1500;
const QUIET_MS = 25000; // a lease is renewed every 5 s
const PRESS_MS = 5000;
let pressedUntil = 0; // no click reaches a link that is replaced under a pressed button
const pulses = new Map(); // by sweep: the last heartbeat, when it was first seen, and whether another was seen before it

const main = document.getElementById("main");
let failure = null;

const views = [
  [/^$/, (root) => overviewView(root)],
  [/^compare\/[^/]+$/, (root, [, ids]) => compareView(root, ids)],
  [/^sweep\/[^/]+$/, (root, [, id]) => sweepView(root, id)],
  [/^sweep\/[^/]+\/test$/, (root, [, id]) => evaluationView(root, id)],
  [/^sweep\/[^/]+\/trial\/[^/]+$/, (root, [, id, , trial]) => trialView(root, id, trial)],
];

async function show() {
  const { parts } = readAddress();
  const match = views.find(([pattern]) => pattern.test(parts.map(encodeURIComponent).join("/")));
  clearCharts();
  fill(main);
  app.view = null;
  if (!match) return void main.append(empty("There is no such page", link("#/", "All sweeps")));
  const root = el("div", { class: "view" });
  const trouble = el("div");
  const view = { ...match[1](root, parts), root, trouble };
  main.append(trouble, root);
  app.view = view;
  showFrame(parts);
  await refresh();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function showFrame(parts) {
  const crumbs = [link("#/", "sweeps")];
  if (parts[0] === "sweep") crumbs.push(link(sweepAddress(parts[1]), parts[1]));
  if (parts[2]) crumbs.push(el("span", { "aria-current": "page" }, parts[2] === "trial" ? parts[3] : "test scores"));
  if (parts[0] === "compare") crumbs.push(el("span", { "aria-current": "page" }, "compare"));
  fill(document.getElementById("crumbs"), el("ol", {}, crumbs.map((crumb) => el("li", {}, crumb))));
  document.title = [...parts.slice(1).filter((part) => part !== "trial").reverse(), "cifar-ray"].join(" · ");
}

async function refresh() {
  const view = app.view;
  if (!view) return;
  try {
    if (app.isLive) await fetchAll(view.needs);
    failure = null;
  } catch (error) {
    failure = error;
  }
  if (view !== app.view) return;
  showState(view);
  const missing = view.needs.filter((id) => !app.details.has(id));
  const isLost = !app.payload || (missing.length > 0 && missing.length === view.needs.length);
  view.root.hidden = isLost;
  fill(view.trouble, isLost ? problem(missing) : null);
  if (isLost) return;
  const news = JSON.stringify([app.payload.sweeps, app.payload.seed_means, view.needs.map((id) => app.details.get(id))]);
  if (news === view.drawn || (view.drawn && Date.now() < pressedUntil)) return;
  keepPlace(view.root, view.update);
  view.drawn = news;
}

/** Most of what is redrawn is rebuilt: tables stay scrolled as they were, and the focus is on what replaced its element. */
function keepPlace(root, redraw) {
  const label = (node) => node.getAttribute("aria-label");
  const tables = () => [...root.querySelectorAll(".scroll")];
  const places = new Map(tables().map((node) => [label(node), { left: node.scrollLeft, top: node.scrollTop }]));
  const focused = root.contains(document.activeElement) ? document.activeElement : null;
  const name = (node) => [node.getAttribute("href"), label(node) ?? node.textContent].join();
  const alike = () => [...root.querySelectorAll(focused.tagName)].filter((node) => name(node) === name(focused));
  const index = focused ? alike().indexOf(focused) : -1;
  redraw();
  for (const node of tables()) node.scrollTo(places.get(label(node)) ?? {});
  if (focused && !focused.isConnected) alike()[index]?.focus({ preventScroll: true });
}

async function fetchJson(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const content = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(content.problem ?? `status ${answer.status}`), { hint: content.hint });
  return content;
}

/** One sweep that cannot be had keeps none of the others away. All sweeps are for their list, and for means over seeds. */
async function fetchAll(needs) {
  if (needs.length !== 1 || !app.payload) {
    app.payload = await fetchJson("api/store.json");
    app.payload.sweeps.forEach(feelPulse);
  }
  const failures = [];
  for (const id of needs) await fetchJson(`api/sweeps/${encodeURIComponent(id)}.json`).then((detail) => (feelPulse(detail.row), app.details.set(id, whole(detail))), (error) => failures.push(error));
  if (failures.length) throw failures[0];
}

/** What all trials have alike is sent once. */
function whole(detail) {
  for (const trial of detail.trials) for (const part of ["config", "settings"]) trial[part] = { ...trial[part], ...detail.alike[part] };
  return detail;
}

function problem(missing) {
  if (failure instanceof TypeError) return empty("The server does not answer", "Start it again: ", command(`cifar-ray dashboard --port ${location.port || 80}${app.payload?.options ?? ""}`), ". This page tries on.");
  if (failure) return empty(failure.message, failure.hint ?? "", " ", link("#/", "All sweeps"));
  return empty(`This file holds nothing about ${missing.join(", ")}`, link("#/", "What it holds"));
}

/** The banner for data that is not CIFAR-10, and whether numbers still come. */
function showState(view) {
  const rows = view.needs.map((id) => app.details.get(id)?.row).filter(Boolean);
  const warned = (view.needs.length ? rows : app.payload?.sweeps ?? []).filter((row) => row.is_cifar10 === false);
  fill(document.getElementById("caution"), warned.length && view.needs.length
    ? el("p", { class: "banner", role: "note" }, el("b", {}, "NOT CIFAR-10. "), warned.map(({ id, data }) => `${id} was measured on ${data}`).join("; "), ". Its accuracies say nothing about CIFAR-10.") : null,
  );
  const live = document.getElementById("liveness");
  const running = rows.filter(({ state }) => state === "running");
  const silent = running.filter((row) => !isAlive(row));
  const [mood, text] = failure ? ["bad", failure instanceof TypeError ? "server does not answer" : failure.message]
    : !app.isLive ? ["", ""] : silent.length ? ["warn", silent[0].silent_since ? `driver silent since ${moment(silent[0].silent_since)} UTC` : "driver silent for 25 s"] : ["good", "live"];
  live.className = `liveness ${mood}`;
  live.textContent = text;
  const notes = rows.map(({ caution }) => caution).filter(Boolean);
  fill(document.getElementById("foot"), el("p", {}, app.isLive ? "Live from " : "A file made from ", app.payload?.store ?? "", app.payload && !app.isLive ? ` · ${moment(app.payload.generated_at)} UTC` : ""), [...new Set(notes)].map((text) => el("p", {}, text)));
}

/** A heartbeat that was seen to change outranks a silence by the driver's clock and the server's, which may differ. */
function feelPulse(row) {
  const known = pulses.get(row.id);
  if (known?.heartbeat !== row.heartbeat) pulses.set(row.id, { heartbeat: row.heartbeat, at: Date.now(), isChange: Boolean(known) });
  if (pulses.get(row.id)?.isChange && hasPulse(row)) row.silent_since = null;
}

const hasPulse = ({ id }) => Date.now() - pulses.get(id)?.at < QUIET_MS;
const isAlive = (row) => !row.silent_since && hasPulse(row);

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  inks.clear();
  document.getElementById("theme").textContent = name === "dark" ? "Light" : "Dark";
  document.getElementById("theme").setAttribute("aria-label", `switch to ${name === "dark" ? "light" : "dark"} colours`);
}

/** What is on screen takes the new colours where it is: no choice, place or focus of the reader's is lost. */
function changeTheme(name) {
  setTheme(name);
  if (app.view?.drawn) keepPlace(app.view.root, app.view.update);
}

/** Paper is white and narrow: all charts are drawn for it, those far from the screen, too. */
function setForPaper() {
  const name = document.documentElement.dataset.theme;
  const draw = (isForPaper, colours) => {
    main.classList.toggle("paper", isForPaper);
    [...charts.keys()].forEach(fit);
    changeTheme(colours);
  };
  draw(true, "light");
  [...waiting.keys()].forEach(drawWaiting);
  [...charts.keys()].forEach(flatten);
  addEventListener("afterprint", () => draw(false, name), { once: true });
}

function start() {
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  setTheme(preferred.matches ? "dark" : "light");
  preferred.addEventListener("change", () => changeTheme(preferred.matches ? "dark" : "light"));
  document.getElementById("theme").addEventListener("click", () => changeTheme(isDark() ? "light" : "dark"));
  document.querySelector("[data-skip]").addEventListener("click", (event) => (event.preventDefault(), main.focus()));
  const payload = JSON.parse(document.getElementById("payload").textContent);
  app.isLive = payload === null;
  if (payload) {
    app.payload = payload;
    app.details = new Map(Object.entries(payload.details).map(([id, detail]) => [id, whole(detail)]));
    if (payload.sweeps.length === 1 && !location.hash) location.replace(sweepAddress(payload.sweeps[0].id));
  }
  addEventListener("beforeprint", setForPaper);
  addEventListener("pointerdown", () => (pressedUntil = Date.now() + PRESS_MS), true);
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => (pressedUntil = 0), true);
  addEventListener("hashchange", show);
  show().finally(poll);
}

/** One question after the other, never two at once; none while nobody looks. One that cannot be drawn is not the last. */
async function poll() {
  if (!app.isLive) return;
  await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  try {
    if (!document.hidden) await refresh();
  } finally {
    poll();
  }
}

start();
