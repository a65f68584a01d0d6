//! Gives stored page views other routes.

use super::naming::bound_routes;
use super::{Changed, Part};
use crate::names::{NameTables, use_all};
use crate::place::Network;
use crate::places::today;
use crate::retention_edges::RetentionEdges;
use crate::site::SiteId;
use crate::view::StoredView;
use crate::{LoadBatch, Senders, SpoolId, StoreError};
use std::collections::HashMap;
use vitals::view::ViewId;

/// Another route of a stored page view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reroute {
    /// The page view.
    pub id: ViewId,
    /// Its route until now. A page view with another route stays unchanged.
    pub from: String,
    /// Its new route.
    pub to: String,
}

/// Computes the changes of page views that get other routes, and finds or adds the names. `known` are the stored page
/// views of the moves. The returned part has the changes and the keys of their names.
///
/// New names get places while some are free, as those of unknown senders; others become `(other)`.
///
/// # Errors
/// Those of the tables.
pub async fn reroute(
    tables: &mut dyn NameTables,
    site: SiteId,
    known: Vec<StoredView>,
    moves: &[Reroute],
    retained: &RetentionEdges,
) -> Result<Part, StoreError> {
    let moves: HashMap<ViewId, &Reroute> = moves.iter().map(|one| (one.id, one)).collect();
    let (mut stored, mut beacons) = (Vec::new(), Vec::new());
    for view in known {
        let Some(one) = moves.get(&view.update.id).filter(|one| one.from == view.update.route) else {
            continue;
        };
        if view.update.id.start_ms() < retained.views_from_ms {
            continue;
        }
        let mut update = view.update.clone();
        update.route.clone_from(&one.to);
        beacons.push(vec![update]);
        stored.push(view);
    }
    let spool = SpoolId([0; 16]);
    // No client network has this prefix.
    let senders = Senders::Rebuild(Network::of(site, u64::MAX));
    let mut part = Part::new(LoadBatch { site, spool, after: 0, up_to: 0, beacons, senders });
    part.decided.today = today(&part.beacons);
    bound_routes(tables, &mut [&mut part], retained).await?;
    let decided = std::mem::take(&mut part.beacons).into_iter().flatten();
    let mut changed: Vec<Changed> = stored
        .into_iter()
        .zip(decided)
        .filter(|(before, update)| before.update.route != update.route)
        .map(|(before, update)| {
            let after = StoredView { update, received_ms: before.received_ms };
            Changed { before: Some(Box::new(before)), after: Some(Box::new(after)) }
        })
        .collect();
    changed.sort_unstable_by_key(|changed| changed.after.as_ref().map(|view| view.update.id));
    part.merged.changed = changed;
    use_all(tables, &mut [part.using()]).await?;
    Ok(part)
}
