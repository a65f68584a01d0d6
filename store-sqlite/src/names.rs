//! The names of a site: its routes and labels, under the ids and codes that rows have for them.
//!
//! They are read anew in every transaction, with one statement a kind: nothing is remembered between
//! loads, so nothing needs to be forgotten when another process removes a name.

use crate::SqliteStore;
use crate::error::{damaged, failed};
use fieldvitals_store::dimension::{DimensionValue, Labels, NO_VALUE, label_code};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::load::Changed;
use fieldvitals_store::places::{Changes, Decided, Stored};
use fieldvitals_store::rollup::{Grain, route_id};
use fieldvitals_store::{Dimension, Filters, Place, RetentionEdges, SiteId, StoreError, ViewUpdate};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Sqlite;
use sqlx::query::QueryScalar;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use std::collections::BTreeSet;

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
            if let DimensionValue::Label(label) = dimension.of(view) {
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

    /// [`take`] of one site.
    pub(crate) async fn take(
        &mut self,
        connection: &mut SqliteConnection,
        site: SiteId,
        used: Used<'_>,
        decided: &Decided,
    ) -> Result<(), StoreError> {
        take(connection, &mut [Using { site, used, decided, names: self }]).await
    }
}

/// The names that a transaction is about to use of one site.
pub(crate) struct Using<'a> {
    pub(crate) site: SiteId,
    pub(crate) used: Used<'a>,
    pub(crate) decided: &'a Decided,
    pub(crate) names: &'a mut Names,
}

/// The entry of a site among some in order.
fn of_site<'a, 'b>(sites: &'a mut [Using<'b>], site: SiteId) -> Option<&'a mut Using<'b>> {
    let place = sites.binary_search_by_key(&site, |using| using.site).ok()?;
    sites.get_mut(place)
}

/// A new route: site, id, text, last day, standing, network, day of the standing.
type NewRoute<'a> = (i64, i64, &'a str, i32, i16, Option<i16>, i32);
/// A new label: site, dimension, code, text, last day, standing, network, day of the standing.
type NewLabel<'a> = (i64, u8, u16, &'a str, i32, i16, Option<i16>, i32);

/// Finds the names that are about to be used of some sites. Adds new ones with the decided places, each under the first
/// free one of its ids or codes, and moves forward the days of those that were last seen earlier. The sites must be in
/// order.
pub(crate) async fn take(
    connection: &mut SqliteConnection,
    sites: &mut [Using<'_>],
) -> Result<(), StoreError> {
    take_routes(connection, sites).await?;
    take_labels(connection, sites).await
}

async fn take_routes(connection: &mut SqliteConnection, sites: &mut [Using<'_>]) -> Result<(), StoreError> {
    let mut missing: Vec<(i64, &str)> = Vec::new();
    for Using { site, used, names, .. } in sites.iter() {
        let unknown = used.routes.keys().filter(|route| !names.route_ids.contains_key(**route));
        missing.extend(unknown.map(|&route| (site.0, route)));
    }
    find_and_put_routes(connection, sites, &mut missing).await?;
    let mut changed: Vec<(i64, i64, i16, Option<i16>, i32)> = Vec::new();
    for Using { site, used, decided, names } in sites.iter() {
        let mut places = Changes::default();
        for &route in used.routes.keys() {
            let given = decided.routes.get(route);
            match names.route_ids.get(route) {
                Some(&id) => places.put(id, given, decided),
                None => places.lose(given, decided),
            }
        }
        changed.extend(places.iter().map(|(id, place)| {
            let (standing, network, since_day) = place.stored();
            (site.0, id, standing, network, since_day)
        }));
    }
    for attempt in 0..=u8::MAX {
        if missing.is_empty() {
            break;
        }
        let mut rows: Vec<NewRoute<'_>> = Vec::with_capacity(missing.len());
        for &(site, route) in &missing {
            let Some(Using { used, decided, .. }) = of_site(sites, SiteId(site)) else { continue };
            let day = used.routes.get(route).copied().unwrap_or(i32::MIN);
            let place = decided.new_place(decided.routes.get(route), route);
            let (standing, network, since_day) = place.stored();
            rows.push((site, route_id(route, attempt), route, day, standing, network, since_day));
        }
        run(
            connection,
            "/* route.add */ insert into route (site_id, route_id, route, last_day, standing, network, since_day) \
             select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
             from json_each(?) where true on conflict (site_id, route_id) do nothing",
            &rows,
        )
        .await?;
        find_and_put_routes(connection, sites, &mut missing).await?;
    }
    if let Some((_, route)) = missing.first() {
        return Err(damaged(NAMING, format_args!("the table of routes: every id of `{route}` is taken")));
    }
    run(
        connection,
        "/* route.place */ update route set standing = j.value ->> 2, network = j.value ->> 3, \
         since_day = j.value ->> 4 from json_each(?) j \
         where route.site_id = j.value ->> 0 and route.route_id = j.value ->> 1",
        &changed,
    )
    .await?;
    let mut later: Vec<(i64, i64, i32)> = Vec::new();
    for Using { site, used, names, .. } in sites.iter() {
        let ids = used.routes.iter().filter_map(|(route, &day)| Some((*names.route_ids.get(*route)?, day)));
        let later_ids = ids.filter(|(id, day)| names.route_days.get(id).is_some_and(|known| known < day));
        later.extend(later_ids.map(|(id, day)| (site.0, id, day)));
    }
    run(
        connection,
        "/* route.seen */ update route set last_day = j.value ->> 2 from json_each(?) j \
         where route.site_id = j.value ->> 0 and route.route_id = j.value ->> 1 \
         and route.last_day < j.value ->> 2",
        &later,
    )
    .await
}

async fn find_and_put_routes(
    connection: &mut SqliteConnection,
    sites: &mut [Using<'_>],
    missing: &mut Vec<(i64, &str)>,
) -> Result<(), StoreError> {
    for Found { site, name, stored } in find_routes(connection, missing).await? {
        if let Some(using) = of_site(sites, site) {
            using.names.put_route(&name, &stored);
        }
    }
    missing.retain(|&(site, route)| {
        of_site(sites, SiteId(site)).is_some_and(|using| !using.names.route_ids.contains_key(route))
    });
    Ok(())
}

async fn take_labels(connection: &mut SqliteConnection, sites: &mut [Using<'_>]) -> Result<(), StoreError> {
    let mut missing: Vec<(i64, Dimension, &str)> = Vec::new();
    for Using { site, used, names, .. } in sites.iter() {
        let labels = used.labels.keys();
        let unknown = labels.filter(|&&(dimension, label)| names.labels.code(dimension, label).is_none());
        missing.extend(unknown.map(|&(dimension, label)| (site.0, dimension, label)));
    }
    find_and_put_labels(connection, sites, &mut missing).await?;
    let mut changed: Vec<(i64, u8, i64, i16, Option<i16>, i32)> = Vec::new();
    for Using { site, used, decided, names } in sites.iter() {
        let mut places: [Changes; Dimension::COUNT] = Default::default();
        for &(dimension, label) in used.labels.keys() {
            let given = decided.label(dimension, label);
            let places = &mut places[dimension.index()];
            match names.labels.code(dimension, label) {
                Some(code) => places.put(code.into(), given, decided),
                None => places.lose(given, decided),
            }
        }
        for dimension in Dimension::LABELLED {
            changed.extend(places[dimension.index()].iter().map(|(code, place)| {
                let (standing, network, since_day) = place.stored();
                (site.0, dimension as u8, code, standing, network, since_day)
            }));
        }
    }
    for attempt in 0..=u8::MAX {
        if missing.is_empty() {
            break;
        }
        let mut rows: Vec<NewLabel<'_>> = Vec::with_capacity(missing.len());
        for &(site, dimension, label) in &missing {
            let code = label_code(label, attempt);
            let using = of_site(sites, SiteId(site)).filter(|_| code != NO_VALUE);
            let Some(Using { used, decided, .. }) = using else { continue };
            let day = used.labels.get(&(dimension, label)).copied().unwrap_or(i32::MIN);
            let place = decided.new_place(decided.label(dimension, label), label);
            let (standing, network, since_day) = place.stored();
            rows.push((site, dimension as u8, code, label, day, standing, network, since_day));
        }
        run(
            connection,
            "/* label.add */ insert into label (site_id, dimension, code, label, last_day, standing, network, \
             since_day) select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
             value ->> 6, value ->> 7 from json_each(?) where true on conflict (site_id, dimension, code) do nothing",
            &rows,
        )
        .await?;
        find_and_put_labels(connection, sites, &mut missing).await?;
    }
    if let Some((.., label)) = missing.first() {
        return Err(damaged(NAMING, format_args!("the table of labels: every code of `{label}` is taken")));
    }
    run(
        connection,
        "/* label.place */ update label set standing = j.value ->> 3, network = j.value ->> 4, \
         since_day = j.value ->> 5 from json_each(?) j where label.site_id = j.value ->> 0 \
         and label.dimension = j.value ->> 1 and label.code = j.value ->> 2",
        &changed,
    )
    .await?;
    let mut later: Vec<(i64, u8, u16, i32)> = Vec::new();
    for Using { site, used, names, .. } in sites.iter() {
        let codes = used.labels.iter().filter_map(|(&(dimension, label), &day)| {
            Some(((dimension, names.labels.code(dimension, label)?), day))
        });
        let later_codes =
            codes.filter(|(code, day)| names.label_days.get(code).is_some_and(|known| known < day));
        later.extend(later_codes.map(|((dimension, code), day)| (site.0, dimension as u8, code, day)));
    }
    run(
        connection,
        "/* label.seen */ update label set last_day = j.value ->> 3 from json_each(?) j \
         where label.site_id = j.value ->> 0 and label.dimension = j.value ->> 1 and label.code = j.value ->> 2 \
         and label.last_day < j.value ->> 3",
        &later,
    )
    .await
}

async fn find_and_put_labels(
    connection: &mut SqliteConnection,
    sites: &mut [Using<'_>],
    missing: &mut Vec<(i64, Dimension, &str)>,
) -> Result<(), StoreError> {
    let asked: Vec<(i64, u8, &str)> =
        missing.iter().map(|&(site, dimension, label)| (site, dimension as u8, label)).collect();
    for Found { site, name: (dimension, label), stored } in find_labels(connection, &asked).await? {
        if let Some(using) = of_site(sites, site) {
            using.names.put_label(dimension, &label, &stored);
        }
    }
    missing.retain(|&(site, dimension, label)| {
        let using = of_site(sites, SiteId(site));
        using.is_some_and(|using| using.names.labels.code(dimension, label).is_none())
    });
    Ok(())
}

/// Runs a statement on a list of rows, unless the list is empty.
async fn run<T: Serialize>(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: &[T],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(sql).bind(json(rows)?).execute(connection).await.map(drop).map_err(failed(NAMING))
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
    let rows: Vec<Row> = packed(
        connection,
        sqlx::query_scalar(
            "/* route.known */ select json_group_array(json_array(r.site_id, r.route, r.route_id, r.last_day, \
             r.standing, r.network, r.since_day)) \
             from json_each(?1) j cross join route r on r.site_id = j.value ->> 0 and r.route = j.value ->> 1",
        )
        .bind(json(asked)?),
    )
    .await?;
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
    let rows: Vec<Row> = packed(
        connection,
        sqlx::query_scalar(
            "/* label.known */ select json_group_array(json_array(l.site_id, l.dimension, l.label, l.code, \
             l.last_day, l.standing, l.network, l.since_day)) from json_each(?1) j cross join label l \
             on l.site_id = j.value ->> 0 and l.dimension = j.value ->> 1 and l.label = j.value ->> 2",
        )
        .bind(json(asked)?),
    )
    .await?;
    let found = |(site, dimension, label, code, day, standing, network, since): Row| {
        let dimension = Dimension::from_number(dimension)?;
        let stored = stored(code.into(), (day, standing, network, since));
        Some(Found { site: SiteId(site), name: (dimension, label), stored })
    };
    Ok(rows.into_iter().filter_map(found).collect())
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
            Some(DimensionValue::Label(label)) => Some((dimension as u8, label)),
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

/// The texts of the labels of a dimension.
pub(crate) async fn all_of(
    store: &SqliteStore,
    site: SiteId,
    dimension: Dimension,
) -> Result<Vec<String>, StoreError> {
    let mut transaction = store.read(NAMING).await?;
    sqlx::query_scalar(
        "/* label.texts */ select label from label where site_id = ? and dimension = ? order by label",
    )
    .bind(site.0)
    .bind(dimension as u8)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(NAMING))
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
pub(crate) fn unused_before(retained: &RetentionEdges) -> i32 {
    Grain::Day.step(retained.days_from_ms.min(retained.views_from_ms))
}

/// Removes the names that no page view of a day that is kept had, and returns how many they were.
///
/// No load that is under way can be using one: it would have moved the name's day forward under the write
/// lock, and views of earlier days are no longer taken.
pub(crate) async fn remove(
    connection: &mut SqliteConnection,
    site: SiteId,
    retained: &RetentionEdges,
) -> Result<u64, StoreError> {
    let from_day = unused_before(retained);
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

/// Reads rows that a statement returns as one JSON array. Each row of a result of its own would switch to this thread
/// and back.
pub(crate) async fn packed<T: DeserializeOwned>(
    connection: &mut SqliteConnection,
    statement: QueryScalar<'_, Sqlite, String, SqliteArguments>,
) -> Result<Vec<T>, StoreError> {
    let rows = statement.fetch_one(connection).await.map_err(failed(NAMING))?;
    serde_json::from_str(&rows).map_err(|error| damaged(NAMING, error))
}

/// A list as the one value that a statement takes.
pub(crate) fn json<T: Serialize + ?Sized>(list: &T) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|error| damaged(NAMING, error))
}
