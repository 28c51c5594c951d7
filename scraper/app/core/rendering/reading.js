// Run in a world of its own: what the page did to its own functions does not matter here.
var glance = () => (document.body ? document.body.innerText.length : 0);

// The page as HTML; null if it is longer than that. What a component draws in a tree of its own is put where it is shown.
// Scripts go, but for what they say of the page as data, and what is for readers without scripts.
var read = (most) => {
  const unfold = (root) => {
    for (const host of [...root.querySelectorAll("*")]) {
      const shadow = host.shadowRoot;
      if (!shadow) continue;
      unfold(shadow);
      for (const slot of [...shadow.querySelectorAll("slot")]) {
        const given = slot.assignedNodes();
        slot.replaceWith(...(given.length ? given : slot.childNodes));
      }
      for (const style of shadow.querySelectorAll("style")) style.remove();
      host.replaceChildren(...shadow.childNodes);
    }
  };
  unfold(document);
  for (const gone of document.querySelectorAll("noscript, script:not([type='application/ld+json'])")) gone.remove();
  const html = document.documentElement ? document.documentElement.outerHTML : "";
  return html.length > most ? null : html;
};
