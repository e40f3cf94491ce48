// Elements are made and filled here; every text goes in as text, never as HTML.

export const at = (id) => document.getElementById(id);

export const make = (tag, attributes = {}, ...inside) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
};

export const button = (text, label, onClick, attributes = {}) => {
  const element = make("button", {type: "button", ...attributes}, text);
  if (label) element.setAttribute("aria-label", label);
  element.addEventListener("click", onClick);
  return element;
};

export const pairs = (list, rows) =>
  list.replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));

export const show = (id, visible) => {
  at(id).hidden = !visible;
};
