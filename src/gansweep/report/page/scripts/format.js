// Numbers, durations and settings in the notation of records/notation.py, digit for digit.

const DASH = "–";

// Python rounds an exact half to the even digit, JavaScript away from 0
function fixed(value, digits) {
  const text = value.toFixed(digits);
  const exact = Math.abs(value).toFixed(Math.min(100, digits + 40));
  const rest = digits ? exact.slice(exact.indexOf(".") + 1 + digits) : exact.split(".")[1] || "";
  if (Math.abs(value) >= 1e21 || !/^50*$/.test(rest)) return text;
  const last = Number(text.at(-1));
  if (last % 2 === 0) return text;
  const step = 10 ** -digits;
  return (value - Math.sign(value) * step / 2).toFixed(digits);
}

// Python's "%.4g"
function general(value, precision) {
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const [mantissa, exponent] = scientific(value, precision);
  if (exponent < -4 || exponent >= precision) {
    const sign = exponent < 0 ? "-" : "+";
    return `${trimmed(mantissa)}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  return trimmed(fixed(value, precision - 1 - exponent));
}

function scientific(value, precision) {
  const [mantissa, exponent] = value.toExponential(precision - 1).split("e");
  // an exact half: as `fixed`, where the value has no exponent of its own
  const power = Number(exponent);
  const digits = precision - 1 - power;
  if (digits >= 0 && digits <= 60) {
    const even = fixed(value, digits);
    if (Number(even) !== Number(`${mantissa}e${power}`)) {
      return [fixed(Number(even) / 10 ** power, precision - 1), power];
    }
  }
  return [mantissa, power];
}

function trimmed(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return String(value === 0 ? 0 : value);
  return size >= 1e4 && size < 1e6 ? fixed(value, 0) : general(value, 4);
}

function decimals(std) {
  return 1 - Math.floor(Math.log10(Math.abs(std)));
}

function resolved(value, std) {
  const size = value ? Math.floor(Math.log10(Math.abs(value))) : 0;
  return general(value, Math.max(4, size - Math.floor(Math.log10(Math.abs(std))) + 2));
}

// the value with as many decimals as two significant digits of the spread need
function rounded(value, std) {
  const places = decimals(std);
  return places >= 0 && places <= 4 ? fixed(value, places) : resolved(value, std);
}

function meanAndStd(mean, std) {
  if (std === null || std === undefined) return number(mean);
  if (std === 0) return `${number(mean)} ± 0`;
  const places = decimals(std);
  if (places < 0 || places > 4) return `${resolved(mean, std)} ± ${general(std, 2)}`;
  return `${fixed(mean, places)} ± ${fixed(std, places)}`;
}

function bracketed(low, high, std) {
  return `[${rounded(low, std)}, ${rounded(high, std)}]`;
}

// "12.34 ± 0.41": a row's score over its seeds
function score(summary) {
  return summary && summary.mean !== null ? meanAndStd(summary.mean, summary.std) : DASH;
}

function interval(summary) {
  const known = summary && summary.std && summary.low !== null && summary.low !== undefined;
  return known ? bracketed(summary.low, summary.high, summary.std) : "";
}

// the error of one measurement: "1.61 to 1.70" for an interval, else "± 0.08"; "" if none is known
function spread({ value, std, low, high }) {
  const known = low !== undefined && high !== undefined;
  const size = known ? (high - low) / 4 : std;
  if (size === undefined || size === null) return "";
  if (size <= 1e-6 * Math.abs(value)) return "± 0";
  return known ? `${rounded(low, size)} to ${rounded(high, size)}` : `± ${general(size, 2)}`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  const whole = Number(fixed(seconds, 0));
  const two = (part) => String(part).padStart(2, "0");
  if (whole < 60) return seconds < 10 ? `${general(seconds, 3)} s` : `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

// a value of the configuration as a user would type it
function setting(value) {
  if (value === null || value === undefined) return "null";
  if (typeof value === "number") {
    return Number.isInteger(value) && Math.abs(value) < 1e15 ? String(value) : general(value, 4);
  }
  if (Array.isArray(value)) return `[${value.map(setting).join(", ")}]`;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function plural(count, noun) {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}

// "seed 3"; a record of another training loop may have none
function seed(value) {
  return `seed ${value ?? "unknown"}`;
}

// two significant digits, and four beside 0.05, at which verdicts change
function probability(p) {
  if (p === null || p === undefined) return "";
  const digits = general(p, 2) === "0.05" ? 4 : 2;
  return p >= 1e-4 ? `p = ${general(p, digits)}` : "p < 0.0001";
}

gansweep.format = {
  DASH, fixed, general, number, rounded, meanAndStd, bracketed, score, interval, spread, duration, setting,
  plural, seed, probability,
};
