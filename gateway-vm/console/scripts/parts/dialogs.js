// Dialogs: the browser's own, so that focus stays in them and Escape closes them.

import { h, line, nextId, put } from "../core/dom.js";
import { disable, giveBack } from "../core/focus.js";
import { button, problem } from "./ui.js";

/** `outside`: whether a press beside it closes it. Not where it shows what is shown once. */
export function open(content, { label, onclose, outside = true } = {}) {
  const dialog = h("dialog", label ? { "aria-label": label } : {}, content);
  const opener = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    giveBack(opener); // the browser does, too, unless the page was redrawn meanwhile
    onclose?.();
  });
  // text that is chosen by dragging, until beside the dialog or from there, is a click on the dialog, too
  let beside = false;
  dialog.addEventListener("pointerdown", (event) => {
    beside = event.target === dialog;
  });
  dialog.addEventListener("pointerup", (event) => {
    beside &&= event.target === dialog;
  });
  dialog.addEventListener("click", (event) => {
    if (outside && beside && event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  addEventListener("hashchange", () => dialog.close(), { once: true });
  return dialog;
}

/** Ask before something that can't be taken back; `work` runs while the dialog waits, and its failure is shown there. */
export function confirm({ title, text, verb, danger = true, work, more = null }) {
  return new Promise((resolve) => {
    const said = h("div", {});
    const id = nextId("title");
    const yes = h("button", { type: "submit", class: danger ? "danger" : "primary" }, verb);
    let answer;
    const form = h(
      "form",
      { method: "dialog", "aria-labelledby": id },
      h("h2", { id }, title),
      h("p", {}, line(text, 500)),
      more,
      said,
      h(
        "div",
        { class: "buttons" },
        button("Keep it as it is", () => dialog.close()),
        yes,
      ),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const enable = disable(yes);
      try {
        answer = (await work(form)) ?? true;
        dialog.close();
      } catch (error) {
        put(said, problem(error));
        enable();
      }
    });
    const dialog = open(form, { onclose: () => resolve(answer) });
  });
}

const SHORTCUTS = [
  ["/", "Search"],
  ["i", "Index a page or a file"],
  ["g then o", "Overview"],
  ["g then j", "Jobs"],
  ["g then b", "Batches"],
  ["g then c", "Corpora"],
  ["↑ ↓ Home End", "Move through a table"],
  ["Enter", "Open what is chosen"],
  ["?", "This list"],
];

export function showShortcuts() {
  const id = nextId("title");
  const dialog = open(
    h(
      "div",
      { class: "inside", "aria-labelledby": id },
      h("h2", { id }, "Keys"),
      h(
        "dl",
        { class: "keys" },
        SHORTCUTS.map(([keys, text]) => [
          h(
            "dt",
            {},
            keys.split(" then ").map((one, at) => [at ? " then " : "", h("kbd", {}, one)]),
          ),
          h("dd", {}, text),
        ]),
      ),
      h(
        "div",
        { class: "buttons" },
        button("Close", () => dialog.close(), { autofocus: true }),
      ),
    ),
    { label: "Keys" },
  );
}
