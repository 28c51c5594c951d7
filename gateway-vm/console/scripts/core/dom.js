// Elements from code. Text is always a text node: nothing that comes from a page or an API is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: `h("a", { href, class: "x", onclick }, "text", child)`. `style` is an object, set through the CSSOM. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style")
      for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Put these in place of what an element holds. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+/g;
export const LINE_CHARACTERS = 240;

/** One line of foreign text: cut, without characters that turn a line around or hide in it. */
export function line(text, most = LINE_CHARACTERS) {
  const cut = String(text ?? "")
    .slice(0, most * 2)
    .replace(CONTROLS, " ")
    .trim();
  return cut.length > most ? `${cut.slice(0, most)}…` : cut;
}

/** Foreign text as an element of its own, whose direction ends where it does; the whole line on hover. */
export function foreign(text, attributes = {}) {
  const shown = line(text);
  return h("bdi", { title: shown, ...attributes }, shown);
}

/** A URL: without its scheme, which is the same everywhere, and never a link that runs a script. */
export function address(url) {
  const [, host = "", path] = /^(?:https?:\/\/([^/?#]*))?(.*)$/s.exec(line(url, 500));
  return h(
    "bdi",
    { class: "address", title: line(url, 500) },
    h("span", { class: "host" }, host),
    h("span", { class: "path" }, line(path)),
  );
}

/** A link to the page itself, in a tab that knows nothing of this one. Only for the web's own schemes. */
export function outward(url, text = "Open") {
  if (!/^https?:\/\//i.test(url)) return null;
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow", class: "quiet" }, text, " ↗");
}

/** An id for labels. */
let last = 0;
export function nextId(prefix = "id") {
  last += 1;
  return `${prefix}-${last}`;
}

/** Let the browser draw, and answer what was typed. */
export function breathe() {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(0);
  });
}
