// Trials over two objectives, with their Pareto front.

const { figures, format, series } = gansweep;
const { isSelected, pickable } = gansweep.picking;
const { plain } = figures;
const GREY = "#8A8A8A";
const LOG_RATIO = 15;

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

gansweep.frontCards = frontCards;
gansweep.stairsOf = stairsOf;
