// What is asked before a crawl is changed, run again, or deleted.

import { idempotencyKey, patch, post, remove } from "../core/api.js";
import { h, nextId, put } from "../core/dom.js";
import { disable } from "../core/focus.js";
import { crawlFields } from "./crawl-fields.js";
import { confirm, open } from "./dialogs.js";
import { pageFields } from "./page-fields.js";
import { button, check, problem, toast } from "./ui.js";

/** Change what belongs to a crawl, and when it is run. `changed` is called with the crawl as it is then. */
export function openChange(crawl, path, changed) {
  const id = nextId("title");
  const fields = crawlFields(crawl);
  const pages = pageFields(crawl);
  const said = h("div", {});
  const submit = h("button", { type: "submit", class: "primary" }, "Change it");
  fields.scope.open = true;
  const form = h(
    "form",
    { "aria-labelledby": id },
    h("h2", { id }, "Change this crawl"),
    h(
      "p",
      { class: "quiet" },
      "It counts from the next run on; where it begins stays as it is. Pages that are cut another way are fetched anew.",
    ),
    fields.schedule,
    h("div", { class: "folds" }, fields.scope, pages.element),
    said,
    h(
      "div",
      { class: "buttons" },
      button("Keep it as it is", () => dialog.close()),
      submit,
    ),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const enable = disable(submit);
    put(said);
    try {
      const now = await patch("orchestrator", path, { body: { ...fields.read(), ...pages.changed() } });
      dialog.close();
      toast("The crawl is changed.");
      changed(now);
    } catch (error) {
      put(said, problem(error, { what: "Changing crawls" }));
      said.scrollIntoView({ block: "nearest" });
      enable();
    }
  });
  const dialog = open(form);
}

/** Run a crawl now; returns the run's number, or nothing if it was thought better of. */
export async function askToRun(path) {
  const force = check("Fetch and index every page anew, whatever is known of it");
  const key = idempotencyKey();
  const accepted = await confirm({
    title: "Run this crawl now?",
    text: "Pages that have not changed cost next to nothing: they are neither sent, cut nor embedded again.",
    more: force.element,
    verb: "Run it",
    danger: false,
    work: () =>
      post("orchestrator", `${path}/runs`, {
        body: { force: force.input.checked },
        headers: { "Idempotency-Key": key },
      }),
  });
  return accepted?.run;
}

/** Delete a crawl, with what it brought into its corpus or without; returns whether it was done. */
export async function askToDelete(path) {
  const keep = check("Keep its documents in the corpus", true);
  const done = await confirm({
    title: "Delete this crawl?",
    text: "Its runs are gone, and it is looked at no more. Documents that another crawl keeps stay.",
    more: keep.element,
    verb: "Delete the crawl",
    work: () => remove("orchestrator", path, { query: { documents: keep.input.checked ? "keep" : "delete" } }),
  });
  if (done) toast("The crawl is deleted.");
  return Boolean(done);
}
