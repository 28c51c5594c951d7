// What is asked of each page or file alike: how it is read, how it is cut, what is remembered with it.

import { h } from "../core/dom.js";
import { check, field, fold, select } from "./ui.js";
import { exactJson } from "./values.js";

const STRATEGIES = [
  ["markdown", "by headings and paragraphs"],
  ["sentence", "by sentences"],
  ["fixed", "fixed length"],
];
const RENDERING = [
  ["never", "As the server sends it"],
  ["auto", "In a browser where there is no text without"],
  ["always", "In a browser, always"],
];

/**
 * Of new pages, or of those of a crawl that is there. Returns `element`, `reading` (what a file has not), `read()` for the
 * fields of the API's requests, and `changed()` for those that are otherwise than they were given.
 */
export function pageFields(crawl = null) {
  const cut = crawl?.chunking ?? {};
  const tokens = h("input", { type: "number", value: cut.max_tokens ?? 512, min: 16, max: 8192 });
  const overlap = h("input", { type: "number", value: cut.overlap_tokens ?? 64, min: 0, max: 4096 });
  const strategy = select(STRATEGIES, cut.strategy ?? "markdown");
  const render = select(RENDERING, crawl?.render ?? "never");
  const force = check("Index it anew even where nothing has changed");
  const known = Object.keys(crawl?.metadata ?? {}).length ? JSON.stringify(crawl.metadata, null, 1) : "";
  const metadata = h("textarea", {
    rows: 2,
    class: "mono low",
    spellcheck: "false",
    placeholder: '{"team": "docs"}',
    value: known,
  });
  const reading = field("Scripts of pages", render);
  const chunking = () => ({
    max_tokens: Number(tokens.value),
    overlap_tokens: Number(overlap.value),
    strategy: strategy.value,
  });
  const [cutBefore, renderBefore] = [JSON.stringify(chunking()), render.value];
  return {
    reading,
    element: h(
      "div",
      { class: "folds" },
      fold("How it is read", [
        reading,
        field("Metadata", metadata, { hint: "A JSON object that searches can be filtered by." }),
        crawl ? null : force.element,
      ]),
      fold("How it is cut", [
        h(
          "div",
          { class: "grid columns-3" },
          field("Tokens a chunk", tokens),
          field("Overlap", overlap),
          field("Way", strategy),
        ),
      ]),
    ),
    read: () => ({
      chunking: chunking(),
      ...(render.value === "never" ? {} : { render: render.value }),
      ...(force.input.checked ? { force: true } : {}),
      ...(metadata.value.trim() ? { metadata: objectOf(metadata.value) } : {}),
    }),
    changed: () => ({
      ...(JSON.stringify(chunking()) === cutBefore ? {} : { chunking: chunking() }),
      ...(render.value === renderBefore ? {} : { render: render.value }),
      ...(metadata.value === known ? {} : { metadata: metadata.value.trim() ? objectOf(metadata.value) : {} }),
    }),
  };
}

function objectOf(text) {
  let value;
  try {
    value = exactJson(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  if (value === null || typeof value !== "object" || Array.isArray(value))
    throw new Error('Metadata is a JSON object, such as {"team": "docs"}');
  return value;
}
