// When each run of a sweep trained, and on which worker.

const { figures, format } = gansweep;
const { isSelected, pickable } = gansweep.picking;
const { plain } = figures;
const GREY = "#8A8A8A";
const PATTERNS = ["", "/", "x", "."]; // of statuses in one colour
const UNITS = [["h", 3600], ["min", 60], ["s", 1]];
const STATUS_COLOURS = {
  finished: "#009E73", equilibrium: "#009E73", plateau: "#009E73", pruned: "#E69F00", diverged: "#D55E00", collapsed: "#D55E00",
  "never learned": "#D55E00", failed: "#A33A10", running: "#56B4E9",
};

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
      const data = statuses.map((status, place) => {
        const colour = STATUS_COLOURS[status] || GREY;
        const before = statuses.slice(0, place).filter((one) => (STATUS_COLOURS[one] || GREY) === colour);
        const own = spans.map((span, i) => ({ ...span, lane: lane[i] })).filter((span) => statusOf(span) === status);
        return {
          type: "bar", orientation: "h", name: status, showlegend: true, base: own.map((span) => span.start / size), x: own.map((span) => (span.end - span.start) / size),
          y: own.map((span) => span.lane), customdata: own.map((span) => gansweep.runs.get(span.run).row), hovertemplate: "%{text}<extra></extra>",
          text: own.map((span) => plain(`${span.name}: ${status}, ${format.duration(span.end - span.start)}`)), textposition: "none",
          marker: {
            color: colour, pattern: { shape: PATTERNS[before.length % PATTERNS.length], fillmode: "overlay", fgcolor: figures.colour("--card") },
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

gansweep.timelineCard = timelineCard;
gansweep.lanesOf = lanesOf;
