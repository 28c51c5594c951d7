// What happens just now: jobs over time, what waits and why, what failed, and how the services are.

import { stackedBars } from "../charts/stacked.js";
import { get, health as healthOf, isAborted, isMissing } from "../core/api.js";
import { h, put } from "../core/dom.js";
import { redraw } from "../core/focus.js";
import * as format from "../core/format.js";
import { ask } from "../core/live.js";
import { href, setQuery } from "../core/router.js";
import { openIndexing } from "../parts/indexing.js";
import { bar, button, card, empty, moment, pageHead, problem, segments, skeleton, status, tiles } from "../parts/ui.js";

const REFRESH_MS = 10_000;
const SPANS = [
  ["1", "1 h"],
  ["6", "6 h"],
  ["24", "24 h"],
  ["168", "7 d"],
];
export const SERVICES = ["orchestrator", "scraper", "chunking", "embedding"];
const SERIES = [
  ["completed", "Completed"],
  ["failed", "Failed"],
  ["cancelled", "Cancelled"],
];
export const REASONS = {
  running: "a worker is on it",
  queued: "it is this stage's turn soon",
  host_delay: "the host is asked one page at a time, at its own pace",
  upstream: "something that the stage needs does not answer, or asked for patience",
  lease: "its worker fell silent; it is handed out anew",
};

export async function show({ view, signal, query }) {
  let hours = SPANS.some(([name]) => name === query.get("hours")) ? query.get("hours") : "24";
  const figures = h(
    "div",
    {},
    tiles(["Open now", "Completed", "Failed", "Throughput", "Chunks", "Tokens"].map((name) => [name, skeleton("50%")])),
  );
  const chart = h("div", { class: "overview-chart" });
  const waiting = h("div", {}, skeleton());
  const failing = h("div", {}, skeleton());
  const services = h("div", { class: "services" });
  const said = h("div", { "aria-live": "polite" });
  let drawn = new AbortController();

  const head = pageHead("Overview", {
    actions: [
      segments("How far back", SPANS, hours, (chosen) => {
        hours = chosen;
        setQuery({ hours });
        refresh();
      }),
    ],
  });
  put(
    view,
    head.element,
    h(
      "div",
      { class: "grid" },
      said,
      figures,
      card("Jobs over time", chart),
      h(
        "div",
        { class: "grid columns-2" },
        card("What waits, and for what", waiting),
        card("Failures by code", failing),
      ),
      card("Services", services),
    ),
  );
  put(
    services,
    SERVICES.map((name) => h("div", { class: "service" }, skeleton())),
  );

  async function refresh() {
    await Promise.all([counts(), health()]);
  }

  async function counts() {
    try {
      const stats = await get("orchestrator", "stats", { query: { hours }, signal });
      drawn.abort();
      drawn = new AbortController();
      redraw(said);
      draw(stats);
    } catch (error) {
      if (signal.aborted) return;
      redraw(said, problem(error, { what: "The overview of jobs", retry: isMissing(error) ? undefined : counts }));
    }
  }

  function draw(stats) {
    const sum = (name) => stats.buckets.reduce((total, bucket) => total + bucket[name], 0);
    const ended = sum("completed") + sum("failed") + sum("cancelled");
    const open = Object.values(stats.open).reduce((total, one) => total + one, 0);
    const past = SPANS.find(([name]) => name === hours)[1];
    put(
      figures,
      tiles([
        ["Open now", format.compact(open)],
        ["Completed", format.compact(sum("completed")), `in ${past}`],
        ["Failed", format.compact(sum("failed")), ended ? format.percent(sum("failed") / ended) : ""],
        ["Throughput", format.compact(Math.round(perHour(stats))), "pages/h"],
        ["Chunks", format.compact(sum("chunks"))],
        ["Tokens", format.compact(sum("tokens"))],
      ]),
    );
    if (!ended && !open)
      redraw(
        chart,
        empty(
          "Nothing was indexed yet",
          `No job in the last ${past}. Give it a page, a list of pages, or a file.`,
          button("Index something", () => openIndexing(), { class: "primary" }),
        ),
      );
    else
      stackedBars(chart, {
        buckets: stats.buckets,
        series: SERIES,
        stepSeconds: stats.step_seconds,
        label: `Jobs that ended in the last ${past}`,
        signal: AbortSignal.any([signal, drawn.signal]),
      });
    redraw(waiting, stats.waiting.length ? waits(stats.waiting) : empty("Nothing waits", "Every job has ended."));
    redraw(
      failing,
      stats.failures.length ? failures(stats.failures) : empty("No failures", `Nothing failed in the last ${past}.`),
    );
  }

  async function health() {
    await Promise.all(
      SERVICES.map(async (name, at) => {
        const place = services.children[at];
        try {
          put(place, serviceOf(name, await healthOf(name, signal)));
        } catch (error) {
          if (!isAborted(error)) throw error;
        }
      }),
    );
  }

  await refresh();
  ask(refresh, signal, REFRESH_MS);
}

/** Pages an hour, over the steps in which anything ended: a night without work says nothing of how fast work is. */
function perHour(stats) {
  const busy = stats.buckets.filter((bucket) => bucket.completed);
  return busy.length
    ? (busy.reduce((total, bucket) => total + bucket.completed, 0) * 3600) / (busy.length * stats.step_seconds)
    : 0;
}

function waits(rows) {
  return h(
    "div",
    { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "What waits" },
    h(
      "table",
      { class: "plain waits" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["Stage", "Jobs", "Why", "Since"].map((text) => h("th", { scope: "col" }, text)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            h("td", {}, status(row.stage)),
            h("td", { class: "number" }, format.count(row.jobs)),
            h(
              "td",
              { class: "why" },
              format.words(row.reason),
              REASONS[row.reason] ? h("small", {}, REASONS[row.reason]) : null,
            ),
            h("td", {}, moment(row.since)),
          ),
        ),
      ),
    ),
  );
}

function failures(rows) {
  const most = Math.max(...rows.map((row) => row.jobs));
  return h(
    "ul",
    { class: "ranked" },
    rows.map((row) =>
      h(
        "li",
        {},
        h(
          "a",
          { href: href("/jobs", { status: "failed", error_code: row.code }) },
          h("code", {}, row.code),
          h("span", {}, format.count(row.jobs), h("span", { class: "quiet" }, ` in ${row.failed_stage}`)),
          bar([["failed", row.jobs]], most, `${row.jobs} jobs`),
        ),
      ),
    ),
  );
}

function serviceOf(name, answer) {
  const well = answer.status === "ok";
  return [
    h(
      "p",
      {},
      h("span", { class: `status t-${well ? "completed" : "failed"}` }, name),
      " ",
      h("span", { class: "quiet" }, well ? (answer.version ?? "") : format.words(answer.status)),
    ),
    h(
      "ul",
      {},
      Object.entries(answer.checks ?? {}).map(([check, one]) =>
        h(
          "li",
          {},
          h("span", {}, format.words(check), one.status === "ok" ? "" : ` – ${one.status}`),
          h("span", { class: "number" }, `${one.latency_ms} ms`),
        ),
      ),
    ),
  ];
}
