// A performance message, sent by Umami's client as its tracker sends one: once, when the page is hidden. The tracker is not
// on npm.
import umami from "@umami/node";
import { onCLS, onFCP, onINP, onLCP, onTTFB } from "web-vitals";

umami.init({ websiteId: KEY, hostUrl: SERVER });
const page = { website: KEY, hostname: location.hostname, url: location.href, screen: `${screen.width}x${screen.height}` };
umami.track({ ...page, name: "signup" });
const values = {};
for (const on of [onCLS, onFCP, onINP, onLCP, onTTFB]) {
  on(({ name, value }) => { values[name.toLowerCase()] = value; });
}
// The tracker's own option, without which the browser cancels the request when the page is left.
const { fetch } = window;
window.fetch = (url, options) => fetch(url, { ...options, keepalive: true });
addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "hidden") return;
  umami.send({ ...page, ...values, duration: Math.round(performance.now()) }, "performance");
});
