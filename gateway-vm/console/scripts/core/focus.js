// Live updates beside a keyboard: what looks as it did stays, and focus goes on with the control in the old one's place.

import { append, h, put } from "./dom.js";

const CONTROLS = "a[href], button, input, select, textarea, summary, [tabindex]";
const drawn = new WeakMap(); // by element: what it was last given, as markup, and the nodes that came of it
const successors = new WeakMap(); // by control that is gone: what took its place

/**
 * Put these in place of what an element holds, unless that looks just the same.
 *
 * What listens in them must not keep what they do not show: it may be there for long after it was made.
 */
export function redraw(element, ...children) {
  const fresh = h("div", {});
  append(fresh, children);
  // as it is given: times and ids that are copied draw themselves, once in the page
  const markup = new XMLSerializer().serializeToString(fresh);
  const before = drawn.get(element);
  if (before?.markup === markup && same(before.nodes, [...element.childNodes])) return element;
  const held = document.activeElement;
  const old = controlsOf(element);
  put(element, [...fresh.childNodes]);
  succeed(old, controlsOf(element));
  drawn.set(element, { markup, nodes: [...element.childNodes] });
  if (old.includes(held)) giveBack(held);
  return element;
}

const same = (some, others) => some.length === others.length && some.every((one, at) => one === others[at]);

export const controlsOf = (element) => [...element.querySelectorAll(CONTROLS)];

/** Remember of controls that are gone which ones are in their places: the same by name, else by number. */
export function succeed(old, fresh) {
  const known = new Map(named(fresh));
  for (const [at, [name, control]] of named(old).entries()) {
    const next = known.get(name) ?? fresh[at] ?? fresh.at(-1);
    if (next && next !== control) successors.set(control, next);
  }
}

/** Controls by what stays of them when figures change; the second of a name is another one. */
function named(controls) {
  const met = new Map();
  return controls.map((one) => {
    const told = one.getAttribute("href") ?? one.getAttribute("title") ?? one.getAttribute("aria-label");
    const name = `${one.tagName} ${told ?? one.textContent.replace(/\d+/g, "")}`;
    met.set(name, (met.get(name) ?? 0) + 1);
    return [`${name} ${met.get(name)}`, one];
  });
}

/** A control, or what is in its place now. */
export function latest(control) {
  let one = control;
  while (one && !one.isConnected) one = successors.get(one);
  return one;
}

/**
 * Let a control not be pressed, until what this returns is called. What is disabled loses the focus, which would be nowhere then,
 * and outside a dialog that is still open: it gets it back.
 */
export function disable(control) {
  const held = document.activeElement === control;
  control.disabled = true;
  return () => {
    control.disabled = false;
    if (held) giveBack(control);
  };
}

/** Give focus back to a control, unless it is elsewhere by now; where nothing took its place, to the page's heading. */
export function giveBack(control) {
  if (!control || (document.activeElement && document.activeElement !== document.body)) return;
  (latest(control) ?? document.querySelector("main h1"))?.focus({ preventScroll: true });
}
