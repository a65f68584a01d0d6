//! Gives page views other routes, and moves their counts.

use crate::erase::put_deltas;
use crate::error::failed;
use crate::load::lock;
use crate::locks::{hold_site, lock_retention_edges};
use crate::names::Tables;
use crate::sql::query;
use crate::{PostgresStore, version, view};
use fieldvitals_store::{Reroute, SiteId, StoreError, load::reroute as reroute_views, pack_url};
use sqlx::types::Uuid;
use vitals::view::ViewId;

const MOVING: &str = "giving page views other routes";

pub(crate) async fn reroute(
    store: &PostgresStore,
    site: SiteId,
    mut moves: Vec<Reroute>,
) -> Result<u64, StoreError> {
    // Locks in the order of ids, as loads do.
    moves.sort_unstable_by_key(|one| one.id);
    let (Some(first), Some(last)) = (moves.first(), moves.last()) else { return Ok(0) };
    let (first, last) = (view::uuid(first.id), view::uuid(last.id));
    let mut transaction = store.write(MOVING).await?;
    let connection = &mut *transaction;
    hold_site(connection, site).await?;
    let retained = lock_retention_edges(connection).await?;
    let keys: Vec<(SiteId, ViewId)> = moves.iter().map(|one| (site, one.id)).collect();
    let known = lock(connection, &keys).await?.remove(&site).unwrap_or_default();
    let part = reroute_views(&mut Tables(connection), site, known, &moves, &retained).await?;
    let changed = &part.merged.changed;
    if changed.is_empty() {
        return Ok(0);
    }
    let (mut ids, mut route_ids, mut urls) = (Vec::<Uuid>::new(), Vec::<i64>::new(), Vec::<String>::new());
    for view in changed.iter().filter_map(|changed| changed.after.as_ref()) {
        let update = &view.update;
        ids.push(view::uuid(update.id));
        // All routes were found or added.
        route_ids.push(part.names.route_ids.get(&update.route).copied().unwrap_or_default());
        urls.push(pack_url(&update.url, &update.route));
    }
    // The first and the last id exclude partitions of other days.
    query(
        "/* view.reroute */ update page_view v set route_id = u.route_id, url = u.url \
         from unnest($2::uuid[], $3::bigint[], $4::text[]) u (id, route_id, url) \
         where v.site_id = $1 and v.id = u.id and v.id >= $5 and v.id <= $6",
    )
    .bind(site.0)
    .bind(ids)
    .bind(route_ids)
    .bind(urls)
    .bind(first)
    .bind(last)
    .execute(&mut *connection)
    .await
    .map_err(failed(MOVING))?;
    put_deltas(connection, site, changed, &part.names).await?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(MOVING))?;
    Ok(changed.len() as u64)
}
