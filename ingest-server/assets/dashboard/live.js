// Watches a site: the server says within a second that its data or its refused beacons changed.
import { sitePath, underPage } from "./api.js";

/** Time until another try, after the server refused to be watched. */
const AGAIN_MS = 5_000;

let source = null;
let watched = null;
let again = null;

/** Watches a site while the page is visible: an open stream is one of six connections to a server of old. */
export function watchSite(site, onSeen) {
  if (watched?.site === site && source !== null) {
    watched.onSeen = onSeen;
    return;
  }
  unwatch();
  watched = { site, onSeen };
  open();
}

/** Watches nothing. */
export function unwatch() {
  clearTimeout(again);
  source?.close();
  source = null;
  watched = null;
}

function open() {
  clearTimeout(again);
  if (watched === null || source !== null || document.visibilityState !== "visible") return;
  source = new EventSource(underPage(sitePath(watched.site, "live")));
  source.addEventListener("change", (event) => watched?.onSeen(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    // Browsers connect again by themselves after a break, but not after a refusal.
    if (source?.readyState !== EventSource.CLOSED) return;
    source = null;
    again = setTimeout(open, AGAIN_MS);
  });
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") {
    open();
  } else {
    source?.close();
    source = null;
  }
});
addEventListener("pagehide", () => {
  source?.close();
  source = null;
});
addEventListener("pageshow", open);
