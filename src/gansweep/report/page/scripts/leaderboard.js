// The leaderboard: every configuration or run, sorted, searched, filtered, compared with a baseline.

const { make, state, format } = gansweep;
const { chosenColumns, rowColumns, runColumns, seeds, particulars } = gansweep.cells;

let api = null;
let shownIds = null;  // of runs that the filter keeps; null: all
let opened = new Set();
let sortedBy = null;  // what the table is sorted by: [column id, "asc" or "desc"]
let parts = {};

const natural = () => [grouped() ? "rank" : "name", "asc"];
const grouped = () => state.get("group") !== "runs";

function keeps(item) {
  if (!shownIds) return true;
  return grouped() ? item.runs.some((run) => shownIds.has(run)) : shownIds.has(item.id);
}

function readFilter() {
  const { board } = gansweep;
  try {
    shownIds = gansweep.filter.chosenRuns(board, state.get("filter"));
    parts.mistake.textContent = "";
    parts.where.removeAttribute("aria-invalid");
  } catch (error) {
    if (!(error instanceof gansweep.filter.FilterError)) throw error;
    parts.mistake.textContent = error.message;
    parts.where.setAttribute("aria-invalid", "true");
  }
}

function narrow() {
  if (!api) return;
  api.search.fixed("where", (_, item) => keeps(item));
  api.search(state.get("search"));
  api.draw();
  tell();
}

function tell() {
  const { board } = gansweep;
  const all = grouped() ? board.rows.length : board.runs.length;
  const shown = api.rows({ search: "applied" }).count();
  const noun = grouped() ? "configuration" : "run";
  parts.count.textContent = shown === all ? format.plural(all, noun) : `${shown} of ${format.plural(all, noun)}`;
}

function visibleRows() {
  const items = api.rows({ search: "applied", order: "applied" }).data().toArray();
  return [...new Set(items.map((item) => (grouped() ? item.id : item.row)))];
}

// one drawing at a time: what changes meanwhile is drawn after it
let drawing = Promise.resolve();

function drawTable() {
  drawing = drawing.then(redraw, redraw);
  return drawing;
}

async function redraw() {
  const { board } = gansweep;
  const columns = grouped() ? rowColumns(board) : runColumns(board);
  const [by, asked] = state.get("sort") || natural();
  const way = asked === "desc" ? "desc" : "asc";
  sortedBy = [by, way];
  const place = Math.max(0, columns.findIndex((column) => column.id === by));
  readFilter();
  api = await gansweep.table(grouped() ? board.rows : board.runs, columns, {
    into: parts.table,
    caption: grouped() ? "Leaderboard of configurations" : "All runs",
    id: (item) => item.id,
    order: columns[place].fixed ? null : [place, way],
    onOrder: (id, direction) => {
      sortedBy = [id, direction];
      state.set({ sort: JSON.stringify(sortedBy) === JSON.stringify(natural()) ? null : sortedBy });
    },
    drawn: (tr, item) => {
      tr.classList.toggle("pinned", item.id === state.get("baseline"));
      tr.classList.toggle("aside", Boolean(item.excluded || item.flaw) || (item.rank === null && grouped()));
    },
  });
  narrow();
  for (const id of opened) {
    const button = parts.table.querySelector(`[data-fold="${id}"]`);
    if (button) fold(button.closest("tr"), id, true);
  }
}

function fold(tr, id, open) {
  const row = api.row(tr);
  const unfold = open ?? !row.child.isShown();
  if (unfold) {
    row.child(grouped() ? seeds(row.data()) : particulars(row.data())).show();
    opened.add(id);
  } else {
    row.child.hide();
    opened.delete(id);
  }
  const button = tr.querySelector("[data-fold]");
  button.setAttribute("aria-expanded", String(unfold));
  button.textContent = unfold ? "▾" : "▸";
}

// the numbers of running runs; the page of the table and the order stay
function followRows() {
  if (grouped() && !opened.size) return;  // a configuration's numbers are those of its finished runs
  if (!grouped()) api.rows((_, run) => run.status === "running").invalidate();
  for (const id of opened) {
    const row = api.row(`[data-id="${id}"]`);
    if (row.any() && row.child.isShown()) row.child(grouped() ? seeds(row.data()) : particulars(row.data())).show();
  }
  api.draw(false);
}

// new marks of the selection in the rows that stand on the page
function markSelection() {
  const chosen = gansweep.selected();
  for (const tr of parts.table.querySelectorAll("tbody tr[data-id]")) {
    const item = grouped() ? gansweep.rows.get(tr.dataset.id) : gansweep.rows.get((gansweep.runs.get(tr.dataset.id) || {}).row);
    if (!item) continue;
    const box = tr.querySelector("input[type=checkbox]");
    if (box) box.checked = chosen.includes(item.id);
    const swatch = tr.querySelector(".swatch");
    if (swatch) swatch.replaceChildren(...(chosen.includes(item.id) ? [gansweep.sample(item.id)] : []));
  }
}

function baselineBox() {
  const { board } = gansweep;
  const base = gansweep.rows.get(state.get("baseline"));
  parts.baseline.hidden = !base;
  if (!base) return;
  const score = gansweep.scores(base)[board.metric] ? board.metric : board.trial_metric;
  const summary = gansweep.scores(base)[score];
  const tests = score ? [...gansweep.baseline.against(board, base.id, score).values()] : [];
  const made = tests.filter((one) => one.p !== null);
  const kinds = new Set(made.map((one) => one.paired));
  const test = kinds.has(true) ? `paired t-test over shared seeds${kinds.size > 1 ? ", Welch’s where they differ" : ""}` : "Welch’s t-test";
  const method = made.length
    ? "Below each score: its difference from the baseline, the interval of the difference, and p "
      + `(${test}, with Holm’s correction for ${made.length}). Where the interval contains 0 the difference may be chance.`
    : "Below each score: its difference from the baseline. A test needs at least two seeds of each.";
  const reached = summary ? `, ${score} ${format.score(summary)} over ${format.plural(summary.n, "seed")}` : "";
  parts.baseline.replaceChildren(
    make("p", {}, make("strong", { text: "Baseline: " }), gansweep.sample(base.id), `${base.name}${reached} `,
      make("button", { type: "button", text: "Unpin", onclick: () => state.set({ baseline: null }) })),
    make("p", { class: "note", text: method }),
  );
}

// ---- controls

function later(run, wait = 150) {
  let timer = null;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...given), wait);
  };
}

function field(label, input) {
  return make("label", { class: "field" }, make("span", { text: label }), input);
}

function columnChooser(board) {
  const shown = chosenColumns(board).map((column) => column.id);
  const others = board.columns.filter((column) => !shown.includes(column.id));
  const byId = new Map(board.columns.map((column) => [column.id, column]));
  const set = (ids) => state.set({ columns: ids });
  const moved = (id, by) => {
    const ids = [...shown];
    const from = ids.indexOf(id);
    ids.splice(from, 1);
    ids.splice(Math.min(Math.max(from + by, 0), ids.length), 0, id);
    return ids;
  };
  const mover = (column, text, side, disabled, by) => make("button", {
    type: "button", text, disabled, "aria-label": `Move ${column.label} to the ${side}`,
    onclick: () => set(moved(column.id, by)),
  });
  const line = (column, on, place) => make(
    "li", {},
    make("label", {}, make("input", {
      type: "checkbox", checked: on,
      onchange: () => set(on ? shown.filter((id) => id !== column.id) : [...shown, column.id]),
    }), ` ${column.label}`, column.label === column.key ? null : make("small", { text: column.key })),
    on ? make("span", { class: "moves" },
      mover(column, "↑", "left", place === 0, -1),
      mover(column, "↓", "right", place === shown.length - 1, 1)) : null,
  );
  parts.columns.replaceChildren(
    make("ul", { class: "columns" }, shown.map((id, place) => line(byId.get(id), true, place)), others.map((column) => line(column, false))),
    make("button", { type: "button", text: "The usual columns", onclick: () => state.set({ columns: null }) }),
  );
}

function controls(board) {
  parts.where = make("input", {
    type: "search", placeholder: "lr > 1e-4 and model = dcgan", value: state.get("filter"), spellcheck: "false",
    "aria-describedby": "filter-mistake", oninput: later(() => state.set({ filter: parts.where.value })),
  });
  parts.search = make("input", { type: "search", value: state.get("search"), oninput: later(() => state.set({ search: parts.search.value })) });
  parts.mistake = make("p", { class: "mistake", id: "filter-mistake", role: "status" });
  parts.group = make("button", { type: "button", onclick: () => state.set({ group: grouped() ? "runs" : "rows", sort: null }) });
  parts.columns = make("div");
  parts.count = make("span", { class: "quiet", role: "status" });
  return [
    make("div", { class: "controls" },
      field("Where", parts.where), field("Search", parts.search), parts.group,
      make("details", { class: "menu" }, make("summary", { text: "Columns" }), parts.columns),
      gansweep.exportMenu ? gansweep.exportMenu(visibleRows, () => chosenColumns(board)) : null),
    parts.mistake,
    make("div", { class: "controls" },
      parts.count, make("span", { class: "quiet", text: "In the figures:" }),
      make("button", { type: "button", text: "The best 8", onclick: () => state.set({ selected: null }) }),
      make("button", { type: "button", text: "All that are shown", onclick: () => state.set({ selected: visibleRows() }) }),
      make("button", { type: "button", text: "None", onclick: () => state.set({ selected: [] }) })),
  ];
}

function labelControls() {
  parts.group.textContent = grouped() ? "Show single runs" : "Group by all but the seed";
  for (const [input, key] of [[parts.where, "filter"], [parts.search, "search"]]) {
    if (document.activeElement !== input && input.value !== state.get(key)) input.value = state.get(key);
  }
}

function reading(board) {
  const moment = board.at === "last" ? "last" : "best";
  return "Ranked by the mean. After ± is the standard deviation over seeds; in brackets the 95 % confidence interval of the mean "
    + `(Student’s t). The ${moment} value of each run counts${board.sweep ? ", as in the sweep" : ""}. `
    + "Pin a row to see whether others differ from it by more than chance; overlapping intervals do not tell."
    + (board.rows.some((row) => row.stage === "confirmed")
      ? " Confirmed rows were trained again with fresh seeds; a trial’s value is the best of many, and flatters." : "");
}

gansweep.section({
  id: "leaderboard",
  title: "Leaderboard",
  keys: ["selected", "baseline", "filter", "search", "sort", "columns", "group", "rows"],
  renew: () => true,
  async mount(element, board) {
    opened = new Set();
    const clicked = (event) => {
      const button = event.target.closest("[data-fold]");
      if (button) fold(button.closest("tr"), button.dataset.fold);
    };
    parts = { table: make("div", { onclick: clicked }), baseline: make("div", { class: "baseline" }) };
    element.append(make("p", { class: "reading", text: reading(board) }), ...controls(board), parts.baseline, parts.table);
    labelControls();
    columnChooser(board);
    baselineBox();
    await drawTable();
  },
  async update(keys) {
    await drawing;
    if (keys.has("renewed")) {
      columnChooser(gansweep.board);
      baselineBox();
      const page = api ? api.page() : 0;
      await drawTable();
      api.page(Math.min(page, api.page.info().pages - 1)).draw(false);
      return;
    }
    if (keys.has("rows")) followRows();
    labelControls();
    if (keys.has("columns")) columnChooser(gansweep.board);
    if (keys.has("baseline")) baselineBox();
    const resorted = keys.has("sort") && JSON.stringify(state.get("sort") || natural()) !== JSON.stringify(sortedBy);
    if (keys.has("columns") || keys.has("group") || keys.has("baseline") || resorted) await drawTable();
    else if (keys.has("filter") || keys.has("search")) {
      readFilter();
      narrow();
    }
    if (keys.has("selected") || keys.has("baseline")) markSelection();
  },
});
