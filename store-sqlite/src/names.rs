//! The names of a site: its routes and labels, under the ids and codes that rows have for them.
//!
//! They are read anew in every transaction, with one statement a kind: nothing is remembered between
//! loads, so nothing needs to be forgotten when another process removes a name.

use crate::error::{damaged, failed};
use fieldvitals_store::dimension::{Labels, NO_VALUE, Said, label_code};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::load::Changed;
use fieldvitals_store::places::{Changes, Decided};
use fieldvitals_store::rollup::{Grain, route_id};
use fieldvitals_store::{Dimension, Filters, Kept, Place, SiteId, StoreError, ViewUpdate};
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet};

const NAMING: &str = "reading or writing routes and labels";

/// Names that a transaction is about to use, with the UTC day (since 1970) of the newest page view that
/// has them; `i32::MIN` where none does any more.
#[derive(Default)]
pub(crate) struct Used<'a> {
    routes: HashMap<&'a str, i32>,
    labels: HashMap<(Dimension, &'a str), i32>,
}

impl<'a> Used<'a> {
    /// The names of changed page views, before and after.
    pub(crate) fn by(changed: &'a [Changed]) -> Self {
        let mut used = Self::default();
        for Changed { before, after } in changed {
            if let Some(view) = before {
                used.view(&view.update, i32::MIN);
            }
            if let Some(view) = after {
                used.view(&view.update, Grain::Day.step(view.update.id.start_ms()));
            }
        }
        used
    }

    fn view(&mut self, view: &'a ViewUpdate, day: i32) {
        self.route(&view.route, day);
        for dimension in Dimension::LABELLED {
            if let Said::Label(label) = dimension.of(view) {
                self.label(dimension, label, day);
            }
        }
    }

    pub(crate) fn route(&mut self, route: &'a str, day: i32) {
        let newest = self.routes.entry(route).or_insert(day);
        *newest = day.max(*newest);
    }

    pub(crate) fn label(&mut self, dimension: Dimension, label: &'a str, day: i32) {
        let newest = self.labels.entry((dimension, label)).or_insert(day);
        *newest = day.max(*newest);
    }
}

/// The ids and codes of names.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) route_ids: HashMap<String, i64>,
    pub(crate) labels: Labels,
}

/// The ids and codes of names that are about to be used; new ones are added with the places that were decided, and
/// the days of those that were last seen earlier moved forward.
pub(crate) async fn take(
    connection: &mut SqliteConnection,
    site: SiteId,
    used: &Used<'_>,
    decided: &Decided,
) -> Result<Names, StoreError> {
    let mut names = Names::default();
    take_routes(connection, site, (used, decided), &mut names.route_ids).await?;
    take_labels(connection, site, (used, decided), &mut names.labels).await?;
    Ok(names)
}

async fn take_routes(
    connection: &mut SqliteConnection,
    site: SiteId,
    (used, decided): (&Used<'_>, &Decided),
    ids: &mut HashMap<String, i64>,
) -> Result<(), StoreError> {
    let used = &used.routes;
    if used.is_empty() {
        return Ok(());
    }
    let asked: Vec<&str> = used.keys().copied().collect();
    let rows: Vec<(String, i64, i32)> = sqlx::query_as(
        "/* route.ids */ select r.route, r.route_id, r.last_day from json_each(?2) j \
         cross join route r on r.site_id = ?1 and r.route = j.value",
    )
    .bind(site.0)
    .bind(json(&asked)?)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    let mut later: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    let mut places = Changes::default();
    for (route, id, last_day) in rows {
        if let Some(&day) = used.get(route.as_str()).filter(|&&day| day > last_day) {
            later.entry(day).or_default().push(id);
        }
        places.put(id, decided.routes.get(&route), decided);
        ids.insert(route, id);
    }
    for (&route, &day) in used {
        if !ids.contains_key(route) {
            let given = decided.routes.get(route);
            let place = decided.new_place(given, route);
            places.lose(given, decided);
            ids.insert(route.to_owned(), add_route(connection, site, route, (day, place)).await?);
        }
    }
    // One at a time, by key: few change in a load, and those that are new are added so, too.
    for (id, place) in places.iter() {
        let (standing, network, since_day) = place.stored();
        sqlx::query(
            "/* route.place */ update route set standing = ?, network = ?, since_day = ? \
             where site_id = ? and route_id = ?",
        )
        .bind(standing)
        .bind(network)
        .bind(since_day)
        .bind(site.0)
        .bind(id)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
    }
    for (day, ids) in later {
        sqlx::query(
            "/* route.seen */ update route set last_day = ?3 \
             where site_id = ?1 and route_id in (select value from json_each(?2)) and last_day < ?3",
        )
        .bind(site.0)
        .bind(json(&ids)?)
        .bind(day)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
    }
    Ok(())
}

async fn take_labels(
    connection: &mut SqliteConnection,
    site: SiteId,
    (used, decided): (&Used<'_>, &Decided),
    known: &mut Labels,
) -> Result<(), StoreError> {
    let used = &used.labels;
    if used.is_empty() {
        return Ok(());
    }
    let asked: Vec<(u8, &str)> = used.keys().map(|&(dimension, label)| (dimension as u8, label)).collect();
    let rows: Vec<(u8, String, u16, i32)> = sqlx::query_as(
        "/* label.codes */ select l.dimension, l.label, l.code, l.last_day from json_each(?2) j \
         cross join label l on l.site_id = ?1 and l.dimension = j.value ->> 0 and l.label = j.value ->> 1",
    )
    .bind(site.0)
    .bind(json(&asked)?)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    let mut later: BTreeMap<i32, Vec<(u8, u16)>> = BTreeMap::new();
    let mut places: [Changes; Dimension::COUNT] = Default::default();
    for (number, label, code, last_day) in rows {
        let Some(dimension) = Dimension::from_number(number) else { continue };
        if let Some(&day) = used.get(&(dimension, label.as_str())).filter(|&&day| day > last_day) {
            later.entry(day).or_default().push((number, code));
        }
        places[dimension.index()].put(code.into(), decided.label(dimension, &label), decided);
        known.insert(dimension, label, code);
    }
    for (&(dimension, label), &day) in used {
        if known.code(dimension, label).is_none() {
            let given = decided.label(dimension, label);
            let place = decided.new_place(given, label);
            places[dimension.index()].lose(given, decided);
            let code = add_label(connection, site, (dimension, label), (day, place)).await?;
            known.insert(dimension, label.to_owned(), code);
        }
    }
    let places = Dimension::LABELLED.into_iter().flat_map(|dimension| {
        places[dimension.index()].iter().map(move |(code, place)| (dimension, code, place.stored()))
    });
    for (dimension, code, (standing, network, since_day)) in places {
        sqlx::query(
            "/* label.place */ update label set standing = ?, network = ?, since_day = ? \
             where site_id = ? and dimension = ? and code = ?",
        )
        .bind(standing)
        .bind(network)
        .bind(since_day)
        .bind(site.0)
        .bind(dimension as u8)
        .bind(code)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
    }
    for (day, codes) in later {
        sqlx::query(
            "/* label.seen */ update label set last_day = ?3 where site_id = ?1 and (dimension, code) in \
             (select value ->> 0, value ->> 1 from json_each(?2)) and last_day < ?3",
        )
        .bind(site.0)
        .bind(json(&codes)?)
        .bind(day)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
    }
    Ok(())
}

/// Adds a route under the first of its ids that no other route has.
async fn add_route(
    connection: &mut SqliteConnection,
    site: SiteId,
    route: &str,
    (day, place): (i32, Place),
) -> Result<i64, StoreError> {
    let (standing, network, since_day) = place.stored();
    for attempt in 0..=u8::MAX {
        let id = route_id(route, attempt);
        let added = sqlx::query(
            "/* route.add */ insert into route (site_id, route_id, route, last_day, standing, network, since_day) \
             values (?, ?, ?, ?, ?, ?, ?) on conflict (site_id, route_id) do nothing",
        )
        .bind(site.0)
        .bind(id)
        .bind(route)
        .bind(day)
        .bind(standing)
        .bind(network)
        .bind(since_day)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
        if added.rows_affected() == 1 {
            return Ok(id);
        }
    }
    Err(damaged(NAMING, format_args!("the table of routes: every id of `{route}` is taken")))
}

/// Adds a label under the first of its codes that no other label of the dimension has.
async fn add_label(
    connection: &mut SqliteConnection,
    site: SiteId,
    (dimension, label): (Dimension, &str),
    (day, place): (i32, Place),
) -> Result<u16, StoreError> {
    let (standing, network, since_day) = place.stored();
    for attempt in 0..=u8::MAX {
        let code = label_code(label, attempt);
        if code == NO_VALUE {
            continue;
        }
        let added = sqlx::query(
            "/* label.add */ insert into label (site_id, dimension, code, label, last_day, standing, network, \
             since_day) values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (site_id, dimension, code) do nothing",
        )
        .bind(site.0)
        .bind(dimension as u8)
        .bind(code)
        .bind(label)
        .bind(day)
        .bind(standing)
        .bind(network)
        .bind(since_day)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
        if added.rows_affected() == 1 {
            return Ok(code);
        }
    }
    Err(damaged(NAMING, format_args!("the table of labels: every code of `{label}` is taken")))
}

/// The id of a route.
pub(crate) async fn route(
    connection: &mut SqliteConnection,
    site: SiteId,
    route: &str,
) -> Result<Option<i64>, StoreError> {
    sqlx::query_scalar("/* route.id */ select route_id from route where site_id = ? and route = ?")
        .bind(site.0)
        .bind(route)
        .fetch_optional(connection)
        .await
        .map_err(failed(NAMING))
}

/// The routes of ids.
pub(crate) async fn routes(
    connection: &mut SqliteConnection,
    site: SiteId,
    ids: impl IntoIterator<Item = i64>,
) -> Result<HashMap<i64, String>, StoreError> {
    let ids: BTreeSet<i64> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(HashMap::default());
    }
    let names: Vec<(i64, String)> = sqlx::query_as(
        "/* route.names */ select r.route_id, r.route from json_each(?2) j \
         cross join route r on r.site_id = ?1 and r.route_id = j.value",
    )
    .bind(site.0)
    .bind(json(&ids)?)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    Ok(names.into_iter().collect())
}

/// All routes of a site with their ids.
pub(crate) async fn all_routes(
    connection: &mut SqliteConnection,
    site: SiteId,
) -> Result<Vec<(i64, String)>, StoreError> {
    sqlx::query_as("/* route.all */ select route_id, route from route where site_id = ?")
        .bind(site.0)
        .fetch_all(connection)
        .await
        .map_err(failed(NAMING))
}

/// The codes of the labels that a question names.
pub(crate) async fn of_filters(
    connection: &mut SqliteConnection,
    site: SiteId,
    filters: &Filters,
) -> Result<Labels, StoreError> {
    let asked: Vec<(u8, &str)> = filters
        .dimensions()
        .filter_map(|dimension| match filters.asked(dimension) {
            Some(Said::Label(label)) => Some((dimension as u8, label)),
            _ => None,
        })
        .collect();
    if asked.is_empty() {
        return Ok(Labels::default());
    }
    let rows = sqlx::query_as(
        "/* label.asked */ select l.dimension, l.label, l.code from json_each(?2) j \
         cross join label l on l.site_id = ?1 and l.dimension = j.value ->> 0 and l.label = j.value ->> 1",
    )
    .bind(site.0)
    .bind(json(&asked)?)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    Ok(labels(rows))
}

/// All labels of a site, or of one dimension of it.
pub(crate) async fn all_labels(
    connection: &mut SqliteConnection,
    site: SiteId,
    dimension: Option<Dimension>,
) -> Result<Labels, StoreError> {
    let rows = sqlx::query_as(
        "/* label.all */ select dimension, label, code from label \
         where site_id = ?1 and dimension between ?2 and ?3",
    )
    .bind(site.0)
    .bind(dimension.map_or(0, |dimension| dimension as u8))
    .bind(dimension.map_or(u8::MAX, |dimension| dimension as u8))
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    Ok(labels(rows))
}

fn labels(rows: Vec<(u8, String, u16)>) -> Labels {
    let mut labels = Labels::default();
    for (dimension, label, code) in rows {
        if let Some(dimension) = Dimension::from_number(dimension) {
            labels.insert(dimension, label, code);
        }
    }
    labels
}

/// The day (since 1970-01-01 UTC) such that a name that was last seen before it is in no page view and no rollup.
pub(crate) fn unused_before(kept: &Kept) -> i32 {
    Grain::Day.step(kept.days_from_ms.min(kept.views_from_ms))
}

/// Removes the names that no page view of a day that is kept had, and returns how many they were.
///
/// No load that is under way can be using one: it would have moved the name's day forward under the write
/// lock, and views of earlier days are no longer taken.
pub(crate) async fn remove(
    connection: &mut SqliteConnection,
    site: SiteId,
    kept: &Kept,
) -> Result<u64, StoreError> {
    let from_day = unused_before(kept);
    let mut removed = 0;
    for sql in [
        "/* route.remove */ delete from route where site_id = ?1 and last_day < ?2 and not exists (select 1 \
         from page_view v where v.site_id = ?1 and v.route_id = route.route_id)",
        "/* label.remove */ delete from label where site_id = ?1 and last_day < ?2",
    ] {
        let done = sqlx::query(sql).bind(site.0).bind(from_day).execute(&mut *connection).await;
        removed += done.map_err(failed(NAMING))?.rows_affected();
    }
    Ok(removed)
}

/// A list as the one value that a statement takes.
pub(crate) fn json<T: Serialize + ?Sized>(list: &T) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|error| damaged(NAMING, error))
}
