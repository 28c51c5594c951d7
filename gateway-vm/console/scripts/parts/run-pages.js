// The pages of a run: filtered, as a list that grows while the run goes on, or by path.

import { get, isAborted } from "../core/api.js";
import { address, foreign, h, line, put } from "../core/dom.js";
import { redraw } from "../core/focus.js";
import * as format from "../core/format.js";
import { href, setQuery } from "../core/router.js";
import "../elements/data-table.js";
import { grow } from "./paging.js";
import { pathTree } from "./path-tree.js";
import { button, empty, field, moment, problem, segments, select, skeleton, status } from "./ui.js";

const PAGE = 200;
const TYPED_MS = 350;
const TREE_PAGES = 5_000;
const MOVED = ["new", "changed", "removed"];
const OUTCOMES = [
  ["", "Any"],
  ["moved", "what changed"],
  ...["new", "changed", "unchanged", "removed", "failed", "skipped"].map((name) => [name, name]),
];

const COLUMNS = [
  { label: "Page", render: (page) => address(page.url), link: true },
  { label: "Outcome", width: 124, render: (page) => status(page.outcome ?? page.state) },
  { label: "Reason", width: 270, from: 620, render: reasonOf },
  { label: "Found on", width: 210, from: 1080, render: (page) => (page.found_on ? address(page.found_on) : "") },
  { label: "Depth", width: 70, end: true, from: 820, render: (page) => format.count(page.depth) },
  { label: "When", width: 110, from: 480, render: (page) => moment(page.ended_at) },
];

function reasonOf(page) {
  if (!page.reason) return "";
  return h(
    "span",
    { title: line(page.detail ?? page.reason, 300) },
    format.words(line(page.reason, 60)),
    page.detail ? [" ", foreign(page.detail, { class: "faint" })] : null,
  );
}

/** Returns `element`, `show()`, `filter({ outcome, reason })`, and `moved({ ended })` for when the run has moved. */
export function runPages(path, { signal, query }) {
  const wanted = {
    outcome: OUTCOMES.some(([name]) => name === query.get("outcome")) ? query.get("outcome") : "",
    reason: query.get("reason") ?? "",
    url_prefix: query.get("url_prefix") ?? "",
    as: query.get("as") === "tree" ? "tree" : "list",
  };
  const place = h("div", {});
  const typed = (name, placeholder) =>
    h("input", { type: "text", value: wanted[name], placeholder, spellcheck: "false", oninput: later(name) });
  const later = (name) => (event) => {
    wanted[name] = event.target.value.trim();
    clearTimeout(timer);
    timer = setTimeout(show, TYPED_MS);
  };
  const reason = typed("reason", "robots_disallowed");
  const outcome = select(OUTCOMES, wanted.outcome, {
    onchange: () => {
      wanted.outcome = outcome.value;
      show();
    },
  });
  const views = segments(
    "How to show pages",
    [
      ["list", "List"],
      ["tree", "By path"],
    ],
    wanted.as,
    (as) => {
      wanted.as = as;
      show();
    },
  );
  const open = new Set();
  let timer;
  let asked = new AbortController();
  let refresh = null;
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });

  const read = async (cursor) => {
    let [leg, from] = cursor ?? [0, undefined];
    const legs = wanted.outcome === "moved" ? MOVED : [wanted.outcome];
    for (;;) {
      const page = await get("orchestrator", `${path}/pages`, {
        query: { limit: PAGE, cursor: from, outcome: legs[leg], reason: wanted.reason, url_prefix: wanted.url_prefix },
        signal: AbortSignal.any([signal, asked.signal]),
      });
      const next = page.next_cursor ? [leg, page.next_cursor] : leg + 1 < legs.length ? [leg + 1, undefined] : null;
      if (page.items.length || !next) return { items: page.items, next_cursor: next };
      [leg, from] = next;
    }
  };

  async function show() {
    asked.abort();
    asked = new AbortController();
    refresh = null;
    setQuery(wanted);
    try {
      await (wanted.as === "tree" ? tree() : list());
    } catch (error) {
      if (!isAborted(error)) put(place, problem(error, { what: "The list of pages", retry: show }));
    }
  }

  async function list() {
    const table = document.createElement("data-table");
    Object.assign(table, {
      label: "Pages of this run",
      noun: ["page", "pages"],
      keyOf: (page) => page.url,
      hrefOf: (page) => (page.job_id ? href(`/jobs/${page.job_id}`) : null),
      columns: COLUMNS,
    });
    table.empty = empty("No page is like this", "Take a filter away, or wait: the run may still come to some.");
    put(place, table);
    const either = AbortSignal.any([signal, asked.signal]);
    refresh = await grow(table, read, { signal: either, what: "The list of pages" });
  }

  async function tree() {
    if (!place.querySelector(".tree")) put(place, h("p", { role: "status" }, skeleton()));
    const found = [];
    for (let page = await read(); ; page = await read(page.next_cursor)) {
      found.push(...page.items);
      if (!page.next_cursor || found.length >= TREE_PAGES) break;
    }
    redraw(
      place,
      found.length
        ? pathTree(found, { cut: found.length >= TREE_PAGES, open })
        : empty("No page is like this", "Take a filter away, or wait: the run may still come to some."),
    );
  }

  /** The run has moved: what is seen of the list is read again; the tree says that there is something new. */
  async function moved({ ended }) {
    if (wanted.as === "list") await refresh?.();
    else if (ended) await show();
    else if (!place.querySelector(".stale"))
      place.prepend(h("p", { class: "stale quiet" }, "The run goes on. ", button("Read again", show, { class: "bare" })));
  }

  return {
    element: h(
      "div",
      {},
      h(
        "div",
        { class: "filters" },
        field("Outcome", outcome),
        field("Reason", reason),
        field("Address begins with", typed("url_prefix", "https://example.com/docs/"), { wide: true }),
        h("div", { class: "tail" }, views),
      ),
      place,
    ),
    show,
    moved,
    filter: (filters) => {
      Object.assign(wanted, { outcome: "", reason: "" }, filters);
      outcome.value = wanted.outcome;
      reason.value = wanted.reason;
      return show();
    },
  };
}
