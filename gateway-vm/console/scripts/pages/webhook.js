// One endpoint: what was delivered to it, how it answered, and delivering it again.

import { get, idempotencyKey, isAborted, patch, post, remove } from "../core/api.js";
import { address, foreign, h, line, put } from "../core/dom.js";
import { redraw } from "../core/focus.js";
import * as format from "../core/format.js";
import { ask } from "../core/live.js";
import { go, href } from "../core/router.js";
import "../elements/data-table.js";
import { confirm, open } from "../parts/dialogs.js";
import {
  act,
  button,
  card,
  copyable,
  empty,
  facts,
  moment,
  pageHead,
  skeleton,
  status,
  tag,
  toast,
} from "../parts/ui.js";
import { standing } from "./webhooks.js";

const REFRESH_MS = 5_000;
const PAGE = 100;
const DAY_MS = 86_400_000;

export async function show({ view, signal, params }) {
  const path = `webhooks/${encodeURIComponent(params.id)}`;
  const head = pageHead("Endpoint", { crumbs: [["Webhooks", href("/webhooks")]] });
  const about = h("div", {}, skeleton());
  const table = document.createElement("data-table");
  Object.assign(table, { label: "Deliveries", noun: ["delivery", "deliveries"], keyOf: (one) => one.delivery_id });
  table.columns = columns(
    (one) => (event) =>
      act(
        event.currentTarget,
        async () => {
          await post("orchestrator", `${path}/deliveries/${encodeURIComponent(one.delivery_id)}/replay`, { signal });
          await deliveries();
        },
        { said: "It is delivered again.", signal },
      ),
  );
  table.style.setProperty("--table-height", "calc(100dvh - 420px)");
  table.empty = empty("Nothing was delivered yet", "Send a test event to see how the endpoint answers.");
  put(view, head.element, h("div", { class: "grid" }, card("About it", about), table));

  async function deliveries() {
    const page = await get("orchestrator", `${path}/deliveries`, { query: { limit: PAGE }, signal });
    if (JSON.stringify(page.items) !== JSON.stringify(table.rows)) table.rows = page.items;
  }

  async function endpoint() {
    const hook = await get("orchestrator", path, { signal });
    put(head.heading, address(hook.url));
    redraw(
      about,
      facts([
        ["Address", foreign(hook.url, { class: "mono" })],
        ["Stands", standing(hook)],
        ["Why", hook.pause_reason ? foreign(format.words(hook.pause_reason)) : null],
        ["Nothing arrives since", hook.failing_since ? moment(hook.failing_since) : null],
        ["Told of", hook.events.map((name) => [tag(name), " "])],
        ["Old secret until", hook.previous_secret_until ? moment(hook.previous_secret_until) : null],
        ["Made", moment(hook.created_at)],
      ]),
    );
    redraw(head.actions, actions(hook, path, signal, { endpoint, deliveries }));
  }

  await Promise.all([endpoint(), deliveries()]);
  ask(
    async () => {
      try {
        await deliveries();
      } catch (error) {
        if (isAborted(error)) throw error;
      }
    },
    signal,
    REFRESH_MS,
  );
}

function columns(again) {
  return [
    { label: "Event", render: (one) => h("code", {}, line(one.type, 60)) },
    { label: "Status", width: 124, render: (one) => status(one.status) },
    {
      label: "Answer",
      width: 140,
      from: 480,
      render: (one) =>
        one.response_status ? tag(String(one.response_status)) : foreign(format.words(one.error_code ?? "")),
    },
    {
      label: "Took",
      width: 90,
      end: true,
      from: 720,
      render: (one) => (one.latency_seconds === null ? "" : format.duration(one.latency_seconds)),
    },
    { label: "Attempts", width: 92, end: true, from: 820, render: (one) => format.count(one.attempts) },
    { label: "Made", width: 110, from: 620, render: (one) => moment(one.created_at) },
    {
      label: "Do",
      width: 176,
      render: (one) =>
        h(
          "span",
          {},
          button("Answer", () => showAnswer(one), { class: "bare", "aria-label": `Answer to ${one.type}` }),
          button("Replay", again(one), { class: "bare", "aria-label": `Deliver ${one.type} again` }),
        ),
    },
  ];
}

function actions(hook, path, signal, { endpoint, deliveries }) {
  const working = (text, said, work, attributes) =>
    button(text, (event) => act(event.currentTarget, work, { said, signal }), attributes);
  return [
    working(
      "Send a test",
      "A test event is on its way.",
      async () => {
        await post("orchestrator", `${path}/test`, { signal });
        await deliveries();
      },
      { class: "primary" },
    ),
    working(
      "Replay the last day",
      (answer) => `${format.plural(answer.deliveries, "event")} delivered again.`,
      async () => {
        const answer = await post("orchestrator", `${path}/replay`, {
          body: { since: new Date(Date.now() - DAY_MS).toISOString() },
          signal,
        });
        await deliveries();
        return answer;
      },
    ),
    working(
      hook.paused ? "Go on" : "Pause",
      hook.paused ? "It is told again." : "It is told of nothing until it goes on.",
      async () => {
        await patch("orchestrator", path, { body: { paused: !hook.paused }, signal });
        await endpoint();
      },
    ),
    button("New secret", async () => {
      const key = idempotencyKey(); // asked twice, it is one secret
      const answer = await confirm({
        title: "Give it a new secret?",
        text: "For a day the present one signs as well, so that you can change over.",
        verb: "Make a new secret",
        danger: false,
        work: () => post("orchestrator", `${path}/rotate`, { headers: { "Idempotency-Key": key }, signal }),
      });
      if (!answer) return;
      const dialog = open(
        h(
          "div",
          { class: "inside" },
          h("h2", {}, "The new secret"),
          answer.secret
            ? [h("p", {}, "It is shown this once."), copyable(answer.secret, "Copy the secret")]
            : h("p", {}, "An earlier try had made it, and its answer was lost: ask for another one."),
          h(
            "div",
            { class: "buttons" },
            button("I have it", () => dialog.close(), { class: "primary" }),
          ),
        ),
        { label: "The new secret", outside: false },
      );
      endpoint();
    }),
    button(
      "Delete",
      async () => {
        const done = await confirm({
          title: "Delete this endpoint?",
          text: "It is told of nothing any more, and its log goes.",
          verb: "Delete the endpoint",
          work: () => remove("orchestrator", path, { signal }),
        });
        if (done) {
          toast("The endpoint is deleted.");
          go("/webhooks");
        }
      },
      { class: "danger" },
    ),
  ];
}

function showAnswer(one) {
  const dialog = open(
    h(
      "div",
      { class: "inside" },
      h("h2", {}, `Answer to ${line(one.type, 60)}`),
      facts([
        ["Attempts", format.count(one.attempts)],
        ["Last", one.last_attempt_at ? moment(one.last_attempt_at) : null],
        ["Next", one.next_attempt_at ? moment(one.next_attempt_at) : null],
        ["Error", one.error_code ? format.words(one.error_code) : null],
      ]),
      h(
        "pre",
        { class: "code-block", tabindex: "0" },
        one.response_excerpt || "It answered without a body, or not at all.",
      ),
      h("h3", {}, "What it was told"),
      h("pre", { class: "code-block", tabindex: "0" }, JSON.stringify(one.data, null, 2).slice(0, 4000)),
      h(
        "div",
        { class: "buttons" },
        button("Close", () => dialog.close(), { autofocus: true }),
      ),
    ),
    { label: "Answer" },
  );
}
