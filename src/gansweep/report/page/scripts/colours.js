// The colour, the dash and the name of each selected row.

// The colours of Okabe and Ito, which are also distinct for colour-blind readers. Violet and grey
// replace their black and yellow, which are hard to read on a dark or a light page.
const COLOURS = [
  "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B6BB8", "#8A8A8A",
];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
const SVG_DASHES = { solid: "none", dash: "7 4", dot: "2 3", dashdot: "7 3 2 3", longdash: "11 4" };
const UNSELECTED = "#8A8A8A";

const { make } = gansweep;
let slots = new Map();
let boardOfSlots = null;
let idsOfSlots = null;

// a row keeps its slot as long as it is selected; a new one takes the lowest that is free
function assign() {
  if (boardOfSlots !== gansweep.board) slots = new Map();
  boardOfSlots = gansweep.board;
  const chosen = gansweep.selected();
  if (chosen === idsOfSlots) return;
  idsOfSlots = chosen;
  const wanted = new Set(chosen);
  const kept = new Map([...slots].filter(([row]) => wanted.has(row)));
  const taken = new Set(kept.values());
  let next = 0;
  for (const row of chosen) {
    if (kept.has(row)) continue;
    while (taken.has(next)) next += 1;
    kept.set(row, next);
    taken.add(next);
  }
  slots = kept;
}

function slot(row) {
  assign();
  return slots.get(row);
}

gansweep.state.on(["selected", "baseline", "board"], assign);
gansweep.colour = (row) => (slot(row) === undefined ? UNSELECTED : COLOURS[slot(row) % COLOURS.length]);
gansweep.dash = (row) => {
  const place = slot(row);
  return place === undefined ? "solid" : DASHES[Math.floor(place / COLOURS.length) % DASHES.length];
};

// a short line
gansweep.stroke = (colour, dash) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const box = { viewBox: "0 0 30 10", width: 30, height: 10, "aria-hidden": "true", class: "sample" };
  const stroke = { stroke: colour, "stroke-width": 3, "stroke-dasharray": SVG_DASHES[dash] };
  for (const [name, value] of Object.entries(box)) svg.setAttribute(name, value);
  for (const [name, value] of Object.entries({ x1: 1, y1: 5, x2: 29, y2: 5, ...stroke })) line.setAttribute(name, value);
  svg.append(line);
  return svg;
};

// that of a row
gansweep.sample = (row) => gansweep.stroke(gansweep.colour(row), gansweep.dash(row));

// Short names: the model where several are shown, and the settings in which the shown rows of that
// model differ; the row's own name where that would be long.
const LONG = 40;

gansweep.names = (ids) => {
  const rows = ids.map((id) => gansweep.rows.get(id)).filter(Boolean);
  const labels = new Map(gansweep.board.columns.map((column) => [column.key, column.label]));
  const alike = Map.groupBy(rows, (row) => row.model);
  const found = new Map();
  for (const members of alike.values()) {
    const keys = [...new Set(members.flatMap((row) => Object.keys(row.settings)))];
    const differing = keys.filter((key) => new Set(members.map((row) => JSON.stringify(row.settings[key]))).size > 1);
    for (const row of members) {
      const words = differing.filter((key) => key in row.settings).map(
        (key) => `${labels.get(key) || key} ${gansweep.format.setting(row.settings[key])}`,
      );
      const short = [...(alike.size > 1 || !words.length ? [row.model] : []), ...words].join(" ");
      found.set(row.id, short.length <= LONG ? short : row.name);
    }
  }
  const counts = new Map();
  for (const name of found.values()) counts.set(name, (counts.get(name) || 0) + 1);
  for (const row of rows) if (counts.get(found.get(row.id)) > 1) found.set(row.id, row.name);
  return found;
};

// the name of a row among the selected ones
let known = { ids: null, names: null };
gansweep.name = (id) => {
  const ids = gansweep.selected();
  if (known.ids !== ids) known = { ids, names: gansweep.names(ids) };
  return known.names.get(id) || gansweep.names([...ids, id]).get(id) || id;
};

gansweep.tag = (id) => make("span", { class: "row-tag" }, gansweep.sample(id), gansweep.name(id));
