// Hover in all figures of curves at once: a line at the same moment in each, with the values there.

const { make, series, figures, format } = gansweep;
const LISTED = 12; // values in a box
let frame = null;

function attach(card) {
  if (!card.overlay) {
    const line = make("div", { class: "moment" });
    const box = make("div", { class: "readout" });
    card.overlay = make("div", { class: "overlay", "aria-hidden": "true", hidden: true }, line, box);
    card.plot.append(card.overlay);
    card.plot.addEventListener("pointermove", (event) => move(card, event));
    card.plot.addEventListener("pointerleave", clear);
  } else if (card.overlay.parentNode !== card.plot) {
    card.plot.append(card.overlay);
  }
}

function move(card, event) {
  if (!card.scales || !card.found || !card.found.hover) return;
  const { x, y, box } = card.scales;
  const place = card.plot.getBoundingClientRect();
  const [px, py] = [event.clientX - place.left, event.clientY - place.top];
  cancelAnimationFrame(frame);
  if (px < box.left || px > box.right) return clear();
  frame = requestAnimationFrame(() => show(card.found.hover.axis, x.from(px), card, y.from(py)));
}

function clear() {
  cancelAnimationFrame(frame);
  for (const card of figures.cards) if (card.overlay) card.overlay.hidden = true;
}

function show(axis, at, source, height) {
  for (const card of figures.visible) {
    if (card.overlay && card.found && card.found.hover && card.found.hover.axis === axis) {
      point(card, at, card === source ? height : null);
    }
  }
}

// the values of the lines that were measured around this moment
function valuesAt(lines, at) {
  const found = [];
  for (const line of lines) {
    const i = series.nearest(line.x, at);
    const reach = line.x.length > 1 ? (line.x[line.x.length - 1] - line.x[0]) / line.x.length : 0;
    if (i >= 0 && at >= line.x[0] - reach && at <= line.x[line.x.length - 1] + reach) found.push({ line, i, value: line.y[i] });
  }
  return found;
}

function point(card, at, height) {
  const { x, box } = card.scales;
  const px = x.to(at);
  card.overlay.hidden = !(px >= box.left && px <= box.right);
  if (card.overlay.hidden) return;
  let values = valuesAt(card.found.hover.lines, at);
  if (values.length > LISTED && height !== null) {
    values.sort((a, b) => Math.abs(a.value - height) - Math.abs(b.value - height));
  }
  const left = values.length - LISTED;
  values = values.slice(0, LISTED).sort((a, b) => b.value - a.value);
  const [line, words] = card.overlay.children;
  Object.assign(line.style, {
    left: `${px}px`, top: `${box.top}px`, height: `${box.bottom - box.top}px`,
  });
  const told = values.map(({ line: one, i, value }) => {
    const spread = one.low ? ` (${format.number(one.low[i])} to ${format.number(one.high[i])}, N = ${one.n})` : "";
    const dot = make("i", { style: { background: one.colour } });
    return make("p", {}, dot, make("b", { text: format.number(value) }), height === null ? "" : `${spread} ${one.name}`);
  });
  if (height !== null && left > 0) told.push(make("p", { text: `${left} more` }));
  words.replaceChildren(make("p", { class: "at", text: `${format.number(at)} ${card.found.hover.axis}` }), ...told);
  const right = px < (box.left + box.right) / 2;
  words.style.left = right ? `${px + 10}px` : "";
  words.style.right = right ? "" : `${card.plot.clientWidth - px + 10}px`;
  words.style.top = `${box.top + 4}px`;
}

gansweep.hover = { attach, valuesAt, clear };
