// A population: its members as lanes of a family tree, and each setting that it changed over time.

const { figures, format, series, controls } = gansweep;
const { plain } = figures;
const WIDE_RATIO = 5; // an axis that spans a larger ratio is logarithmic
const BEST = "#0072B2";
const RING = "#D55E00";
const GREY = "#8A8A8A";
const NAMES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B6BB8"];

const isNumber = (value) => typeof value === "number";

// a colour for each value of a setting: blue (low) to orange (high), or one for each name
function colouring(values) {
  const present = values.filter((value) => value !== null && value !== undefined);
  if (!present.every(isNumber)) {
    const names = [...new Set(present.map(format.setting))];
    return (value) => (value === null || value === undefined ? GREY : NAMES[names.indexOf(format.setting(value)) % NAMES.length]);
  }
  const [low, high] = [Math.min(...present), Math.max(...present)];
  const log = series.wantsLog(low, high, WIDE_RATIO);
  const stops = [[0, 114, 178], [170, 170, 170], [230, 159, 0]];
  return (value) => {
    if (!isNumber(value)) return GREY;
    const share = high === low ? 0.5 : log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    const [a, b, t] = share < 0.5 ? [stops[0], stops[1], 2 * share] : [stops[1], stops[2], 2 * share - 1];
    return `rgb(${a.map((one, i) => Math.round(one + (b[i] - one) * t)).join(",")})`;
  };
}

function treeCard(population, name) {
  let setting = population.parameters[0];
  const { members } = population;
  const lane = new Map(members.map((member, i) => [member.name, i]));
  const card = new figures.Card({
    title: name ? `${name}family tree` : "Family tree", wide: true, height: 110 + 28 * members.length, fixed: true,
    compute: () => {
      const all = members.flatMap((member) => member.phases);
      const colour = colouring(all.map((phase) => phase.params[setting.id]));
      const path = new Set(population.lineage.map((phase) => `${phase.member} ${phase.start}`));
      const data = all.map((phase) => ({
        type: "scatter", mode: "lines", x: [phase.start, phase.end], y: [lane.get(phase.member), lane.get(phase.member)],
        line: { width: onPath(phase, path) ? 11 : 6, color: colour(phase.params[setting.id]) },
        customdata: [0, 1].map(() => members[lane.get(phase.member)].row),
        text: [0, 1].map(() => plain(`${phase.member}: ${setting.label} ${format.setting(phase.params[setting.id])}`)),
        hovertemplate: "%{text} at %{x:.4g} kimg<extra></extra>",
      }));
      const annotations = all.filter((phase) => phase.source && lane.has(phase.source)).map((phase) => ({
        x: phase.start, y: lane.get(phase.member), ax: phase.start, ay: lane.get(phase.source), xref: "x", yref: "y", axref: "x", ayref: "y",
        showarrow: true, arrowhead: 2, arrowsize: 1, arrowwidth: 1.5, arrowcolor: figures.colour("--ink"), text: "", bgcolor: "rgba(0,0,0,0)",
      }));
      return {
        data,
        layout: {
          xaxis: { title: { text: "images seen (thousands)" }, rangemode: "tozero" },
          yaxis: {
            range: [members.length - 0.5, -0.5], tickvals: members.map((_, i) => i),
            ticktext: members.map((one) => plain(one.name === population.best ? `${one.name} (best)` : one.name)), showgrid: false,
          },
          annotations, hovermode: "closest",
        },
        note: population.note,
        alt: `${format.plural(members.length, "member")} of a population. ${population.note}`,
        table: () => ({
          columns: ["member", "from kimg", "to kimg", "took over", ...population.parameters.map((one) => one.label)],
          rows: all.map((phase) => [phase.member, phase.start, phase.end, phase.source, ...population.parameters.map((one) => phase.params[one.id])]),
        }),
      };
    },
  });
  if (population.parameters.length > 1) {
    const choice = controls.localChoice("colour by", population.parameters.map((one) => [one, one.label]), setting, (value) => {
      setting = value;
      card.refresh();
    });
    card.element.querySelector("figcaption").after(gansweep.make("div", { class: "controls" }, choice));
  }
  return card;
}

function onPath(phase, path) {
  return path.has(`${phase.member} ${phase.start}`);
}

// a step line: each value from its start to its end
function steps(phases, key, best) {
  const shown = (value) => (isNumber(value) ? value : plain(format.setting(value)));
  return {
    type: "scatter", mode: "lines", x: phases.flatMap((one) => [one.start, one.end]), y: phases.flatMap((one) => [shown(one.params[key]), shown(one.params[key])]),
    text: phases.flatMap((one) => [0, 1].map(() => plain(`${one.member}: ${format.setting(one.params[key])}`))),
    hovertemplate: "%{text} at %{x:.4g} kimg<extra></extra>", opacity: best ? 1 : 0.45, line: best ? { width: 3, color: BEST } : { width: 1, color: GREY },
  };
}

function rings(path, key) {
  const passed = path.slice(1).map((after, i) => [after, path[i]]).filter(([after, before]) => after.member !== before.member);
  const shown = (value) => (isNumber(value) ? value : plain(format.setting(value)));
  return {
    type: "scatter", mode: "markers", x: passed.map(([after]) => after.start), y: passed.map(([after]) => shown(after.params[key])),
    text: passed.map(([after, before]) => plain(`${after.member} took over ${before.member}`)), hovertemplate: "%{text} at %{x:.4g} kimg<extra></extra>",
    marker: { symbol: "circle-open", size: 11, color: RING, line: { width: 2.5 } },
  };
}

function scheduleCard(population, { id, label }, name) {
  return new figures.Card({
    title: `${name}${label} over training`, fixed: true,
    compute: () => {
      const values = population.members.flatMap((member) => member.phases.map((phase) => phase.params[id]));
      const present = values.filter((value) => value !== null && value !== undefined);
      const numeric = present.every(isNumber);
      const [low, high] = numeric ? [Math.min(...present), Math.max(...present)] : [0, 0];
      const yaxis = numeric ? figures.valueAxis(low, high, series.wantsLog(low, high, WIDE_RATIO)) : { type: "category" };
      const ways = population.lineage.map((phase) => `${format.setting(phase.params[id])} from ${format.number(phase.start)} kimg`);
      return {
        data: [...population.members.map((member) => steps(member.phases, id, false)), steps(population.lineage, id, true), rings(population.lineage, id)],
        layout: { xaxis: { title: { text: "images seen (thousands)" }, rangemode: "tozero" }, yaxis, hovermode: "closest" },
        alt: `${label} of the best member, ${population.best}, over images seen: ${ways.join(", ")}.`,
        table: () => ({ columns: ["member", "from kimg", "to kimg", label], rows: population.lineage.map((phase) => [phase.member, phase.start, phase.end, phase.params[id]]) }),
      };
    },
  });
}

gansweep.populationCards = (population, several) => {
  const name = several ? `${population.sweep}: ` : "";
  if (!population.parameters.length) return [];
  return [treeCard(population, name), ...population.parameters.map((one) => scheduleCard(population, one, name))];
};
