//! Bounds that several crates share. A bound of one crate lives in the `limits.rs` of that crate; `cargo xtask limits`
//! lists all.
//!
//! Input past a bound is refused, or folded and counted; it never crashes the program. Assertions below check the
//! relations between bounds at compile time.

/// Largest body of one beacon, in bytes. Browsers allow 64 KiB of `sendBeacon` bodies in flight.
pub const BODY_BYTES_MAX: usize = 65_536;
/// Timeout of reading a request body, in milliseconds.
pub const BODY_TIME_MS_MAX: u64 = 5_000;
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
/// Largest snippet, glue and module together, in bytes after brotli: the whole download of a visitor. The aim is
/// 20,000.
pub const COLLECTOR_BYTES_MAX: u64 = 29_700;
/// Items that the snippet queues before the collector has loaded.
pub const QUEUED_ITEMS_MAX: usize = 1_200;
/// Queue items of frequent kinds: resources, tasks, shifts, and events that are no interactions. The rest of the
/// queue stays free for interactions and for facts that every view needs. A raw body then fits [`BODY_BYTES_MAX`].
pub const QUEUED_MASSES_MAX: usize = 700;
/// Unsent bodies that the browser's storage keeps for a retry.
pub const KEPT_BODIES_MAX: usize = 8;
/// Metrics in one web-vitals array.
pub const FOREIGN_METRICS_MAX: usize = 64;

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
pub const TAG_NAME_UNITS_MAX: usize = 32;
/// Characters of a tag's value; the collector truncates longer ones.
pub const TAG_VALUE_UNITS_MAX: usize = 64;
/// Marks of one page view.
pub const MARKS_MAX: usize = 16;
/// Bytes of a release name.
pub const RELEASE_BYTES_MAX: usize = 128;
/// Bytes of the error message for a beacon; the message may quote the beacon.
pub const MESSAGE_BYTES_MAX: usize = 300;
/// Maximum nesting of a beacon's JSON: ours is 4 deep, that of the web-vitals library about 8.
pub const JSON_DEPTH_MAX: usize = 32;
/// `User-Agent` headers whose browser family a thread caches.
pub const AGENTS_MAX: usize = 1_024;
/// Bytes of a cached header; longer ones are parsed each time.
pub const AGENT_BYTES_MAX: usize = 1_024;
/// Routes of a site; page views of further routes are counted under `(other)`.
pub const ROUTES_PER_SITE_MAX: usize = 2_000;
/// Route rules of a site.
pub const ROUTE_RULES_PER_SITE_MAX: usize = 200;
/// Browser families of a site seen within raw retention; further ones are `(other)`.
pub const BROWSERS_PER_SITE_MAX: usize = 64;
/// Countries of a site; more than exist.
pub const COUNTRIES_PER_SITE_MAX: usize = 300;
/// Effective connection types of a site: there are five.
pub const CONNECTIONS_PER_SITE_MAX: usize = 16;
/// Releases of a site seen within raw retention.
pub const RELEASES_PER_SITE_MAX: usize = 2_000;
/// Labels of a site and dimension kept at a time. A label is kept as long as any rollup has it. Codes have two bytes.
pub const LABELS_KEPT_MAX: usize = 53_000;
/// The same, including labels that displaced another.
pub const LABEL_CODES_MAX: usize = 60_000;
/// Names of a site and kind that may displace another on a UTC day. Each adds a name to the day's rollups.
pub const NAMES_DISPLACED_PER_DAY_MAX: usize = 256;
/// Names that a client network may get on a UTC day before it can no longer displace names of other networks.
pub const NAMES_DISPLACED_PER_NETWORK_MAX: usize = 8;
/// Updates in one load after which a name may displace a name that was seen once, from any network.
pub const NAME_SIGHTINGS_MIN: usize = 4;
/// Bytes of an encoded context: attribution, conditions, tags, marks. Only page views with many tags and marks come
/// near the bound; `store::context::conditions` documents the order of omission.
pub const CONTEXT_BYTES_MAX: usize = 224;
/// `Server-Timing` entries kept of a document: a cache, an edge, an origin, a database.
pub const SERVER_TIMINGS_MAX: usize = 4;
/// Reasons kept for a page not restored from the back/forward cache.
pub const NOT_RESTORED_MAX: usize = 4;
/// Largest plausible document, in bytes.
pub const DOCUMENT_BYTES_MAX: u32 = 1_000_000_000;
/// Visible time after which a visitor counts as engaged, in milliseconds: that of Google Analytics' engaged sessions.
pub const ENGAGED_MS: f64 = 10_000.0;
/// Distinct selectors in the page views of a site and UTC day; further ones are `(other)`.
pub const SELECTORS_PER_DAY_MAX: usize = 1_024;
/// Distinct image URLs in the page views of a site and UTC day.
pub const IMAGES_PER_DAY_MAX: usize = 1_024;
/// Distinct script URLs in the page views of a site and UTC day.
pub const SCRIPTS_PER_DAY_MAX: usize = 512;
/// Distinct event types, tag names and mark names in the page views of a site and UTC day.
pub const WORDS_PER_DAY_MAX: usize = 256;
/// Distinct tag values in the page views of a site and UTC day.
pub const TAG_VALUES_PER_DAY_MAX: usize = 1_024;
/// Distinct causes of a metric that one query separates; later ones are counted together.
pub const CAUSES_MAX: usize = 4_096;
/// Causes in one answer.
pub const CAUSE_ROWS_MAX: usize = 100;
/// Shortest retention of page views, in days: it covers page views accepted within [`CLOCK_SKEW_MS_MAX`].
pub const KEEP_VIEWS_DAYS_MIN: u32 = 2;
/// Page views that one query may read if rollups cannot answer it.
pub const SCAN_VIEWS_MAX: u64 = 3_000_000;
/// Page views that an answer from rollups reads for the parts of its first and last day: about 1 s. If there are
/// more, the answer counts whole days.
pub const EDGE_VIEWS_MAX: u64 = 1_000_000;
/// Values that a gate sorts to compute an exact percentile: 4 MB.
pub const SORT_VIEWS_MAX: u64 = 1_000_000;
/// Maximum bytes of a page view in a rollup block, reached by the only one of its route and value of the dimension.
/// Further page views of the same route and value take less.
pub const BLOCK_VIEW_BYTES_MAX: usize = 32;
/// Bytes of one value in either database.
const BLOCK_BYTES_MAX: usize = 1_000_000_000;
/// Approximate page views that one transaction folds into rollups; the last delta may raise it to about 131,072.
pub const FOLD_VIEWS_MAX: usize = 114_688;
/// Default number of open connections of the server: 64 MiB at 16 KiB of buffers each.
pub const CONNECTIONS_MAX: usize = 4_096;
/// File handles of a server besides those of its workers and connections: the spool, the store, the log.
pub const FILE_HANDLES_RESERVED: u64 = 64;
/// File handles of an HTTP worker: its own, and those of connections about to be refused or closed.
pub const FILE_HANDLES_PER_WORKER: u64 = 12;
/// Minimum number of connections of a server, however low the limit of file handles is.
pub const CONNECTIONS_MIN: usize = 16;
/// Bytes of a request's head, which includes cookies of the site's domain.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Timeout of a request's head, from its first byte, in milliseconds.
pub const HEAD_TIME_MS_MAX: u64 = 5_000;
/// Bytes that the server reads and discards after the last response of a connection, so that the client can read the
/// response.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// Timeout of that reading, in milliseconds.
pub const LINGER_MS_MAX: u64 = 2_000;
/// Bytes of a response buffered at once for a client that does not read.
pub const UNSENT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a connection's send buffer in the system; Linux doubles them.
pub const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Time that a client may leave a response unread, in milliseconds.
pub const SEND_STALL_MS_MAX: u64 = 8_000;
/// Bytes per second that a client must read to extend that time.
pub const SEND_BYTES_PER_SECOND_MIN: u64 = 1_024;
/// Timeout of requests in flight at the stop, in milliseconds.
pub const STOP_REQUESTS_MS_MAX: u64 = 10_000;
/// Delayed responses of the demo site at a time.
pub const DEMO_DELAYS_MAX: usize = 32;
/// Bytes of any other short text of a beacon: connection, foreign ids.
pub const LABEL_BYTES_MAX: usize = 64;
/// Bytes of a site's name.
pub const SITE_NAME_BYTES_MAX: usize = 64;
/// Allowed origins of one site.
pub const ORIGINS_PER_SITE_MAX: usize = 64;

/// Largest distance between the start of a page view and the server's clock, in milliseconds. Page views beyond it
/// are refused.
pub const CLOCK_SKEW_MS_MAX: i64 = 48 * 3_600 * 1_000;

/// Largest plausible value of a time metric, in milliseconds: ten minutes.
pub const TIME_MS_MAX: u32 = 600_000;
/// Largest plausible layout shift score.
pub const CLS_MAX: u32 = 100;

/// Divergence from the monotonic clock above which a clock has jumped, in milliseconds.
pub const CLOCK_JUMP_MS_MAX: i64 = 3_600_000;
/// Largest count of erasable page views; counting stops there.
pub const ERASABLE_MAX: u64 = 1_000_000;

/// Days of data that a starting server may delete at once. If there are more, the server was off that long, or its
/// clock is ahead.
pub const CLOCK_LEAP_DAYS_MAX: i64 = 2;
/// Time without deletions after the clock jumped forward, or may have before the start, in milliseconds.
pub const CLOCK_DOUBT_MS: u64 = 3_600_000;

/// Bytes of beacons between the socket and the spool's fsync.
pub const IN_FLIGHT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of spool on disk not yet loaded.
pub const SPOOL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Beacons in one group commit.
pub const COMMIT_BEACONS_MAX: usize = 2_048;
/// Bytes in one group commit.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Page view updates in one load transaction, of all sites together.
pub const LOAD_VIEWS_MAX: usize = 16_384;
/// Bytes of spool rows in one load transaction, of all sites together: a full one of beacons of 512 B. In memory
/// they take a multiple of it.
pub const LOAD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Time that the loader waits for more beacons before a load that is not full, in milliseconds. Reports lag by it.
pub const LOAD_GATHER_MS_MAX: u64 = 200;
/// Maximum retry back-off of the loader while the store is unreachable, in milliseconds.
pub const LOAD_RETRY_MS_MAX: u64 = 5_000;
/// Maximum retry back-off for a site whose beacons the store refuses, in milliseconds.
pub const LOAD_SITE_RETRY_MS_MAX: u64 = 60_000;
/// Time that a stopping server gives the loader to empty the spool, in milliseconds.
pub const DRAIN_MS_MAX: u64 = 10_000;
/// Timeout of closing the store at the end of a server or command, in milliseconds. The embedded store writes its log
/// into its file then.
pub const STORE_CLOSE_MS_MAX: u64 = 10_000;

/// Time that a beacon of an unknown site waits for a reload of the sites, in milliseconds.
pub const DIRECTORY_MISS_MS_MAX: u64 = 2_000;

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
/// Rows in one page of an API response.
pub const PAGE_ROWS_MAX: usize = 500;
/// Days that one query may span.
pub const QUERY_DAYS_MAX: i64 = 400;
/// Budgets in one file.
pub const BUDGETS_MAX: usize = 200;
/// Largest `min_samples` of a budget, and largest number of page views that a gate reports as needed.
pub const GATE_SAMPLES_MAX: u64 = 1_000_000_000;
/// Rejections kept to answer "why is there no data?": distinct (site, reason, origin).
pub const REJECTION_KINDS_MAX: usize = 1_000;

// A hash spreads routes over sixteen blocks, so a block has a sixteenth of this, 8 MB, unless somebody chooses routes
// to collide.
const _: () = assert!(
    (ROUTES_PER_SITE_MAX + 1 + ROUTE_RULES_PER_SITE_MAX + NAMES_DISPLACED_PER_DAY_MAX)
        * (RELEASES_PER_SITE_MAX + 2 + NAMES_DISPLACED_PER_DAY_MAX)
        * BLOCK_VIEW_BYTES_MAX
        * 4
        <= BLOCK_BYTES_MAX,
    "a block must take some page views of every release on every route"
);
const _: () = assert!(
    LABELS_KEPT_MAX < LABEL_CODES_MAX && LABEL_CODES_MAX < 1 << 16,
    "a label must have a code of two bytes"
);
const _: () = assert!(
    SELECTORS_PER_DAY_MAX
        + IMAGES_PER_DAY_MAX
        + SCRIPTS_PER_DAY_MAX
        + WORDS_PER_DAY_MAX
        + TAG_VALUES_PER_DAY_MAX
        <= 1 << 12,
    "a text must soon find a code of two bytes that is free"
);
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
const _: () = assert!(BODY_BYTES_MAX < COMMIT_BYTES_MAX, "any beacon must fit a commit");
const _: () = assert!(COMMIT_BYTES_MAX <= IN_FLIGHT_BYTES_MAX, "a commit must fit what may be in flight");
const _: () = assert!(
    CLOCK_SKEW_MS_MAX <= KEEP_VIEWS_DAYS_MIN as i64 * 86_400_000,
    "a view that is taken must be kept"
);
const _: () = assert!(TIME_MS_MAX as u64 * 1_000 <= u32::MAX as u64, "a time must fit its micros");
const _: () = assert!(CLS_MAX as u64 * 1_000_000 <= u32::MAX as u64, "a score must fit its micros");
const _: () = assert!(COMMIT_BEACONS_MAX <= LOAD_VIEWS_MAX, "a commit must be loadable at once");
const _: () = assert!(COMMIT_BYTES_MAX <= LOAD_BYTES_MAX, "a commit must be loadable at once");
const _: () = assert!(VIEWS_PER_BEACON_MAX <= LOAD_VIEWS_MAX, "any beacon must be loadable at once");
