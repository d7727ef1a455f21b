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
      "table", {},
      make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col", text: head })))),
      make("tbody", {}, body),
    ),
  );
}

gansweep.section({
  id: "protocols",
  title: "Protocols and commands",
  mount(element, board) {
    const protocols = board.sections.protocols;
    element.append(
      make("p", { class: "reading", text: "How each score was measured. Two numbers can be compared only if all of this agrees." }),
      ...[common(protocols), table(protocols)].filter(Boolean),
    );
  },
});
