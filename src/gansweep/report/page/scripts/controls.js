// Form controls that write a key of the state, and follow it where something else changes it.

const { make, state } = gansweep;

// options: [value, text].   more: other keys that it sets
function choice(label, key, options, more = {}) {
  const select = make("select", {
    "data-key": key, onchange: () => state.set({ [key]: options[select.selectedIndex][0], ...more }),
  }, options.map(([, text]) => make("option", { text })));
  const sync = () => {
    select.selectedIndex = Math.max(0, options.findIndex(([value]) => value === state.get(key)));
  };
  sync();
  return { element: make("label", { class: "control" }, `${label} `, select), sync };
}

function tick(label, key) {
  const box = make("input", { type: "checkbox", "data-key": key, onchange: () => state.set({ [key]: box.checked }) });
  const sync = () => { box.checked = Boolean(state.get(key)); };
  sync();
  return { element: make("label", { class: "control" }, box, ` ${label}`), sync };
}

function slider(label, key, { min, max, step, title }) {
  const output = make("output");
  const range = make("input", {
    type: "range", min: String(min), max: String(max), step: String(step), "data-key": key, "aria-label": label,
    oninput: () => {
      output.textContent = range.value;
      state.set({ [key]: Number(range.value) });
    },
  });
  const sync = () => {
    range.value = String(state.get(key));
    output.textContent = String(state.get(key));
  };
  sync();
  return { element: make("label", { class: "control", title }, `${label} `, range, output), sync };
}

// a choice that is no part of the view's address: changed(value)
function localChoice(label, options, chosen, changed) {
  const select = make("select", { onchange: () => changed(options[select.selectedIndex][0]) },
    options.map(([value, text]) => make("option", { text, selected: value === chosen })));
  return make("label", { class: "control" }, `${label} `, select);
}

gansweep.controls = { choice, tick, slider, localChoice };
