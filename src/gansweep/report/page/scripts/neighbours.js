// Samples beside their nearest real images: strips of samples, and the chosen one large.

const { make, state, sheets, format } = gansweep;
const ORDINALS = ["nearest real", "2nd nearest", "3rd nearest", "4th nearest", "5th nearest"];
const OF_SHEET = "s";  // the strip of the sample sheet's own images
gansweep.key("neighbour", gansweep.text, null);  // "STRIP.SAMPLE": the chosen sample
gansweep.key("neighbours", gansweep.text, null);  // the run whose neighbours are shown

// the cell of the sample sheet that is chosen in a run; null for none
sheets.chosenCell = (run) => {
  const [strip, sample] = (state.get("neighbour") || "").split(".");
  return strip === OF_SHEET && state.get("neighbours") === run ? Number(sample) : null;
};

// of an example with a source and a true image, what was made is chosen
sheets.choose = (sheet, place) => {
  const { roles } = sheets.whole(sheet.layout);
  const cell = roles.includes("made") ? place - (place % roles.length) + roles.indexOf("made") : place;
  state.set({ neighbours: sheet.run, neighbour: `${OF_SHEET}.${cell}` });
  const row = gansweep.runs.get(sheet.run).row;
  gansweep.announce(`Chosen: ${sheets.cellName(sheet.layout, cell)} of ${gansweep.name(row)}. Its nearest real images are shown below.`);
};

async function measured(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return [image.naturalWidth, image.naturalHeight];
}

function tile(address, cell, area, classes = "sheet-tile") {
  const ratio = `${cell[0]} / ${cell[1]}`;
  const piece = make("span", { class: classes, style: { aspectRatio: ratio, backgroundImage: `url("${address}")` } });
  return gansweep.cropped(piece, area);
}

// [{id, title, brief, samples: [{id, name, distances, made(), real: [functions]}]}]: functions make an image
// distances: to the nearest real image, the second nearest, ...; older sheets hold the first alone
async function stripsOf(sheet, address) {
  const layout = sheets.whole(sheet.layout);
  const [width, height] = await measured(address);
  const at = (left, top, classes) => () => tile(address, layout.cell, {
    left: left / width, top: top / height, width: layout.cell[0] / width, height: layout.cell[1] / height,
  }, classes);
  const across = layout.cell[0] + layout.gap;
  const strips = layout.blocks.map((block, number) => ({
    id: String(number),
    title: block.title,
    samples: block.distances.map((distance, place) => ({
      id: `${number}.${place}`,
      name: `Sample ${place + 1}`,
      distances: [distance, ...block.further.map((row) => row[place])],
      made: at(layout.left + place * across, block.top, "sheet-tile made"),
      real: block.real.map((top) => at(layout.left + place * across, top)),
    })),
  }));
  const own = sheets.list(sheet.run).find((one) => sheets.at(one, sheet.kimg, 5e-4));
  if (!layout.twins || !own || !own.layout) return strips;
  const { columns, cells, further } = layout.twins;
  const ranks = [layout.twins, ...further];
  const source = await sheets.url(own);
  const down = layout.cell[1] + layout.gap;
  strips.push({
    id: OF_SHEET,
    title: "The images of the sample sheet",
    brief: true,  // the chosen one shows the others large
    samples: cells.map((cell, place) => ({
      id: `${OF_SHEET}.${cell}`,
      name: sheets.cellName(own.layout, cell),
      distances: ranks.map((rank) => rank.distances[place]),
      made: () => tile(source, own.layout.cell, sheets.box(own.layout, cell), "sheet-tile made"),
      real: ranks.map(({ top }) => at(layout.left + (place % columns) * across, top + Math.floor(place / columns) * down)),
    })),
  });
  return strips;
}

function large(sample) {
  const apart = (k) => k in sample.distances ? `, distance ${format.number(sample.distances[k])}` : "";
  const pieces = [["generated", sample.made], ...sample.real.map((image, k) => [ORDINALS[k], image])];
  return make("div", { class: "sheet-large", role: "group", "aria-label": `The chosen sample: ${sample.name}` },
    pieces.map(([words, image], k) => make(
      "figure", {}, image(),
      make("figcaption", { text: k ? `${words}${apart(k - 1)}` : `${words}: ${sample.name}` }),
    )));
}

function stripElement(strip, chosen, choose) {
  const first = strip.samples.some((sample) => sample.id === chosen) ? chosen : strip.samples[0].id;
  const buttons = strip.samples.map((sample) => make("button", {
    type: "button", class: "sheet-neighbour", tabindex: sample.id === first ? "0" : "-1",
    "aria-pressed": String(sample.id === chosen), "data-neighbour": sample.id,
    "aria-label": `${sample.name}, distance ${format.number(sample.distances[0])}`,
    onclick: () => choose(sample.id),
  }, sample.made(), make("small", { text: format.number(sample.distances[0]) }),
  sample.real.slice(0, strip.brief ? 1 : undefined).map((image) => image())));
  const row = make("div", { class: "sheet-strip", role: "group", "aria-label": strip.title }, buttons);
  row.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = step && buttons[buttons.indexOf(document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.click();
  });
  return make("div", { class: "sheet-strips" }, make("h4", { text: strip.title }), row);
}

gansweep.neighbours = () => {
  const select = make("select", { "aria-label": "Run", onchange: () => state.set({ neighbours: select.value, neighbour: null }) });
  const when = make("span", { class: "when" });
  const place = make("div", {});
  const element = make(
    "div", { class: "sheet-neighbours" },
    make("h3", { text: "Nearest real images" }),
    make("p", { class: "reading", text: "Samples far from every real image may be unlike the data; one that equals its neighbour may be a copy. Choose a sample here, or on a sheet above, to see it large." }),
    make("div", { class: "sheet-controls" }, make("label", {}, "Run ", select), when),
    place,
  );
  let drawn = null;
  let drawnFor = "";

  async function draw(sheet, address) {
    if (!sheet.layout || !sheet.layout.blocks) {
      const image = make("img", { class: "sheet-paper", alt: `Samples beside their nearest real images, ${format.number(sheet.kimg)} kimg`, src: address });
      place.replaceChildren(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Sheet of neighbours" }, image));
      return;
    }
    const strips = (await stripsOf(sheet, address)).filter((strip) => strip.samples.length);
    if (drawn !== sheet) return;  // another was asked for meanwhile
    const focused = place.contains(document.activeElement) ? document.activeElement.dataset.neighbour : null;
    const samples = strips.flatMap((strip) => strip.samples);
    const nearestReal = strips.filter((strip) => strip.id !== OF_SHEET).at(-1).samples[0];
    const chosen = samples.find((sample) => sample.id === state.get("neighbour")) || nearestReal;
    place.replaceChildren(
      large(chosen),
      ...strips.map((strip) => stripElement(strip, chosen.id, (id) => state.set({ neighbours: sheet.run, neighbour: id }))),
      ...sheets.whole(sheet.layout).notes.map((text) => make("p", { class: "note", text })),
    );
    const again = focused && place.querySelector(`[data-neighbour="${focused}"]`);
    if (again) again.focus({ preventScroll: true });
  }

  return {
    element,
    // rows: the selected ones.   runs: those whose sheets are shown, which come first
    async update(rows, shown, kimg, within) {
      const of = (row) => sheets.runsOf(row, "neighbours");
      const runs = rows.flatMap((row) => of(row).filter((run) => shown.includes(run)).concat(of(row)).slice(0, 1));
      const asked = state.get("neighbours");
      element.hidden = !runs.length;
      if (!runs.length) return;
      const run = rows.some((row) => of(row).includes(asked)) ? asked : runs[0];
      const listed = runs.includes(run) ? runs : [...runs, run];
      select.replaceChildren(...listed.map((id) => make("option", {
        value: id, selected: id === run, text: `${gansweep.name(gansweep.runs.get(id).row)}, ${format.seed(gansweep.runs.get(id).seed)}`,
      })));
      const sheet = sheets.nearest(sheets.list(run, "neighbours"), kimg);
      when.textContent = sheets.said(sheet, kimg, within);
      when.classList.toggle("elsewhere", !sheets.at(sheet, kimg, within));
      const wanted = JSON.stringify([run, sheet.kimg, state.get("neighbour")]);
      if (wanted === drawnFor) return;
      drawnFor = wanted;
      drawn = sheet;
      try {
        await draw(sheet, await sheets.url(sheet));
      } catch {
        if (drawn === sheet) place.replaceChildren(make("p", { class: "note", text: "This sheet of neighbours is missing or damaged." }));
      }
    },
  };
};
