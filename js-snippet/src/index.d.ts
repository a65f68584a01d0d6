/** A metric's abbreviation. */
export type Metric = "LCP" | "INP" | "CLS" | "FCP" | "TTFB" | "FID" | "TTI";

/** How a value is rated. */
export type Rating = "good" | "needs-improvement" | "poor";

/** How a page view came to be. */
export type NavigationType =
  | "navigate"
  | "reload"
  | "back-forward"
  | "back-forward-cache"
  | "prerender"
  | "restore"
  | "soft-navigation";

/** How far the document had come. */
export type LoadState = "loading" | "dom-content-loaded" | "complete";

/** What explains LCP. Times are in milliseconds. */
export interface LcpAttribution {
  /** The element, as a selector. */
  target?: string;
  /** The image's URL without query and fragment. */
  url?: string;
  /** TTFB, load delay, load duration, render delay; they sum to LCP. */
  parts: [number, number, number, number];
}

/** What explains INP. Times are in milliseconds. */
export interface InpAttribution {
  /** The element, as a selector. */
  target?: string;
  /** The type of the interaction's longest event. */
  event?: string;
  /** When the interaction began, since the view's start. */
  at: number;
  /** Input delay, processing, presentation; they sum to INP. */
  parts: [number, number, number];
  /** The URL of the script that ran longest. */
  script?: string;
  /** How long it ran. */
  script_ms: number;
  load: LoadState;
}

/** What explains CLS: the largest shift of its window. */
export interface ClsAttribution {
  /** The element, as a selector. */
  target?: string;
  /** When it happened, in milliseconds since the view's start. */
  at: number;
  /** Its score. */
  value: number;
  load: LoadState;
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
  attribution?: LcpAttribution | InpAttribution | ClsAttribution;
}

export interface Options {
  /** The site's public key. */
  site: string;
  /** Your fieldvitals server, such as `https://vitals.example`. */
  host: string;
  /** Where beacons go, if not to `/v1/beacon` of the host. */
  endpoint?: string;
  /** The route of the first page view. */
  route?: string;
  /** The release that the page belongs to. */
  release?: string;
  /** What you want to say of the page: at most 8. */
  tags?: Record<string, string>;
  /** The share of page views to send, up to 1; 0 sends nothing. */
  sample?: number;
  /** `required` waits for `consent(true)`; `granted` allows storage. */
  consent?: "required" | "granted";
  /** Gets each page view's URL and returns the one to send, or nothing to drop the view. */
  beforeSend?: (url: string) => string | null | undefined | false;
  /** Says in the console what is measured and sent. */
  debug?: boolean;
}

/** Begins to measure this page. A second call does nothing. */
export function init(options: Options): void;
/** Begins a page view of this route, or names the one that has just begun. */
export function navigate(route: string): void;
/** Says something of the document. */
export function tag(name: string, value: string): void;
/** Notes the time since the page view's start. */
export function mark(name: string): void;
/** Gives or withdraws consent. */
export function consent(given: boolean): void;
/** Calls back whenever a report finds a new value. */
export function on(metric: Metric, listener: (value: Value) => void): void;
