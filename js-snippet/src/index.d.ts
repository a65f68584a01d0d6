/** A metric's abbreviation. */
export type Metric = "LCP" | "INP" | "CLS" | "FCP" | "TTFB" | "FID" | "TTI";

/** How a value is rated. */
export type Rating = "good" | "needs-improvement" | "poor";

/** The navigation type of a page view. */
export type NavigationType =
  | "navigate"
  | "reload"
  | "back-forward"
  | "back-forward-cache"
  | "prerender"
  | "restore"
  | "soft-navigation";

/** The loading state of the document. */
export type LoadState = "loading" | "dom-content-loaded" | "complete";

/** The attribution of LCP. Times are in milliseconds. */
export interface LcpAttribution {
  /** The element, as a selector. */
  target?: string;
  /** The image's URL without query and fragment. */
  url?: string;
  /** TTFB, load delay, load duration, render delay; they sum to LCP. */
  parts: [number, number, number, number];
}

/** The attribution of INP. Times are in milliseconds. */
export interface InpAttribution {
  /** The element, as a selector. */
  target?: string;
  /** The type of the interaction's longest event. */
  event?: string;
  /** The start of the interaction, since the view's start. */
  at: number;
  /** Input delay, processing, presentation; they sum to INP. */
  parts: [number, number, number];
  /** The URL of the script that ran longest. */
  script?: string;
  /** Its duration. */
  script_ms: number;
  load: LoadState;
}

/** The attribution of CLS: the largest shift of its window. */
export interface ClsAttribution {
  /** The element, as a selector. */
  target?: string;
  /** Its time, in milliseconds since the view's start. */
  at: number;
  /** Its score. */
  value: number;
  load: LoadState;
}

/** The attribution of TTFB, as far as the browser reports it. Times are in milliseconds. */
export interface TtfbAttribution {
  /** Redirect, service worker, cache, DNS, connect, request; they sum to TTFB. */
  parts?: [number, number, number, number, number, number];
  /** `nextHopProtocol`. */
  protocol?: string;
  delivery?: "network" | "cache" | "navigational-prefetch";
  /** The compressed size of the document. */
  bytes?: number;
  /** `Server-Timing` entries that the page asks for: name, duration, description. */
  server?: [string, number, string][];
  /** The reasons why the page was not restored from the back/forward cache. */
  not_restored?: string[];
  /** The browser's confidence that the load is typical; random in a share of loads, `trigger_rate`. */
  confidence?: "low" | "high";
  trigger_rate?: number;
}

/** A metric's value, as a report finds it. */
export interface Value {
  name: Metric;
  /** Milliseconds; of CLS a score. */
  value: number;
  rating: Rating;
  /** The page view. */
  id: string;
  navigationType: NavigationType;
  attribution?: LcpAttribution | InpAttribution | ClsAttribution | TtfbAttribution;
}

export interface Options {
  /** The site's public key. */
  site: string;
  /** Your fieldvitals server, such as `https://vitals.example`. */
  host: string;
  /** The URL for beacons. Default: `v1/beacon` under the host. */
  endpoint?: string;
  /** The route of the first page view. */
  route?: string;
  /** The release that the page belongs to. */
  release?: string;
  /** Tags of the page: at most 8. */
  tags?: Record<string, string>;
  /** Names of `Server-Timing` entries to send, separated by commas. */
  serverTiming?: string;
  /** The share of page views to send, up to 1; 0 sends nothing. */
  sample?: number;
  /** `required` waits for `consent(true)`; `granted` allows storage. */
  consent?: "required" | "granted";
  /** Gets each page view's URL and returns the one to send, or nothing to drop the view. */
  beforeSend?: (url: string) => string | null | undefined | false;
  /** Logs measurements and beacons to the console. */
  debug?: boolean;
}

/** Begins to measure this page. A second call does nothing. */
export function init(options: Options): void;
/** Names the current page view. Never begins one. */
export function route(route: string): void;
/** Begins a page view of this route, or names the one that has just begun. */
export function navigate(route: string): void;
/** Sets a tag of the document. */
export function tag(name: string, value: string): void;
/** Notes the time since the page view's start. */
export function mark(name: string): void;
/** Gives or withdraws consent. */
export function consent(given: boolean): void;
/** Calls back whenever a report finds a new value. */
export function on(metric: Metric, listener: (value: Value) => void): void;
