// A table of jobs: everywhere the same columns, the same paging, and rows that move while one looks.

import { get } from "../core/api.js";
import { address, foreign, h } from "../core/dom.js";
import * as format from "../core/format.js";
import { ask } from "../core/live.js";
import { href } from "../core/router.js";
import "../elements/data-table.js";
import { fill } from "./paging.js";
import { empty, MOVING, moment, status } from "./ui.js";

const PAGE = 200; // as many as the API gives at once
const REFRESH_MS = 4_000;

const COLUMNS = [
  { label: "Page", link: true, render: (job) => address(job.url) },
  { label: "Status", width: 124, render: (job) => status(job.status) },
  {
    label: "Why",
    width: 170,
    from: 860,
    render: (job) =>
      job.error
        ? foreign(job.error.code, { class: "mono" })
        : job.waiting
          ? h("span", { class: "faint" }, format.words(job.waiting.reason))
          : "",
  },
  { label: "Corpus", width: 120, from: 700, render: (job) => foreign(job.corpus_name) },
  { label: "Chunks", width: 84, end: true, from: 980, render: (job) => format.count(job.counts.chunks) },
  {
    label: "Took",
    width: 104,
    end: true,
    from: 780,
    render: (job) => (job.ended_at ? format.duration(format.between(job.submitted_at, job.ended_at)) : ""),
  },
  { label: "Submitted", width: 118, from: 460, render: (job) => moment(job.submitted_at) },
];

/** Returns the table, and `show(query)` which begins it anew with other filters. */
export function jobsTable({ signal, label = "Jobs", emptyText = "No job is like this.", emptyMore = [] }) {
  const table = document.createElement("data-table");
  table.label = label;
  table.noun = ["job", "jobs"];
  table.keyOf = (job) => job.job_id;
  table.hrefOf = (job) => href(`/jobs/${job.job_id}`);
  table.columns = COLUMNS;
  let asked = new AbortController();

  async function show(query) {
    asked.abort();
    asked = new AbortController();
    const either = AbortSignal.any([signal, asked.signal]);
    table.empty = empty("No jobs here", emptyText, emptyMore);
    await fill(
      table,
      (cursor) => get("orchestrator", "jobs", { query: { limit: PAGE, ...query, cursor }, signal: either }),
      { signal: either, what: "The list of jobs" },
    );
    follow(query, either);
  }

  function follow(query, either) {
    let since = new Date(Date.now() - REFRESH_MS * 2).toISOString();
    ask(
      async () => {
        try {
          const began = new Date(Date.now() - REFRESH_MS * 2).toISOString();
          const [newest, ended] = await Promise.all([
            get("orchestrator", "jobs", { query: { limit: 50, ...query }, signal: either }),
            table.rows.some((job) => MOVING.has(job.status))
              ? get("orchestrator", "jobs", {
                  query: { limit: PAGE, ...query, status: undefined, ended_after: since },
                  signal: either,
                })
              : { items: [] },
          ]);
          since = began;
          merge(table, newest.items, ended.items, query.status);
        } catch (error) {
          if (either.aborted) throw error; // the next try says it by itself where it lasts
        }
      },
      either,
      REFRESH_MS,
    );
  }

  return { table, show };
}

/** Newer jobs go before the others, known ones are replaced where they stand; what is no longer as asked goes. */
export function merge(table, newest, ended, wantedStatus) {
  const fresh = new Map([...ended, ...newest].map((job) => [job.job_id, job]));
  const known = new Set(table.rows.map((job) => job.job_id));
  const before = newest.filter((job) => !known.has(job.job_id));
  let changed = before.length > 0;
  const rows = [];
  for (const job of table.rows) {
    const now = fresh.get(job.job_id);
    if (
      now &&
      (now.status !== job.status ||
        now.waiting?.reason !== job.waiting?.reason ||
        now.counts.chunks !== job.counts.chunks)
    )
      changed = true;
    if (!now || !wantedStatus || now.status === wantedStatus) rows.push(now ?? job);
  }
  if (changed) table.rows = [...before, ...rows];
}
