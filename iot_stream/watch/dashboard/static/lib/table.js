// A table of any length: only the rows in sight are in the page. Sorted by its heads; rows are all of one height.
import { h, put, say } from "./dom.js";

const ROW = 34;
const BEYOND = 8; // rows drawn above and below what is in sight

// `columns`: [{key, title, hint, number, narrow, cell(row), order(row)}]; `key(row)` names a row.
export const table = ({ label, columns, sorted, descending = false }) => {
  const state = { rows: [], sorted: sorted ?? columns[0].key, descending, from: -1, to: -1 };
  const heads = columns.map((column) => {
    const arrow = h("span", { "aria-hidden": "true" });
    const button = h("button", { type: "button", title: column.hint, onclick: () => sort(column.key) }, column.title, arrow);
    return { head: h("th", { scope: "col", class: classes(column) }, button), arrow, column };
  });
  const above = h("tr", { "aria-hidden": "true" }, h("td", { colspan: `${columns.length}` }));
  const below = h("tr", { "aria-hidden": "true" }, h("td", { colspan: `${columns.length}` }));
  const body = h("tbody");
  const grid = h("table", { "aria-label": label }, h("thead", {}, h("tr", { "aria-rowindex": "1" }, heads.map((each) => each.head))), body);
  const box = h("div", { class: "scroll rows", tabindex: "0", role: "region", "aria-label": label }, grid);

  const sort = (key) => {
    state.descending = state.sorted === key ? !state.descending : false;
    state.sorted = key;
    set(state.rows);
  };

  const draw = (anew) => {
    // Of fewer rows than there were the place may be beyond the end.
    const top = Math.max(0, Math.min(box.scrollTop, state.rows.length * ROW - box.clientHeight) - ROW);
    const from = Math.max(0, Math.floor(top / ROW) - BEYOND);
    const to = Math.min(state.rows.length, Math.ceil((top + box.clientHeight) / ROW) + BEYOND);
    if (!anew && from === state.from && to === state.to) return;
    Object.assign(state, { from, to });
    const focused = body.contains(document.activeElement) ? document.activeElement.dataset.row : null;
    above.firstChild.style.height = `${from * ROW}px`;
    below.firstChild.style.height = `${(state.rows.length - to) * ROW}px`;
    put(body, from > 0 && above,
      state.rows.slice(from, to).map((row, number) =>
        h("tr", { "aria-rowindex": `${from + number + 2}` }, columns.map((column, place) => {
          const cell = column.cell(row);
          return place ? h("td", { class: classes(column) }, cell) : h("th", { scope: "row", class: classes(column) }, cell);
        }))),
      to < state.rows.length && below);
    if (focused) body.querySelector(`[data-row="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };

  const set = (rows) => {
    const column = columns.find((each) => each.key === state.sorted);
    const sign = state.descending ? -1 : 1;
    const keyed = rows.map((row) => [column.order(row), row]);
    // What is not known comes last, whichever way it is sorted.
    keyed.sort(([a], [b]) => (a == null ? (b == null ? 0 : 1) : b == null ? -1 : a < b ? -sign : a > b ? sign : 0));
    state.rows = keyed.map(([, row]) => row);
    for (const { head, arrow, column: each } of heads) {
      const on = each.key === state.sorted;
      head.setAttribute("aria-sort", on ? (state.descending ? "descending" : "ascending") : "none");
      say(arrow, on ? (state.descending ? " ↓" : " ↑") : "");
    }
    grid.setAttribute("aria-rowcount", `${rows.length + 1}`);
    draw(true);
  };

  box.addEventListener("scroll", () => requestAnimationFrame(() => draw(false)));
  const resized = new ResizeObserver(() => draw(false));
  resized.observe(box);
  return { box, set, destroy: () => resized.disconnect() };
};

const classes = (column) => [column.number && "number", column.narrow === false && "wide"].filter(Boolean).join(" ") || null;
