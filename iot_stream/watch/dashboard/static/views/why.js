// Why a round changed the student: what the round's report says, in words, tables and drawings.
import { h } from "../lib/dom.js";
import { count, percent } from "../lib/format.js";
import { bar, curve, folded, picture, table } from "../lib/pieces.js";

const FULL = 3; // standard deviations of a bar that is full
const TITLES = {
  decision: "What drives the decision",
  moved: "Which classes moved",
  disagreement: "Where teacher and student disagree",
  drift: "What drifted",
  learnt: "What was learnt from",
};

const shareRow = (name, [was, now], meaning) => [
  h("span", { title: meaning || null }, name), percent(was), percent(now), bar(now, was, "student", `${name}: ${percent(was)} → ${percent(now)}`)];
const SHARES = [{ words: "running", number: true }, { words: "new", number: true }, { words: "share", hidden: true }];

const decision = (found) => found && [
  table("What drives the decision", ["input", ...SHARES], [
    ...Object.entries(found.channels).sort(([, one], [, other]) => other[1] - one[1]).map(([name, pair]) => shareRow(name, pair, found.meanings[name])),
    ...(Math.max(...found.others) >= 0.005 ? [shareRow("all others", found.others)] : []),
  ]),
  h("p", { class: "soft" }, "Shares of the decision; the thin line is the running student's."),
  Object.keys(found.bands).length > 0 && [
    table("By frequency", ["frequency", ...SHARES], Object.entries(found.bands).map(([name, pair]) => shareRow(name, pair))),
    folded("cells", "Inputs by frequency", table("Inputs by frequency", ["input", ...SHARES], found.cells.map(([name, band, was, now]) => shareRow(`${name}, ${band}`, [was, now])))),
  ],
];

const moved = (found) => found?.changed > 0 && [
  table("Ways", ["from", "to", { words: "windows", number: true }], found.ways.map(([was, now, n]) => [was, now, count(n)])),
  folded("which", `${found.which.length} of the windows that changed`, table("Windows that changed",
    ["device", "window ends", "from", "to", found.basis === "labels" ? "label" : "teacher"],
    found.which.map(([device, end, ...words]) => [device, end.slice(0, 19).replace("T", " "), ...words]))),
];

const example = (each) => h("figure", { class: "example" },
  h("figcaption", {}, `${each.device}, ${each.end.slice(0, 19).replace("T", " ")} UTC`, h("br"),
    `teacher: ${each.teacher} (${percent(each.teacher_p, 0)}), student: ${each.student} (${percent(each.student_p, 0)})${each.label ? `, label: ${each.label}` : ""}`),
  each.picture.length ? picture(each.picture)
    : Object.values(each.values).some((values) => values.length > 1)
      ? Object.entries(each.values).map(([name, values]) => curve(`${name}, last ${values.length} readings`, values))
      : table("Inputs", ["input", { words: "deviations from the mean", number: true }],
        Object.entries(each.values).map(([name, [value]]) => [name, value == null ? "missing" : value.toFixed(1)])));

const disagreement = (found) => found?.examples.length > 0 && h("div", { class: "examples" }, found.examples.map(example));

const drifted = (each) => each.distance > Math.max(0.25, 1.5 * each.usual); // as the words have it

const drift = (found) => {
  if (!found) return null;
  const distances = Object.entries(found.channels);
  const full = Math.max(FULL, ...distances.filter(([, each]) => !each.constant).map(([, each]) => each.distance));
  return [
    table("What drifted", ["input", { words: "distance", number: true }, { words: "of the full field", hidden: true }, { words: "usual", number: true }, { words: "last step", number: true }],
      distances.map(([name, each]) => [name, `${each.distance.toFixed(2)}${each.constant ? " (was constant)" : ""}`,
        bar(each.distance / full, each.usual / full, drifted(each) ? "far" : "", `${name}: ${each.distance.toFixed(2)} standard deviations, usual up to ${each.usual.toFixed(2)}`),
        each.usual.toFixed(2), each.step == null ? "–" : each.step.toFixed(2)])),
    h("p", { class: "soft" }, "In standard deviations of the bootstrap; the thin line is how far its own stretches are at most."),
    found.bands.length > 0 && folded("bands", "By frequency", table("By frequency", ["input", "strength at", { words: "distance", number: true }, { words: "usual", number: true }],
      found.bands.map(([name, band, distance, usual]) => [name, band, distance.toFixed(1), usual.toFixed(1)]))),
  ];
};

export const why = (found, excluded) => h("section", { class: "why" }, h("h2", {}, "Why it changed"),
  Object.entries(TITLES).map(([part, title]) => h("div", {},
    h("h3", {}, title),
    h("p", {}, [...(found.words[part] ?? []), part === "learnt" && excluded ? `${count(excluded)} windows were taken out by a person.` : ""].join(" ")),
    { decision, moved, disagreement, drift }[part]?.(found[part]))));
