// A chart of lines, drawn with a pen of a canvas or of SVG. Plotly takes 20 to 40 ms for a figure of
// eight lines with bands, this 1 to 3 ms, so that all figures follow a slider.

const { series, figures, format } = gansweep;
const { colour, transparent } = figures;
const GREY = "#8A8A8A";
const BAND = 0.18;
const FAINT = 0.35;
const SPAN = 0.12; // opacity of a stretch
const EVERY = { x: 80, y: 42 }; // pixels between two ticks
const DASHES = { solid: [], dash: [7, 4], dot: [2, 3], dashdot: [7, 3, 2, 3], longdash: [11, 4] };
const FONT = "11px system-ui, sans-serif";
const AIR = 0.05; // left free above and below the values
const MANY = 60; // lines; more are thin, not dashed, and without their raw course
const SHORT = 30; // a line with fewer points shows them

// values at 1, 2 or 5 times a power of ten
function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

function ticksOf({ low, high, log, names }, pixels, every) {
  const count = Math.max(2, Math.floor(pixels / every));
  if (names) return names.map((_, place) => place).filter((place) => place % Math.ceil(names.length / count) === 0);
  if (log) {
    const ticks = figures.logTicks(low, high).tickvals.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    const sparse = ticks.filter((_, i) => i % Math.ceil(ticks.length / count) === 0);
    if (sparse.length > 1) return sparse;
  }
  return linearTicks(low, high, count);
}

const labelOf = ({ names }, tick, digits) => (names ? names[tick] : format.general(tick, digits));

// pixels of a value, and the value of a pixel: to(v) = start + size v, or of log10(v)
function scaleOf({ low, high, log }, from, to) {
  const [a, b] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
  const size = (to - from) / (b - a || 1);
  const start = from - a * size;
  return {
    start, size, log,
    to: log ? (value) => start + Math.log10(value) * size : (value) => start + value * size,
    from: (pixel) => (log ? 10 ** ((pixel - start) / size) : (pixel - start) / size),
  };
}

// The axis over these values, with air at its ends; a log axis has positive ones.
function around(low, high, log) {
  if (!(low <= high)) return { low: 0, high: 1, log: false };
  if (log && low > 0) {
    const air = Math.max((high / low) ** AIR, 1.01);
    return { low: low / air, high: high * air, log: true };
  }
  const air = AIR * (high - low) || Math.abs(high) * AIR || 0.5;
  return { low: low - air, high: high + air, log: false };
}

// spec: {lines, dots, x, y, xtitle, ytitle, spans, levels, labels, right}
//   x, y: {low, high, log}; of names in place of numbers also {names}: a name at 0, 1, ...
//   dots: {x, y, colour, own}; an own one is larger.   lines: {x, y, smooth, kept, low, high, colour, dash, faint, ended}.
//   spans: {from, to, colour}.   levels: values of y.   labels: {x, y, text, shift}.
// Returns the scales: {x, y, box}.
function paint(pen, width, height, spec) {
  pen.font = FONT;
  pen.textBaseline = "middle";
  const yticks = ticksOf(spec.y, height - 60, EVERY.y);
  const wide = Math.max(...yticks.map((tick) => pen.measureText(format.general(tick, 4)).width));
  const box = { left: wide + 12, top: spec.ytitle ? 24 : 10, right: width - (spec.right || 12), bottom: height - 40 };
  const scales = { x: scaleOf(spec.x, box.left, box.right), y: scaleOf(spec.y, box.bottom, box.top), box };
  frame(pen, spec, scales, yticks, width);
  pen.save();
  pen.beginPath();
  pen.rect(box.left, box.top - 4, box.right - box.left + 4, box.bottom - box.top + 8);
  pen.clip();
  for (const span of spec.spans || []) {
    pen.fillStyle = transparent(span.colour, SPAN);
    const [from, to] = [scales.x.to(span.from), scales.x.to(span.to)];
    pen.fillRect(from, box.top, Math.max(1, to - from), box.bottom - box.top);
  }
  pen.setLineDash([6, 4]);
  pen.lineWidth = 1;
  pen.strokeStyle = GREY;
  for (const level of spec.levels || []) {
    if (!spec.y.log || level > 0) stroke(pen, [[box.left, scales.y.to(level)], [box.right, scales.y.to(level)]]);
  }
  pen.setLineDash([]);
  for (const line of spec.lines) if (line.low) band(pen, line, scales, spec);
  for (const line of spec.lines) course(pen, line, scales, spec);
  for (const line of spec.lines) if (line.ended) cross(pen, line, scales);
  for (const dot of spec.dots || []) spot(pen, dot, scales);
  pen.restore();
  pen.fillStyle = colour("--ink");
  for (const label of spec.labels || []) {
    const place = scales.x.to(label.x) + 6;
    const beyond = place + pen.measureText(label.text).width > width;  // to the left of its point then
    pen.textAlign = beyond ? "right" : "left";
    pen.fillText(label.text, beyond ? scales.x.to(label.x) - 6 : place, scales.y.to(label.y) + label.shift);
  }
  pen.textAlign = "left";
  return scales;
}

function stroke(pen, points) {
  pen.beginPath();
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
}

function frame(pen, spec, { x, y, box }, yticks, width) {
  const [grid, rule, ink, quiet] = ["--grid", "--rule", "--ink", "--quiet"].map(colour);
  const xticks = ticksOf(spec.x, box.right - box.left, EVERY.x);
  pen.lineWidth = 1;
  pen.strokeStyle = grid;
  for (const tick of yticks) stroke(pen, [[box.left, y.to(tick)], [box.right, y.to(tick)]]);
  for (const tick of xticks) stroke(pen, [[x.to(tick), box.top], [x.to(tick), box.bottom]]);
  pen.strokeStyle = rule;
  stroke(pen, [[box.left, box.bottom], [box.right, box.bottom]]);
  pen.fillStyle = ink;
  pen.textAlign = "right";
  for (const tick of yticks) pen.fillText(format.general(tick, 4), box.left - 6, y.to(tick));
  pen.textAlign = "center";
  const beside = (box.right - box.left) / xticks.length - 6;
  for (const tick of xticks) {
    const label = labelOf(spec.x, tick, 6);
    pen.fillText(spec.x.names ? figures.fitted(pen, label, beside) : label, Math.min(x.to(tick), width - 14), box.bottom + 12);
  }
  pen.fillStyle = quiet;
  pen.fillText(spec.xtitle, (box.left + box.right) / 2, box.bottom + 30);
  pen.textAlign = "left";
  if (spec.ytitle) pen.fillText(spec.ytitle, 4, 10);
}

function band(pen, line, { x, y }, spec) {
  const floor = spec.y.log ? spec.y.low : -Infinity;
  pen.fillStyle = line.colour;
  pen.globalAlpha = BAND;
  pen.beginPath();
  line.kept.forEach((i, k) => {
    const [px, py] = [x.to(line.x[i]), y.to(Math.max(line.high[i], floor))];
    if (k) pen.lineTo(px, py);
    else pen.moveTo(px, py);
  });
  for (let k = line.kept.length - 1; k >= 0; k -= 1) {
    const i = line.kept[k];
    pen.lineTo(x.to(line.x[i]), y.to(Math.max(line.low[i], floor)));
  }
  pen.closePath();
  pen.fill();
  pen.globalAlpha = 1;
}

function course(pen, line, scales, spec) {
  const many = spec.lines.length > MANY;
  pen.strokeStyle = line.colour;
  pen.fillStyle = line.colour;
  pen.setLineDash(many ? [] : DASHES[line.dash] || []);  // drawing dashes takes three times as long
  if (line.smooth !== line.y && !many) {
    pen.globalAlpha = FAINT;
    pen.lineWidth = 1;
    trace(pen, line, line.y, scales);
  }
  pen.globalAlpha = line.faint ? FAINT + 0.15 : many ? 0.7 : 1;
  pen.lineWidth = line.faint || many ? 1 : 2;
  trace(pen, line, line.smooth, scales);
  pen.setLineDash([]);
  if (line.kept.length < SHORT && !many) {
    for (const i of line.kept) {
      if (spec.y.log && !(line.smooth[i] > 0)) continue;
      pen.beginPath();
      pen.arc(scales.x.to(line.x[i]), scales.y.to(line.smooth[i]), line.faint ? 1.5 : 2.5, 0, 2 * Math.PI);
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
}

// the line through its points; what a log axis cannot show leaves a gap
function trace(pen, line, values, { x, y }) {
  pen.beginPath();
  if (x.log || y.log) {
    let drawing = false;
    for (const i of line.kept) {
      const shown = !((y.log && !(values[i] > 0)) || (x.log && !(line.x[i] > 0)));
      if (shown && drawing) pen.lineTo(x.to(line.x[i]), y.to(values[i]));
      else if (shown) pen.moveTo(x.to(line.x[i]), y.to(values[i]));
      drawing = shown;
    }
  } else {
    const { kept } = line;
    for (let k = 0; k < kept.length; k += 1) {
      const i = kept[k];
      if (k) pen.lineTo(x.start + line.x[i] * x.size, y.start + values[i] * y.size);
      else pen.moveTo(x.start + line.x[i] * x.size, y.start + values[i] * y.size);
    }
  }
  pen.stroke();
}

function spot(pen, dot, { x, y }) {
  pen.globalAlpha = dot.own ? 1 : 0.5;
  pen.fillStyle = dot.colour;
  pen.beginPath();
  pen.arc(x.to(dot.x), y.to(dot.y), dot.own ? 5 : 3, 0, 2 * Math.PI);
  pen.fill();
  pen.globalAlpha = 1;
}

// where a run ended that did not end well
function cross(pen, line, scales) {
  const [x, y] = [scales.x.to(line.ended.x), scales.y.to(line.smooth[line.smooth.length - 1])];
  for (const [style, width] of [[colour("--card"), 5], [line.colour, 2.5]]) {
    pen.strokeStyle = style;
    pen.lineWidth = width;
    stroke(pen, [[x - 4, y - 4], [x + 4, y + 4]]);
    stroke(pen, [[x - 4, y + 4], [x + 4, y - 4]]);
  }
}

gansweep.chart = { MANY, paint, around, linearTicks };
