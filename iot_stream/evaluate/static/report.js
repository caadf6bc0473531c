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
    if (!data.dates) return `${second.toFixed(1)} s`;
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

  // Marks: a drift is a line with its words, a round a dot on the floor, a swap a tick beneath it.
  const shown = { drift: true, released: true, rejected: true, swap: true };
  const draw = {
    drift(ctx, x, box, label) {
      const unit = ratio();
      ctx.setLineDash([5 * unit, 4 * unit]);
      ctx.lineWidth = 1.5 * unit;
      ctx.beginPath(); ctx.moveTo(x, box.top); ctx.lineTo(x, box.top + box.height); ctx.stroke();
      const roomRight = box.left + box.width - x;
      const right = roomRight > x - box.left;
      ctx.font = `${12 * unit}px system-ui, sans-serif`;
      ctx.textAlign = right ? "left" : "right";
      ctx.textBaseline = "bottom";
      const lines = wrap(ctx, label, Math.max(roomRight, x - box.left) - 8 * unit);
      lines.reverse().forEach((line, number) => {
        ctx.fillText(line, x + (right ? 5 : -5) * unit, box.top + box.height - (26 + 15 * number) * unit);
      });
    },
    released(ctx, x, box) {
      const unit = ratio();
      ctx.beginPath(); ctx.arc(x, box.top + box.height - 15 * unit, 4.5 * unit, 0, 2 * Math.PI); ctx.fill();
    },
    rejected(ctx, x, box) {
      const unit = ratio();
      ctx.lineWidth = 2 * unit;
      ctx.beginPath(); ctx.arc(x, box.top + box.height - 15 * unit, 4 * unit, 0, 2 * Math.PI); ctx.stroke();
    },
    swap(ctx, x, box) {
      const unit = ratio();
      const floor = box.top + box.height;
      ctx.lineWidth = unit;
      ctx.beginPath(); ctx.moveTo(x, floor); ctx.lineTo(x, floor - 7 * unit); ctx.stroke();
    },
  };
  const drawMarks = (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    for (const mark of data.marks) {
      const x = plot.valToPos(mark.seconds, "x", true);
      if (!shown[mark.kind] || x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.save();
      ctx.setLineDash([]);
      ctx.strokeStyle = ctx.fillStyle = colour(mark.kind);
      draw[mark.kind](ctx, x, bbox, mark.label);
      ctx.restore();
    }
    ctx.restore();
  };

  // Under the curve: the moment under the cursor and the marks within 8 pixels of it.
  const HINT = "Point at the curves to read them, drag to zoom in, double-click to zoom out.";
  const tellMarks = (plot) => {
    const line = document.getElementById("accuracy-readout");
    const { left, idx } = plot.cursor;
    if (idx == null || left < 0) { line.textContent = HINT; return; }
    const near = data.marks.filter(
      (mark) => shown[mark.kind] && Math.abs(plot.valToPos(mark.seconds, "x") - left) <= 8
    );
    const words = near.slice(0, 3).map((mark) => mark.label);
    if (near.length > 3) words.push(`and ${near.length - 3} more`);
    line.textContent = [moment(plot.posToVal(left, "x")), ...words].join("  ·  ");
  };

  const axis = (format) => ({
    stroke: () => colour("soft"),
    grid: { stroke: () => colour("grid"), width: 1 },
    ticks: { show: false },
    size: 30,
    ...format,
  });
  const tickWord = (tick, step) => {
    if (!data.dates) return `${tick} s`;
    const words = new Date(1000 * tick).toUTCString(); // Wed, 11 Feb 2015 14:00:00 GMT
    return step >= 86400 || tick % 86400 === 0 ? words.slice(5, 11) : words.slice(17, 22);
  };
  const timeAxis = () =>
    axis({ space: 50, values: (_, ticks, axisIndex, space, step) => ticks.map((tick) => tickWord(tick, step)) });

  // One plot with its own legend: buttons that switch a curve off and show its value at the cursor.
  const plotIn = (id, chipKey, table, series, scale, plugin) => {
    const host = document.getElementById(id);
    const size = () => ({ width: host.clientWidth, height: host.clientHeight });
    const chips = series.map((each) =>
      document.querySelector(`.chips[data-for=${id}] [data-${chipKey}="${CSS.escape(each.name)}"]`)
    );
    const hooks = {
      setCursor: [
        (plot) => series.forEach((each, number) => {
          const index = plot.cursor.idx;
          chips[number].querySelector("output").textContent =
            index == null ? "" : each.format(table[number + 1][index]);
        }),
      ],
      draw: [],
    };
    if (plugin) { hooks.draw.push(drawMarks); hooks.setCursor.push(tellMarks); }
    const options = {
      ...size(),
      tzDate: (second) => uPlot.tzDate(new Date(1000 * second), "Etc/UTC"),
      scales: { x: { time: data.dates }, y: scale },
      axes: [timeAxis(), axis({ size: 58, values: (_, ticks) => ticks.map(series[0].tick) })],
      legend: { show: false },
      cursor: { y: false, points: { size: 7 }, drag: { x: true, y: false } },
      series: [
        {},
        ...series.map((each) => ({
          stroke: () => colour(each.colour),
          width: each.width,
          dash: each.dash,
          spanGaps: true,
          points: { show: false },
        })),
      ],
      hooks,
    };
    const plot = new uPlot(options, table, host);
    chips.forEach((chip, number) => {
      chip.style.setProperty("--colour", `var(--${series[number].colour}, var(--other))`);
      chip.addEventListener("click", () => {
        const on = chip.getAttribute("aria-pressed") !== "true";
        chip.setAttribute("aria-pressed", on);
        plot.setSeries(number + 1, { show: on });
      });
    });
    new ResizeObserver(() => plot.setSize(size())).observe(host);
    plots.push(plot);
    return plot;
  };

  const accuracyPlot = () => {
    const names = Object.keys(data.accuracy);
    if (!names.length) return null;
    const table = uPlot.join(names.map((name) => [data.accuracy[name].seconds, data.accuracy[name].values]));
    const lowest = Math.min(...table.slice(1).flat().filter((value) => value != null));
    const floor = Math.max(0, Math.floor(10 * lowest - 1) / 10);
    const plot = plotIn(
      "accuracy", "rival", table,
      names.map((name) => ({
        name, colour: name, format: percent,
        tick: (value) => `${Math.round(100 * value)} %`,
        width: name === "student" ? 2.5 : 1.5,
        dash: name === "teacher" ? [6, 4] : undefined,
      })),
      { range: [floor, 1.02] }, true
    );
    for (const chip of document.querySelectorAll("[data-mark]")) {
      const kind = chip.dataset.mark;
      chip.style.setProperty("--colour", `var(--${kind})`);
      chip.addEventListener("click", () => {
        shown[kind] = !shown[kind];
        chip.setAttribute("aria-pressed", shown[kind]);
        plot.redraw();
      });
    }
    return plot;
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
      { range: (_, low, high) => [0, high * 1.05 || 1] }, false
    );
  };

  const plot = accuracyPlot();
  if (plot) tellMarks(plot);
  trafficPlot();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.redraw()));
})();
