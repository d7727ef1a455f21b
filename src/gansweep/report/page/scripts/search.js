// What a search found: all trials, importance, slices, contours, budget, front, timeline, outcomes.

const { make, figures, format, series, controls } = gansweep;
const { plain, transparent } = figures;
const GREY = "#8A8A8A";
const LOG_RATIO = 15;
const SETTING_RATIO = 5; // an axis of a setting that spans a larger ratio is logarithmic
const GRID = 32; // cells of a contour, each way
const KERNEL = 0.12; // standard deviation of the kernel, in widths of the figure
const NEAR = 2; // a cell farther from every trial than this many of them is left empty
const UNITS = [["h", 3600], ["min", 60], ["s", 1]];
const STATUS_COLOURS = {
  finished: "#009E73", equilibrium: "#009E73", plateau: "#009E73", pruned: "#E69F00", diverged: "#D55E00", collapsed: "#D55E00",
  "never learned": "#D55E00", failed: "#A33A10", running: "#56B4E9",
};
const AS_IT_WENT = "The dotted line is the best score so far in the order of the trials. If the sampler learns from trials, only this line shows the gain; the curve does not.";

// ---- points that select their row

const isSelected = (row) => gansweep.selected().includes(row);

function toggle(row) {
  const now = gansweep.selected();
  gansweep.state.set({ selected: now.includes(row) ? now.filter((one) => one !== row) : [...now, row] });
}

function pickable(card) {
  if (card.pickable) return;
  card.pickable = true;
  card.plot.on("plotly_click", (event) => {
    const row = event.points[0].customdata;
    if (row && gansweep.rows.has(row)) toggle(row);
  });
}

const scored = (search) => search.trials.filter((trial) => trial.value !== null);
const modelColour = (model) => {
  const models = [...new Set(gansweep.board.rows.map((row) => row.model))];
  return ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B6BB8"][models.indexOf(model) % 7];
};

// a setting as a place on an axis: its number, or its name
const isNumeric = (values) => values.every((value) => value === null || value === undefined || typeof value === "number");
const shownSetting = (value, numeric) => (numeric ? value : plain(format.setting(value)));

function settingAxis(label, values) {
  if (!isNumeric(values)) return { title: { text: plain(label) }, type: "category" };
  const present = values.filter((value) => typeof value === "number");
  const [low, high] = [Math.min(...present), Math.max(...present)];
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

// ---- importance

function importanceCard(importance) {
  return new figures.Card({
    title: "Importance of hyperparameters", height: 110 + 30 * importance.shares.length, still: true,
    compute: () => {
      const names = importance.shares.map(([name]) => name);
      const shares = importance.shares.map(([, share]) => share);
      return {
        data: [{ type: "bar", orientation: "h", x: shares, y: names.map(plain), marker: { color: "#0072B2" }, hovertemplate: "%{y}: %{x:.0%}<extra></extra>" }],
        layout: {
          xaxis: { title: { text: "share of importance" }, tickformat: ".0%", rangemode: "tozero" },
          yaxis: { autorange: "reversed", automargin: true, type: "category" }, bargap: 0.4, hovermode: "closest",
        },
        note: `A forest on ${format.plural(importance.trials, "trial")} explains ${format.fixed(100 * importance.explained, 0)} % of the ranks of trials it has not seen. ${importance.note}`,
        alt: `Importance of hyperparameters for ${gansweep.board.trial_metric}: ${importance.shares.map(([name, share]) => `${name} ${format.fixed(100 * share, 0)} %`).join(", ")}.`,
        table: () => ({ columns: ["hyperparameter", "share"], rows: importance.shares }),
      };
    },
  });
}

// ---- slices and contours

function sliceCard(search, parameter) {
  const trials = scored(search).filter((trial) => trial.params[parameter.id] !== null && trial.params[parameter.id] !== undefined);
  const values = trials.map((trial) => trial.params[parameter.id]);
  const numeric = isNumeric(values);
  return new figures.Card({
    title: parameter.label, height: 240, still: true,
    compute: () => {
      if (!trials.length) return null;
      const outcomes = trials.map((trial) => trial.value);
      const [low, high] = [Math.min(...outcomes), Math.max(...outcomes)];
      const missing = scored(search).length - trials.length;
      return {
        data: dotsOf(trials, (trial) => shownSetting(trial.params[parameter.id], numeric), (trial) => trial.value),
        layout: {
          xaxis: settingAxis(parameter.label, values), hovermode: "closest",
          yaxis: figures.valueAxis(low, high, series.wantsLog(low, high, LOG_RATIO), search.metric),
        },
        note: missing ? `${format.plural(missing, "trial")} without this setting left out.` : "",
        alt: `${search.metric} of ${format.plural(trials.length, "trial")} over ${parameter.label}.`,
        table: () => ({ columns: ["trial", parameter.label, search.metric], rows: trials.map((trial) => [trial.name, trial.params[parameter.id], trial.value]) }),
        after: pickable,
      };
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
      const z = kernelMean(points, GRID);
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

// ---- expected best

function budgetCards(search) {
  return search.budget.filter((one) => one.families.length).flatMap((one) => {
    const name = search.budget.length > 1 ? `${one.sweep}: expected best ${search.metric}` : `Expected best ${search.metric}`;
    const timed = one.families.length > 1 && one.families.every((family) => family.seconds);
    return [budgetCard(search, one, name, null), ...(timed ? [budgetCard(search, one, `${name} over time`, unitFor(one))] : [])];
  });
}

function unitFor({ families }) {
  const longest = Math.max(...families.map((family) => family.mean.length * family.seconds));
  return UNITS.find(([, size]) => longest >= 2 * size) || UNITS[2];
}

function budgetCard(search, { families, missing }, title, unit) {
  const [symbol, size] = unit || ["kimg", 1];
  return new figures.Card({
    title, wide: !unit, height: unit ? 340 : 380, still: true,
    compute: () => {
      const cost = (family) => (unit ? family.seconds / size : family.kimg);
      const data = families.flatMap((family) => {
        const colour = modelColour(family.model);
        const x = family.mean.map((_, k) => cost(family) * (k + 1));
        return [
          { type: "scatter", mode: "lines", x: [...x, ...[...x].reverse()], y: [...family.low, ...[...family.high].reverse()], fill: "toself", fillcolor: transparent(colour, 0.13), line: { width: 0 }, hoverinfo: "skip" },
          {
            type: "scatter", mode: family.mean.length < 30 ? "lines+markers" : "lines", x, y: family.mean, marker: { size: 5, color: colour }, line: { color: colour, width: 2 },
            name: `${plain(family.model)} (${format.plural(family.mean.length, "trial")})`, showlegend: true,
            text: x.map((_, k) => format.plural(k + 1, "trial")), hovertemplate: `${plain(family.model)}: %{y:.4g} after %{text}, %{x:.4g} ${symbol}<extra></extra>`,
          },
        ];
      });
      const walk = !unit && families.length === 1;
      if (walk) data.unshift(walkOf(families[0]));
      const values = families.flatMap((family) => [...family.low, ...family.high, ...(walk ? family.so_far : [])]);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const drawn = families.map((family) => `${format.plural(family.mean.length, "trial")} of ${family.model}${family.lost ? ` (${family.lost} of them counted as worst)` : ""}`);
      const ends = families.map((family) => {
        const n = family.mean.length;
        return `${family.model} ${format.number(family.mean[0])} after one trial, ${format.number(family.mean[n - 1])} after ${n} (${format.number(cost(family) * n)} ${symbol})`;
      });
      const why = Object.entries(missing).map(([model, reason]) => `${model} has no curve: ${reason}.`);
      return {
        data,
        layout: {
          xaxis: { title: { text: unit ? `budget: training time of all trials (${symbol})` : "budget: images of all trials (kimg)" }, rangemode: "tozero" },
          yaxis: figures.valueAxis(low, high, series.wantsLog(low, high, LOG_RATIO)), hovermode: "closest", showlegend: true,
          legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { l: 52, r: 14, t: 34, b: 42 },
        },
        note: [`Drawn from ${drawn.join(", ")}.`, ...why, walk ? AS_IT_WENT : ""].filter(Boolean).join(" "),
        alt: `${title}: ${ends.join("; ")}.`,
        table: () => ({
          columns: ["model", "trials", symbol, "mean", "5th percentile", "95th percentile"],
          rows: families.flatMap((family) => family.mean.map((value, k) => [family.model, k + 1, cost(family) * (k + 1), value, family.low[k], family.high[k]])),
        }),
      };
    },
  });
}

function walkOf(family) {
  let spent = 0;
  return {
    type: "scatter", mode: "lines", x: family.spent.map((kimg) => (spent += kimg)), y: family.so_far, name: "best so far, in the order tried", showlegend: true,
    line: { shape: "hv", dash: "dot", width: 1.5, color: modelColour(family.model) }, hovertemplate: "best so far: %{y:.4g} at %{x:.4g} kimg<extra></extra>",
  };
}

// ---- the front

function frontCards(search) {
  return search.fronts.filter((one) => one.trials).flatMap((one) => {
    const name = search.fronts.length > 1 ? `${one.sweep}: ` : "";
    const count = one.trials.columns.length;
    const pairs = [];
    for (let x = 0; x < count; x += 1) for (let y = x + 1; y < count; y += 1) pairs.push([x, y]);
    return pairs.map((pair) => frontCard(one, pair, name, pairs.length === 1));
  });
}

// The staircase through the best points of two objectives, from left to right.
function stairsOf(points, directions) {
  const better = (a, b, k) => (directions[k] === "maximize" ? a[k] >= b[k] : a[k] <= b[k]);
  const beaten = (point) => points.some((other) => better(other, point, 0) && better(other, point, 1) && (other[0] !== point[0] || other[1] !== point[1]));
  return points.filter((point) => !beaten(point)).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
}

function frontCard({ trials, confirmed }, [x, y], name, wide) {
  const title = `${name}${trials.columns[y]} against ${trials.columns[x]}`;
  // confirmations fit these axes only if they were measured in the same way
  const alike = confirmed && [x, y].every((i) => confirmed.columns[i] === trials.columns[i]);
  const points = (front) => front.points.map((one) => [one.point[x], one.point[y]]);
  return new figures.Card({
    title, wide, height: 400, still: true,
    compute: () => {
      const directions = [trials.directions[x], trials.directions[y]];
      const stairs = stairsOf(points(trials), directions);
      const shown = [...points(trials), ...(alike ? points(confirmed) : [])];
      const hover = (one, front, word) => [`${word}${one.run}`, ...front.columns.map((column, i) => `${column} ${format.number(one.point[i])}`)].map(plain).join("<br>");
      const colours = (front) => front.points.map((one) => (isSelected(one.row) ? gansweep.colour(one.row) : GREY));
      const data = [
        {
          type: "scatter", mode: "lines", x: stairs.map(([a]) => a), y: stairs.map(([, b]) => b), hoverinfo: "skip",
          line: { shape: directions[0] === "maximize" ? "vh" : "hv", color: GREY, width: 1.5 },
        },
        {
          type: "scatter", mode: "markers", x: points(trials).map(([a]) => a), y: points(trials).map(([, b]) => b),
          customdata: trials.points.map((one) => one.row), text: trials.points.map((one) => hover(one, trials, "")), hovertemplate: "%{text}<extra></extra>",
          marker: { color: colours(trials), size: trials.points.map((one) => (one.on_front ? 11 : 7)), opacity: trials.points.map((one) => (one.on_front || isSelected(one.row) ? 1 : 0.3)) },
        },
      ];
      if (alike) {
        const bar = (i) => ({ array: confirmed.points.map((one) => one.reach[i] || 0), thickness: 1, width: 3, color: GREY });
        data.push({
          type: "scatter", mode: "markers", x: points(confirmed).map(([a]) => a), y: points(confirmed).map(([, b]) => b), error_x: bar(x), error_y: bar(y),
          customdata: confirmed.points.map((one) => one.row), text: confirmed.points.map((one) => hover(one, confirmed, "confirmed: ")), hovertemplate: "%{text}<extra></extra>",
          marker: { symbol: "diamond-open", size: 12, color: colours(confirmed), line: { width: 2 } },
        });
      }
      const axis = (i, k) => {
        const values = shown.map((point) => point[k]);
        const [low, high] = [Math.min(...values), Math.max(...values)];
        const log = series.wantsLog(low, high, LOG_RATIO);
        const scaled = log ? [Math.log10(low), Math.log10(high)] : [low, high];
        const margin = 0.08 * (scaled[1] - scaled[0]) || 0.5;
        const better = trials.directions[i] === "maximize" ? "higher" : "lower";
        return { ...figures.valueAxis(low, high, log, `${trials.columns[i]}, ${better} is better`), range: [scaled[0] - margin, scaled[1] + margin] };
      };
      const members = trials.points.filter((one) => one.on_front);
      return {
        data,
        layout: { xaxis: axis(x, 0), yaxis: axis(y, 1), hovermode: "closest" },
        note: "Click a dot to select its configuration in all figures.",
        alt: `${format.plural(trials.points.length, "trial")} by ${trials.columns[x]} and ${trials.columns[y]}. On the front: ${members.map((one) => `${one.run} ${format.number(one.point[x])} and ${format.number(one.point[y])}`).join("; ")}.`,
        table: () => ({
          columns: ["trial", ...trials.columns, "on the front", "confirmed"],
          rows: [...trials.points.map((one) => [one.run, ...one.point, one.on_front, false]), ...(alike ? confirmed.points.map((one) => [one.run, ...one.point, one.on_front, true]) : [])],
        }),
        after: pickable,
      };
    },
  });
}

// ---- the timeline

// Each span in a lane: its worker's, or the first that is free where no worker is recorded.
function lanesOf(spans) {
  const named = spans.every((span) => span.worker);
  if (named) {
    const workers = [...new Set(spans.map((span) => span.worker))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    return { names: workers, lane: spans.map((span) => workers.indexOf(span.worker)) };
  }
  const free = [];
  const lane = spans.map((span) => {
    let place = free.findIndex((end) => end <= span.start);
    if (place < 0) place = free.length;
    free[place] = span.end;
    return place;
  });
  return { names: free.map((_, place) => `lane ${place + 1}`), lane };
}

function timelineCard({ sweep, spans, unknown }, several) {
  const { names, lane } = lanesOf(spans);
  const longest = Math.max(...spans.map((span) => span.end));
  const [symbol, size] = UNITS.find(([, one]) => longest >= 2 * one) || UNITS[2];
  const statusOf = (span) => (gansweep.runs.get(span.run) || {}).status || "unknown";
  return new figures.Card({
    title: several ? `${sweep}: workers and trials` : "Workers and trials", wide: true, height: Math.min(700, 110 + 26 * names.length), still: true,
    compute: () => {
      const statuses = [...new Set(spans.map(statusOf))];
      const data = statuses.map((status) => {
        const own = spans.map((span, i) => ({ ...span, lane: lane[i] })).filter((span) => statusOf(span) === status);
        return {
          type: "bar", orientation: "h", name: status, showlegend: true, base: own.map((span) => span.start / size), x: own.map((span) => (span.end - span.start) / size),
          y: own.map((span) => span.lane), customdata: own.map((span) => gansweep.runs.get(span.run).row), hovertemplate: "%{text}<extra></extra>",
          text: own.map((span) => plain(`${span.name}: ${status}, ${format.duration(span.end - span.start)}`)), textposition: "none",
          marker: {
            color: STATUS_COLOURS[status] || GREY,
            line: {
              width: own.map((span) => (isSelected(gansweep.runs.get(span.run).row) ? 2 : 0.5)),
              color: own.map((span) => (isSelected(gansweep.runs.get(span.run).row) ? gansweep.colour(gansweep.runs.get(span.run).row) : figures.colour("--card"))),
            },
          },
        };
      });
      const busy = spans.reduce((sum, span) => sum + span.end - span.start, 0) / (longest * names.length);
      return {
        data,
        layout: {
          xaxis: { title: { text: `time since the first run started (${symbol})` }, rangemode: "tozero" },
          yaxis: { range: [names.length - 0.5, -0.5], tickvals: names.map((_, i) => i), ticktext: names.map(plain) },
          barmode: "overlay", bargap: 0.2, hovermode: "closest", showlegend: true,
          legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { l: 60, r: 14, t: 34, b: 42 },
        },
        note: [
          `${names.length === 1 ? "One lane was" : `${names.length} lanes were`} busy for ${format.fixed(100 * busy, 0)} % of the time.`,
          spans.every((span) => span.worker) ? "" : "Some records name no worker: runs that overlap are put in different lanes.",
          unknown ? `${format.plural(unknown, "run")} without times left out.` : "", "Click a bar to select its configuration.",
        ].filter(Boolean).join(" "),
        alt: `${format.plural(spans.length, "run")} of ${sweep} in ${format.plural(names.length, "lane")} over ${format.duration(longest)}.`,
        table: () => ({ columns: ["run", "worker", "status", "start", "end"], rows: spans.map((span) => [span.name, span.worker, statusOf(span), span.start, span.end]) }),
        after: pickable,
      };
    },
  });
}

// ---- what the budget went to

function outcomeTable({ sweep, trials, ends }) {
  const percent = (share) => (share === null ? format.DASH : share > 0 && share < 0.01 ? `${format.fixed(100 * share, 1)}%` : `${format.fixed(100 * share, 0)}%`);
  const heads = ["ended", "how many", "kimg", "of the budget", "training time"];
  return make(
    "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Ends of the trials of ${sweep}` },
    make(
      "table", { class: "narrow" },
      make("caption", { class: "titled", text: `${sweep}: ${format.plural(trials, "trial")} by their end` }),
      make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col", text: head })))),
      make("tbody", {}, ends.map((end) => make(
        "tr", {}, make("th", { scope: "row", text: end.end }),
        [String(end.count), format.number(end.kimg), percent(end.share), format.duration(end.seconds)].map((text) => make("td", { class: "num", text })),
      ))),
    ),
  );
}

// ---- the section

let made = [];

function block(element, title, reading, cards, ...more) {
  if (!cards.length && !more.length) return;
  made.push(...cards);
  element.append(
    make("h3", { text: title }), make("p", { class: "reading", text: reading }),
    make("div", { class: "figures" }, cards.map((card) => card.element)), ...more,
  );
}

function searched(element, search, board) {
  const { importance } = search;
  const numeric = search.parameters.filter(({ id }) => isNumeric(search.trials.map((trial) => trial.params[id])));
  const better = board.direction === "maximize" ? "higher" : "lower";
  block(element, "Trials", "Each line is one trial: from left to right its hyperparameters, on the right its outcome, the best on top. Dark lines are better, dotted grey ones have no outcome, the selected configurations have their own colours. Drag along an axis to select the trials that cross it there.",
    search.parameters.length ? [gansweep.parallel.card(search, board.direction)] : []);
  const reason = importance && importance.reason ? [make("p", { class: "note", text: importance.reason })] : [];
  block(element, "Importance", "How much of a trial's rank each hyperparameter decides: fANOVA of Optuna over the ranks. This shows that a parameter mattered within the searched ranges, not which value is best.",
    importance && importance.shares.length ? [importanceCard(importance)] : [], ...reason);
  block(element, "Slices and contours", "Each dot is a trial. Click one to select its configuration in all figures.",
    scored(search).length > 1 ? [...search.parameters.map((one) => sliceCard(search, one)), ...(numeric.length > 1 ? [contourCard(search, numeric)] : [])] : []);
  const none = search.budget.filter((one) => !one.families.length && Object.keys(one.missing).length)
    .map((one) => make("p", { class: "note", text: Object.entries(one.missing).map(([model, why]) => `${model} has no curve: ${why}.`).join(" ") }));
  block(element, "Best score expected of a budget", `The best score that a search is expected to find, over the budget that it spends: the mean over all ways to draw this many of the trials with replacement, and a band with nine of ten draws. This compares variants at equal tuning effort: at a given budget the ${better} curve wins; where bands overlap, luck may decide. A pruned trial counts with its last score and its cost until then. A trial that failed, diverged or broke a constraint has also used its budget: it counts with the worst final value of any trial of its sweep. Trials of a sampler that learns are treated as independent.`,
    budgetCards(search), ...none);
  block(element, "Pareto front", "Each dot is a configuration. A large dot is on the front: no other configuration is better in one objective without being worse in another. Which of these to take is a choice, not a measurement. The grey stairs connect the front of the two objectives in the figure. A diamond is the mean over fresh seeds with the 95 % intervals. There is no test here of whether two configurations differ, so luck may decide which is on the front.",
    frontCards(search));
  block(element, "Schedules that the population found", "Each lane is a member, coloured by the setting with which it trained; an arrow shows where a member took over the weights of another. Below, the setting over images seen: the thick line is the way of the best member's weights, with a ring at each takeover.",
    search.populations.flatMap((one) => gansweep.populationCards(one, search.populations.length > 1)));
  const timed = search.timeline.filter((one) => one.spans.length);
  block(element, "Timeline", "When each run trained, and on which worker. Gaps are time in which a worker had nothing to do, or imported, compiled or waited.",
    timed.map((one) => timelineCard(one, timed.length > 1)));
  block(element, "What the budget went to", "How the trials ended, over all their seeds, with their share of the images that the sweep has seen. The images of a failed trial are lost. The images that a pruned trial did not use are saved.",
    [], ...search.outcomes.map(outcomeTable));
}

gansweep.section({
  id: "search",
  title: "What the search found",
  keys: ["selected", "baseline"],
  shows: (board) => Boolean(board.sections.search && board.sections.search.trials && board.sections.search.trials.length),
  mount(element, board) {
    made = [];
    searched(element, board.sections.search, board);
  },
  update() {
    for (const card of made) card.refresh();
  },
});
gansweep.searching = { stairsOf, lanesOf, kernelMean };
