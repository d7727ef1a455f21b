// The game between the players, from the history: balance, critic, gradients, overfitting, speed.

const { make, figures, lines, format } = gansweep;

const GAP = { column: "critic/gap", title: "Critic gap", unit: "real mean − generated mean" };
const MEASURE = {
  column: "critic/global_measure", title: "BEGAN's global measure",
  note: "Real energy + |γ real energy − generated energy|: it falls as BEGAN converges.",
};
const DUALITY = {
  column: "game/duality_gap", title: "Duality gap",
  mark: { value: 0, note: "The dashed line is 0: neither player can improve by changing alone." },
};
// r_t is in [-1, 1], and r_v in [0, 1] except for noise
const OVERFITTING = [
  {
    column: "overfit/r_t", title: "Overfitting of the discriminator: r_t", range: [-1, 2],
    mark: { value: 0.6, note: "Mean sign of D on training images. The dashed line, 0.6, is ADA's target for its augmentation." },
  },
  {
    column: "overfit/r_v", title: "Overfitting of the discriminator: r_v", range: [-1, 2],
    mark: {
      value: 0.5,
      note: "(D of training − D of held-out images) / (D of training − D of generated images). 0: held-out images look as real as training images. 1: they look generated. The dashed line, 0.5, is ADA's target.",
    },
  },
];
const SPREAD = {
  column: "spread/fakes", title: "Variety within a generated batch",
  note: "Standard deviation over the batch, mean over pixels. Near 0: the generator makes the same picture from all noise.",
};

function selectedRows() {
  return gansweep.selected().map((id) => gansweep.rows.get(id));
}

function has(row, column) {
  const { counted, others } = lines.runsOf(row);
  return [...counted, ...others].some((run) => gansweep.columns(run.id).includes(column));
}

// D(x) and D(G(z)) of one row whose discriminator gives probabilities
const OUTPUTS = [["balance/real_mean", "real: D(x)", "real", "solid"], ["balance/fake_mean", "generated: D(G(z))", "generated", "dot"]];

function balanceCard(row) {
  return new figures.Card({
    title: gansweep.name(row.id), height: 230,
    compute: async (card) => {
      const view = { ...lines.view(), show: "mean", logy: false };
      const found = await Promise.all(OUTPUTS.map(([column]) => lines.linesOf(column, [row], view)));
      const means = found.flatMap((one, place) => one.lines.filter((line) => !line.faint).slice(0, 1).map((line) => ({
        ...line, name: OUTPUTS[place][1], short: OUTPUTS[place][2], dash: OUTPUTS[place][3],
      })));
      if (means.length < 2) return null;
      const drawn = gansweep.curveFigure.prepared(means, view, card);
      const end = (line) => line.smooth[line.smooth.length - 1];
      const upper = end(drawn[0]) >= end(drawn[1]) ? 0 : 1;
      const x = gansweep.curveFigure.xAxisOf(drawn, view);
      return gansweep.curveFigure.figureOf({
        drawn, view, title: card.title, unit: "probability of being real", levels: [0.5], right: 72,
        axes: { x, y: { low: 0, high: 1, log: false } },
        labels: drawn.map((line, k) => ({ x: Math.min(x.high, line.x[line.x.length - 1]), y: end(line), text: line.short, shift: k === upper ? -6 : 6 })),
        note: "",
        table: () => ({
          columns: ["output", view.axis, "value", "low", "high", "runs"],
          rows: drawn.flatMap((line) => Array.from(line.x, (x, i) => [line.name, x, line.y[i], line.low && line.low[i], line.high && line.high[i], line.n])),
        }),
      });
    },
  });
}

// bars of a number of the result, with a dot for each run
function barsCard(title, unit, key) {
  return new figures.Card({
    title, still: true,
    compute: () => {
      const all = selectedRows().map((row) => ({
        row, values: lines.runsOf(row).counted.map((run) => run[key]).filter((value) => value),
      })).filter((one) => one.values.length);
      const found = all.slice(0, figures.ROWS);
      if (!found.length) return null;
      const mean = ({ values }) => values.reduce((sum, value) => sum + value, 0) / values.length;
      const dots = found.flatMap(({ row, values }, y) => (values.length < 2 ? [] : values.map((x) => ({ x, y, colour: gansweep.colour(row.id) }))));
      const hovertemplate = `%{x:.4g} ${unit}<extra></extra>`;
      const data = [
        {
          type: "bar", orientation: "h", x: found.map(mean), y: found.map((_, y) => y), hovertemplate,
          marker: { color: found.map(({ row }) => figures.transparent(gansweep.colour(row.id), 0.75)) },
        },
        {
          type: "scatter", mode: "markers", x: dots.map((dot) => dot.x), y: dots.map((dot) => dot.y), hovertemplate,
          marker: { color: dots.map((dot) => dot.colour), size: 6, line: { width: 1, color: "#fff" } },
        },
      ];
      return {
        data,
        height: 90 + 30 * found.length,
        layout: {
          xaxis: { title: { text: unit }, rangemode: "tozero" }, yaxis: figures.rowAxis(found.map((one) => one.row.id)),
          barmode: "overlay", bargap: 0.35, hovermode: "closest",
        },
        note: figures.firstOf(all.length),
        alt: `${title}: ${found.map((one) => `${gansweep.name(one.row.id)} ${format.number(mean(one))}`).join("; ")}.`,
        table: () => ({ columns: ["configuration", "mean", "runs"], rows: found.map((one) => [one.row.name, mean(one), one.values.length]) }),
      };
    },
  });
}

// ---- the section: blocks of a heading, a text and cards, each only where some row has the numbers

function blocks(board) {
  const names = board.curves.names;
  const some = (all) => all.filter((one) => names.includes(one.column));
  const gradients = names.filter((name) => name.startsWith("grad_norm/")).sort().map((column) => (
    { column, title: `${column.slice(10)}: gradient norm`, unit: "2-norm" }
  ));
  return [
    {
      title: "Discriminator balance",
      reading: "The mean probability of being real that the discriminator gives to real images and to generated images. Both near 0.5: it cannot separate them. Far apart: it wins, and the generator may stop learning. Only losses whose output is a probability are shown.",
      cards: () => selectedRows().filter((row) => has(row, "balance/real_mean")).slice(0, figures.CARDS).map(balanceCard),
      byRow: true,
      shown: names.includes("balance/real_mean"),
    },
    {
      title: "Critic",
      reading: "The mean critic score of real images minus that of generated images. A falling gap means that the two distributions come closer. Different losses have different scales.",
      cards: () => some([GAP, MEASURE]).map(gansweep.curveCard),
      shown: some([GAP, MEASURE]).length > 0,
    },
    {
      title: "Equilibrium, gradients, overfitting",
      reading: "How far the players are from an equilibrium, and their gradients. If a gradient vanishes while the samples are poor, learning has stopped. If it grows without limit, training is about to diverge.",
      cards: () => [...some([DUALITY]), ...gradients, ...some(OVERFITTING), ...some([SPREAD])].map(gansweep.curveCard),
      shown: some([DUALITY, ...gradients, ...OVERFITTING, SPREAD]).length > 0,
    },
    ...gansweep.qualityBlocks(board),
    {
      title: "Speed and memory",
      reading: "Mean over the runs of a configuration; a dot is one run. Compare only runs on the same hardware.",
      cards: () => [barsCard("Images per second", "images/s", "images_per_second"), barsCard("Peak memory", "MiB", "peak_memory_mib")],
      shown: board.runs.some((run) => run.images_per_second),
    },
  ].filter((block) => block.shown);
}

let drawn = [];

function fill(block) {
  for (const card of block.made) card.remove();
  block.made = block.cards();
  block.place.replaceChildren(...block.made.map((card) => card.element));
  const left = block.byRow ? gansweep.selected().length - figures.CARDS : 0;
  if (left > 0) block.place.append(make("p", { class: "note", text: `Drawn for the first ${figures.CARDS} configurations that have these numbers.` }));
}

gansweep.section({
  id: "game",
  title: "The game",
  keys: ["selected", "baseline", "axis", "span", "logx", "logy", "smooth", "show", "band", "rows"],
  shows: (board) => blocks(board).length > 0,
  mount(element, board) {
    for (const block of drawn) block.made.forEach((card) => card.remove());
    drawn = blocks(board).map((block) => {
      const place = make("div", { class: "figures" });
      element.append(make("h3", { text: block.title }), make("p", { class: "reading", text: block.reading }), place);
      return { ...block, place, made: [] };
    });
    drawn.forEach(fill);
  },
  update(keys) {
    const rows = keys.has("selected") || keys.has("baseline");
    for (const block of drawn) {
      if (block.byRow && rows) fill(block);
      else if (rows || block.made.some((card) => !card.still)) block.made.forEach((card) => card.refresh());
    }
  },
});
