// How each score was measured, and the command that repeats each run.

const { make, format } = gansweep;

function common(protocols) {
  const pairs = Object.entries(protocols.common);
  if (!pairs.length) return null;
  const words = pairs.flatMap(([key, value], place) => [
    place ? ", " : "", make("span", { class: "pair" }, `${key} `, make("code", { text: format.setting(value) })),
  ]);
  return make("p", {}, "The same for all scores: ", ...words, ".");
}

function table(protocols) {
  if (!protocols.lines.length) return make("p", { text: "No run has recorded a score." });
  const heads = ["score", "runs", ...protocols.keys];
  const body = protocols.lines.map((line) => make(
    "tr", {},
    make("th", { scope: "row", text: line.score }),
    make("td", { class: "num", text: String(line.runs) }),
    line.values.map((value) => make("td", { text: value === null ? format.DASH : format.setting(value) })),
  ));
  return make(
    "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Protocol of each score" },
    make(
      "table", { class: "narrow" },
      make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col", class: head === "runs" ? "num" : null, text: head })))),
      make("tbody", {}, body),
    ),
  );
}

// ---- runs and their commands

const MANY = 40;  // runs listed at once

function oneRun(run) {
  const row = gansweep.rows.get(run.row);
  const details = make(
    "details", { class: "one-run", "data-key": run.id },
    make("summary", {}, make("span", { class: "model", text: run.name }), " ",
      make("span", { class: "detail", text: `${row ? row.name : ""}, ${format.seed(run.seed)}` }), " ",
      make("span", { class: `state ${run.status.replaceAll(" ", "-")}`, text: run.status })),
  );
  // made when it is opened: a page of 500 runs stays light
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    const lines = [run.reason, run.stopped_by ? `Stopped by ${run.stopped_by}.` : "", run.note, ...run.notes];
    details.append(
      ...lines.filter(Boolean).map((line) => make("p", { class: "note", text: line })),
      run.command
        ? gansweep.command(run.command)
        : make("p", { class: "note", text: run.no_command || "The record of this run contains no command." }),
    );
  });
  return details;
}

function runs() {
  const chosen = new Set(gansweep.selected());
  const all = [...gansweep.runs.values()];
  const ordered = [...all.filter((run) => chosen.has(run.row)), ...all.filter((run) => !chosen.has(run.row))];
  const place = make("div");
  const show = (count) => place.replaceChildren(
    ...ordered.slice(0, count).map(oneRun),
    ...(ordered.length > count ? [make("button", {
      type: "button", text: `Show all ${ordered.length} runs`, onclick: () => show(ordered.length),
    })] : []),
  );
  show(MANY);
  return place;
}

gansweep.section({
  id: "protocols",
  title: "Protocols and commands",
  keys: ["selected", "baseline"],
  mount(element, board) {
    const protocols = board.sections.protocols;
    this.list = make("div", {}, runs());
    element.append(
      make("p", { class: "reading", text: "How each score was measured. Two numbers can be compared only if all of this agrees." }),
      ...[common(protocols), table(protocols)].filter(Boolean),
      make("h3", { text: "Every run, with the command that repeats it" }),
      this.list,
    );
  },
  update() {
    this.list.replaceChildren(runs());
  },
});
