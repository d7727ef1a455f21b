// Views of sheets with sharp pixels. All views of a section zoom and pan together.

const { make, sheets } = gansweep;
const CLOSEST = 32;
const STEP = 1.35;
const PAN = 0.15;  // of what is seen, for each press of an arrow

// ---- the zoom that all views inside one element share: its style says what they show

gansweep.zoomOf = (root) => {
  let [scale, left, top] = [1, 0, 0];  // left, top: of what is seen, in shares of the sheet
  const listeners = [];

  function apply() {
    const most = 1 - 1 / scale;
    left = Math.min(Math.max(left, 0), most);
    top = Math.min(Math.max(top, 0), most);
    root.style.setProperty("--zoom", String(scale));
    root.style.setProperty("--left", `${-left * scale * 100}%`);
    root.style.setProperty("--top", `${-top * scale * 100}%`);
    root.classList.toggle("zoomed", scale > 1);
    for (const listener of listeners) listener(scale);
  }

  // keep the point (x, y), in shares of the view, where it is
  function by(factor, x = 0.5, y = 0.5) {
    const next = Math.min(Math.max(scale * factor, 1), CLOSEST);
    left += x / scale - x / next;
    top += y / scale - y / next;
    scale = next;
    apply();
  }

  const zoom = {
    by,
    reset() { [scale, left, top] = [1, 0, 0]; apply(); },
    // x, y: shares of the view
    pan(x, y) { left += x / scale; top += y / scale; apply(); },
    onto({ left: x, top: y, width, height }) {
      scale = Math.min(Math.max(0.8 / Math.max(width, height), 1), CLOSEST);
      left = x + width / 2 - 0.5 / scale;
      top = y + height / 2 - 0.5 / scale;
      apply();
    },
    // from shares of the view to shares of the sheet
    place: (x, y) => [left + x / scale, top + y / scale],
    get scale() { return scale; },
    on(listener) { listeners.push(listener); },
    listen: (element) => listen(element, zoom),
  };
  apply();
  return zoom;
};

function inside(view, event) {
  const area = view.getBoundingClientRect();
  return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
}

// wheel, drag, pinch and keys on an element that holds views
function listen(element, zoom) {
  const fingers = new Map();
  zoom.dragged = false;  // whether the press that ends now has moved the sheets
  const viewOf = (event) => event.target.closest && event.target.closest(".sheet-view");

  element.addEventListener("wheel", (event) => {
    const view = viewOf(event);
    // a plain wheel scrolls the page, unless the reader is at work in here
    const meant = event.ctrlKey || event.metaKey || element.contains(document.activeElement);
    if (!view || !meant) return;
    event.preventDefault();
    zoom.by(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) * 0.01), ...inside(view, event));
  }, { passive: false });

  // two fingers zoom; without this the browser would scroll with them, and end their events
  element.addEventListener("touchstart", (event) => {
    if (event.touches.length === 2 && viewOf(event)) event.preventDefault();
  }, { passive: false });
  element.addEventListener("pointerdown", (event) => {
    const view = viewOf(event);
    zoom.dragged = false;
    if (view) fingers.set(event.pointerId, { view, x: event.clientX, y: event.clientY, from: [event.clientX, event.clientY] });
  });
  element.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const area = before.view.getBoundingClientRect();
    const now = { ...before, x: event.clientX, y: event.clientY };
    if (fingers.size === 2) {
      const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, one]) => one);
      const apart = (one) => Math.hypot(one.x - other.x, one.y - other.y);
      const middle = [(now.x + other.x) / 2, (now.y + other.y) / 2];
      const [x, y] = inside(before.view, { clientX: middle[0], clientY: middle[1] });
      if (apart(before) > 0) zoom.by(apart(now) / apart(before), x, y);
    }
    const share = fingers.size;
    if (Math.hypot(now.x - now.from[0], now.y - now.from[1]) > 4) zoom.dragged = true;
    if (zoom.scale > 1) {
      if (event.cancelable) event.preventDefault();
      zoom.pan((before.x - now.x) / area.width / share, (before.y - now.y) / area.height / share);
    }
    fingers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
    element.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }

  const keys = {
    "+": () => zoom.by(STEP),
    "=": () => zoom.by(STEP),
    "-": () => zoom.by(1 / STEP),
    0: () => zoom.reset(),
    ArrowLeft: () => zoom.pan(-PAN, 0),
    ArrowRight: () => zoom.pan(PAN, 0),
    ArrowUp: () => zoom.pan(0, -PAN),
    ArrowDown: () => zoom.pan(0, PAN),
  };
  element.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
    if (event.key.startsWith("Arrow") && zoom.scale === 1) return;
    event.preventDefault();
    act();
  });
}

// the buttons of the zoom
gansweep.zoomButtons = (zoom) => {
  const button = (text, words, act) => make("button", { type: "button", title: words, "aria-label": words, text, onclick: act });
  const reset = button("1:1", "Show whole sheets", () => zoom.reset());
  const show = (scale) => { reset.disabled = scale === 1; };
  zoom.on(show);
  show(zoom.scale);
  return make(
    "span", { class: "sheet-buttons", role: "group", "aria-label": "Zoom of all sheets" },
    button("−", "Zoom out", () => zoom.by(1 / STEP)), reset, button("+", "Zoom in", () => zoom.by(STEP)),
  );
};

// ---- one view

const percent = (share) => `${share * 100}%`;

// a cell as the background of an element; `area` in shares of a sheet of [width, height] pixels
function cropped(element, area) {
  const room = (share) => (share < 1 ? share : 1);
  Object.assign(element.style, {
    backgroundSize: `${percent(1 / area.width)} ${percent(1 / area.height)}`,
    backgroundPosition: `${percent(area.width < 1 ? area.left / (1 - room(area.width)) : 0)} ${percent(area.height < 1 ? area.top / (1 - room(area.height)) : 0)}`,
  });
  return element;
}
gansweep.cropped = cropped;

// {element, show(sheet, label, choice), mark(cell)}: shows one sheet at a time
gansweep.sheetView = () => {
  const layer = make("div", { class: "sheet-layer" });
  const element = make("div", { class: "sheet-view", role: "img", "aria-label": "No sheet" }, layer);
  let drawn = "";
  let current = null;
  let shown = null;  // the cells that are shown, where it is not the whole sheet

  function wholeSheet(layout) {
    const image = make("img", { alt: "", draggable: "false", decoding: "sync" });
    image.addEventListener("error", () => {
      element.classList.add("missing");
      element.dataset.fault = sheets.folder() === null || gansweep.payload.live
        ? "This picture is damaged."
        : "This picture is missing or damaged. Is its folder beside the page?";
    });
    image.addEventListener("load", () => {
      element.classList.remove("missing");
      if (!layout) element.style.aspectRatio = `${image.naturalWidth} / ${image.naturalHeight}`;
    });
    if (layout) element.style.aspectRatio = sheets.size(layout).join(" / ");
    layer.replaceChildren(image, make("span", { class: "cell-mark", hidden: true }));
    layer.style.gridTemplateColumns = "";
  }

  function cells(layout, indices) {
    const columns = Math.ceil(Math.sqrt(indices.length * layout.cell[1] / layout.cell[0])) || 1;
    const [width, height] = layout.cell;
    const rows = Math.ceil(indices.length / columns);
    element.style.aspectRatio = `${columns * (width + 1)} / ${rows * (height + 1)}`;
    layer.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
    layer.replaceChildren(...indices.map((index) => cropped(
      make("span", { class: "sheet-cell", style: { aspectRatio: `${width} / ${height}` } }), sheets.box(layout, index),
    )));
  }

  return {
    element,
    get sheet() { return current; },
    async show(sheet, label, choice = { class: null, role: null }) {
      current = sheet;
      element.setAttribute("aria-label", label);
      element.dataset.kimg = sheet ? sheet.kimg : "";
      const layout = sheet && sheet.layout;
      const indices = sheets.chosen(layout, choice);
      shown = indices;
      const wanted = sheet ? JSON.stringify([layout, indices]) : "";
      if (wanted !== drawn) {
        drawn = wanted;
        element.classList.toggle("points", Boolean(layout) && layout.kind === "points");
        element.classList.toggle("in-cells", Boolean(indices));
        if (!sheet) layer.replaceChildren();
        else if (indices) cells(layout, indices);
        else wholeSheet(layout);
      }
      if (!sheet) return;
      const address = sheets.ready(sheet) || await sheets.url(sheet);
      if (current !== sheet) return;  // another was asked for meanwhile
      if (indices) layer.style.setProperty("--sheet", `url("${address}")`);
      else if (layer.firstChild.getAttribute("src") !== address) layer.firstChild.src = address;
    },
    // frame a cell; null for none
    mark(index) {
      if (shown) {
        for (const [place, cell] of shown.entries()) layer.children[place].classList.toggle("marked", cell === index);
      }
      const frame = layer.querySelector(".cell-mark");
      if (!frame) return;
      frame.hidden = index === null || !current || !current.layout;
      if (frame.hidden) return;
      const { left, top, width, height } = sheets.box(current.layout, index);
      Object.assign(frame.style, { left: percent(left), top: percent(top), width: percent(width), height: percent(height) });
    },
    // the cell under the pointer
    cell(event, zoom) {
      if (!current || !current.layout || current.layout.kind === "points") return null;
      if (shown) return shown[[...layer.children].indexOf(event.target)] ?? null;
      return sheets.cellAt(current.layout, ...zoom.place(...inside(element, event)));
    },
  };
};
