// The best score that a search is expected to find, over the budget that it spends.

const { figures, format, series } = gansweep;
const { plain, transparent } = figures;
const LOG_RATIO = 15;
const UNITS = [["h", 3600], ["min", 60], ["s", 1]];
const AS_IT_WENT = "The dotted line is the best score so far in the order of the trials. If the sampler learns from trials, only this line shows the gain; the curve does not.";

// the colour of a model: one for each, not of a row
const modelColour = (model) => {
  const models = [...new Set(gansweep.board.rows.map((row) => row.model))];
  return ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B6BB8"][models.indexOf(model) % 7];
};

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
    title, wide: !unit, height: unit ? 340 : 380, fixed: true,
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

gansweep.budgetCards = budgetCards;
