//! Removes unused names, and copies names between stores.

use crate::error::failed;
use crate::locks::{hold_site, lock_retention_edges};
use crate::maintain::{exclude, hold_off_loads};
use crate::names::{Tables, place, three};
use crate::sql::query;
use crate::{PostgresStore, query as questions, version};
use fieldvitals_store::names;
use fieldvitals_store::rollup::Coverage;
use fieldvitals_store::{Dimension, Name, SiteId, StoreError};
use sqlx::postgres::{PgConnection, PgRow};

const NAMING: &str = "reading or writing the places of names";

/// Removes unused names. Returns their number. Holds off loads and maintenance, because a load could use a name, and
/// maintenance could move the rows that count it.
pub(crate) async fn free(store: &PostgresStore, site: SiteId) -> Result<u64, StoreError> {
    let mut transaction = store.write(NAMING).await?;
    let connection = &mut *transaction;
    exclude(connection).await?;
    if !hold_off_loads(connection).await? {
        let reason = "loads are in the way".to_owned();
        return Err(StoreError::Database { what: NAMING, reason, transient: true });
    }
    hold_site(connection, site).await?;
    let coverage = questions::coverage(connection, site).await?;
    let routes = counted(connection, site, None, &coverage).await?;
    let mut removed = query(
        "/* route.free */ delete from route r where r.site_id = $1 and r.route_id <> all($2) \
         and not exists (select 1 from page_view v where v.site_id = $1 and v.route_id = r.route_id)",
    )
    .bind(site.0)
    .bind(routes)
    .execute(&mut *connection)
    .await
    .map_err(failed(NAMING))?
    .rows_affected();
    for dimension in Dimension::LABELLED {
        let codes = counted(connection, site, Some(dimension), &coverage).await?;
        removed += query(
            "/* label.free */ delete from label where site_id = $1 and dimension = $2 and code <> all($3)",
        )
        .bind(site.0)
        .bind(dimension as i16)
        .bind(codes)
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
    connection: &mut PgConnection,
    site: SiteId,
    dimension: Option<Dimension>,
    coverage: &Coverage,
) -> Result<Vec<i64>, StoreError> {
    let Some((plan, mut answer)) = names::counted(site, dimension, &coverage.retained) else {
        return Ok(Vec::new());
    };
    questions::read_rollups(connection, site, &plan, coverage, &mut answer).await?;
    Ok(answer.finish().into_keys().collect())
}

/// All names of a site.
pub(crate) async fn all(store: &PostgresStore, site: SiteId) -> Result<Vec<Name>, StoreError> {
    let mut transaction = store.read(NAMING).await?;
    let rows = query(
        "/* names.all */ select null::smallint, route, last_day, standing, network, since_day from route \
         where site_id = $1 union all select dimension, label, last_day, standing, network, since_day \
         from label where site_id = $1 order by 1 nulls first, 2",
    )
    .bind(site.0)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(NAMING))?;
    let name = |row: &PgRow| {
        let (dimension, text, last_day): (Option<i16>, String, i32) = three(row)?;
        let dimension = dimension.and_then(|number| u8::try_from(number).ok());
        let dimension = dimension.and_then(Dimension::from_number);
        Ok(Name { dimension, text, last_day, place: place(row, 3)? })
    };
    rows.iter().map(name).collect()
}

/// Writes the names of another store, with their places.
pub(crate) async fn put(store: &PostgresStore, site: SiteId, all: &[Name]) -> Result<(), StoreError> {
    let mut transaction = store.write(NAMING).await?;
    let connection = &mut *transaction;
    hold_site(connection, site).await?;
    lock_retention_edges(connection).await?;
    names::put_all(&mut Tables(connection), site, all).await?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(NAMING))
}
