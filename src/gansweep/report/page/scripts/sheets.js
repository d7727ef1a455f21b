// The sheets of the runs: their moments, the nearest to a time, where their cells are, their pictures.

const { format } = gansweep;

function part() {
  return (gansweep.board && gansweep.board.sections.samples) || { layouts: [], folder: null, runs: {} };
}

// [{run, kind, kimg, layout, ref}], oldest first; kind: "samples" or "neighbours"
function list(run, kind = "samples") {
  const { runs, layouts } = part();
  const rows = (runs[run] && runs[run][kind]) || [];
  return rows.map(([kimg, place, ref]) => ({
    run, kind, kimg, ref, layout: place === null ? null : layouts[place],
  }));
}

// the sheet nearest in time, of two as near the earlier; null where the run has none
function nearest(sheets, kimg) {
  let found = null;
  for (const sheet of sheets) {
    if (!found || Math.abs(sheet.kimg - kimg) < Math.abs(found.kimg - kimg)) found = sheet;
  }
  return found;
}

// Moments this near count as one: runs save at the first step past a moment, which depends on the
// batch size. A quarter of a run's usual interval, for the run that saves most often; at most 1 % of
// the longest run.
function tolerance(runs, kind = "samples") {
  let [shortest, last] = [Infinity, 0];
  for (const run of runs) {
    const all = list(run, kind).map((sheet) => sheet.kimg);
    const steps = all.slice(1).map((kimg, k) => kimg - all[k]).sort((a, b) => a - b);
    if (steps.length) shortest = Math.min(shortest, steps[Math.floor(steps.length / 2)]);
    last = Math.max(last, ...all.slice(-1));
  }
  return Math.max(Math.min(shortest / 4, last / 100), 5e-4);
}

const at = (sheet, kimg, within) => Math.abs(sheet.kimg - kimg) <= within;

// "12 kimg", or "nearest: 12 kimg" for a sheet of another moment
function said(sheet, kimg, within) {
  const when = `${format.number(sheet.kimg)} kimg`;
  return at(sheet, kimg, within) ? when : `nearest: ${when}`;
}

// the moments of these runs, oldest first; those that count as one are there once
function moments(runs, kind = "samples") {
  const within = tolerance(runs, kind);
  const all = runs.flatMap((run) => list(run, kind).map((sheet) => sheet.kimg)).sort((a, b) => a - b);
  const found = [];
  for (const kimg of all) if (!found.length || kimg - found.at(-1) > within) found.push(kimg);
  return found;
}

// the runs of a row that have sheets, those that count for its scores first
function runsOf(row, kind = "samples") {
  const ids = [...new Set([...row.counted, ...row.runs])];
  return ids.filter((run) => list(run, kind).length);
}

// ---- pictures

const promised = new Map();
const ready = new Map();
const kept = new Map();  // images that stay decoded, so that sliding shows them at once
const KEPT = 400;

const name = (sheet) => `${sheet.run}/${sheet.kind}/${sheet.kimg}`;

function type(bytes) {
  return bytes[0] === 0x89 ? "image/png" : "image/webp";
}

async function made(sheet) {
  const { folder } = part();
  if (folder !== null) {
    return [...folder.split("/"), ...sheet.ref.split("/")].map(encodeURIComponent).join("/");
  }
  const all = await gansweep.bytes(`sheets-${sheet.run}`);
  const [start, length] = sheet.ref;
  const bytes = all.subarray(start, start + length);
  return URL.createObjectURL(new Blob([bytes], { type: type(bytes) }));
}

// the address of the picture; decoded from the page when it is asked for the first time
function url(sheet) {
  const key = name(sheet);
  if (!promised.has(key)) {
    promised.set(key, made(sheet).then((address) => {
      ready.set(key, address);
      return address;
    }));
  }
  return promised.get(key);
}

async function preload(sheets) {
  for (const sheet of sheets) {
    if (!sheet || kept.has(name(sheet))) continue;
    const image = new Image();
    kept.set(name(sheet), image);
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
    image.src = await url(sheet);
    image.decode().catch(() => kept.delete(name(sheet)));
  }
}

// ---- layouts: fields that are left out have these values

function whole(layout) {
  return { gap: 1, count: 0, classes: [], roles: [], noise: null, scale: 1, left: 0, blocks: [], notes: [], ...layout };
}

// width and height in pixels
function size(layout) {
  const { columns, rows, cell, gap } = whole(layout);
  return [gap + columns * (cell[0] + gap), gap + rows * (cell[1] + gap)];
}

// the place of a cell, in shares of the sheet
function box(layout, index) {
  const { columns, cell, gap } = whole(layout);
  const [width, height] = size(layout);
  return {
    left: (gap + (index % columns) * (cell[0] + gap)) / width,
    top: (gap + Math.floor(index / columns) * (cell[1] + gap)) / height,
    width: cell[0] / width,
    height: cell[1] / height,
  };
}

// the cell at a place in shares of the sheet; null for none
function cellAt(layout, x, y) {
  const { columns, rows, cell, gap, count } = whole(layout);
  const [width, height] = size(layout);
  const column = Math.floor((x * width - gap / 2) / (cell[0] + gap));
  const row = Math.floor((y * height - gap / 2) / (cell[1] + gap));
  if (column < 0 || row < 0 || column >= columns || row >= rows) return null;
  const index = row * columns + column;
  return index < count ? index : null;
}

// "row 3, class 7", "pair 4, made"
function cellName(layout, index) {
  const { columns, classes, roles } = whole(layout);
  const row = Math.floor(index / columns) + 1;
  const column = index % columns;
  if (classes.length) {
    const name = classes[column];
    return `row ${row}, ${name.startsWith("code ") ? name : `class ${name}`}`;
  }
  if (roles.length) {
    const group = Math.floor(index / roles.length) + 1;
    return `example ${group}, ${roles[column % roles.length]}`;
  }
  return `row ${row}, column ${column + 1}`;
}

// the cells of a class or of a role; null for the whole sheet
function chosen(layout, choice) {
  if (!layout) return null;
  const { columns, classes, roles, count } = whole(layout);
  const shows = (column) => {
    if (choice.class in classes) return column === choice.class;
    if (roles.includes(choice.role)) return roles[column % roles.length] === choice.role;
    return null;
  };
  if (shows(0) === null) return null;
  return [...Array(count).keys()].filter((index) => shows(index % columns));
}

// what places on two sheets have in common, in a sentence
function likeness(a, b) {
  if (!a.layout || !b.layout) return "An older sheet carries no layout, so places may not match.";
  const [one, other] = [whole(a.layout), whole(b.layout)];
  if (one.kind !== other.kind || one.columns !== other.columns || one.rows !== other.rows) {
    return "The two sheets have different layouts: places do not match.";
  }
  const classes = one.classes.length ? ", and each column the same class" : "";
  if (one.roles.length) return "A place has the same source in both.";
  if (one.noise === null || other.noise === null) return "";
  if (one.noise !== other.noise) {
    return `The noise differs: ${one.noise} and ${other.noise} numbers a sample${classes && "; each column has the same class"}.`;
  }
  const model = (sheet) => gansweep.rows.get(gansweep.runs.get(sheet.run).row).model;
  return model(a) === model(b)
    ? `A place has the same noise in both${classes}.`
    : `A place has noise from the same seed in both${classes}.`;
}

gansweep.sheets = {
  list, nearest, tolerance, at, said, moments, runsOf, url, preload, whole, size, box, cellAt, cellName, chosen,
  likeness,
  ready: (sheet) => ready.get(name(sheet)),
  any: (board) => Object.keys(board.sections.samples ? board.sections.samples.runs : {}).length > 0,
  folder: () => part().folder,
};
