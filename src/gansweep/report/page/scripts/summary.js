// The summary of the board in sentences.

const { make } = gansweep;

gansweep.section({
  id: "summary",
  title: "Summary",
  mount(element, board) {
    const { overview, note, refused, cautions } = board.summary;
    element.append(make("p", { text: overview }));
    if (note) element.append(make("p", { class: "note", text: note }));
    if (refused.length) {
      element.append(make(
        "details", { class: "notice", open: refused.length <= 2 },
        make("summary", { text: `${gansweep.format.plural(refused.length, "score")} not compared: measured with several protocols` }),
        make("ul", {}, refused.map((sentence) => make("li", { text: sentence }))),
      ));
    }
    if (cautions.length) {
      element.append(make(
        "div", { class: "notice", role: "note" },
        make("strong", { text: "Read small differences with care." }),
        make("ul", {}, cautions.map((sentence) => make("li", { text: sentence }))),
      ));
    }
  },
});
