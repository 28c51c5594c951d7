// Giving the fleet something to index: a page, several, a site, or a file. As a dialog, from everywhere.

import { idempotencyKey, isMissing, post } from "../core/api.js";
import { h, line, nextId, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { go } from "../core/router.js";
import { open } from "./dialogs.js";
import { button, field, problem, segments, select, toast } from "./ui.js";

const MOST_PAGES = 1000;
const UPLOAD_BYTES = 32 * 2 ** 20;
const STRATEGIES = [
  ["markdown", "by headings and paragraphs"],
  ["sentence", "by sentences"],
  ["fixed", "fixed length"],
];

export function openIndexing({ url = "", corpus = "default", files = null, kind: first = "pages" } = {}) {
  let kind = files ? "file" : first;
  const id = nextId("title");
  const said = h("div", {});
  const what = h("div", { class: "grid" });
  const addresses = h("textarea", {
    rows: 4,
    placeholder: "https://example.com/page\nhttps://example.com/another",
    spellcheck: "false",
    value: url,
  });
  const site = h("input", { type: "url", placeholder: "https://example.com/docs/", value: url });
  const file = h("input", { type: "file", multiple: false });
  const chosen = h(
    "p",
    { class: "quiet" },
    "HTML, Markdown, plain text, and what else the scraper reads; at most 32 MiB.",
  );
  const drop = dropPlace((given) => take(given));
  let upload = null;
  const into = h("input", {
    type: "text",
    value: corpus,
    required: true,
    maxlength: 100,
    spellcheck: "false",
    pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*",
  });
  const tokens = h("input", { type: "number", value: 512, min: 16, max: 8192 });
  const overlap = h("input", { type: "number", value: 64, min: 0, max: 4096 });
  const strategy = select(STRATEGIES, "markdown");
  const submit = h("button", { type: "submit", class: "primary" }, "Index");

  function take([given]) {
    if (!given) return;
    upload = given;
    put(
      chosen,
      `${line(given.name, 80)} · ${format.bytes(given.size)}${given.size > UPLOAD_BYTES ? " – too large" : ""}`,
    );
  }
  file.addEventListener("change", () => take(file.files));
  const draw = () =>
    put(
      what,
      {
        pages: field("Addresses", addresses, { hint: "One a line; several are a batch." }),
        site: field("The site's address", site, {
          hint: "Its pages are found from there, and looked at again when you say so.",
        }),
        file: h("div", { class: "grid" }, drop, field("File", file), chosen),
      }[kind],
    );
  const form = h(
    "form",
    { "aria-labelledby": id },
    h("h2", { id }, "Index something"),
    segments(
      "What",
      [
        ["pages", "Pages"],
        ["site", "A site"],
        ["file", "A file"],
      ],
      kind,
      (name) => {
        kind = name;
        draw();
      },
    ),
    what,
    field("Corpus", into, { hint: "Made if it is not there yet." }),
    h(
      "details",
      {},
      h("summary", {}, "How it is cut"),
      h(
        "div",
        { class: "grid columns-3" },
        field("Tokens a chunk", tokens),
        field("Overlap", overlap),
        field("Way", strategy),
      ),
    ),
    said,
    h(
      "div",
      { class: "buttons" },
      button("Not now", () => dialog.close()),
      submit,
    ),
  );
  draw();
  if (files) take(files);
  const options = () => ({
    corpus_name: into.value.trim(),
    chunking: { max_tokens: Number(tokens.value), overlap_tokens: Number(overlap.value), strategy: strategy.value },
  });
  const key = idempotencyKey();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    put(said);
    try {
      const target = await {
        pages: () => submitPages(addresses.value, options(), key),
        site: () => submitSite(site.value.trim(), options(), key),
        file: () => submitFile(upload, options(), key),
      }[kind]();
      dialog.close();
      toast("Taken in.");
      go(target);
    } catch (error) {
      put(
        said,
        problem(error, { what: kind === "file" ? "Taking files" : kind === "site" ? "Crawling sites" : "This" }),
      );
      if (!isMissing(error)) submit.disabled = false;
    }
  });
  const dialog = open(form);
  (kind === "pages" ? addresses : into).focus();
}

async function submitPages(text, options, key) {
  const urls = text.split(/\s+/).filter(Boolean);
  if (!urls.length) throw new Error("Give at least one address, such as https://example.com/");
  if (urls.length > MOST_PAGES)
    throw new Error(`At most ${format.count(MOST_PAGES)} addresses at once; these are ${format.count(urls.length)}.`);
  const headers = { "Idempotency-Key": key };
  if (urls.length === 1)
    return `/jobs/${(await post("orchestrator", "jobs", { body: { url: urls[0], ...options }, headers })).job_id}`;
  return `/batches/${(await post("orchestrator", "jobs/batch", { body: { urls, ...options }, headers })).batch_id}`;
}

async function submitSite(url, options, key) {
  if (!url) throw new Error("Give the site's address, such as https://example.com/docs/");
  const answer = await post("orchestrator", "crawls", {
    body: { url, source: "site", ...options },
    headers: { "Idempotency-Key": key },
  });
  return `/crawls/${answer.crawl_id}/runs/${answer.run ?? 1}`;
}

async function submitFile(file, options, key) {
  if (!file) throw new Error("Choose a file, or drop one.");
  if (file.size > UPLOAD_BYTES)
    throw new Error(`${line(file.name, 60)} has ${format.bytes(file.size)}; at most 32 MiB are taken.`);
  const body = new FormData();
  body.set("corpus_name", options.corpus_name);
  body.set("chunking", JSON.stringify(options.chunking));
  body.set("file", file, file.name);
  return `/jobs/${(await post("orchestrator", "documents", { body, headers: { "Idempotency-Key": key } })).job_id}`;
}

/** Where a file can be dropped. */
export function dropPlace(take, text = "Drop a file here") {
  const place = h("div", { class: "drop" }, text);
  const over = (on) => (event) => {
    event.preventDefault();
    place.classList.toggle("over", on);
  };
  place.addEventListener("dragenter", over(true));
  place.addEventListener("dragover", over(true));
  place.addEventListener("dragleave", over(false));
  place.addEventListener("drop", (event) => {
    over(false)(event);
    take([...event.dataTransfer.files]);
  });
  return place;
}
