// Giving the fleet something to index: a page, several, a site, or a file. As a dialog, from everywhere.

import { idempotencyKey, isMissing, post } from "../core/api.js";
import { h, line, nextId, put } from "../core/dom.js";
import { disable } from "../core/focus.js";
import * as format from "../core/format.js";
import { go } from "../core/router.js";
import { newCrawlFields } from "./crawl-fields.js";
import { open } from "./dialogs.js";
import { pageFields } from "./page-fields.js";
import { button, field, problem, segments, toast } from "./ui.js";

const MOST_PAGES = 1000;
const UPLOAD_BYTES = 32 * 2 ** 20;
const KINDS = [
  ["pages", "Pages"],
  ["site", "A site"],
  ["file", "A file"],
];
const CALLED = { pages: "This", site: "Crawling sites", file: "Taking files" };

/** `kind` is what is asked for first: `pages`, `site` or `file`. */
export function openIndexing({ url = "", corpus = "default", files = null, kind: first = "pages" } = {}) {
  let kind = files ? "file" : first;
  const id = nextId("title");
  const said = h("div", {});
  const what = h("div", { class: "grid" });
  const into = h("input", {
    type: "text",
    value: corpus,
    required: true,
    maxlength: 100,
    spellcheck: "false",
    pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*",
  });
  const options = pageFields();
  const parts = { pages: pagesPart(url), site: newCrawlFields(url), file: filePart(files) };
  const submit = h("button", { type: "submit", class: "primary" }, "Index");
  const scope = h("div", { class: "folds" });
  const draw = () => {
    put(what, parts[kind].element);
    put(scope, parts[kind].scope);
    options.reading.hidden = kind === "file"; // a file is read as it is
  };
  const form = h(
    "form",
    { "aria-labelledby": id },
    h("h2", { id }, "Index something"),
    segments("What", KINDS, kind, (name) => {
      kind = name;
      put(said);
      draw();
    }),
    what,
    field("Corpus", into, { hint: "Made if it is not there yet." }),
    h("div", { class: "folds" }, scope, options.element),
    said,
    h(
      "div",
      { class: "buttons" },
      button("Not now", () => dialog.close()),
      submit,
    ),
  );
  draw();
  const key = idempotencyKey();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const enable = disable(submit);
    put(said);
    try {
      const body = { corpus_name: into.value.trim(), ...options.read() };
      const target = await SUBMIT[kind](parts[kind].read(), body, { "Idempotency-Key": key });
      dialog.close();
      toast("Taken in.");
      go(target);
    } catch (error) {
      put(said, problem(error, { what: CALLED[kind] }));
      said.scrollIntoView({ block: "nearest" });
      if (!isMissing(error)) enable();
    }
  });
  const dialog = open(form);
  (kind === "file" ? into : parts[kind]).focus();
}

function pagesPart(url) {
  const addresses = h("textarea", {
    rows: 4,
    placeholder: "https://example.com/page\nhttps://example.com/another",
    spellcheck: "false",
    value: url,
  });
  return {
    element: field("Addresses", addresses, { hint: "One a line; several are a batch." }),
    scope: null,
    focus: () => addresses.focus(),
    read: () => {
      const urls = addresses.value.split(/\s+/).filter(Boolean);
      if (!urls.length) throw new Error("Give at least one address, such as https://example.com/");
      if (urls.length > MOST_PAGES)
        throw new Error(
          `At most ${format.count(MOST_PAGES)} addresses at once; these are ${format.count(urls.length)}.`,
        );
      return urls;
    },
  };
}

function filePart(files) {
  let upload = null;
  const file = h("input", { type: "file", multiple: false });
  const place = h("input", { type: "url", placeholder: "https://example.com/report.pdf" });
  const chosen = h(
    "p",
    { class: "quiet" },
    "HTML, Markdown, plain text, and what else the scraper reads; at most 32 MiB.",
  );
  const take = ([given]) => {
    if (!given) return;
    upload = given;
    put(
      chosen,
      `${line(given.name, 80)} · ${format.bytes(given.size)}${given.size > UPLOAD_BYTES ? " – too large" : ""}`,
    );
  };
  file.addEventListener("change", () => take(file.files));
  if (files) take(files);
  return {
    element: h(
      "div",
      { class: "grid" },
      dropPlace(take),
      field("File", file),
      chosen,
      field("Its address", place, { hint: "What it is found under: its name, unless you give one." }),
    ),
    scope: null,
    read: () => {
      if (!upload) throw new Error("Choose a file, or drop one.");
      if (upload.size > UPLOAD_BYTES)
        throw new Error(`${line(upload.name, 60)} has ${format.bytes(upload.size)}; at most 32 MiB are taken.`);
      return { file: upload, url: place.value.trim() };
    },
  };
}

const SUBMIT = {
  async pages(urls, options, headers) {
    if (urls.length === 1)
      return `/jobs/${(await post("orchestrator", "jobs", { body: { url: urls[0], ...options }, headers })).job_id}`;
    return `/batches/${(await post("orchestrator", "jobs/batch", { body: { urls, ...options }, headers })).batch_id}`;
  },
  async site(crawl, options, headers) {
    const answer = await post("orchestrator", "crawls", { body: { ...crawl, ...options }, headers });
    return `/crawls/${answer.crawl_id}/runs/${answer.run ?? 1}`;
  },
  async file({ file, url }, options, headers) {
    const body = new FormData();
    body.set("corpus_name", options.corpus_name);
    if (url) body.set("url", url);
    for (const name of ["chunking", "metadata", "force"])
      if (options[name] !== undefined) body.set(name, JSON.stringify(options[name]));
    body.set("file", file, file.name);
    return `/jobs/${(await post("orchestrator", "documents", { body, headers })).job_id}`;
  },
};

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
