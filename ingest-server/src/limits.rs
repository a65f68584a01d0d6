//! Bounds of the server: connections, requests, the spool, loading.
//!
//! `cargo xtask limits` lists the bounds of all crates.

/// Timeout of reading a request body, in milliseconds.
pub const BODY_TIME_MS_MAX: u64 = 5_000;
/// Metrics in one web-vitals array.
pub const FOREIGN_METRICS_MAX: usize = 64;
/// Bytes of the error message for a beacon; the message may quote the beacon.
pub const MESSAGE_BYTES_MAX: usize = 300;
/// `User-Agent` headers whose browser family a thread caches.
pub const AGENTS_MAX: usize = 1_024;
/// Bytes of a cached header; longer ones are parsed each time.
pub const AGENT_BYTES_MAX: usize = 1_024;
/// Causes in one answer.
pub const CAUSE_ROWS_MAX: usize = 100;
/// Shortest retention of page views, in days: it covers page views accepted within [`CLOCK_SKEW_MS_MAX`].
pub const KEEP_VIEWS_DAYS_MIN: u32 = 2;
/// Longest retention of any data, in days.
pub const KEEP_DAYS_MAX: u32 = 3_660;
/// Default number of open connections of the server: 54 MiB at 27 KiB each, while each waits for the rest of its body. Of these,
/// actix takes 16 KiB for buffers.
pub const CONNECTIONS_MAX: usize = 2_048;
/// Connections that the system completes before the server accepts them; it may bound them lower
/// (`net.core.somaxconn`). Past it, a client tries again after a second.
pub const CONNECTIONS_WAITING_MAX: i32 = 4_096;
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
/// Pause between two looks at the files of the certificate, in milliseconds: they are two short files.
pub const TLS_LOOK_MS: u64 = 5_000;
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
pub const SEND_STALL_MS_MAX: u64 = 6_000;
/// Bytes per second that a client must read to extend that time. For clients that do not read, the receiver of Linux takes up to
/// 128 KiB over some seconds, so these are closed after 8 s. Slower clients get answers of up to 140 KiB, which the buffers of
/// the server's system hold, and what they read meanwhile.
pub const SEND_BYTES_PER_SECOND_MIN: u64 = 64 * 1_024;
/// Timeout of requests in flight at the stop, in milliseconds.
pub const STOP_REQUESTS_MS_MAX: u64 = 10_000;
/// Delayed responses of the demo site at a time.
pub const DEMO_DELAYS_MAX: usize = 32;
/// Bytes of any other short text of a beacon: connection, foreign ids.
pub const LABEL_BYTES_MAX: usize = 64;
/// Largest distance between the start of a page view and the server's clock, in milliseconds. Page views beyond it
/// are refused.
pub const CLOCK_SKEW_MS_MAX: i64 = 48 * 3_600 * 1_000;
/// Divergence from the monotonic clock above which a clock has jumped, in milliseconds.
pub const CLOCK_JUMP_MS_MAX: i64 = 3_600_000;
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
/// Rows of the server's health: one a minute, for 30 days.
pub const HISTORY_ROWS_MAX: usize = 30 * 24 * 60;
/// Bytes of the file of these rows; a larger one is not of this server, and is replaced.
pub const HISTORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Timeout of keeping the last row of the server's health at its stop, in milliseconds.
pub const HISTORY_END_MS_MAX: u64 = 2_000;
/// Bytes of the body of new thresholds.
pub const THRESHOLDS_BYTES_MAX: usize = 8_192;
/// Sites whose vitals `/metrics` has. Each is about 60 lines, and a question a minute.
pub const METRICS_SITES_MAX: usize = 100;
/// Time that a beacon of an unknown site waits for a reload of the sites, in milliseconds.
pub const DIRECTORY_MISS_MS_MAX: u64 = 2_000;
/// Rows in one page of an API response.
pub const PAGE_ROWS_MAX: usize = 500;
/// Page views whose causes advice reads, in one pass for all metrics. Of more, it reads a sample, and a larger one for
/// metrics of which too few page views are slow.
pub const ADVICE_VIEWS_MAX: u64 = 30_000;
/// Causes and reasons that advice reads for a metric.
pub const ADVICE_REASONS_MAX: usize = 20;
/// Page views whose LCP elements a record in the shape of CrUX reads. Of more, it reads a sample.
pub const CRUX_VIEWS_MAX: u64 = 30_000;
/// Periods of a history in the shape of CrUX: the most that CrUX gives.
pub const CRUX_PERIODS_MAX: usize = 40;
/// Bytes of a request in the shape of CrUX: a URL and the names of all metrics.
pub const CRUX_BODY_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an answer of Google's CrUX API; a record has about 3 kB.
pub const CRUX_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Answers of Google's CrUX API in memory.
pub const CRUX_KEPT_MAX: u64 = 256;
/// Seconds for which a record of Google's is kept. Google renews records once a day.
pub const CRUX_KEPT_S: u64 = 86_400;
/// Seconds for which a refusal of Google's is kept. Its quota is that of a minute.
pub const CRUX_PROBLEM_KEPT_S: u64 = 60;
/// Questions to Google's CrUX API at once. With the rate below they are at most 120 in any minute; Google takes 150 of a key.
pub const CRUX_QUESTIONS_BURST: u32 = 30;
/// Questions to Google's CrUX API a minute, after the burst.
pub const CRUX_QUESTIONS_PER_MINUTE: u32 = 90;
/// Values with a line of their own in one series.
pub const SERIES_TOP_MAX: usize = 20;
/// Percentiles in one series: steps × lines × metrics. Each is of a histogram of about 2.4 kB.
pub const SERIES_POINTS_MAX: usize = 25_000;
/// Releases in one answer.
pub const RELEASE_ROWS_MAX: usize = 100;
/// Routes in one comparison.
pub const COMPARED_ROWS_MAX: usize = 100;
/// Page views that each side of a comparison samples to weigh classes: about 0.2 s. The percentile of so many has a standard
/// error of about 0.5 % for a log-normal spread of 0.7, which is the error of a histogram.
pub const STRATA_SAMPLE_VIEWS: u64 = 40_000;
/// Page views of a release that each side of a budget on an increase reads; of more, it reads a sample. The percentile of so
/// many has a standard error of about 0.2 % for a log-normal spread of 0.7.
pub const INCREASE_VIEWS_MAX: u64 = 250_000;
/// Known values listed in an error.
pub const SUGGESTED_MAX: usize = 10;
/// Age of the page views whose tags, marks and `Server-Timing` entries an error suggests, in milliseconds: 30 days.
pub const SUGGESTED_MS_MAX: i64 = 30 * 24 * 3_600 * 1_000;
/// Days that one query may span.
pub const QUERY_DAYS_MAX: i64 = 400;
/// Rejections kept to answer "why is there no data?": distinct (site, reason, origin).
pub const REJECTION_KINDS_MAX: usize = 1_000;
/// Clients that watch sites at a time; each holds a connection.
pub const LIVE_STREAMS_MAX: usize = 512;
/// Duration of one stream of live updates, in milliseconds. Its client connects again, and is authorized again.
pub const LIVE_STREAM_MS_MAX: u64 = 600_000;
/// Bytes of a JSON answer that is worth compressing: below, an answer fits one packet.
pub const COMPRESS_BYTES_MIN: usize = 1_024;
/// Bytes of a password.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Shortest password, in characters. Attempts are limited, but whoever reads the store can guess without a limit.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Bytes of the body of a sign-in or of a new link.
pub const SIGN_IN_BYTES_MAX: usize = 2_048;
/// Bytes of a token's name.
pub const TOKEN_NAME_BYTES_MAX: usize = 64;
/// Hours for which old keys of a site may stay valid after a rotation: a year.
pub const KEEP_OLD_KEY_HOURS_MAX: u32 = 8_760;
/// Entries of the audit log in one answer.
pub const AUDIT_ROWS_MAX: usize = 500;
/// Bytes of the body of a request that changes settings: 200 route patterns fit.
pub const SETTINGS_BYTES_MAX: usize = 65_536;
/// Sign-ins of one client network in a minute.
pub const SIGN_INS_PER_MINUTE_MAX: u32 = 20;
/// Passwords that are checked at a time; each takes 19 MiB of memory.
pub const PASSWORD_CHECKS_MAX: usize = 2;
/// Days until a session of the dashboard ends.
pub const SESSION_DAYS: i64 = 30;
/// Longest life of a read-only link, in days.
pub const LINK_DAYS_MAX: i64 = 400;
/// Days of page views from which route groups are learned: the default retention of page views.
pub const ROUTES_STUDIED_DAYS: i64 = 30;
/// Routes from which a site is studied: a quarter of its places. With fewer, all routes may keep their places.
pub const ROUTES_STUDIED_MIN: usize = fieldvitals_store::limits::ROUTES_PER_SITE_MAX / 4;
/// Page views from which a site gets route groups. Of fewer, a page that was seen once is not small.
pub const ROUTES_STUDIED_VIEWS_MIN: u64 = 5_000;
/// Sites that a round of maintenance studies. A study reads up to 40,000 page views.
pub const ROUTES_STUDIED_SITES_MAX: usize = 8;
/// Suggested route groups of a site.
pub const ROUTE_SUGGESTIONS_MAX: usize = 100;
/// Open alerts of a site that are read at once: those of all budgets of a file, twice.
pub const ALERTS_OPEN_MAX: u32 = 2 * vitals::limits::BUDGETS_MAX as u32;
/// Days that a budget is replayed.
pub const WHAT_IF_DAYS_MAX: i64 = 28;
/// Budgets that are replayed at once: each looks 672 times.
pub const WHAT_IF_BUDGETS_MAX: usize = 20;
/// Page views of the site in the replayed days: each budget counts its own among them.
pub const WHAT_IF_VIEWS_MAX: u64 = 3_000_000;
/// Channels of alerts.
pub const CHANNELS_MAX: usize = 32;
/// Bytes of the file of channels.
pub const CHANNELS_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of the name of a channel.
pub const CHANNEL_NAME_BYTES_MAX: usize = 64;
/// Notices to one channel that are delivered at a time.
pub const NOTICES_SENDING_MAX: u32 = 16;
/// Time of a delivery, in milliseconds, from the name of the host to the status of the answer.
pub const NOTICE_TIME_MS_MAX: u64 = 8_000;
/// First pause after a failed delivery, in milliseconds; each further one is twice as long.
pub const NOTICE_RETRY_MS_MIN: i64 = 1_000;
/// Longest pause after a failed delivery, in milliseconds.
pub const NOTICE_RETRY_MS_MAX: i64 = 30 * 60_000;
/// Attempts to deliver a notice: about a day.
pub const NOTICE_ATTEMPTS_MAX: u32 = 60;
/// Bytes of an answer to a notice that are kept to explain a failure.
pub const NOTICE_ANSWER_BYTES_MAX: usize = 200;
/// Due digests of a channel that are taken up at once.
pub const DIGESTS_DUE_MAX: u32 = 1_000;
/// Digests that are composed from the store at once.
pub const DIGESTS_READING_MAX: usize = 2;
/// Time that an orderly stop leaves to deliveries of digests, in milliseconds: longer than a receiver may take.
pub const DIGESTS_STOP_MS: u64 = 10_000;
/// Routes of a digest.
pub const DIGEST_ROUTES_MAX: usize = 5;
/// Releases of a digest.
pub const DIGEST_RELEASES_MAX: usize = 10;
/// Recommendations of a digest.
pub const DIGEST_ADVICE_MAX: usize = 3;
/// Violations in each list of a digest.
pub const DIGEST_VIOLATIONS_MAX: usize = 10;
/// Violations that are read for a digest, open ones first.
pub const DIGEST_VIOLATIONS_READ_MAX: u32 = 1_000;
/// Longest snooze of an alert, in minutes: 30 days.
pub const SNOOZE_MINUTES_MAX: i64 = 30 * 24 * 60;
/// Requests a second of an API token without a rate of its own. A dashboard makes about 15 in a burst, a script one at a time.
pub const TOKEN_RATE_PER_S: u32 = 100;
/// The highest rate of an API token, in requests a second.
pub const TOKEN_RATE_PER_S_MAX: u32 = 100_000;
/// Burst of an API token, in seconds of its rate.
pub const TOKEN_BURST_S: u32 = 10;
/// Bytes of the body of a change of an alert.
pub const ALERT_CHANGE_BYTES_MAX: usize = 1_024;

const _: () = assert!(
    STRATA_SAMPLE_VIEWS * 4 <= fieldvitals_store::limits::STRATA_VIEWS_MAX,
    "a burst of traffic must fit a sample"
);
const _: () = assert!(
    INCREASE_VIEWS_MAX * 4 <= fieldvitals_store::limits::SORT_VIEWS_MAX,
    "a burst of traffic must fit a sample"
);
const _: () = assert!(vitals::limits::BODY_BYTES_MAX < COMMIT_BYTES_MAX, "any beacon must fit a commit");
const _: () = assert!(COMMIT_BYTES_MAX <= IN_FLIGHT_BYTES_MAX, "a commit must fit what may be in flight");
const _: () = assert!(
    CLOCK_SKEW_MS_MAX <= KEEP_VIEWS_DAYS_MIN as i64 * 86_400_000,
    "a view that is taken must be kept"
);
const _: () = assert!(
    COMMIT_BEACONS_MAX <= fieldvitals_store::limits::LOAD_VIEWS_MAX,
    "a commit must be loadable at once"
);
const _: () =
    assert!(COMMIT_BYTES_MAX <= vitals::limits::LOAD_BYTES_MAX, "a commit must be loadable at once");
