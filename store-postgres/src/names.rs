//! The names of a site: its routes and labels, with their ids and codes in rows.
//!
//! Every transaction reads names again, with one statement per kind. The store caches no names, so another server
//! cannot invalidate them. A name that a transaction has read stays until the transaction ends: writers hold a lock on
//! the row of `kept`, and the removal of names waits for that lock.

mod label;
mod route;

use crate::PostgresStore;
use crate::error::{damaged, failed};
use crate::sql::query;
use fieldvitals_store::dimension::{Code, DimensionValue, Labels};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::load::Changed;
use fieldvitals_store::places::{Decided, Given, Stored};
use fieldvitals_store::rollup::Grain;
use fieldvitals_store::{Dimension, Name, Place, SiteId, StoreError, ViewUpdate};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

pub(crate) use label::find_labels;
pub(crate) use route::find_routes;

const NAMING: &str = "reading or writing routes and labels";

/// The names that a transaction will use. Each has the UTC day (since 1970) of its newest page view; `i32::MIN` if no
/// page view has the name any more.
#[derive(Default)]
pub(crate) struct Used<'a> {
    routes: HashMap<&'a str, i32>,
    labels: HashMap<(Dimension, &'a str), i32>,
}

impl<'a> Used<'a> {
    /// The names of changed page views, before and after the change.
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

/// Stored names of a site, as far as requested.
#[derive(Default)]
pub(crate) struct Names {
    /// The id of each route.
    pub(crate) route_ids: HashMap<String, i64>,
    /// The code of each label.
    pub(crate) labels: Labels,
    route_days: HashMap<i64, i32>,
    label_days: HashMap<(Dimension, Code), i32>,
}

/// The names that a transaction will use of one site.
pub(crate) struct Using<'a> {
    pub(crate) site: SiteId,
    pub(crate) used: Used<'a>,
    pub(crate) decided: &'a Decided,
    pub(crate) names: &'a mut Names,
}

/// A stored route or label of a site.
pub(crate) struct Found<K> {
    pub(crate) site: SiteId,
    pub(crate) name: K,
    pub(crate) stored: Stored,
}

/// Finds the used names of some sites, and moves the last day of each forward. Inserts new names with their decided
/// places, each under the first free one of its ids or codes. The sites must be in order.
///
/// Concurrent servers write the same names in the same order, so that they do not deadlock.
pub(crate) async fn use_all(
    connection: &mut PgConnection,
    sites: &mut [Using<'_>],
) -> Result<(), StoreError> {
    route::use_all(connection, sites).await?;
    label::use_all(connection, sites).await
}

/// The entry of a site among some in order.
fn of_site<'a, 'b>(sites: &'a mut [Using<'b>], site: SiteId) -> Option<&'a mut Using<'b>> {
    let place = sites.binary_search_by_key(&site, |using| using.site).ok()?;
    sites.get_mut(place)
}

impl Names {
    /// [`use_all`] of one site.
    pub(crate) async fn use_all(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        used: Used<'_>,
        decided: &Decided,
    ) -> Result<(), StoreError> {
        use_all(connection, &mut [Using { site, used, decided, names: self }]).await
    }

    /// Writes the names of another store, with their places.
    pub(crate) async fn put_all(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        all: &[Name],
    ) -> Result<(), StoreError> {
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
        self.use_all(connection, site, used, &decided).await
    }

    /// Remembers a route.
    pub(crate) fn put_route(&mut self, route: &str, stored: &Stored) {
        self.route_days.insert(stored.key, stored.last_day);
        self.route_ids.insert(route.to_owned(), stored.key);
    }

    /// Remembers a label.
    pub(crate) fn put_label(&mut self, dimension: Dimension, label: &str, stored: &Stored) {
        let code = Code::try_from(stored.key).unwrap_or_default();
        self.label_days.insert((dimension, code), stored.last_day);
        self.labels.insert(dimension, label.to_owned(), code);
    }
}

/// Places as columns of an insert or an update.
#[derive(Default)]
struct PlaceColumns {
    standings: Vec<i16>,
    networks: Vec<Option<i16>>,
    since_days: Vec<i32>,
}

impl PlaceColumns {
    fn push(&mut self, place: Place) {
        let (standing, network, since_day) = place.stored();
        self.standings.push(standing);
        self.networks.push(network);
        self.since_days.push(since_day);
    }
}

/// Reads standing, network and day, starting at a column.
pub(crate) fn place(row: &PgRow, from: usize) -> Result<Place, StoreError> {
    let read = || Ok((row.try_get(from)?, row.try_get(from + 1)?, row.try_get(from + 2)?));
    let (standing, network, since_day) = read().map_err(failed(NAMING))?;
    Ok(Place::from_stored(standing, network, since_day))
}

pub(crate) fn three<A, B, C>(row: &PgRow) -> Result<(A, B, C), StoreError>
where
    A: for<'a> sqlx::Decode<'a, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    B: for<'a> sqlx::Decode<'a, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    C: for<'a> sqlx::Decode<'a, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    read().map_err(failed(NAMING))
}

/// Reads dimension, label and code.
fn label(row: &PgRow) -> Result<(Dimension, String, Code), StoreError> {
    let (dimension, label, code): (i16, String, i32) = three(row)?;
    let dimension = u8::try_from(dimension).ok().and_then(Dimension::from_number);
    match (dimension, Code::try_from(code)) {
        (Some(dimension), Ok(code)) => Ok((dimension, label, code)),
        _ => Err(damaged(NAMING, format_args!("the label `{label}`"))),
    }
}

/// All labels of a site.
pub(crate) async fn labels(connection: &mut PgConnection, site: SiteId) -> Result<Labels, StoreError> {
    let rows = query("/* label.all */ select dimension, label, code from label where site_id = $1")
        .bind(site.0)
        .fetch_all(connection)
        .await
        .map_err(failed(NAMING))?;
    let mut labels = Labels::default();
    for row in rows {
        let (dimension, text, code) = label(&row)?;
        labels.insert(dimension, text, code);
    }
    Ok(labels)
}

/// The texts of the labels of a dimension.
pub(crate) async fn all_of(
    store: &PostgresStore,
    site: SiteId,
    dimension: Dimension,
) -> Result<Vec<String>, StoreError> {
    let mut transaction = store.read(NAMING).await?;
    let rows = query(
        "/* label.texts */ select label from label where site_id = $1 and dimension = $2 \
         order by label collate \"C\"",
    )
    .bind(site.0)
    .bind(dimension as i16)
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(NAMING))?;
    rows.iter().map(|row| row.try_get(0).map_err(failed(NAMING))).collect()
}

/// All routes of a site, by id.
pub(crate) async fn routes(
    connection: &mut PgConnection,
    site: SiteId,
) -> Result<HashMap<i64, String>, StoreError> {
    let rows = query("/* route.all */ select route_id, route from route where site_id = $1")
        .bind(site.0)
        .fetch_all(connection)
        .await
        .map_err(failed(NAMING))?;
    let pair = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(|row| pair(row).map_err(failed(NAMING))).collect()
}
