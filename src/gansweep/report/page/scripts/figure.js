// The card of a figure: title, drawing, note, and its export as PNG, SVG and CSV. A card draws when
// it comes into view, and again when it is in view and what it shows has changed.

const { make } = gansweep;
const touch = window.matchMedia("(pointer: coarse)");
const NARROW = 480; // pixels; a card below this width has smaller margins
const HEAD = 28; // pixels for the title of a saved picture
const NAMED = 20; // lines named below a saved picture
const LINE = 18; // pixels of one of these
const BUSY = 50; // milliseconds of drawing between two pauses
const DELAY = 120; // milliseconds before a card is drawn again for a new size

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const isDark = () => gansweep.dark.matches && !document.documentElement.classList.contains("printed");

// the text, cut where it is wider than so many pixels
function fitted(pen, text, room) {
  const wide = pen.measureText(text).width;
  if (wide <= room) return text;
  let kept = text.slice(0, Math.max(1, Math.ceil((text.length * room) / wide)));
  while (kept.length > 3 && pen.measureText(`${kept}…`).width > room) kept = kept.slice(0, -1);
  return `${kept}…`;
}

// Plotly reads tags in text: names from records reach it with their brackets escaped.
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function transparent(hex, opacity) {
  const [red, green, blue] = [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));
  return `rgba(${red},${green},${blue},${opacity})`;
}

// Ticks at 1, 2 and 5 of each decade; only powers of ten if there are many decades.
function logTicks(low, high) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const steps = last - first <= 3 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let decade = first; decade <= last; decade += 1) {
    for (const step of steps) ticks.push(Number(`${step}e${decade}`));
  }
  return { tickvals: ticks, ticktext: ticks.map((tick) => gansweep.format.general(tick, 4)) };
}

function valueAxis(low, high, log, title = "") {
  const words = [title, log ? "log scale" : ""].filter(Boolean).join(", ");
  const axis = { title: { text: plain(words) }, type: log ? "log" : "linear" };
  return log && low > 0 && Number.isFinite(high) ? { ...axis, ...logTicks(low, high) } : axis;
}

function level(y, axis = "y") {
  const line = { color: "#8A8A8A", width: 1, dash: "dash" };
  return axis === "y"
    ? { type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line }
    : { type: "line", yref: "paper", y0: 0, y1: 1, x0: y, x1: y, line };
}

function themed(layout, narrow) {
  const axis = {
    gridcolor: colour("--grid"),
    linecolor: colour("--rule"),
    zerolinecolor: colour("--grid"),
    automargin: true,
    fixedrange: touch.matches,
    // "0.00024" and "15000", not "240µ" and "15k"
    exponentformat: "power",
    minexponent: 5,
  };
  const title = { font: { size: 12, color: colour("--quiet") }, standoff: 8 };
  const dressed = (given) => ({ ...axis, ...given, title: { ...title, ...(given || {}).title } });
  return {
    margin: { l: narrow ? 44 : 52, r: 14, t: 10, b: 42 },
    showlegend: false,
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
    dragmode: touch.matches ? false : layout.dragmode || "zoom",
    // a background keeps labels readable where lines cross them
    annotations: (layout.annotations || []).map((word) => ({ bgcolor: colour("--veil"), ...word })),
    xaxis: dressed(layout.xaxis),
    yaxis: dressed(layout.yaxis),
  };
}

function cell(value) {
  if (value === null || value === undefined || (typeof value === "number" && !Number.isFinite(value))) return "";
  let text = String(value);
  // keeps a spreadsheet from reading a name as a formula
  if (typeof value === "string" && /^[=+\-@]/.test(text)) text = `'${text}`;
  return /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

function csvOf({ columns, rows }) {
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

const cards = new Set();
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const card = [...cards].find((one) => one.element === entry.target);
    if (!card) continue;
    card.inView = entry.isIntersecting;
    if (card.inView && card.dirty) card.draw();
  }
}, { rootMargin: "100px 0px" });

let resizing = null;
const sizes = new ResizeObserver((entries) => {
  for (const entry of entries) {
    const card = [...cards].find((one) => one.plot === entry.target);
    const width = Math.round(entry.contentRect.width);
    if (card && card.drawn && width && width !== card.width) card.dirty = true;
  }
  clearTimeout(resizing);
  resizing = setTimeout(() => cards.forEach((card) => card.inView && card.dirty && card.draw()), DELAY);
});

// Cards that wait to be drawn again: one after the other, with a pause where the browser may paint.
const queue = new Set();

async function queued(card) {
  queue.add(card);
  if (queue.size > 1) return;
  let since = performance.now();
  for (const one of queue) {
    if (one.dirty && cards.has(one)) await one.draw();
    queue.delete(one);
    if (performance.now() - since > BUSY) {
      await new Promise((resolve) => { setTimeout(resolve); });
      since = performance.now();
    }
  }
}

// {title, wide, height, compute(card), still, fixed} -> a card.   still: it does not follow the
//   controls of curves.   fixed: nor the selection.
// compute: -> {data, layout, alt, note, table, after?} of a Plotly figure, or {paint, alt, note,
//   table, after?} of one that draws itself; null where there is nothing to show.
//   table: () -> {columns, rows} of the figure's data.   after: called when it has been drawn.
//   paint(pen, width, height, card): with a pen of a canvas or, without a card, of an export.
class Card {
  constructor(options) {
    Object.assign(this, { wide: false, height: 280, ...options });
    this.inView = false;
    this.dirty = true;
    this.drawn = false;
    this.plot = make("div", { class: "plot", role: "img", "aria-label": this.title, style: { height: `${this.height}px` } });
    this.noteText = make("p", { class: "note" });
    this.element = make(
      "figure", { class: this.wide ? "figure wide" : "figure" },
      make("figcaption", {}, make("span", { class: "title", text: this.title }), this.menu()),
      this.plot,
      this.noteText,
    );
    cards.add(this);
    seen.observe(this.element);
    sizes.observe(this.plot);
  }

  menu() {
    const button = (word, run) => make("button", {
      type: "button", text: word, "aria-label": `Save "${this.title}" as ${word}`, onclick: run,
    });
    return make(
      "span", { class: "saves" },
      button("PNG", () => this.save("png")), button("SVG", () => this.save("svg")), button("CSV", () => this.saveData()),
    );
  }

  // what it shows has changed
  refresh() {
    this.dirty = true;
    if (this.inView || this.element.hidden) queued(this);
  }

  remove() {
    cards.delete(this);
    seen.unobserve(this.element);
    sizes.unobserve(this.plot);
    if (this.drawn && globalThis.Plotly && this.plot.layout) globalThis.Plotly.purge(this.plot);
    this.element.remove();
  }

  // one drawing at a time; what changed meanwhile is drawn after it
  async draw() {
    if (this.drawing) return this.drawing;
    this.drawing = this.attempt();
    await this.drawing;
    this.drawing = null;
    if (this.dirty && (this.inView || this.element.hidden) && cards.has(this)) return this.draw();
    return null;
  }

  async attempt() {
    this.dirty = false;
    try {
      await this.paint();
    } catch (error) {
      gansweep.failed(this.title, error);
      this.plot.replaceChildren(gansweep.apology(this.title, error));
    }
  }

  async paint() {
    const found = await this.compute(this);
    if (!cards.has(this)) return;
    this.found = found;
    const appears = found && this.element.hidden;
    this.element.hidden = !found;
    if (!found) return;
    if (appears && !this.inView) {  // it is drawn when it comes into view
      this.dirty = true;
      return;
    }
    this.width = Math.round(this.plot.getBoundingClientRect().width);
    if (found.height) this.plot.style.height = `${found.height}px`;
    this.plot.setAttribute("aria-label", found.alt);
    this.noteText.textContent = found.note || "";
    if (found.paint) {
      this.onCanvas(found);
      if (found.after) found.after(this);
    } else {
      const Plotly = await gansweep.plotly();
      if (!cards.has(this)) return;
      const layout = themed({ ...found.layout, height: found.height || this.height }, this.width < NARROW);
      const data = found.data.map((trace) => ({ showlegend: false, ...trace }));
      await Plotly.react(this.plot, data, layout, {
        displayModeBar: false, responsive: false, doubleClick: "reset+autosize",
      });
      if (found.after) found.after(this, Plotly);
    }
    this.drawn = true;
    document.documentElement.dataset.figures = String([...cards].filter((card) => card.drawn).length);
  }

  onCanvas(found) {
    this.canvas = this.canvas || this.plot.appendChild(make("canvas", { "aria-hidden": "true" }));
    const [width, height] = [this.plot.clientWidth, this.plot.clientHeight];
    found.paint(penOf(this.canvas, width, height, window.devicePixelRatio || 1), width, height, this);
  }

  get fileName() {
    return `${this.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "")}` || "figure";
  }

  async save(format) {
    if (!this.found || this.dirty) await this.draw();
    if (this.found.paint) return gansweep.save(`${this.fileName}.${format}`, await this.picture(format));
    const Plotly = await gansweep.plotly();
    const { width, height } = this.plot.getBoundingClientRect();
    const dressed = themed({ ...this.found.layout, height: height + HEAD }, false);
    const layout = {
      ...dressed, paper_bgcolor: colour("--card"), title: { text: plain(this.title), font: { size: 13 }, x: 0.02, y: 0.98, yanchor: "top" },
      margin: { ...dressed.margin, t: (dressed.margin.t || 0) + HEAD },
    };
    const figure = { data: this.found.data.map((trace) => ({ showlegend: false, ...trace })), layout };
    const uri = await Plotly.toImage(figure, { format, width, height: height + HEAD, scale: format === "png" ? 2 : 1 });
    const blob = format === "svg"
      ? new Blob([decodeURIComponent(uri.slice(uri.indexOf(",") + 1))], { type: "image/svg+xml" })
      : blobOf(uri);
    return gansweep.save(`${this.fileName}.${format}`, blob);
  }

  // of a figure that draws itself, with its title and the names of its lines below
  picture(format) {
    const [width, height] = [this.plot.clientWidth, this.plot.clientHeight];
    const named = [...new Map((this.found.hover ? this.found.hover.lines : []).map((line) => [line.name, line])).values()].slice(0, NAMED);
    const whole = height + LINE * (named.length + 1) + 6;
    const paint = (pen) => {
      pen.fillStyle = colour("--card");
      pen.fillRect(0, 0, width, whole);
      this.found.paint(pen, width, height, null);
      caption(pen, this.title, named, height);
    };
    if (format === "svg") return gansweep.svgOf(width, whole, paint);
    const canvas = make("canvas");
    paint(penOf(canvas, width, whole, 2));
    return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
  }

  async saveData() {
    if (!this.found || this.dirty) await this.draw();
    gansweep.save(`${this.fileName}.csv`, new Blob([csvOf(this.found.table())], { type: "text/csv" }));
  }
}

function caption(pen, title, named, top) {
  pen.textAlign = "left";
  pen.fillStyle = colour("--ink");
  pen.font = "600 12px system-ui, sans-serif";
  pen.fillText(title, 10, top + LINE / 2);
  pen.font = "12px system-ui, sans-serif";
  named.forEach((line, i) => {
    const y = top + LINE * (i + 1.5);
    pen.fillStyle = line.colour;
    pen.fillRect(10, y - 1.5, 20, 3);
    pen.fillStyle = colour("--ink");
    pen.fillText(`${line.name}${line.n > 1 ? ` (N = ${line.n})` : ""}`, 36, y);
  });
}

function penOf(canvas, width, height, scale) {
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return pen;
}

function blobOf(uri) {
  const bytes = Uint8Array.from(atob(uri.slice(uri.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

gansweep.dark.addEventListener("change", () => cards.forEach((card) => card.refresh()));
// a board that is left takes its cards with it
gansweep.onBoard(() => [...cards].forEach((card) => card.element.isConnected || card.remove()));

// paper is light: what was drawn for the dark is drawn again
function onPaper(printed) {
  document.documentElement.classList.toggle("printed", printed);
  for (const card of cards) if (card.dirty || (card.drawn && gansweep.dark.matches)) card.draw();
}

window.addEventListener("beforeprint", () => onPaper(true));
window.addEventListener("afterprint", () => onPaper(false));

// one row on each line, the first on top
function rowAxis(ids) {
  return {
    range: [ids.length - 0.5, -0.5], tickvals: ids.map((_, place) => place),
    ticktext: ids.map((id) => {
      const name = gansweep.name(id);
      return plain(name.length > 28 ? `${name.slice(0, 27)}…` : name);
    }),
  };
}

const ROWS = 40; // of a figure with a line of text for each row
const CARDS = 20; // of a block with a figure for each row

function firstOf(count) {
  return count > ROWS ? `The first ${ROWS} of ${count} configurations; select fewer to see others.` : "";
}

gansweep.figures = {
  Card, rowAxis, firstOf, ROWS, CARDS, cards, colour, isDark, fitted, plain, transparent, logTicks, valueAxis, level, csvOf,
  get visible() { return [...cards].filter((card) => card.inView && card.drawn); },
};
