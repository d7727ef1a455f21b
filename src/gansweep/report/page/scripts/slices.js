// The outcome of trials over one setting, and over two together.

const { make, figures, format, series, controls, chart } = gansweep;
const { isSelected, pickable } = gansweep.picking;
const { plain } = figures;
const GREY = "#8A8A8A";
const LOG_RATIO = 15;
const SETTING_RATIO = 5; // an axis of a setting that spans a larger ratio is logarithmic
const GRID = 32; // cells of a contour, each way
const KERNEL = 0.12; // standard deviation of the kernel, in widths of the figure
const NEAR = 2; // a cell farther from every trial than this many of them is left empty

const scored = (search) => search.trials.filter((trial) => trial.value !== null);

const isNumeric = (values) => values.every((value) => value === null || value === undefined || typeof value === "number");

function settingAxis(label, values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return figures.valueAxis(low, high, series.wantsLog(low, high, SETTING_RATIO - 1e-9), label);
}

function dotsOf(trials, x, y) {
  const hover = (trial) => [`${trial.name}: ${trial.end}`, `${gansweep.board.trial_metric} ${format.number(trial.value)}`].map(plain).join("<br>");
  const marks = (found, own) => ({
    type: "scatter", mode: "markers", x: found.map(x), y: found.map(y), customdata: found.map((trial) => trial.row),
    text: found.map(hover), hovertemplate: "%{text}<extra></extra>",
    marker: {
      size: own ? 10 : 6, opacity: own ? 1 : 0.5, color: own ? found.map((trial) => gansweep.colour(trial.row)) : GREY,
      line: { width: own ? 1 : 0, color: figures.colour("--card") },
    },
  });
  const chosen = trials.filter((trial) => isSelected(trial.row));
  return [marks(trials.filter((trial) => !chosen.includes(trial)), false), marks(chosen, true)];
}

function sliceCard(search, parameter) {
  const trials = scored(search).filter((trial) => trial.params[parameter.id] !== null && trial.params[parameter.id] !== undefined);
  const values = trials.map((trial) => trial.params[parameter.id]);
  const numeric = isNumeric(values);
  const names = numeric ? null : [...new Set(values.map(format.setting))].sort();
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const wide = numeric && series.wantsLog(low, high, SETTING_RATIO - 1e-9);
  const x = numeric ? chart.around(low, high, wide) : { low: -0.5, high: names.length - 0.5, log: false, names };
  const outcomes = trials.map((trial) => trial.value);
  const [best, worst] = [Math.min(...outcomes), Math.max(...outcomes)];
  const y = chart.around(best, worst, series.wantsLog(best, worst, LOG_RATIO));
  const log = (axis) => (axis.log ? ", log scale" : "");
  const missing = scored(search).length - trials.length;
  return new figures.Card({
    title: parameter.label, height: 240, still: true,
    compute: () => {
      if (!trials.length) return null;
      const dots = trials.map((trial, i) => {
        const own = isSelected(trial.row);
        return {
          x: numeric ? values[i] : names.indexOf(format.setting(values[i])), y: trial.value, row: trial.row, own,
          colour: own ? gansweep.colour(trial.row) : GREY,
          words: [`${trial.name}: ${trial.end}`, `${search.metric} ${format.number(trial.value)}`, `${parameter.label} ${format.setting(values[i])}`],
        };
      });
      return gansweep.dotFigure({
        dots: dots.sort((a, b) => a.own - b.own), x, y,
        xtitle: parameter.label + log(x), ytitle: search.metric + log(y),
        note: missing ? `${format.plural(missing, "trial")} without this setting left out.` : "",
        alt: `${search.metric} of ${format.plural(trials.length, "trial")} over ${parameter.label}.`,
        table: () => ({ columns: ["trial", parameter.label, search.metric], rows: trials.map((trial, i) => [trial.name, values[i], trial.value]) }),
      });
    },
  });
}

// the place of each value on an axis from 0 to 1
function unitOf(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const log = series.wantsLog(low, high, SETTING_RATIO - 1e-9);
  const at = (value) => (high === low ? 0.5 : log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  return { at, value: (share) => (log ? low * (high / low) ** share : low + share * (high - low)) };
}

// A mean of the outcomes at each cell, weighted by a Gaussian kernel over the distance in the figure
// (Nadaraya 1964, Watson 1964). null where no trial is near.
function kernelMean(points, size) {
  const weight = (squared) => Math.exp(-squared / (2 * KERNEL ** 2));
  const cells = Array.from({ length: size }, (_, i) => i / (size - 1));
  return cells.map((y) => cells.map((x) => {
    let [total, sum, nearest] = [0, 0, Infinity];
    for (const point of points) {
      const squared = (point.x - x) ** 2 + (point.y - y) ** 2;
      const share = weight(squared);
      total += share;
      sum += share * point.value;
      nearest = Math.min(nearest, squared);
    }
    return nearest > (NEAR * KERNEL) ** 2 ? null : sum / total;
  }));
}

function contourCard(search, numeric) {
  const pair = [numeric[0], numeric[1]];
  let known = null;  // the shading, which does not follow the selection
  const card = new figures.Card({
    title: "Two settings together", wide: true, height: 380, still: true,
    compute: () => {
      const [a, b] = pair;
      const trials = scored(search).filter((trial) => typeof trial.params[a.id] === "number" && typeof trial.params[b.id] === "number");
      if (trials.length < 3 || a === b) return { ...emptyContour(a, b, trials), table: () => ({ columns: [], rows: [] }) };
      const xs = trials.map((trial) => trial.params[a.id]);
      const ys = trials.map((trial) => trial.params[b.id]);
      const [ux, uy] = [unitOf(xs), unitOf(ys)];
      const outcomes = trials.map((trial) => trial.value);
      const log = series.wantsLog(Math.min(...outcomes), Math.max(...outcomes), LOG_RATIO);
      const points = trials.map((trial, i) => ({ x: ux.at(xs[i]), y: uy.at(ys[i]), value: log ? Math.log10(trial.value) : trial.value }));
      if (!known || known.a !== a || known.b !== b) known = { a, b, z: kernelMean(points, GRID) };
      const { z } = known;
      const cells = Array.from({ length: GRID }, (_, i) => i / (GRID - 1));
      const better = gansweep.board.direction === "maximize" ? "high" : "low";
      const scale = [[0, "#0072B2"], [0.5, "#c9d3da"], [1, "#E69F00"]];
      return {
        data: [
          {
            type: "contour", x: cells.map(ux.value), y: cells.map(uy.value), z, connectgaps: false, opacity: 0.75, ncontours: 12,
            colorscale: better === "low" ? scale : scale.map(([at], i) => [at, scale[2 - i][1]]), line: { width: 0.5 },
            colorbar: { title: { text: log ? "log10" : "" }, thickness: 12, outlinewidth: 0 }, hoverinfo: "skip",
          },
          ...dotsOf(trials, (trial) => trial.params[a.id], (trial) => trial.params[b.id]),
        ],
        layout: { xaxis: settingAxis(a.label, xs), yaxis: settingAxis(b.label, ys), hovermode: "closest", margin: { l: 56, r: 20, t: 10, b: 42 } },
        note: `Shading: mean of ${search.metric}${log ? " (log10)" : ""} over the trials, weighted by a Gaussian of ${100 * KERNEL} % of the figure's width; blue is better. Empty where no trial is near.`,
        alt: `${search.metric} over ${a.label} and ${b.label}, of ${format.plural(trials.length, "trial")}.`,
        table: () => ({ columns: ["trial", a.label, b.label, search.metric], rows: trials.map((trial, i) => [trial.name, xs[i], ys[i], trial.value]) }),
        after: pickable,
      };
    },
  });
  const options = numeric.map((one) => [one, one.label]);
  const changed = (place) => (value) => {
    pair[place] = value;
    card.refresh();
  };
  card.element.querySelector("figcaption").after(make(
    "div", { class: "controls" }, controls.localChoice("x", options, pair[0], changed(0)), controls.localChoice("y", options, pair[1], changed(1)),
  ));
  return card;
}

function emptyContour(a, b, trials) {
  const why = a === b ? "Choose two different settings." : `Only ${format.plural(trials.length, "trial")} with an outcome has both settings; three are needed.`;
  return { data: [], layout: { xaxis: { visible: false }, yaxis: { visible: false } }, note: why, alt: why };
}

gansweep.sliceCards = (search) => {
  if (scored(search).length < 2) return [];
  const numeric = search.parameters.filter(({ id }) => isNumeric(search.trials.map((trial) => trial.params[id])));
  const contour = numeric.length > 1 ? [contourCard(search, numeric)] : [];
  return [...search.parameters.map((one) => sliceCard(search, one)), ...contour];
};
gansweep.kernelMean = kernelMean;
