// What was said of each window, as a strip of colours: the device, the teacher, the labels, and what is not learnt.
import { h, say } from "../lib/dom.js";
import { count, moment } from "../lib/format.js";
import { colour } from "../lib/plot.js";
import { onTheme } from "../lib/theme.js";

const ROW = 16;
const GAP = 4;
const LEFT = 56;
const HUES = ["class-0", "class-1", "class-2", "class-3", "class-4", "class-5", "class-6", "class-7"];

export class Strip {
  constructor() {
    this.canvas = h("canvas", { class: "strip", role: "img" });
    this.legend = h("div", { class: "chips" });
    this.words = h("p", { class: "soft" });
    this.box = h("div", {}, this.canvas, this.legend, this.words);
    this.forget = onTheme(() => this.again());
    this.resized = new ResizeObserver(() => this.again());
    this.resized.observe(this.box);
    this.given = null;
  }

  destroy() {
    this.forget();
    this.resized.disconnect();
  }

  again() {
    if (this.given) this.draw(...this.given);
  }

  // `plot`: of the readings above; where it is as wide, both are read together.
  draw(found, plot) {
    this.given = [found, plot];
    const { said, last, teacher, classes, exclusions, holds, since, until } = found;
    const rows = [["device", said.times, said.classes], ["teacher", teacher.times, teacher.classes], ["label", said.times, said.labels]]
      .filter(([name, , values]) => name === "device" || values.some((value) => value >= 0));
    const spans = [...exclusions.map(({ start, end }) => [start, end]), ...holds.map((each) => [each.since, until])].filter(([start, end]) => start < until && end > since);
    const names = [...rows.map(([name]) => name), ...(spans.length ? ["not learnt"] : [])];
    const ratio = devicePixelRatio || 1;
    const width = Math.max(200, this.box.clientWidth);
    const height = names.length * (ROW + GAP);
    Object.assign(this.canvas, { width: width * ratio, height: height * ratio });
    this.canvas.style.height = `${height}px`;
    const ctx = this.canvas.getContext("2d");
    ctx.scale(ratio, ratio);
    const inner = plot?.inner();
    const wide = inner && inner.width > 0.8 * (width - LEFT);
    const left = wide ? inner.left : LEFT;
    const across = (wide ? inner.width : width - LEFT) / (until - since);
    const x = (time) => left + (time - since) * across;
    ctx.font = "12px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    const hues = HUES.map(colour);
    names.forEach((name, row) => {
      const top = row * (ROW + GAP);
      ctx.fillStyle = colour("soft");
      ctx.fillText(name, 0, top + ROW / 2);
      ctx.fillStyle = colour("grid");
      ctx.fillRect(left, top, across * (until - since), ROW);
      if (name === "not learnt") {
        ctx.fillStyle = colour("warn");
        for (const [start, end] of spans) ctx.fillRect(x(Math.max(start, since)), top, Math.max(1, x(Math.min(end, until)) - x(Math.max(start, since))), ROW);
        return;
      }
      const [, times, values] = rows[row];
      this.row(ctx, times, values, x, top, hues);
    });
    if (this.shown !== classes.join()) {
      this.shown = classes.join();
      this.legend.replaceChildren(...classes.map((name, number) => {
        const swatch = h("i", { class: "square" });
        swatch.style.background = `var(--${HUES[number % HUES.length]})`;
        return h("span", { class: "key" }, swatch, name);
      }));
    }
    const tally = classes.map((name, number) => [name, said.classes.filter((value) => value === number).length]).filter(([, n]) => n);
    const words = tally.length ? `${count(said.times.length)} windows: ${tally.map(([name, n]) => `${name} ${count(n)}`).join(", ")}.` : `It said nothing in this time.${last ? ` Its last word was ${classes[last.value]}, ${moment(last.time)}.` : ""}`;
    say(this.words, words);
    this.canvas.setAttribute("aria-label", `What was said of each window by ${names.join(", ")}. ${words}`);
  }

  // A window's word holds from the window before to its own end.
  row(ctx, times, values, x, top, hues) {
    const widths = times.slice(1).map((time, place) => time - times[place]).sort((a, b) => a - b);
    const usual = widths[Math.floor(widths.length / 2)] ?? 1;
    values.forEach((value, place) => {
      if (value < 0) return;
      const begin = place && times[place] - times[place - 1] < 3 * usual ? times[place - 1] : times[place] - usual;
      ctx.fillStyle = hues[value % hues.length];
      ctx.fillRect(x(begin), top, Math.max(1, x(times[place]) - x(begin)), ROW);
    });
  }
}
