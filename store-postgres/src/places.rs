//! Assigns places to names, and frees the places of unused names.

use crate::error::failed;
use crate::load::{hold_kept, hold_site};
use crate::maintain::{exclude, hold_off_loads};
use crate::names::{Names, place, three};
use crate::sql::query;
use crate::{PostgresStore, query as questions, version};
use fieldvitals_store::dimension::Labels;
use fieldvitals_store::load;
use fieldvitals_store::places::{Bounds, Decided, Pool, Stored, today};
use fieldvitals_store::rollup::{Answer, Grain, Plan};
use fieldvitals_store::{By, CellQuery, Dimension, Kept, Name, Senders, SiteId, StoreError, ViewUpdate};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::BTreeSet;
use vitals::metric::Metrics;

const NAMING: &str = "reading or writing the places of names";

/// Decides which names of a batch have places; see [`fieldvitals_store::places`]. Concurrent servers that give the
/// last places may exceed a bound by the names of one batch.
///
/// Also returns the names found.
pub(crate) async fn bound(
    connection: &mut PgConnection,
    site: SiteId,
    (beacons, senders): (&mut [Vec<ViewUpdate>], &Senders),
    kept: &Kept,
) -> Result<(Names, Decided), StoreError> {
    let mut names = Names::default();
    let mut decided = Decided { today: today(beacons), ..Decided::default() };
    if *senders != Senders::Store {
        bound_routes(connection, site, (beacons, senders), kept, (&mut names, &mut decided)).await?;
        bound_labels(connection, site, (beacons, senders), kept, (&mut names, &mut decided)).await?;
    }
    Ok((names, decided))
}

async fn bound_routes(
    connection: &mut PgConnection,
    site: SiteId,
    (beacons, senders): (&mut [Vec<ViewUpdate>], &Senders),
    kept: &Kept,
    (names, decided): (&mut Names, &mut Decided),
) -> Result<(), StoreError> {
    let from_day = Grain::Day.step(kept.views_from_ms);
    let mut missing: BTreeSet<&str> = load::routes(beacons).into_iter().collect();
    let asked = missing.len();
    let known = names.find_routes(connection, site, &mut missing).await?;
    let mut pool = Pool::new(from_day, decided.today, known);
    let rules: Vec<String>;
    if pool.lacks_places(asked) {
        rules = query(
            "/* route.rules */ select jsonb_array_elements_text(routes::jsonb) from site where site_id = $1",
        )
        .bind(site.0)
        .fetch_all(&mut *connection)
        .await
        .and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect())
        .map_err(failed(NAMING))?;
        let seen = query(
            "/* route.places */ select route_id, last_day, standing, network, since_day from route \
             where site_id = $1 and last_day >= $2",
        )
        .bind(site.0)
        .bind(from_day)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
        pool.fill(Bounds::routes(&rules), seen.iter().map(stored).collect::<Result<Vec<_>, _>>()?);
    }
    decided.crowded.routes = pool.decide(beacons, senders, |update| Some(&mut update.route));
    decided.routes = pool.given();
    Ok(())
}

async fn bound_labels(
    connection: &mut PgConnection,
    site: SiteId,
    (beacons, senders): (&mut [Vec<ViewUpdate>], &Senders),
    kept: &Kept,
    (names, decided): (&mut Names, &mut Decided),
) -> Result<(), StoreError> {
    let from_day = Grain::Day.step(kept.views_from_ms);
    let mut missing: BTreeSet<(Dimension, &str)> = load::labels(beacons).into_iter().collect();
    let mut asked = [0; Dimension::COUNT];
    for (dimension, _) in &missing {
        asked[dimension.index()] += 1;
    }
    let mut known: [Vec<(String, Stored)>; Dimension::COUNT] = Default::default();
    for (dimension, label, stored) in names.find_labels(connection, site, &mut missing).await? {
        known[dimension.index()].push((label, stored));
    }
    for dimension in Dimension::LABELLED {
        let known = std::mem::take(&mut known[dimension.index()]);
        let mut pool = Pool::new(from_day, decided.today, known);
        if pool.lacks_places(asked[dimension.index()]) {
            let (rows, seen) = label_places(connection, site, dimension, from_day).await?;
            pool.fill(Bounds::labels(dimension, kept, rows, decided.today), seen);
        }
        decided.crowded.labels[dimension.index()] =
            pool.decide(beacons, senders, |update| dimension.label_mut(update));
        decided.labels[dimension.index()] = pool.given();
    }
    Ok(())
}

/// The number of labels of a dimension, and the number of labels seen since a day.
async fn label_places(
    connection: &mut PgConnection,
    site: SiteId,
    dimension: Dimension,
    from_day: i32,
) -> Result<(usize, Vec<Stored>), StoreError> {
    let rows: i64 =
        query("/* label.count */ select count(*) from label where site_id = $1 and dimension = $2")
            .bind(site.0)
            .bind(dimension as i16)
            .fetch_one(&mut *connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed(NAMING))?;
    let seen = query(
        "/* label.places */ select code::bigint, last_day, standing, network, since_day from label \
         where site_id = $1 and dimension = $2 and last_day >= $3",
    )
    .bind(site.0)
    .bind(dimension as i16)
    .bind(from_day)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    let seen = seen.iter().map(stored).collect::<Result<Vec<_>, _>>()?;
    Ok((usize::try_from(rows).unwrap_or(usize::MAX), seen))
}

/// Reads key, last_day and place.
fn stored(row: &PgRow) -> Result<Stored, StoreError> {
    let read = || Ok((row.try_get(0)?, row.try_get(1)?));
    let (key, last_day) = read().map_err(failed(NAMING))?;
    Ok(Stored { key, last_day, place: place(row, 2)? })
}

/// Removes unused names. Returns their number. Holds off loads and maintenance, because a load could use a name, and
/// maintenance could move the rows that count it.
pub(crate) async fn free(store: &PostgresStore, site: SiteId) -> Result<u64, StoreError> {
    let mut transaction = store.write(NAMING).await?;
    let connection = &mut *transaction;
    exclude(connection).await?;
    if !hold_off_loads(connection).await? {
        let reason = "loads are in the way".to_owned();
        return Err(StoreError::Database { what: NAMING, reason, passing: true });
    }
    hold_site(connection, site).await?;
    let kept = questions::kept_now(connection).await?;
    let routes = counted(connection, site, None, &kept).await?;
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
        let codes = counted(connection, site, Some(dimension), &kept).await?;
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
    kept: &Kept,
) -> Result<Vec<i64>, StoreError> {
    let all = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site, i64::MIN, i64::MAX) };
    let by = dimension.map(By::Rolled);
    let Some(mut answer) = Answer::new(&all, by, None, &Labels::default()) else { return Ok(Vec::new()) };
    let read = dimension.unwrap_or(Dimension::Device);
    let plan = Plan::of_rollups(&all, read, kept);
    questions::read_rollups(connection, site, read, &plan, None, &mut answer).await?;
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
    hold_kept(connection).await?;
    Names::default().put_all(connection, site, all).await?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(NAMING))
}
