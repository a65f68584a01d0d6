//! Assigns places to names, and frees the places of unused names.

use crate::error::failed;
use crate::names::{self, Used, json};
use crate::{SqliteStore, query, site, version};
use fieldvitals_store::dimension::Labels;
use fieldvitals_store::hash::HashSet;
use fieldvitals_store::load;
use fieldvitals_store::places::{Bounds, Decided, Given, Pool, Stored, today};
use fieldvitals_store::rollup::{Answer, Grain, Plan};
use fieldvitals_store::{
    By, CellQuery, Dimension, Kept, Name, Place, Senders, SiteId, StoreError, ViewUpdate,
};
use sqlx::sqlite::SqliteConnection;
use vitals::metric::Metrics;

/// A label's columns: dimension, text, code, last day, standing, network, day of the standing.
type KnownLabel = (u8, String, u16, i32, i16, Option<i16>, i32);
/// A name's columns: dimension (`None` for a route), text, last day, standing, network, day of the standing.
type NameRow = (Option<u8>, String, i32, i16, Option<i16>, i32);

const NAMING: &str = "reading or writing the places of names";

/// Decides which names of a batch have places; see [`fieldvitals_store::places`].
pub(crate) async fn bound(
    connection: &mut SqliteConnection,
    site: SiteId,
    kept: &Kept,
    beacons: &mut [Vec<ViewUpdate>],
    senders: &Senders,
) -> Result<Decided, StoreError> {
    let mut decided = Decided { today: today(beacons), ..Decided::default() };
    if *senders != Senders::Store {
        bound_routes(connection, site, kept, (beacons, senders), &mut decided).await?;
        bound_labels(connection, site, kept, (beacons, senders), &mut decided).await?;
    }
    Ok(decided)
}

/// The columns of a name's row after its key: last_day, standing, network, since_day.
type PlaceColumns = (i32, i16, Option<i16>, i32);

fn stored(key: i64, (last_day, standing, network, since_day): PlaceColumns) -> Stored {
    Stored { key, last_day, place: Place::from_stored(standing, network, since_day) }
}

async fn bound_routes(
    connection: &mut SqliteConnection,
    site: SiteId,
    kept: &Kept,
    (beacons, senders): (&mut [Vec<ViewUpdate>], &Senders),
    decided: &mut Decided,
) -> Result<(), StoreError> {
    let from_day = Grain::Day.step(kept.views_from_ms);
    let asked = load::routes(beacons);
    let known: Vec<(String, i64, i32, i16, Option<i16>, i32)> = sqlx::query_as(
        "/* route.known */ select r.route, r.route_id, r.last_day, r.standing, r.network, r.since_day \
         from json_each(?2) j cross join route r on r.site_id = ?1 and r.route = j.value",
    )
    .bind(site.0)
    .bind(json(&asked)?)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    let asked = asked.len();
    let known = known.into_iter().map(|(route, id, day, standing, network, since)| {
        (route, stored(id, (day, standing, network, since)))
    });
    let mut pool = Pool::new(from_day, decided.today, known);
    let rules: Vec<String>;
    if pool.lacks_places(asked) {
        rules = sqlx::query_scalar(
            "/* route.rules */ select j.value from site s cross join json_each(s.routes) j where s.site_id = ?",
        )
        .bind(site.0)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
        let seen: Vec<(i64, i32, i16, Option<i16>, i32)> = sqlx::query_as(
            "/* route.places */ select route_id, last_day, standing, network, since_day from route \
             where site_id = ? and last_day >= ?",
        )
        .bind(site.0)
        .bind(from_day)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
        let seen = seen
            .into_iter()
            .map(|(id, day, standing, network, since)| stored(id, (day, standing, network, since)));
        pool.fill(Bounds::routes(&rules), seen);
    }
    decided.crowded.routes = pool.decide(beacons, senders, |update| Some(&mut update.route));
    decided.routes = pool.given();
    Ok(())
}

async fn bound_labels(
    connection: &mut SqliteConnection,
    site: SiteId,
    kept: &Kept,
    (beacons, senders): (&mut [Vec<ViewUpdate>], &Senders),
    decided: &mut Decided,
) -> Result<(), StoreError> {
    let from_day = Grain::Day.step(kept.views_from_ms);
    let asked: Vec<(u8, &str)> =
        load::labels(beacons).into_iter().map(|(dimension, label)| (dimension as u8, label)).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let rows: Vec<KnownLabel> = sqlx::query_as(
        "/* label.known */ select l.dimension, l.label, l.code, l.last_day, l.standing, l.network, l.since_day \
         from json_each(?2) j cross join label l \
         on l.site_id = ?1 and l.dimension = j.value ->> 0 and l.label = j.value ->> 1",
    )
    .bind(site.0)
    .bind(json(&asked)?)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    let mut asked_of = [0; Dimension::COUNT];
    for dimension in asked.iter().filter_map(|&(dimension, _)| Dimension::from_number(dimension)) {
        asked_of[dimension.index()] += 1;
    }
    let mut known: [Vec<(String, Stored)>; Dimension::COUNT] = Default::default();
    for (dimension, label, code, day, standing, network, since) in rows {
        if let Some(dimension) = Dimension::from_number(dimension) {
            known[dimension.index()].push((label, stored(code.into(), (day, standing, network, since))));
        }
    }
    for dimension in Dimension::LABELLED {
        let known = std::mem::take(&mut known[dimension.index()]);
        let mut pool = Pool::new(from_day, decided.today, known);
        if pool.lacks_places(asked_of[dimension.index()]) {
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
    connection: &mut SqliteConnection,
    site: SiteId,
    dimension: Dimension,
    from_day: i32,
) -> Result<(usize, Vec<Stored>), StoreError> {
    let rows: i64 = sqlx::query_scalar(
        "/* label.count */ select count(*) from label where site_id = ? and dimension = ?",
    )
    .bind(site.0)
    .bind(dimension as u8)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    let seen: Vec<(u16, i32, i16, Option<i16>, i32)> = sqlx::query_as(
        "/* label.places */ select code, last_day, standing, network, since_day from label \
         where site_id = ? and dimension = ? and last_day >= ?",
    )
    .bind(site.0)
    .bind(dimension as u8)
    .bind(from_day)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    let seen = seen
        .into_iter()
        .map(|(code, day, standing, network, since)| stored(code.into(), (day, standing, network, since)));
    Ok((usize::try_from(rows).unwrap_or(usize::MAX), seen.collect()))
}

/// Removes unused names. Returns their number.
pub(crate) async fn free(store: &SqliteStore, site: SiteId) -> Result<u64, StoreError> {
    let mut transaction = store.write(NAMING).await?;
    let connection = &mut *transaction;
    site::exists(connection, site).await?;
    let kept = query::kept_now(connection).await?;
    let routes = counted(connection, site, None, &kept).await?;
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
        let codes = counted(connection, site, Some(dimension), &kept).await?;
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
    kept: &Kept,
) -> Result<HashSet<i64>, StoreError> {
    let query = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site, i64::MIN, i64::MAX) };
    let by = dimension.map(By::Rolled);
    let Some(mut answer) = Answer::new(&query, by, None, &Labels::default()) else {
        return Ok(HashSet::default());
    };
    let read = dimension.unwrap_or(Dimension::Device);
    let plan = Plan::of_rollups(&query, read, kept);
    query::read_rollups(connection, site, read, &plan, None, &mut answer).await?;
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
    let (mut used, mut decided) = (Used::default(), Decided::default());
    for name in all {
        let (text, given) = (name.text.clone(), Given { place: name.place, instead_of: None });
        match name.dimension {
            None => {
                used.route(&name.text, name.last_day);
                decided.routes.insert(text, given);
            }
            Some(dimension) => {
                used.label(dimension, &name.text, name.last_day);
                decided.labels[dimension.index()].insert(text, given);
            }
        }
    }
    names::take(connection, site, &used, &decided).await?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(NAMING))
}
