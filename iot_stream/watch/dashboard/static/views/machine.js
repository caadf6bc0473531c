// The update of a device as a machine: its states in order, where it stands, and what stopped it (docs/protocol.md).
import { h } from "../lib/dom.js";

// What leads into each state, and what is done there.
const STEPS = [
  ["VERIFY", "a bundle", "signatures, numbers, whom it is for"],
  ["FETCH", "what is missing", "its pieces, in any order"],
  ["TEST", "all is there", "loaded, and its golden windows"],
  ["WRITE", "it gives what it should", "on the disk"],
];
const STOPPED = { altered: "FETCH", self_test: "TEST", disk: "WRITE" }; // all other refusals are of VERIFY

const runs = (version) => (version ? ["RUNNING", `version ${version}`] : ["EMPTY", "no model yet"]);

// Where an update began and was to end, and which state it is in, of the state that is told and what the device reported.
const stand = ({ version, stable, update }, events) => {
  const last = (event, test) => events.find((each) => each.event === event && test(each.report))?.report;
  if (update === "none") return { from: 0, to: stable, at: "from", words: stable ? `It has no model yet; version ${stable} waits for it.` : "It has no model yet, and none is released." };
  if (update === "behind") return { from: version, to: stable, at: "from", words: `Version ${stable} waits for it, or is on its way: it says so when it runs.` };
  if (update === "pinned") return { from: version, to: stable, at: "from", words: version ? `It is pinned to version ${version}: no release is taken.` : "It is pinned, to the first version that it gets." };
  if (update === "refused") {
    const report = last("rejected", () => true) ?? {};
    return { from: version, to: report.offered, at: "from", stopped: STOPPED[report.reason] ?? "VERIFY", words: `It refused version ${report.offered} (${report.reason}) and is where it was.` };
  }
  if (update === "left") {
    const report = last("rolled_back", () => true) ?? {};
    return { from: version, to: report.previous, at: "from", stopped: "RUNNING", words: `It ran version ${report.previous} and left it again: ${report.reason}.` };
  }
  const before = last("applied", (report) => report.version === version)?.previous;
  return { from: before ?? 0, to: version, at: "to", words: before ? `It took version ${version} in place of version ${before}.` : `It runs version ${version}.` };
};

export const machine = (state, events) => {
  const { from, to, at, stopped, words } = stand(state, events);
  const box = ([name, told], by, mark) => h("li", { class: mark === "stopped" ? "stopped" : null, "aria-current": mark === "here" ? "step" : null },
    by && h("span", { class: "by" }, `${by} →`),
    h("span", { class: "box" }, h("b", {}, name), h("small", {}, told), mark === "stopped" && h("small", { class: "bad" }, "stopped here")));
  return h("div", {},
    h("p", {}, words),
    h("ol", { class: "machine", "aria-label": "States of an update" },
      box(runs(from), null, at === "from" && "here"),
      STEPS.map(([name, by, told]) => box([name, told], by, name === stopped && "stopped")),
      box(to ? runs(to) : ["RUNNING", "a version"], "written", at === "to" ? "here" : stopped === "RUNNING" && "stopped")),
    h("p", { class: "soft" }, "The model that runs goes on through all of these. What is refused leaves it where it was; one that does badly while it runs gives way to the version before."));
};
