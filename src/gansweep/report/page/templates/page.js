"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const touch = window.matchMedia("(pointer: coarse)").matches;
const plots = [...document.querySelectorAll(".plot")];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// The figures have no colours of text and grid: the page sets them for the reader's scheme.
function themed(layout) {
  const axis = {
    gridcolor: colour("--grid"),
    linecolor: colour("--rule"),
    zerolinecolor: colour("--grid"),
    automargin: true,
    fixedrange: touch,
    // "0.00024" and "15000", not "240µ" and "15k"
    exponentformat: "power",
    minexponent: 5,
  };
  const title = { font: { size: 12, color: colour("--quiet") }, standoff: 8 };
  const dressed = (given) => ({ ...axis, ...given, title: { ...title, ...(given || {}).title } });
  return {
    margin: { l: 52, r: 14, t: 10, b: 42 },
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--ink") },
    hoverlabel: {
      bgcolor: colour("--card"),
      bordercolor: colour("--rule"),
      font: { color: colour("--ink"), size: 12 },
      align: "left",
    },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--rule"), activecolor: colour("--quiet") },
    dragmode: touch ? false : "zoom",
    // a background keeps labels readable where lines cross them
    annotations: (layout.annotations || []).map((word) => ({ bgcolor: colour("--veil"), ...word })),
    xaxis: dressed(layout.xaxis),
    yaxis: dressed(layout.yaxis),
  };
}

const config = {
  responsive: true,
  displaylogo: false,
  displayModeBar: window.matchMedia("(hover: hover)").matches ? "hover" : false,
  modeBarButtons: [["toImage", "resetScale2d"]],
};

const figures = new Map();

function draw(plot) {
  const figure = figures.get(plot);
  return Plotly.react(plot, figure.data, themed(figure.layout), config);
}

for (const plot of plots) {
  const block = plot.closest("figure").querySelector("script");
  figures.set(plot, JSON.parse(block.textContent));
  draw(plot);
}
dark.addEventListener("change", () => plots.forEach(draw));
document.documentElement.dataset.plots = plots.length;

for (const button of document.querySelectorAll("[data-toggles]")) {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    const variant = button.dataset.toggles;
    for (const card of document.querySelectorAll(`[data-variant="${variant}"]`)) {
      card.hidden = !shown;
    }
    for (const plot of plots) {
      const traces = figures.get(plot).data.filter((trace) => String(trace.meta) === variant);
      if (traces.length) {
        traces.forEach((trace) => { trace.visible = shown; });
        draw(plot);
      }
    }
  });
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // A page opened from a file may have no clipboard: select the text, then copy it the old way.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const done = await copied(button.parentElement.querySelector("code").textContent);
    button.textContent = done ? "Copied" : "Select and copy by hand";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
