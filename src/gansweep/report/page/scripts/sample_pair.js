// Two runs at one moment: side by side, under a wipe, or in turn.

const { make, state, sheets, format } = gansweep;
const MODES = [["side", "Side by side"], ["wipe", "Wipe"], ["blink", "Blink"]];
const BLINK_MS = 700;  // slower than three flashes a second
gansweep.key("compare", gansweep.text, "side");
gansweep.key("wipe", gansweep.number, 50);

// the list of all runs with sheets, made again where a live page has others
function list(select, chosen) {
  const rows = gansweep.board.rows.filter((row) => sheets.runsOf(row).length);
  const names = gansweep.names(rows.map((row) => row.id));
  const all = JSON.stringify(rows.map((row) => [names.get(row.id), sheets.runsOf(row)]));
  if (select.dataset.all !== all) {
    select.dataset.all = all;
    select.replaceChildren(...rows.map((row) => make(
      "optgroup", { label: names.get(row.id) },
      sheets.runsOf(row).map((run) => make("option", {
        value: run, text: `${names.get(row.id)}, ${format.seed(gansweep.runs.get(run).seed)}`,
      })),
    )));
  }
  select.value = chosen;
}

function sameLayout(run, other) {
  const layout = (id) => sheets.list(id).at(-1).layout;
  const [a, b] = [layout(run), layout(other)];
  return a && b && a.kind === b.kind && a.columns === b.columns && a.rows === b.rows;
}

// the pair of the state; else the first of `shown` and the first run whose sheets have its layout
function pairOf(shown) {
  const has = (run) => gansweep.runs.has(run) && sheets.list(run).length;
  const asked = (state.get("pair") || []).filter(has);
  const others = [...shown, ...gansweep.board.rows.flatMap((row) => sheets.runsOf(row))];
  const [a = others[0]] = asked;
  const b = asked[1] || others.find((run) => run !== a && sameLayout(run, a))
    || others.find((run) => run !== a);
  return a && b ? [a, b] : null;
}

// zoom: shared with the other sheets
gansweep.samplePair = (zoom) => {
  const side = (place) => {
    const view = gansweep.sheetView();
    const name = make("span", {});
    const when = make("span", { class: "when" });
    const figure = make("figure", { class: `sheet ${place}` }, view.element, make("figcaption", {}, name, when));
    const select = make("select", { "aria-label": `Run ${place.toUpperCase()}`, onchange: choose });
    return { view, name, when, figure, select };
  };
  const sides = [side("a"), side("b")];
  const [a, b] = sides;
  const stage = make("div", {
    class: "sheet-stage", tabindex: "0", role: "group",
    "aria-label": "Two sheets. Plus and minus zoom, arrows move, 0 shows them whole.",
  }, a.figure, b.figure);
  const wipe = make("input", {
    type: "range", min: "0", max: "100", step: "1", "aria-label": "Place of the wipe",
    oninput: () => state.set({ wipe: Number(wipe.value) }),
  });
  const cell = make("input", { type: "number", min: "1", onchange: lookAt });
  const modes = MODES.map(([mode, text]) => make("button", {
    type: "button", text, "data-mode": mode, onclick: () => state.set({ compare: mode }),
  }));
  const swap = make("button", { type: "button", text: "⇄", title: "Swap", "aria-label": "Swap the two runs", onclick: () => state.set({ pair: [b.select.value, a.select.value] }) });
  const readout = make("p", { class: "note sheet-readout" });
  const body = make(
    "div", {},
    make(
      "div", { class: "sheet-controls" }, a.select, swap, b.select,
      make("span", { class: "sheet-buttons", role: "group", "aria-label": "How to compare" }, modes),
      make("label", { class: "wipe-place" }, "A ", wipe, " B"),
      make("label", {}, "Sample ", cell),
      gansweep.zoomButtons(zoom),
    ),
    stage, readout,
  );
  const element = make("div", { class: "sample-pair" }, make("h3", { text: "Two sheets" }), body);
  let timer = null;
  let alike = "";

  function choose() {
    state.set({ pair: [a.select.value, b.select.value] });
  }

  function mark(index) {
    for (const one of sides) one.view.mark(index);
    const layout = a.view.sheet && a.view.sheet.layout;
    const where = index === null || !layout ? "" : `${sheets.cellName(layout, index)}. `;
    readout.textContent = `${where.charAt(0).toUpperCase()}${where.slice(1)}${alike}`;
  }

  function lookAt() {
    const layout = a.view.sheet && a.view.sheet.layout;
    const index = Number(cell.value) - 1;
    if (!layout || !(index >= 0 && index < sheets.whole(layout).count)) return mark(null);
    zoom.onto(sheets.box(layout, index));
    return mark(index);
  }

  function blink(on) {
    clearInterval(timer);
    timer = null;
    stage.classList.remove("shows-b");
    if (!on) return;
    timer = setInterval(() => {
      if (!element.isConnected) return blink(false);
      return document.hidden || stage.classList.toggle("shows-b");
    }, BLINK_MS);
  }

  zoom.listen(stage);
  stage.addEventListener("pointermove", (event) => {
    const over = sides.find((one) => one.view.element.contains(event.target));
    if (event.buttons && state.get("compare") === "wipe" && zoom.scale === 1) {
      const area = a.view.element.getBoundingClientRect();
      const share = Math.round(100 * (event.clientX - area.left) / area.width);
      state.set({ wipe: Math.min(Math.max(share, 0), 100) });
    }
    mark(over ? over.view.cell(event, zoom) : null);
  });
  stage.addEventListener("pointerleave", () => mark(null));
  stage.addEventListener("dblclick", (event) => {
    const over = sides.find((one) => one.view.element.contains(event.target));
    const index = over ? over.view.cell(event, zoom) : null;
    if (index === null || zoom.scale > 1) return zoom.reset();
    return zoom.onto(sheets.box(over.view.sheet.layout, index));
  });

  function showMode() {
    const mode = MODES.some(([known]) => known === state.get("compare")) ? state.get("compare") : "side";
    stage.className = `sheet-stage ${mode}`;
    stage.style.setProperty("--wipe", `${state.get("wipe")}%`);
    wipe.value = state.get("wipe");
    wipe.parentElement.hidden = mode !== "wipe";
    for (const button of modes) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    if ((mode === "blink") !== Boolean(timer)) blink(mode === "blink");
  }

  return {
    element,
    // shown: the runs of the selected rows
    update(shown, kimg, choice, within) {
      const pair = pairOf(shown);
      element.hidden = !pair;
      if (!pair) return blink(false);
      const names = gansweep.names(gansweep.board.rows.map((row) => row.id));
      for (const [place, one] of sides.entries()) {
        const run = gansweep.runs.get(pair[place]);
        list(one.select, run.id);
        const sheet = sheets.nearest(sheets.list(run.id), kimg);
        const words = `${names.get(run.row)}, ${format.seed(run.seed)}`;
        one.name.textContent = `${"AB"[place]}: ${words}`;
        one.when.textContent = sheets.said(sheet, kimg, within);
        one.when.classList.toggle("elsewhere", !sheets.at(sheet, kimg, within));
        one.view.show(sheet, `${words}, ${format.number(sheet.kimg)} kimg`, choice);
      }
      const layout = a.view.sheet.layout;
      cell.max = layout ? sheets.whole(layout).count : 1;
      cell.disabled = !layout || a.view.element.classList.contains("in-cells");
      alike = sheets.likeness(a.view.sheet, b.view.sheet);
      mark(null);
      return showMode();
    },
  };
};

// the sheets of two runs at the moment of the slider, for a section without controls of its own: []
// where neither has any
gansweep.bothSheets = (pair) => {
  const runs = pair.filter((run) => sheets.list(run.id).length);
  if (!runs.length) return [];
  const within = sheets.tolerance(runs.map((run) => run.id));
  const last = Math.max(...runs.map((run) => sheets.list(run.id).at(-1).kimg));
  const kimg = state.get("moment") === null ? last : state.get("moment");
  const stage = make("div", { class: "sheet-stage side", tabindex: "0", role: "group", "aria-label": "Sheets of both runs. Plus and minus zoom, arrows move, 0 shows them whole." });
  const shown = runs.map((run) => sheets.nearest(sheets.list(run.id), kimg));
  for (const sheet of shown) {
    const run = gansweep.runs.get(sheet.run);
    const view = gansweep.sheetView();
    view.show(sheet, `Samples of ${run.name}, ${format.number(sheet.kimg)} kimg`);
    const when = make("span", { class: "when", text: sheets.said(sheet, kimg, within) });
    when.classList.toggle("elsewhere", !sheets.at(sheet, kimg, within));
    stage.append(make("figure", { class: "sheet" }, view.element, make("figcaption", {}, `${run.name}, ${format.seed(run.seed)}`, when)));
  }
  gansweep.zoomOf(stage).listen(stage);
  const alike = shown.length === 2 ? sheets.likeness(...shown) : `Only ${runs[0].name} saved sheets.`;
  return [make("h3", { text: "Sheets" }), stage, make("p", { class: "note", text: alike })];
};
