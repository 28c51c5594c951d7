// Search: one box; by meaning, by words, both, or the three side by side; and why a passage is where it is.

import { post } from "../core/api.js";
import { h, line, nextId, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { setQuery } from "../core/router.js";
import { hit } from "../parts/hits.js";
import { dropPlace, openIndexing } from "../parts/indexing.js";
import { asCurl, asPython, showCode } from "../parts/snippets.js";
import { button, empty, field, pageHead, problem, segments, select, waitingLines } from "../parts/ui.js";
import { told, valueOf } from "../parts/values.js";
import { corpusNames, MOST as MOST_CORPORA } from "./corpora.js";

const MODES = [
  ["hybrid", "Hybrid"],
  ["vector", "By meaning"],
  ["text", "By words"],
  ["all", "Side by side"],
];
const LEGS = ["hybrid", "vector", "text"];
const NAMES = { hybrid: "Hybrid", vector: "By meaning", text: "By words" };

export async function show({ view, signal, query }) {
  const wanted = {
    q: query.get("q") ?? "",
    corpus: query.get("corpus") ?? "",
    mode: MODES.some(([name]) => name === query.get("mode")) ? query.get("mode") : "hybrid",
    top: query.get("top") ?? "10",
    language: query.get("language") ?? "",
    prefix: query.get("prefix") ?? "",
    after: query.get("after") ?? "",
    key: query.get("key") ?? "",
    value: query.get("value") ?? "",
  };
  const box = h("input", {
    type: "search",
    value: wanted.q,
    placeholder: "What do you want to know?",
    "aria-label": "Search for",
    maxlength: 4000,
    autocomplete: "off",
  });
  const corpora = h("select", {}, h("option", { value: wanted.corpus }, wanted.corpus || "Loading"));
  const results = h("div", { "aria-live": "polite" });
  let asked = new AbortController();

  const set =
    (name, again = true) =>
    (event) => {
      wanted[name] = event.target.value.trim();
      if (again) run();
    };
  const text = (name, label, placeholder, attributes = {}) =>
    field(label, h("input", { type: "text", value: wanted[name], placeholder, onchange: set(name), ...attributes }));
  const understood = h("p", { class: "quiet understood", id: nextId("understood"), "aria-live": "polite" });
  const typed = { key: wanted.key, value: wanted.value };
  const metadata = (name, label, placeholder) =>
    text(name, label, placeholder, {
      "aria-describedby": understood.id,
      oninput: (event) => {
        typed[name] = event.target.value.trim();
        put(understood, narrowing(typed));
      },
    });
  put(understood, narrowing(typed));
  const more = h(
    "details",
    { class: "narrow", open: Boolean(wanted.language || wanted.prefix || wanted.after || wanted.key) },
    h("summary", {}, "Filters"),
    h(
      "div",
      { class: "filters" },
      text("prefix", "Address begins with", "https://example.com/docs/"),
      text("language", "Language", "en"),
      field("Fetched after", h("input", { type: "date", value: wanted.after, onchange: set("after") })),
      metadata("key", "Metadata key", "team"),
      metadata("value", "Metadata value", "docs"),
    ),
    understood,
  );
  const form = h(
    "form",
    {
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        wanted.q = box.value.trim();
        run();
      },
    },
    h("div", { class: "search-box" }, box, h("button", { type: "submit", class: "primary" }, "Search")),
    h(
      "div",
      { class: "filters" },
      field("Corpus", corpora),
      field(
        "Passages",
        select(
          [
            ["5", "5"],
            ["10", "10"],
            ["20", "20"],
            ["50", "50"],
            ["100", "100"],
          ],
          wanted.top,
          { onchange: set("top") },
        ),
      ),
      h(
        "div",
        { class: "tail" },
        segments("How to search", MODES, wanted.mode, (mode) => {
          wanted.mode = mode;
          run();
        }),
      ),
    ),
    more,
  );
  put(
    view,
    pageHead("Search", {
      actions: [button("Index a page or a file", () => openIndexing({ corpus: wanted.corpus || "default" }))],
    }).element,
    form,
    results,
  );
  corpora.addEventListener("change", () => {
    wanted.corpus = corpora.value;
    run();
  });

  function body(mode) {
    const filters = {};
    if (wanted.prefix) filters.url_prefix = wanted.prefix;
    if (wanted.language) filters.language = wanted.language;
    if (wanted.after) filters.fetched_after = `${wanted.after}T00:00:00Z`;
    if (wanted.key && wanted.value) filters.metadata = { [wanted.key]: valueOf(wanted.value) };
    return {
      query: wanted.q,
      corpus_name: wanted.corpus,
      top_k: Number(wanted.top),
      mode,
      explain: true,
      highlights: true,
      ...(Object.keys(filters).length ? { filters } : {}),
    };
  }

  async function run() {
    setQuery(wanted);
    asked.abort();
    if (!wanted.q || !wanted.corpus) {
      put(results, start(wanted));
      return;
    }
    asked = new AbortController();
    const either = AbortSignal.any([signal, asked.signal]);
    const legs = wanted.mode === "all" ? LEGS : [wanted.mode];
    const places = legs.map((mode) =>
      h("section", { "aria-label": NAMES[mode] }, h("header", {}, h("h2", {}, NAMES[mode])), waitingLines(6)),
    );
    const grid = h("div", { class: "results" }, places);
    grid.style.setProperty("--legs", String(legs.length));
    const share = h(
      "div",
      { class: "share" },
      button("Copy as curl", () => showCode("curl", asCurl(body(legs[0])))),
      button("Copy as Python", () => showCode("Python", asPython(body(legs[0])))),
    );
    put(results, share, grid);
    await Promise.all(legs.map((mode, at) => leg(places[at], mode, body(mode), either)));
  }

  async function leg(place, mode, request, either) {
    const began = performance.now();
    try {
      const answer = await post("embedding", "search", { body: request, signal: either });
      const all = performance.now() - began;
      put(
        place,
        h(
          "header",
          {},
          h("h2", {}, NAMES[mode]),
          h(
            "span",
            { class: "quiet", title: took(answer, all) },
            `${format.plural(answer.results.length, "passage")} · ${Math.round(answer.took_ms)} ms`,
          ),
        ),
        answer.warnings.map((one) => h("p", { class: "notice warn" }, one.message)),
        answer.results.length
          ? h(
              "ol",
              { class: "hits" },
              answer.results.map((one, at) => hit(one, at + 1, mode)),
            )
          : empty("Nothing found", "Try other words, another way of searching, or fewer filters."),
      );
    } catch (error) {
      if (!either.aborted)
        put(
          place,
          h("header", {}, h("h2", {}, NAMES[mode])),
          problem(error, { retry: () => leg(place, mode, request, either) }),
        );
    }
  }

  run();
  try {
    const names = await corpusNames(signal);
    if (wanted.corpus && !names.includes(wanted.corpus)) names.unshift(wanted.corpus);
    wanted.corpus ||= names[0] ?? "";
    put(
      corpora,
      names.length
        ? [
            names.map((name) => h("option", { value: name, selected: name === wanted.corpus }, name)),
            names.length >= MOST_CORPORA ? h("option", { disabled: true }, "others: from their page") : null,
          ]
        : h("option", { value: "" }, "none yet"),
    );
    if (!results.querySelector(".results")) run();
  } catch (error) {
    if (!signal.aborted) put(results, problem(error, { what: "The list of corpora" }));
  }
  if (!wanted.q) box.focus();
}

/** How a filter by metadata is understood, while it is typed. */
function narrowing({ key, value }) {
  if (key && value) return `Where ${line(key, 60)} is ${line(told(valueOf(value)), 160)}.`;
  if (key) return `Not narrowed by ${line(key, 60)} yet: it has no value.`;
  if (value) return "Not narrowed by a value yet: it has no key.";
  return 'A value is text, or JSON: 2026, true, null, ["a"]. In quotes it is text whatever it looks like: "2026".';
}

function took(answer, all) {
  const parts = Object.entries(answer.took ?? {})
    .filter(([, value]) => value)
    .map(([name, value]) => `${name} ${value.toFixed(1)} ms`);
  return [...parts, `with the way there and back ${Math.round(all)} ms`].join(" · ");
}

function start(wanted) {
  if (!wanted.corpus)
    return empty(
      "Nothing to search yet",
      "Index a page, or drop a file, and it is found here some seconds later.",
      button("Index something", () => openIndexing(), { class: "primary" }),
      dropPlace((files) => openIndexing({ files })),
    );
  return h(
    "div",
    { class: "empty" },
    h("strong", {}, "Ask in whole sentences, or in words"),
    h(
      "p",
      {},
      "By meaning finds what is said in other words; by words finds names and codes; hybrid adds up both scores, each with its weight.",
    ),
    dropPlace((files) => openIndexing({ files, corpus: wanted.corpus }), "Or drop a file here to index it"),
  );
}
