//! What a fieldvitals store promises: the trait [`Store`], its rows, and what happens to a page view
//! when another update of it arrives.
//!
//! Methods are coarse: one call a batch or a question. A backend is a crate of its own that holds all
//! of its SQL; nothing above this trait knows which one it talks to. What is not SQL is here, as pure
//! functions that every backend calls: [`load`] (what a batch changes) and [`rollup`] (how cells are
//! kept, and from which ones a question is answered).

mod cell;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod context;
pub mod copy;
pub mod dimension;
mod erase;
mod filter;
pub mod hash;
mod kept;
pub mod load;
mod maintained;
mod place;
pub mod places;
pub mod priority;
pub mod private;
pub mod rollup;
pub mod schema;
mod site;
mod tally;
mod view;
mod violation;
mod weight;

pub use cell::{Answered, Cell, CellQuery, RouteCell, ValueCell, Views};
pub use context::causes::{Cause, CauseQuery, Causes, Explained};
pub use context::{Context, Detail};
pub use copy::{Holding, RollupGroup, RollupKey};
pub use dimension::Dimension;
pub use erase::{Erase, Erased};
pub use filter::{By, Filters};
pub use kept::Kept;
pub use maintained::{Concern, Maintained, Round, Undone};
pub use place::{Crowded, Name, Network, Place, Senders, Standing};
pub use site::{NewSite, NewToken, Scope, Site, SiteId, SiteKey, Token, TokenId};
pub use tally::{Ranks, Tally, TallyQuery};
pub use view::{Source, StoredView, ViewUpdate, pack_url, unpack_url};
pub use violation::{Judgement, Violation};
pub use weight::{Weight, estimate};

use async_trait::async_trait;
use rollup::Difference;
use serde::{Deserialize, Serialize};

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A site of this name exists already.
    #[error("a site named `{0}` exists already")]
    SiteExists(String),
    /// There is no such site; it may have been deleted.
    #[error("there is no such site")]
    NoSuchSite,
    /// There is no such token.
    #[error("there is no such token")]
    NoSuchToken,
    /// The cursor is not where the caller believes: another loader moved it. The caller reads it again.
    #[error("the load cursor of this spool is at {at}, not at {expected}")]
    CursorMoved {
        /// Where it is.
        at: u64,
        /// Where the caller believed it to be.
        expected: u64,
    },
    /// A question would read more page views than it may.
    #[error(
        "the question would read {views} page views, more than {max}: rollups hold one dimension at a time, and \
         no attribution; ask for a shorter time, one route, or fewer filters"
    )]
    TooManyViews {
        /// Page views in its range.
        views: u64,
        /// How many it may read.
        max: u64,
    },
    /// It took longer than it may; less of it at a time may not.
    #[error("{what}: {reason}")]
    TooSlow {
        /// What was being done.
        what: &'static str,
        /// What the database said.
        reason: String,
        /// Whether the database itself ended it. Otherwise there was no answer: it may be away.
        answered: bool,
    },
    /// A node that holds the rows of some sites is out of reach, or refuses; those of other sites are elsewhere.
    #[error("{what}: {reason}")]
    Node {
        /// What was being done.
        what: &'static str,
        /// What the database said.
        reason: String,
    },
    /// The store was written by a newer fieldvitals.
    #[error(
        "the store has schema version {found}, this fieldvitals knows up to {known}; install the newer release that wrote it"
    )]
    NewerSchema {
        /// Version found.
        found: i64,
        /// Newest version that this code knows.
        known: i64,
    },
    /// The database cannot be opened or reached, or refused.
    #[error("{what}: {reason}")]
    Database {
        /// What was being done.
        what: &'static str,
        /// What the database said.
        reason: String,
        /// Whether trying again later can help (busy, unreachable), as opposed to a fault in the data.
        passing: bool,
    },
}

impl StoreError {
    /// Whether the store is out of reach: nobody's question or load succeeds until that passes.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Database { passing: true, .. } | Self::TooSlow { answered: false, .. })
    }
}

/// Identifies a stretch of spool: one epoch of one spool file. New at every start of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpoolId(pub [u8; 16]);

/// What one site receives from one stretch of spool, loaded in one transaction together with its cursor.
#[derive(Clone, Debug)]
pub struct LoadBatch {
    /// The site.
    pub site: SiteId,
    /// Where the beacons come from.
    pub spool: SpoolId,
    /// The cursor before: the last spool position of this site that is in the store (0: none).
    pub after: u64,
    /// The cursor after: the last spool position in this batch.
    pub up_to: u64,
    /// The page view updates of each beacon, in spool order.
    pub beacons: Vec<Vec<ViewUpdate>>,
    /// Who sent them.
    pub senders: Senders,
}

/// What became of the beacons of a batch: each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Beacons of which at least one update changed what a page view says.
    pub loaded: u64,
    /// Beacons that say nothing that the store does not know better.
    pub superseded: u64,
    /// Names that had no place.
    pub crowded: Crowded,
}

/// How long what is kept, in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Page views.
    pub raw_days: u32,
    /// Hourly rollups.
    pub hourly_days: u32,
    /// Daily rollups.
    pub daily_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { raw_days: 30, hourly_days: 14, daily_days: 762 }
    }
}

/// What rebuilding the rollups of a day came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Page views counted.
    pub views: u64,
    /// Rollup rows written.
    pub rows: u64,
}

/// A place where sites, page views and their rollups are kept.
#[async_trait]
pub trait Store: Send + Sync {
    /// What the first start of a server makes, in one transaction: the site where there is none yet, and the token where
    /// there is none. Of servers that start together each thing is one's; the others find it there.
    async fn first_start(
        &self,
        site: NewSite,
        token: NewToken,
    ) -> Result<(Option<Site>, Option<Token>), StoreError>;
    /// Adds a site with one key.
    async fn site_add(&self, site: NewSite) -> Result<Site, StoreError>;
    /// All sites with their keys, by name.
    async fn sites(&self) -> Result<Vec<Site>, StoreError>;
    /// Replaces a site's name, allowed origins and route rules; keys are not touched.
    async fn site_update(
        &self,
        site: SiteId,
        name: &str,
        origins: &[String],
        routes: &[String],
    ) -> Result<Site, StoreError>;
    /// Gives a site a new key; its other keys are taken until `old_until_ms`, or until their own end
    /// where that is earlier.
    async fn site_rotate_key(
        &self,
        site: SiteId,
        new_key: &str,
        now_ms: i64,
        old_until_ms: i64,
    ) -> Result<Site, StoreError>;
    /// Removes a site and everything that was measured on it.
    async fn site_delete(&self, site: SiteId) -> Result<(), StoreError>;

    /// Adds a token by the hash of its secret.
    async fn token_add(&self, token: NewToken) -> Result<Token, StoreError>;
    /// All tokens, oldest first.
    async fn tokens(&self) -> Result<Vec<Token>, StoreError>;
    /// Removes a token.
    async fn token_revoke(&self, token: TokenId) -> Result<(), StoreError>;

    /// Where the loader of a spool is, for a site: the last position whose beacons are in the store; 0
    /// where nothing of it was loaded.
    async fn cursor(&self, site: SiteId, spool: SpoolId) -> Result<u64, StoreError>;
    /// The furthest cursor of any site in a spool, to notice a spool that is older than the store.
    async fn cursor_max(&self, spool: SpoolId) -> Result<u64, StoreError>;
    /// Forgets the cursors of a spool stretch that is loaded whole and gone.
    async fn cursors_forget(&self, spool: SpoolId) -> Result<(), StoreError>;
    /// Loads a batch: page views, rollup corrections and the cursor, in one transaction.
    ///
    /// Loading is idempotent: an update that the store knows, or knows better, changes nothing; nor
    /// does one of a view that is past retention.
    ///
    /// # Errors
    /// [`StoreError::CursorMoved`] where the cursor is not at `batch.after`; [`StoreError::NoSuchSite`]
    /// where the site is gone; [`StoreError::TooSlow`] where it takes too long. Nothing is changed by a call that
    /// fails.
    async fn load(&self, batch: LoadBatch) -> Result<LoadReport, StoreError>;

    /// The routes that have page views in a range of starts (UTC milliseconds, end excluded), sorted.
    async fn routes(&self, site: SiteId, from_ms: i64, to_ms: i64) -> Result<Vec<String>, StoreError>;
    /// All routes that a site has, sorted: those of page views and those of rollups.
    async fn route_names(&self, site: SiteId) -> Result<Vec<String>, StoreError>;
    /// What was measured, a cell a route, sorted by route; routes without page views are left out.
    ///
    /// One dimension is answered from rollups, which equal a recomputation from page views; the range is rounded
    /// outwards to whole hours. [`rollup::Plan`] says how a part of a day is counted, and when the period grows to whole
    /// days. Several filters and [`CellQuery::exact`] are answered from page views, to the millisecond.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`] where it would read too many page views.
    async fn cells(&self, query: &CellQuery) -> Result<Answered<RouteCell>, StoreError>;
    /// What was measured, a cell a value of a dimension or of what only page views say, of all routes or the one that is asked for: those
    /// with most page views first, of equal ones by value, an unknown one last. The rest is as in
    /// [`Store::cells`].
    ///
    /// # Errors
    /// As there.
    async fn breakdown(&self, query: &CellQuery, by: By) -> Result<Answered<ValueCell>, StoreError>;
    /// What explains a metric's values, and what else page views say that is not rolled up: from page views
    /// that are kept, to the millisecond.
    ///
    /// # Errors
    /// As there.
    async fn causes(&self, query: &CauseQuery) -> Result<Causes, StoreError>;
    /// How many page views stay within a value, and a percentile of theirs: exact, from page views.
    async fn tally(&self, query: &TallyQuery) -> Result<Tally, StoreError>;
    /// One page view.
    async fn view(&self, site: SiteId, id: vitals::view::ViewId) -> Result<Option<StoredView>, StoreError>;

    /// Takes note of judged budgets: a broken one opens its violation or renews the open one, a kept
    /// one resolves it, an undecided one leaves it.
    async fn judgements(&self, site: SiteId, now_ms: i64, judgements: &[Judgement])
    -> Result<(), StoreError>;
    /// Violations, newest first, open ones before resolved ones; at most `limit` after skipping `skip`.
    async fn violations(
        &self,
        site: SiteId,
        open_only: bool,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Violation>, StoreError>;

    /// Folds rollup deltas and removes what is past retention, in short steps that never block loading. What
    /// fails of one site or day holds up no other, and is told with what was done.
    async fn maintain(&self, now_ms: i64, retention: Retention) -> Result<Maintained, StoreError>;
    /// Whether [`Store::maintain`] asks a clock of the store's own too, and removes nothing that is old only by `now_ms`.
    fn has_clock(&self) -> bool;
    /// Erases some of what is asked for, in one transaction; to be called again while there is more.
    ///
    /// Page views go, and what they counted in every rollup with them. Of days whose page views are past
    /// retention, rollups go too where such a day lies in the range whole and no URL is asked for: a URL
    /// cannot be told apart there.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] where the site is gone.
    async fn erase(&self, erase: &Erase) -> Result<Erased, StoreError>;
    /// Removes the routes and labels that no page view and no rollup has any more, which frees their places. Returns how
    /// many they are. An erasure ends with it.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] where the site is gone.
    async fn free_names(&self, site: SiteId) -> Result<u64, StoreError>;
    /// How many page views [`Store::erase`] would remove; more than [`vitals::limits::ERASABLE_MAX`] are not counted on.
    async fn erasable(&self, erase: &Erase) -> Result<u64, StoreError>;

    /// The starts of the UTC days of which page views of a site are kept, ascending: those whose rollups
    /// can be verified and rebuilt.
    async fn view_days(&self, site: SiteId) -> Result<Vec<i64>, StoreError>;
    /// Where the rollups of a UTC day, unfolded deltas included, differ from what its page views come to, in
    /// one state of the store; nowhere, unless something is broken. A day without page views is compared
    /// with nothing, unless its page views are past retention.
    async fn verify_day(&self, site: SiteId, day_ms: i64) -> Result<Vec<Difference>, StoreError>;
    /// Makes the rollups of a UTC day again from its page views; loads may go on meanwhile. A day whose page
    /// views are past retention is left alone.
    async fn rebuild_day(&self, site: SiteId, day_ms: i64) -> Result<Rebuilt, StoreError>;

    /// What is kept.
    async fn kept(&self) -> Result<Kept, StoreError>;
    /// Says what is kept, in a store that is a copy of another. Nothing is removed by it.
    async fn keep(&self, kept: Kept) -> Result<(), StoreError>;
    /// How much is held of a site.
    async fn holding(&self, site: SiteId) -> Result<Holding, StoreError>;
    /// Adds a site as it is elsewhere, under an id of its own: name, keys, origins, routes and age.
    ///
    /// # Errors
    /// [`StoreError::SiteExists`] where its name is taken.
    async fn site_put(&self, site: &Site) -> Result<Site, StoreError>;
    /// All routes and labels of a site, by kind and text.
    async fn names(&self, site: SiteId) -> Result<Vec<Name>, StoreError>;
    /// Writes names as they are elsewhere, in place of those that are there.
    async fn names_put(&self, site: SiteId, names: &[Name]) -> Result<(), StoreError>;
    /// Page views that are kept, by id, at most `limit` after one.
    async fn views(
        &self,
        site: SiteId,
        after: Option<vitals::view::ViewId>,
        limit: u32,
    ) -> Result<Vec<StoredView>, StoreError>;
    /// The last id of the first `count` page views that are kept, by id; `None` where there are fewer.
    async fn view_at(&self, site: SiteId, count: u64) -> Result<Option<vitals::view::ViewId>, StoreError>;
    /// Rollups of days whose page views are past retention, folded, in order of their keys: about `limit`
    /// groups after one, an hour or day never split; empty at the end.
    async fn rollups(
        &self,
        site: SiteId,
        after: Option<(rollup::Grain, i64)>,
        limit: u32,
    ) -> Result<Vec<RollupGroup>, StoreError>;
    /// Writes such rollups, in place of those that are there.
    async fn rollups_put(&self, site: SiteId, groups: Vec<RollupGroup>) -> Result<(), StoreError>;
    /// Writes violations as they are elsewhere; one that is there stays.
    async fn violations_put(&self, site: SiteId, violations: &[Violation]) -> Result<(), StoreError>;

    /// Waits for what is running, and closes all connections; nothing can be asked any more. A store in a file is that
    /// file alone then. Whoever calls this gives it a time.
    async fn close(&self);
}
