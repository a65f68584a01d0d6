//! Assigns places to names, and frees the places of unused names.

use crate::error::{damaged, failed};
use crate::load::{Part, hold_site, lock_retention_edges};
use crate::maintain::{exclude, hold_off_loads};
use crate::names::{Found, Names, find_labels, find_routes, place, three};
use crate::sql::{alone, query};
use crate::{PostgresStore, query as questions, version};
use fieldvitals_store::dimension::Labels;
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::load;
use fieldvitals_store::places::{Bounds, Pool, Stored, today};
use fieldvitals_store::rollup::{Answer, Coverage, Grain, Per, Plan};
use fieldvitals_store::{CellQuery, Dimension, GroupBy, Name, RetentionEdges, Senders, SiteId, StoreError};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::BTreeSet;
use vitals::metric::Metrics;

const NAMING: &str = "reading or writing the places of names";

/// Decides which names of batches have places, and finds the stored names; see [`fieldvitals_store::places`].
/// Concurrent servers that give the last places may exceed a bound by the names of one batch.
pub(crate) async fn bound(
    connection: &mut PgConnection,
    parts: &mut [Part],
    retained: &RetentionEdges,
) -> Result<(), StoreError> {
    for part in parts.iter_mut() {
        part.decided.today = today(&part.beacons);
    }
    // The names of a copy are decided.
    let mut open: Vec<&mut Part> = parts.iter_mut().filter(|part| part.senders != Senders::Store).collect();
    bound_routes(connection, &mut open, retained).await?;
    bound_labels(connection, &mut open, retained).await
}

async fn bound_routes(
    connection: &mut PgConnection,
    parts: &mut [&mut Part],
    retained: &RetentionEdges,
) -> Result<(), StoreError> {
    let from_day = Grain::Day.step(retained.views_from_ms);
    let mut asked: BTreeSet<(SiteId, &str)> = BTreeSet::new();
    let mut counts: HashMap<SiteId, usize> = HashMap::default();
    for part in parts.iter() {
        let routes = load::routes(&part.beacons);
        counts.insert(part.site, routes.len());
        asked.extend(routes.into_iter().map(|route| (part.site, route)));
    }
    let mut known: HashMap<SiteId, Vec<(String, Stored)>> = HashMap::default();
    for Found { site, name, stored } in find_routes(connection, &asked).await? {
        known.entry(site).or_default().push((name, stored));
    }
    let mut pools = Vec::with_capacity(parts.len());
    let mut lacking: Vec<i64> = Vec::new();
    for part in parts.iter_mut() {
        let known = known.remove(&part.site).unwrap_or_default();
        known.iter().for_each(|(route, stored)| part.names.put_route(route, stored));
        let pool = Pool::new(from_day, part.decided.today, known);
        if pool.lacks_places(counts.get(&part.site).copied().unwrap_or(0)) {
            lacking.push(part.site.0);
        }
        pools.push(pool);
    }
    let rules = route_rules(connection, &lacking).await?;
    let mut seen = route_places(connection, &lacking, from_day).await?;
    for (part, mut pool) in parts.iter_mut().zip(pools) {
        if let Some(rules) = rules.get(&part.site) {
            pool.fill(Bounds::routes(rules), seen.remove(&part.site).unwrap_or_default());
        }
        part.decided.overflow.routes =
            pool.decide(&mut part.beacons, &part.senders, |update| Some(&mut update.route));
        part.decided.routes = pool.given();
    }
    Ok(())
}

/// The route rules of some sites.
async fn route_rules(
    connection: &mut PgConnection,
    sites: &[i64],
) -> Result<HashMap<SiteId, Vec<String>>, StoreError> {
    let mut rules: HashMap<SiteId, Vec<String>> = HashMap::default();
    if sites.is_empty() {
        return Ok(rules);
    }
    rules.extend(sites.iter().map(|&site| (SiteId(site), Vec::new())));
    let rows = query(
        "/* route.rules */ select site_id, jsonb_array_elements_text(routes::jsonb) from site \
         where site_id = any($1)",
    )
    .bind(sites)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    for row in &rows {
        let read = || Ok((row.try_get(0)?, row.try_get(1)?));
        let (site, rule): (i64, String) = read().map_err(failed(NAMING))?;
        rules.entry(SiteId(site)).or_default().push(rule);
    }
    Ok(rules)
}

/// The routes of some sites that were seen since a day.
async fn route_places(
    connection: &mut PgConnection,
    sites: &[i64],
    from_day: i32,
) -> Result<HashMap<SiteId, Vec<Stored>>, StoreError> {
    let mut seen: HashMap<SiteId, Vec<Stored>> = HashMap::default();
    if sites.is_empty() {
        return Ok(seen);
    }
    let rows = query(
        "/* route.places */ select r.route_id, r.last_day, r.standing, r.network, r.since_day, r.site_id \
         from unnest($2::bigint[]) u (site_id) cross join lateral (select r.* from route r \
         where ($1::bigint is null or r.site_id = $1) and r.site_id = u.site_id and r.last_day >= $3 offset 0) r",
    )
    .bind(alone(sites))
    .bind(sites)
    .bind(from_day)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    for row in &rows {
        let site = row.try_get(5).map_err(failed(NAMING))?;
        seen.entry(SiteId(site)).or_default().push(stored(row)?);
    }
    Ok(seen)
}

/// A dimension of a site.
type OfDimension = (SiteId, Dimension);

async fn bound_labels(
    connection: &mut PgConnection,
    parts: &mut [&mut Part],
    retained: &RetentionEdges,
) -> Result<(), StoreError> {
    let from_day = Grain::Day.step(retained.views_from_ms);
    let mut asked: BTreeSet<(SiteId, (Dimension, &str))> = BTreeSet::new();
    let mut counts: HashMap<OfDimension, usize> = HashMap::default();
    for part in parts.iter() {
        for (dimension, label) in load::labels(&part.beacons) {
            *counts.entry((part.site, dimension)).or_default() += 1;
            asked.insert((part.site, (dimension, label)));
        }
    }
    let mut known: HashMap<OfDimension, Vec<(String, Stored)>> = HashMap::default();
    for Found { site, name: (dimension, label), stored } in find_labels(connection, &asked).await? {
        known.entry((site, dimension)).or_default().push((label, stored));
    }
    let mut pools = Vec::with_capacity(parts.len());
    let mut lacking: Vec<OfDimension> = Vec::new();
    for part in parts.iter_mut() {
        let pools_of_site = Dimension::LABELLED.map(|dimension| {
            let known = known.remove(&(part.site, dimension)).unwrap_or_default();
            known.iter().for_each(|(label, stored)| part.names.put_label(dimension, label, stored));
            let pool = Pool::new(from_day, part.decided.today, known);
            if pool.lacks_places(counts.get(&(part.site, dimension)).copied().unwrap_or(0)) {
                lacking.push((part.site, dimension));
            }
            pool
        });
        pools.push(pools_of_site);
    }
    let mut places = label_places(connection, &lacking, from_day).await?;
    for (part, pools) in parts.iter_mut().zip(pools) {
        for (dimension, mut pool) in Dimension::LABELLED.into_iter().zip(pools) {
            if let Some((rows, seen)) = places.remove(&(part.site, dimension)) {
                pool.fill(Bounds::labels(dimension, retained, rows, part.decided.today), seen);
            }
            part.decided.overflow.labels[dimension.index()] =
                pool.decide(&mut part.beacons, &part.senders, |update| dimension.label_mut(update));
            part.decided.labels[dimension.index()] = pool.given();
        }
    }
    Ok(())
}

/// The number of labels of some dimensions, and the labels seen since a day.
async fn label_places(
    connection: &mut PgConnection,
    asked: &[OfDimension],
    from_day: i32,
) -> Result<HashMap<OfDimension, (usize, Vec<Stored>)>, StoreError> {
    let mut places: HashMap<OfDimension, (usize, Vec<Stored>)> = HashMap::default();
    if asked.is_empty() {
        return Ok(places);
    }
    let (sites, dimensions): (Vec<i64>, Vec<i16>) =
        asked.iter().map(|&(site, dimension)| (site.0, dimension as i16)).unzip();
    let counts = query(
        "/* label.count */ select u.site_id, u.dimension, l.count from unnest($2::bigint[], $3::smallint[]) \
         u (site_id, dimension) cross join lateral (select count(*) from label l \
         where ($1::bigint is null or l.site_id = $1) and l.site_id = u.site_id and l.dimension = u.dimension) l",
    )
    .bind(alone(&sites))
    .bind(sites.as_slice())
    .bind(dimensions.as_slice())
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    for row in &counts {
        let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        let (site, dimension, count): (i64, i16, i64) = read().map_err(failed(NAMING))?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        places.insert(of_dimension(site, dimension)?, (count, Vec::new()));
    }
    let seen = query(
        "/* label.places */ select l.code::bigint, l.last_day, l.standing, l.network, l.since_day, l.site_id, \
         l.dimension from unnest($2::bigint[], $3::smallint[]) u (site_id, dimension) \
         cross join lateral (select l.* from label l where ($1::bigint is null or l.site_id = $1) \
         and l.site_id = u.site_id and l.dimension = u.dimension and l.last_day >= $4 offset 0) l",
    )
    .bind(alone(&sites))
    .bind(sites)
    .bind(dimensions)
    .bind(from_day)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    for row in &seen {
        let read = || Ok((row.try_get(5)?, row.try_get(6)?));
        let (site, dimension) = read().map_err(failed(NAMING))?;
        if let Some((_, seen)) = places.get_mut(&of_dimension(site, dimension)?) {
            seen.push(stored(row)?);
        }
    }
    Ok(places)
}

fn of_dimension(site: i64, number: i16) -> Result<OfDimension, StoreError> {
    let dimension = u8::try_from(number).ok().and_then(Dimension::from_number);
    let dimension =
        dimension.ok_or_else(|| damaged(NAMING, format_args!("dimension {number} of a label")))?;
    Ok((SiteId(site), dimension))
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
    let all = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site, i64::MIN, i64::MAX) };
    let per = dimension.map_or(Per::Route, |dimension| Per::Value(GroupBy::Rolled(dimension)));
    let Some(mut answer) = Answer::new(&all, per, None, &Labels::default()) else { return Ok(Vec::new()) };
    let read = dimension.unwrap_or(Dimension::Device);
    let plan = Plan::of_rollups(&all, read, &coverage.retained);
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
    Names::default().put_all(connection, site, all).await?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(NAMING))
}
