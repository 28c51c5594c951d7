// One run of a crawl, live: what became of every page and why, as a list and by path.

import { get, isAborted, post } from "../core/api.js";
import { address, foreign, h, line, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { follow } from "../core/live.js";
import { href, setQuery } from "../core/router.js";
import "../elements/data-table.js";
import { confirm } from "../parts/dialogs.js";
import { fill } from "../parts/paging.js";
import { pathTree } from "../parts/path-tree.js";
import {
  act,
  button,
  card,
  empty,
  field,
  moment,
  pageHead,
  segments,
  select,
  skeleton,
  status,
  tag,
  tiles,
} from "../parts/ui.js";
import { OUTCOMES, outcomeBar, outcomesTold } from "./crawl.js";

const PAGE = 200;
const TYPED_MS = 350;
const TREE_PAGES = 5_000;

const COLUMNS = [
  { label: "Page", render: (page) => address(page.url), link: true },
  { label: "Outcome", width: 124, render: (page) => status(page.outcome ?? page.state) },
  {
    label: "Reason",
    width: 190,
    from: 560,
    render: (page) =>
      page.reason ? foreign(format.words(page.reason), { title: line(page.detail ?? page.reason, 300) }) : "",
  },
  { label: "Found on", width: 220, from: 1000, render: (page) => (page.found_on ? address(page.found_on) : "") },
  { label: "Depth", width: 70, end: true, from: 760, render: (page) => format.count(page.depth) },
  { label: "When", width: 110, from: 480, render: (page) => moment(page.ended_at) },
];

export async function show({ view, signal, params, query }) {
  const path = `crawls/${encodeURIComponent(params.id)}/runs/${encodeURIComponent(params.run)}`;
  const wanted = {
    outcome: query.get("outcome") ?? "",
    reason: query.get("reason") ?? "",
    url_prefix: query.get("url_prefix") ?? "",
    as: query.get("as") === "tree" ? "tree" : "list",
  };
  const head = pageHead(`Run ${line(params.run, 12)}`, {
    crumbs: [
      ["Crawls", href("/crawls")],
      ["Crawl", href(`/crawls/${params.id}`)],
    ],
  });
  const figures = h(
    "div",
    {},
    tiles(["Pages", "To come", "A minute", "Saved", "May end"].map((name) => [name, skeleton("50%")])),
  );
  const said = h("div", { "aria-live": "polite" });
  const progress = h("div", {}, skeleton("100%"));
  const reasons = h("div", {}, skeleton());
  const place = h("div", {});
  const reason = h("input", {
    type: "text",
    value: wanted.reason,
    placeholder: "robots_disallowed",
    spellcheck: "false",
  });
  const prefix = h("input", {
    type: "text",
    value: wanted.url_prefix,
    placeholder: "https://example.com/docs/",
    spellcheck: "false",
  });
  let timer;
  const later = (name, control) => () => {
    wanted[name] = control.value.trim();
    clearTimeout(timer);
    timer = setTimeout(pages, TYPED_MS);
  };
  reason.addEventListener("input", later("reason", reason));
  prefix.addEventListener("input", later("url_prefix", prefix));
  put(
    view,
    head.element,
    h(
      "div",
      { class: "grid" },
      said,
      figures,
      progress,
      card("Why pages are not new", reasons),
      h(
        "div",
        {},
        h(
          "div",
          { class: "filters" },
          field(
            "Outcome",
            select([["", "Any"], ...OUTCOMES.map(([name]) => [name, name])], wanted.outcome, {
              onchange: (event) => {
                wanted.outcome = event.target.value;
                pages();
              },
            }),
          ),
          field("Reason", reason),
          field("Address begins with", prefix, { wide: true }),
          h(
            "div",
            { class: "tail" },
            segments(
              "How to show pages",
              [
                ["list", "List"],
                ["tree", "By path"],
              ],
              wanted.as,
              (as) => {
                wanted.as = as;
                pages();
              },
            ),
          ),
        ),
        place,
      ),
    ),
  );
  let asked = new AbortController();

  const read = (cursor, limit = PAGE) =>
    get("orchestrator", `${path}/pages`, {
      query: { limit, cursor, outcome: wanted.outcome, reason: wanted.reason, url_prefix: wanted.url_prefix },
      signal: AbortSignal.any([signal, asked.signal]),
    });

  async function pages() {
    asked.abort();
    asked = new AbortController();
    setQuery(wanted);
    try {
      await (wanted.as === "tree" ? tree() : list());
    } catch (error) {
      if (!isAborted(error)) throw error;
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
    table.empty = empty("No page is like this", "Take a filter away.");
    put(place, table);
    await fill(table, read, { signal: AbortSignal.any([signal, asked.signal]), what: "The list of pages" });
  }

  async function tree() {
    put(place, h("p", { role: "status" }, skeleton()));
    const found = [];
    for (let page = await read(); ; page = await read(page.next_cursor)) {
      found.push(...page.items);
      if (!page.next_cursor || found.length >= TREE_PAGES) break;
    }
    put(place, pathTree(found, found.length >= TREE_PAGES));
  }

  function draw(run) {
    put(
      figures,
      tiles([
        ["Pages", format.count(run.pages)],
        ["To come", format.count(run.waiting)],
        ["A minute", run.pages_per_minute === null ? format.NOTHING : format.compact(Math.round(run.pages_per_minute))],
        ["Not embedded anew", format.count(run.saved.embeddings)],
        run.ended_at
          ? ["Took", format.duration(format.between(run.started_at, run.ended_at))]
          : ["May end", run.estimated_end_at ? moment(run.estimated_end_at) : format.NOTHING],
      ]),
    );
    put(
      progress,
      outcomeBar(run),
      h(
        "p",
        { class: "legend" },
        OUTCOMES.filter(([name]) => run.outcomes[name]).map(([name, tone]) =>
          h("span", { class: `t-${tone}` }, `${format.count(run.outcomes[name])} ${name}`),
        ),
      ),
    );
    const rows = Object.entries(run.reasons)
      .flatMap(([outcome, by]) => Object.entries(by).map(([name, amount]) => [outcome, name, amount]))
      .sort((one, other) => other[2] - one[2])
      .slice(0, 24);
    put(
      reasons,
      rows.length
        ? h(
            "ul",
            { class: "legend" },
            rows.map(([outcome, name, amount]) =>
              h(
                "li",
                {},
                h(
                  "a",
                  { href: href(`/crawls/${params.id}/runs/${params.run}`, { outcome, reason: name }) },
                  `${format.count(amount)} ${format.words(name)}`,
                ),
                " ",
                tag(outcome),
              ),
            ),
          )
        : h("p", { class: "quiet" }, "Nothing to explain."),
    );
    put(
      said,
      h("p", {}, status(run.state), h("span", { class: "quiet" }, ` – ${outcomesTold(run.outcomes)}`)),
      run.held ? held(run) : null,
      run.warnings
        .slice(0, 20)
        .map((one) =>
          h(
            "p",
            { class: "notice warn" },
            h("strong", {}, format.words(line(one.code, 60))),
            line(one.message, 300),
            one.url ? address(one.url) : null,
          ),
        ),
    );
    put(
      head.actions,
      run.ended_at
        ? null
        : button(
            "Cancel",
            (event) =>
              act(
                event.currentTarget,
                async () => {
                  await post("orchestrator", `${path}/cancel`, { signal });
                  await refresh();
                },
                { said: "The run is cancelled.", signal },
              ),
            { class: "danger" },
          ),
    );
    return Boolean(run.ended_at);
  }

  function held(run) {
    return h(
      "div",
      { class: "notice bad" },
      h("strong", {}, `${format.plural(run.held_documents, "document")} would be removed, more than a third.`),
      h("p", {}, "None is, until you say so: a site that is broken for a day looks like this, too."),
      button(
        "Remove them",
        () =>
          confirm({
            title: "Remove these documents?",
            text: `${format.plural(run.held_documents, "document")} whose pages are gone.`,
            verb: "Remove them",
            work: async () => {
              await post("orchestrator", `${path}/confirm`, { signal });
              await refresh();
            },
          }),
        { class: "danger" },
      ),
    );
  }

  const refresh = async () => draw(await get("orchestrator", path, { signal }));
  signal.addEventListener(
    "abort",
    () => {
      asked.abort();
      clearTimeout(timer);
    },
    { once: true },
  );
  const [ended] = await Promise.all([refresh(), pages()]);
  if (!ended)
    follow(`${path}/events`, {
      signal,
      poll: refresh,
      onEvent: ({ value }) => (value?.outcomes && value.reasons ? draw(value) : refresh()),
    });
}
