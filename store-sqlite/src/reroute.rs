//! Gives page views other routes, and moves their counts.

use crate::erase::put_deltas;
use crate::error::failed;
use crate::names::{Tables, json};
use crate::{SqliteStore, load, query, site, version};
use fieldvitals_store::{Reroute, SiteId, StoreError, load::reroute as reroute_views, pack_url};
use sqlx::sqlite::SqliteConnection;
use vitals::view::ViewId;

const MOVING: &str = "giving page views other routes";

pub(crate) async fn reroute(store: &SqliteStore, site: SiteId, moves: &[Reroute]) -> Result<u64, StoreError> {
    let mut transaction = store.write(MOVING).await?;
    let connection = &mut *transaction;
    site::exists(connection, site).await?;
    let retained = query::retention_edges(connection).await?;
    let keys: Vec<(SiteId, ViewId)> = moves.iter().map(|one| (site, one.id)).collect();
    let known = load::known(connection, &keys).await?.remove(&site).unwrap_or_default();
    let part = reroute_views(&mut Tables(connection), site, known, moves, &retained).await?;
    let changed = &part.merged.changed;
    if changed.is_empty() {
        return Ok(0);
    }
    let rows = changed.iter().filter_map(|changed| changed.after.as_ref()).map(|view| {
        let update = &view.update;
        // All routes were found or added.
        let route_id = part.names.route_ids.get(&update.route).copied().unwrap_or_default();
        let id: String = update.id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        (site, id, route_id, pack_url(&update.url, &update.route))
    });
    write(connection, &rows.collect::<Vec<_>>()).await?;
    put_deltas(connection, site, changed, &part.names).await?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(MOVING))?;
    Ok(changed.len() as u64)
}

/// Writes the route and the URL, which is packed by the route, of some page views. Each row names its site, so that SQLite
/// cannot look up all page views of the site for each row.
async fn write(
    connection: &mut SqliteConnection,
    rows: &[(SiteId, String, i64, String)],
) -> Result<(), StoreError> {
    sqlx::query(
        "/* view.reroute */ update page_view set route_id = j.value ->> 2, url = j.value ->> 3 \
         from json_each(?1) j where page_view.site_id = j.value ->> 0 and page_view.id = unhex(j.value ->> 1)",
    )
    .bind(json(rows)?)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed(MOVING))
}
