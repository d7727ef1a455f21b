// What leaves the page: the selection as CSV and LaTeX, the commands that make it again, the view.

const { make, state, format } = gansweep;

// a shell command with a button that copies it
gansweep.command = (text) => {
  const button = make("button", { type: "button", class: "copy", text: "Copy" });
  button.addEventListener("click", async () => {
    const done = await gansweep.copy(text);
    button.textContent = done ? "Copied" : "Select and copy by hand";
    gansweep.announce(button.textContent);
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return make("div", { class: "command" }, make("pre", { tabindex: "0" }, make("code", { text })), button);
};

// ---- CSV

// keeps a spreadsheet from reading a name as a formula
const harmless = (text) => (/^[=+\-@]/.test(text) ? `'${text}` : text);

function cell(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" ? harmless(value) : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// rows of the leaderboard with all settings and scores; numbers are not rounded
gansweep.csv = (ids) => {
  const { board } = gansweep;
  const of = (kind) => board.columns.filter((column) => column.kind === kind && !column.at);
  const figures = ["mean", "std", "ci95_low", "ci95_high", "n"];
  const heads = [
    "rank", "configuration", "model", "data", "stage", "seeds", "statuses",
    ...of("setting").map((column) => column.label), "kimg", "images_per_second", "peak_memory_mib", "seconds",
    ...of("score").flatMap((column) => figures.map((figure) => `${column.key}_${figure}`)),
  ];
  const lines = ids.map((id) => gansweep.rows.get(id)).filter(Boolean).map((row) => [
    row.rank, row.label, row.model, board.data, row.stage, row.seeds, JSON.stringify(row.statuses),
    ...of("setting").map((column) => {
      const value = row.settings[column.key];
      return value === undefined || typeof value === "number" ? value : format.setting(value);
    }),
    row.kimg, row.images_per_second, row.peak_memory_mib, row.seconds,
    ...of("score").flatMap((column) => {
      const found = gansweep.scores(row)[column.key];
      return found ? [found.mean, found.std, found.low, found.high, found.n] : figures.map(() => null);
    }),
  ]);
  return [heads, ...lines].map((line) => line.map(cell).join(",")).join("\n") + "\n";
};

// ---- LaTeX

const LATEX = {
  "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", $: "\\$", "&": "\\&", "#": "\\#", "%": "\\%",
  _: "\\_", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$", "–": "--",
};
const latex = (text) => [...text].map((letter) => LATEX[letter] ?? (letter < " " ? " " : letter)).join("");

const summaryOf = (row, column) => row[column.at || gansweep.board.at][column.key];

// a booktabs table of the shown columns; the best mean of each score is bold
gansweep.latex = (ids, columns) => {
  const rows = ids.map((id) => gansweep.rows.get(id)).filter(Boolean);
  const best = new Map();
  for (const column of columns.filter((one) => one.kind === "score" && one.direction)) {
    const means = rows.filter((row) => !row.excluded && !row.flaw).map((row) => (summaryOf(row, column) || {}).mean)
     .filter((mean) => mean !== undefined && mean !== null);
    if (means.length > 1) best.set(column.id, column.direction === "maximize" ? Math.max(...means) : Math.min(...means));
  }
  const shown = (row, column) => {
    if (column.kind === "score") {
      const summary = summaryOf(row, column);
      const text = latex(format.score(summary));
      return summary && best.has(column.id) && summary.mean === best.get(column.id) ? `\\textbf{${text}}` : text;
    }
    if (column.kind === "setting") return column.key in row.settings ? latex(format.setting(row.settings[column.key])) : "--";
    return latex((column.kind === "seconds" ? format.duration : format.number)(row[column.key]));
  };
  const line = (cells) => `${cells.join(" & ")} \\\\`;
  return [
    "% Needs \\usepackage{booktabs}. Mean over seeds ± standard deviation; bold: the best mean.",
    `\\begin{tabular}{l${"r".repeat(columns.length + 1)}}`,
    "\\toprule",
    line(["Configuration", "Seeds", ...columns.map((column) => latex(column.label))]),
    "\\midrule",
    ...rows.map((row) => line([latex(row.name), String(row.seeds), ...columns.map((column) => shown(row, column))])),
    "\\bottomrule",
    "\\end{tabular}",
    "",
  ].join("\n");
};

// ---- commands

const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\"'\"'")}'`);
const runsOf = (ids) => ids.flatMap((id) => (gansweep.rows.get(id) || { runs: [] }).runs).map((id) => gansweep.runs.get(id)).filter(Boolean);

// makes a page of the runs of these rows alone
gansweep.reportCommand = (ids) => ["gansweep", "report", ...runsOf(ids).map((run) => run.directory), "-o", "selection.html"].map(quoted).join(" ");
// trains these runs again, a line each; a comment where no single command does
gansweep.trainCommands = (ids) => runsOf(ids).map((run) => {
  const why = `# ${run.name}: ${run.no_command || "its record has no command"}`;
  return run.command || why.replace(/\s+/g, " ");
}).join("\n");

// ---- the menu

gansweep.exportMenu = (visibleRows, columns) => {
  const name = () => (gansweep.board.title.replace(/[^\w-]+/g, "-").replace(/^-+|-+$/g, "") || "runs");
  const result = make("div", { class: "result" });
  const show = (text) => result.replaceChildren(gansweep.command(text));
  const which = make("select", { "aria-label": "What is exported" },
    make("option", { value: "selected", text: "the configurations in the figures" }),
    make("option", { value: "visible", text: "all that the table shows" }));
  const ids = () => (which.value === "selected" ? gansweep.selected() : visibleRows());
  const button = (text, onclick) => make("button", { type: "button", text, onclick });
  return make(
    "details", { class: "menu export" },
    make("summary", { text: "Export" }),
    make("div", {},
      make("p", {}, which),
      make("div", { class: "controls" },
        button("CSV", () => gansweep.save(`${name()}.csv`, gansweep.csv(ids()))),
        button("LaTeX", () => gansweep.save(`${name()}.tex`, gansweep.latex(ids(), columns()))),
        button("A page of these", () => show(gansweep.reportCommand(ids()))),
        button("Train these again", () => show(gansweep.trainCommands(ids()))),
        button("This view", () => show(state.address()))),
      result),
  );
};
