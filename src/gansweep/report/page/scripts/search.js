// The section of what a search found.

const { make, figures, format } = gansweep;
const { plain } = figures;

// ---- importance

function importanceCard(importance) {
  return new figures.Card({
    title: "Importance of hyperparameters", height: 110 + 30 * importance.shares.length, fixed: true,
    compute: () => {
      const names = importance.shares.map(([name]) => name);
      const shares = importance.shares.map(([, share]) => share);
      return {
        data: [{ type: "bar", orientation: "h", x: shares, y: names.map(plain), marker: { color: "#0072B2" }, hovertemplate: "%{y}: %{x:.0%}<extra></extra>" }],
        layout: {
          xaxis: { title: { text: "share of importance" }, tickformat: ".0%", rangemode: "tozero" },
          yaxis: { autorange: "reversed", automargin: true, type: "category" }, bargap: 0.4, hovermode: "closest",
        },
        note: `A forest on ${format.plural(importance.trials, "trial")} explains ${format.fixed(100 * importance.explained, 0)} % of the ranks of trials it has not seen. ${importance.note}`,
        alt: `Importance of hyperparameters for ${gansweep.board.trial_metric}: ${importance.shares.map(([name, share]) => `${name} ${format.fixed(100 * share, 0)} %`).join(", ")}.`,
        table: () => ({ columns: ["hyperparameter", "share"], rows: importance.shares }),
      };
    },
  });
}

// ---- what the budget went to

function outcomeTable({ sweep, trials, ends }) {
  const percent = (share) => (share === null ? format.DASH : share > 0 && share < 0.01 ? `${format.fixed(100 * share, 1)}%` : `${format.fixed(100 * share, 0)}%`);
  const heads = ["ended", "how many", "kimg", "of the budget", "training time"];
  return make(
    "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Ends of the trials of ${sweep}` },
    make(
      "table", { class: "narrow" },
      make("caption", { class: "titled", text: `${sweep}: ${format.plural(trials, "trial")} by their end` }),
      make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col", text: head })))),
      make("tbody", {}, ends.map((end) => make(
        "tr", {}, make("th", { scope: "row", text: end.end }),
        [String(end.count), format.number(end.kimg), percent(end.share), format.duration(end.seconds)].map((text) => make("td", { class: "num", text })),
      ))),
    ),
  );
}

// ---- the section

let made = [];

function block(element, title, reading, cards, ...more) {
  if (!cards.length && !more.length) return;
  made.push(...cards);
  element.append(
    make("h3", { text: title }), make("p", { class: "reading", text: reading }),
    make("div", { class: "figures" }, cards.map((card) => card.element)), ...more,
  );
}

function searched(element, search, board) {
  const { importance } = search;
  const better = board.direction === "maximize" ? "higher" : "lower";
  block(element, "Trials", "Each line is one trial: from left to right its hyperparameters, on the right its outcome, the best on top. The stronger its blue, the better a trial; dotted grey lines have no outcome, and the selected configurations have their own colours. Drag along an axis to select the trials that cross it there.",
    search.parameters.length ? [gansweep.parallel.card(search, board.direction)] : []);
  const reason = importance && importance.reason ? [make("p", { class: "note", text: importance.reason })] : [];
  block(element, "Importance", "How much of a trial's rank each hyperparameter decides: fANOVA of Optuna over the ranks. This shows that a parameter mattered within the searched ranges, not which value is best.",
    importance && importance.shares.length ? [importanceCard(importance)] : [], ...reason);
  block(element, "Slices and contours", "Each dot is a trial. Click one to select its configuration in all figures.",
    gansweep.sliceCards(search));
  const none = search.budget.filter((one) => !one.families.length && Object.keys(one.missing).length)
    .map((one) => make("p", { class: "note", text: Object.entries(one.missing).map(([model, why]) => `${model} has no curve: ${why}.`).join(" ") }));
  block(element, "Best score expected of a budget", `The best score that a search is expected to find, over the budget that it spends: the mean over all ways to draw this many of the trials with replacement, and a band with nine of ten draws. This compares variants at equal tuning effort: at a given budget the ${better} curve wins; where bands overlap, luck may decide. A pruned trial counts with its last score and its cost until then. A trial that failed, diverged or broke a constraint has also used its budget: it counts with the worst final value of any trial of its sweep. Trials of a sampler that learns are treated as independent.`,
    gansweep.budgetCards(search), ...none);
  block(element, "Pareto front", "Each dot is a configuration. A large dot is on the front: no other configuration is better in one objective without being worse in another. Which of these to take is a choice, not a measurement. The grey stairs connect the front of the two objectives in the figure. A diamond is the mean over fresh seeds with the 95 % intervals. There is no test here of whether two configurations differ, so luck may decide which is on the front.",
    gansweep.frontCards(search));
  block(element, "Schedules that the population found", "Each lane is a member, coloured by the setting with which it trained; an arrow shows where a member took over the weights of another. Below, the setting over images seen: the thick line is the way of the best member's weights, with a ring at each takeover.",
    search.populations.flatMap((one) => gansweep.populationCards(one, search.populations.length > 1)));
  const timed = search.timeline.filter((one) => one.spans.length);
  block(element, "Timeline", "When each run trained, and on which worker. Gaps are time in which a worker had nothing to do, or imported, compiled or waited.",
    timed.map((one) => gansweep.timelineCard(one, timed.length > 1)));
  block(element, "What the budget went to", "How the trials ended, over all their seeds, with their share of the images that the sweep has seen. The images of a failed trial are lost. The images that a pruned trial did not use are saved.",
    [], ...search.outcomes.map(outcomeTable));
}

gansweep.section({
  id: "search",
  title: "What the search found",
  keys: ["selected", "baseline"],
  shows: (board) => Boolean(board.sections.search && board.sections.search.trials && board.sections.search.trials.length),
  mount(element, board) {
    for (const card of made) card.remove();
    made = [];
    searched(element, board.sections.search, board);
  },
  update() {
    for (const card of made) if (!card.fixed) card.refresh();
  },
});
