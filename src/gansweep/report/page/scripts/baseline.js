// The differences of all rows from the baseline, each with its interval and corrected p.

const known = new Map();
let buildOfKnown = null;

// why a row is not tested against the baseline, as `obstacle` of against.py says; "" if it is
function obstacle(base, row) {
  if (row.unfair) return `not tested: it ${row.unfair}`;
  if (base.unfair) return `not tested: the baseline ${base.unfair}`;
  return (base.stage === "trial") !== (row.stage === "trial") ? "not tested: a trial's value is the best of many" : "";
}

// row id -> the comparison with the baseline in one score, with Holm's correction over all rows that
// are tested; `untested` says why a row is not.
function against(board, baseline, score) {
  // a live page has another build whenever its numbers change
  const { build } = gansweep.payload;
  if (build !== buildOfKnown) known.clear();
  buildOfKnown = build;
  const key = `${board.id} ${baseline} ${score}`;
  if (known.has(key)) return known.get(key);
  const base = board.rows.find((row) => row.id === baseline);
  const first = base && base[board.at][score];
  const found = new Map();
  if (first) {
    const others = board.rows.filter((row) => row.id !== baseline && row[board.at][score]);
    const compared = others.map((row) => gansweep.statistics.compare(first.values, row[board.at][score].values));
    const fair = others.map((row) => !obstacle(base, row));
    const tested = gansweep.statistics.holm(compared.filter((_, place) => fair[place]));
    let next = 0;
    others.forEach((row, place) => {
      if (fair[place]) {
        found.set(row.id, { ...tested[next], untested: "" });
        next += 1;
      } else {
        found.set(row.id, { ...compared[place], p: null, interval: null, untested: obstacle(base, row) });
      }
    });
  }
  known.set(key, found);
  return found;
}

// ["+1.31 worse, p = 0.012", "[0.42, 2.20]"]: the difference, and its interval where it is tested
function words(one, judged) {
  const { format } = gansweep;
  const sign = one.difference > 0 ? "+" : "";
  const size = `${sign}${one.error ? format.rounded(one.difference, one.error) : format.number(one.difference)}`;
  const parts = [[size, judged].filter(Boolean).join(" "), format.probability(one.p)];
  const first = parts.filter(Boolean).join(", ");
  return one.interval ? [first, format.bracketed(...one.interval, one.error)] : [first];
}

// "better", "worse" where the difference is significant; "" else
function judgement(one, direction) {
  if (one.untested || !direction || !gansweep.statistics.apart(one)) return "";
  return (one.difference < 0) === (direction === "minimize") ? "better" : "worse";
}

gansweep.baseline = { against, words, judgement };
