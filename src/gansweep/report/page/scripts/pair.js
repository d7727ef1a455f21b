// Two runs beside each other: what differs in their settings and surroundings, scores, curves.

const { make, state, format } = gansweep;
const FOLDED = 8;  // settings of one part of the configuration above which it is folded
const CURVES = 3;
const DASHES = ["solid", "dash"];
const colourOf = (place) => [gansweep.figures.colour("--accent"), "#D55E00"][place];

// The two runs that are compared: those chosen, else the first runs of the first two selected rows.
gansweep.pair = () => {
  const chosen = (state.get("pair") || []).filter((id) => gansweep.runs.has(id));
  const rows = gansweep.selected().map((id) => gansweep.rows.get(id));
  const first = rows.map((row) => row.counted[0] || row.runs[0]);
  const others = rows.flatMap((row) => [...row.counted, ...row.runs]);
  return [...new Set([...chosen, ...first, ...others, ...gansweep.runs.keys()])].slice(0, 2);
};

// the names of two runs, without the group that both are in
function short(pair) {
  const groups = new Set(pair.map((run) => run.name.split("/")[0]));
  return pair.map((run) => (groups.size > 1 ? run.name : run.name.slice(run.name.indexOf("/") + 1)));
}

const nameOf = (run) => (gansweep.rows.get(run.row) || { name: "" }).name;

function chooser(place, label) {
  const groups = gansweep.board.rows.map((row) => make(
    "optgroup", { label: row.name },
    row.runs.map((id) => gansweep.runs.get(id)).filter(Boolean).map((one) => make("option", {
      value: one.id, text: `${one.name}, ${format.seed(one.seed)}`,
    })),
  ));
  const select = make("select", {
    onchange: () => {
      const pair = gansweep.pair();
      pair[place] = select.value;
      state.set({ pair });
    },
  }, groups);
  return { select, element: make("label", { class: "field" }, make("span", { text: label }), select) };
}

function controls() {
  const choosers = [chooser(0, "First"), chooser(1, "Second")];
  const runs = () => gansweep.pair().map((id) => gansweep.runs.get(id));
  const element = make(
    "div", { class: "controls" }, choosers.map((one) => one.element),
    make("button", { type: "button", text: "Swap", onclick: () => state.set({ pair: gansweep.pair().reverse() }) }),
    make("button", {
      type: "button", text: "Draw both in all figures",
      onclick: () => state.set({ selected: [...new Set(runs().map((run) => run.row))], pair: gansweep.pair() }),
    }),
  );
  return { element, sync: () => choosers.forEach((one, place) => { one.select.value = gansweep.pair()[place]; }) };
}

// [{key, values: [of a, of b]}] of what differs; undefined where a run has no such key
function differences(table, a, b) {
  const [own, other] = [table.runs[a.id], table.runs[b.id]];
  return table.keys.map((key, place) => ({
    key,
    values: [own, other].map((indices) => (indices[place] < 0 ? undefined : table.values[place][indices[place]])),
  })).filter((_, place) => own[place] !== other[place]);
}

const said = (value) => (value === undefined ? format.DASH : format.setting(value));

function versus(lines, caption, a, b) {
  return make(
    "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make(
      "table", { class: "narrow versus" },
      make("caption", { class: "unseen", text: caption }),
      make("thead", {}, make("tr", {}, ["", ...short([a, b])].map((head) => (head ? make("th", { scope: "col", text: head }) : make("td"))))),
      make("tbody", {}, lines.map(({ key, values }) => make(
        "tr", {}, make("th", { scope: "row", text: key.replaceAll("_", "_\u200b").replaceAll(".", ".\u200b") }),
        values.map((value) => make("td", { text: said(value) })),
      ))),
    ),
  );
}

// the parts of the configuration, each folded where it is long
function folded(found, a, b, what) {
  const parts = new Map();
  for (const line of found) {
    const part = line.key.includes(".") ? line.key.split(".")[0] : "";
    parts.set(part, [...(parts.get(part) || []), line]);
  }
  return [...parts].map(([part, lines]) => {
    const table = versus(lines, `${what}${part ? ` of ${part}` : ""} that differ`, a, b);
    if (!part && lines.length <= FOLDED) return table;
    return make(
      "details", { open: lines.length <= FOLDED },
      make("summary", { text: `${part || "the run"}: ${format.plural(lines.length, "difference")}` }), table,
    );
  });
}

function settings(a, b) {
  const { configurations, environments } = gansweep.board;
  const found = differences(configurations, a, b);
  const around = differences(environments, a, b);
  const alike = Object.keys(configurations.common).length + configurations.keys.length - found.length;
  return [
    make("h3", { text: "Settings" }),
    ...(found.length ? folded(found, a, b, "Settings") : [make("p", { text: "Their settings do not differ." })]),
    make("p", { class: "note", text: `${format.plural(alike, "setting")} alike or in neither. What only tests and searches read is left out.` }),
    make("h3", { text: "Environment and versions" }),
    around.length
      ? versus(around, "Environment that differs", a, b)
      : make("p", { text: "As far as their records tell, both ran with the same versions, on the same hardware." }),
  ];
}

function scores(a, b) {
  const { board } = gansweep;
  const value = (run, key) => ((run[board.at] || {})[key] || {}).value ?? null;
  const known = board.columns.filter((column) => column.kind === "score" && !column.at
    && [a, b].every((run) => value(run, column.key) !== null));
  if (!known.length) return [make("p", { text: "They have no score in common." })];
  const lines = known.map((column) => {
    const [x, y] = [value(a, column.key), value(b, column.key)];
    const better = !column.direction || x === y ? "" : (y < x) === (column.direction === "minimize") ? "better" : "worse";
    return make(
      "tr", {}, make("th", { scope: "row", text: column.key.replaceAll("_", "_\u200b") }),
      make("td", { class: "num", text: format.number(x) }), make("td", { class: "num", text: format.number(y) }),
      make("td", { class: "num", text: `${y > x ? "+" : ""}${format.number(y - x)}` }), make("td", { text: better }),
    );
  });
  return [
    make("h3", { text: "Scores" }),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Scores of the two runs" }, make(
      "table", { class: "narrow" },
      make("thead", {}, make("tr", {}, ["score", ...short([a, b]), "difference", "the second is"].map(
        (text, place) => make("th", { scope: "col", class: place ? "num" : null, text }),
      ))),
      make("tbody", {}, lines),
    )),
    make("p", { class: "note", text: "One run against one: a difference may be chance. The leaderboard tests configurations over their seeds." }),
  ];
}

// ---- curves of both in one figure

let cards = [];

async function overlay(card, column) {
  const pair = gansweep.pair().map((id) => gansweep.runs.get(id));
  const found = await Promise.all(pair.map((run) => gansweep.curve(run.id, column)));
  if (found.some((one) => !one || !one.y.length)) return null;
  const { figureOf, prepared, axesOf } = gansweep.curveFigure;
  const asked = gansweep.lines.view();
  const view = { ...asked, axis: found.every((one) => one.x[asked.axis]) ? asked.axis : "kimg" };
  const points = found.map((one) => gansweep.series.known({ x: one.x[view.axis], y: one.y }));
  if (points.some((one) => !one.x.length)) return null;
  const drawn = prepared(points.map((one, place) => ({
    ...one, row: pair[place].row, run: pair[place].id, name: short(pair)[place], low: null, high: null, n: 1, dash: DASHES[place], ended: null,
  })), view, card).map((line, place) => ({ ...line, colour: colourOf(place) }));
  const ends = found.map((one) => format.number(one.y.at(-1))).join(" and ");
  return {
    ...figureOf({
      drawn, view, axes: axesOf(drawn, view, null, column), title: column, unit: "",
      note: gansweep.lines.isMixed(column, pair) ? gansweep.lines.SEVERAL : "",
      table: () => ({
        columns: ["run", view.axis, column],
        rows: points.flatMap(({ x, y }, place) => Array.from(x, (at, i) => [pair[place].name, at, y[i]])),
      }),
    }),
    alt: `${column} of ${pair.map((run) => run.name).join(" and ")} over training: they end at ${ends}.`,
  };
}

function legend(pair) {
  return make("ul", { class: "legend", "aria-label": "Lines of the two runs" }, pair.map((run, place) => make(
    "li", {}, gansweep.stroke(colourOf(place), DASHES[place]), short(pair)[place],
  )));
}

function curves(element, a, b) {
  if (!gansweep.figures) return;
  const common = gansweep.columns(a.id).filter((column) => gansweep.columns(b.id).includes(column));
  const { board } = gansweep;
  const losses = common.filter((one) => one.startsWith("loss/"));
  const scored = board.columns.filter((one) => one.kind === "score").map((one) => one.key);
  const wanted = new Set([...(state.get("scores") || []), board.metric, ...losses, ...scored]);
  const shown = [...wanted].filter((one) => common.includes(one)).slice(0, CURVES);
  for (const card of cards) card.remove();
  cards = shown.map((column) => new gansweep.figures.Card({ title: column, height: 240, compute: (card) => overlay(card, column) }));
  if (!cards.length) return;
  element.append(make("h3", { text: "Curves" }), legend([a, b]), make("div", { class: "figures" }, cards.map((card) => card.element)));
}

function draw(element) {
  const [a, b] = gansweep.pair().map((id) => gansweep.runs.get(id));
  element.replaceChildren(
    make("p", { class: "reading", text: `${a.name} is of ${nameOf(a)}; ${b.name} is of ${nameOf(b)}.` }),
    ...scores(a, b),
  );
  curves(element, a, b);
  sheets = make("div", {}, gansweep.bothSheets([a, b]));
  element.append(sheets, ...settings(a, b));
}

const OF_CURVES = ["axis", "span", "logx", "logy", "smooth", "rows"];
let place = null;
let chosen = null;
let sheets = null;
let drawn = "";  // the pair that is shown

gansweep.section({
  id: "pair",
  title: "Two runs",
  keys: ["pair", "selected", "baseline", ...OF_CURVES, "moment"],
  shows: (board) => board.runs.length > 1,
  mount(element) {
    place = make("div");
    chosen = controls();
    element.append(chosen.element, place);
    drawn = gansweep.pair().join();
    chosen.sync();
    draw(place);
  },
  update(keys) {
    if (gansweep.pair().join() === drawn) {
      if (keys.has("moment")) sheets.replaceChildren(...gansweep.bothSheets(gansweep.pair().map((id) => gansweep.runs.get(id))));
      if (OF_CURVES.some((key) => keys.has(key))) for (const card of cards) card.refresh();
      return;
    }
    drawn = gansweep.pair().join();
    chosen.sync();
    draw(place);
  },
});
