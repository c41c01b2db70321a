// All sweeps of the store: filter, sort, choose some to compare.

function overviewView(root) {
  const chosen = new Set(recall("with", "").split(",").filter(Boolean));
  const filter = el("input", { type: "search", id: "filter", value: recall("find", ""), placeholder: "study, data, state, id …", oninput: () => (remember("find", filter.value), update()) });
  const go = el("a", { class: "button", role: "link" }, "Compare");
  const table = sortableTable({
    name: "sort", caption: "Sweeps", order: "-started", rowKey: (row) => row.id, columns: overviewColumns(chosen, showChosen),
  });
  const nothing = el("div");
  const numbers = el("p", { class: "lead" });
  root.append(
    el("h1", {}, "Sweeps"), numbers,
    el("div", { class: "tools" }, el("label", { for: "filter" }, "Filter"), filter, go), table.node, nothing);

  function showChosen() {
    const ids = [...chosen].filter((id) => app.payload.sweeps.some((row) => row.id === id));
    remember("with", ids.join(","));
    go.textContent = ids.length < 2 ? "Tick two or more to compare" : `Compare ${ids.length} sweeps`;
    if (ids.length < 2) {
      go.removeAttribute("href");
      go.setAttribute("aria-disabled", "true");
    } else {
      go.href = `#/compare/${ids.map(encodeURIComponent).join(",")}`;
      go.removeAttribute("aria-disabled");
    }
  }

  function update() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (row) => [row.id, row.study, row.data, row.state, row.is_cifar10 === false ? "not cifar-10" : ""].join(" ").toLowerCase();
    const rows = app.payload.sweeps.filter((row) => words.every((word) => text(row).includes(word)));
    table.update(rows);
    table.node.hidden = rows.length === 0;
    numbers.textContent = `${plural(app.payload.sweeps.length, "sweep")} in ${app.payload.store}` +
      (words.length ? `, ${rows.length} shown` : "");
    fill(nothing, rows.length ? null : app.payload.sweeps.length
      ? empty("No sweep matches the filter", "Clear it to see all.")
      : empty("There is no sweep in this store yet", "Start one with ", submit("cnn"), " or try the whole way with ", command("cifar-ray demo"), "."));
    showChosen();
  }

  return { update, needs: [] };
}

function overviewColumns(chosen, onChoose) {
  const tick = (row) => el("input", {
    type: "checkbox", "aria-label": `compare ${row.id}`, checked: chosen.has(row.id), disabled: row.state === "unreadable",
    onchange: (event) => (event.currentTarget.checked ? chosen.add(row.id) : chosen.delete(row.id), onChoose()),
  });
  return [
    {
      key: "id", label: "sweep", isText: true, value: (row) => row.id,
      cell: (row) => el("span", { class: "pick" }, tick(row), row.state === "unreadable"
        ? el("span", {}, row.id, el("small", { class: "problem" }, row.problem, row.hint ? ` (${row.hint})` : ""))
        : el("span", {}, link(sweepAddress(row.id), row.id), el("small", {}, `${row.study} · seed ${row.seed}`))),
    },
    { key: "state", label: "state", isText: true, value: (row) => row.state, cell: stateTag },
    { key: "data", label: "data", isText: true, value: (row) => row.data, cell: (row) => (row.data ? dataTag(row) : MISSING) },
    {
      key: "validation", label: "best val. %", value: (row) => row.best_validation,
      cell: (row) => (isNumber(row.best_validation) ? el("span", {}, percent(row.best_validation), el("small", {}, `of ${count(row.num_validation)} images`)) : MISSING),
    },
    {
      key: "test", label: "test %", value: (row) => row.test?.accuracy,
      cell: (row) => (row.test ? el("span", {}, percent(row.test.accuracy), el("small", {}, row.test.interval.map((each) => percent(each, 1)).join("–"))) : MISSING),
    },
    {
      key: "trials", label: "trials", value: (row) => row.num_trials,
      cell: (row) => (row.outcomes ? outcomeBar(row) : MISSING),
    },
    { key: "epochs", label: "epochs", value: (row) => row.num_epochs, cell: (row) => count(row.num_epochs) },
    { key: "wall", label: "wall time", value: (row) => row.wall_s, cell: (row) => el("span", {}, duration(row.wall_s), row.has_pauses ? el("small", {}, "with pauses") : null) },
    {
      key: "accelerator", label: "accelerator-h", value: (row) => row.accelerator_s,
      cell: (row) => (row.has_accelerators ? (row.accelerator_s / 3600).toFixed(2) : row.state === "unreadable" ? MISSING : "none (CPU)"),
    },
    {
      key: "cost", label: "cost", value: (row) => row.cost?.price,
      cell: (row) => (row.cost?.price == null ? MISSING : row.cost.amount),
    },
    { key: "started", label: "started (UTC)", isText: true, value: (row) => row.started_at, cell: (row) => moment(row.started_at) },
  ];
}
