// How far a training is, as the distiller tells it.
import { h } from "../lib/dom.js";
import { moment } from "../lib/format.js";

export const said = (steps) => h("ul", { class: "log" }, steps.slice(-8).map((step) =>
  h("li", {}, h("time", {}, moment(step.at).slice(11, 19)), " ", h("b", {}, step.stage || step.event), " ", step.detail)));

const TRAINED = { training: "The teacher is being trained", distillation: "The first student is being distilled" };

// Before the first round teacher and student are trained: "step 40 of 200, about 8 s left".
export const preparing = (steps) => {
  const { stage, detail } = steps.at(-1);
  const [, done, all] = detail.match(/step (\d+) of (\d+)/) ?? [];
  return h("section", { class: "live" }, h("h2", {}, "Before the next round"),
    all && TRAINED[stage] && h("p", {}, `${TRAINED[stage]}: ${detail}.`),
    all && h("progress", { max: all, value: Number(done), "aria-label": "how far the training is" }), said(steps));
};
