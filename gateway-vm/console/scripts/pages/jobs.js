// The jobs of this key's owner, newest first.

import { h, put } from "../core/dom.js";
import { setQuery } from "../core/router.js";
import { openIndexing } from "../parts/indexing.js";
import { jobsTable } from "../parts/jobs-table.js";
import { button, field, pageHead, select } from "../parts/ui.js";

const STATUSES = [
  ["", "Any"],
  ...["queued", "scraping", "chunking", "embedding", "completed", "failed", "cancelled"].map((name) => [name, name]),
];
const FILTERS = ["status", "corpus_name", "host", "url_prefix", "error_code", "batch_id"];
const TYPED_MS = 350;

export async function show({ view, signal, query }) {
  const chosen = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const list = jobsTable({
    signal,
    emptyText: "No job is like this. Take a filter away, or index something.",
    emptyMore: [button("Index something", () => openIndexing(), { class: "primary" })],
  });
  let timer;
  const apply = () => {
    setQuery(chosen);
    list.show({ ...chosen });
  };
  const typed = (name) => (event) => {
    chosen[name] = event.target.value.trim();
    clearTimeout(timer);
    timer = setTimeout(apply, TYPED_MS);
  };
  const text = (name, placeholder, wide) =>
    field(
      {
        corpus_name: "Corpus",
        host: "Host",
        url_prefix: "Address begins with",
        error_code: "Error code",
        batch_id: "Batch",
      }[name],
      h("input", {
        type: "text",
        value: chosen[name],
        placeholder,
        oninput: typed(name),
        maxlength: 2048,
        spellcheck: "false",
      }),
      { wide },
    );
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  const head = pageHead("Jobs", { lead: "Each page that was asked for: where it stands, and what it waits for." });
  put(
    view,
    head.element,
    h(
      "form",
      {
        class: "filters",
        "aria-label": "Filters",
        onsubmit: (event) => {
          event.preventDefault();
          clearTimeout(timer);
          apply();
        },
      },
      field(
        "Status",
        select(STATUSES, chosen.status, {
          onchange: (event) => {
            chosen.status = event.target.value;
            apply();
          },
        }),
      ),
      text("url_prefix", "https://example.com/docs/", true),
      text("host", "example.com"),
      text("corpus_name", "default"),
      text("error_code", "fetch_timeout"),
      chosen.batch_id ? text("batch_id", "") : null,
    ),
    list.table,
  );
  await list.show({ ...chosen });
}
