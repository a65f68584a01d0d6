// The reference: the web-vitals library on the same load, as its documentation says to use it. Each value
// goes to the test when the page is hidden; one that comes later, at once.
(() => {
  "use strict";
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  const options = { reportSoftNavs: "soft" in document.currentScript.dataset };
  let values = [];
  const send = () => {
    if (!values.length) return;
    navigator.sendBeacon(base + "capture", JSON.stringify({ kind: "reference", origin: performance.timeOrigin, now: performance.now(), values }));
    values = [];
  };
  const take = ({ name, value, id, navigationType, navigationId }) => {
    values.push({ name, value, id, navigationType, navigationId });
    if (document.visibilityState === "hidden") send();
  };
  for (const name of ["LCP", "INP", "CLS", "FCP", "TTFB"]) webVitals["on" + name](take, options);
  // After the library's own listeners, which are called in the order of their registration.
  const hidden = (event) => {
    if (event.type === "pagehide" || document.visibilityState === "hidden") send();
  };
  addEventListener("visibilitychange", hidden);
  addEventListener("pagehide", hidden);
})();
