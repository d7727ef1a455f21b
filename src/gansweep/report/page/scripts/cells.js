// The columns of the leaderboard, their cells, and what a row folds out to.

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

const headed = (column) => ({ id: column.id, label: column.label, heading: heading(column), title: column.key });

// a status or a stage in its colour
function stateOf(word, title = null) {
  return make("span", { class: `state ${word.replaceAll(" ", "-")}`, text: word, title: title || null });
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
      node: (row) => {
        if (value(row) === undefined) return format.DASH;
        const text = format.setting(value(row));
        return make("span", { class: "setting", text: withBreaks(text), title: text });
      },
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
  return row.flaw && (row.stage !== "trial" || finished || row.flaw.includes("breaks")) ? [row.flaw] : [];
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
    {
      id: "pick", name: "in the figures", label: "", fixed: true, value: () => null,
      node: (row) => pick(row.id, row.name, gansweep.selected().includes(row.id)),
    },
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
    ...chosenColumns(board).map((column) => ({ ...headed(column), ...cellOf(column) })),
    ...(board.sweep ? [{ id: "stage", label: "stage", value: (row) => row.stage, node: (row) => stateOf(row.stage) }] : []),
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
    {
      id: "pick", name: "in the figures", label: "", fixed: true, value: () => null,
      node: (run) => pick(run.row, nameOf(run), gansweep.selected().includes(run.row)),
    },
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
    { id: "status", label: "status", value: (run) => run.status, node: (run) => stateOf(run.status, run.reason) },
    ...chosenColumns(board).map((column) => ({ ...headed(column), ...runCellOf(column) })),
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
    make("td", {}, stateOf(run.status)),
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

gansweep.cells = { chosenColumns, rowColumns, runColumns, seeds, particulars };
