// Says so when the parts that refresh themselves get no answer. Everything else works without scripts.
"use strict";
(function () {
  function stale(isStale) {
    var note = document.getElementById("connection");
    if (note) { note.hidden = !isStale; }
  }
  document.addEventListener("htmx:sendError", function () { stale(true); });
  document.addEventListener("htmx:timeout", function () { stale(true); });
  document.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.xhr && event.detail.xhr.status) { stale(!event.detail.successful); }
  });
})();
