// The leaderboard: every configuration or run, sorted, searched, filtered, compared with a baseline.

const { make, state, format } = gansweep;
const SCORES = 4;  // scores, and settings, that are shown unless the reader chooses others
const SETTINGS = 4;
const MOMENTS = { last: "at the end", best: "best on the way" };
const LEAST_SHARE = 0.15;  // of the rows that have a setting, for it to be shown

const withBreaks = (text) => text.replaceAll("_", "_\u200b");

// a column's heading: of a score its word, and below it the rest of its name, which is the protocol
function heading(column) {
  const { word, key } = column;
  if (column.kind !== "score") return [withBreaks(column.label)];
  const short = word && key.startsWith(`${word}_`);
  const details = [
    short ? withBreaks(key.slice(word.length + 1)) : "",
    column.at ? MOMENTS[column.at] : "",
    ...(column.ideals || []).map(([name, value]) => `${name} ${format.number(value)}`),
  ];
  return [
    short ? word.replaceAll("_", " ") : withBreaks(key),
    ...details.filter(Boolean).map((text) => make("small", { text })),
  ];
}

// ---- the columns

function defaultColumns(board) {
  const scores = board.columns.filter((column) => column.kind === "score");
  const ranking = scores.filter((one) => !one.at && (one.key === board.metric || one.key === board.trial_metric));
  const words = new Set(ranking.map((one) => one.word));
  const others = scores.filter((one) => {
    const first = !ranking.includes(one) && one.direction && !one.at && !words.has(one.word);
    words.add(one.word);
    return first;
  });
  const share = (column) => board.rows.filter((row) => column.key in row.settings).length / board.rows.length;
  const settings = board.columns.filter((column) => column.kind === "setting" && share(column) >= LEAST_SHARE);
  return [
    ...ranking, ...others.slice(0, Math.max(0, SCORES - ranking.length)), ...settings.slice(0, SETTINGS),
  ].map((column) => column.id).concat("kimg", "seconds");
}

function chosenColumns(board) {
  const known = new Map(board.columns.map((column) => [column.id, column]));
  return (state.get("columns") || defaultColumns(board)).map((id) => known.get(id)).filter(Boolean);
}

// ---- cells of configurations

const summaryOf = (row, column) => row[column.at || gansweep.board.at][column.key];

// the error of the measurement itself, of a row with one seed: "1.61 to 1.70" or "± 0.08"
function measured(row, column) {
  const { board } = gansweep;
  const run = gansweep.runs.get(row.counted[0]);
  const value = run && !column.at && row.counted.length === 1 && board.at === "last" ? run.last[column.key] : null;
  const words = value ? format.spread(value) : "";
  return words ? make("small", { text: words, title: "The error of the measurement, 95 % or one standard deviation; not of the seed" }) : null;
}

function scoreCell(row, column) {
  const { board } = gansweep;
  const summary = summaryOf(row, column);
  if (!summary) return document.createTextNode(format.DASH);
  const base = gansweep.rows.has(state.get("baseline")) && !column.at ? state.get("baseline") : null;
  const one = base && base !== row.id ? gansweep.baseline.against(board, base, column.key).get(row.id) : null;
  const within = format.interval(summary);
  if (!one) {
    return make(
      "span", {}, format.score(summary),
      within ? make("small", { text: within, title: "95 % interval of the mean" }) : measured(row, column),
      base === row.id ? make("small", { class: "difference", text: "baseline" }) : null,
    );
  }
  const judged = gansweep.baseline.judgement(one, column.direction);
  const title = one.untested || (judged ? `significantly ${judged} than the baseline` : "no significant difference");
  return make(
    "span", { title: within ? `95 % interval of the mean: ${within}` : null }, format.score(summary),
    ...gansweep.baseline.words(one, judged).map((line) => make("small", { class: `difference ${judged}`, text: line, title })),
  );
}

function cellOf(column) {
  if (column.kind === "score") {
    return {
      value: (row) => (summaryOf(row, column) || {}).mean ?? null,
      node: (row) => scoreCell(row, column),
      num: true,
    };
  }
  if (column.kind === "setting") {
    const value = (row) => row.settings[column.key];
    return {
      value: (row) => (typeof value(row) === "number" ? value(row) : value(row) === undefined ? null : format.setting(value(row))),
      node: (row) => (value(row) === undefined ? format.DASH : withBreaks(format.setting(value(row)))),
      num: true,
    };
  }
  const write = column.kind === "seconds" ? format.duration : format.number;
  return { value: (row) => row[column.key], node: (row) => write(row[column.key]), num: true };
}

function statusWords(row) {
  const words = Object.entries(row.statuses).filter(([status]) => status !== "finished");
  return words.map(([status, count]) => make("small", {
    class: `state ${status.replaceAll(" ", "-")}`, text: `${count} ${status}`,
  }));
}

// what keeps a row from winning, where its statuses do not say it
function flaws(row) {
  const finished = Object.keys(row.statuses).every((status) => status === "finished");
  if (row.excluded && finished && !row.flaw) return ["cannot win"];
  return row.flaw && (row.stage !== "trial" || row.flaw.includes("breaks")) ? [row.flaw] : [];
}

const remarksOf = (row) => {
  const runs = row.runs.map((id) => gansweep.runs.get(id)).filter(Boolean);
  return { tags: [...new Set(runs.flatMap((run) => run.tags))], notes: runs.map((run) => run.note).filter(Boolean) };
};

function nameCell(row) {
  const { tags, notes } = remarksOf(row);
  const detail = row.name === row.label ? [] : [make("span", { class: "detail", text: row.label, title: row.label })];
  return make(
    "span", { class: "name" },
    make("span", { class: "swatch" }, gansweep.selected().includes(row.id) ? gansweep.sample(row.id) : null),
    make("span", { class: "model", text: withBreaks(row.name) }),
    ...detail,
    ...tags.map((tag) => make("span", { class: "word", text: tag })),
    ...notes.map((note) => make("span", { class: "detail note", text: note })),
  );
}

function pin(row) {
  const pinned = state.get("baseline") === row.id;
  return make("button", {
    type: "button", class: "pin", text: "⚑", "aria-pressed": String(pinned),
    title: "Compare all rows with this one",
    "aria-label": `${pinned ? "Unpin" : "Pin"} ${row.name} as the baseline`,
    onclick: () => state.set({ baseline: pinned ? null : row.id }),
  });
}

function pick(id, name, chosen) {
  return make("input", {
    type: "checkbox", checked: chosen, "aria-label": `Show ${name} in the figures`,
    onchange: (event) => {
      const ids = gansweep.selected().filter((one) => one !== id);
      state.set({ selected: event.target.checked ? [...ids, id] : ids });
    },
  });
}

function foldButton(id, what) {
  return make("button", {
    type: "button", class: "fold", "aria-expanded": "false", "aria-label": `Fold out ${what}`,
    "data-fold": id, text: "▸",
  });
}

function rowColumns(board) {
  const searched = (row) => {
    const { tags, notes } = remarksOf(row);
    const names = row.runs.map((id) => (gansweep.runs.get(id) || {}).name);
    return [row.name, row.label, row.stage, ...Object.keys(row.statuses), ...tags, ...notes, ...names].join(" ");
  };
  return [
    { id: "fold", name: "fold out", label: "", fixed: true, value: () => null, node: (row) => foldButton(row.id, `the runs of ${row.name}`) },
    { id: "pick", name: "in the figures", label: "", fixed: true, value: () => null, node: (row) => pick(row.id, row.name, gansweep.selected().includes(row.id)) },
    { id: "pin", name: "baseline", label: "", fixed: true, value: () => null, node: pin },
    { id: "rank", label: "#", num: true, value: (row) => row.rank, node: (row) => (row.rank === null ? format.DASH : String(row.rank)) },
    { id: "name", label: "configuration", value: (row) => row.name, node: nameCell, searched },
    {
      id: "seeds", label: "seeds", num: true, value: (row) => row.seeds,
      node: (row) => make(
        "span", {}, String(row.seeds),
        ...flaws(row).map((text) => make("small", { class: "state failed", text })),
        ...statusWords(row),
      ),
    },
    ...chosenColumns(board).map((column) => ({ id: column.id, label: column.label, heading: heading(column), title: column.key, ...cellOf(column) })),
    ...(board.sweep ? [{ id: "stage", label: "stage", value: (row) => row.stage, node: (row) => make("span", { class: `state ${row.stage}`, text: row.stage }) }] : []),
  ];
}

// ---- cells of single runs

function runCellOf(column) {
  const { board } = gansweep;
  if (column.kind === "score") {
    const value = (run) => ((run[column.at || board.at] || {})[column.key] || {}).value ?? null;
    return { value, node: (run) => format.number(value(run)), num: true };
  }
  if (column.kind === "setting") {
    const cell = cellOf(column);
    const row = (run) => gansweep.rows.get(run.row);
    return { value: (run) => cell.value(row(run)), node: (run) => cell.node(row(run)), num: true };
  }
  return cellOf(column);
}

function runColumns(board) {
  const nameOf = (run) => (gansweep.rows.get(run.row) || {}).name || "";
  return [
    { id: "fold", name: "fold out", label: "", fixed: true, value: () => null, node: (run) => foldButton(run.id, run.name) },
    { id: "pick", name: "in the figures", label: "", fixed: true, value: () => null, node: (run) => pick(run.row, nameOf(run), gansweep.selected().includes(run.row)) },
    {
      id: "name", label: "run", value: (run) => run.name,
      searched: (run) => [run.name, nameOf(run), run.status, run.note, ...run.tags].join(" "),
      node: (run) => make(
        "span", { class: "name" },
        make("span", { class: "model", text: run.name }), make("span", { class: "detail", text: nameOf(run) }),
        ...run.tags.map((tag) => make("span", { class: "word", text: tag })),
        ...(run.note ? [make("span", { class: "detail note", text: run.note })] : []),
      ),
    },
    { id: "seed", label: "seed", num: true, value: (run) => run.seed, node: (run) => (run.seed === null ? format.DASH : String(run.seed)) },
    { id: "status", label: "status", value: (run) => run.status, node: (run) => make("span", { class: `state ${run.status.replaceAll(" ", "-")}`, text: run.status, title: run.reason || null }) },
    ...chosenColumns(board).map((column) => ({ id: column.id, label: column.label, heading: heading(column), title: column.key, ...runCellOf(column) })),
  ];
}

// ---- what a row folds out to

function seeds(row) {
  const { board } = gansweep;
  const scores = chosenColumns(board).filter((column) => column.kind === "score");
  const heads = ["run", "seed", "status", ...scores.map((column) => withBreaks(column.label)), "kimg", "time", "why"];
  const lines = row.runs.map((id) => gansweep.runs.get(id)).filter(Boolean).map((run) => make(
    "tr", { class: row.counted.includes(run.id) ? null : "quiet" },
    make("th", { scope: "row", text: run.name, title: run.directory }),
    make("td", { class: "num", text: run.seed === null ? format.DASH : String(run.seed) }),
    make("td", {}, make("span", { class: `state ${run.status.replaceAll(" ", "-")}`, text: run.status })),
    scores.map((column) => make("td", { class: "num", text: format.number(((run[column.at || board.at] || {})[column.key] || {}).value) })),
    make("td", { class: "num", text: format.number(run.kimg) }),
    make("td", { class: "num", text: format.duration(run.seconds) }),
    make("td", { class: "reason", text: [run.reason, row.counted.includes(run.id) ? "" : "It is in no mean."].filter(Boolean).join(" ") }),
  ));
  return make(
    "div", { class: "seeds" },
    make(
      "table", { class: "narrow" },
      make("caption", { class: "unseen", text: `Runs of ${row.name}` }),
      make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col", text: head })))),
      make("tbody", {}, lines),
    ),
  );
}

function particulars(run) {
  const lines = [run.reason, run.stopped_by ? `Stopped by ${run.stopped_by}.` : "", ...run.notes, run.directory];
  return make(
    "div", { class: "seeds" },
    ...lines.filter(Boolean).map((line) => make("p", { class: "note", text: line })),
    run.command ? gansweep.command(run.command) : make("p", { class: "note", text: run.no_command || "The record of this run contains no command." }),
  );
}

// ---- the section

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

async function drawTable() {
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
  parts.table.querySelector("tbody").addEventListener("click", (event) => {
    const button = event.target.closest("[data-fold]");
    if (button) fold(button.closest("tr"), button.dataset.fold);
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
    ? `Below each score: its difference from the baseline, the interval of the difference, and p (${test}, with Holm’s correction for ${made.length}). Where the interval contains 0 the difference may be chance.`
    : "Below each score: its difference from the baseline. A test needs at least two seeds of each.";
  parts.baseline.replaceChildren(
    make("p", {}, make("strong", { text: "Baseline: " }), gansweep.sample(base.id), `${base.name}${summary ? `, ${score} ${format.score(summary)} over ${format.plural(summary.n, "seed")}` : ""} `,
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
  const line = (column, on, place) => make(
    "li", {},
    make("label", {}, make("input", {
      type: "checkbox", checked: on,
      onchange: () => set(on ? shown.filter((id) => id !== column.id) : [...shown, column.id]),
    }), ` ${column.label}`, column.label === column.key ? null : make("small", { text: column.key })),
    on ? make("span", { class: "moves" },
      make("button", { type: "button", text: "↑", "aria-label": `Move ${column.label} to the left`, disabled: place === 0, "data-move": `${column.id} up`, onclick: () => set(moved(column.id, -1)) }),
      make("button", { type: "button", text: "↓", "aria-label": `Move ${column.label} to the right`, disabled: place === shown.length - 1, "data-move": `${column.id} down`, onclick: () => set(moved(column.id, 1)) })) : null,
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
    + (board.rows.some((row) => row.stage === "confirmed") ? " Confirmed rows were trained again with fresh seeds; a trial’s value is the best of many, and flatters." : "");
}

gansweep.section({
  id: "leaderboard",
  title: "Leaderboard",
  keys: ["selected", "baseline", "filter", "search", "sort", "columns", "group", "rows"],
  renew: true,
  async mount(element, board) {
    opened = new Set();
    parts = { table: make("div"), baseline: make("div", { class: "baseline" }) };
    element.append(make("p", { class: "reading", text: reading(board) }), ...controls(board), parts.baseline, parts.table);
    labelControls();
    columnChooser(board);
    baselineBox();
    await drawTable();
  },
  async update(keys) {
    if (keys.has("renewed")) {
      columnChooser(gansweep.board);
      baselineBox();
      return drawTable();
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
