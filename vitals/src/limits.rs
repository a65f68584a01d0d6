//! Bounds that several crates share. A bound of one crate lives in the `limits.rs` of that crate; `cargo xtask limits`
//! lists all.
//!
//! Input past a bound is refused, or folded and counted; it never crashes the program. Assertions below check the
//! relations between bounds at compile time.

/// Largest body of one beacon, in bytes. Browsers allow 64 KiB of `sendBeacon` bodies in flight.
pub const BODY_BYTES_MAX: usize = 65_536;
/// Largest body of an authenticated API request (a budget file), in bytes.
pub const API_BODY_BYTES_MAX: usize = 256 * 1024;

/// Page views that one beacon may carry: a document's soft navigations and bfcache restores.
pub const VIEWS_PER_BEACON_MAX: usize = 16;
/// Time after a view has settled in which a navigation without input counts as a redirect, in milliseconds. Routers
/// redirect at their start and, after a click, while they fetch data. Later navigations without input (a slideshow,
/// endless scrolling) create views.
pub const REDIRECT_MS: f64 = 2_000.0;
/// Longest time from a click to its navigation, in milliseconds, because a page may fetch data in between. The
/// collector also matches the browser's `soft-navigation` entries with navigations by it.
pub const CLICK_TO_MOVE_MS: f64 = 5_000.0;
/// Navigations, names and restores kept of a document. Past the bound, each page view keeps the change that began it
/// and those that set its URL and route.
pub const CHANGES_MAX: usize = 64;
/// Times of one kind kept of a document: hides, inputs, paints, interaction counts. Past the bound, each page view
/// keeps its first and last.
pub const MOMENTS_MAX: usize = 128;
/// Layout shifts kept of a document. Past the bound, session windows that cannot be the largest of their page view
/// are dropped.
pub const SHIFTS_MAX: usize = 2_048;
/// Interactions kept of a document. Past the bound, interactions that cannot be the INP are dropped.
pub const INTERACTIONS_MAX: usize = 256;
/// Number of longest interactions of a page view from which INP is chosen, as in the web-vitals library: exact up to
/// 500 interactions.
pub const INTERACTIONS_LONGEST: usize = 10;
/// Long tasks kept of a document, the earliest. At the bound, the time after the last one counts as busy.
pub const LONG_TASKS_MAX: usize = 512;
/// Resources kept of a document, the earliest. At the bound, the time after the last one counts as busy.
pub const RESOURCES_MAX: usize = 512;

/// Details of one kind (paints, events, shifts, scripts) kept of a document for attribution. Each page view keeps at
/// least the share below.
pub const DETAILS_MAX: usize = 512;

/// Items of a raw queue that one beacon may carry.
pub const QUEUE_ITEMS_MAX: usize = 1_500;
/// Largest snippet, in bytes after brotli: the cost of a page before its load event.
pub const SNIPPET_BYTES_MAX: u64 = 1_500;
/// Largest snippet, glue and module together, in bytes after brotli: the whole download of a visitor.
pub const COLLECTOR_BYTES_MAX: u64 = 19_300;
/// Items that the snippet queues before the collector has loaded.
pub const QUEUED_ITEMS_MAX: usize = 1_200;
/// Queue items of frequent kinds: resources, tasks, shifts, and events that are no interactions. The rest of the
/// queue stays free for interactions and for facts that every view needs. A raw body then fits [`BODY_BYTES_MAX`].
pub const QUEUED_MASSES_MAX: usize = 700;
/// Texts of one document in the browser. From then on, page views under further URLs are not stored.
pub const TEXTS_MAX: usize = 20_000;
/// Unsent bodies that the browser's storage keeps for a retry.
pub const KEPT_BODIES_MAX: usize = 8;

/// Bytes of a page URL after its query and fragment are dropped.
pub const URL_BYTES_MAX: usize = 1_024;
/// Bytes of a route.
pub const ROUTE_BYTES_MAX: usize = 512;
/// Bytes of the stored URL of an image or a script.
pub const RESOURCE_URL_BYTES_MAX: usize = 512;
/// Bytes of a selector: tags, ids and classes, never text.
pub const SELECTOR_BYTES_MAX: usize = 128;
/// Smallest sample rate of a page: one sent page view stands for ten thousand.
pub const SAMPLE_MIN: f64 = 0.000_1;
/// Tags of a document.
pub const TAGS_MAX: usize = 8;
/// Characters of the name of a tag or a mark; the collector truncates longer ones.
pub const TAG_NAME_CHARS_MAX: usize = 32;
/// Characters of a tag's value; the collector truncates longer ones.
pub const TAG_VALUE_CHARS_MAX: usize = 64;
/// Marks of one page view.
pub const MARKS_MAX: usize = 16;
/// Bytes of a release name.
pub const RELEASE_BYTES_MAX: usize = 128;
/// Maximum nesting of a beacon's JSON: ours is 4 deep, that of the web-vitals library about 8.
pub const JSON_DEPTH_MAX: usize = 32;
/// `Server-Timing` entries kept of a document: a cache, an edge, an origin, a database.
pub const SERVER_TIMINGS_MAX: usize = 4;
/// Reasons kept for a page not restored from the back/forward cache.
pub const NOT_RESTORED_MAX: usize = 4;
/// Largest plausible document, in bytes.
pub const DOCUMENT_BYTES_MAX: u32 = 1_000_000_000;
/// Visible time after which a visitor counts as engaged, in milliseconds: that of Google Analytics' engaged sessions.
pub const ENGAGED_MS: f64 = 10_000.0;

/// Largest plausible value of a time metric, in milliseconds: ten minutes.
pub const TIME_MS_MAX: u32 = 600_000;
/// Largest plausible layout shift score.
pub const CLS_MAX: u32 = 100;

/// Bytes of spool rows in one load transaction, of all sites together: a full one of beacons of 512 B. In memory
/// they take a multiple of it.
pub const LOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Timeout of a command for the server's whole response, in milliseconds.
pub const CLIENT_TIME_MS_MAX: u64 = 60_000;

/// Questions to the store that run at once. The embedded store has two more reading connections, for short reads.
pub const QUESTIONS_RUNNING_MAX: usize = 3;
/// Queued questions. A dashboard asks eight at once; further questions are refused with 503, which takes no time.
pub const QUESTIONS_QUEUED_MAX: usize = 64;
/// Questions whose version is read, which precedes an answer and is one short read.
pub const QUESTIONS_LOOKING_MAX: usize = 1_024;
/// Size of the answers kept in memory, in bytes (`--answers-mib`).
pub const ANSWERS_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Budgets in one file.
pub const BUDGETS_MAX: usize = 200;
/// Levels of values in a budget file in YAML, as many as serde_json reads of JSON.
pub const YAML_DEPTH_MAX: usize = 128;
/// Patterns of routes that one budget excludes.
pub const EXCEPT_MAX: usize = 200;
/// Largest increase that a budget may allow, in per cent: eleven times the baseline. More is a mistake of units.
pub const INCREASE_PERCENT_MAX: u32 = 1_000;
/// Longest period before the judged one that a budget may compare with, in hours: 30 days, the default retention of page
/// views.
pub const BASELINE_HOURS_MAX: u32 = 720;
/// Page views that each side of a comparison needs for a verdict.
pub const COMPARED_SAMPLES_MIN: u64 = 100;
/// Page views that each side needs in a class (device, country, navigation type) to be compared at equal shares.
pub const STRATUM_SAMPLES_MIN: i64 = 10;
/// Largest `min_samples` of a budget, and largest number of page views that a gate reports as needed.
pub const GATE_SAMPLES_MAX: u64 = 1_000_000_000;

const _: () = assert!(VIEWS_PER_BEACON_MAX * 3 < CHANGES_MAX, "what makes a page view must be kept of each");
// Moments are grouped by page view; the time of dropped page views is one more group.
const _: () =
    assert!((VIEWS_PER_BEACON_MAX + 1) * 2 <= MOMENTS_MAX, "a first and a last of each view must fit");
const _: () = assert!(
    (VIEWS_PER_BEACON_MAX + 1) * (INTERACTIONS_LONGEST + 2) < INTERACTIONS_MAX,
    "the longest, the first and the last interaction of each view must fit"
);
// An interaction has up to three events (press, release, click).
const _: () = assert!(
    INTERACTIONS_LONGEST * 3 <= DETAILS_MAX / (VIEWS_PER_BEACON_MAX + 1),
    "the events of the longest interactions of each page view must fit"
);
const _: () = assert!(
    QUEUED_MASSES_MAX < QUEUED_ITEMS_MAX && QUEUED_ITEMS_MAX < QUEUE_ITEMS_MAX,
    "the snippet's queue, with what is asked at its sending, must be taken"
);
const _: () = assert!(
    KEPT_BODIES_MAX * BODY_BYTES_MAX <= 1024 * 1024,
    "what waits must leave most of a page's storage (5 MiB) to the page"
);
const _: () = assert!(URL_BYTES_MAX + ROUTE_BYTES_MAX < BODY_BYTES_MAX / 4, "a view must fit a beacon");
const _: () = assert!(TIME_MS_MAX as u64 * 1_000 <= u32::MAX as u64, "a time must fit its micros");
const _: () = assert!(CLS_MAX as u64 * 1_000_000 <= u32::MAX as u64, "a score must fit its micros");
