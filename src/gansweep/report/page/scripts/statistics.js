// Scores over seeds, and the tests of two configurations: the formulae of judging/statistics.py.

const ALPHA = 0.05;  // probability of a false difference among all comparisons
const ROUNDING = 1e-6;  // a relative difference below this is rounding

// Neumaier's compensated sum
function sum(values) {
  let total = 0;
  let lost = 0;
  for (const value of values) {
    const next = total + value;
    lost += Math.abs(total) >= Math.abs(value) ? total - next + value : value - next + total;
    total = next;
  }
  return total + lost;
}

const mean = (values) => sum(values) / values.length;

function variance(values) {
  const middle = mean(values);
  return sum(values.map((value) => (value - middle) ** 2)) / (values.length - 1);
}

// whether the values differ by rounding alone; size: the magnitude that they were computed from
function areEqual(values, size = Math.max(...values.map(Math.abs))) {
  return Math.max(...values) - Math.min(...values) <= ROUNDING * size;
}

// log of the gamma function, by Lanczos' approximation (g = 7, 9 terms)
const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313,
  -176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6,
  1.5056327351493116e-7,
];

function logGamma(x) {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const at = x - 1;
  const base = at + 7.5;
  let series = LANCZOS[0];
  for (let i = 1; i < 9; i += 1) series += LANCZOS[i] / (at + i);
  return 0.5 * Math.log(2 * Math.PI) + (at + 0.5) * Math.log(base) - base + Math.log(series);
}

// the regularised incomplete beta function, by its continued fraction (Lentz' method)
function incompleteBeta(x, a, b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x),
  ) / a;
  const tiny = 1e-300;
  const away = (value) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m < 1000; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    const step = d * c;
    fraction *= step;
    if (Math.abs(step - 1) < 1e-15) break;
  }
  return front * fraction;
}

// two-sided p of Student's t
function twoSided(freedom, t) {
  return incompleteBeta(freedom / (freedom + t * t), freedom / 2, 0.5);
}

const reaches = new Map();

// the t that is exceeded in either direction with probability `level`
function reach(freedom, level) {
  const key = `${freedom} ${level}`;
  if (reaches.has(key)) return reaches.get(key);
  let low = 0;
  let high = 1;
  while (twoSided(freedom, high) > level && high < 1e300) [low, high] = [high, high * 4];
  // the secant's step where it stays within the bracket, else its middle
  let t = (low + high) / 2;
  for (let step = 0; step < 200 && high - low > 1e-13 * high; step += 1) {
    const excess = twoSided(freedom, t) - level;
    if (excess > 0) low = t;
    else high = t;
    const density = 2 * Math.exp(
      logGamma((freedom + 1) / 2) - logGamma(freedom / 2) - 0.5 * Math.log(freedom * Math.PI)
      - ((freedom + 1) / 2) * Math.log1p((t * t) / freedom),
    );
    const next = t + excess / density;
    if (Math.abs(next - t) < 1e-14 * Math.abs(t)) break;
    t = next > low && next < high ? next : (low + high) / 2;
  }
  reaches.set(key, t);
  return t;
}

// {mean, std, error, n, low, high, values}: std, error and the 95 % interval are null for one value
function summarize(values) {
  const n = values.length;
  if (!n) return null;
  const middle = mean(values);
  if (n === 1) return { mean: middle, std: null, error: null, n, low: null, high: null, values };
  if (areEqual(values)) return { mean: middle, std: 0, error: 0, n, low: null, high: null, values };
  const std = Math.sqrt(variance(values));
  const error = std / Math.sqrt(n);
  const within = reach(n - 1, ALPHA) * error;
  return { mean: middle, std, error, n, low: middle - within, high: middle + within, values };
}

function bounds(one, level) {
  const within = reach(one.freedom, level) * one.error;
  return [one.difference - within, one.difference + within];
}

function tested(one) {
  const p = twoSided(one.freedom, Math.abs(one.difference) / one.error);
  const full = { ...one, p };
  return { ...full, interval: bounds(full, ALPHA) };
}

// The t-test of two configurations; each: seed -> score. Paired for equal seeds, else, or where all
// pairs differ by the same amount, Welch's.
// {difference: other - first, error, freedom, paired, p, interval}; null for what cannot be tested
function compare(first, other) {
  const [a, b] = [Object.values(first), Object.values(other)];
  const untested = { freedom: NaN, paired: false, p: null, interval: null };
  const difference = mean(b) - mean(a);
  if (Math.min(a.length, b.length) < 2) return { difference, error: null, ...untested };
  const seeds = Object.keys(first);
  if (seeds.length === b.length && seeds.every((seed) => seed in other)) {
    const gaps = seeds.map((seed) => other[seed] - first[seed]);
    if (!areEqual(gaps, Math.max(...[...a, ...b].map(Math.abs)))) {
      const error = Math.sqrt(variance(gaps) / gaps.length);
      return tested({ difference, error, freedom: gaps.length - 1, paired: true });
    }
  }
  const parts = [a, b].map((one) => (areEqual(one) ? 0 : variance(one) / one.length));
  const error = Math.sqrt(sum(parts));
  if (error === 0) return { difference: areEqual([...a, ...b]) ? 0 : difference, error: 0, ...untested };
  const shares = parts.map((part, place) => part ** 2 / ([a, b][place].length - 1));
  return tested({ difference, error, freedom: error ** 4 / sum(shares), paired: false });
}

// The comparisons in their order, each p corrected for their number; the interval is at the level
// at which Holm's procedure tests it.
function holm(comparisons) {
  const order = comparisons.map((_, place) => place).filter((place) => comparisons[place].p !== null);
  order.sort((x, y) => comparisons[x].p - comparisons[y].p);
  const corrected = [...comparisons];
  let most = 0;
  let level = ALPHA;
  order.forEach((place, step) => {
    const one = comparisons[place];
    const left = order.length - step;
    if (most < ALPHA) level = ALPHA / left;
    most = Math.max(most, Math.min(1, left * one.p));
    corrected[place] = { ...one, p: most, interval: bounds(one, level) };
  });
  return corrected;
}

// whether a difference is significant; if neither varies over its seeds, any is
function apart(one) {
  return one.p !== null ? one.p < ALPHA : one.error === 0 && one.difference !== 0;
}

gansweep.statistics = { sum, mean, areEqual, summarize, compare, holm, apart, twoSided, reach };
