//! Removes unused names, and copies names between stores.

use crate::error::failed;
use crate::names::{Tables, json};
use crate::{SqliteStore, query, site, version};
use fieldvitals_store::hash::HashSet;
use fieldvitals_store::names;
use fieldvitals_store::rollup::Coverage;
use fieldvitals_store::{Dimension, Name, Place, SiteId, StoreError};
use sqlx::sqlite::SqliteConnection;

/// A name's columns: dimension (`None` for a route), text, last day, standing, network, day of the standing.
type NameRow = (Option<u8>, String, i32, i16, Option<i16>, i32);

const NAMING: &str = "reading or writing the places of names";

/// Removes unused names. Returns their number.
pub(crate) async fn free(store: &SqliteStore, site: SiteId) -> Result<u64, StoreError> {
    let mut transaction = store.write(NAMING).await?;
    let connection = &mut *transaction;
    site::exists(connection, site).await?;
    let coverage = query::coverage(connection, site).await?;
    let routes = counted(connection, site, None, &coverage).await?;
    let mut removed = sqlx::query(
        "/* route.free */ delete from route where site_id = ?1 \
         and route_id not in (select value from json_each(?2)) and not exists (select 1 \
         from page_view v where v.site_id = ?1 and v.route_id = route.route_id)",
    )
    .bind(site.0)
    .bind(json(&routes)?)
    .execute(&mut *connection)
    .await
    .map_err(failed(NAMING))?
    .rows_affected();
    for dimension in Dimension::LABELLED {
        let codes = counted(connection, site, Some(dimension), &coverage).await?;
        removed += sqlx::query(
            "/* label.free */ delete from label where site_id = ?1 and dimension = ?2 \
             and code not in (select value from json_each(?3))",
        )
        .bind(site.0)
        .bind(dimension as u8)
        .bind(json(&codes)?)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?
        .rows_affected();
    }
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(NAMING))?;
    Ok(removed)
}

/// The ids of the routes, or the codes of the labels, that occur in rollups.
async fn counted(
    connection: &mut SqliteConnection,
    site: SiteId,
    dimension: Option<Dimension>,
    coverage: &Coverage,
) -> Result<HashSet<i64>, StoreError> {
    let Some((plan, mut answer)) = names::counted(site, dimension, &coverage.retained) else {
        return Ok(HashSet::default());
    };
    query::read_rollups(connection, site, &plan, coverage, &mut answer).await?;
    Ok(answer.finish().into_keys().collect())
}

/// All names of a site.
pub(crate) async fn all(store: &SqliteStore, site: SiteId) -> Result<Vec<Name>, StoreError> {
    let rows: Vec<NameRow> = sqlx::query_as(
        "/* names.all */ select null, route, last_day, standing, network, since_day from route \
         where site_id = ?1 union all select dimension, label, last_day, standing, network, since_day \
         from label where site_id = ?1 order by 1, 2",
    )
    .bind(site.0)
    .fetch_all(&store.readers)
    .await
    .map_err(failed(NAMING))?;
    let names = rows.into_iter().map(|(dimension, text, last_day, standing, network, since_day)| Name {
        dimension: dimension.and_then(Dimension::from_number),
        text,
        last_day,
        place: Place::from_stored(standing, network, since_day),
    });
    Ok(names.collect())
}

/// Writes the names of another store, with their places.
pub(crate) async fn put(store: &SqliteStore, site: SiteId, all: &[Name]) -> Result<(), StoreError> {
    let mut transaction = store.write(NAMING).await?;
    let connection = &mut *transaction;
    site::exists(connection, site).await?;
    names::put_all(&mut Tables(connection), site, all).await?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(NAMING))
}
