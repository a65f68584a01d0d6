//! Keeps budgets, their violations, alerts, and what is to be delivered.

use crate::{
    Alert, AlertChange, AppliedBudgets, Digest, Judgement, NewAlert, NewBudgets, Notice, SiteId, StoreError,
    Violation,
};
use async_trait::async_trait;

/// Keeps budgets, their violations, alerts, and what is to be delivered.
#[async_trait]
pub trait Alerting: Send + Sync {
    /// Records judged budgets. A broken budget opens its violation or renews the open one; a kept budget resolves the
    /// violation; an undecided budget leaves it unchanged.
    async fn judgements(&self, site: SiteId, now_ms: i64, judgements: &[Judgement])
    -> Result<(), StoreError>;

    /// Dismisses an open violation. Returns `false` if there is no open violation of this id.
    async fn violation_dismiss(
        &self,
        site: SiteId,
        id: i64,
        now_ms: i64,
        by: &str,
    ) -> Result<bool, StoreError>;
    /// Returns violations, open ones before dismissed ones before resolved ones, each newest first; skips `skip` and returns
    /// at most `limit`.
    async fn violations(
        &self,
        site: SiteId,
        open_only: bool,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Violation>, StoreError>;

    /// Keeps a budget file as the newest version of a site's budgets, and its routes as those with reserved places. Changes
    /// nothing and returns the newest version if the file leaves it the newest ([`NewBudgets::leaves`]). Drops versions before the last [`crate::limits::BUDGET_VERSIONS_MAX`].
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn budgets_put(&self, site: SiteId, budgets: &NewBudgets) -> Result<AppliedBudgets, StoreError>;

    /// Returns a version of a site's budgets, or the newest.
    async fn budgets(&self, site: SiteId, version: Option<i64>)
    -> Result<Option<AppliedBudgets>, StoreError>;

    /// Returns the versions of a site's budgets without their texts, the newest first.
    async fn budget_versions(&self, site: SiteId) -> Result<Vec<AppliedBudgets>, StoreError>;

    /// Returns the state that the server keeps about a site's standing budgets.
    async fn standing(&self, site: SiteId) -> Result<Option<String>, StoreError>;

    /// Replaces that state.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn standing_put(&self, site: SiteId, state: &str) -> Result<(), StoreError>;

    /// Takes or renews the lease of a task for some time, so that one of several servers does it. Returns whether `holder`
    /// has it. A store without a clock of its own uses `now_ms`.
    async fn lease(&self, task: &str, holder: [u8; 16], now_ms: i64, for_ms: i64)
    -> Result<bool, StoreError>;

    /// Opens an alert, with notices to channels that are due at some time each. Returns its id; `None` if its key has an
    /// open alert, or had one for the same start. Drops resolved alerts before the last [`crate::limits::ALERTS_PER_SITE_MAX`].
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn alert_open(
        &self,
        site: SiteId,
        now_ms: i64,
        alert: &NewAlert,
        notices: &[(String, i64)],
    ) -> Result<Option<i64>, StoreError>;

    /// Changes an open alert. Returns `false` if there is no open alert of this id.
    ///
    /// Acknowledging ends reminders. Snoozing moves the notices to its end. Resolving makes notices of the end due at once,
    /// and drops those of the start that were never tried. Raising changes an open warning only.
    async fn alert_change(
        &self,
        site: SiteId,
        id: i64,
        now_ms: i64,
        change: &AlertChange,
    ) -> Result<bool, StoreError>;

    /// Returns alerts with their notices, open ones before resolved ones, each newest first; skips `skip` and returns at
    /// most `limit`.
    async fn alerts(
        &self,
        site: SiteId,
        open_only: bool,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Alert>, StoreError>;

    /// Returns the alert of a site with this id.
    async fn alert(&self, site: SiteId, id: i64) -> Result<Option<Alert>, StoreError>;

    /// Returns the notices of all sites that are due, with the site and the alert of each; those due longest first. Leaves
    /// out those to the channels `without`.
    async fn notices_due(
        &self,
        now_ms: i64,
        limit: u32,
        without: &[String],
    ) -> Result<Vec<(SiteId, i64, Notice)>, StoreError>;
    /// Records an attempt to deliver the notice `read`, which is `after` then. Changes nothing if its event or its due time
    /// has changed since it was read: another one is due.
    async fn notice_tried(
        &self,
        site: SiteId,
        alert: i64,
        read: &Notice,
        after: &Notice,
    ) -> Result<(), StoreError>;

    /// Makes the digest of a week due at some time for these channels of a site, once: a channel that has this week, or a
    /// later one, keeps it. A week more than one after this one is replaced, because a wrong clock made it. Drops digests of
    /// earlier weeks. The week is its Monday, in days since 1970-01-01.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSite`] if the site does not exist.
    async fn digests_plan(
        &self,
        site: SiteId,
        week: i32,
        due_ms: i64,
        channels: &[String],
    ) -> Result<(), StoreError>;

    /// Returns the digests of all sites that are due for these channels, those due longest first.
    async fn digests_due(
        &self,
        now_ms: i64,
        limit: u32,
        channels: &[String],
    ) -> Result<Vec<Digest>, StoreError>;

    /// Returns the last digest of a site for each channel, by the channel's name.
    async fn digests(&self, site: SiteId) -> Result<Vec<Digest>, StoreError>;

    /// Replaces the state of the digest `read` by `after`. Returns `false` and changes nothing if it has changed since it was
    /// read, so of several servers one has it.
    async fn digest_tried(&self, read: &Digest, after: &Digest) -> Result<bool, StoreError>;
}
