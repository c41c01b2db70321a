// Shared by all views: the data, elements built from text nodes alone, choices kept in the address.

const app = {
  payload: null, // the store: a row for each sweep
  details: new Map(), // by sweep id
  isLive: false,
  view: null, // what is on screen: {update}
};

/** An element. Children are nodes or text; nothing is ever parsed as HTML. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const link = (address, ...children) => el("a", { href: address }, ...children);
const fill = (node, ...children) => (node.replaceChildren(...children.flat(Infinity).filter(Boolean)), node);

/** #/sweep/ID/trial/T?sort=x as {parts, query}. */
function readAddress() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { parts, query: new URLSearchParams(query ?? "") };
}

/** Keep a choice in the address, so that a link shows what its sender saw. */
function remember(name, value) {
  const { query } = readAddress();
  if (value) query.set(name, value);
  else query.delete(name);
  const path = location.hash.split("?")[0] || "#/";
  const text = query.toString();
  history.replaceState(null, "", text ? `${path}?${text}` : path);
}

const recall = (name, otherwise) => readAddress().query.get(name) ?? otherwise;

const sweepAddress = (id, ...rest) => `#/${["sweep", id, ...rest].map(encodeURIComponent).join("/")}`;
const trialLink = (sweepId, trialId) => link(sweepAddress(sweepId, "trial", trialId), trialId);

function announce(text) {
  document.getElementById("announce").textContent = text;
}

/** A choice of one of a few, as buttons. `options` are [value, label] pairs. */
function choice(name, label, options, onChange) {
  const initial = recall(name, options[0][0]);
  const state = { value: options.some(([value]) => value === initial) ? initial : options[0][0] };
  const buttons = options.map(([value, text]) =>
    el("button", {
      type: "button",
      "aria-pressed": String(value === state.value),
      onclick: (event) => {
        state.value = value;
        for (const each of buttons) each.setAttribute("aria-pressed", String(each === event.currentTarget));
        remember(name, value === options[0][0] ? "" : value);
        onChange(value);
      },
    }, text));
  state.node = el("div", { class: "choice", role: "group", "aria-label": label }, buttons);
  return state;
}

const card = (title, id, ...children) =>
  el("section", { class: "card", id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), children);

const empty = (title, ...advice) =>
  el("div", { class: "empty" }, el("p", { class: "empty-title" }, title), el("p", {}, ...advice));

const command = (text) => el("code", { class: "command" }, text);

/** Definition list of label and value pairs; values that are missing are left out. */
const facts = (pairs) =>
  el("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value))));
