// One batch, live: how far it is, when it may end, and its jobs.

import { get, post } from "../core/api.js";
import { foreign, h, put } from "../core/dom.js";
import { redraw } from "../core/focus.js";
import * as format from "../core/format.js";
import { follow } from "../core/live.js";
import { go, href } from "../core/router.js";
import { confirm } from "../parts/dialogs.js";
import { jobsTable } from "../parts/jobs-table.js";
import { act, button, card, copyable, facts, moment, pageHead, segments, skeleton, tiles } from "../parts/ui.js";
import { progress, told } from "./batches.js";

const NAMES = ["completed", "failed", "cancelled", "queued", "scraping", "chunking", "embedding"];

export async function show({ view, signal, params }) {
  const path = `batches/${encodeURIComponent(params.id)}`;
  const head = pageHead("Batch", { crumbs: [["Batches", href("/batches")]] });
  const figures = h(
    "div",
    {},
    tiles(["Pages", "Completed", "Failed", "Progress", "May end"].map((name) => [name, skeleton("50%")])),
  );
  const line = h("div", { "aria-live": "off" }, skeleton("100%"));
  const about = h("div", {}, skeleton());
  const list = jobsTable({ signal, label: "Jobs of this batch" });
  put(
    view,
    head.element,
    h(
      "div",
      { class: "grid" },
      figures,
      line,
      card("What it is", about),
      h(
        "div",
        {},
        h(
          "div",
          { class: "filters" },
          segments(
            "Which jobs",
            [
              ["", "All"],
              ["failed", "Failed"],
              ["completed", "Completed"],
              ["queued", "Queued"],
            ],
            "",
            (status) => list.show({ batch_id: params.id, status }),
          ),
        ),
        list.table,
      ),
    ),
  );
  let shown = null;
  const draw = (batch) => {
    shown = batch;
    put(
      figures,
      tiles([
        ["Pages", format.count(batch.jobs)],
        ["Completed", format.count(batch.counts.completed)],
        ["Failed", format.count(batch.counts.failed)],
        ["Progress", format.percent(batch.progress)],
        batch.ended_at
          ? ["Took", format.duration(format.between(batch.submitted_at, batch.ended_at))]
          : ["May end", batch.estimated_end_at ? moment(batch.estimated_end_at) : format.NOTHING],
      ]),
    );
    put(
      line,
      progress(batch),
      h(
        "p",
        { class: "legend" },
        NAMES.filter((name) => batch.counts[name]).map((name) =>
          h("span", { class: `t-${name}` }, `${format.count(batch.counts[name])} ${name}`),
        ),
      ),
    );
    redraw(
      about,
      facts([
        [
          "Corpus",
          h("a", { href: href(`/corpora/${encodeURIComponent(batch.corpus_name)}`) }, foreign(batch.corpus_name)),
        ],
        ["Batch", copyable(batch.batch_id, "Copy the batch's id")],
        [
          "Retry of",
          batch.retry_of ? h("a", { class: "mono", href: href(`/batches/${batch.retry_of}`) }, batch.retry_of) : null,
        ],
        ["Submitted", moment(batch.submitted_at)],
        ["Ended", batch.ended_at ? moment(batch.ended_at) : null],
        ["Cancelled", batch.cancel_asked_at ? moment(batch.cancel_asked_at) : null],
      ]),
    );
    redraw(head.actions, actions(batch));
    return Boolean(batch.ended_at);
  };
  const refresh = async () => draw(await get("orchestrator", path, { signal }));

  function actions(batch) {
    if (!batch.ended_at) {
      return button(
        "Cancel the rest",
        () =>
          confirm({
            title: "Cancel what is unfinished?",
            text: `${told(shown.counts)}. What is being written just now is finished.`,
            verb: "Cancel the rest",
            work: async () => draw(await post("orchestrator", `${path}/cancel`, { signal })),
          }),
        { class: "danger" },
      );
    }
    if (!batch.counts.failed)
      return h("a", { class: "button", href: href("/search", { corpus: batch.corpus_name }) }, "Search its corpus");
    return button(
      `Try ${format.plural(batch.counts.failed, "failure")} again`,
      async (event) => {
        const answer = await act(event.currentTarget, () => post("orchestrator", `${path}/retry`, { signal }), {
          said: "Tried again, as a new batch.",
          signal,
        });
        if (answer) go(`/batches/${answer.batch_id}`);
      },
      { class: "primary" },
    );
  }

  const [ended] = await Promise.all([refresh(), list.show({ batch_id: params.id })]);
  if (!ended)
    follow(`${path}/events`, {
      signal,
      poll: refresh,
      onEvent: (event) => (event.value?.counts && event.value.batch_id ? draw(event.value) : refresh()),
    });
}
