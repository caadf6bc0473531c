// Elements of plain values: h("td", { class: "number", onclick }, "text", child, [more]).
export const h = (tag, given = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  add(element, children);
  return element;
};

const add = (parent, children) => {
  for (const child of children.flat(Infinity)) if (child != null && child !== false) parent.append(child);
};

export const put = (parent, ...children) => {
  parent.replaceChildren();
  add(parent, children);
  return parent;
};

// Sets a text only where it differs, so that nothing is drawn or read out anew for nothing.
export const say = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

// A box with words for where there is nothing (yet): what to do, and the command that does it.
export const empty = (title, words, command) =>
  h("div", { class: "empty" }, h("h2", {}, title), words && h("p", {}, words), command && h("pre", {}, command));
