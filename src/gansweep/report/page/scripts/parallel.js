// Parallel coordinates of all trials on a canvas of their own: a line for each trial through its
// settings to its outcome. A stretch drawn on an axis selects the trials that cross it there.

const { make, figures, format } = gansweep;
const ABSENT = -0.12; // the height of "not set" below an axis
const WIDE = 5; // an axis that spans a larger ratio is logarithmic
const APART = 0.06; // smallest distance between the heights of two labels
const PAD = { top: 44, bottom: 26, left: 16, right: 96 };
const REACH = 18; // pixels around an axis where a brush starts
const TINY = 0.015; // a stretch shorter than this is a click, which removes the brush
const ROUNDING = 1e-9;
const EDGE = 0.02; // around a height that stands for one value, where others are not nearer
const LINE = 12; // pixels between two labels of an axis
const MANY = 60; // selected lines; more are drawn thin, as thick ones take ten times as long

// {title, heights: value -> [0, 1], ticks: [height, text], ends: null or {low, high, log}}
function axisOf(title, values) {
  const present = values.filter((value) => value !== null && value !== undefined);
  const ticks = present.length < values.length ? [[ABSENT, "not set"]] : [];
  if (!present.every((value) => typeof value === "number")) {
    const names = [...new Set(present.map((value) => JSON.stringify(value)))].sort();
    const place = new Map(names.map((name, i) => [name, names.length > 1 ? i / (names.length - 1) : 0.5]));
    const settings = new Map(present.map((value) => [JSON.stringify(value), value]));
    for (const name of names) ticks.push([place.get(name), format.setting(settings.get(name))]);
    const edge = Math.min(EDGE, 0.4 / Math.max(names.length - 1, 1));
    return { title, ticks, edge, ends: null, height: (value) => (isAbsent(value) ? ABSENT : place.get(JSON.stringify(value))) };
  }
  const [low, high] = [Math.min(...present), Math.max(...present)];
  const log = low > 0 && high / low >= WIDE;
  const at = (value) => {
    if (high === low) return 0.5;
    return log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  };
  const distinct = [...new Set(present)].sort((a, b) => a - b);
  const labelled = distinct.length <= 5 ? distinct : [low, high];
  for (const value of [...labelled].sort((a, b) => inner(a, low, high) - inner(b, low, high))) {
    if (ticks.every(([height]) => Math.abs(at(value) - height) >= APART)) ticks.push([at(value), format.setting(value)]);
  }
  return { title: title + (log ? " (log)" : ""), ticks, ends: { low, high, log }, height: (value) => (isAbsent(value) ? ABSENT : at(value)) };
}

const isAbsent = (value) => value === null || value === undefined;
const inner = (value, low, high) => (value === low || value === high ? 0 : 1);

// the axis of the outcome: its top is the best
function flipped(axis) {
  return { ...axis, ticks: axis.ticks.map(([height, text]) => [1 - height, text]), height: (value) => 1 - axis.height(value), flipped: true };
}

// the value at a height, to be told in words
function valueAt(axis, height) {
  if (height < -ROUNDING) return "not set";
  if (!axis.ends) return axis.ticks.reduce((best, tick) => (Math.abs(tick[0] - height) < Math.abs(best[0] - height) ? tick : best))[1];
  const { low, high, log } = axis.ends;
  const share = axis.flipped ? 1 - height : height;
  return format.setting(log ? low * (high / low) ** share : low + share * (high - low));
}

// columns, lines and the share of each trial's rank: 0 the best, 1 the worst, null without outcome
function model(search, direction) {
  const { trials, parameters, metric } = search;
  const axes = parameters.map(({ id, label }) => axisOf(label, trials.map((trial) => trial.params[id])));
  const outcomes = trials.map((trial) => trial.value).filter((value) => value !== null);
  if (metric && outcomes.length) {
    const outcome = axisOf(metric, outcomes);
    axes.push(direction === "maximize" ? outcome : flipped(outcome));
  }
  const order = [...new Set(outcomes)].sort((a, b) => (direction === "maximize" ? b - a : a - b));
  return {
    axes,
    lines: trials.map((trial) => {
      const heights = parameters.map(({ id }, i) => axes[i].height(trial.params[id]));
      if (trial.value !== null && axes.length > parameters.length) heights.push(axes[axes.length - 1].height(trial.value));
      const place = trial.value === null ? null : order.indexOf(trial.value);
      return { trial, heights, share: place === null ? null : place / Math.max(order.length - 1, 1) };
    }),
  };
}

// The trials that cross every brush.   brushes: axis -> [low, high] in heights
function within(lines, brushes) {
  const wanted = [...brushes];
  return lines.filter((line) => wanted.every(([axis, [low, high]]) => {
    const height = line.heights[axis];
    return height !== undefined && height >= low && height <= high;
  }));
}

function place(width, height, axes) {
  const step = (width - PAD.left - PAD.right) / Math.max(axes.length - 1, 1);
  const inside = height - PAD.top - PAD.bottom;
  return {
    width, height,
    x: (axis) => PAD.left + axis * step,
    y: (share) => PAD.top + (1 - (share - ABSENT) / (1 - ABSENT)) * inside,
    share: (y) => ABSENT + (1 - (y - PAD.top) / inside) * (1 - ABSENT),
    step,
  };
}

// from the accent (the best) to a pale grey (the worst)
function shade(share, dark) {
  const [best, worst] = dark ? [[109, 180, 234], [70, 76, 84]] : [[0, 114, 178], [214, 216, 213]];
  return `rgb(${best.map((channel, i) => Math.round(channel + (worst[i] - channel) * Math.sqrt(share))).join(",")})`;
}

function trace(pen, line, at) {
  pen.beginPath();
  line.heights.forEach((height, axis) => {
    if (axis) pen.lineTo(at.x(axis), at.y(height));
    else pen.moveTo(at.x(axis), at.y(height));
  });
  pen.stroke();
}

function paint(pen, found, at, brushes, dark) {
  const { axes, lines } = found;
  pen.clearRect(0, 0, at.width, at.height);
  const chosen = brushes.size ? new Set(within(lines, brushes)) : null;
  const selected = new Set(gansweep.selected());
  const order = [...lines].sort((a, b) => (b.share === null ? 2 : b.share) - (a.share === null ? 2 : a.share));
  for (const line of order) {
    const own = selected.has(line.trial.row);
    if (own) continue;
    pen.globalAlpha = chosen && !chosen.has(line) ? 0.12 : line.share === null ? 0.5 : 0.85;
    pen.lineWidth = line.share === null ? 1 : 1.3;
    pen.setLineDash(line.share === null ? [2, 3] : []);
    pen.strokeStyle = line.share === null ? "#8A8A8A" : shade(line.share, dark);
    trace(pen, line, at);
  }
  for (const line of order) {
    if (!selected.has(line.trial.row)) continue;
    pen.globalAlpha = chosen && !chosen.has(line) ? 0.25 : 1;
    pen.setLineDash(line.share === null ? [2, 3] : []);
    pen.lineWidth = selected.size > MANY ? 1 : 2.5;
    pen.strokeStyle = gansweep.colour(line.trial.row);
    trace(pen, line, at);
  }
  pen.globalAlpha = 1;
  pen.setLineDash([]);
  axes.forEach((axis, i) => paintAxis(pen, axis, i, at, brushes.get(i)));
}

function paintAxis(pen, axis, i, at, brush) {
  const [ink, quiet, card, accent] = ["--ink", "--quiet", "--veil", "--accent"].map(figures.colour);
  pen.strokeStyle = quiet;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(at.x(i), at.y(0));
  pen.lineTo(at.x(i), at.y(1));
  pen.stroke();
  if (brush) {
    pen.fillStyle = accent;
    pen.globalAlpha = 0.35;
    pen.fillRect(at.x(i) - 6, at.y(brush[1]), 12, at.y(brush[0]) - at.y(brush[1]));
    pen.globalAlpha = 1;
  }
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  const beside = Math.min(at.step, at.width - at.x(i)) - 9; // room for a label
  let last = Infinity;
  for (const [height, whole] of [...axis.ticks].sort((a, b) => a[0] - b[0])) {
    if (last - at.y(height) < LINE) continue;
    last = at.y(height);
    const text = figures.fitted(pen, whole, beside);
    const width = pen.measureText(text).width;
    pen.fillStyle = card;
    pen.fillRect(at.x(i) + 5, at.y(height) - 7, width + 4, 14);
    pen.fillStyle = ink;
    pen.fillText(text, at.x(i) + 7, at.y(height));
  }
  pen.font = "600 11px system-ui, sans-serif";
  pen.fillStyle = ink;
  const title = figures.fitted(pen, axis.title, Math.max(60, at.step - 8));
  const width = pen.measureText(title).width;
  pen.fillText(title, Math.max(2, Math.min(at.x(i) - 12, at.width - width - 2)), i % 2 ? 10 : 26);
}

// ---- the card

function card(search, direction) {
  const found = model(search, direction);
  const brushes = new Map();
  const status = make("p", { class: "note", role: "status" });
  const one = new figures.Card({
    title: "All trials", wide: true, height: 380, still: true,
    compute: () => ({
      paint: (pen, across, down) => paint(pen, found, place(across, down, found.axes), brushes, figures.isDark()),
      alt: `${format.plural(found.lines.length, "trial")} over ${found.axes.map((axis) => axis.title).join(", ")}. Dragging along an axis selects the trials that cross it there; the form below does the same.`,
      table: () => ({
        columns: ["trial", "end", ...search.parameters.map((one_) => one_.label), search.metric || "outcome"],
        rows: search.trials.map((trial) => [trial.name, trial.end, ...search.parameters.map(({ id }) => trial.params[id]), trial.value]),
      }),
    }),
  });

  const draw = () => one.drawn && one.onCanvas(one.found);

  // what is brushed becomes the selection of the whole page
  function select() {
    const rows = [...new Set(within(found.lines, brushes).map((line) => line.trial.row))];
    const words = [...brushes].map(([axis, [low, high]]) => {
      const ends = [valueAt(found.axes[axis], low), valueAt(found.axes[axis], high)];
      return `${found.axes[axis].title} ${found.axes[axis].flipped ? ends.reverse().join(" to ") : ends.join(" to ")}`;
    });
    status.textContent = brushes.size ? `${format.plural(rows.length, "configuration")} selected: ${words.join("; ")}.` : "";
    if (!brushes.size) gansweep.state.set({ selected: null });
    else if (rows.length) gansweep.state.set({ selected: rows });
    else status.textContent = `No trial lies within ${words.join("; ")}. The selection is as it was.`;
    draw();
  }

  const brush = (axis, low, high) => brushes.set(axis, [low - ROUNDING, high + ROUNDING]);

  one.plot.style.minWidth = `${110 * found.axes.length}px`;
  drag(one.plot, found, brushes, brush, draw, select);
  one.element.append(form(found, brush, select, () => brushes.clear()), status);
  one.parallel = { found, brushes, brush, select, draw };
  return one;
}

function drag(plot, found, brushes, brush, draw, select) {
  let active = null;
  const spot = (event) => {
    const box = plot.getBoundingClientRect();
    const at = place(plot.clientWidth, plot.clientHeight, found.axes);
    const x = event.clientX - box.left;
    const axis = Math.min(found.axes.length - 1, Math.max(0, Math.round((x - PAD.left) / (at.step || 1))));
    return { axis, near: Math.abs(x - at.x(axis)) <= REACH, share: Math.max(ABSENT - EDGE, Math.min(1, at.share(event.clientY - box.top))) };
  };
  // a finger on an axis brushes, elsewhere it scrolls the page
  plot.addEventListener("touchstart", (event) => {
    if (event.touches.length === 1 && spot(event.touches[0]).near) event.preventDefault();
  }, { passive: false });
  plot.addEventListener("pointerdown", (event) => {
    const { axis, near, share } = spot(event);
    if (!near) return;
    event.preventDefault();
    active = { axis, from: share, to: share };
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointermove", (event) => {
    const { near, share } = spot(event);
    plot.style.cursor = near ? "ns-resize" : "";
    if (!active) return;
    active.to = share;
    brush(active.axis, Math.min(active.from, share), Math.max(active.from, share));
    requestAnimationFrame(draw);
  });
  const end = () => {
    if (!active) return;
    if (Math.abs(active.to - active.from) < TINY) brushes.delete(active.axis);
    active = null;
    select();
  };
  plot.addEventListener("pointerup", end);
  plot.addEventListener("pointercancel", end);
}

// the same from the keyboard: an axis and two values
function form(found, brush, select, clear) {
  const axis = make("select", { "aria-label": "Axis" }, found.axes.map((one) => make("option", { text: one.title })));
  const fields = make("span", {});
  const show = () => {
    const { ends, ticks } = found.axes[axis.selectedIndex];
    fields.replaceChildren(...(ends
      ? ["from", "to"].map((word) => make("label", {}, ` ${word} `, make("input", { type: "text", inputmode: "decimal", size: "8", value: String(word === "from" ? ends.low : ends.high) })))
      : [make("label", {}, " is ", make("select", {}, ticks.map(([, text]) => make("option", { text }))))]));
  };
  axis.addEventListener("change", show);
  show();
  const apply = () => {
    const one = found.axes[axis.selectedIndex];
    let heights;
    if (one.ends) {
      const values = [...fields.querySelectorAll("input")].map((field) => Number(field.value));
      if (values.some(Number.isNaN)) return gansweep.announce("From and to are numbers.");
      heights = values.map((value) => Math.max(0, Math.min(1, one.height(Math.max(value, one.ends.log ? Number.MIN_VALUE : -Infinity)))));
    } else {
      const [height] = one.ticks[fields.querySelector("select").selectedIndex];
      heights = [height - one.edge, height + one.edge];
    }
    const [low, high] = [Math.min(...heights), Math.max(...heights)];
    brush(axis.selectedIndex, low, high);
    return select();
  };
  return make(
    "div", { class: "controls" }, make("label", { class: "control" }, "select where ", axis), fields,
    make("button", { type: "button", text: "Select", onclick: apply }),
    make("button", { type: "button", text: "Clear", onclick: () => { clear(); select(); } }),
  );
}

gansweep.parallel = { card, axisOf, model, within };
