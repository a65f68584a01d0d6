//! A site's batch during a load.

use super::{Changed, Merged, merge};
use crate::context::texts::TextCodes;
use crate::names::{Names, Used, Using};
use crate::place::Senders;
use crate::places::Decided;
use crate::retention_edges::RetentionEdges;
use crate::rollup::Grain;
use crate::site::SiteId;
use crate::view::{StoredView, ViewUpdate};
use crate::{LoadBatch, SpoolId};

/// A site's batch during a load. The steps of the load complete it, one after the other.
pub struct Part {
    /// The site.
    pub site: SiteId,
    /// The spool epoch of the beacons.
    pub spool: SpoolId,
    /// The cursor after the load.
    pub up_to: u64,
    /// The page view updates of each beacon; empty after [`Self::merge`].
    pub beacons: Vec<Vec<ViewUpdate>>,
    /// The client networks of the beacons.
    pub senders: Senders,
    /// The places of their names.
    pub decided: Decided,
    /// The keys of their names.
    pub names: Names,
    /// The codes of their texts.
    pub texts: TextCodes,
    /// The changes to write.
    pub merged: Merged,
}

impl Part {
    /// Begins with the beacons of a batch.
    #[must_use]
    pub fn new(batch: LoadBatch) -> Self {
        let LoadBatch { site, spool, after: _, up_to, beacons, senders } = batch;
        Self {
            site,
            spool,
            up_to,
            beacons,
            senders,
            decided: Decided::default(),
            names: Names::default(),
            texts: TextCodes::default(),
            merged: Merged::default(),
        }
    }

    /// Computes the changes. `known` are the stored page views of the batch.
    pub fn merge(&mut self, known: Vec<StoredView>, retained: &RetentionEdges) {
        self.merged = merge(known, std::mem::take(&mut self.beacons), retained);
        self.merged.report.overflow = self.decided.overflow;
    }

    /// Returns the names of the changed page views.
    pub fn using(&mut self) -> Using<'_> {
        let used = used_by(&self.merged.changed);
        Using { site: self.site, used, decided: &self.decided, names: &mut self.names }
    }
}

/// Returns the names of changed page views, before and after the change.
#[must_use]
pub fn used_by(changed: &[Changed]) -> Used<'_> {
    let mut used = Used::default();
    for Changed { before, after } in changed {
        if let Some(view) = before {
            used.view(&view.update, i32::MIN);
        }
        if let Some(view) = after {
            used.view(&view.update, Grain::Day.step(view.update.id.start_ms()));
        }
    }
    used
}
