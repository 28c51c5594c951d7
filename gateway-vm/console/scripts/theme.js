// Before the page is drawn, so that it does not flash: the theme that was chosen, if one was. No secret, so localStorage.
"use strict";

{
  const chosen = localStorage.getItem("cloudcix-ml.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
