//! Every bound of the system, in one place.
//!
//! Past a bound, input is refused or folded and counted, never a crash. Relations between bounds are
//! checked when this file compiles.

/// Largest body of one beacon, in bytes. Browsers allow 64 KiB of `sendBeacon` bodies in flight.
pub const BODY_BYTES_MAX: usize = 65_536;
/// Time a client has to send a whole body, in milliseconds.
pub const BODY_TIME_MS_MAX: u64 = 5_000;
/// Largest body of an authenticated API request (a budget file), in bytes.
pub const API_BODY_BYTES_MAX: usize = 256 * 1024;

/// Page views that one beacon may carry: a document's soft navigations and bfcache restores.
pub const VIEWS_PER_BEACON_MAX: usize = 16;
/// Time after a view has settled in which a move without any input is a redirect, in milliseconds. Routers
/// redirect at their start and, after a click, while they fetch data. A page that moves by itself later (a
/// slideshow, endless scrolling) makes views.
pub const REDIRECT_MS: f64 = 2_000.0;
/// Longest time from a click to the move that it makes, in milliseconds: data may be fetched in between. The
/// browser's `soft-navigation` entries are matched with moves by it.
pub const CLICK_TO_MOVE_MS: f64 = 5_000.0;
/// Moves, names and restores that are kept of a document. Past it, of each page view those are kept that
/// began it and gave it its URL and route.
pub const CHANGES_MAX: usize = 64;
/// Times of one kind that are kept of a document: hides, inputs, paints, interaction counts. Past it,
/// the first and the last of each page view are kept.
pub const MOMENTS_MAX: usize = 128;
/// Layout shifts that are kept of a document. Past it, session windows that cannot be the largest of
/// their page view are dropped.
pub const SHIFTS_MAX: usize = 2_048;
/// Interactions that are kept of a document. Past it, those are dropped that cannot be its INP.
pub const INTERACTIONS_MAX: usize = 256;
/// Longest interactions of a page view among which its INP is found, as in the web-vitals library:
/// exact up to 500 interactions.
pub const INTERACTIONS_LONGEST: usize = 10;
/// Long tasks that are kept of a document, the earliest. At it, the time after the last counts as busy.
pub const LONG_TASKS_MAX: usize = 512;
/// Resources that are kept of a document, the earliest. At it, the time after the last counts as busy.
pub const RESOURCES_MAX: usize = 512;

/// Details of one kind (paints, events, shifts, scripts) that are kept of a document to explain its values. Of
/// each page view at least the share below stays.
pub const DETAILS_MAX: usize = 512;

/// Items of a raw queue that one beacon may carry.
pub const QUEUE_ITEMS_MAX: usize = 1_500;
/// Largest snippet, in bytes as brotli sends it: what a page pays before its load event.
pub const SNIPPET_BYTES_MAX: u64 = 1_500;
/// Largest snippet, glue and module together, in bytes as brotli sends them: what a visitor downloads in all.
/// The aim is 20,000.
pub const COLLECTOR_BYTES_MAX: u64 = 29_500;
/// Items that the snippet queues before the collector is there.
pub const QUEUED_ITEMS_MAX: usize = 1_200;
/// Of these, entries of resources, tasks, shifts and events that are no interactions, which come in masses. The rest stays
/// free for interactions and for facts that every view needs. A raw body then fits [`BODY_BYTES_MAX`].
pub const QUEUED_MASSES_MAX: usize = 700;
/// Texts that explain values, of one document in the browser; past it, later ones are left out.
pub const EXPLAINING_TEXTS_MAX: usize = 500;
/// Paints after interactions that the collector keeps until it knows which were navigations.
pub const SOFT_PAINTS_MAX: usize = 50;
/// Bodies that wait in the browser's storage for a server that did not take them.
pub const KEPT_BODIES_MAX: usize = 8;
/// How often a page that nobody leaves reports what has changed, in milliseconds.
pub const REPORT_MS: u64 = 60_000;
/// How often such a page leaves with the browser what to send should it end, in milliseconds.
pub const DEFER_MS: u64 = 10_000;
/// Metrics in one web-vitals array.
pub const FOREIGN_METRICS_MAX: usize = 64;

/// Bytes of a page URL after its query and fragment are dropped.
pub const URL_BYTES_MAX: usize = 1_024;
/// Bytes of a route.
pub const ROUTE_BYTES_MAX: usize = 512;
/// Bytes of the URL of an image or a script, as it is kept.
pub const RESOURCE_URL_BYTES_MAX: usize = 512;
/// Bytes of a selector: tags, ids and classes, never text.
pub const SELECTOR_BYTES_MAX: usize = 128;
/// The smallest share of page views that a page may send: one that is sent stands for ten thousand.
pub const SAMPLE_MIN: f64 = 0.000_1;
/// Tags of a document.
pub const TAGS_MAX: usize = 8;
/// Characters of the name of a tag or a mark, as the collector cuts it.
pub const TAG_NAME_UNITS_MAX: usize = 32;
/// Characters of a tag's value, as the collector cuts it.
pub const TAG_VALUE_UNITS_MAX: usize = 64;
/// Moments that a page may mark in one page view.
pub const MARKS_MAX: usize = 16;
/// Bytes of a release name.
pub const RELEASE_BYTES_MAX: usize = 128;
/// Bytes of the message that says what is wrong with a beacon; it may quote the beacon.
pub const MESSAGE_BYTES_MAX: usize = 300;
/// How deep the JSON of a beacon may be nested: ours is 4 deep, what the web-vitals library sends about 8.
pub const JSON_DEPTH_MAX: usize = 32;
/// Browsers' headers whose family a thread remembers.
pub const AGENTS_MAX: usize = 1_024;
/// Bytes of such headers; longer ones are parsed each time.
pub const AGENT_BYTES_MAX: usize = 1_024;
/// Routes of a site; page views of further ones are counted under `(other)`.
pub const ROUTES_PER_SITE_MAX: usize = 2_000;
/// Route rules of a site.
pub const ROUTE_RULES_PER_SITE_MAX: usize = 200;
/// Browser families of a site that were seen within raw retention; further ones are `(other)`.
pub const BROWSERS_PER_SITE_MAX: usize = 64;
/// Countries of a site: all there are.
pub const COUNTRIES_PER_SITE_MAX: usize = 300;
/// Effective connection types of a site: there are five.
pub const CONNECTIONS_PER_SITE_MAX: usize = 16;
/// Releases of a site that were seen within raw retention.
pub const RELEASES_PER_SITE_MAX: usize = 2_000;
/// Labels of a site and dimension that may be kept at a time, for as long as any rollup has them: they have
/// codes of two bytes.
pub const LABELS_KEPT_MAX: usize = 53_000;
/// The same, those included that took another's place.
pub const LABEL_CODES_MAX: usize = 60_000;
/// Names of a site and kind that may take another's place on a UTC day. Each adds a name to the day's rollups.
pub const NAMES_DISPLACED_PER_DAY_MAX: usize = 256;
/// Names that a client network may have got on a UTC day and still take another network's place.
pub const NAMES_DISPLACED_PER_NETWORK_MAX: usize = 8;
/// Updates in one load with which a name may take the place of one that was seen once, whichever network brought it.
pub const NAME_SIGHTINGS_MIN: usize = 4;
/// Bytes of what a page view carries beyond what is counted of it: what explains its values, its conditions, tags,
/// marks. Only page views with many tags and marks come near; `store::context::conditions` says what goes first.
pub const CONTEXT_BYTES_MAX: usize = 224;
/// `Server-Timing` entries of a document that are kept: a cache, an edge, an origin, a database.
pub const SERVER_TIMINGS_MAX: usize = 4;
/// Reasons that are kept of why a page was not restored from the back/forward cache.
pub const NOT_RESTORED_MAX: usize = 4;
/// Largest plausible document, in bytes.
pub const DOCUMENT_BYTES_MAX: u32 = 1_000_000_000;
/// Time for which a page is in sight until its visitor counts as engaged, in milliseconds: that of Google Analytics' engaged
/// sessions.
pub const ENGAGED_MS: f64 = 10_000.0;
/// Selectors that the page views of a site and UTC day may name; further ones are `(other)`.
pub const SELECTORS_PER_DAY_MAX: usize = 1_024;
/// URLs of images that they may name.
pub const IMAGES_PER_DAY_MAX: usize = 1_024;
/// URLs of scripts that they may name.
pub const SCRIPTS_PER_DAY_MAX: usize = 512;
/// Types of events and names of tags and marks that they may have.
pub const WORDS_PER_DAY_MAX: usize = 256;
/// Values of tags that they may have.
pub const TAG_VALUES_PER_DAY_MAX: usize = 1_024;
/// Different causes of a metric's values that one question tells apart; those that are met later are counted
/// together.
pub const CAUSES_MAX: usize = 4_096;
/// Causes in one answer.
pub const CAUSE_ROWS_MAX: usize = 100;
/// Fewest days for which page views can be kept: for those that [`CLOCK_SKEW_MS_MAX`] lets in.
pub const KEEP_VIEWS_DAYS_MIN: u32 = 2;
/// Most days for which anything can be kept.
pub const KEEP_DAYS_MAX: u32 = 3_660;
/// Page views that one question may read, where rollups cannot answer it.
pub const SCAN_VIEWS_MAX: u64 = 3_000_000;
/// Page views that an answer from rollups reads for the parts of its first and its last day: about a second. With more of
/// them, the answer counts whole days.
pub const EDGE_VIEWS_MAX: u64 = 1_000_000;
/// Values that a gate sorts to tell a percentile exactly: 4 MB.
pub const SORT_VIEWS_MAX: u64 = 1_000_000;
/// Bytes of a rollup block that a page view takes at most, where it is the only one of its route and its value of the
/// dimension; further ones of the same take less.
pub const BLOCK_VIEW_BYTES_MAX: usize = 32;
/// Bytes that one value may have in either database.
const BLOCK_BYTES_MAX: usize = 1_000_000_000;
/// Bytes of rollup blocks that one statement reads or writes in Postgres, about, but for a block that is larger.
pub const WRITE_BLOCKS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Page views that one transaction folds into rollups, about: with those of the last delta hardly more than 131,072.
pub const FOLD_VIEWS_MAX: usize = 114_688;
/// Connections that the server holds open, by default: with 16 KiB of buffers each, 64 MiB.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Connections of one client network, by default: an eighth of all.
pub const CLIENT_CONNECTIONS_MAX: usize = 512;
/// File handles of a server beside those of its workers and connections: the spool, the store, the log.
pub const FILE_HANDLES_RESERVED: u64 = 64;
/// File handles of an HTTP worker: its own, and connections that are about to be refused or closed.
pub const FILE_HANDLES_PER_WORKER: u64 = 12;
/// Connections that a server has place for however few file handles there are.
pub const CONNECTIONS_MIN: usize = 16;
/// Time that an idle connection is kept, by default, in seconds: longer than the 60 s of common balancers.
pub const KEEP_ALIVE_S: u64 = 75;
/// Largest such time that can be asked for, in seconds.
pub const KEEP_ALIVE_S_MAX: u64 = 3_600;
/// Bytes of a request's head. Cookies of the site's own domain come with it.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Time for a request's head to arrive, from its first byte, in milliseconds.
pub const HEAD_TIME_MS_MAX: u64 = 5_000;
/// Bytes that are read and discarded after the last answer of a connection, so that the client can read the answer.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// Time for the same, in milliseconds.
pub const LINGER_MS_MAX: u64 = 2_000;
/// Bytes of an answer that are buffered at once for a client that does not read.
pub const UNSENT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of the system's send buffer of a connection; Linux doubles them.
pub const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Time that a client may leave an answer unread, in milliseconds.
pub const SEND_STALL_MS_MAX: u64 = 8_000;
/// Bytes a second that a client must read for more time.
pub const SEND_BYTES_PER_SECOND_MIN: u64 = 1_024;
/// Time that a server that stops goes on serving while `/healthz` is 503, by default, in seconds: two checks of a
/// balancer that checks every 2 s.
pub const DRAIN_S: u64 = 5;
/// Time that requests in flight have to end at the stop, in milliseconds.
pub const STOP_REQUESTS_MS_MAX: u64 = 10_000;
/// Answers of the demo site that are held back at once.
pub const DEMO_DELAYS_MAX: usize = 32;
/// Bytes of any other short text of a beacon: connection, foreign ids.
pub const LABEL_BYTES_MAX: usize = 64;
/// Bytes of a site's name.
pub const SITE_NAME_BYTES_MAX: usize = 64;
/// Allowed origins of one site.
pub const ORIGINS_PER_SITE_MAX: usize = 64;

/// A page view whose start lies further than this from the server's clock is not taken, in milliseconds.
pub const CLOCK_SKEW_MS_MAX: i64 = 48 * 3_600 * 1_000;

/// Largest plausible value of a time metric, in milliseconds: ten minutes.
pub const TIME_MS_MAX: u32 = 600_000;
/// Largest plausible layout shift score.
pub const CLS_MAX: u32 = 100;

/// A clock that moves further than this against the monotonic one has jumped, in milliseconds.
pub const CLOCK_JUMP_MS_MAX: i64 = 3_600_000;
/// Page views that are to be erased are counted up to so many.
pub const ERASABLE_MAX: u64 = 1_000_000;

/// Where more days than these would be removed at once when a server starts, it was off for as long, or its clock is
/// ahead.
pub const CLOCK_LEAP_DAYS_MAX: i64 = 2;
/// How long nothing is removed after the clock jumped forward, or may have before the start, in milliseconds.
pub const CLOCK_DOUBT_MS: u64 = 3_600_000;

/// Bytes of beacons between the socket and the spool's fsync.
pub const IN_FLIGHT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of spool on disk that wait for the loader.
pub const SPOOL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Beacons in one group commit.
pub const COMMIT_BEACONS_MAX: usize = 2_048;
/// Bytes in one group commit.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Page view updates that the loader hands to the store in one transaction.
pub const LOAD_VIEWS_MAX: usize = 16_384;
/// Time for which the loader lets beacons gather before a load that is not full, in milliseconds: reports
/// are that much behind.
pub const LOAD_GATHER_MS_MAX: u64 = 200;
/// Longest pause between two tries of the loader while the store is away, in milliseconds.
pub const LOAD_RETRY_MS_MAX: u64 = 5_000;
/// Longest pause between two tries of the loader to load a site whose beacons the store refuses, in milliseconds.
pub const LOAD_SITE_RETRY_MS_MAX: u64 = 60_000;
/// Time that a server that stops gives the loader to empty the spool, in milliseconds.
pub const DRAIN_MS_MAX: u64 = 10_000;
/// Time that a first start which is told to stop has to make its site and token, in milliseconds.
pub const START_END_MS_MAX: u64 = 5_000;
/// Time for closing the store at the end of a server or command, in milliseconds: a log of the embedded one is carried
/// over into its file.
pub const STORE_CLOSE_MS_MAX: u64 = 10_000;

/// Time that a start waits for a database that is away, in milliseconds, where nothing else is asked for.
pub const DATABASE_WAIT_MS: u64 = 30_000;
/// Time to connect to Postgres, and to wait for a connection that is free, in milliseconds.
pub const DATABASE_CONNECT_MS_MAX: u64 = 10_000;
/// Time that Postgres itself gives a statement that asks or loads, in milliseconds.
pub const DATABASE_STATEMENT_MS_MAX: u64 = 30_000;
/// Time in which Postgres must have answered a question, in milliseconds: a connection that is stalled does
/// not say so.
pub const DATABASE_CALL_MS_MAX: u64 = 40_000;
/// Time in which Postgres must have taken a batch of the loader, some twenty round trips, in milliseconds.
pub const DATABASE_LOAD_MS_MAX: u64 = 60_000;
/// Time in which one round of maintenance, or the removal of a site, must have ended, in milliseconds; what
/// it did until then stays done.
pub const DATABASE_MAINTAIN_MS_MAX: u64 = 600_000;
/// Time in which migrations must have ended, in milliseconds.
pub const DATABASE_MIGRATE_MS_MAX: u64 = 720_000;
/// Time after which one step of an erasure begins no further one of removing texts, in milliseconds.
pub const DATABASE_CLEAN_MS_MAX: u64 = 10_000;
/// Time in which a connection must be fit for the next caller, in milliseconds; else it is closed.
pub const DATABASE_RETURN_MS_MAX: u64 = 5_000;
/// Time that a beacon of an unknown site waits for sites to be read again, in milliseconds.
pub const DIRECTORY_MISS_MS_MAX: u64 = 2_000;

/// Time in which a command expects the server's whole answer, in milliseconds.
pub const CLIENT_TIME_MS_MAX: u64 = 60_000;
/// Largest answer of a server that a command reads, in bytes.
pub const CLIENT_ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Rows in one page of an API answer.
pub const PAGE_ROWS_MAX: usize = 500;
/// Days that one question may span.
pub const QUERY_DAYS_MAX: i64 = 400;
/// Budgets in one file.
pub const BUDGETS_MAX: usize = 200;
/// Page views that a budget may ask for, and that a gate still tells to wait for.
pub const GATE_SAMPLES_MAX: u64 = 1_000_000_000;
/// Rejections kept for the answer to "why is there no data?": distinct (site, reason, origin).
pub const REJECTION_KINDS_MAX: usize = 1_000;

// Routes are spread over sixteen blocks by a hash: a sixteenth of this, 8 MB, unless somebody has chosen them.
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
// The page views of a document, and the time of those that were dropped, are told apart.
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
const _: () = assert!(VIEWS_PER_BEACON_MAX <= LOAD_VIEWS_MAX, "any beacon must be loadable at once");
const _: () = assert!(
    DATABASE_STATEMENT_MS_MAX < DATABASE_CALL_MS_MAX,
    "Postgres' own word on a statement must come before ours"
);
const _: () =
    assert!(DATABASE_CALL_MS_MAX < CLIENT_TIME_MS_MAX, "a command must hear why there is no answer");
