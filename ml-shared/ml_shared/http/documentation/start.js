// Starts Swagger UI. In a file of its own, since the page's policy takes no script from within the page.
"use strict";

window.ui = SwaggerUIBundle({
  url: new URL("../openapi.json", document.currentScript.src).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  validatorUrl: null, // it would send the document to a host on the internet
});
