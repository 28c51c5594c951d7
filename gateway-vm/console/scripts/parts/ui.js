// Small parts that every page is put together from.

import { ApiProblem, isMissing } from "../core/api.js";
import { append, h, line, put } from "../core/dom.js";
import { disable } from "../core/focus.js";
import * as format from "../core/format.js";
import "../elements/copy-text.js";
import "../elements/relative-time.js";

export const MOVING = new Set(["queued", "scraping", "chunking", "embedding", "running", "seeding", "starting"]);
const TONES = {
  queued: "queued",
  scraping: "scraping",
  chunking: "chunking",
  embedding: "embedding",
  open: "scraping",
  waiting: "queued",
  running: "scraping",
  seeding: "scraping",
  starting: "queued",
  completed_with_errors: "cancelled",
  held: "cancelled",
  paused: "cancelled",
  active: "completed",
  failing: "failed",
  new: "completed",
  changed: "embedding",
  unchanged: "queued",
  removed: "cancelled",
  delivered: "completed",
  succeeded: "completed",
  success: "completed",
  pending: "queued",
  retrying: "cancelled",
  sending: "scraping",
  ok: "completed",
  error: "failed",
  unreachable: "failed",
  degraded: "cancelled",
  disabled: "cancelled",
};

/** The colour of a state, or of an outcome. */
export function toneOf(name) {
  const tone = TONES[name] ?? String(name ?? "queued");
  return /^[a-z]+$/.test(tone) ? tone : "queued";
}

/** Where something stands, in a word with a dot. */
export function status(name) {
  return h(
    "span",
    { class: `status t-${toneOf(name)}${MOVING.has(name) ? " moving" : ""}` },
    format.words(line(name || "unknown", 40)),
  );
}

export const moment = (date) => (date ? h("relative-time", { datetime: date }) : format.NOTHING);
export const copyable = (text, label) => h("copy-text", { text, label });
export const tag = (text, attributes = {}) => h("span", { class: "tag", ...attributes }, line(text, 80));
export const skeleton = (wide = "60%") => h("span", { class: "skeleton", style: { "--wide": wide } });
export const waitingLines = (lines = 5) =>
  h(
    "div",
    { role: "status" },
    h("span", { class: "visually-hidden" }, "Loading"),
    Array.from({ length: lines }, (_, at) => h("p", {}, skeleton(`${88 - ((at * 17) % 40)}%`))),
  );

/** The head of a page. Parts of it can be put in later without moving anything. */
export function pageHead(title, { lead, crumbs = [], actions = [] } = {}) {
  const heading = h("h1", { tabindex: "-1" }, title);
  const place = h("div", { class: "actions" }, actions);
  const about = lead === undefined ? null : h("p", { class: "lead" }, lead);
  const element = h(
    "header",
    { class: "page-head" },
    h(
      "div",
      { class: "titles" },
      crumbs.length
        ? h(
            "nav",
            { class: "crumbs", "aria-label": "Where this is" },
            crumbs.flatMap(([text, address], at) => [
              at ? h("span", { "aria-hidden": "true" }, "/") : null,
              h("a", { href: address }, text),
            ]),
          )
        : null,
      heading,
      about,
    ),
    place,
  );
  return { element, heading, actions: place, lead: about };
}

export function card(title, body, { head = [], ...attributes } = {}) {
  const id = `card-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h(
    "section",
    { ...attributes, class: `card ${attributes.class ?? ""}`, "aria-labelledby": id },
    h("header", {}, h("h2", { id }, title), head),
    h("div", { class: "body" }, body),
  );
}

export function tiles(figures) {
  return h(
    "dl",
    { class: "tiles" },
    figures.map(([label, value, more]) =>
      h("div", { class: "tile" }, h("dt", {}, label), h("dd", {}, value, more ? h("small", {}, more) : null)),
    ),
  );
}

export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

export const button = (text, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, text);

export function empty(title, text, ...more) {
  return h("div", { class: "empty" }, h("strong", {}, title), text ? h("p", {}, text) : null, more);
}

const HINTS = {
  unreachable: "The page tries again when you ask it to.",
  rate_limited: "Too many requests for this key just now. Wait a moment and try again.",
  unauthorized: "This key is not accepted any more.",
  insufficient_scope: "This key may not do this.",
  too_many_open_jobs: "Wait until some of the jobs have ended, or cancel some.",
};

/** Say what went wrong, in the API's own words, with what leads to its logs, and what to do. */
export function problem(error, { retry, what = "This" } = {}) {
  if (isMissing(error)) {
    return h(
      "div",
      { class: "notice warn", role: "status" },
      h("strong", {}, `${what} is not part of this fleet yet.`),
      h("p", {}, "Its version has no such route. Everything else works as it is."),
    );
  }
  const known = error instanceof ApiProblem;
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    h("strong", {}, line(known ? error.message : `The console failed: ${error.message}`, 400)),
    known && error.errors.length
      ? h(
          "ul",
          {},
          error.errors
            .slice(0, 10)
            .map((each) => h("li", {}, h("code", {}, line(each.field, 80)), " ", line(each.message))),
        )
      : null,
    HINTS[error.code] ? h("p", {}, HINTS[error.code]) : null,
    known
      ? h(
          "p",
          { class: "quiet" },
          h("code", {}, error.code),
          error.status ? ` · status ${error.status}` : "",
          error.traceId ? [" · trace ", copyable(error.traceId, "Copy the trace id")] : null,
        )
      : null,
    retry ? button("Try again", retry) : null,
  );
}

/** Load something and draw it; meanwhile a skeleton, on a failure what to do. */
export async function load(place, signal, ask, draw, { what, skeletonOf = waitingLines } = {}) {
  put(place, skeletonOf());
  try {
    const answer = await ask();
    if (!signal.aborted) put(place, draw(answer));
  } catch (error) {
    if (signal.aborted) return;
    put(place, problem(error, { what, retry: () => load(place, signal, ask, draw, { what, skeletonOf }) }));
  }
}

const toasts = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
export const toastPlace = () => toasts;

export function toast(text, { bad = false, link } = {}) {
  const shown = h("div", { class: `toast ${bad ? "bad" : ""}` }, line(text, 400), link ? [" ", link] : null);
  toasts.append(shown);
  setTimeout(() => shown.remove(), bad ? 9_000 : 6_000);
}

/** Do something that a button asks for: once at a time, and say how it went. */
export async function act(control, work, { said, signal } = {}) {
  const enable = disable(control);
  try {
    const answer = await work();
    if (said) toast(typeof said === "function" ? said(answer) : said);
    return answer;
  } catch (error) {
    if (!signal?.aborted) toast(error instanceof ApiProblem ? error.message : String(error), { bad: true });
    return undefined;
  } finally {
    enable();
  }
}

export function field(label, control, { hint, wide = false } = {}) {
  return h("label", { class: `field ${wide ? "wide" : ""}` }, label, control, hint ? h("small", {}, hint) : null);
}

/** A box to tick, with its words. */
export function check(text, checked = false) {
  const input = h("input", { type: "checkbox", checked: Boolean(checked) });
  return { input, element: h("label", { class: "check" }, input, text) };
}

/** What most people leave as it is: closed until somebody wants it. */
export function fold(title, content) {
  const details = h("details", { class: "fold" }, h("summary", {}, title), h("div", { class: "folded" }, content));
  // a browser can't show what is wrong with a field that is not seen
  details.addEventListener(
    "invalid",
    () => {
      details.open = true;
    },
    true,
  );
  return details;
}

export function select(options, value, attributes = {}) {
  const control = h(
    "select",
    attributes,
    options.map(([name, text]) => h("option", { value: name, selected: name === value }, text)),
  );
  return control;
}

/** One of several, as radio buttons that look like one control. */
export function segments(legend, options, value, onchoose) {
  const name = `segments-${legend.replace(/\W+/g, "-")}`;
  return h(
    "fieldset",
    { class: "segments" },
    h("legend", { class: "visually-hidden" }, legend),
    options.map(([key, text]) =>
      h(
        "label",
        {},
        h("input", { type: "radio", name, value: key, checked: key === value, onchange: () => onchoose(key) }),
        text,
      ),
    ),
  );
}

export function bar(parts, total, label) {
  const element = h("div", { class: "bar", role: "img", "aria-label": label });
  for (const [tone, amount] of parts)
    if (amount > 0)
      append(element, [h("i", { class: `t-${tone}`, style: { width: `${(100 * amount) / Math.max(total, 1)}%` } })]);
  return element;
}
