// As docs/formats.md says, for Grafana Faro.
import { initializeFaro } from "@grafana/faro-web-sdk";

const pageview = `${Math.round(performance.timeOrigin)}-${Math.random().toString(36).slice(2)}`;
initializeFaro({
  url: `${SERVER}/collect/${KEY}`,
  app: { name: "shop", version: "1.4.2" },
  pageTracking: { page: { attributes: { pageview } } },
});
