// Samples beside their nearest real images: a strip of samples, and the chosen one large.

const { make, state, sheets, format } = gansweep;
const ORDINALS = ["nearest real", "2nd nearest", "3rd nearest", "4th nearest", "5th nearest"];
gansweep.key("neighbour", gansweep.text, null);  // "BLOCK.PLACE" of the chosen sample
gansweep.key("neighbours", gansweep.text, null);  // the run whose neighbours are shown

async function measured(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return [image.naturalWidth, image.naturalHeight];
}

gansweep.neighbours = () => {
  const select = make("select", { onchange: () => state.set({ neighbours: select.value }) });
  const when = make("span", { class: "when" });
  const place = make("div", {});
  const element = make(
    "div", { class: "sheet-neighbours" },
    make("h3", { text: "Nearest real images" }),
    make("p", { class: "reading", text: "Samples farthest from every real image may be unlike the data; one that equals its neighbour may be a copy. Choose a sample to see it large." }),
    make("div", { class: "sheet-controls" }, make("label", {}, "Run ", select), when),
    place,
  );
  let drawn = null;

  function tile(layout, size, address, left, top, classes = "sheet-tile") {
    const [width, height] = size;
    const piece = make("span", { class: classes, style: { aspectRatio: `${layout.cell[0]} / ${layout.cell[1]}`, backgroundImage: `url("${address}")` } });
    return gansweep.cropped(piece, {
      left: left / width, top: top / height, width: layout.cell[0] / width, height: layout.cell[1] / height,
    });
  }

  const leftOf = (layout, index) => layout.left + index * (layout.cell[0] + layout.gap);

  function large(layout, size, address, block, index) {
    const left = leftOf(layout, index);
    const distance = block.distances[index];
    const shown = [["generated", block.top, "sheet-tile made"], ...block.real.map((top, k) => [ORDINALS[k] || `${k + 1}th nearest`, top, "sheet-tile"])];
    return make("div", { class: "sheet-large", role: "group", "aria-label": `The chosen sample, distance ${format.number(distance)} to its nearest real image` },
      shown.map(([words, top, classes], k) => make(
        "figure", {}, tile(layout, size, address, left, top, classes),
        make("figcaption", { text: k === 1 ? `${words}, distance ${format.number(distance)}` : words }),
      )));
  }

  function strip(layout, size, address, block, number, [chosenBlock, chosen], choose) {
    const buttons = block.distances.map((distance, index) => {
      const on = number === chosenBlock && index === chosen;
      return make("button", {
        type: "button", class: "sheet-neighbour", tabindex: index === (number === chosenBlock ? chosen : 0) ? "0" : "-1",
        "aria-pressed": String(on), "data-neighbour": `${number}.${index}`,
        "aria-label": `Sample ${index + 1}, distance ${format.number(distance)}`,
        onclick: () => choose(number, index),
      },
      tile(layout, size, address, leftOf(layout, index), block.top, "sheet-tile made"),
      make("small", { text: format.number(distance) }),
      block.real.map((top) => tile(layout, size, address, leftOf(layout, index), top)));
    });
    const row = make("div", { class: "sheet-strip", role: "group", "aria-label": block.title }, buttons);
    row.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = step && buttons[buttons.indexOf(document.activeElement) + step];
      if (!next) return;
      event.preventDefault();
      next.focus();
      next.click();
    });
    return make("div", {}, make("h4", { text: block.title }), row);
  }

  async function draw(sheet, address) {
    if (!sheet.layout || !sheet.layout.blocks) {
      const image = make("img", { class: "sheet-paper", alt: `Samples beside their nearest real images, ${format.number(sheet.kimg)} kimg`, src: address });
      place.replaceChildren(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Sheet of neighbours" }, image));
      return;
    }
    const layout = sheets.whole(sheet.layout);
    const size = await measured(address);
    if (drawn !== sheet) return;
    const focused = place.contains(document.activeElement) ? document.activeElement.dataset.neighbour : null;
    const asked = (state.get("neighbour") || "").split(".").map(Number);
    const known = layout.blocks[asked[0]] && asked[1] < layout.blocks[asked[0]].distances.length;
    const chosen = known ? asked : [layout.blocks.length - 1, 0];
    const choose = (number, index) => state.set({ neighbour: `${number}.${index}` });
    place.replaceChildren(
      large(layout, size, address, layout.blocks[chosen[0]], chosen[1]),
      ...layout.blocks.map((block, number) => strip(layout, size, address, block, number, chosen, choose)),
      ...layout.notes.map((text) => make("p", { class: "note", text })),
    );
    const again = focused && place.querySelector(`[data-neighbour="${focused}"]`);
    if (again) again.focus({ preventScroll: true });
  }

  return {
    element,
    async update(rows, kimg, within) {
      const runs = rows.flatMap((row) => sheets.runsOf(row, "neighbours").slice(0, 1));
      element.hidden = !runs.length;
      if (!runs.length) return;
      const run = runs.includes(state.get("neighbours")) ? state.get("neighbours") : runs[0];
      select.replaceChildren(...runs.map((id) => make("option", {
        value: id, selected: id === run, text: `${gansweep.name(gansweep.runs.get(id).row)}, seed ${gansweep.runs.get(id).seed}`,
      })));
      const sheet = sheets.nearest(sheets.list(run, "neighbours"), kimg);
      when.textContent = sheets.said(sheet, kimg, within);
      when.classList.toggle("elsewhere", !sheets.at(sheet, kimg, within));
      drawn = sheet;
      await draw(sheet, await sheets.url(sheet));
    },
  };
};
