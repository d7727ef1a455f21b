// The bar that follows, with the contents and the selection; the choice of the board; the start.

const { make, state } = gansweep;
const CHIPS = 12;  // selected configurations that the bar names
const bar = document.getElementById("bar");

const SETTLING = 2500;  // milliseconds in which sections above a target may still grow

// scroll to a section, and stay with it while those above it are drawn, unless the reader moves on
gansweep.goTo = (id) => {
  const target = document.getElementById(id);
  const end = performance.now() + SETTLING;
  let left = false;
  const leave = () => { left = true; };
  for (const kind of ["wheel", "touchstart", "keydown", "pointerdown"]) {
    window.addEventListener(kind, leave, { once: true, passive: true });
  }
  target.focus({ preventScroll: true });
  const stay = () => {
    if (left || !target.isConnected) return;
    const off = target.getBoundingClientRect().top - parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop);
    if (Math.abs(off) > 2) target.scrollIntoView();
    if (performance.now() < end) setTimeout(stay, 60);
  };
  stay();
};

function contents() {
  const links = gansweep.sections.filter((one) => one.element).map((one) => make("a", {
    href: `#${one.id}`,
    text: one.title,
    "data-section": one.id,
    onclick: (event) => {
      event.preventDefault();  // the address holds the state
      gansweep.goTo(one.id);
    },
  }));
  return make("nav", { class: "contents", "aria-label": "Contents" }, links);
}

function selection() {
  const ids = gansweep.selected();
  const chips = ids.slice(0, CHIPS).map((id) => make(
    "li", {},
    make("button", {
      type: "button",
      class: "chip",
      title: "Leave out of the figures",
      "aria-label": `Leave ${gansweep.name(id)} out of the figures`,
      onclick: () => state.set({ selected: ids.filter((one) => one !== id) }),
    }, gansweep.sample(id), gansweep.name(id), make("span", { class: "cross", "aria-hidden": "true", text: "×" })),
  ));
  if (ids.length > CHIPS) chips.push(make("li", { class: "quiet", text: `and ${ids.length - CHIPS} more` }));
  return make("ul", { class: "chips", "aria-label": "Selected configurations, in all figures" }, chips);
}

function drawBar() {
  if (!gansweep.board) return bar.replaceChildren();
  return bar.replaceChildren(contents(), selection());
}

function boards() {
  const place = document.getElementById("boards");
  if (gansweep.boards.length < 2) return place.replaceChildren();
  const buttons = gansweep.boards.map((board) => make("button", {
    type: "button",
    "aria-pressed": String(board === gansweep.board),
    onclick: () => state.set({ board: board.id }),
  }, board.title, make("small", {
    text: `${board.sweep ? "sweep" : board.kind} on ${board.data}, ${gansweep.format.plural(board.rows.length, "configuration")}`,
  })));
  return place.replaceChildren(
    make("p", { class: "quiet", text: "Runs of different kinds have boards of their own, as their numbers do not compare." }),
    make("div", { class: "boards", role: "group", "aria-label": "Boards" }, buttons),
  );
}

gansweep.onBoard((board) => {
  boards();
  document.getElementById("verdict").textContent = board ? board.summary.verdict : "";
  drawBar();
});
state.on(["selected", "baseline"], drawBar);

// mark the section that is being read
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const link = bar.querySelector(`[data-section="${entry.target.id}"]`);
    if (link) link.ariaCurrent = entry.isIntersecting ? "true" : null;
  }
}, { rootMargin: "-20% 0px -70% 0px" });
gansweep.onBoard(() => {
  seen.disconnect();
  for (const one of gansweep.sections) if (one.element) seen.observe(one.element);
});

document.getElementById("footer").append(make("p", {
  class: "quiet",
  text: `Written ${gansweep.payload.written} by gansweep ${gansweep.payload.version}.`,
}));
gansweep.start();
document.documentElement.dataset.started = "yes";
