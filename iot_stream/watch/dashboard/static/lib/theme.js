// Light or dark: as the system has it, or as a person says.
const KEY = "iot-stream-theme";
const ORDER = ["system", "light", "dark"];
const watchers = new Set();

const current = () => localStorage.getItem(KEY) ?? "system";

const show = (button) => {
  const name = current();
  document.documentElement.dataset.theme = name;
  button.textContent = { system: "◐", light: "○", dark: "●" }[name];
  button.setAttribute("aria-label", `Theme: ${name}`);
  button.title = `theme: ${name}`;
  watchers.forEach((watcher) => watcher());
};

export const onTheme = (watcher) => {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
};

export const startTheme = (button) => {
  show(button);
  button.addEventListener("click", () => {
    localStorage.setItem(KEY, ORDER[(ORDER.indexOf(current()) + 1) % ORDER.length]);
    show(button);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(button));
};
