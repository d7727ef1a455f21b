// A table that sorts, searches and pages: DataTables, with cells made as elements.

const { make } = gansweep;
const PAGE = 25;

// numbers before text, nothing last, whichever way it is sorted
function ordered(a, b, direction) {
  const empty = (value) => value === null || value === undefined || value === "";
  if (empty(a) || empty(b)) return empty(a) - empty(b);
  if (typeof a === "number" && typeof b === "number") return direction * (a - b);
  if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1;
  return direction * String(a).localeCompare(String(b), "en", { numeric: true });
}

async function datatables() {
  const found = await gansweep.datatables();
  found.ext.errMode = "throw";
  found.ext.type.order["board-asc"] = (a, b) => ordered(a, b, 1);
  found.ext.type.order["board-desc"] = (a, b) => ordered(a, b, -1);
  return found;
}

// columns: [{id, label, heading?: [nodes], title?, num?, fixed?, value(item), node(item)?}]; value: what is sorted
// options: {caption, id(item), searched(item), order: [place, "asc"], onOrder, drawn(tr, item)}
gansweep.table = async (items, columns, options) => {
  const DataTable = await datatables();
  const head = make("tr", {}, columns.map((column) => make("th", {
    scope: "col",
    class: column.num ? "num" : null,
    title: column.title || null,
    "data-column": column.id,
    "aria-label": column.label ? null : column.name,
  }, ...(column.heading || [column.label]))));
  const element = make(
    "table", { class: "board" },
    make("caption", { class: "unseen", text: options.caption }), make("thead", {}, head), make("tbody"),
  );
  const holder = make(
    "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": options.caption }, element,
  );
  const place = make("div", { class: "table" }, holder);
  options.into.replaceChildren(place);
  const api = new DataTable(element, {
    data: items,
    autoWidth: false,
    pageLength: PAGE,
    lengthMenu: [10, 25, 100],
    order: options.order ? [options.order] : [],
    orderMulti: false,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null, bottom: ["info", "pageLength", "paging"] },
    language: {
      info: "_START_ to _END_ of _TOTAL_", infoFiltered: "(of _MAX_)", infoEmpty: "none",
      lengthMenu: "_MENU_ a page", emptyTable: "There is nothing to show.",
      zeroRecords: "Nothing matches.",
    },
    columns: columns.map((column) => ({
      data: null,
      type: "board",
      orderable: !column.fixed,
      searchable: Boolean(column.searched),
      className: column.num ? "num" : "",
      render: (_, type, item) => {
        if (type === "filter") return column.searched ? column.searched(item) : "";
        if (type !== "display") return column.value(item);
        const shown = column.node ? column.node(item) : column.value(item);
        return shown instanceof Node ? shown : document.createTextNode(shown ?? "");
      },
    })),
    createdRow: (tr, item) => {
      tr.dataset.id = options.id(item);
      if (options.drawn) options.drawn(tr, item);
    },
  });
  // the scrolling box holds the table alone, not its controls
  const controls = holder.querySelectorAll(".dt-layout-row:not(.dt-layout-table)");
  place.append(...controls);
  api.on("order", () => {
    const [first] = api.order();
    if (first && options.onOrder) options.onOrder(columns[first[0]].id, first[1]);
  });
  return api;
};
