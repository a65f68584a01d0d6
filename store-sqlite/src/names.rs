//! The names of a site: its routes and labels, under the ids and codes that rows have for them.
//!
//! They are read anew in every transaction, with one statement a kind: nothing is remembered between
//! loads, so nothing needs to be forgotten when another process removes a name.

use crate::error::{damaged, failed};
use fieldvitals_store::dimension::{Labels, NO_VALUE, Said, label_code};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::load::Changed;
use fieldvitals_store::places::{Changes, Decided, Stored};
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

/// The ids and codes of names, as far as requested.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) route_ids: HashMap<String, i64>,
    pub(crate) labels: Labels,
    route_days: HashMap<i64, i32>,
    label_days: HashMap<(Dimension, u16), i32>,
}

impl Names {
    /// Remembers a stored route.
    pub(crate) fn put_route(&mut self, route: &str, stored: &Stored) {
        self.route_days.insert(stored.key, stored.last_day);
        self.route_ids.insert(route.to_owned(), stored.key);
    }

    /// Remembers a stored label.
    pub(crate) fn put_label(&mut self, dimension: Dimension, label: &str, stored: &Stored) {
        let code = u16::try_from(stored.key).unwrap_or(NO_VALUE);
        self.label_days.insert((dimension, code), stored.last_day);
        self.labels.insert(dimension, label.to_owned(), code);
    }

    /// Finds the names that are about to be used. Adds new ones with the decided places, and moves forward the days of
    /// those that were last seen earlier.
    pub(crate) async fn take(
        &mut self,
        connection: &mut SqliteConnection,
        site: SiteId,
        used: &Used<'_>,
        decided: &Decided,
    ) -> Result<(), StoreError> {
        self.take_routes(connection, site, (used, decided)).await?;
        self.take_labels(connection, site, (used, decided)).await
    }

    async fn take_routes(
        &mut self,
        connection: &mut SqliteConnection,
        site: SiteId,
        (used, decided): (&Used<'_>, &Decided),
    ) -> Result<(), StoreError> {
        let used = &used.routes;
        let unknown = used.keys().filter(|route| !self.route_ids.contains_key(**route));
        let asked: Vec<(i64, &str)> = unknown.map(|&route| (site.0, route)).collect();
        for Found { name, stored, .. } in find_routes(connection, &asked).await? {
            self.put_route(&name, &stored);
        }
        let mut later: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        let mut places = Changes::default();
        for (&route, &day) in used {
            let given = decided.routes.get(route);
            if let Some(&id) = self.route_ids.get(route) {
                if self.route_days.get(&id).is_some_and(|&last_day| last_day < day) {
                    later.entry(day).or_default().push(id);
                }
                places.put(id, given, decided);
                continue;
            }
            let place = decided.new_place(given, route);
            places.lose(given, decided);
            let id = add_route(connection, site, route, (day, place)).await?;
            self.route_ids.insert(route.to_owned(), id);
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
        &mut self,
        connection: &mut SqliteConnection,
        site: SiteId,
        (used, decided): (&Used<'_>, &Decided),
    ) -> Result<(), StoreError> {
        let used = &used.labels;
        let unknown = used.keys().filter(|&&(dimension, label)| self.labels.code(dimension, label).is_none());
        let asked: Vec<(i64, u8, &str)> =
            unknown.map(|&(dimension, label)| (site.0, dimension as u8, label)).collect();
        for Found { name: (dimension, label), stored, .. } in find_labels(connection, &asked).await? {
            self.put_label(dimension, &label, &stored);
        }
        let mut later: BTreeMap<i32, Vec<(u8, u16)>> = BTreeMap::new();
        let mut places: [Changes; Dimension::COUNT] = Default::default();
        for (&(dimension, label), &day) in used {
            let given = decided.label(dimension, label);
            let places = &mut places[dimension.index()];
            if let Some(code) = self.labels.code(dimension, label) {
                if self.label_days.get(&(dimension, code)).is_some_and(|&last_day| last_day < day) {
                    later.entry(day).or_default().push((dimension as u8, code));
                }
                places.put(code.into(), given, decided);
                continue;
            }
            let place = decided.new_place(given, label);
            places.lose(given, decided);
            let code = add_label(connection, site, (dimension, label), (day, place)).await?;
            self.labels.insert(dimension, label.to_owned(), code);
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
}

/// A stored route or label of a site.
pub(crate) struct Found<K> {
    pub(crate) site: SiteId,
    pub(crate) name: K,
    pub(crate) stored: Stored,
}

/// The columns of a name's row after its key: last_day, standing, network, since_day.
pub(crate) type PlaceColumns = (i32, i16, Option<i16>, i32);

pub(crate) fn stored(key: i64, (last_day, standing, network, since_day): PlaceColumns) -> Stored {
    Stored { key, last_day, place: Place::from_stored(standing, network, since_day) }
}

/// Finds the stored ones of these routes of sites.
pub(crate) async fn find_routes(
    connection: &mut SqliteConnection,
    asked: &[(i64, &str)],
) -> Result<Vec<Found<String>>, StoreError> {
    type Row = (i64, String, i64, i32, i16, Option<i16>, i32);
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Row> = sqlx::query_as(
        "/* route.known */ select r.site_id, r.route, r.route_id, r.last_day, r.standing, r.network, r.since_day \
         from json_each(?1) j cross join route r on r.site_id = j.value ->> 0 and r.route = j.value ->> 1",
    )
    .bind(json(asked)?)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    let found = |(site, name, id, day, standing, network, since): Row| Found {
        site: SiteId(site),
        name,
        stored: stored(id, (day, standing, network, since)),
    };
    Ok(rows.into_iter().map(found).collect())
}

/// Finds the stored ones of these labels of sites and dimensions.
pub(crate) async fn find_labels(
    connection: &mut SqliteConnection,
    asked: &[(i64, u8, &str)],
) -> Result<Vec<Found<(Dimension, String)>>, StoreError> {
    type Row = (i64, u8, String, u16, i32, i16, Option<i16>, i32);
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Row> = sqlx::query_as(
        "/* label.known */ select l.site_id, l.dimension, l.label, l.code, l.last_day, l.standing, l.network, \
         l.since_day from json_each(?1) j cross join label l \
         on l.site_id = j.value ->> 0 and l.dimension = j.value ->> 1 and l.label = j.value ->> 2",
    )
    .bind(json(asked)?)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    let found = |(site, dimension, label, code, day, standing, network, since): Row| {
        let dimension = Dimension::from_number(dimension)?;
        let stored = stored(code.into(), (day, standing, network, since));
        Some(Found { site: SiteId(site), name: (dimension, label), stored })
    };
    Ok(rows.into_iter().filter_map(found).collect())
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
