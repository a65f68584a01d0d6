//! Bounds of what stores keep, read and write.
//!
//! `cargo xtask limits` lists the bounds of all crates.

/// Routes of a site; page views of further routes are counted under `(other)`.
pub const ROUTES_PER_SITE_MAX: usize = 2_000;
/// Route rules of a site.
pub const ROUTE_RULES_PER_SITE_MAX: usize = 200;
/// Route groups of a site. A site in 40 languages has two or three sections of many pages in each.
pub const ROUTE_GROUPS_PER_SITE_MAX: usize = 100;
/// Routes of a site that keep their name beside a group: a hundred at most have 1 % of the page views each.
pub const ROUTES_APART_PER_SITE_MAX: usize = 200;
/// Removed route groups that a site remembers.
pub const ROUTE_GROUPS_REMOVED_MAX: usize = 200;
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
/// Further selectors of an element in an answer.
pub const SELECTORS_SHOWN_MAX: usize = 8;
/// Page views that one query may read if rollups cannot answer it.
pub const SCAN_VIEWS_MAX: u64 = 3_000_000;
/// Page views that an answer about causes, slow views or engagement reads. Of more, it reads a sample. A
/// share of such a sample is within 0.3 percentage points in 95 % of cases.
pub const SAMPLE_VIEWS_MAX: u64 = 100_000;
/// Windows of time in a sample of page views.
pub const SAMPLE_WINDOWS: i64 = 1_024;
/// Page views read to list the tags, marks and `Server-Timing` entries of a site.
pub const SAID_VIEWS_MAX: u64 = 20_000;
/// Slow page views in one answer.
pub const SAMPLES_MAX: usize = 50;
/// Values that a breakdown by a tag or by a `Server-Timing` entry separates; later ones are counted together.
pub const CONTEXT_VALUES_MAX: usize = 1_024;
/// Elements whose selectors an answer compares with each other, those with most page views first.
pub const ELEMENTS_JOINED_MAX: usize = 1_024;
/// Page views that an answer from rollups reads for the parts of its first and last day: about 1 s. If there are
/// more, the answer counts whole days.
pub const EDGE_VIEWS_MAX: u64 = 1_000_000;
/// Windows of time of a sample of page views by class.
pub const STRATA_WINDOWS_MAX: usize = 1_000;
/// Page views that a sample by class may hold; samples aim at a quarter of them, because traffic has bursts.
pub const STRATA_VIEWS_MAX: u64 = 400_000;
/// Deploy marks of a site; the oldest are dropped.
pub const DEPLOY_MARKS_PER_SITE_MAX: usize = 2_000;
/// Steps of one series: a month of hours, or two years of days.
pub const SERIES_STEPS_MAX: usize = 800;
/// Values that a gate reads to compute an exact percentile and a design effect: 4 MB.
pub const SORT_VIEWS_MAX: u64 = 1_000_000;
/// Maximum bytes of a page view in a rollup block, reached by the only one of its route and value of the dimension.
/// Further page views of the same route and value take less.
pub const BLOCK_VIEW_BYTES_MAX: usize = 32;
/// Bytes of one value in either database.
const BLOCK_BYTES_MAX: usize = 1_000_000_000;
/// Approximate page views that one transaction folds into rollups; the last delta may raise it to about 131,072.
pub const FOLD_VIEWS_MAX: usize = 114_688;
/// Bytes of a site's name.
pub const SITE_NAME_BYTES_MAX: usize = 64;
/// Allowed origins of one site.
pub const ORIGINS_PER_SITE_MAX: usize = 64;
/// Largest count of erasable page views; counting stops there.
pub const ERASABLE_MAX: u64 = 1_000_000;
/// Page views that one step gives other routes.
pub const REROUTED_VIEWS_MAX: usize = 2_000;
/// Page view updates in one load transaction, of all sites together.
pub const LOAD_VIEWS_MAX: usize = 16_384;

// A hash spreads routes over sixteen blocks, so a block has a sixteenth of this, 8 MB, unless somebody chooses routes
// to collide.
const _: () = assert!(
    (ROUTES_PER_SITE_MAX
        + 1
        + ROUTE_RULES_PER_SITE_MAX
        + ROUTE_GROUPS_PER_SITE_MAX
        + ROUTES_APART_PER_SITE_MAX
        + NAMES_DISPLACED_PER_DAY_MAX)
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
const _: () =
    assert!(vitals::limits::VIEWS_PER_BEACON_MAX <= LOAD_VIEWS_MAX, "any beacon must be loadable at once");
