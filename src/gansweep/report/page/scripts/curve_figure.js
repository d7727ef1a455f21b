// A figure of one column over training.

const { series, lines, figures, format, chart, state } = gansweep;
const LOG_RATIO = 15;
const STRETCH = "#8A8A8A"; // where several configurations are judged
const LISTED = 12; // ends of lines told in words
const DRAGGED = 8; // pixels; less is a click
const CROWDED = 6; // pixels of one of many lines that are drawn as one

// options: {column, title, wide, unit, mark, note, range, rows?, shown?}
// rows: () -> the rows to show, by default the selected ones.   mark: {value, note} of a dashed
// line.   range: the y axis where values go beyond it.
function curveCard(options) {
  return new figures.Card({
    title: options.title || options.column,
    height: options.height || 270,
    compute: (card) => compute(card, options),
  });
}

function selectedRows() {
  return gansweep.selected().map((id) => gansweep.rows.get(id));
}

async function compute(card, options) {
  const rows = options.rows ? options.rows() : selectedRows();
  const view = lines.view();
  const found = await lines.linesOf(options.column, rows, view);
  if (!found.lines.length && !found.untimed) return null;
  const drawn = prepared(found.lines, view, card);
  const stretches = lines.stretchesOf(options.column, rows, view.axis);
  const axes = axesOf(drawn, view, options.range, options.column, options.mark);
  return figureOf({
    drawn, view, axes, title: card.title, unit: options.unit,
    spans: spansOf(stretches),
    levels: options.mark ? [options.mark.value] : [],
    note: noteOf({ options, drawn, found, view, stretches, axes }),
    table: () => tableOf(found.lines, view),
  });
}

// where stretches are, each place shaded once: in a configuration's colour if all are its own
function spansOf(stretches) {
  const rows = new Set(stretches.map((one) => one.row));
  const colour = rows.size === 1 ? gansweep.colour([...rows][0]) : STRETCH;
  const spans = [];
  for (const { from, to } of [...stretches].sort((a, b) => a.from - b.from)) {
    const last = spans[spans.length - 1];
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else spans.push({ from, to, colour });
  }
  return spans;
}

// "slow convergence (gan, 30 to 60 kimg); mode collapse (3 configurations, 10 to 60 kimg)"
function judged(stretches) {
  const titles = [...new Set(stretches.map((one) => one.title))];
  return titles.map((title) => {
    const own = stretches.filter((one) => one.title === title);
    const rows = new Set(own.map((one) => one.row));
    const who = rows.size === 1 ? gansweep.name(own[0].row) : format.plural(rows.size, "configuration");
    const from = Math.min(...own.map((one) => one.kimg[0]));
    const to = Math.max(...own.map((one) => one.kimg[1]));
    return `${title.toLowerCase()} (${who}, ${format.number(from)} to ${format.number(to)} kimg)`;
  }).join("; ");
}

// what a card shows: `about` has {drawn, view, axes, title, unit, spans, levels, labels, right, note,
// table, whole: it shows all of the x axis whatever stretch is asked for}
function figureOf(about) {
  const { drawn, view, axes } = about;
  const spec = {
    ...about, ...axes, lines: drawn,
    xtitle: lines.AXES[view.axis] + (axes.x.log ? ", log scale" : ""),
    ytitle: [about.unit, axes.y.log ? "log scale" : ""].filter(Boolean).join(", "),
  };
  return {
    paint(pen, width, height, card) {
      const scales = chart.paint(pen, width, height, spec);
      if (!card) return;
      card.scales = scales;
      gansweep.hover.attach(card);
      if (!about.whole) zoom(card);
    },
    hover: { lines: drawn, axis: view.axis },
    alt: altOf(about.title, drawn, view),
    note: about.note,
    table: about.table,
  };
}

// each line with what is drawn of it: smoothed, raw, and thinned to the pixels of the figure
function prepared(found, view, card) {
  const pixels = (card.plot.clientWidth || 400) / (found.length > chart.MANY ? CROWDED : 1);
  return found.map((line) => ({
    ...line, smooth: series.smoothed(line.y, view.smooth), kept: series.thinned(line.y, pixels),
    colour: gansweep.colour(line.row), dash: line.dash || gansweep.dash(line.row),
  }));
}

function xAxisOf(drawn, view) {
  let [left, right] = [Infinity, -Infinity];
  for (const line of drawn) {
    left = Math.min(left, line.x.find((value) => !view.logx || value > 0) ?? Infinity);
    right = Math.max(right, line.x[line.x.length - 1]);
  }
  if (!(left <= right)) [left, right] = [0, 1]; // no line can be drawn on this axis
  const [low, high] = lines.within(view.span, view.logx ? left : Math.min(0, left), right, view.logx);
  return { low, high, log: Boolean(view.logx && low > 0) };
}

// the axes over what is drawn; y over the part of x that is shown, and to the line at a mark
function axesOf(drawn, view, range, name, mark = null) {
  const x = xAxisOf(drawn, view);
  let [low, high, positive] = [Infinity, -Infinity, Infinity];
  const add = (value) => {
    if (value < low) low = value;
    if (value > high) high = value;
    if (value > 0 && value < positive) positive = value;
  };
  for (const line of drawn) {
    for (const i of line.kept) {
      if (line.x[i] < x.low || line.x[i] > x.high) continue;
      add(line.y[i]);
      if (line.low) { add(line.low[i]); add(line.high[i]); }
    }
  }
  const column = gansweep.board.columns.find((one) => one.key === name);
  const fromTop = column && column.direction === "maximize"; // a log scale would hide how near the best are
  const log = view.logy === null ? !fromTop && series.wantsLog(low, high, LOG_RATIO) : view.logy && positive < Infinity;
  if (mark && low < Infinity && (!log || mark.value > 0)) add(mark.value);
  const beyond = range && !log && (low < range[0] || high > range[1]);
  return {
    x,
    y: beyond ? { low: range[0], high: range[1], log: false } : chart.around(log ? positive : low, high, log),
    beyond: Boolean(beyond),
  };
}

// ---- a stretch of the x axis, for all figures

function zoom(card) {
  if (card.zoomable) return;
  card.zoomable = true;
  const mark = gansweep.make("div", { class: "stretch", hidden: true });
  card.plot.append(mark);
  card.plot.classList.add("zoomable");
  let start = null;
  const at = (event) => {
    const { box } = card.scales;
    return Math.min(box.right, Math.max(box.left, event.clientX - card.plot.getBoundingClientRect().left));
  };
  card.plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    start = at(event);
    card.plot.setPointerCapture(event.pointerId);
  });
  card.plot.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const [from, to] = [start, at(event)].sort((a, b) => a - b);
    const { box } = card.scales;
    Object.assign(mark.style, { left: `${from}px`, width: `${to - from}px`, top: `${box.top}px`, height: `${box.bottom - box.top}px` });
    mark.hidden = to - from < DRAGGED;
  });
  card.plot.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const [from, to] = [start, at(event)].sort((a, b) => a - b);
    start = null;
    mark.hidden = true;
    if (to - from >= DRAGGED) state.set({ span: [from, to].map((pixel) => Number(card.scales.x.from(pixel).toPrecision(4))) });
  });
  // the browser scrolls the page instead: a finger that moved up or down
  card.plot.addEventListener("pointercancel", () => {
    start = null;
    mark.hidden = true;
  });
  card.plot.addEventListener("dblclick", () => state.set({ span: null }));
}

// ---- words and numbers

function altOf(title, drawn, view) {
  const ends = drawn.slice(0, LISTED).map((line) => `${line.name} ends at ${format.number(line.y[line.y.length - 1])}`);
  const more = drawn.length > LISTED ? `; ${drawn.length - LISTED} more lines` : "";
  return `${title} over ${lines.AXES[view.axis]}. ${ends.join("; ")}${more}.`;
}

function noteOf({ options, drawn, found, view, stretches, axes }) {
  const notes = [found.mixed ? lines.SEVERAL : "", (options.mark || {}).note, options.note];
  if (stretches.length) {
    notes.push(`Shaded, as the doctor judged: ${judged(stretches)}.`);
  }
  const ended = new Map();
  for (const line of drawn) if (line.ended) ended.set(line.ended.status, (ended.get(line.ended.status) || 0) + 1);
  if (ended.size) notes.push(`× where a run ended: ${[...ended].map(([word, count]) => `${count} ${word}`).join(", ")}.`);
  const total = (count) => drawn.reduce((sum, line) => sum + count(line), 0);
  const [all, kept] = [total((line) => line.y.length), total((line) => line.kept.length)];
  if (kept < all) notes.push(`${kept.toLocaleString("en")} of ${all.toLocaleString("en")} points drawn, with every lowest and highest one; means are of all points.`);
  const below = axes.y.log ? total((line) => line.kept.filter((i) => !(line.y[i] > 0)).length) : 0;
  if (below) notes.push(`${format.plural(below, "value")} of 0 or less cannot be shown on a log scale.`);
  const infinite = found.lines.reduce((sum, one) => sum + one.infinite, 0);
  if (infinite) notes.push(`${format.plural(infinite, "infinite value")} left out.`);
  if (found.untimed) notes.push(`${format.plural(found.untimed, "run")} left out: the record does not tell ${view.axis}.`);
  if (view.smooth > 0 && drawn.length > chart.MANY) notes.push(`The curves as measured are drawn for up to ${chart.MANY} lines; here are ${drawn.length}.`);
  if (axes.beyond) notes.push("Values outside the figure come from a division by almost 0.");
  return notes.filter(Boolean).join(" ");
}

function tableOf(found, view) {
  const columns = ["configuration", "seed", "runs", view.axis, "value", "low", "high", "smoothed"];
  const rows = found.flatMap((line) => {
    const smooth = series.smoothed(line.y, view.smooth);
    const run = line.run ? gansweep.runs.get(line.run) : null;
    const row = gansweep.rows.get(line.row);
    return Array.from(line.x, (x, i) => [
      row.name, run ? run.seed : "", line.n, x, line.y[i], line.low ? line.low[i] : null, line.high ? line.high[i] : null, smooth[i],
    ]);
  });
  return { columns, rows };
}

gansweep.curveCard = curveCard;
gansweep.curveFigure = { figureOf, prepared, axesOf, xAxisOf, spansOf };
