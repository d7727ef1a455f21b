// A figure of curves over training: up to 20 rows by Plotly, more by a canvas under Plotly's axes.

const { series, lines, figures, format } = gansweep;
const { plain, transparent } = figures;
const MANY = 20; // rows; with more, Plotly is too slow
const LOG_RATIO = 15;
const SHORT = 30; // a curve with fewer points shows them
const FAINT = 0.35;
const BAND = 0.18;
const RATIO_RANGE = 2; // of the pixels of a screen, for the canvas

// options: {column, title, wide, unit, mark, note, range, rows?, shown?}
// rows: () -> the rows to show, by default the selected ones.   mark: {value, note} of a dashed
// line.   range: the y axis where values go beyond it.
function curveCard(options) {
  return new figures.Card({
    title: options.title || options.column,
    wide: options.wide || false,
    height: options.height || (options.wide ? 340 : 280),
    compute: (card) => compute(card, options),
  });
}

function selectedRows() {
  return gansweep.selected().map((id) => gansweep.rows.get(id));
}

async function compute(card, options) {
  const rows = options.rows ? options.rows() : selectedRows();
  const view = { ...lines.view(), ...(options.view || {}) };
  const found = await lines.linesOf(options.column, rows, view);
  if (!found.lines.length && !found.untimed) return null;
  const stretches = lines.stretchesOf(options.column, rows, view.axis);
  const drawn = prepared(found.lines, view, card.plot.clientWidth || 400);
  const extent = extentOf(drawn, view);
  const log = view.logy === null ? series.wantsLog(extent.low, extent.high, LOG_RATIO) : view.logy;
  const layout = layoutOf(options, view, extent, log, stretches);
  const many = rows.length > MANY;
  const traces = () => tracesOf(drawn, view, many);
  return {
    data: many ? [anchor(extent)] : traces(),
    layout: many ? { ...layout, ...ranges(layout, extent, log, view) } : layout,
    alt: altOf(card.title, drawn, view),
    note: noteOf({ options, drawn, found, view, stretches, log, many, rows }),
    table: () => tableOf(found.lines, view),
    printed: traces,
    hover: { lines: drawn, axis: view.axis },
    after: (one, Plotly) => {
      paintMany(one, many ? drawn : null, Plotly);
      gansweep.hover.attach(one);
    },
  };
}

// each line with what is drawn of it: smoothed, raw, and thinned to the pixels of the figure
function prepared(found, view, pixels) {
  return found.map((line) => {
    const smooth = series.smoothed(line.y, view.smooth);
    const kept = series.thinned(line.y, pixels);
    return { ...line, smooth, kept, colour: gansweep.colour(line.row), dash: gansweep.dash(line.row) };
  });
}

function extentOf(drawn, view) {
  const extent = { low: Infinity, high: -Infinity, left: Infinity, right: -Infinity, below: 0 };
  const add = (value) => {
    if (value < extent.low) extent.low = value;
    if (value > extent.high) extent.high = value;
  };
  for (const line of drawn) {
    for (const i of line.kept) {
      add(line.y[i]);
      if (line.low) { add(line.low[i]); add(line.high[i]); }
      if (!(line.y[i] > 0)) extent.below += 1;
    }
    extent.left = Math.min(extent.left, line.x[0]);
    extent.right = Math.max(extent.right, line.x[line.x.length - 1]);
  }
  if (view.logy) extent.low = lowestPositive(drawn);
  return extent;
}

function lowestPositive(drawn) {
  let low = Infinity;
  for (const line of drawn) for (const i of line.kept) if (line.y[i] > 0 && line.y[i] < low) low = line.y[i];
  return low;
}

// ---- Plotly

function pick(values, kept) {
  return kept.map((i) => values[i]);
}

function tracesOf(drawn, view, many) {
  const traces = [];
  for (const line of drawn) {
    const x = pick(line.x, line.kept);
    const common = {
      type: "scatter", mode: line.kept.length < SHORT && !many ? "lines+markers" : "lines", hoverinfo: "skip",
      x, marker: { size: 5, color: line.colour }, meta: line.row, name: plain(line.name),
    };
    if (line.low && !many) {
      const [low, high] = [pick(line.low, line.kept), pick(line.high, line.kept)];
      traces.push({
        ...common, mode: "lines", x: [...x, ...[...x].reverse()], y: [...low, ...high.reverse()], fill: "toself",
        fillcolor: transparent(line.colour, BAND), line: { width: 0 },
      });
    }
    const style = { color: line.colour, dash: line.dash };
    if (view.smooth > 0) {
      traces.push({ ...common, mode: "lines", y: pick(line.y, line.kept), line: { ...style, width: 1 }, opacity: FAINT });
    }
    traces.push({
      ...common, y: pick(line.smooth, line.kept), opacity: line.faint ? FAINT + 0.2 : 1,
      line: { ...style, width: line.faint || many ? 1 : 2 },
    });
  }
  const ends = drawn.filter((line) => line.ended);
  if (ends.length) {
    traces.push({
      type: "scatter", mode: "markers", hoverinfo: "skip", name: "ended",
      x: ends.map((line) => line.ended.x), y: ends.map((line) => line.smooth[line.smooth.length - 1]),
      marker: { symbol: "x", size: 9, color: ends.map((line) => line.colour), line: { width: 1, color: figures.colour("--card") } },
    });
  }
  return traces;
}

function layoutOf(options, view, extent, log, stretches) {
  const shapes = stretches.map((one) => ({
    type: "rect", xref: "x", yref: "paper", x0: one.from, x1: one.to, y0: 0, y1: 1, layer: "below",
    fillcolor: transparent(gansweep.colour(one.row), 0.12), line: { width: 0 },
  }));
  const { mark } = options;
  if (mark && (mark.value > 0 || !log)) shapes.push(figures.level(mark.value));
  const yaxis = figures.valueAxis(extent.low, extent.high, log, options.unit);
  if (options.range && !log && (extent.low < options.range[0] || extent.high > options.range[1])) {
    yaxis.range = options.range;
  }
  const positive = extent.left > 0 || !view.logx;
  return {
    xaxis: {
      title: { text: plain(lines.AXES[view.axis] + (view.logx ? ", log scale" : "")) },
      rangemode: view.logx ? "normal" : "tozero", type: view.logx && positive ? "log" : "linear",
    },
    yaxis, shapes, hovermode: false,
    // a zoom stays while the axes do
    uirevision: [view.axis, view.logx, log].join(),
  };
}

// ---- a canvas for many lines

const anchor = (extent) => ({
  type: "scatter", mode: "markers", x: [extent.left, extent.right], y: [extent.low, extent.high], opacity: 0, hoverinfo: "skip",
});

function ranges(layout, extent, log, view) {
  const scaled = (value, on) => (on ? Math.log10(value) : value);
  const [low, high] = [scaled(extent.low, log), scaled(extent.high, log)];
  const margin = 0.05 * (high - low) || 0.5;
  const left = view.logx ? scaled(extent.left, extent.left > 0) : Math.min(0, extent.left);
  return {
    xaxis: { ...layout.xaxis, range: [left, scaled(extent.right, view.logx)] },
    yaxis: { ...layout.yaxis, range: layout.yaxis.range || [low - margin, high + margin] },
  };
}

function paintMany(card, drawn) {
  const old = card.plot.querySelector("canvas.many");
  if (!drawn) {
    if (old) old.remove();
    card.many = null;
    return;
  }
  const canvas = old || card.plot.appendChild(gansweep.make("canvas", { class: "many", "aria-hidden": "true" }));
  card.many = drawn;
  if (!card.watched) {
    card.watched = true;
    card.plot.on("plotly_relayout", () => card.many && paintLines(canvas, card.plot, card.many));
  }
  paintLines(canvas, card.plot, drawn);
}

function paintLines(canvas, plot, drawn) {
  const { xaxis, yaxis } = plot._fullLayout;
  const scale = Math.min(RATIO_RANGE, window.devicePixelRatio || 1);
  Object.assign(canvas.style, {
    left: `${xaxis._offset}px`, top: `${yaxis._offset}px`, width: `${xaxis._length}px`, height: `${yaxis._length}px`,
  });
  canvas.width = Math.round(xaxis._length * scale);
  canvas.height = Math.round(yaxis._length * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.lineWidth = 1;
  const xs = (value) => xaxis.l2p(xaxis.d2l(value));
  const ys = (value) => yaxis.l2p(yaxis.d2l(value));
  for (const line of drawn) {
    pen.globalAlpha = line.faint ? 0.3 : 0.6;
    pen.strokeStyle = line.colour;
    pen.beginPath();
    for (let k = 0; k < line.kept.length; k += 1) {
      const i = line.kept[k];
      if (k) pen.lineTo(xs(line.x[i]), ys(line.smooth[i]));
      else pen.moveTo(xs(line.x[i]), ys(line.smooth[i]));
    }
    pen.stroke();
    if (line.ended) {
      const [x, y] = [xs(line.ended.x), ys(line.smooth[line.smooth.length - 1])];
      pen.beginPath();
      pen.moveTo(x - 3, y - 3);
      pen.lineTo(x + 3, y + 3);
      pen.moveTo(x - 3, y + 3);
      pen.lineTo(x + 3, y - 3);
      pen.stroke();
    }
  }
}

// ---- words and numbers

function altOf(title, drawn, view) {
  const ends = drawn.slice(0, 12).map((line) => `${line.name} ends at ${format.number(line.y[line.y.length - 1])}`);
  const more = drawn.length > 12 ? `; ${drawn.length - 12} more lines` : "";
  return `${title} over ${lines.AXES[view.axis]}. ${ends.join("; ")}${more}.`;
}

function noteOf({ options, drawn, found, view, stretches, log, many, rows }) {
  const notes = [(options.mark || {}).note, options.note];
  if (stretches.length) {
    const words = stretches.slice(0, 4).map((one) => (
      `${one.title.toLowerCase()} (${gansweep.name(one.row)}, ${format.number(one.kimg[0])} to ${format.number(one.kimg[1])} kimg)`
    ));
    const more = stretches.length > 4 ? ` and ${stretches.length - 4} more` : "";
    notes.push(`Shaded, as the doctor judged: ${words.join("; ")}${more}.`);
  }
  const ended = new Map();
  for (const line of drawn) if (line.ended) ended.set(line.ended.status, (ended.get(line.ended.status) || 0) + 1);
  if (ended.size) notes.push(`× where a run ended: ${[...ended].map(([word, count]) => `${count} ${word}`).join(", ")}.`);
  const [all, kept] = [drawn.reduce((sum, one) => sum + one.y.length, 0), drawn.reduce((sum, one) => sum + one.kept.length, 0)];
  if (kept < all) notes.push(`${kept.toLocaleString("en")} of ${all.toLocaleString("en")} points drawn, with every lowest and highest one; means are of all points.`);
  const below = log ? drawn.reduce((sum, one) => sum + one.kept.filter((i) => !(one.y[i] > 0)).length, 0) : 0;
  if (below) notes.push(`${format.plural(below, "value")} of 0 or less cannot be shown on a log scale.`);
  const infinite = found.lines.reduce((sum, one) => sum + one.infinite, 0);
  if (infinite) notes.push(`${format.plural(infinite, "infinite value")} left out.`);
  if (found.untimed) notes.push(`${format.plural(found.untimed, "run")} left out: its record does not tell ${view.axis}.`);
  if (options.range && drawn.some((one) => one.y.some((v) => v < options.range[0] || v > options.range[1]))) {
    notes.push("Values outside the figure come from a division by almost 0.");
  }
  if (many && view.show === "mean") notes.push(`Bands are not drawn for more than ${MANY} of the ${rows.length} configurations.`);
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
// the traces of one line, with its smoothed and its raw course
gansweep.curveTraces = (line, view) => tracesOf([line], view, false);
