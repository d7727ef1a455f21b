// Samples: one slider of kimg for all sheets, a contact sheet over time, two runs, neighbours.

const { make, state, sheets, format } = gansweep;
const SHOWN = 24;    // sheets at once, until the reader asks for all
const COLUMNS = 8;   // moments of the contact sheet
const PLAY_MS = 600;
const ALL = "";
gansweep.key("role", gansweep.text, null);
gansweep.key("seeds", gansweep.list, []);  // runs shown in place of their rows' first
gansweep.key("every", gansweep.flag, false);  // all selected rows, however many

let parts = null;
let drawnFor = "";

// ---- what is shown

function shownRows() {
  const rows = gansweep.selected().map((id) => gansweep.rows.get(id));
  const having = rows.filter((row) => sheets.runsOf(row).length);
  return { having, without: rows.filter((row) => !having.includes(row)) };
}

function runOf(row) {
  const runs = sheets.runsOf(row);
  return state.get("seeds").find((run) => runs.includes(run)) || runs[0];
}

function choice() {
  return { class: state.get("class"), role: state.get("role") };
}

// the moment of the slider: that of the state, else the newest
function momentOf(moments) {
  const asked = state.get("moment");
  if (asked === null) return moments.at(-1);
  return moments.reduce((best, one) => (Math.abs(one - asked) < Math.abs(best - asked) ? one : best));
}

// at most `most` of the moments, about evenly, the last among them; of neighbouring moments the one
// at which most runs have a sheet
function spread(moments, runs, most) {
  if (moments.length <= most) return moments;
  const within = sheets.tolerance(runs);
  const counts = moments.map((kimg) => runs.filter(
    (run) => sheets.at(sheets.nearest(sheets.list(run), kimg), kimg, within),
  ).length);
  const step = (moments.length - 1) / (most - 1);
  return [...Array(most).keys()].map((k) => {
    const target = Math.round(k * step);
    if (k === most - 1) return moments.at(-1);
    const near = [...moments.keys()].filter((place) => Math.abs(place - k * step) < step / 2);
    const far = (place) => Math.abs(place - target);
    return moments[near.sort((a, b) => counts[b] - counts[a] || far(a) - far(b))[0]];
  });
}

// ---- controls

function select(label, values, chosen, change) {
  const element = make("select", { "aria-label": label, onchange: () => change(element.value) },
    values.map(([value, text]) => make("option", { value, text, selected: value === chosen })));
  return make("label", {}, `${label} `, element);
}

function filters(runs) {
  const layouts = runs.flatMap((run) => sheets.list(run).slice(-1)).map((sheet) => sheet.layout).filter(Boolean);
  const classes = layouts.map((layout) => layout.classes || []).sort((a, b) => b.length - a.length)[0] || [];
  const roles = layouts.map((layout) => layout.roles || []).sort((a, b) => b.length - a.length)[0] || [];
  const found = [];
  if (classes.length) {
    const values = [[ALL, "all, a column each"], ...classes.map((name, place) => [String(place), name])];
    const chosen = state.get("class") === null ? ALL : String(state.get("class"));
    found.push(select("Class", values, chosen, (value) => state.set({ class: value === ALL ? null : Number(value) })));
  }
  if (roles.length) {
    const different = [...new Set(roles)];
    const values = [[ALL, different.join(", ")], ...different.map((role) => [role, `${role} only`])];
    found.push(select("Show", values, state.get("role") || ALL, (value) => state.set({ role: value || null })));
  }
  return found;
}

function slider() {
  let moments = [];
  let timer = null;
  const output = make("output", {});
  const range = make("input", {
    type: "range", min: "0", step: "1", "aria-label": "Moment of all sheets",
    oninput: () => state.set({ moment: moments[Number(range.value)] }),
  });
  const play = make("button", { type: "button", class: "sheet-play", onclick: () => (timer ? stop() : start()) });

  function label() {
    play.textContent = timer ? "Pause" : "Play";
    play.setAttribute("aria-pressed", String(Boolean(timer)));
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    label();
  }
  function step() {
    const next = Number(range.value) + 1;
    if (next >= moments.length || !range.isConnected || document.hidden) return stop();
    return state.set({ moment: moments[next] });
  }
  function start() {
    if (Number(range.value) === moments.length - 1) state.set({ moment: moments[0] });
    timer = setInterval(step, PLAY_MS);
    label();
  }
  label();
  return {
    element: make("span", { class: "sheet-slider" }, play, range, output),
    show(all, kimg) {
      moments = all;
      range.max = moments.length - 1;
      range.value = moments.indexOf(kimg);
      range.disabled = play.disabled = moments.length < 2;
      output.textContent = `${format.number(kimg)} kimg`;
      range.setAttribute("aria-valuetext", output.textContent);
    },
  };
}

// ---- the sheets at one moment

function seeds(row) {
  const runs = sheets.runsOf(row);
  const words = (run) => format.seed(gansweep.runs.get(run).seed);
  if (runs.length === 1) return make("span", { text: words(runs[0]) });
  const element = make("select", {
    "aria-label": `Seed of ${gansweep.name(row.id)}`,
    onchange: () => state.set({ seeds: [...state.get("seeds").filter((run) => !runs.includes(run)), element.value] }),
  }, runs.map((run) => make("option", { value: run, text: words(run), selected: run === runOf(row) })));
  return element;
}

function figureOf(row, zoom) {
  const view = gansweep.sheetView();
  const when = make("span", { class: "when" });
  const heads = make("div", { class: "sheet-heads", "aria-hidden": "true" });
  const figure = make(
    "figure", { class: "sheet", "data-row": row.id },
    make("figcaption", {}, gansweep.tag(row.id)), heads, view.element,
    make("p", { class: "note" }, seeds(row), when),
  );
  view.element.addEventListener("click", (event) => {
    const cell = view.cell(event, zoom);
    if (cell !== null && !zoom.dragged) sheets.choose(view.sheet, cell);
  });
  return { row, run: runOf(row), view, when, heads, figure };
}

// names above the columns, where they are short enough
function head(heads, layout, chosen) {
  const { classes, roles, columns } = layout ? sheets.whole(layout) : { classes: [], roles: [], columns: 0 };
  const named = !chosen && classes.length && classes.every((name) => name.length <= 3);
  const words = named ? classes : [];
  heads.replaceChildren(...words.map((text) => make("span", { text })));
  heads.style.gridTemplateColumns = `repeat(${columns || 1}, 1fr)`;
  if (!chosen && roles.length) heads.textContent = `in turn: ${[...new Set(roles)].join(", ")}`;
  else if (!chosen && classes.length && !named) heads.textContent = `columns: ${classes.slice(0, 12).join(", ")}${classes.length > 12 ? ", ..." : ""}`;
  heads.classList.toggle("words", !named);
}

function showMoment(figures, kimg) {
  let elsewhere = 0;
  for (const one of figures) {
    const sheet = sheets.nearest(sheets.list(one.run), kimg);
    const exact = sheets.at(sheet, kimg, parts.within);
    if (!exact) elsewhere += 1;
    one.when.textContent = sheets.said(sheet, kimg, parts.within);
    one.when.classList.toggle("elsewhere", !exact);
    const picked = sheets.chosen(sheet.layout, choice());
    const label = `Samples of ${gansweep.name(one.row.id)}, ${format.seed(gansweep.runs.get(one.run).seed)}, ${format.number(sheet.kimg)} kimg`;
    head(one.heads, sheet.layout, picked);
    one.view.show(sheet, label, choice());
    one.view.mark(sheets.chosenCell(one.run));
  }
  return elsewhere;
}

// ---- over time

function contact(figures, moments) {
  const heads = moments.map((kimg) => make("th", { scope: "col" }, make("button", {
    type: "button", "data-kimg": String(kimg), text: `${format.number(kimg)} kimg`,
    "aria-label": `Show ${format.number(kimg)} kimg everywhere`, onclick: () => state.set({ moment: kimg }),
  })));
  const body = figures.map(({ row, run }) => make(
    "tr", {},
    make("th", { scope: "row" }, gansweep.tag(row.id)),
    moments.map((kimg) => {
      const sheet = sheets.nearest(sheets.list(run), kimg);
      const view = gansweep.sheetView();
      view.show(sheet, `${gansweep.name(row.id)}, ${format.number(sheet.kimg)} kimg`, choice());
      const words = sheets.at(sheet, kimg, parts.within)
        ? [] : [make("small", { class: "elsewhere", text: sheets.said(sheet, kimg, parts.within) })];
      return make("td", { "data-kimg": String(kimg) }, view.element, words);
    }),
  ));
  return make(
    "div", { class: "scroll sheet-contact", tabindex: "0", role: "region", "aria-label": "Sheets over time" },
    make("table", {}, make("thead", {}, make("tr", {}, make("td", {}), heads)), make("tbody", {}, body)),
  );
}

function highlight(place, moments, kimg) {
  const nearest = moments.reduce((best, one) => (Math.abs(one - kimg) < Math.abs(best - kimg) ? one : best));
  for (const element of place.querySelectorAll("[data-kimg]")) {
    if (element.tagName === "TD" || element.tagName === "BUTTON") {
      element.ariaCurrent = Number(element.dataset.kimg) === nearest ? "true" : null;
    }
  }
}

// ---- the section

function build(body) {
  const zoom = gansweep.zoomOf(body);
  const place = (title) => {
    const inner = make("div", {});
    return { inner, element: make("div", {}, make("h3", { text: title }), inner) };
  };
  const time = slider();
  const chosen = make("span", { class: "sheet-filters" });
  const grid = make("div", {
    class: "sheets", tabindex: "0", role: "group",
    "aria-label": "Sheets at one moment. Plus and minus zoom all of them, arrows move, 0 shows them whole.",
  });
  const overTime = place("Over time");
  const pair = gansweep.samplePair(zoom);
  const neighbours = gansweep.neighbours();
  const notes = make("div", {});
  const bar = make("div", { class: "sheet-controls sheet-moment", role: "group", "aria-label": "Moment and view of all sheets" },
    time.element, chosen, gansweep.zoomButtons(zoom));
  zoom.listen(grid);
  zoom.listen(overTime.inner);
  body.append(
    make("p", { class: "reading", text: "All sheets show the moment of the slider. Ctrl and wheel, a pinch or + and − zoom all of them at one place." }),
    bar, grid, notes, overTime.element, pair.element, neighbours.element,
  );
  parts = { zoom, time, chosen, grid, notes, overTime, pair, neighbours, figures: [], columns: [] };
}

function note(words, ...more) {
  return make("p", { class: "note" }, words, ...more);
}

function rebuild(having) {
  const rows = state.get("every") ? having : having.slice(0, SHOWN);
  parts.figures = rows.map((row) => figureOf(row, parts.zoom));
  const runs = parts.figures.map((one) => one.run);
  parts.moments = sheets.moments(runs);
  parts.within = sheets.tolerance(runs);
  parts.columns = spread(parts.moments, runs, COLUMNS);
  parts.grid.replaceChildren(...parts.figures.map((one) => one.figure));
  parts.grid.classList.toggle("few", rows.length <= 3);
  parts.chosen.replaceChildren(...filters(runs));
  parts.overTime.inner.replaceChildren(contact(parts.figures, parts.columns));
  sheets.preload(runs.map((run) => sheets.list(run).at(-1)));
}

function notesOf({ having, without }, kimg, elsewhere) {
  const found = [];
  const { figures, moments, columns } = parts;
  if (elsewhere) {
    found.push(note(`${format.plural(elsewhere, "run")} saved no sheet at ${format.number(kimg)} kimg: the nearest in time is shown, with its own kimg.`));
  }
  const partly = figures.filter((one) => !one.view.element.classList.contains("in-cells")).length;
  if ((choice().class !== null || choice().role) && partly && partly < figures.length) {
    found.push(note(`${format.plural(partly, "sheet")} without such columns ${partly === 1 ? "is" : "are"} shown whole.`));
  }
  if (having.length > figures.length) {
    found.push(note(`${figures.length} of ${having.length} selected configurations are shown. `,
      make("button", { type: "button", text: "Show all", onclick: () => state.set({ every: true }) })));
  }
  if (columns.length < moments.length) {
    found.push(note(`The table below shows ${columns.length} of ${moments.length} moments; the slider has all.`));
  }
  if (without.length) {
    found.push(note(`No sheets: ${without.map((row) => gansweep.name(row.id)).join("; ")}.`));
  }
  if (sheets.folder() !== null && !gansweep.payload.live) {
    found.push(note(`The sheets lie in the folder ${sheets.folder()} beside this page: move both together.`));
  }
  return found;
}

function draw() {
  const rows = shownRows();
  const empty = !rows.having.length;
  for (const one of [parts.grid, parts.overTime.element, parts.pair.element]) one.hidden = empty;
  if (empty) {
    parts.neighbours.element.hidden = true;
    parts.notes.replaceChildren(note("None of the selected configurations has saved a sheet."));
    drawnFor = "";
    return;
  }
  const wanted = JSON.stringify([
    gansweep.board.id, rows.having.map((row) => [row.id, runOf(row), gansweep.colour(row.id), sheets.list(runOf(row)).length]),
    choice(), state.get("every"),
  ]);
  if (wanted !== drawnFor) rebuild(rows.having);
  drawnFor = wanted;
  const { time, figures, moments, columns } = parts;
  const kimg = momentOf(moments);
  time.show(moments, kimg);
  parts.notes.replaceChildren(...notesOf(rows, kimg, showMoment(figures, kimg)));
  highlight(parts.overTime.inner, columns, kimg);
  const runs = figures.map((one) => one.run);
  parts.pair.update(runs, kimg, choice(), parts.within);
  parts.neighbours.update(rows.having, runs, kimg, parts.within)
    .catch((error) => gansweep.failed("neighbours", error));
  const next = moments[moments.indexOf(kimg) + 1];
  if (next !== undefined) sheets.preload(figures.map((one) => sheets.nearest(sheets.list(one.run), next)));
}

gansweep.section({
  id: "samples",
  title: "Samples",
  keys: ["selected", "baseline", "moment", "class", "role", "seeds", "every", "pair", "compare", "wipe", "neighbour", "neighbours"],
  shows: sheets.any,
  renew: () => true,
  mount(body) {
    drawnFor = "";
    build(body);
    draw();
  },
  update: draw,
});

// paper shows the newest sheets
let before = null;
window.addEventListener("beforeprint", () => {
  before = state.get("moment");
  state.set({ moment: null });
  state.flush();
});
window.addEventListener("afterprint", () => state.set({ moment: before }));
