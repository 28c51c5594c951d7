// One crawl: what belongs to it, and its runs.

import { get, idempotencyKey, post, remove } from "../core/api.js";
import { address, foreign, h, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { ask } from "../core/live.js";
import { go, href } from "../core/router.js";
import "../elements/data-table.js";
import { confirm } from "../parts/dialogs.js";
import { fill } from "../parts/paging.js";
import {
  act,
  bar,
  button,
  card,
  copyable,
  empty,
  facts,
  moment,
  pageHead,
  skeleton,
  status,
  toast,
} from "../parts/ui.js";
import { scheduleOf, standing } from "./crawls.js";

const REFRESH_MS = 6_000;
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
export const outcomeBar = (run) =>
  bar(
    OUTCOMES.filter(([name]) => name !== "skipped").map(([name, tone]) => [tone, run.outcomes[name]]),
    Math.max(1, run.pages + run.waiting),
    outcomesTold(run.outcomes),
  );

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
  const about = h("div", {}, skeleton());
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
  put(view, head.element, h("div", { class: "grid" }, card("What belongs to it", about), table));
  const read = async () => draw(await get("orchestrator", path, { signal }));
  const runs = (cursor) => get("orchestrator", `${path}/runs`, { query: { limit: 20, cursor }, signal });

  function draw(crawl) {
    put(head.heading, crawl.url ? address(crawl.url) : `A list of ${format.plural(crawl.urls, "page")}`);
    put(
      about,
      facts([
        ["Stands", standing(crawl)],
        ["Kind", crawl.source],
        [
          "Corpus",
          h("a", { href: href(`/corpora/${encodeURIComponent(crawl.corpus_name)}`) }, foreign(crawl.corpus_name)),
        ],
        ["Documents", format.count(crawl.documents)],
        ["Schedule", foreign(scheduleOf(crawl.schedule))],
        ["Next run", crawl.next_run_at ? moment(crawl.next_run_at) : null],
        [
          "Missed",
          crawl.missed_runs
            ? `${format.count(crawl.missed_runs)}, last: ${format.words(crawl.last_missed?.reason)}`
            : null,
        ],
        ["Only paths", crawl.include.length ? foreign(crawl.include.join("  ")) : null],
        ["Never paths", crawl.exclude.length ? foreign(crawl.exclude.join("  ")) : null],
        [
          "Bounds",
          `${format.plural(crawl.max_pages, "page")}, ${format.plural(crawl.max_depth, "link")} deep${crawl.subdomains ? ", hosts below it too" : ""}`,
        ],
        ["Gone pages", crawl.on_gone === "keep" ? "stay in the corpus" : "are removed after two runs"],
        ["Crawl", copyable(crawl.crawl_id, "Copy the crawl's id")],
      ]),
    );
    put(
      head.actions,
      button(
        "Run now",
        async (event) => {
          const answer = await act(
            event.currentTarget,
            () =>
              post("orchestrator", `${path}/runs`, {
                body: {},
                headers: { "Idempotency-Key": idempotencyKey() },
                signal,
              }),
            { said: "A run began.", signal },
          );
          if (answer) go(`/crawls/${params.id}/runs/${answer.run}`);
        },
        { class: "primary" },
      ),
      button(crawl.paused ? "Go on" : "Pause", (event) =>
        act(
          event.currentTarget,
          async () => {
            await post("orchestrator", `${path}/${crawl.paused ? "resume" : "pause"}`, { signal });
            await read();
          },
          { said: crawl.paused ? "It goes on by its schedule." : "It is paused.", signal },
        ),
      ),
      button(
        "Delete",
        async () => {
          const keep = h("input", { type: "checkbox" });
          const done = await confirm({
            title: "Delete this crawl?",
            text: "Its runs are gone, and it is looked at no more.",
            more: h("label", { class: "check" }, keep, "Keep its documents in the corpus"),
            verb: "Delete the crawl",
            work: () =>
              remove("orchestrator", path, { query: { documents: keep.checked ? "keep" : "delete" }, signal }),
          });
          if (done) {
            toast("The crawl is deleted.");
            go("/crawls");
          }
        },
        { class: "danger" },
      ),
    );
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
