// One job: its time as a picture, what it amounted to, what became of it, and what can be done about it.

import { timeline } from "../charts/timeline.js";
import { get, post } from "../core/api.js";
import { address, foreign, h, line, outward, put } from "../core/dom.js";
import { redraw } from "../core/focus.js";
import * as format from "../core/format.js";
import { follow } from "../core/live.js";
import { go, href } from "../core/router.js";
import { together } from "../core/together.js";
import {
  act,
  button,
  card,
  copyable,
  facts,
  moment,
  MOVING,
  pageHead,
  status,
  toast,
  waitingLines,
} from "../parts/ui.js";
import { REASONS } from "./overview.js";

const MOST_EVENTS = 600; // the API keeps some 500 of a job
const TOGETHER_MS = 150;
const ENDS = new Set(["completed", "failed", "cancelled"]);

export async function show({ view, signal, params }) {
  const path = `jobs/${encodeURIComponent(params.id)}`;
  const head = pageHead("Job", { crumbs: [["Jobs", href("/jobs")]] });
  put(view, head.element, card("Time line", h("div", { class: "timeline" }, waitingLines(3))));
  const job = await get("orchestrator", path, { signal });
  const picture = h("div", { class: "timeline" });
  const state = h("div", { "aria-live": "polite" });
  const about = h("div", {});
  const amounts = h("div", {});
  const happened = h("ol", { class: "events", tabindex: "0", "aria-label": "Events" });
  const told = card("Events", happened, { hidden: true });
  put(head.heading, address(job.url));
  put(
    view,
    head.element,
    h(
      "div",
      { class: "grid" },
      state,
      card("Time line", picture),
      h("div", { class: "grid columns-2" }, card("What it is", about), card("What came of it", amounts)),
      told,
    ),
  );
  const redrawPicture = timeline(picture, job, { signal });
  const events = [];
  let shown = job;
  const draw = (now) => {
    shown = now;
    redrawPicture(now, events);
    redraw(state, stateOf(now));
    redraw(about, facts(aboutOf(now)));
    redraw(amounts, facts(amountsOf(now)));
    redraw(head.actions, actionsOf(now, path, signal, refresh));
  };
  async function refresh() {
    draw(await get("orchestrator", path, { signal }));
    return !MOVING.has(shown.status);
  }
  const soon = together(
    async () => {
      if (!signal.aborted && MOVING.has(shown.status)) await refresh();
      else redrawPicture(shown, events);
    },
    TOGETHER_MS,
    (error) => toast(error.message, { bad: true }),
  );
  draw(job);
  follow(`${path}/events`, {
    signal,
    poll: async () => !MOVING.has(shown.status) || refresh(),
    onEvent: ({ value }) => {
      if (!value?.type || events.length >= MOST_EVENTS) return false;
      events.push(value);
      told.hidden = false;
      happened.append(eventLine(value));
      soon();
      return ENDS.has(value.type);
    },
  });
}

function eventLine(event) {
  const more = [
    event.attempt > 1 ? `attempt ${event.attempt}` : null,
    event.waiting && event.waiting.reason !== "queued" ? format.words(event.waiting.reason) : null,
    event.error?.code,
  ]
    .filter(Boolean)
    .join(" · ");
  return h(
    "li",
    {},
    h("span", { class: "faint", title: format.exact(event.at) }, format.timeWithSeconds(event.at)),
    h(
      "span",
      {},
      h("strong", {}, format.words(line(event.type, 40))),
      ` ${line(event.stage, 20)}`,
      more ? h("span", { class: "faint" }, ` · ${line(more)}`) : null,
    ),
  );
}

function stateOf(job) {
  if (job.error) {
    return h(
      "div",
      { class: "notice bad" },
      h("strong", {}, `Failed in ${job.error.failed_stage}: `, h("code", {}, job.error.code)),
      h("p", {}, line(job.error.message, 600)),
    );
  }
  const waits = job.waiting
    ? ` – ${REASONS[job.waiting.reason] ?? format.words(job.waiting.reason)}${job.waiting.position === null ? "" : `, ${format.plural(job.waiting.position, "job")} before it`}`
    : "";
  return h("p", {}, status(job.status), h("span", { class: "quiet" }, waits));
}

function aboutOf(job) {
  return [
    ["Address", h("span", {}, foreign(job.url, { class: "mono" }), " ", outward(job.url))],
    ["Corpus", h("a", { href: href(`/corpora/${encodeURIComponent(job.corpus_name)}`) }, foreign(job.corpus_name))],
    ["Job", copyable(job.job_id, "Copy the job's id")],
    ["Trace", job.trace_id ? copyable(job.trace_id, "Copy the trace id") : null],
    ["Batch", job.batch_id ? h("a", { href: href(`/batches/${job.batch_id}`), class: "mono" }, job.batch_id) : null],
    ["Crawl", job.crawl_id ? h("a", { href: href(`/crawls/${job.crawl_id}`), class: "mono" }, job.crawl_id) : null],
    ["Retry of", job.retry_of ? h("a", { href: href(`/jobs/${job.retry_of}`), class: "mono" }, job.retry_of) : null],
    ["Submitted", moment(job.submitted_at)],
    ["Ended", job.ended_at ? moment(job.ended_at) : null],
    [
      "Metadata",
      Object.keys(job.metadata).length ? h("pre", {}, JSON.stringify(job.metadata, null, 2).slice(0, 4000)) : null,
    ],
  ];
}

function amountsOf(job) {
  const stages = job.stages.map((one) => [
    format.words(one.stage),
    h(
      "span",
      {},
      one.ended_at ? format.duration(one.duration_seconds) : one.started_at ? "runs" : "not yet",
      h("span", { class: "faint" }, ` · ${format.plural(one.attempts, "attempt")}`),
    ),
  ]);
  return [
    ...stages,
    ["Fetched", format.bytes(job.counts.bytes)],
    ["Chunks", format.count(job.counts.chunks)],
    ["Tokens", format.count(job.counts.tokens)],
    [
      "Extraction",
      job.extraction
        ? `${job.extraction.method}${job.extraction.warnings?.length ? ` · ${job.extraction.warnings.map(format.words).join(", ")}` : ""}`
        : null,
    ],
    ["From start to end", job.ended_at ? format.duration(format.between(job.submitted_at, job.ended_at)) : null],
  ];
}

function actionsOf(job, path, signal, refresh) {
  if (MOVING.has(job.status)) {
    return button(
      "Cancel",
      (event) =>
        act(
          event.currentTarget,
          async () => {
            await post("orchestrator", `${path}/cancel`, { signal });
            await refresh();
          },
          { said: "The job is cancelled.", signal },
        ),
      { class: "danger" },
    );
  }
  if (job.status === "completed")
    return h("a", { class: "button", href: href("/search", { corpus: job.corpus_name }) }, "Search its corpus");
  if (job.retryable === false) return null; // an upload, or what only a run of its crawl can do
  return button(
    "Try again",
    async (event) => {
      const answer = await act(event.currentTarget, () => post("orchestrator", `${path}/retry`, { signal }), {
        signal,
      });
      if (!answer) return;
      toast("Tried again, as a new job.");
      go(`/jobs/${answer.job_id}`);
    },
    { class: "primary" },
  );
}
