// Draws the curves of a report with uPlot; everything else on the page is plain HTML.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const plots = [];

  const colour = (name) => {
    const style = getComputedStyle(document.documentElement);
    return style.getPropertyValue(`--${name}`).trim() || style.getPropertyValue("--other").trim();
  };
  const ratio = () => devicePixelRatio || 1;
  const percent = (value) => (value == null ? "" : `${(100 * value).toFixed(1)}\u00a0%`);
  const bytes = (count) => {
    if (count == null) return "";
    const unit = ["B", "kB", "MB", "GB", "TB"];
    let step = 0;
    while (count >= 1000 && step < unit.length - 1) { count /= 1000; step += 1; }
    return `${count.toFixed(step ? 1 : 0)}\u00a0${unit[step]}`;
  };
  const moment = (second) => {
    if (!data.dates) return `${second.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} s`;
    return `${new Date(1000 * second).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  };

  const wrap = (ctx, words, width) => {
    const lines = [""];
    for (const word of words.split(" ")) {
      const longer = `${lines.at(-1)} ${word}`.trim();
      if (ctx.measureText(longer).width <= width) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines;
  };
  const shorten = (ctx, words, width) => {
    const letters = [...words];
    const fits = (count) => ctx.measureText(`${letters.slice(0, count).join("")}…`).width <= width;
    if (ctx.measureText(words).width <= width) return words;
    return `${letters.slice(0, letters.findLastIndex((_, count) => fits(count))).join("")}…`;
  };

  // Marks: a segment is a thin line with its name above the box, a drift a line with its words, a round a
  // dot on the floor, a swap a tick beneath it.
  const shown = { segment: true, drift: true, released: true, rejected: true, swap: true };
  const line = (ctx, x, top, bottom, width) => {
    ctx.lineWidth = width * ratio();
    ctx.beginPath(); ctx.moveTo(x, top); ctx.lineTo(x, bottom); ctx.stroke();
  };
  const draw = {
    segment(ctx, x, box) {
      line(ctx, x, box.top - 4 * ratio(), box.top + box.height, 1);
    },
    drift(ctx, x, box, label) {
      const unit = ratio();
      ctx.setLineDash([5 * unit, 4 * unit]);
      line(ctx, x, box.top, box.top + box.height, 1.5);
      const roomRight = box.left + box.width - x;
      const right = roomRight > x - box.left;
      ctx.textAlign = right ? "left" : "right";
      ctx.textBaseline = "bottom";
      const lines = wrap(ctx, label, Math.max(roomRight, x - box.left) - 8 * unit);
      lines.reverse().forEach((words, number) => {
        ctx.fillText(words, x + (right ? 5 : -5) * unit, box.top + box.height - (26 + 15 * number) * unit);
      });
    },
    released(ctx, x, box, _, radius) {
      ctx.beginPath(); ctx.arc(x, box.top + box.height - 15 * ratio(), radius, 0, 2 * Math.PI); ctx.fill();
    },
    rejected(ctx, x, box, _, radius) {
      ctx.lineWidth = Math.min(2 * ratio(), 0.6 * radius);
      ctx.beginPath(); ctx.arc(x, box.top + box.height - 15 * ratio(), 0.9 * radius, 0, 2 * Math.PI); ctx.stroke();
    },
    swap(ctx, x, box) {
      const floor = box.top + box.height;
      line(ctx, x, floor, floor - 7 * ratio(), 1);
    },
  };
  // Names of segments from left to right, as many as find room: a name that would touch the last is left out.
  // The segment that began before the box is named at its edge.
  const nameSegments = (plot) => {
    const { ctx, bbox: box } = plot;
    const gap = 6 * ratio();
    const end = box.left + box.width;
    const places = data.marks
      .filter(({ kind }) => kind === "segment")
      .map(({ seconds, label }) => [plot.valToPos(seconds, "x", true), label]);
    const first = Math.max(0, places.findLastIndex(([x]) => x <= box.left));
    const segments = places.slice(first).filter(([x]) => x <= end).map(([x, label]) => [Math.max(x, box.left), label]);
    let free = 0;
    ctx.fillStyle = colour("soft");
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    for (const [x, label] of segments) {
      const words = shorten(ctx, label, box.width);
      const width = ctx.measureText(words).width;
      const left = Math.min(x, end - width);
      if (left < free) continue;
      ctx.fillText(words, left, box.top - 5 * ratio());
      free = left + width + gap;
    }
  };
  const drawMarks = (plot) => {
    const { ctx, bbox } = plot;
    const place = (mark) => plot.valToPos(mark.seconds, "x", true);
    const inside = data.marks
      .filter((mark) => shown[mark.kind])
      .map((mark) => [place(mark), mark])
      .filter(([x]) => x >= bbox.left - 1 && x <= bbox.left + bbox.width + 1);
    // Many rounds are small dots: they touch, they do not cover each other.
    const rounds = inside.filter(([, { kind }]) => kind === "released" || kind === "rejected").length;
    const radius = Math.max(1.5 * ratio(), Math.min(4.5 * ratio(), bbox.width / (2.2 * rounds)));
    ctx.save();
    ctx.font = `${12 * ratio()}px system-ui, sans-serif`;
    for (const kind of Object.keys(draw)) {
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colour(kind);
      for (const [x, mark] of inside) if (mark.kind === kind) draw[kind](ctx, x, bbox, mark.label, radius);
      ctx.restore();
    }
    if (shown.segment) nameSegments(plot);
    ctx.restore();
  };

  // The interval of each curve as a band behind it; where either end is missing there is none.
  const drawBands = (plot, names) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    names.forEach((name, number) => {
      const { seconds, low, high } = data.accuracy[name];
      if (!low || !high || !plot.series[number + 1].show) return;
      const point = (ends, index) => [plot.valToPos(seconds[index], "x", true), plot.valToPos(ends[index], "y", true)];
      let run = [];
      const fill = () => {
        const edge = [...run.map((index) => point(high, index)), ...run.reverse().map((index) => point(low, index))];
        ctx.beginPath();
        edge.forEach(([x, y]) => ctx.lineTo(x, y));
        ctx.fill();
        run = [];
      };
      ctx.fillStyle = colour(name);
      ctx.globalAlpha = name === "student" ? 0.22 : 0.12;
      seconds.forEach((_, index) => {
        if (low[index] == null || high[index] == null) fill();
        else run.push(index);
      });
      fill();
    });
    ctx.restore();
  };

  // Under the curve: the moment under the cursor, its segment and the marks within 8 pixels of it.
  const HINT =
    "The figures are the latest. Point at the curves to read them, drag to zoom in, double-click to zoom out.";
  const tellMarks = (plot) => {
    const told = document.getElementById("accuracy-readout");
    const { left, idx } = plot.cursor;
    if (idx == null || left < 0) { told.textContent = HINT; return; }
    const second = plot.posToVal(left, "x");
    const segment = data.marks.findLast((mark) => mark.kind === "segment" && mark.seconds <= second);
    const near = data.marks.filter(
      (mark) => shown[mark.kind] && mark !== segment && Math.abs(plot.valToPos(mark.seconds, "x") - left) <= 8
    );
    const words = near.slice(0, 3).map((mark) => mark.label);
    if (near.length > 3) words.push(`and ${near.length - 3} more`);
    told.textContent = [moment(second), ...(segment ? [segment.label] : []), ...words].join("  ·  ");
  };

  const axis = (format) => ({
    stroke: () => colour("soft"),
    grid: { stroke: () => colour("grid"), width: 1 },
    ticks: { show: false },
    size: 30,
    ...format,
  });
  const tickWord = (tick, step) => {
    if (!data.dates) return `${tick.toLocaleString("en")} s`;
    const words = new Date(1000 * tick).toUTCString(); // Wed, 11 Feb 2015 14:00:00 GMT
    return step >= 86400 || tick % 86400 === 0 ? words.slice(5, 11) : words.slice(17, 22);
  };
  const timeAxis = () =>
    axis({ space: 60, values: (_, ticks, axisIndex, space, step) => ticks.map((tick) => tickWord(tick, step)) });

  // The arrow keys move the cursor from point to point, Home and End to the first and the last.
  const readByKeys = (host, plot) => {
    const [seconds] = plot.data;
    const put = (index) => plot.setCursor({ left: plot.valToPos(seconds[index], "x"), top: 1 });
    host.addEventListener("keydown", (event) => {
      const from = plot.cursor.left >= 0 ? plot.cursor.idx : null;
      const last = seconds.length - 1;
      const to = {
        ArrowRight: from == null ? 0 : Math.min(last, from + 1),
        ArrowLeft: from == null ? last : Math.max(0, from - 1),
        Home: 0,
        End: last,
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      put(to);
    });
    host.addEventListener("blur", () => plot.setCursor({ left: -10, top: -10 }));
  };

  // Indices of values between two gaps, which no line reaches. (Undefined is no gap: another curve has a point there.)
  const alone = (values) => {
    const known = [...values.keys()].filter((index) => values[index] !== undefined);
    const gap = (place) => values[known[place]] == null;
    return known.filter((_, place) => gap(place - 1) && !gap(place) && gap(place + 1));
  };

  // One plot with its own legend: buttons that switch a curve off and show its value at the cursor, or the latest.
  const plotIn = (id, chipKey, table, series, options) => {
    const host = document.getElementById(id);
    const size = () => ({ width: host.clientWidth, height: host.clientHeight });
    const chips = series.map((each) =>
      document.querySelector(`.chips[data-for=${id}] [data-${chipKey}="${CSS.escape(each.name)}"]`)
    );
    const tell = (plot) => series.forEach((each, number) => {
      const values = table[number + 1];
      const index = plot.cursor.left >= 0 ? plot.cursor.idx : values.findLastIndex((value) => value != null);
      chips[number].querySelector("output").textContent = each.format(values[index], table[0][index]);
    });
    const { hooks, ...more } = options;
    const plot = new uPlot({
      ...size(),
      tzDate: (second) => uPlot.tzDate(new Date(1000 * second), "Etc/UTC"),
      axes: [timeAxis(), axis({ size: 58, values: (_, ticks) => ticks.map(series[0].tick) })],
      legend: { show: false },
      cursor: { y: false, points: { size: 7 }, drag: { x: true, y: false } },
      series: [
        {},
        ...series.map((each, number) => ({
          stroke: () => colour(each.colour),
          width: each.width,
          dash: each.dash,
          points: { show: false, size: 4, filter: () => alone(table[number + 1]) },
        })),
      ],
      ...more,
      hooks: { ...hooks, setCursor: [tell, ...(hooks.setCursor ?? [])] },
    }, table, host);
    tell(plot);
    chips.forEach((chip, number) => {
      chip.style.setProperty("--colour", `var(--${series[number].colour}, var(--other))`);
      chip.addEventListener("click", () => {
        const on = chip.getAttribute("aria-pressed") !== "true";
        chip.setAttribute("aria-pressed", on);
        plot.setSeries(number + 1, { show: on });
      });
    });
    readByKeys(host, plot);
    new ResizeObserver(() => plot.setSize(size())).observe(host);
    plots.push(plot);
    return plot;
  };
  const accuracyPlot = () => {
    // The last is drawn above the others: that is to be the first of the legend, the student.
    const names = Object.keys(data.accuracy).reverse();
    if (!names.length) return;
    const curves = names.map((name) => data.accuracy[name]);
    const table = uPlot.join(curves.map(({ seconds, values }) => [seconds, values]));
    const lowest = Math.min(...table.slice(1).flat().filter((value) => value != null));
    const floor = Math.max(0, Math.floor(10 * lowest - 1) / 10);
    const withInterval = ({ seconds, low, high }) => (value, second) => {
      const index = seconds.indexOf(second);
      if (value == null || low?.[index] == null || high?.[index] == null) return percent(value);
      return `${percent(value)} (${(100 * low[index]).toFixed(1)}–${(100 * high[index]).toFixed(1)})`;
    };
    const named = data.marks.some((mark) => mark.kind === "segment");
    const plot = plotIn(
      "accuracy", "rival", table,
      names.map((name, number) => ({
        name, colour: name, format: withInterval(curves[number]),
        tick: (value) => `${Math.round(100 * value)} %`,
        width: name === "student" ? 2.5 : 1.5,
        dash: { teacher: [6, 4], control: [2, 3] }[name],
      })),
      {
        scales: { x: { time: data.dates }, y: { range: [floor, 1.02] } },
        padding: [named ? 22 : null, null, null, null],
        hooks: { drawAxes: [(plot) => drawBands(plot, names)], draw: [drawMarks], setCursor: [tellMarks] },
      }
    );
    tellMarks(plot);
    for (const chip of document.querySelectorAll("[data-mark]")) {
      const kind = chip.dataset.mark;
      chip.style.setProperty("--colour", `var(--${kind})`);
      chip.addEventListener("click", () => {
        shown[kind] = !shown[kind];
        chip.setAttribute("aria-pressed", shown[kind]);
        plot.redraw();
      });
    }
  };

  const trafficPlot = () => {
    if (!data.traffic || !data.traffic.seconds.length) return;
    const { seconds, up, down } = data.traffic;
    plotIn(
      "traffic", "way", [seconds, up, down],
      [
        { name: "up", colour: "static", format: bytes, tick: bytes, width: 1.5 },
        { name: "down", colour: "student", format: bytes, tick: bytes, width: 2.5 },
      ],
      { scales: { x: { time: data.dates }, y: { range: (_, low, high) => [0, high * 1.05 || 1] } }, hooks: {} }
    );
  };

  accuracyPlot();
  trafficPlot();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.redraw()));
})();
