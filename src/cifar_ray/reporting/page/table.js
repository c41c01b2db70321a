// Tables that sort by any column, keep that in the address and take new rows in place.

/** `columns`: {key, label, value(row), cell(row), isText}. The first sort is `order`: "key" or "-key" for descending. */
function sortableTable({ name, caption, columns, order, rowKey, onHover }) {
  let rows = [];
  let sorting = recall(name, order);
  const body = el("tbody");
  const heads = columns.map((column) =>
    el("th", { scope: "col", class: column.isText ? "" : "number" },
      el("button", { type: "button", "data-key": column.key, onclick: () => sortBy(column) }, column.label)));
  const node = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", { class: "unseen" }, caption), el("thead", {}, el("tr", {}, heads)), body));

  function sortBy(column) {
    const first = column.isText ? column.key : `-${column.key}`;
    const second = column.isText ? `-${column.key}` : column.key;
    sorting = sorting === first ? second : first;
    remember(name, sorting === order ? "" : sorting);
    show();
    announce(`sorted by ${column.label}, ${sorting.startsWith("-") ? "descending" : "ascending"}`);
  }

  function show() {
    const isDown = sorting.startsWith("-");
    const column = columns.find(({ key }) => key === sorting.replace(/^-/, "")) ?? columns[0];
    columns.forEach((each, index) =>
      heads[index].setAttribute("aria-sort", each !== column ? "none" : isDown ? "descending" : "ascending"));
    const keyed = rows.map((row) => [column.value(row), row]);
    keyed.sort(([one], [other]) => compareValues(one, other, isDown));
    fill(body, keyed.map(([, row]) =>
      el("tr", { "data-row": rowKey(row), onmouseenter: onHover && (() => onHover(row)), onmouseleave: onHover && (() => onHover(null)) },
        columns.map((each, index) => {
          const shown = each.cell ? each.cell(row) : each.value(row) ?? MISSING;
          const kind = each.isText ? "" : "number";
          return index === 0 ? el("th", { scope: "row", class: kind }, shown) : el("td", { class: kind }, shown);
        }))));
  }

  return { node, update: (fresh) => ((rows = fresh), show()) };
}

/** What is missing comes last, whichever the direction. */
function compareValues(one, other, isDown) {
  const isGone = (value) => value === null || value === undefined || value === MISSING;
  if (isGone(one) || isGone(other)) return isGone(one) - isGone(other);
  const difference = typeof one === "number" && typeof other === "number"
    ? one - other : String(one).localeCompare(String(other), "en", { numeric: true });
  return isDown ? -difference : difference;
}

/** A table that is not sorted. `heading` and `rows` are lists of cells. */
const plainTable = (caption, heading, rows, className = "") =>
  el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", { class: `plain ${className}` }, el("caption", { class: "unseen" }, caption),
      el("thead", {}, el("tr", {}, heading.map((text, index) => el("th", { scope: "col", class: index ? "number" : "" }, text)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, index) =>
        index ? el("td", { class: "number" }, cell) : el("th", { scope: "row" }, cell)))))));
