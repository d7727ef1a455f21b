// The curves of the runs: a block of bytes for each board, decoded once.

const decoded = new Map();

// the block's numbers: its bytes are stored plane by plane, lowest byte first
async function numbers(board) {
  if (!decoded.has(board.id)) {
    decoded.set(board.id, gansweep.bytes(board.curves.block).then((planes) => {
      const count = planes.length / 4;
      const bytes = new Uint8Array(planes.length);
      for (let plane = 0; plane < 4; plane += 1) {
        const start = plane * count;
        for (let place = 0; place < count; place += 1) bytes[4 * place + plane] = planes[start + place];
      }
      return new Float32Array(bytes.buffer);
    }));
  }
  return decoded.get(board.id);
}

function boardOf(run) {
  return gansweep.boards.find((board) => run in board.curves.runs);
}

// run id -> {restarted, rows} that were pushed since the block was made
const pushed = new Map();

// the block of a live page's boards is a new one, with all that was pushed before
gansweep.forgetCurves = () => {
  decoded.clear();
  pushed.clear();
  gansweep.lines.forget();
};

// add rows of a history, {kimg, seconds, column: value}; restarted: they replace all before
gansweep.addRows = (run, rows, restarted) => {
  const board = boardOf(run);
  if (!board) return;
  const known = restarted ? null : pushed.get(run);
  const now = known || { restarted, rows: [] };
  const entry = board.curves.runs[run];
  entry.stored ??= entry.columns.length;  // columns that the block has
  for (const row of rows) {
    now.rows.push(row);
    for (const name of Object.keys(row)) {
      if (name === "kimg" || name === "seconds") continue;
      if (!board.curves.names.includes(name)) board.curves.names.push(name);
      const place = board.curves.names.indexOf(name);
      if (!entry.columns.includes(place)) entry.columns.push(place);
    }
  }
  pushed.set(run, now);
  gansweep.lines.forget(run);
};

// the names of the columns that a run has
gansweep.columns = (run) => {
  const board = boardOf(run);
  return board ? board.curves.runs[run].columns.map((place) => board.curves.names[place]) : [];
};

// {kimg, seconds, y} of one column as the block has it, without its gaps
async function stored(board, run, column) {
  const { start, length, columns } = board.curves.runs[run];
  const place = columns.indexOf(board.curves.names.indexOf(column));
  const all = await numbers(board);
  const row = (number) => all.subarray(start + number * length, start + (number + 1) * length);
  const [clock, seconds, values] = [row(0), row(1), row(2 + place)];
  const kept = [...values.keys()].filter((index) => !Number.isNaN(values[index]));
  return { kimg: kept.map((k) => clock[k]), seconds: kept.map((k) => seconds[k]), y: kept.map((k) => values[k]) };
}

// the same with the rows that were pushed; of two at the same moment the later counts
async function withPushed(board, run, column) {
  const { columns, stored: count } = board.curves.runs[run];
  const { restarted, rows } = pushed.get(run);
  const found = new Map();
  if (!restarted && columns.indexOf(board.curves.names.indexOf(column)) < count) {
    const { kimg, seconds, y } = await stored(board, run, column);
    kimg.forEach((clock, k) => found.set(clock, [clock, seconds[k], y[k]]));
  }
  for (const row of rows) {
    const clock = Math.fround(row.kimg);  // as in the block
    if (column in row) found.set(clock, [clock, row.seconds ?? NaN, row[column]]);
  }
  const all = [...found.values()].sort((a, b) => a[0] - b[0]);
  return { kimg: all.map((one) => one[0]), seconds: all.map((one) => one[1]), y: all.map((one) => one[2]) };
}

// {x: {kimg, steps, images, hours}, y}: the points of one column, without its gaps;
// null where the run has no such column. x.steps is null where the batch size is not known,
// x.hours where no time was recorded.
gansweep.curve = async (run, column) => {
  const board = boardOf(run);
  if (!board || !gansweep.columns(run).includes(column)) return null;
  const { kimg, seconds, y } = await (pushed.has(run) ? withPushed : stored)(board, run, column);
  const size = board.runs.find((one) => one.id === run).batch_size;
  const times = seconds.map((one) => one / 3600);
  return {
    x: {
      kimg,
      images: kimg.map((k) => 1000 * k),
      steps: size ? kimg.map((k) => (1000 * k) / size) : null,
      hours: times.some(Number.isNaN) ? null : times,
    },
    y,
  };
};
