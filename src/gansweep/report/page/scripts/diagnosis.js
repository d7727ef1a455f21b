// The doctor's findings, those of the selected configurations first, each with its curve.

const { make, format } = gansweep;
const CURVES = 2;  // of a finding; the most informative come first
const SHOWN = 6;  // findings, unless the reader asks for all
const STRETCH = "#D55E00";
const VIEW = { axis: "kimg", logx: false, logy: null, smooth: 0, span: null };

// over the whole training as it was measured, whatever the section of curves shows
async function evidence(finding, column, card) {
  const run = gansweep.runs.get(finding.example);
  const found = await gansweep.curve(run.id, column);
  if (!found || !found.y.length) return null;
  const [from, to] = finding.runs[finding.example];
  const points = gansweep.series.known({ x: found.x.kimg, y: found.y });
  if (!points.y.length) return null;
  const { figureOf, prepared, axesOf } = gansweep.curveFigure;
  const line = { row: finding.row, run: run.id, name: run.name, ...points, low: null, high: null, n: 1, dash: "solid", ended: null };
  const drawn = prepared([line], VIEW, card);
  return {
    ...figureOf({
      drawn, view: VIEW, axes: axesOf(drawn, VIEW, null, column), title: column, unit: "", note: "", whole: true,
      spans: [{ from, to, colour: STRETCH }],
      table: () => ({ columns: ["kimg", column], rows: found.x.kimg.map((k, index) => [k, found.y[index]]) }),
    }),
    alt: `${column} of ${run.name}: from ${format.number(found.y[0])} to ${format.number(found.y.at(-1))}. `
      + `Shaded: ${format.number(from)} to ${format.number(to)} kimg.`,
  };
}

function article(finding) {
  const row = gansweep.rows.get(finding.row);
  const run = gansweep.runs.get(finding.example);
  const count = Object.keys(finding.runs).length;
  const where = `${row.name}, ${run.name}${row.runs.length > 1 ? `; found in ${count} of ${format.plural(row.runs.length, "run")}` : ""}`;
  const known = gansweep.columns(run.id);
  const shown = finding.columns.filter((column) => known.includes(column)).slice(0, CURVES);
  const cards = gansweep.figures
    ? shown.map((column) => new gansweep.figures.Card({ title: column, height: 190, compute: (card) => evidence(finding, column, card) }))
    : [];
  made.push(...cards);
  return make(
    "article", { class: `finding ${finding.severity}` },
    make("h3", {}, make("span", { class: `state ${finding.severity}`, text: finding.severity }), finding.title,
      make("span", { class: "detail" }, gansweep.sample(row.id), where)),
    make("p", { text: finding.text }),
    cards.length ? make("div", { class: "figures" }, cards.map((card) => card.element)) : null,
    finding.remedies.length ? make(
      "details", { "data-key": `${finding.row} ${finding.rule}` },
      make("summary", { text: `What to try next: ${format.plural(finding.remedies.length, "idea")}` }),
      finding.remedies.flatMap((remedy) => [
        make("p", { class: "remedy", text: remedy.text }), remedy.command ? gansweep.command(remedy.command) : null,
      ]),
    ) : null,
  );
}

function unjudged(gaps) {
  if (!gaps.length) return null;
  return make(
    "details", {},
    make("summary", { text: `Not judged everywhere: ${gaps.map((gap) => gap.rule.replaceAll("_", " ")).join(", ")}` }),
    make("ul", {}, gaps.map((gap) => make(
      "li", {}, `${gap.rule.replaceAll("_", " ")} (${format.plural(gap.runs, "run")}): ${gap.text}. `,
      gap.fix.startsWith("gansweep") ? make("code", { text: gap.fix }) : gap.fix,
    ))),
  );
}

let every = false;
let place = null;
let made = [];  // the cards that stand on the page

function draw() {
  const { findings, healthy, gaps } = gansweep.board.sections.diagnosis;
  const chosen = new Set(gansweep.selected());
  const own = findings.filter((finding) => chosen.has(finding.row));
  const others = findings.filter((finding) => !chosen.has(finding.row));
  const shown = every ? [...own, ...others] : own.slice(0, SHOWN);
  const rest = findings.length - shown.length;
  const count = new Set(findings.map((finding) => finding.row)).size;
  for (const card of made) card.remove();
  made = [];
  place.replaceChildren(
    make("p", {
      class: "reading",
      text: findings.length
        ? `Known failures of GANs in the numbers of these runs: ${format.plural(findings.length, "finding")} in `
          + `${format.plural(count, "configuration")}; ${healthy} without any. Shaded is the stretch that was judged.`
        : "The numbers of these runs show none of the known failures.",
    }),
    ...shown.map(article),
    ...(rest > 0 ? [make("p", {},
      `${format.plural(rest, "more finding")}${shown.length < own.length ? "" : ", in configurations that are not in the figures"}. `,
      make("button", { type: "button", text: "Show all", onclick: () => showAll(shown.length) }))] : []),
    ...[unjudged(gaps)].filter(Boolean),
  );
}

// the keyboard goes on at the first that was not shown before
function showAll(before) {
  every = true;
  draw();
  const next = place.querySelectorAll(".finding")[before];
  if (!next) return;
  next.tabIndex = -1;
  next.focus({ preventScroll: true });
}

gansweep.section({
  id: "diagnosis",
  title: "Diagnosis",
  keys: ["selected", "baseline"],
  shows: (board) => Boolean(board.sections.diagnosis),
  mount(element) {
    every = false;
    place = make("div");
    element.append(place);
    draw();
  },
  update: draw,
});
