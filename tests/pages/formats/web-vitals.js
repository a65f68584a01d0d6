// As docs/formats.md says, for the web-vitals library.
import { onCLS, onFCP, onINP, onLCP, onTTFB } from "web-vitals";

let to;
const begin = (at) => {
  const pageview = `${Math.round(performance.timeOrigin + at)}-${Math.random().toString(36).slice(2)}`;
  const url = encodeURIComponent(location.origin + location.pathname);
  to = `${SERVER}/v1/web-vitals?site=${KEY}&release=1.4.2&pageview=${pageview}&url=${url}`;
};
begin(0);
// A restore from the back/forward cache is a page view of its own.
addEventListener("pageshow", (event) => { if (event.persisted) begin(event.timeStamp); });
const send = (metric) => navigator.sendBeacon(to, JSON.stringify(metric));
for (const on of [onCLS, onFCP, onINP, onLCP, onTTFB]) on(send);
