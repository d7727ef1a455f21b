"use strict";
const problem = document.getElementById("problem");
const waiting = { busy: false, again: false };

async function answer(address, options, show) {
  try {
    const found = await fetch(address, options);
    if (!found.ok) throw new Error(await found.text());
    problem.textContent = "";
    await show(found);
  } catch (error) {
    problem.textContent = error.message;
  }
}

async function picture(found, id) {
  const image = document.getElementById(id);
  const old = image.src;
  image.src = URL.createObjectURL(await found.blob());
  if (old.startsWith("blob:")) URL.revokeObjectURL(old);
}

async function draw() {
  if (waiting.busy) { waiting.again = true; return; }
  waiting.busy = true;
  do {
    waiting.again = false;
    const asked = new URLSearchParams(new FormData(document.getElementById("samples")));
    await answer("samples?" + asked, {}, (found) => picture(found, "sheet"));
  } while (waiting.again);
  waiting.busy = false;
}

const samples = document.getElementById("samples");
if (samples) {
  samples.addEventListener("input", draw);
  samples.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("reset").addEventListener("click", () => {
    for (const slider of samples.querySelectorAll("[type=range]")) slider.value = 0;
    draw();
  });
  draw();
}

const upload = document.getElementById("upload");
if (upload) {
  upload.addEventListener("submit", (event) => event.preventDefault());
  upload.addEventListener("change", () => {
    const file = document.getElementById("file").files[0];
    if (!file) return;
    const options = { method: "POST", body: file };
    const way = document.getElementById("way");
    if (document.getElementById("made")) {
      answer("translate?direction=" + (way ? way.value : "ab"), options,
        (found) => picture(found, "made"));
    }
    if (document.getElementById("verdict")) {
      answer("detect", options, async (found) => {
        const said = await found.json();
        document.getElementById("verdict").textContent =
          (said.strange ? "strange" : "normal") + ": score " + said.score.toPrecision(4) +
          ", threshold " + said.threshold.toPrecision(4);
      });
    }
  });
}
