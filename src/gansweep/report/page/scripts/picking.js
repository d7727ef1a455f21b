// Points that select the row they stand for, in all figures.

const isSelected = (row) => gansweep.selected().includes(row);

function toggle(row) {
  const now = gansweep.selected();
  gansweep.state.set({ selected: now.includes(row) ? now.filter((one) => one !== row) : [...now, row] });
}

function pickable(card) {
  if (card.pickable) return;
  card.pickable = true;
  card.plot.on("plotly_click", (event) => {
    const row = event.points[0].customdata;
    if (row && gansweep.rows.has(row)) toggle(row);
  });
}

gansweep.picking = { isSelected, pickable, toggle };
