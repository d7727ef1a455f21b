// Figures of the quality of samples: modes, classes, the certainty of FID, fidelity and diversity.

const { figures, lines, format } = gansweep;
const { plain, transparent } = figures;
const MANY = 60; // modes; more are drawn as a curve, not as bars
const WORDED = 12; // classes; with more the cells have no room for a number
const WORST = 3; // confusions in the note
const CELL = 26; // pixels
const TOP = 5; // upper end of the axis, in even shares; a collapsed generator goes far beyond

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const sum = (values) => values.reduce((total, value) => total + value, 0);
const known = (values) => values.filter((value) => value !== null && value !== undefined);
const average = (values) => (known(values).length ? mean(known(values)) : null);

function selectedRows() {
  return gansweep.selected().map((id) => gansweep.rows.get(id));
}

function part() {
  return gansweep.board.sections.game;
}

// the lists of the runs that stand for a row; a gap counts as 0
function seedsOf(shown) {
  return shown.runs.map((id) => gansweep.runs.get(id).lists[shown.score].map((n) => n || 0));
}

// ---- modes

// mean share of samples in each mode; all 0 if no sample belongs to any
function modeShares(seeds) {
  return seeds[0].map((_, mode) => mean(seeds.map((counts) => counts[mode] / (sum(counts) || 1))));
}

function modesCard(row) {
  const shown = part().modes[row.id];
  return new figures.Card({
    title: gansweep.name(row.id), height: 220, still: true,
    compute: () => {
      const shares = modeShares(seedsOf(shown));
      const names = shown.names || shares.map((_, mode) => String(mode));
      return {
        data: [{
          type: "bar", x: names.map(plain), y: shares, marker: { color: gansweep.colour(row.id) },
          hovertemplate: "%{x}: %{y:.1%}<extra></extra>", meta: row.id,
        }],
        layout: {
          xaxis: { title: { text: shown.names ? "class" : "mode" }, type: "category" },
          yaxis: { title: { text: "share of samples" }, tickformat: ".0%", range: [0, 1.08 * (highestShare() || 1)] },
          shapes: shown.even ? [figures.level(1 / shown.count)] : [], bargap: 0.25, hovermode: "closest",
        },
        note: shown.note,
        alt: `${gansweep.name(row.id)}: share of samples in each of ${shown.count} modes. ${shown.note}`,
        table: () => ({ columns: [shown.names ? "class" : "mode", "share"], rows: names.map((name, i) => [name, shares[i]]) }),
      };
    },
  });
}

// the same scale in all figures, so that they can be compared
function highestShare() {
  const rows = selectedRows().filter((row) => few(row));
  return Math.max(0, ...rows.flatMap((row) => modeShares(seedsOf(part().modes[row.id]))));
}

const few = (row) => part().modes[row.id] && part().modes[row.id].count <= MANY;

// the modes from the most to the least frequent; a line that falls to 0 misses modes
function rankShares(seeds, ranks) {
  const rows = seeds.map((counts) => {
    const total = sum(counts) || 1;
    return [...counts].sort((a, b) => b - a).map((n) => (n * counts.length) / total);
  });
  return ranks.map((rank) => mean(rows.map((row) => row[rank])));
}

function ranksCard(score) {
  return new figures.Card({
    title: score, wide: true, height: 340, still: true,
    compute: () => {
      const rows = selectedRows().filter((row) => part().modes[row.id] && !few(row) && part().modes[row.id].score === score);
      if (!rows.length) return null;
      const first = part().modes[rows[0].id];
      const chance = part().chance.find((one) => one.count === first.count && one.samples === first.samples);
      const places = chance.ranks.map((rank) => rank + 1);
      const curve = (row) => rankShares(seedsOf(part().modes[row.id]), chance.ranks);
      const data = rows.map((row) => ({
        type: "scatter", mode: "lines", x: places, y: curve(row), name: plain(gansweep.name(row.id)), hovertemplate: "%{y:.2f}",
        line: { color: gansweep.colour(row.id), dash: gansweep.dash(row.id), width: 2 }, meta: row.id,
      }));
      data.push({
        type: "scatter", mode: "lines", x: places, y: chance.shares, name: "even distribution by chance", hovertemplate: "%{y:.2f}",
        line: { color: "#8A8A8A", dash: "dash", width: 1 },
      });
      const notes = rows.slice(0, 8).map((row) => `${gansweep.name(row.id)}: ${part().modes[row.id].note}`).join(" ");
      return {
        data,
        layout: {
          xaxis: { title: { text: "modes, the most frequent first" }, range: [0, first.count] },
          yaxis: { title: { text: "samples in the mode (1: even)" }, range: [0, TOP] }, hovermode: "x unified",
        },
        note: `The dashed line is what ${first.samples.toLocaleString("en")} evenly distributed samples give by chance. ${notes}`,
        alt: `How often each of ${first.count.toLocaleString("en")} modes was generated. ${notes}`,
        table: () => ({ columns: ["rank", ...rows.map((row) => row.name), "chance"], rows: places.map((place, i) => [place, ...data.map((one) => one.y[i])]) }),
      };
    },
  });
}

// ---- classes

// The shares of a table of counts, each row with sum 1; null in the row of a class without samples.
function sharesOf(counts) {
  const k = Math.round(Math.sqrt(counts.length));
  return Array.from({ length: k }, (_, i) => {
    const row = counts.slice(i * k, (i + 1) * k);
    const total = sum(row);
    return row.map((n) => (total ? n / total : null));
  });
}

function confusionOf(seeds) {
  const tables = seeds.map(sharesOf);
  return tables[0].map((row, i) => row.map((_, j) => average(tables.map((table) => table[i][j]))));
}

// "Most often confused: 8 seen as 1 in 9%; ..."
function worstOf(shares, names) {
  const wrong = shares.flatMap((row, i) => row.map((share, j) => ({ share, wanted: names[i], seen: names[j], same: i === j })))
    .filter((one) => !one.same && one.share !== null && one.share >= 0.01)
    .sort((a, b) => b.share - a.share).slice(0, WORST);
  if (!wrong.length) return "No class is confused with another one.";
  return `Most often confused: ${wrong.map((one) => `${one.wanted} seen as ${one.seen} in ${format.fixed(100 * one.share, 0)}%`).join("; ")}.`;
}

function confusionCard(row) {
  const shown = part().confusions[row.id];
  const size = shown.count;
  return new figures.Card({
    title: gansweep.name(row.id), height: 110 + CELL * Math.min(size, 24), still: true,
    compute: () => {
      const shares = confusionOf(seedsOf(shown));
      const names = shown.names || shares.map((_, i) => String(i));
      const labels = names.map(plain);
      const note = worstOf(shares, names);
      const colour = gansweep.colour(row.id);
      const percents = size > WORDED ? [] : shares.flatMap((line, y) => line.flatMap((share, x) => (share !== null && share >= 0.01 ? [{
        x, y, text: format.fixed(100 * share, 0), showarrow: false, bgcolor: "rgba(0,0,0,0)",
        font: { size: 10, ...(share > 0.5 ? { color: "#fff" } : {}) },
      }] : [])));
      return {
        data: [{
          type: "heatmap", x: labels, y: labels, z: shares, zmin: 0, zmax: 1, xgap: 1, ygap: 1, showscale: false,
          colorscale: [[0, transparent(colour, 0.04)], [1, colour]], meta: row.id,
          hovertemplate: "requested %{y}, seen %{x}: %{z:.1%}<extra></extra>",
        }],
        layout: {
          xaxis: { title: { text: "seen" }, type: "category", showgrid: false },
          yaxis: { title: { text: "requested" }, type: "category", autorange: "reversed", showgrid: false },
          annotations: percents, hovermode: "closest",
        },
        note,
        alt: `${gansweep.name(row.id)}: for each requested class, the percentage of samples seen as each class. ${note}`,
        table: () => ({ columns: ["requested", ...names], rows: shares.map((line, i) => [names[i], ...line]) }),
      };
    },
  });
}

function classFidCard({ score, names, runs }) {
  return new figures.Card({
    title: score, wide: true, height: 260, still: true,
    compute: () => {
      const all = selectedRows().map((row) => {
        const lists = lines.runsOf(row).counted.filter((run) => runs.includes(run.id)).map((run) => run.lists[score]);
        return { row, means: lists.length ? names.map((_, k) => average(lists.map((list) => list[k]))) : [] };
      }).filter((one) => one.means.length);
      const found = all.slice(0, figures.CARDS);
      if (!found.length) return null;
      const worst = found.map((one) => `${gansweep.name(one.row.id)} ${format.number(Math.max(...known(one.means)))}`);
      return {
        data: found.map(({ row, means }) => ({
          type: "bar", x: names.map(plain), y: means, name: plain(gansweep.name(row.id)), marker: { color: gansweep.colour(row.id) },
          hovertemplate: "%{y:.4g}", meta: row.id,
        })),
        layout: { xaxis: { title: { text: "class" }, type: "category" }, yaxis: { title: { text: "FID" } }, hovermode: "x unified", barmode: "group" },
        note: all.length > found.length ? `The first ${found.length} of ${all.length} configurations; select fewer to see others.` : "",
        alt: `FID within each class. Worst class: ${worst.join("; ")}.`,
        table: () => ({ columns: ["configuration", ...names], rows: found.map(({ row, means }) => [row.name, ...means]) }),
      };
    },
  });
}

// ---- FID with its errors, fidelity against diversity

function certaintyCard({ score, points }) {
  return new figures.Card({
    title: score, still: true,
    compute: () => {
      const all = gansweep.selected().map((id) => points.find((one) => one.row === id)).filter(Boolean);
      const found = all.slice(0, figures.ROWS);
      if (!found.length) return null;
      const data = found.flatMap((one, y) => {
        const colour = gansweep.colour(one.row);
        const common = { type: "scatter", mode: "markers", y: [y], hovertemplate: "%{x:.4g}", meta: one.row };
        const bar = (size) => (size === null ? {} : { error_x: { array: [size], color: colour, thickness: 1.5 } });
        const dot = { ...common, x: [one.fid], name: "FID", marker: { color: colour, size: 11 }, ...bar(one.error) };
        if (one.endless === null) return [dot];
        const marker = { color: colour, size: 11, symbol: "circle-open", line: { width: 2 } };
        return [dot, { ...common, x: [one.endless], name: "FID-infinity", marker, ...bar(one.endless_error) }];
      });
      const words = found.map((one) => {
        const endless = one.endless === null ? "" : `, FID-infinity ${format.number(one.endless)}`;
        return `${gansweep.name(one.row)} ${format.number(one.fid)}${endless}`;
      });
      return {
        data,
        height: 90 + 30 * found.length,
        layout: { xaxis: { title: { text: plain(score) }, rangemode: "tozero" }, yaxis: figures.rowAxis(found.map((one) => one.row)), hovermode: "closest" },
        note: figures.firstOf(all.length),
        alt: `${words.join("; ")}.`,
        table: () => ({
          columns: ["configuration", "FID", "error", "FID-infinity", "error of FID-infinity"],
          rows: found.map((one) => [gansweep.rows.get(one.row).name, one.fid, one.error, one.endless, one.endless_error]),
        }),
      };
    },
  });
}

// which points have room for a name: those with no named one beside them
function apart(points, [left, right], [low, high]) {
  const named = [];
  return points.map(([x, y]) => {
    const free = named.every(([a, b]) => Math.abs(x - a) > 0.3 * (right - left) || Math.abs(y - b) > 0.06 * (high - low));
    if (free) named.push([x, y]);
    return free;
  });
}

// 0 to 1, or beyond where a value is; a little air at both ends
function reach(values) {
  const low = Math.max(0, Math.floor(10 * Math.min(...values) - 1) / 10);
  const high = Math.max(1, ...values);
  return [low - 0.03 * (high - low), high + 0.06 * (high - low)];
}

function fidelityCard({ x, y, words }) {
  const [fidelity, diversity] = words;
  return new figures.Card({
    title: `${fidelity[0].toUpperCase()}${fidelity.slice(1)} against ${diversity}`, height: 360, still: true,
    compute: () => {
      const { at } = gansweep.board;
      const value = (run, score) => (run[at][score] ? run[at][score].value : null);
      const found = selectedRows().map((row) => ({
        row,
        points: lines.runsOf(row).counted.map((run) => [value(run, x), value(run, y)]).filter((point) => known(point).length === 2),
      })).filter((one) => one.points.length);
      if (!found.length) return null;
      const middles = found.map(({ points }) => [mean(points.map(([a]) => a)), mean(points.map(([, b]) => b))]);
      const [across, up] = [0, 1].map((axis) => reach(found.flatMap((one) => one.points.map((point) => point[axis]))));
      const labelled = apart(middles, across, up);
      const dot = (row, [a, b], own) => ({
        x: a, y: b, own, row: row.id, colour: gansweep.colour(row.id),
        words: [own ? `${gansweep.name(row.id)}, mean` : `a run of ${gansweep.name(row.id)}`, `${diversity} ${format.fixed(a, 3)}`, `${fidelity} ${format.fixed(b, 3)}`],
      });
      const corner = (text, place, height, shift) => ({ x: place, y: height, text, shift });
      return gansweep.dotFigure({
        dots: [
          ...found.flatMap(({ row, points }) => (points.length > 1 ? points.map((point) => dot(row, point, false)) : [])),
          ...found.map(({ row }, place) => dot(row, middles[place], true)),
        ],
        x: { low: across[0], high: across[1], log: false }, y: { low: up[0], high: up[1], log: false }, xtitle: x, ytitle: y,
        labels: [
          ...found.map(({ row }, place) => ({ x: middles[place][0], y: middles[place][1], text: gansweep.name(row.id), shift: 0 })).filter((_, place) => labelled[place]),
          corner("towards mode collapse", across[0], up[1], 8), corner("towards over-generalisation", across[1], up[0], -8),
        ],
        note: "Click a dot to leave its configuration out.",
        alt: `${diversity} and ${fidelity}: ${found.map(({ row }, place) => `${gansweep.name(row.id)} ${middles[place].map(format.number).join(" and ")}`).join("; ")}.`,
        table: () => ({ columns: ["configuration", x, y], rows: found.flatMap((one) => one.points.map((point) => [one.row.name, ...point])) }),
      });
    },
  });
}

// ---- blocks of the section "game"

gansweep.qualityBlocks = (board) => {
  const found = board.sections.game || {};
  const modes = found.modes || {};
  const many = [...new Set(Object.values(modes).filter((one) => one.count > MANY).map((one) => one.score))];
  return [
    {
      title: "Mode coverage",
      reading: "The distribution of a run's last samples over the modes of the data (classes, or components of a mixture), mean over seeds. The dashed line is an even distribution, where the data have one. Samples that belong to no mode are left out.",
      cards: () => [...many.map(ranksCard), ...selectedRows().filter(few).slice(0, gansweep.figures.CARDS).map(modesCard)],
      byRow: true, shown: Object.keys(modes).length > 0,
    },
    {
      title: "FID within classes",
      reading: "FID between the real and the generated images of one class. A high bar is a class with worse samples than the others. A class without enough samples has no bar.",
      cards: () => found.class_fids.map(classFidCard),
      shown: (found.class_fids || []).length > 0,
    },
    {
      title: "Requested and seen classes",
      reading: "The classes that the classifier of the data set sees in samples of each requested class, in percent, mean over seeds. On the diagonal the generator makes the requested class. A coloured cell off the diagonal: one class looks like another.",
      cards: () => selectedRows().filter((row) => found.confusions[row.id]).slice(0, gansweep.figures.CARDS).map(confusionCard),
      byRow: true, shown: Object.keys(found.confusions || {}).length > 0,
    },
    {
      title: "How far FID can be trusted",
      reading: "The dot is FID for the number of samples in its name. Its bar is the 95 % interval of the mean FID for this number: the noise of sampling, not the bias. The ring is FID-infinity, the limit for infinitely many samples, with its 95 % interval if there are at least ten samples per dimension. The distance between the two is the bias of too few samples. It differs between generators.",
      cards: () => found.certainty.map(certaintyCard),
      shown: (found.certainty || []).length > 0,
    },
    {
      title: "Fidelity and diversity",
      reading: "Higher: samples look more like real images. Further right: samples cover more of the real images. A small dot is one run, a large dot the mean of a configuration.",
      cards: () => found.fidelity.map(fidelityCard),
      shown: (found.fidelity || []).length > 0,
    },
  ];
};
gansweep.quality = { modeShares, rankShares, confusionOf, worstOf };
