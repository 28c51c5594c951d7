// One crawl: what belongs to it, when it is run, and its runs, live.

import { get, post } from "../core/api.js";
import { address, foreign, h, outward, put } from "../core/dom.js";
import { redraw } from "../core/focus.js";
import * as format from "../core/format.js";
import { ask, follow } from "../core/live.js";
import { go, href } from "../core/router.js";
import "../elements/data-table.js";
import { askToDelete, askToRun, openChange } from "../parts/crawl-dialogs.js";
import { fill } from "../parts/paging.js";
import { act, bar, button, card, copyable, empty, facts, moment, pageHead, skeleton, status } from "../parts/ui.js";
import { scheduleOf, standing } from "./crawls.js";

const REFRESH_MS = 6_000;
const WAYS = { markdown: "by headings and paragraphs", sentence: "by sentences", fixed: "at a fixed length" };
const RENDERED = { auto: "run in a browser where there is no text without", always: "run in a browser" };
const METADATA_SHOWN = 4000;
export const OUTCOMES = [
  ["new", "completed"],
  ["changed", "embedding"],
  ["unchanged", "queued"],
  ["removed", "cancelled"],
  ["failed", "failed"],
  ["skipped", "skipped"],
];
export const outcomesTold = (counts) =>
  OUTCOMES.filter(([name]) => counts[name])
    .map(([name]) => `${format.count(counts[name])} ${name}`)
    .join(", ") || "nothing yet";
/** Of a run that goes on the rest is to come; of one that has ended it is what was skipped after it was met. */
export function outcomeBar(run) {
  const total = Math.max(1, run.pages + run.waiting);
  const parts = OUTCOMES.filter(([name]) => name !== "skipped").map(([name, tone]) => [tone, run.outcomes[name]]);
  const rest = total - parts.reduce((sum, [, amount]) => sum + amount, 0);
  if (run.ended_at) parts.push(["skipped", Math.min(run.outcomes.skipped, rest)]);
  return bar(parts, total, outcomesTold(run.outcomes));
}

const COLUMNS = [
  { label: "Run", width: 84, link: true, render: (run) => `#${run.run}` },
  { label: "State", width: 190, render: (run) => status(run.held ? "held" : run.state) },
  { label: "Pages", width: 90, end: true, render: (run) => format.count(run.pages) },
  { label: "Outcome", from: 560, render: (run) => outcomeBar(run) },
  { label: "Why", width: 100, from: 760, render: (run) => run.trigger },
  {
    label: "Took",
    width: 104,
    end: true,
    from: 860,
    render: (run) => (run.ended_at ? format.duration(format.between(run.started_at, run.ended_at)) : ""),
  },
  { label: "Started", width: 118, from: 420, render: (run) => moment(run.started_at) },
];

export async function show({ view, signal, params }) {
  const path = `crawls/${encodeURIComponent(params.id)}`;
  const head = pageHead("Crawl", { crumbs: [["Crawls", href("/crawls")]] });
  const scope = h("div", {}, skeleton());
  const when = h("div", {}, skeleton());
  const table = document.createElement("data-table");
  Object.assign(table, {
    label: "Runs",
    noun: ["run", "runs"],
    keyOf: (run) => run.run,
    hrefOf: (run) => href(`/crawls/${params.id}/runs/${run.run}`),
    columns: COLUMNS,
  });
  table.style.setProperty("--table-height", "420px");
  table.empty = empty("No run yet", "It has not been run.");
  put(
    view,
    head.element,
    h(
      "div",
      { class: "grid" },
      h("div", { class: "grid columns-2" }, card("What belongs to it", scope), card("When it is run", when)),
      table,
    ),
  );
  let listening = null;
  let shown = null;
  const read = async () => draw(await get("orchestrator", path, { signal }));
  const runs = (cursor) => get("orchestrator", `${path}/runs`, { query: { limit: 20, cursor }, signal });

  function draw(crawl) {
    shown = crawl;
    redraw(head.heading, crawl.url ? address(crawl.url) : `A list of ${format.plural(crawl.urls, "page")}`);
    redraw(scope, facts(scopeOf(crawl)));
    redraw(when, facts(whenOf(crawl)));
    redraw(head.actions, actions(crawl));
    if (crawl.last_state === "running" && listening !== crawl.last_run) listen(crawl.last_run);
  }

  /** The run that goes on tells of itself; everything else is asked for now and then. */
  function listen(run) {
    listening = run;
    follow(`${path}/runs/${run}/events`, {
      signal,
      poll: async () => true,
      onEvent: async ({ value }) => {
        if (!value?.outcomes) return false;
        if (table.rows.some((row) => row.run === value.run))
          table.rows = table.rows.map((row) => (row.run === value.run ? value : row));
        if (value.ended_at) await read();
        return Boolean(value.ended_at);
      },
    });
  }

  const actions = (crawl) => [
    button(
      "Run now",
      async () => {
        const run = await askToRun(path);
        if (run) go(`/crawls/${params.id}/runs/${run}`);
      },
      { class: "primary" },
    ),
    crawl.schedule ? pauseOrResume(crawl) : null,
    button("Change", () => openChange(shown, path, draw)),
    button(
      "Delete",
      async () => {
        if (await askToDelete(path)) go("/crawls");
      },
      { class: "danger" },
    ),
  ];

  function pauseOrResume(crawl) {
    const work = async () =>
      draw(await post("orchestrator", `${path}/${crawl.paused ? "resume" : "pause"}`, { signal }));
    const said = crawl.paused ? "It goes on by its schedule." : "It is paused.";
    return button(crawl.paused ? "Go on" : "Pause", (event) => act(event.currentTarget, work, { said, signal }));
  }

  await Promise.all([read(), fill(table, runs, { signal, what: "The list of runs", every: REFRESH_MS })]);
  ask(
    async () => {
      try {
        await read();
      } catch (error) {
        if (signal.aborted) throw error;
      }
    },
    signal,
    REFRESH_MS,
  );
}

const corpusLink = (name) => h("a", { href: href(`/corpora/${encodeURIComponent(name)}`) }, foreign(name));
const globs = (all) => (all.length ? h("span", { class: "mono" }, foreign(all.join("  "))) : null);

const cutOf = (cut) =>
  `${WAYS[cut.strategy] ?? cut.strategy}; at most ${format.plural(cut.max_tokens, "token")}, ` +
  `${format.count(cut.overlap_tokens)} of them shared`;
const metadataOf = (values) =>
  Object.keys(values).length ? h("pre", {}, JSON.stringify(values, null, 2).slice(0, METADATA_SHOWN)) : null;

const scopeOf = (crawl) => [
  ["Begins at", crawl.url ? h("span", {}, foreign(crawl.url, { class: "mono" }), " ", outward(crawl.url)) : null],
  ["Kind", crawl.source],
  ["Corpus", corpusLink(crawl.corpus_name)],
  ["Documents", format.count(crawl.documents)],
  ["Only paths", globs(crawl.include)],
  ["Never paths", globs(crawl.exclude)],
  ["Links", crawl.follow_links ? "are followed" : "are not followed"],
  ["Hosts below it", crawl.subdomains ? "belong to it" : null],
  ["Tracking", crawl.keep_query ? "parameters stay in addresses" : null],
  ["Bounds", `${format.plural(crawl.max_pages, "page")}, ${format.plural(crawl.max_depth, "link")} deep`],
  ["Scripts", RENDERED[crawl.render]],
  ["Cut", crawl.chunking ? cutOf(crawl.chunking) : null],
  ["Metadata", metadataOf(crawl.metadata ?? {})],
  ["Gone pages", crawl.on_gone === "keep" ? "stay in the corpus" : "are removed after two runs"],
  ["Crawl", copyable(crawl.crawl_id, "Copy the crawl's id")],
];

const whenOf = (crawl) => [
  ["Stands", standing(crawl)],
  ["Schedule", foreign(scheduleOf(crawl.schedule))],
  ["Next run", crawl.next_run_at && !crawl.paused ? moment(crawl.next_run_at) : null],
  [
    "Missed",
    crawl.missed_runs ? `${format.count(crawl.missed_runs)}, last: ${format.words(crawl.last_missed?.reason)}` : null,
  ],
  ["Runs", format.count(crawl.last_run)],
  ["Dry run", crawl.dry_run ? "its pages are found, and none is indexed" : null],
  ["Submitted", moment(crawl.submitted_at)],
];
