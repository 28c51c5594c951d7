// One run of a crawl, live: what became of every page and why, as a list and by path.

import { get, isAborted, post } from "../core/api.js";
import { address, h, line, put } from "../core/dom.js";
import { redraw } from "../core/focus.js";
import * as format from "../core/format.js";
import { follow } from "../core/live.js";
import { href } from "../core/router.js";
import { together } from "../core/together.js";
import { confirm } from "../parts/dialogs.js";
import { runPages } from "../parts/run-pages.js";
import { act, button, card, moment, pageHead, skeleton, status, tiles } from "../parts/ui.js";
import { OUTCOMES, outcomeBar, outcomesTold } from "./crawl.js";

const PAGES_EVERY_MS = 2_000;
const MOST_REASONS = 24;
const MOST_WARNINGS = 20;
const FIGURES = ["Pages", "To come", "A minute", "Not embedded anew", "May end"];

export async function show({ view, signal, params, query }) {
  const crawlPath = `crawls/${encodeURIComponent(params.id)}`;
  const path = `${crawlPath}/runs/${encodeURIComponent(params.run)}`;
  const head = pageHead(`Run ${line(params.run, 12)}`, {
    crumbs: [
      ["Crawls", href("/crawls")],
      ["Crawl", href(`/crawls/${params.id}`)],
    ],
  });
  const figures = h("div", {}, tiles(FIGURES.map((name) => [name, skeleton("50%")])));
  const [stands, asked, warned, amounts, colours] = Array.from({ length: 5 }, () => h("div", {}));
  const said = h("div", { "aria-live": "polite" }, stands, asked, warned);
  const progress = h("div", { class: "progress" }, put(amounts, skeleton("100%")), colours);
  const reasons = h("div", {}, skeleton());
  const pages = runPages(path, { signal, query });
  put(
    view,
    head.element,
    h("div", { class: "grid" }, said, figures, progress, card("Why", reasons), pages.element),
  );
  let corpus = null;
  let last = null;

  function draw(run) {
    last = run;
    const ended = Boolean(run.ended_at);
    put(figures, tiles(figuresOf(run)));
    put(amounts, outcomeBar(run));
    redraw(colours, legend(run, pages));
    redraw(reasons, reasonsOf(run, pages));
    redraw(stands, h("p", {}, status(run.state), h("span", { class: "quiet" }, ` – ${outcomesTold(run.outcomes)}`)));
    redraw(asked, run.held ? held(run) : null);
    redraw(warned, run.warnings.slice(0, MOST_WARNINGS).map(warning));
    redraw(head.actions, ended ? after() : cancel());
    return ended;
  }

  const after = () =>
    corpus === null ? null : h("a", { class: "button", href: href("/search", { corpus }) }, "Search its corpus");

  function cancel() {
    const work = async () => draw(await post("orchestrator", `${path}/cancel`, { signal }));
    return button(
      "Cancel",
      (event) => act(event.currentTarget, work, { said: "The run is cancelled.", signal }),
      { class: "danger" },
    );
  }

  function held(run) {
    const documents = format.plural(run.held_documents, "document");
    const remove = () =>
      confirm({
        title: "Remove these documents?",
        text: `${documents} whose pages are gone.`,
        verb: "Remove them",
        work: async () => draw(await post("orchestrator", `${path}/confirm`, { signal })),
      });
    return h(
      "div",
      { class: "notice bad" },
      h("strong", {}, `${documents} would be removed, more than a third.`),
      h("p", {}, "None is, until you say so: a site that is broken for a day looks like this, too."),
      button("Remove them", remove, { class: "danger" }),
    );
  }

  async function crumb() {
    try {
      const crawl = await get("orchestrator", crawlPath, { signal });
      corpus = crawl.corpus_name;
      const link = head.element.querySelector(".crumbs a:last-of-type");
      put(link, crawl.url ? address(crawl.url) : `A list of ${format.plural(crawl.urls, "page")}`);
    } catch (error) {
      if (!isAborted(error)) corpus = null; // the run itself says what is wrong
    }
  }

  const refresh = async () => draw(await get("orchestrator", path, { signal }));
  const pagesToo = together(() => pages.moved({ ended: false }), PAGES_EVERY_MS);
  const [ended] = await Promise.all([refresh(), crumb().then(() => last && draw(last)), pages.show()]);
  if (ended) return;
  const moved = async (now) => {
    if (now) await pages.moved({ ended: true });
    else if (!signal.aborted) pagesToo();
    return now;
  };
  follow(`${path}/events`, {
    signal,
    poll: async () => moved(await refresh()),
    onEvent: async ({ value }) => moved(value?.outcomes && value.reasons ? draw(value) : await refresh()),
  });
}

const figuresOf = (run) => [
  ["Pages", format.count(run.pages)],
  ["To come", format.count(run.waiting)],
  ["A minute", run.pages_per_minute === null ? format.NOTHING : format.compact(Math.round(run.pages_per_minute))],
  ["Not embedded anew", format.count(run.saved.embeddings)],
  run.ended_at
    ? ["Took", format.duration(format.between(run.started_at, run.ended_at))]
    : ["May end", run.estimated_end_at ? moment(run.estimated_end_at) : format.NOTHING],
];

/** What the colours of the bar are; each shows its pages. */
const legend = (run, pages) =>
  h(
    "p",
    { class: "legend" },
    OUTCOMES.filter(([name]) => run.outcomes[name]).map(([name, tone]) =>
      button(`${format.count(run.outcomes[name])} ${name}`, () => pages.filter({ outcome: name }), {
        class: `bare t-${tone}`,
        title: `Show the pages that are ${name}`,
      }),
    ),
  );

function reasonsOf(run, pages) {
  const rows = Object.entries(run.reasons)
    .flatMap(([outcome, by]) => Object.entries(by).map(([name, amount]) => [outcome, name, amount]))
    .sort((one, other) => other[2] - one[2])
    .slice(0, MOST_REASONS);
  if (!rows.length) return h("p", { class: "quiet" }, "Every page that was met is in the corpus.");
  return h(
    "ul",
    { class: "reasons" },
    rows.map(([outcome, name, amount]) =>
      h(
        "li",
        {},
        status(outcome),
        button(
          `${format.count(amount)} ${format.words(line(name, 60))}`,
          () => pages.filter({ outcome, reason: name }),
          { class: "bare", title: `Show the pages that are ${outcome}: ${format.words(line(name, 60))}` },
        ),
      ),
    ),
  );
}

const warning = (one) =>
  h(
    "p",
    { class: "notice warn" },
    h("strong", {}, format.words(line(one.code, 60))),
    line(one.message, 300),
    one.url ? address(one.url) : null,
  );
