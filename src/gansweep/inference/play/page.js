"use strict";
const problem = document.getElementById("problem");

/* The answers of one form: of changes while one is on its way, the last is asked for next. */
function asking(ask) {
  const state = { busy: false, again: false };
  return async () => {
    state.again = true;
    if (state.busy) return;
    state.busy = true;
    while (state.again) {
      state.again = false;
      try {
        await ask();
        problem.textContent = "";
      } catch (error) {
        const lost = error instanceof TypeError; // fetch found no server
        problem.textContent = lost ? "The page's server does not answer. Start it again with gansweep ui --play." : error.message;
      }
    }
    state.busy = false;
  };
}

async function answer(address, options = {}) {
  const found = await fetch(address, options);
  if (!found.ok) throw new Error(await found.text());
  return found;
}

async function show(name, asked) {
  const image = document.getElementById(name);
  const figure = image.closest("figure");
  figure.setAttribute("aria-busy", "true");
  try {
    const made = URL.createObjectURL(await (await asked).blob());
    const old = image.src;
    image.src = made;
    await image.decode();
    figure.hidden = false;
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
  } finally {
    figure.setAttribute("aria-busy", "false");
  }
}

const samples = document.getElementById("samples");
if (samples) {
  const draw = asking(() => show("sheet", answer("samples?" + new URLSearchParams(new FormData(samples)))));
  const sliders = [...samples.querySelectorAll("[type=range]")];
  const said = () => sliders.forEach((slider) => { slider.nextElementSibling.value = (+slider.value).toFixed(1); });
  samples.addEventListener("input", () => { said(); draw(); });
  samples.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("reset")?.addEventListener("click", () => {
    for (const slider of sliders) slider.value = 0;
    said();
    draw();
  });
  said(); // a browser may keep the values of before
  draw();
}

const upload = document.getElementById("upload");
if (upload) {
  const verdict = document.getElementById("verdict");
  const judge = async (options) => {
    const said = await (await answer("detect", options)).json();
    const is = said.strange ? "strange" : "normal";
    verdict.textContent = `${is}: score ${said.score.toPrecision(4)}, threshold ${said.threshold.toPrecision(4)}`;
  };
  const send = asking(async () => {
    const file = document.getElementById("file").files[0];
    if (verdict) verdict.textContent = "";
    if (!file) return;
    const options = { method: "POST", body: file };
    const way = document.getElementById("way");
    if (verdict) await judge(options);
    if (document.getElementById("made")) await show("made", answer("translate?direction=" + (way ? way.value : "ab"), options));
  });
  upload.addEventListener("submit", (event) => event.preventDefault());
  upload.addEventListener("change", send);
  send();
}
document.documentElement.dataset.started = "yes";
