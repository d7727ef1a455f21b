// The section of curves: which are shown, over which axis, and how.

const { make, state, lines } = gansweep;
const DEFAULT = 6; // curves shown until the reader chooses
const LISTED = 20; // lines named in the legend
const SHOWN = ["scores", "axis", "span", "logx", "logy", "smooth", "show", "band", "selected", "baseline", "rows"];
const GROUPS = [
  ["scores", (name) => !name.includes("/")],
  ["losses", (name) => name.startsWith("loss/")],
  ["penalties", (name) => name.startsWith("penalty/")],
  ["the game", (name) => /^(balance|critic|game|grad_norm|overfit|spread)\//.test(name)],
  ["others", () => true],
];

let place = null;
let cards = new Map();

// every column of the histories, by group, the scores in the board's order
function groups(board) {
  const left = [...board.curves.names].sort();
  const scores = board.columns.filter((one) => one.kind === "score").map((one) => one.key);
  const rank = (name) => (scores.includes(name) ? scores.indexOf(name) : scores.length);
  left.sort((a, b) => rank(a) - rank(b));
  return GROUPS.map(([title, belongs]) => {
    const names = left.filter(belongs);
    for (const name of names) left.splice(left.indexOf(name), 1);
    return { title, names };
  }).filter((group) => group.names.length);
}

function shownColumns(board) {
  const chosen = state.get("scores");
  if (chosen) return chosen.filter((name) => board.curves.names.includes(name));
  const comments = ((board.sections.game || {}).comments) || [];
  const first = [board.metric, board.trial_metric].filter((name) => board.curves.names.includes(name));
  const rest = groups(board).slice(0, 2).flatMap((group) => group.names).filter((name) => !comments.includes(name));
  return [...new Set([...first, ...rest])].slice(0, DEFAULT);
}

// ---- controls

function picker(board) {
  const boxes = groups(board).flatMap((group) => group.names.map((name) => {
    const box = make("input", {
      type: "checkbox", "data-column": name,
      onchange: () => {
        const now = shownColumns(board).filter((one) => one !== name);
        state.set({ scores: box.checked ? [...now, name] : now });
      },
    });
    return { name, box, group: group.title };
  }));
  const summary = make("summary");
  const sync = () => {
    const shown = shownColumns(board);
    for (const { name, box } of boxes) box.checked = shown.includes(name);
    summary.textContent = `curves: ${shown.length} of ${boxes.length}`;
  };
  sync();
  const sets = groups(board).map(({ title }) => make(
    "fieldset", {}, make("legend", { text: title }),
    boxes.filter((one) => one.group === title).map(({ name, box }) => make("label", {}, box, ` ${name}`)),
  ));
  return { element: make("details", { class: "picker" }, summary, make("div", { class: "choices" }, sets)), sync };
}

function controlsOf(board) {
  const { choice, tick, slider } = gansweep.controls;
  return [
    picker(board),
    choice("over", "axis", ["kimg", "steps", "images", "hours"].map((axis) => [axis, axis]), { span: null }),
    span(),
    tick("log x", "logx"),
    choice("y", "logy", [[null, "log where it helps"], [false, "linear"], [true, "log"]]),
    slider("smoothing", "smooth", {
      min: 0, max: 0.99, step: 0.01,
      title: "Exponential moving average as TensorBoard computes it. The curve as measured stays visible, pale.",
    }),
    choice("show", "show", [["mean", "mean over seeds"], ["each", "every seed"]]),
    choice("band", "band", [["stderr", "standard error"], ["range", "lowest to highest"]]),
  ];
}

// the stretch of the x axis that all figures show
function span() {
  const field = (place, label) => make("input", {
    type: "text", inputmode: "decimal", size: "6", "aria-label": label, placeholder: place ? "end" : "start",
    onchange: () => {
      const values = fields.map((one) => Number(one.value.trim() || NaN)).map((value) => (Number.isNaN(value) ? null : value));
      const [from, to] = values;
      const whole = from === null && to === null;
      state.set({ span: whole || (from !== null && to !== null && from >= to) ? null : values });
    },
  });
  const fields = [field(0, "From, on the x axis"), field(1, "To, on the x axis")];
  const sync = () => {
    const { span: now } = lines.view();
    fields.forEach((one, place) => { one.value = now && Number.isFinite(now[place]) ? String(now[place]) : ""; });
  };
  sync();
  const all = make("button", { type: "button", text: "all", "aria-label": "Show the whole x axis", onclick: () => state.set({ span: null }) });
  return { element: make("span", { class: "control" }, "from ", fields[0], " to ", fields[1], all), sync };
}

// which line is which row, over how many runs
function legend() {
  const items = gansweep.selected().slice(0, LISTED).map((id) => make(
    "li", {}, gansweep.sample(id), `${gansweep.name(id)} `,
    make("span", { class: "quiet", text: `(${lines.countsOf(gansweep.rows.get(id))})` }),
  ));
  const left = gansweep.selected().length - items.length;
  if (left > 0) items.push(make("li", { class: "quiet", text: `and ${left} more, in the same colours` }));
  return make("ul", { class: "legend", "aria-label": "Lines of the curves" }, items);
}

// ---- the section

const named = (board) => [...board.curves.names].sort().join();

function sync() {
  const { board } = gansweep;
  const wanted = shownColumns(board);
  for (const [name, card] of cards) {
    if (!wanted.includes(name)) {
      card.remove();
      cards.delete(name);
    }
  }
  for (const name of wanted) {
    if (!cards.has(name)) {
      const mark = ((board.sections.game || {}).marks || {})[name];
      cards.set(name, gansweep.curveCard({ column: name, mark }));
    }
    place.figures.append(cards.get(name).element);
  }
  place.empty.hidden = wanted.length > 0;
}

gansweep.section({
  id: "curves",
  title: "Curves",
  keys: SHOWN,
  shows: (board) => board.curves.names.length > 0,
  renew: (board) => named(board) === place.names,
  mount(element, board) {
    const controls = controlsOf(board);
    for (const card of cards.values()) card.remove();
    cards = new Map();
    place = {
      names: named(board),
      controls,
      legend: make("div", {}, legend()),
      figures: make("div", { class: "figures" }),
      empty: make("p", { class: "note", text: "No curve is chosen." }),
    };
    element.append(
      make("p", { class: "reading", text: "The line is the mean over the runs of a configuration, the band its standard error or the range of its runs. A wide band means that luck matters. A curve that gets worse at the end was trained too long. Point at a figure to read all of them at that moment; drag to enlarge, double-click to see all." }),
      make("div", { class: "controls", role: "group", "aria-label": "What the curves show" }, controls.map((one) => one.element)),
      place.legend, place.figures, place.empty,
    );
    sync();
  },
  update(keys) {
    for (const one of place.controls) one.sync();
    if (keys.has("selected") || keys.has("baseline")) place.legend.replaceChildren(legend());
    gansweep.hover.clear();
    sync();
    if (keys.size > 1 || !keys.has("scores")) for (const card of cards.values()) card.refresh();
  },
});
