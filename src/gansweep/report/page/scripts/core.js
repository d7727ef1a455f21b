// The core: the payload, one state that lives in the address, and sections that are drawn when they
// come into view. Text from records is set as text.

const gansweep = (() => {
  const payload = JSON.parse(document.getElementById("payload").textContent);
  const ORDER = [
    "summary", "leaderboard", "samples", "curves", "search", "game", "pair", "diagnosis", "protocols",
  ];
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  // ---- elements

  // make("button", {type: "button", text: "Copy", onclick: copy}, child, ...)
  // attributes: "text" is the text; "on..." a listener; false and null leave the attribute out
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "text") element.textContent = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "style") Object.assign(element.style, value);
      else if (name in element && typeof value === "boolean") element[name] = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }

  // ---- parts and errors: an error in one part or section leaves the others working

  const faults = [];

  function failed(where, error) {
    faults.push({ where, error });
    console.error(`gansweep: ${where}:`, error);
  }

  function part(name, run) {
    try {
      run();
    } catch (error) {
      failed(name, error);
    }
  }

  function apology(title, error) {
    return make("p", {
      class: "notice",
      role: "alert",
      text: `${title} cannot be drawn: ${error && error.message ? error.message : error}. `
        + "The other sections are not affected.",
    });
  }

  // ---- state: text in the address, values for the parts

  const list = {
    read: (text) => text.split(",").filter(Boolean).map(decodeURIComponent),
    write: (value) => value.map(encodeURIComponent).join(","),
  };
  const text = { read: (value) => value, write: (value) => value };
  const number = { read: Number, write: String };
  const flag = { read: (value) => value === "1", write: (value) => (value ? "1" : "0") };
  // the kind of each key and its default; null: chosen by the part that reads it
  const KEYS = {
    board: [text, null], selected: [list, null], baseline: [text, null], pair: [list, null],
    search: [text, ""], filter: [text, ""], sort: [list, null], columns: [list, null],
    group: [text, "rows"], axis: [text, "kimg"], logx: [flag, false], logy: [flag, null],
    smooth: [number, 0], show: [text, "mean"], scores: [list, null], moment: [number, null],
    class: [number, null], open: [list, []],
  };
  // keys that name rows, runs or columns of one board
  const OF_BOARD = ["selected", "baseline", "pair", "sort", "columns", "filter", "scores", "moment", "class"];
  let values = {};
  const listeners = [];
  let changed = new Set();
  let waiting = false;

  function key(name, codec = text, fallback = null) {
    KEYS[name] = [codec, fallback];
    values = { ...fromAddress(), ...values };
  }

  function fromAddress() {
    const found = {};
    for (const [name, value] of new URLSearchParams(location.hash.replace(/^#/, ""))) {
      if (!(name in KEYS)) continue;
      try {
        const read = KEYS[name][0].read(value);
        if (!(typeof read === "number" && Number.isNaN(read))) found[name] = read;
      } catch {
        continue;  // an address that was cut or changed by hand
      }
    }
    return found;
  }

  function address() {
    const words = new URLSearchParams();
    for (const [name, value] of Object.entries(values)) words.set(name, KEYS[name][0].write(value));
    return words.toString().replace(/%2C/g, ",").replace(/%2F/g, "/");
  }

  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  const state = {
    get(name) {
      return name in values ? values[name] : KEYS[name][1];
    },
    // null takes a key back to its default
    set(changes) {
      if ("board" in changes && changes.board !== state.get("board")) {
        for (const name of OF_BOARD) if (!(name in changes)) changes = { ...changes, [name]: null };
      }
      for (const [name, value] of Object.entries(changes)) {
        if (!(name in KEYS)) throw new Error(`unknown key of the state: ${name}`);
        if (same(state.get(name), value)) continue;
        if (value === null || value === undefined || same(value, KEYS[name][1])) delete values[name];
        else values[name] = value;
        changed.add(name);
      }
      schedule();
    },
    on(names, listener) {
      listeners.push({ names, listener });
    },
    // what this view is, to be sent: the address of the page with it
    address: () => `${location.href.split("#")[0]}#${address()}`,
    flush,
  };

  function schedule() {
    if (!changed.size || waiting) return;
    waiting = true;
    requestAnimationFrame(flush);
  }

  // browsers refuse more than about 100 changes of the address in 30 s, as a slider makes them
  const ADDRESS_MS = 350;
  let written = 0;
  let later = null;

  function writeAddress() {
    clearTimeout(later);
    const wait = written + ADDRESS_MS - Date.now();
    if (wait > 0) {
      later = setTimeout(writeAddress, wait);
      return;
    }
    written = Date.now();
    const words = address();
    history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
  }

  function flush() {
    waiting = false;
    if (!changed.size) return;
    const keys = changed;
    changed = new Set();
    writeAddress();
    const refocus = focusKeeper();
    if (keys.has("board")) showBoard();
    for (const { names, listener } of listeners) {
      if (!names.some((name) => keys.has(name))) continue;
      try {
        listener(keys);
      } catch (error) {
        failed("state", error);
      }
    }
    Promise.all(sections.map((section) => refresh(section, keys))).then(refocus);
  }

  // A function that gives the focus back where the element that has it now was drawn anew: to the
  // one with its name, else to the one in its place. Else the keyboard would start from the top.
  function focusKeeper() {
    const was = document.activeElement;
    const home = was && was.closest("section, #bar");
    if (!home) return () => {};
    const kind = was.tagName + [...was.classList].map((name) => `.${CSS.escape(name)}`).join("");
    const nameOf = (element) => element.getAttribute("aria-label") || element.textContent;
    const [name, place] = [nameOf(was), [...home.querySelectorAll(kind)].indexOf(was)];
    return () => {
      const now = document.getElementById(home.id);
      if (was.isConnected || !now || document.activeElement !== document.body) return;
      const alike = [...now.querySelectorAll(kind)];
      const next = alike.find((element) => nameOf(element) === name) || alike[Math.min(place, alike.length - 1)];
      if (next) next.focus({ preventScroll: true });
    };
  }

  window.addEventListener("hashchange", () => {
    const found = fromAddress();
    // a plain anchor such as #curves is a place on the page, not a state
    if (!location.hash.includes("=")) return;
    for (const name of new Set([...Object.keys(found), ...Object.keys(values)])) {
      if (!same(found[name], values[name])) changed.add(name);
    }
    values = found;
    schedule();
  });

  // ---- boards, rows and runs

  let board = null;
  let rows = new Map();
  let runs = new Map();

  // the board of what an address names, where boards have come or gone since it was sent
  function boardOfNamed() {
    const named = ["selected", "baseline", "pair"].flatMap((name) => state.get(name) || []);
    const has = (list) => list.some(({ id }) => named.includes(id));
    return named.length ? payload.boards.find((one) => has(one.rows) || has(one.runs)) : null;
  }

  function index() {
    const wanted = state.get("board");
    board = payload.boards.find((one) => one.id === wanted) || boardOfNamed() || payload.boards[0] || null;
    rows = new Map((board ? board.rows : []).map((row) => [row.id, row]));
    runs = new Map((board ? board.runs : []).map((run) => [run.id, run]));
  }

  const SELECTED = 8;  // rows drawn unless the reader selects others

  let lastSelected = null;

  // the same array as long as the selection is the same: 500 rows ask for it one by one
  function selected() {
    const [chosen, base] = [state.get("selected"), state.get("baseline")];
    const last = lastSelected;
    if (last && last.chosen === chosen && last.base === base && last.rows === rows) return last.ids;
    const ids = chosen
      ? chosen.filter((id) => rows.has(id))
      : (board ? board.rows : []).slice(0, SELECTED).map((row) => row.id);
    if (!chosen && base && rows.has(base) && !ids.includes(base)) ids.push(base);
    lastSelected = { chosen, base, rows, ids };
    return ids;
  }

  // ---- sections

  const sections = [];
  const main = document.getElementById("main");

  // {id, title, shows(board)?, mount(element, board), update(keys)?, keys?: [names that concern it],
  // renew(board)?: whether update({"renewed"}) follows when a live page has new data}
  function section(definition) {
    sections.push({
      ...definition, element: null, body: null, mounted: false, inView: false, dirty: null, open: null, drawing: 0,
    });
    sections.sort((a, b) => ORDER.indexOf(a.id) - ORDER.indexOf(b.id));
  }

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const found = sections.find((one) => one.element === entry.target);
      if (!found) continue;
      found.inView = entry.isIntersecting;
      if (found.inView) show(found);
    }
  }, { rootMargin: "300px 0px" });

  async function show(one) {
    try {
      if (!one.mounted) {
        one.mounted = true;
        one.dirty = null;
        const drawing = ++one.drawing;
        keepOpen(one);  // also what was folded out since it was to be drawn again
        one.body.replaceChildren();
        await one.mount(one.body, board);
        one.element.classList.add("drawn");
        if (drawing === one.drawing) unfold(one);
      } else if (one.dirty && one.update) {
        const keys = one.dirty;
        one.dirty = null;
        const drawing = ++one.drawing;
        keepOpen(one);
        await one.update(keys);
        if (drawing === one.drawing) unfold(one);
      }
    } catch (error) {
      failed(one.id, error);
      one.body.replaceChildren(apology(one.title, error));
    }
  }

  // a promise, where it draws now
  function refresh(one, keys) {
    if (!one.mounted || !one.element) return null;
    if (one.keys && !keys.has("renewed") && !one.keys.some((name) => keys.has(name))) return null;
    one.dirty = new Set([...(one.dirty || []), ...keys]);
    return one.inView ? show(one) : null;
  }

  function showBoard() {
    index();
    observer.disconnect();
    main.replaceChildren();
    for (const one of sections) {
      one.mounted = false;
      one.element = null;
      if (!board || (one.shows && !one.shows(board))) continue;
      one.body = make("div", { class: "body" });
      const heading = make("h2", { id: `${one.id}-title`, text: one.title });
      one.element = make(
        "section", { id: one.id, "aria-labelledby": `${one.id}-title`, tabindex: "-1" }, heading, one.body,
      );
      main.append(one.element);
    }
    for (const one of sections) if (one.element) observer.observe(one.element);
    for (const listener of boardListeners) part("board", () => listener(board));
    if (!board) {
      main.append(make("p", { class: "notice", text: "There is no run to show yet." }));
    }
  }

  const boardListeners = [];

  // ---- a live page

  // draw again what shows one of these things; "rows" are new rows of histories
  function tell(keys) {
    for (const section of sections) refresh(section, keys);
  }

  const alike = (a, b) => a.kind === b.kind && a.sweep === b.sweep && a.data === b.data;

  // the whole payload is new: boards that stay are changed in place, and their sections drawn again
  function renew(content) {
    const shown = () => sections.map((one) => Boolean(board && (!one.shows || one.shows(board)))).join();
    const [old, sectionsBefore, known] = [board, shown(), [...payload.boards]];
    const boards = content.boards.map((one) => {
      const before = known.find((two) => alike(one, two) && (two.id === one.id || two.title === one.title));
      if (before) known.splice(known.indexOf(before), 1);
      return Object.assign(before || one, one);
    });
    Object.assign(payload, content, { boards });
    gansweep.forget();
    // a board that comes before the one in view must not take its place
    if (boards.includes(old) && (boards[0] !== old || values.board)) values.board = old.id;
    index();
    if (board !== old || shown() !== sectionsBefore) {
      const top = window.scrollY;
      if (board === old) sections.filter((one) => one.mounted).forEach(keepOpen);
      showBoard();
      window.scrollTo(0, top);
      return;
    }
    for (const listener of boardListeners) part("board", () => listener(board));
    for (const one of sections) if (one.element && one.mounted) again(one);
  }

  // draw a section again: by update where it can follow new data (`renew`), else from the start;
  // not while the reader types in it, and what was folded out stays so
  function again(one) {
    const focused = document.activeElement;
    if (one.renew && one.renew(board)) return refresh(one, new Set(["renewed"]));
    if (one.body.contains(focused) && focused.matches("input:not([type=checkbox]), select, textarea")) {
      focused.addEventListener("blur", () => again(one), { once: true });
      return;
    }
    keepOpen(one);
    one.body.style.minHeight = `${one.body.offsetHeight}px`;
    one.mounted = false;
    const refocus = focusKeeper();
    if (one.inView) show(one).then(refocus);
  }

  // what is the same element when the section is drawn anew: its key, as the words of its summary may change
  const keyOf = (details) => details.dataset.key || (details.querySelector("summary") || details).textContent;

  // what a drawing under way has still to fold out stays on the list
  function keepOpen(one) {
    const all = [...one.body.querySelectorAll("details")];
    const open = all.filter((details) => details.open).map(keyOf);
    one.open = {
      keys: new Set([...(one.open ? one.open.keys : []), ...open]),
      elements: one.open ? one.open.elements : new Set(all),
    };
  }

  // fold out again what was so before the section was drawn anew, now or when it came into view
  function unfold(one) {
    if (!one.open) return;
    for (const details of one.body.querySelectorAll("details")) {
      if (!one.open.elements.has(details) && one.open.keys.has(keyOf(details))) details.open = true;
    }
    one.open = null;
    one.body.style.minHeight = "";
  }

  // draw everything at once, for print
  window.addEventListener("beforeprint", () => {
    for (const one of sections) if (one.element) show(one);
  });

  return {
    payload,
    get boards() { return payload.boards; },
    get board() { return board; },
    get rows() { return rows; },
    get runs() { return runs; },
    faults,
    state, list, text, number, flag, key,
    make, part, failed, apology, section, sections, selected,
    dark, calm,
    onBoard(listener) { boardListeners.push(listener); },
    // a row's scores at the moment by which this board judges
    scores: (row) => row[board.at],
    tell, renew,
    start() {
      values = fromAddress();
      showBoard();
    },
  };
})();
window.gansweep = gansweep;
