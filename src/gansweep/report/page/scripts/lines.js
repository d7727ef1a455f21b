// The lines of a figure over training: which runs they are of, their points, means and marks.

const { series } = gansweep;
const ENDED_WELL = ["finished", "equilibrium", "plateau"];
const AXES = {
  kimg: "images seen (thousands)", steps: "training steps", images: "images seen", hours: "hours of training",
};

// ---- points, read once

const curves = new Map(); // run -> column -> {promise of its curve, curve once it is there}

function entryOf(run, column) {
  if (!curves.has(run)) curves.set(run, new Map());
  const columns = curves.get(run);
  if (!columns.has(column)) {
    const entry = { curve: null, promise: gansweep.curve(run, column) };
    entry.promise.then((curve) => { entry.curve = curve; }, () => columns.delete(column));
    columns.set(column, entry);
  }
  return columns.get(column);
}

// the curve, if it was read
function readCurve(run, column) {
  const entry = (curves.get(run) || new Map()).get(column);
  return entry ? entry.curve : null;
}

// for a live page: this run has new rows, or all have
function forget(run = null) {
  if (run === null) curves.clear();
  else curves.delete(run);
  means.clear();
}

// ---- which runs stand for a row

// counted: the runs of which a mean is made.   others: drawn faintly beside them, such as a seed
// that diverged.
function runsOf(row) {
  const all = row.runs.map((id) => gansweep.runs.get(id)).filter(Boolean);
  const counted = row.counted.map((id) => gansweep.runs.get(id)).filter(Boolean);
  if (!counted.length) return { counted: all, others: [] };
  const stage = all.filter((run) => row.stage !== "confirmed" || run.role === "confirm");
  return { counted, others: stage.filter((run) => !counted.includes(run)) };
}

// "N = 3, 1 diverged": the runs in the mean, and how the others ended; without the N of a mean where
// no run ended well
function countsOf(row) {
  const { counted, others } = runsOf(row);
  const ends = new Map();
  for (const run of row.counted.length ? others : counted) ends.set(run.status, (ends.get(run.status) || 0) + 1);
  const mean = row.counted.length ? [`N = ${counted.length}`] : [];
  return [...mean, ...[...ends].map(([status, count]) => `${count} ${status}`)].join(", ");
}

// whether these runs measured a score under several protocols
function isMixed(column, runs) {
  const protocols = gansweep.board.mixed[column] || {};
  return new Set(runs.map((run) => protocols[run.id]).filter((one) => one !== undefined)).size > 1;
}

// ---- means, made once for each row, column, axis and band

const means = new Map();

function meanOf(row, column, axis, band) {
  const key = [row.id, column, axis, band].join("\n");
  if (!means.has(key)) {
    const found = runsOf(row).counted
      .map((run) => readCurve(run.id, column))
      .filter((curve) => curve && curve.x[axis])
      .map((curve) => ({ x: curve.x[axis], y: curve.y }));
    means.set(key, series.averaged(found, band));
  }
  return means.get(key);
}

// ---- the lines of one column

// One line: {row, run?, name, x, y, low, high, n, faint, ended?}. A mean has no run.
// ended: {x, y, status, reason} of a run that did not end well.
async function linesOf(column, rows, view) {
  const wanted = rows.flatMap((row) => {
    const { counted, others } = runsOf(row);
    return [...counted, ...others].map((run) => entryOf(run.id, column).promise);
  });
  await Promise.all(wanted);
  const lines = [];
  let untimed = 0;
  for (const row of rows) {
    const { counted, others } = runsOf(row);
    const single = (run, faint) => {
      const curve = readCurve(run.id, column);
      if (!curve || !curve.y.length) return;
      if (!curve.x[view.axis]) {
        untimed += 1;
        return;
      }
      const points = series.known({ x: curve.x[view.axis], y: curve.y });
      if (!points.x.length) return;
      lines.push({
        row: row.id, run: run.id, name: `${gansweep.name(row.id)}, ${gansweep.format.seed(run.seed)}`, x: points.x, y: points.y,
        low: null, high: null, n: 1, faint, ended: endOf(run, points), infinite: curve.y.length - points.y.length,
      });
    };
    if (view.show === "each" || isMixed(column, counted)) {
      counted.forEach((run) => single(run, false));
    } else {
      const mean = meanOf(row, column, view.axis, view.band);
      if (mean) {
        const last = counted.length === 1 ? endOf(counted[0], mean) : null;
        lines.push({ row: row.id, name: gansweep.name(row.id), ...mean, faint: false, ended: last, infinite: 0 });
      } else {
        counted.forEach((run) => single(run, true));
      }
    }
    others.forEach((run) => single(run, true));
  }
  const all = rows.flatMap((row) => Object.values(runsOf(row)).flat());
  return { lines, untimed, mixed: isMixed(column, all) };
}

function endOf(run, { x, y }) {
  if (ENDED_WELL.includes(run.status) || run.status === "running" || run.status === "paused") return null;
  return { x: x[x.length - 1], y: y[y.length - 1], status: run.status, reason: run.reason, seed: run.seed };
}

// ---- the doctor's stretches

// {row, title, from, to}: the judged parts of the shown runs in this column, on this axis
function stretchesOf(column, rows, axis) {
  const findings = ((gansweep.board.sections.diagnosis || {}).findings || []).filter(
    (one) => rows.some((row) => row.id === one.row) && one.columns.includes(column),
  );
  return findings.flatMap((one) => {
    const { counted, others } = runsOf(gansweep.rows.get(one.row));
    const run = [...counted, ...others].find(({ id }) => id in one.runs);
    const curve = run && readCurve(run.id, column);
    if (!curve || !curve.x[axis]) return [];
    const [from, to] = one.runs[run.id].map((kimg) => onAxis(curve, kimg, axis));
    return [{ row: one.row, title: one.title, kimg: one.runs[run.id], from, to }];
  });
}

// a clock in kimg on another axis of the same run
function onAxis(curve, kimg, axis) {
  const i = series.nearest(curve.x.kimg, kimg);
  if (axis === "kimg") return kimg;
  if (axis === "hours") return curve.x.hours[i];
  return curve.x.kimg[i] ? (kimg * curve.x[axis][i]) / curve.x.kimg[i] : 0;
}

// how the reader wants curves: from the state
function view() {
  const { state } = gansweep;
  return {
    axis: state.get("axis"), logx: state.get("logx"), logy: state.get("logy"), smooth: state.get("smooth"),
    show: state.get("show"), band: state.get("band"), span: spanOf(state.get("span")),
  };
}

// the shown stretch of the x axis; null: all of it. An end that is not given is infinite.
function spanOf(ends) {
  const [from, to] = [(ends || [])[0] ?? -Infinity, (ends || [])[1] ?? Infinity];
  return ends && from < to ? [from, to] : null;
}

// the ends from `low` to `high`, or the given ones of the stretch; a log axis begins above 0
function within(span, low, high, log) {
  const [from, to] = span || [-Infinity, Infinity];
  const first = Number.isFinite(from) && !(log && from <= 0) ? from : low;
  const last = Number.isFinite(to) ? to : high;
  return [first, last > first ? last : first + 1];
}

const ends = {
  read: (text) => text.split(",").map((end) => (end === "" ? null : Number(end))),
  write: (value) => value.map((end) => end ?? "").join(","),
};
gansweep.key("span", ends, null);
gansweep.key("band", gansweep.text, "stderr");
gansweep.lines = {
  SEVERAL: "Measured under several protocols, as the summary says: only lines of one protocol compare, and no mean is over several.",
  isMixed, linesOf, stretchesOf, countsOf, runsOf, forget, view, within, AXES,
};
