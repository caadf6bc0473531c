// What keys there are.
import { h } from "./dom.js";

export const startHelp = (button, views) => {
  const keys = [
    ...views.map((view, number) => [`${number + 1}`, view.title]),
    ["/", "search"],
    ["?", "this help"],
    ["← →", "read a plot, point by point"],
    ["Esc", "leave a field; a plot shows all again"],
  ];
  button.addEventListener("click", () => {
    const dialog = h("dialog", { "aria-labelledby": "help-title" },
      h("h2", { id: "help-title" }, "Keys"),
      h("dl", { class: "keys" }, keys.map(([key, words]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)])),
      h("p", {}, "Drag over a plot to look closer, double-click to see all. Times are in UTC."),
      h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  });
};
