// Webhooks: who is told of what happens here.

import { get, idempotencyKey, isMissing, post } from "../core/api.js";
import { address, h, nextId, put } from "../core/dom.js";
import { disable, redraw } from "../core/focus.js";
import { href } from "../core/router.js";
import "../elements/data-table.js";
import { open } from "../parts/dialogs.js";
import { button, copyable, empty, field, moment, pageHead, problem, status, tag } from "../parts/ui.js";

export const EVENTS = [
  "job.completed",
  "job.failed",
  "job.cancelled",
  "batch.ended",
  "run.ended",
  "page.changed",
  "page.removed",
];
export const standing = (hook) => status(hook.paused ? "paused" : hook.failing_since ? "failing" : "active");

const COLUMNS = [
  { label: "Endpoint", link: true, render: (hook) => address(hook.url) },
  { label: "Status", width: 120, render: standing },
  {
    label: "Told of",
    from: 620,
    render: (hook) =>
      h(
        "span",
        {},
        hook.events.map((name) => [tag(name), " "]),
      ),
  },
  { label: "Made", width: 118, from: 420, render: (hook) => moment(hook.created_at) },
];

export async function show({ view, signal }) {
  const table = document.createElement("data-table");
  Object.assign(table, {
    label: "Webhooks",
    noun: ["endpoint", "endpoints"],
    keyOf: (hook) => hook.webhook_id,
    hrefOf: (hook) => href(`/webhooks/${hook.webhook_id}`),
    columns: COLUMNS,
  });
  const add = () => openNew(begin);
  table.empty = empty(
    "No endpoint yet",
    "Have a server of yours told when jobs, batches and runs end, signed as Standard Webhooks.",
    button("Add an endpoint", add, { class: "primary" }),
  );
  const head = pageHead("Webhooks", { lead: "Servers of yours that are told of what happens here." });
  put(view, head.element, table);
  async function begin() {
    table.loading();
    try {
      table.rows = (await get("orchestrator", "webhooks", { signal })).items;
      redraw(head.actions, button("Add an endpoint", add));
    } catch (error) {
      if (!signal.aborted)
        table.failed(error, isMissing(error) ? undefined : begin, "Telling servers of what happens (webhooks)");
    }
  }
  await begin();
}

function openNew(added) {
  const id = nextId("title");
  const said = h("div", {});
  const key = idempotencyKey(); // asked twice, it is one endpoint
  const url = h("input", { type: "url", required: true, placeholder: "https://example.com/hooks/ml" });
  const boxes = EVENTS.map((name) =>
    h("input", { type: "checkbox", value: name, checked: name.endsWith("ended") || name.endsWith("failed") }),
  );
  const submit = h("button", { type: "submit", class: "primary" }, "Add it");
  const form = h(
    "form",
    {
      "aria-labelledby": id,
      onsubmit: async (event) => {
        event.preventDefault();
        const enable = disable(submit);
        try {
          const hook = await post("orchestrator", "webhooks", {
            body: { url: url.value.trim(), events: boxes.filter((box) => box.checked).map((box) => box.value) },
            headers: { "Idempotency-Key": key },
          });
          put(
            form,
            h("h2", {}, "It is added"),
            hook.secret
              ? [
                  h("p", {}, "Its secret is shown this once. Give it to whatever checks the signatures."),
                  copyable(hook.secret, "Copy the secret"),
                ]
              : h("p", {}, "An earlier try had added it, and its answer was lost: give it a new secret on its own page."),
            h(
              "div",
              { class: "buttons" },
              button("I have it", () => dialog.close(), { class: "primary", autofocus: true }),
            ),
          );
          added();
        } catch (error) {
          put(said, problem(error, { what: "Adding an endpoint" }));
          enable();
        }
      },
    },
    h("h2", { id }, "Add an endpoint"),
    field("Address", url, { hint: "It has to be reachable from the fleet, and not be on a private network." }),
    h(
      "fieldset",
      { class: "grid" },
      h("legend", { class: "quiet" }, "Tell it of"),
      boxes.map((box) => h("label", { class: "check" }, box, box.value)),
    ),
    said,
    h(
      "div",
      { class: "buttons" },
      button("Not now", () => dialog.close()),
      submit,
    ),
  );
  const dialog = open(form, { outside: false }); // its last word is the secret
  url.focus();
}
