// The filter of the table, `lr > 1e-4 and model = dcgan`: the grammar of judging/where.py.

const TOKEN = /\s*(?:(<=|>=|!=|==|=|<|>|~)|([()])|"([^"]*)"|'([^']*)'|([^\s()<>=!~"']+))/y;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const DEEPEST = 50;
const EXAMPLE = "An example is “lr > 1e-4 and model = dcgan”.";
const NAMED = 12;  // settings and scores that a message lists
const ORDERS = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
};

class FilterError extends Error {}

function tokens(text) {
  const found = [];
  const end = text.trimEnd().length;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < end) {
    const place = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) {
      const bad = text.slice(place).trim().split(/\s/)[0];
      throw new FilterError(`“${bad}” cannot be read: quotes come in pairs, and operators are =, !=, <, <=, >, >= and ~. ${EXAMPLE}`);
    }
    const kind = ["operator", "bracket", "text", "text", "word"][match.slice(1).findIndex((one) => one !== undefined)];
    found.push({ kind, text: match.slice(1).find((one) => one !== undefined) });
  }
  return found;
}

const shown = (value) => gansweep.format.setting(value).toLowerCase();

function comparison(name, sign, value, quoted) {
  const number = quoted || !NUMBER.test(value) ? null : Number(value);
  const isEqual = (own) => (typeof own === "number" && number !== null
    ? Math.abs(own - number) <= 1e-9 * Math.max(Math.abs(own), Math.abs(number))
    : shown(own) === value.toLowerCase());
  if (sign === "=" || sign === "==") return (values) => values(name).some(isEqual);
  if (sign === "!=") return (values) => !values(name).some(isEqual);
  if (sign === "~") return (values) => values(name).some((own) => shown(own).includes(value.toLowerCase()));
  if (number === null) throw new FilterError(`“${name} ${sign} ${value}” needs a number after “${sign}”.`);
  return (values) => values(name).some((own) => typeof own === "number" && ORDERS[sign](own, number));
}

// {names, holds(values)}; values: name -> the values that it stands for.   Throws FilterError.
function readFilter(text) {
  const all = tokens(text);
  const names = new Set();
  let place = 0;
  const mistake = (why) => new FilterError(`${why}. ${EXAMPLE}`);
  const took = (word) => {
    const token = all[place];
    const found = token && token.kind === "word" && token.text.toLowerCase() === word;
    if (found) place += 1;
    return found;
  };
  const next = (what) => {
    if (place >= all.length) throw mistake(`${what} is missing at the end of the filter`);
    place += 1;
    return all[place - 1];
  };
  function any(depth) {
    const tests = [every(depth)];
    while (took("or")) tests.push(every(depth));
    return (values) => tests.some((test) => test(values));
  }
  function every(depth) {
    const tests = [one(depth)];
    while (took("and")) tests.push(one(depth));
    return (values) => tests.every((test) => test(values));
  }
  function one(depth) {
    if (depth > DEEPEST) throw mistake(`The filter is nested deeper than ${DEEPEST} levels`);
    if (took("not")) {
      const inner = one(depth + 1);
      return (values) => !inner(values);
    }
    const token = next("A name");
    if (token.kind === "bracket" && token.text === "(") {
      const test = any(depth + 1);
      const closing = next("“)”");
      if (closing.kind !== "bracket" || closing.text !== ")") throw mistake("“)” is missing");
      return test;
    }
    if (token.kind !== "word" && token.kind !== "text") throw mistake(`“${token.text}” stands where a name is expected`);
    const sign = next("An operator such as = or <");
    if (sign.kind !== "operator") throw mistake(`“${sign.text}” stands where an operator such as = or < is expected`);
    const value = next("A value");
    if (value.kind !== "word" && value.kind !== "text") throw mistake(`“${value.text}” stands where a value is expected`);
    names.add(token.text);
    return comparison(token.text, sign.text, value.text, value.kind === "text");
  }
  const test = any(0);
  if (place < all.length) throw mistake(`“${all[place].text}” does not follow from what is before it`);
  return { names: [...names], holds: test };
}

// ---- what a name stands for in a run

const FACTS = {
  status: (run) => run.status,
  model: (run) => gansweep.rows.get(run.row).model,
  data: () => gansweep.board.data,
  seed: (run) => run.seed,
  kimg: (run) => run.kimg,
  seconds: (run) => run.seconds,
  images_per_second: (run) => run.images_per_second,
  peak_memory_mib: (run) => run.peak_memory_mib,
  name: (run) => run.name.split("/").at(-1),
  group: (run) => run.name.split("/")[0],
  sweep: (run) => (run.role === "run" ? null : run.name.split("/")[0]),
  objective: (run) => {
    const { at, metric, trial_metric: ofTrials } = gansweep.board;
    return ((run[at] || {})[run.role === "trial" ? ofTrials : metric] || {}).value;
  },
  tag: (run) => run.tags,
  note: (run) => run.note || null,
};

let keysOf = new Map();

function settings(board, run) {
  if (!keysOf.has(board)) keysOf.set(board, new Map());
  const known = keysOf.get(board);
  if (!known.has(run.id)) {
    const { keys, values, runs } = board.configurations;
    const own = keys.map((key, place) => [key, runs[run.id][place]]).filter(([, index]) => index >= 0);
    known.set(run.id, {
      ...Object.fromEntries(Object.entries(board.configurations.common)),
      ...Object.fromEntries(own.map(([key, index]) => [key, values[keys.indexOf(key)][index]])),
    });
  }
  return known.get(run.id);
}

function valuesOf(board, run, name) {
  if (name in FACTS) {
    const found = FACTS[name](run);
    return Array.isArray(found) ? found : found === null || found === undefined ? [] : [found];
  }
  const own = Object.entries(settings(board, run));
  const found = own.filter(([key]) => `.${key}`.endsWith(`.${name}`)).map(([, value]) => value);
  const scores = board.columns.filter((one) => one.kind === "score" && !one.at);
  const named = scores.some((one) => one.key === name && run.last[name])
    ? [name] : scores.filter((one) => one.word === name).map((one) => one.key);
  return [...found, ...named.map((score) => (run.last[score] || {}).value).filter((v) => v !== null && v !== undefined)];
}

// The runs of the board for which a filter holds, as a set of ids; null without a filter.
// Throws FilterError for one that cannot be read, or for a name that no run has.
function chosenRuns(board, text) {
  if (!text.trim()) return null;
  const wanted = readFilter(text);
  for (const name of wanted.names) {
    if (name in FACTS || board.runs.some((run) => valuesOf(board, run, name).length)) continue;
    const known = board.columns.filter((one) => one.kind === "setting" || one.kind === "score");
    const names = [...new Set(known.map((one) => (one.kind === "score" ? one.word || one.key : one.label)))];
    throw new FilterError(
      `No run has a setting or a score “${name}”. These runs differ in ${names.slice(0, NAMED).join(", ") || "nothing"}; `
      + `of every run are known: ${Object.keys(FACTS).join(", ")}.`,
    );
  }
  return new Set(board.runs.filter((run) => wanted.holds((name) => valuesOf(board, run, name))).map((run) => run.id));
}

gansweep.onBoard(() => { keysOf = new Map(); });
gansweep.filter = { read: readFilter, chosenRuns, valuesOf, FilterError };
