// One endpoint: what was delivered to it, how it answered, and delivering it again.

import { get, isAborted, post, remove } from "../core/api.js";
import { address, foreign, h, line, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { ask } from "../core/live.js";
import { go, href } from "../core/router.js";
import "../elements/data-table.js";
import { confirm, open } from "../parts/dialogs.js";
import { act, button, card, empty, facts, moment, pageHead, skeleton, status, tag, toast } from "../parts/ui.js";
import { standing } from "./webhooks.js";

const REFRESH_MS = 5_000;
const PAGE = 100;
const idOf = (delivery) => delivery.delivery_id ?? delivery.id;
const typeOf = (delivery) => delivery.event_type ?? delivery.type ?? delivery.event ?? "";
const latencyOf = (delivery) => delivery.latency_ms ?? (delivery.latency_seconds === undefined || delivery.latency_seconds === null ? null : delivery.latency_seconds * 1000);

export async function show({ view, signal, params }) {
  const path = `webhooks/${encodeURIComponent(params.id)}`;
  const head = pageHead("Endpoint", { crumbs: [["Webhooks", href("/webhooks")]] });
  const about = h("div", {}, skeleton());
  const table = document.createElement("data-table");
  const again = (delivery) => (event) => act(event.currentTarget, async () => { await post("orchestrator", `${path}/deliveries/${encodeURIComponent(idOf(delivery))}/replay`, { signal }); await read(); }, { said: "It is delivered again.", signal });
  Object.assign(table, { label: "Deliveries", noun: "deliveries", keyOf: idOf });
  table.columns = [
    { label: "Event", render: (one) => h("code", {}, line(typeOf(one), 60)) },
    { label: "Status", width: 124, render: (one) => status(one.status ?? one.state) },
    { label: "Answer", width: 90, render: (one) => (one.response_status ?? one.status_code ? tag(String(one.response_status ?? one.status_code)) : foreign(one.error_code ?? one.error ?? "")) },
    { label: "Took", width: 90, end: true, from: 620, render: (one) => (latencyOf(one) === null ? "" : `${Math.round(latencyOf(one))} ms`) },
    { label: "Attempts", width: 86, end: true, from: 720, render: (one) => format.count(one.attempts) },
    { label: "When", width: 110, from: 420, render: (one) => moment(one.last_attempt_at ?? one.attempted_at ?? one.created_at) },
    { label: "Do", width: 190, render: (one) => h("span", {}, button("Answer", () => showAnswer(one), { class: "bare", "aria-label": `Answer to ${typeOf(one)}` }), button("Replay", again(one), { class: "bare", "aria-label": `Deliver ${typeOf(one)} again` })) },
  ];
  table.empty = empty("Nothing was delivered yet", "Send a test event to see how the endpoint answers.");
  put(view, head.element, h("div", { class: "grid" }, card("About it", about), table));

  async function read() {
    const page = await get("orchestrator", `${path}/deliveries`, { query: { limit: PAGE }, signal });
    table.rows = page.items;
  }

  async function about_() {
    const hook = await get("orchestrator", path, { signal });
    put(head.heading, address(hook.url));
    put(about, facts([["Address", foreign(hook.url, { class: "mono" })], ["Stands", standing(hook)], ["Why", hook.paused_reason ? foreign(hook.paused_reason) : null], ["Told of", (hook.events ?? []).map((name) => [tag(name), " "])], ["Made", hook.created_at ? moment(hook.created_at) : null]]));
    put(head.actions,
      button("Send a test", (event) => act(event.currentTarget, async () => { await post("orchestrator", `${path}/test`, { signal }); await read(); }, { said: "A test event is on its way.", signal }), { class: "primary" }),
      button("Replay all since yesterday", (event) => act(event.currentTarget, async () => { await post("orchestrator", `${path}/replay`, { body: { since: new Date(Date.now() - 86_400_000).toISOString() }, signal }); await read(); }, { said: "They are delivered again.", signal })),
      button("Delete", async () => {
        const done = await confirm({ title: "Delete this endpoint?", text: "It is told of nothing any more.", verb: "Delete the endpoint", work: () => remove("orchestrator", path, { signal }) });
        if (done) { toast("The endpoint is deleted."); go("/webhooks"); }
      }, { class: "danger" }));
  }

  await Promise.all([about_(), read()]);
  ask(async () => { try { await read(); } catch (error) { if (isAborted(error)) throw error; } }, signal, REFRESH_MS);
}

function showAnswer(one) {
  const text = one.response_body ?? one.response ?? one.answer ?? "";
  const dialog = open(h("div", { class: "inside" }, h("h2", {}, `Answer to ${line(typeOf(one), 60)}`), facts([["Attempts", format.count(one.attempts)], ["Next", one.next_attempt_at ? moment(one.next_attempt_at) : null], ["Error", one.error_code ?? one.error ?? null]]),
    h("pre", { class: "code-block", tabindex: "0" }, text ? String(text).slice(0, 2000) : "It answered without a body, or not at all."), h("div", { class: "buttons" }, button("Close", () => dialog.close(), { autofocus: true }))), { label: "Answer" });
}
