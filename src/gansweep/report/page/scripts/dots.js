// A figure of dots, each of which stands for a row: pointing at one names it, a click selects it.
// Plotly takes 40 to 80 ms for 500 dots, this 2 ms, so that all figures follow the selection.

const { make, chart } = gansweep;
const NEAR = 10; // pixels

// about: {dots, x, y, xtitle, ytitle, alt, note, table}
//   dots: {x, y, colour, own, row, words: [line of text]}; own: of a selected row
function dotFigure(about) {
  const spec = { ...about, lines: [] };
  return {
    ...about,
    paint(pen, width, height, card) {
      const scales = chart.paint(pen, width, height, spec);
      if (!card) return;
      card.scales = scales;
      card.dots = about.dots;
      attach(card);
    },
  };
}

// the dot nearest to a place in pixels; null where none is near
function dotAt({ dots, scales }, px, py) {
  let best = null;
  let least = NEAR ** 2;
  for (const dot of dots) {
    const squared = (scales.x.to(dot.x) - px) ** 2 + (scales.y.to(dot.y) - py) ** 2;
    if (squared <= least) [best, least] = [dot, squared];
  }
  return best;
}

function attach(card) {
  if (card.overlay) return;
  const box = make("div", { class: "readout" });
  card.overlay = make("div", { class: "overlay", "aria-hidden": "true", hidden: true }, box);
  card.plot.append(card.overlay);
  const found = (event) => {
    const place = card.plot.getBoundingClientRect();
    return dotAt(card, event.clientX - place.left, event.clientY - place.top);
  };
  card.plot.addEventListener("pointermove", (event) => {
    const dot = found(event);
    card.overlay.hidden = !dot;
    card.plot.style.cursor = dot ? "pointer" : "";
    if (dot) tell(card, box, dot);
  });
  card.plot.addEventListener("pointerleave", () => { card.overlay.hidden = true; });
  card.plot.addEventListener("click", (event) => {
    const dot = found(event);
    if (dot) gansweep.picking.toggle(dot.row);
  });
}

function tell(card, box, dot) {
  box.replaceChildren(...dot.words.map((text) => make("p", { text })));
  const [px, py] = [card.scales.x.to(dot.x), card.scales.y.to(dot.y)];
  const right = px < card.plot.clientWidth / 2;
  box.style.left = right ? `${px + 10}px` : "";
  box.style.right = right ? "" : `${card.plot.clientWidth - px + 10}px`;
  box.style.top = `${py}px`;
}

gansweep.dotFigure = dotFigure;
