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
  const box = card.plot.getBoundingClientRect();
  const layout = card.plot._fullLayout;
  if (!layout || !card.found || !card.found.hover) return;
  const [px, py] = [event.clientX - box.left - layout.xaxis._offset, event.clientY - box.top - layout.yaxis._offset];
  if (px < 0 || px > layout.xaxis._length) return clear();
  const at = layout.xaxis.p2d(px);
  const height = layout.yaxis.p2d(py);
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => show(card.found.hover.axis, at, card, height));
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
  const layout = card.plot._fullLayout;
  if (!layout || !layout.xaxis) return;
  const px = layout.xaxis.l2p(layout.xaxis.d2l(at));
  if (!(px >= 0 && px <= layout.xaxis._length)) {
    card.overlay.hidden = true;
    return;
  }
  let values = valuesAt(card.found.hover.lines, at);
  if (values.length > LISTED && height !== null) {
    values.sort((a, b) => Math.abs(a.value - height) - Math.abs(b.value - height));
  }
  const left = values.length - LISTED;
  values = values.slice(0, LISTED).sort((a, b) => b.value - a.value);
  const [line, box] = card.overlay.children;
  Object.assign(line.style, {
    left: `${layout.xaxis._offset + px}px`, top: `${layout.yaxis._offset}px`, height: `${layout.yaxis._length}px`,
  });
  const words = values.map(({ line: one, i, value }) => {
    const spread = one.low ? ` (${format.number(one.low[i])} to ${format.number(one.high[i])}, N = ${one.n})` : "";
    const dot = make("i", { style: { background: one.colour } });
    return make("p", {}, dot, make("b", { text: format.number(value) }), height === null ? "" : `${spread} ${one.name}`);
  });
  if (height !== null && left > 0) words.push(make("p", { text: `${left} more` }));
  box.replaceChildren(make("p", { class: "at", text: `${format.number(at)} ${card.found.hover.axis}` }), ...words);
  const right = px < layout.xaxis._length / 2;
  box.style.left = right ? `${layout.xaxis._offset + px + 10}px` : "";
  box.style.right = right ? "" : `${card.plot.clientWidth - layout.xaxis._offset - px + 10}px`;
  box.style.top = `${layout.yaxis._offset + 4}px`;
  card.overlay.hidden = false;
}

gansweep.hover = { attach, valuesAt, clear };
