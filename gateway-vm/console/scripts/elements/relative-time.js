// <relative-time datetime="…">: how long ago, kept true by one timer for all of them; the exact time on hover.

import { ago, exact } from "../core/format.js";

const shown = new Set();
setInterval(() => {
  if (!document.hidden) for (const element of shown) element.draw();
}, 5_000);

class RelativeTime extends HTMLElement {
  static observedAttributes = ["datetime"];

  connectedCallback() {
    shown.add(this);
    this.draw();
  }

  disconnectedCallback() {
    shown.delete(this);
  }

  attributeChangedCallback() {
    if (this.isConnected) this.draw();
  }

  draw() {
    const date = this.getAttribute("datetime");
    if (Number.isNaN(Date.parse(date))) {
      this.textContent = "–";
      return;
    }
    const text = ago(date);
    if (this.textContent !== text) this.textContent = text;
    this.title = exact(date);
  }
}

customElements.define("relative-time", RelativeTime);
