// Curves by uPlot, in the page's colours: drag to zoom, double-click (or Escape) for all, arrow keys to read.
import { h, say } from "./dom.js";
import { moment } from "./format.js";
import { onTheme } from "./theme.js";

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const FEW = 60; // points, each of which is drawn

const ratio = () => devicePixelRatio || 1;

const line = (ctx, x, top, bottom, width) => {
  ctx.lineWidth = width * ratio();
  ctx.beginPath(); ctx.moveTo(x, top); ctx.lineTo(x, bottom); ctx.stroke();
};

const dot = (ctx, x, box, fill) => {
  ctx.beginPath();
  ctx.arc(x, box.top + box.height - 14 * ratio(), 4 * ratio(), 0, 2 * Math.PI);
  if (fill) ctx.fill();
  else { ctx.lineWidth = 2 * ratio(); ctx.stroke(); }
};

// A drift is a dashed line, a swap a tick on the floor, a round a dot above it, filled where it was released.
const drawMark = {
  drift: (ctx, x, box) => {
    ctx.setLineDash([5 * ratio(), 4 * ratio()]);
    line(ctx, x, box.top, box.top + box.height, 1.5);
    ctx.setLineDash([]);
  },
  swap: (ctx, x, box) => line(ctx, x, box.top + box.height - 8 * ratio(), box.top + box.height, 2),
  period: (ctx, x, box) => line(ctx, x, box.top, box.top + box.height, 1),
  released: (ctx, x, box) => dot(ctx, x, box, true),
};

const drawMarks = (plot, marks) => {
  const { ctx, bbox: box } = plot;
  ctx.save();
  ctx.setLineDash([]); // of the curve that was drawn last
  for (const mark of marks) {
    const x = plot.valToPos(mark.time, "x", true);
    if (x < box.left - 1 || x > box.left + box.width + 1) continue;
    ctx.strokeStyle = ctx.fillStyle = colour(mark.kind) || colour("soft");
    (drawMark[mark.kind] ?? ((...at) => dot(...at, false)))(ctx, x, box);
  }
  ctx.restore();
};

// Where not all curves have come to the end yet.
const drawPending = (plot, since) => {
  if (since == null) return;
  const { ctx, bbox: box } = plot;
  const x = Math.max(box.left, plot.valToPos(since, "x", true));
  ctx.save();
  ctx.fillStyle = colour("grid");
  if (x < box.left + box.width) ctx.fillRect(x, box.top, box.left + box.width - x, box.height);
  ctx.restore();
};

// What stands between two gaps has no line to be seen by.
const alone = (row) => {
  const gap = (place) => place < 0 || place >= row.length || row[place] === null;
  return [...row.keys()].filter((place) => row[place] != null && gap(place - 1) && gap(place + 1));
};

// The time of day, or, where a day begins or ticks are days apart, the day; in UTC.
const clock = (tick, step) => {
  const words = new Date(1000 * tick).toUTCString(); // Wed, 11 Feb 2015 14:00:00 GMT
  if (step >= 86400 || tick % 86400 === 0) return words.slice(5, 11);
  return step < 60 ? words.slice(17, 25) : words.slice(17, 22);
};

const axis = (more) => ({
  stroke: () => colour("soft"),
  grid: { stroke: () => colour("grid"), width: 1 },
  ticks: { show: false },
  font: "12px system-ui, sans-serif",
  ...more,
});

// The newest place at which all have a value that have any, so that like is told beside like; −1: there is none.
const newestOfAll = ([times, ...rows]) => {
  const told = rows.filter((row) => row.some((value) => value != null));
  return times.findLastIndex((_, place) => told.every((row) => row[place] != null));
};

// `series`: [{name, colour, width, dash, format}], `marks`: [{time, kind, words}]. With `onZoom(from, to)` whoever
// draws fetches a closer look (null, null for all); with `onSelect(from, to)` a drag selects and does not zoom.
// Of values null is a gap, and undefined is bridged.
export const plot = (host, { label, series, marks = [], range, tick, height = 260, onZoom, onSelect }) => {
  const state = { marks, data: [[]], zoomed: false, pending: null };
  const readout = h("p", { class: "readout" });
  const canvas = h("div", { class: "plot", tabindex: "0", role: "img", "aria-label": label });
  host.replaceChildren(canvas, readout);
  const size = () => ({ width: Math.max(200, canvas.clientWidth), height });

  const tell = (at) => {
    const { left, idx } = at.cursor;
    const values = state.data;
    const pointed = left >= 0 && idx != null;
    const newest = pointed ? idx : newestOfAll(values);
    const words = series.map((each, number) => {
      const row = values[number + 1] ?? [];
      const value = newest < 0 ? row.findLast((found) => found != null) : row[newest];
      return value == null ? null : `${each.name} ${each.format(value)}`;
    }).filter(Boolean);
    const when = newest < 0 ? ", of each" : `, ${moment(values[0][newest])}`;
    if (!pointed) return say(readout, words.length ? `latest${when}: ${words.join(" · ")}` : "");
    const near = state.marks.filter((mark) => Math.abs(at.valToPos(mark.time, "x") - left) <= 7);
    const told = near.slice(0, 3).map((mark) => mark.words);
    if (near.length > 3) told.push(`and ${near.length - 3} more`);
    return say(readout, [moment(values[0][idx]), ...words, ...told].join(" · "));
  };

  const zoom = (from, to) => {
    state.zoomed = from != null;
    if (onZoom) onZoom(from, to);
    else if (from == null) drawn.setData(state.data);
  };

  const drawn = new uPlot({
    ...size(),
    tzDate: (second) => uPlot.tzDate(new Date(1000 * second), "Etc/UTC"),
    scales: { x: { time: true }, y: { range: range ?? ((_, low, high) => [low, high === low ? low + 1 : high]) } },
    axes: [axis({ space: 70, size: 32, values: (_, ticks, number, space, step) => ticks.map((tick) => clock(tick, step)) }), axis({ size: 56, values: (_, ticks) => ticks.map(tick ?? String) })],
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: true, y: false, setScale: false } },
    series: [{}, ...series.map((each) => ({
      stroke: () => colour(each.colour),
      width: each.width ?? 1.5,
      dash: each.dash,
      show: each.show ?? true,
      spanGaps: false,
      points: { show: (at, _, from, to) => to - from < FEW, size: 4, filter: (at, number, all) => (all ? null : alone(at.data[number])) },
    }))],
    hooks: {
      drawClear: [(at) => drawPending(at, state.pending)],
      draw: [(at) => drawMarks(at, state.marks)],
      setCursor: [tell],
      setSelect: [(at) => {
        if (at.select.width < 4) return;
        const from = at.posToVal(at.select.left, "x");
        const to = at.posToVal(at.select.left + at.select.width, "x");
        if (onSelect) { onSelect(from, to); return; }
        at.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        if (onZoom) zoom(from, to);
        else at.setScale("x", { min: from, max: to });
      }],
    },
  }, state.data, canvas);

  canvas.addEventListener("dblclick", () => zoom(null, null));
  canvas.addEventListener("keydown", (event) => {
    const last = state.data[0].length - 1;
    const at = drawn.cursor.left >= 0 ? drawn.cursor.idx : null;
    const to = {
      ArrowRight: at == null ? 0 : Math.min(last, at + 1),
      ArrowLeft: at == null ? last : Math.max(0, at - 1),
      Home: 0,
      End: last,
    }[event.key];
    if (event.key === "Escape" && state.zoomed) { zoom(null, null); return; }
    if (to === undefined || last < 0) return;
    event.preventDefault();
    drawn.setCursor({ left: drawn.valToPos(state.data[0][to], "x"), top: 1 });
  });
  canvas.addEventListener("blur", () => drawn.setCursor({ left: -10, top: -10 }));
  const resized = new ResizeObserver(() => drawn.setSize(size()));
  resized.observe(canvas);
  const forget = onTheme(() => drawn.redraw());

  return {
    // `data`: [times, values of the first series, …], times in seconds; `pending`: since when it is not whole.
    set(data, newMarks, pending = null) {
      Object.assign(state, { data, pending });
      if (newMarks) state.marks = newMarks;
      drawn.setData(data);
      tell(drawn);
    },
    // Where its time is, in pixels of its box.
    inner: () => ({ left: drawn.bbox.left / ratio(), width: drawn.bbox.width / ratio() }),
    show: (number, on) => drawn.setSeries(number + 1, { show: on }),
    clearSelection: () => drawn.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false),
    destroy() {
      forget();
      resized.disconnect();
      drawn.destroy();
    },
  };
};
