// The arithmetic of curves, without drawing: smoothing, means over seeds, thinning.
// A curve is {x, y}: two arrays of one length, x ascending. A gap in y is NaN.

const POINTS = 2; // drawn for each pixel; a curve with more of them is thinned

// The points that have a value.
function known({ x, y }) {
  const keep = [];
  for (let i = 0; i < x.length; i += 1) if (Number.isFinite(y[i]) && Number.isFinite(x[i])) keep.push(i);
  if (keep.length === x.length) return { x, y };
  return { x: keep.map((i) => x[i]), y: keep.map((i) => y[i]) };
}

// The exponential moving average that TensorBoard draws: weight 0 keeps the curve. With
// s_i = weight s_(i-1) + (1 - weight) y_i, the value is s_i / (1 - weight^i), so that the start is
// not drawn towards 0. Gaps stay gaps.
function smoothed(y, weight) {
  if (!(weight > 0)) return y;
  const out = new Float64Array(y.length);
  let sum = 0;
  let left = 1;
  for (let i = 0; i < y.length; i += 1) {
    if (Number.isFinite(y[i])) {
      sum = weight * sum + (1 - weight) * y[i];
      left *= weight;
      out[i] = sum / (1 - left);
    } else {
      out[i] = NaN;
    }
  }
  return out;
}

// The value at `at` on the line between the neighbouring points; `from` is where to look first.
function interpolated({ x, y }, at, from) {
  let i = from;
  while (i < x.length - 1 && x[i + 1] < at) i += 1;
  if (i >= x.length - 1 || x[i] >= at) return { value: y[Math.min(i, x.length - 1)], place: i };
  const share = (at - x[i]) / (x[i + 1] - x[i]);
  return { value: y[i] + share * (y[i + 1] - y[i]), place: i };
}

// Mean and band of several curves, on every x at which one of them was measured, within the
// stretch that all of them cover, so that every seed counts everywhere.
// band: "stderr" (standard error of the mean) or "range" (lowest to highest).
// Returns null without a common stretch; low and high are null for one curve.
function averaged(curves, band) {
  const found = curves.map(known).filter((curve) => curve.x.length);
  if (!found.length) return null;
  if (found.length === 1) {
    return { x: [...found[0].x], y: [...found[0].y], low: null, high: null, n: 1 };
  }
  const start = Math.max(...found.map((curve) => curve.x[0]));
  const end = Math.min(...found.map((curve) => curve.x[curve.x.length - 1]));
  const clocks = new Set();
  for (const curve of found) for (const at of curve.x) if (at >= start && at <= end) clocks.add(at);
  const x = Float64Array.from(clocks).sort();
  if (!x.length) return null;
  const places = found.map(() => 0);
  const n = found.length;
  const [y, low, high] = [0, 1, 2].map(() => new Float64Array(x.length));
  const values = new Float64Array(n);
  for (let i = 0; i < x.length; i += 1) {
    let sum = 0;
    for (let k = 0; k < n; k += 1) {
      const { value, place } = interpolated(found[k], x[i], places[k]);
      places[k] = place;
      values[k] = value;
      sum += value;
    }
    y[i] = sum / n;
    if (band === "range") {
      low[i] = Math.min(...values);
      high[i] = Math.max(...values);
    } else {
      let squares = 0;
      for (let k = 0; k < n; k += 1) squares += (values[k] - y[i]) ** 2;
      const error = Math.sqrt(squares / (n - 1) / n);
      low[i] = y[i] - error;
      high[i] = y[i] + error;
    }
  }
  return { x, y, low, high, n };
}

// The indices to draw of a curve: all of them, or, where there are more than two for each pixel,
// the first, the lowest, the highest and the last of each of `pixels` / 2 stretches of equal length.
function thinned(y, pixels) {
  const all = y.length;
  if (all <= POINTS * pixels) return everyIndex(all);
  const stretches = Math.max(1, Math.floor(pixels / 2));
  const kept = [];
  for (let k = 0; k < stretches; k += 1) {
    const [from, to] = [Math.floor((k * all) / stretches), Math.floor(((k + 1) * all) / stretches)];
    let [low, high] = [from, from];
    for (let i = from; i < to; i += 1) {
      if (y[i] < y[low] || Number.isNaN(y[low])) low = i;
      if (y[i] > y[high] || Number.isNaN(y[high])) high = i;
    }
    const chosen = [from, Math.min(low, high), Math.max(low, high), to - 1];
    for (const i of chosen) if (i !== kept[kept.length - 1]) kept.push(i);
  }
  return kept;
}

// 0 to n - 1, one array for each n: most curves of a board have the same length
const counted = new Map();

function everyIndex(n) {
  if (!counted.has(n)) counted.set(n, Array.from({ length: n }, (_, i) => i));
  return counted.get(n);
}

// The place of the point nearest to `at`; -1 in an empty curve.
function nearest(x, at) {
  let [low, high] = [0, x.length - 1];
  if (high < 0) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle] < at) low = middle;
    else high = middle;
  }
  return Math.abs(x[low] - at) <= Math.abs(x[high] - at) ? low : high;
}

// Whether an axis over these values is better logarithmic: positive, and over a wide ratio.
function wantsLog(low, high, ratio) {
  return low > 0 && high / low > ratio;
}

gansweep.series = { known, smoothed, averaged, thinned, nearest, wantsLog };
