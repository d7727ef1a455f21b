// A live page: rows that its server pushes, new payloads where more than curves has changed, and how
// things stand. A page from disk has none of it.

const { make, payload } = gansweep;
const DRAWN_MS = 1000;  // at most one drawing of new rows in this time
const AWAY_MS = 30000;  // a page that is not seen this long gives its connection back

let events = [];  // pushed since the payload was made: {number, runs}
let seen = payload.seq || 0;
let wanted = 0;  // the number of the newest build
let asking = false;
let source = null;
let drawing = null;
let away = null;

const word = make("span");
const problems = make("span");
const indicator = make("p", { class: "live", role: "status", "data-live": "" }, make("span", { class: "dot", "aria-hidden": "true" }), word, problems);

// state: "on", "lost" or "off"
function tell(state, text) {
  indicator.dataset.live = state;
  word.textContent = text;
}

function tellProblems(sentences) {
  problems.textContent = sentences.join(" ");
}

// ---- rows

function applied({ runs }) {
  const ids = new Map(gansweep.boards.flatMap((board) => board.runs.map((run) => [run.directory, { run, board }])));
  for (const [directory, { rows, restarted }] of Object.entries(runs)) {
    const found = ids.get(directory);
    if (!found) continue;  // a new run: it comes with the next payload
    gansweep.addRows(found.run.id, rows, restarted);
    for (const row of rows) advance(found.run, found.board, row);
  }
}

// the numbers of a run that go on while it trains
function advance(run, board, row) {
  if (run.status !== "running" && run.status !== "no result") return;
  run.kimg = row.kimg;
  if (typeof row.seconds === "number") run.seconds = row.seconds;
  for (const { kind, key, direction } of board.columns) {
    if (kind !== "score" || typeof row[key] !== "number") continue;
    const now = { value: row[key], kimg: row.kimg };
    const best = (run.best[key] || {}).value;
    const better = typeof best !== "number" || (direction === "minimize" ? now.value < best : now.value > best);
    run.last[key] = now;
    if (direction && better) run.best[key] = now;
  }
}

function drawSoon() {
  drawing ??= setTimeout(() => {
    drawing = null;
    gansweep.tell(new Set(["rows"]));
  }, DRAWN_MS);
}

// ---- payloads

// all that was pushed before the newest build comes with it
async function renew() {
  if (asking) return;
  asking = true;
  try {
    while (wanted > payload.build) {
      const answer = await fetch("payload");
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      const content = await answer.json();
      gansweep.forgetCurves();
      gansweep.renew(content);
      document.querySelector("h1").textContent = content.title;
      tellProblems(content.problems);
      tellState();
      events = events.filter((one) => one.number > content.seq);
      for (const one of events) applied(one);
      if (events.length) drawSoon();
      if (wanted === Infinity) wanted = content.build;
    }
  } catch (error) {
    tell("lost", `lost: ${error.message}`);
  } finally {
    asking = false;
  }
}

function tellState() {
  const count = gansweep.boards.reduce((sum, board) => sum + board.runs.length, 0);
  tell("on", payload.build ? `live: ${gansweep.format.plural(count, "run")}` : "live: reading the runs");
}

// ---- the stream

const HANDLERS = {
  rows(content, number) {
    const event = { number, runs: content };
    events.push(event);
    applied(event);
    drawSoon();
  },
  build(content) {
    wanted = content.build;
    renew();
  },
  problems: (content) => tellProblems(content),
  // away for too long: what was pushed meanwhile is not kept
  again() {
    wanted = Infinity;
    renew();
  },
};

function connect() {
  source = new EventSource(`events?since=${seen}`);
  source.onopen = () => {
    tellState();
    renew();
  };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) tell("off", "ended: the server refuses this address; start gansweep ui again");
    else tell("lost", "lost: reconnecting");
  };
  for (const [kind, handle] of Object.entries(HANDLERS)) {
    source.addEventListener(kind, (event) => {
      seen = Number(event.lastEventId);
      handle(JSON.parse(event.data), seen);
    });
  }
}

// a browser keeps few connections to one server: a page that is not seen gives its own back
function watchSight() {
  document.addEventListener("visibilitychange", () => {
    clearTimeout(away);
    if (document.hidden) {
      away = setTimeout(() => source.close(), AWAY_MS);
    } else if (source.readyState === EventSource.CLOSED) connect();
  });
}

if (payload.live) {
  document.querySelector("header.top").append(indicator);
  tellProblems(payload.problems || []);
  tell("lost", "connecting");
  connect();
  watchSight();
}
