//! Assigns places to names, and frees the places of unused names.

use crate::error::failed;
use crate::load::Part;
use crate::names::{Found, Names, Used, find_labels, find_routes, json, packed, stored};
use crate::{SqliteStore, query, site, version};
use fieldvitals_store::dimension::Labels;
use fieldvitals_store::hash::{HashMap, HashSet};
use fieldvitals_store::load;
use fieldvitals_store::places::{Bounds, Decided, Given, Pool, Stored, today};
use fieldvitals_store::rollup::{Answer, Coverage, Grain, Per, Plan};
use fieldvitals_store::{
    CellQuery, Dimension, GroupBy, Name, Place, RetentionEdges, Senders, SiteId, StoreError,
};
use sqlx::sqlite::SqliteConnection;
use vitals::metric::Metrics;

/// A name's columns: dimension (`None` for a route), text, last day, standing, network, day of the standing.
type NameRow = (Option<u8>, String, i32, i16, Option<i16>, i32);

const NAMING: &str = "reading or writing the places of names";

/// Decides which names of batches have places, and finds the stored names; see [`fieldvitals_store::places`].
pub(crate) async fn bound(
    connection: &mut SqliteConnection,
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
    connection: &mut SqliteConnection,
    parts: &mut [&mut Part],
    retained: &RetentionEdges,
) -> Result<(), StoreError> {
    let from_day = Grain::Day.step(retained.views_from_ms);
    let mut asked: Vec<(i64, &str)> = Vec::new();
    let mut counts: HashMap<SiteId, usize> = HashMap::default();
    for part in parts.iter() {
        let routes = load::routes(&part.beacons);
        counts.insert(part.site, routes.len());
        asked.extend(routes.into_iter().map(|route| (part.site.0, route)));
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
    connection: &mut SqliteConnection,
    sites: &[i64],
) -> Result<HashMap<SiteId, Vec<String>>, StoreError> {
    let mut rules: HashMap<SiteId, Vec<String>> = HashMap::default();
    if sites.is_empty() {
        return Ok(rules);
    }
    rules.extend(sites.iter().map(|&site| (SiteId(site), Vec::new())));
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "/* route.rules */ select s.site_id, j.value from json_each(?) a cross join site s on s.site_id = a.value \
         cross join json_each(s.routes) j",
    )
    .bind(json(sites)?)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    for (site, rule) in rows {
        rules.entry(SiteId(site)).or_default().push(rule);
    }
    Ok(rules)
}

/// The routes of some sites that were seen since a day.
async fn route_places(
    connection: &mut SqliteConnection,
    sites: &[i64],
    from_day: i32,
) -> Result<HashMap<SiteId, Vec<Stored>>, StoreError> {
    let mut seen: HashMap<SiteId, Vec<Stored>> = HashMap::default();
    if sites.is_empty() {
        return Ok(seen);
    }
    let rows: Vec<(i64, i64, i32, i16, Option<i16>, i32)> = packed(
        connection,
        sqlx::query_scalar(
            "/* route.places */ select json_group_array(json_array(r.site_id, r.route_id, r.last_day, r.standing, \
             r.network, r.since_day)) \
             from json_each(?1) a cross join route r on r.site_id = a.value and r.last_day >= ?2",
        )
        .bind(json(sites)?)
        .bind(from_day),
    )
    .await?;
    for (site, id, day, standing, network, since) in rows {
        seen.entry(SiteId(site)).or_default().push(stored(id, (day, standing, network, since)));
    }
    Ok(seen)
}

/// A dimension of a site.
type OfDimension = (SiteId, Dimension);

async fn bound_labels(
    connection: &mut SqliteConnection,
    parts: &mut [&mut Part],
    retained: &RetentionEdges,
) -> Result<(), StoreError> {
    let from_day = Grain::Day.step(retained.views_from_ms);
    let mut asked: Vec<(i64, u8, &str)> = Vec::new();
    let mut counts: HashMap<OfDimension, usize> = HashMap::default();
    for part in parts.iter() {
        for (dimension, label) in load::labels(&part.beacons) {
            *counts.entry((part.site, dimension)).or_default() += 1;
            asked.push((part.site.0, dimension as u8, label));
        }
    }
    let mut known: HashMap<OfDimension, Vec<(String, Stored)>> = HashMap::default();
    for Found { site, name: (dimension, label), stored } in find_labels(connection, &asked).await? {
        known.entry((site, dimension)).or_default().push((label, stored));
    }
    let mut pools = Vec::with_capacity(parts.len());
    let mut lacking: Vec<(i64, u8)> = Vec::new();
    for part in parts.iter_mut() {
        let pools_of_site = Dimension::LABELLED.map(|dimension| {
            let known = known.remove(&(part.site, dimension)).unwrap_or_default();
            known.iter().for_each(|(label, stored)| part.names.put_label(dimension, label, stored));
            let pool = Pool::new(from_day, part.decided.today, known);
            if pool.lacks_places(counts.get(&(part.site, dimension)).copied().unwrap_or(0)) {
                lacking.push((part.site.0, dimension as u8));
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
    connection: &mut SqliteConnection,
    asked: &[(i64, u8)],
    from_day: i32,
) -> Result<HashMap<OfDimension, (usize, Vec<Stored>)>, StoreError> {
    type Row = (i64, u8, u16, i32, i16, Option<i16>, i32);
    let mut places: HashMap<OfDimension, (usize, Vec<Stored>)> = HashMap::default();
    if asked.is_empty() {
        return Ok(places);
    }
    let asked = json(asked)?;
    let counts: Vec<(i64, u8, i64)> = packed(
        connection,
        sqlx::query_scalar(
            "/* label.count */ select json_group_array(json_array(a.value ->> 0, a.value ->> 1, \
             (select count(*) from label l where l.site_id = a.value ->> 0 and l.dimension = a.value ->> 1))) \
             from json_each(?) a",
        )
        .bind(&asked),
    )
    .await?;
    for (site, number, count) in counts {
        if let Some(dimension) = Dimension::from_number(number) {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            places.insert((SiteId(site), dimension), (count, Vec::new()));
        }
    }
    let rows: Vec<Row> = packed(
        connection,
        sqlx::query_scalar(
            "/* label.places */ select json_group_array(json_array(l.site_id, l.dimension, l.code, l.last_day, \
             l.standing, l.network, l.since_day)) from json_each(?1) a cross join label l \
             on l.site_id = a.value ->> 0 and l.dimension = a.value ->> 1 and l.last_day >= ?2",
        )
        .bind(&asked)
        .bind(from_day),
    )
    .await?;
    for (site, number, code, day, standing, network, since) in rows {
        let dimension = Dimension::from_number(number);
        if let Some((_, seen)) = dimension.and_then(|dimension| places.get_mut(&(SiteId(site), dimension))) {
            seen.push(stored(code.into(), (day, standing, network, since)));
        }
    }
    Ok(places)
}

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
    let query = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(site, i64::MIN, i64::MAX) };
    let per = dimension.map_or(Per::Route, |dimension| Per::Value(GroupBy::Rolled(dimension)));
    let Some(mut answer) = Answer::new(&query, per, None, &Labels::default()) else {
        return Ok(HashSet::default());
    };
    let read = dimension.unwrap_or(Dimension::Device);
    let plan = Plan::of_rollups(&query, read, &coverage.retained);
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
    Names::default().take(connection, site, used, &decided).await?;
    version::count_change(connection, site).await?;
    transaction.commit().await.map_err(failed(NAMING))
}
