// <copy-text text="…" label="…">: an id, and a button that copies it; also where the page is not a secure context.

import { h, line, put } from "../core/dom.js";
import { icon } from "../parts/icons.js";

class CopyText extends HTMLElement {
  connectedCallback() {
    const value = this.getAttribute("text") ?? "";
    const label = this.getAttribute("label") ?? "Copy";
    const said = h("span", { class: "visually-hidden", role: "status" });
    const button = h(
      "button",
      {
        type: "button",
        class: "bare",
        "aria-label": label,
        title: label,
        onclick: async () => {
          const done = await copy(value);
          said.textContent = done ? "Copied" : "The browser does not let this be copied";
          put(button, done ? "✓" : "✗");
          setTimeout(() => {
            put(button, icon("copy", 13));
            said.textContent = "";
          }, 1_500);
        },
      },
      icon("copy", 13),
    );
    this.className = "copyable";
    put(this, h("code", { title: line(value, 300) }, line(value, 120)), button, said);
  }
}

/** Put text on the clipboard; whether that was possible. */
export async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (error) {
      if (error.name !== "NotAllowedError") throw error;
    }
  }
  const before = document.activeElement;
  const field = h("textarea", { class: "visually-hidden", "aria-hidden": "true", tabindex: "-1" });
  field.value = text;
  // all but the dialog that is open is inert: elsewhere nothing is chosen, and the browser says that it copied that
  ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(field);
  field.select();
  const chosen = document.activeElement === field;
  const done = chosen && document.execCommand("copy"); // without HTTPS there is no other way
  field.remove();
  before?.focus?.();
  return done;
}

customElements.define("copy-text", CopyText);
