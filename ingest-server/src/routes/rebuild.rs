//! Gives past page views the routes that they would have today.

use crate::intake::site_route;
use fieldvitals_store::limits::REROUTED_VIEWS_MAX;
use fieldvitals_store::{Reroute, Site, Store, StoreError};
use vitals::view::ViewId;

/// A step of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The last page view read.
    pub last: ViewId,
    /// Page views read.
    pub read: u64,
    /// Page views that have another route now.
    pub moved: u64,
}

/// Gives the next stored page views of a site their routes by its rules and groups. Returns `None` at the end. Servers
/// may run meanwhile.
///
/// # Errors
/// Those of the store.
pub async fn step(store: &dyn Store, site: &Site, after: Option<ViewId>) -> Result<Option<Step>, StoreError> {
    let views = store.views(site.id, after, REROUTED_VIEWS_MAX as u32).await?;
    let Some(last) = views.last().map(|view| view.update.id) else { return Ok(None) };
    let read = views.len() as u64;
    let moves: Vec<Reroute> = views
        .into_iter()
        .filter_map(|view| {
            let (id, from) = (view.update.id, view.update.route);
            let to = site_route::again(&view.update.url, &from, site)?;
            Some(Reroute { id, from, to })
        })
        .collect();
    let moved = if moves.is_empty() { 0 } else { store.reroute(site.id, moves).await? };
    Ok(Some(Step { last, read, moved }))
}
