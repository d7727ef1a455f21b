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

// the names of the columns that a run has
gansweep.columns = (run) => {
  const board = boardOf(run);
  return board ? board.curves.runs[run].columns.map((place) => board.curves.names[place]) : [];
};

// {x: {kimg, steps, images, hours}, y}: the points of one column, without its gaps;
// null where the run has no such column. x.steps is null where the batch size is not known,
// x.hours where no time was recorded.
gansweep.curve = async (run, column) => {
  const board = boardOf(run);
  const place = board ? board.curves.runs[run].columns.indexOf(board.curves.names.indexOf(column)) : -1;
  if (place < 0) return null;
  const { start, length } = board.curves.runs[run];
  const all = await numbers(board);
  const row = (number) => all.subarray(start + number * length, start + (number + 1) * length);
  const [clock, seconds, values] = [row(0), row(1), row(2 + place)];
  const kept = [...values.keys()].filter((index) => !Number.isNaN(values[index]));
  const kimg = kept.map((index) => clock[index]);
  const size = board.runs.find((one) => one.id === run).batch_size;
  const times = kept.map((index) => seconds[index] / 3600);
  return {
    x: {
      kimg,
      images: kimg.map((k) => 1000 * k),
      steps: size ? kimg.map((k) => (1000 * k) / size) : null,
      hours: times.some(Number.isNaN) ? null : times,
    },
    y: kept.map((index) => values[index]),
  };
};
