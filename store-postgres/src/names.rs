//! The names of a site: its routes and labels, with their ids and codes in rows.
//!
//! Every transaction reads names again, with one statement per kind. The store caches no names, so another server
//! cannot invalidate them. A name that a transaction has read stays until the transaction ends: writers hold a lock on
//! the row of `kept`, and the removal of names waits for that lock.

use crate::error::{damaged, failed};
use crate::sql::query;
use fieldvitals_store::dimension::{Code, Labels, NO_VALUE, Said, label_code};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::load::Changed;
use fieldvitals_store::places::{Changes, Decided, Given, Stored};
use fieldvitals_store::rollup::{Grain, route_id};
use fieldvitals_store::{Dimension, Name, Place, SiteId, StoreError, ViewUpdate};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::{BTreeMap, BTreeSet};

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

/// Stored names, as far as requested.
#[derive(Default)]
pub(crate) struct Names {
    /// The id of each route.
    pub(crate) route_ids: HashMap<String, i64>,
    /// The code of each label.
    pub(crate) labels: Labels,
    route_days: HashMap<i64, i32>,
    label_days: HashMap<(Dimension, Code), i32>,
}

impl Names {
    /// Finds the used names, and moves the last day of each forward. Inserts new names with their decided places, each
    /// under the first free one of its ids or codes.
    ///
    /// Concurrent servers write the same names in the same order, so that they do not deadlock.
    pub(crate) async fn use_all(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        used: &Used<'_>,
        decided: &Decided,
    ) -> Result<(), StoreError> {
        self.use_routes(connection, site, &used.routes, decided).await?;
        self.use_labels(connection, site, &used.labels, decided).await
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
        self.use_all(connection, site, &used, &decided).await
    }

    async fn use_routes(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        used: &HashMap<&str, i32>,
        decided: &Decided,
    ) -> Result<(), StoreError> {
        let unknown = used.keys().filter(|route| !self.route_ids.contains_key(**route));
        let mut missing: BTreeSet<&str> = unknown.copied().collect();
        self.find_routes(connection, site, &mut missing).await?;
        let mut places = Changes::default();
        for route in used.keys() {
            let given = decided.routes.get(*route);
            match self.route_ids.get(*route) {
                Some(&id) => places.put(id, given, decided),
                None => places.lose(given, decided),
            }
        }
        for attempt in 0..=u8::MAX {
            if missing.is_empty() {
                break;
            }
            let (ids, routes): (Vec<i64>, Vec<&str>) =
                missing.iter().map(|&route| (route_id(route, attempt), route)).unzip();
            let days: Vec<i32> = missing.iter().map(|route| used[route]).collect();
            let of = |route: &&str| decided.new_place(decided.routes.get(*route), route);
            let columns = PlaceColumns::of(missing.iter().map(of));
            query(
                "/* route.add */ insert into route (site_id, route_id, route, last_day, standing, network, since_day) \
                 select $1, u.* from unnest($2::bigint[], $3::text[], $4::integer[], $5::smallint[], $6::smallint[], \
                 $7::integer[]) u on conflict do nothing",
            )
            .bind(site.0)
            .bind(ids)
            .bind(routes)
            .bind(days)
            .bind(columns.standings)
            .bind(columns.networks)
            .bind(columns.since_days)
            .execute(&mut *connection)
            .await
            .map_err(failed(NAMING))?;
            self.find_routes(connection, site, &mut missing).await?;
        }
        if let Some(route) = missing.first() {
            return Err(damaged(NAMING, format_args!("the table of routes: every id of `{route}` is taken")));
        }
        let ids = used.iter().filter_map(|(route, &day)| Some((*self.route_ids.get(*route)?, day)));
        let later: BTreeMap<i64, i32> =
            ids.filter(|(id, day)| self.route_days.get(id).is_some_and(|known| known < day)).collect();
        if later.is_empty() && places.is_empty() {
            return Ok(());
        }
        let (ids, days): (Vec<i64>, Vec<i32>) = later.iter().map(|(&id, &day)| (id, day)).unzip();
        let placed: Vec<i64> = places.iter().map(|(id, _)| id).collect();
        lock(
            connection,
            "/* route.lock */ select route_id from route where site_id = $1 and route_id = any($2) \
             order by route_id for no key update",
            site,
            &[ids.as_slice(), placed.as_slice()].concat(),
        )
        .await?;
        if !placed.is_empty() {
            let columns = PlaceColumns::of(places.iter().map(|(_, place)| place));
            query(
                "/* route.place */ update route r set standing = u.standing, network = u.network, \
                 since_day = u.since_day from unnest($2::bigint[], $3::smallint[], $4::smallint[], $5::integer[]) \
                 u (route_id, standing, network, since_day) where r.site_id = $1 and r.route_id = u.route_id",
            )
            .bind(site.0)
            .bind(placed)
            .bind(columns.standings)
            .bind(columns.networks)
            .bind(columns.since_days)
            .execute(&mut *connection)
            .await
            .map_err(failed(NAMING))?;
        }
        query(
            "/* route.seen.later */ update route r set last_day = u.last_day \
             from unnest($2::bigint[], $3::integer[]) u (route_id, last_day) \
             where r.site_id = $1 and r.route_id = u.route_id and r.last_day < u.last_day",
        )
        .bind(site.0)
        .bind(ids)
        .bind(days)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
        self.route_days.extend(later);
        Ok(())
    }

    /// Finds routes, and removes them from `missing`.
    pub(crate) async fn find_routes(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        missing: &mut BTreeSet<&str>,
    ) -> Result<Vec<(String, Stored)>, StoreError> {
        let mut found = Vec::new();
        if missing.is_empty() {
            return Ok(found);
        }
        let texts: Vec<&str> = missing.iter().copied().collect();
        let rows = query(
            "/* route.ids */ select route, route_id, last_day, standing, network, since_day from route \
             where site_id = $1 and route = any($2)",
        )
        .bind(site.0)
        .bind(texts)
        .fetch_all(connection)
        .await
        .map_err(failed(NAMING))?;
        for row in rows {
            let (route, id, day): (String, i64, i32) = three(&row)?;
            missing.remove(route.as_str());
            self.route_days.insert(id, day);
            self.route_ids.insert(route.clone(), id);
            found.push((route, Stored { key: id, last_day: day, place: place(&row, 3)? }));
        }
        Ok(found)
    }

    async fn use_labels(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        used: &HashMap<(Dimension, &str), i32>,
        decided: &Decided,
    ) -> Result<(), StoreError> {
        let unknown = used.keys().filter(|(dimension, label)| self.labels.code(*dimension, label).is_none());
        let mut missing: BTreeSet<(Dimension, &str)> = unknown.copied().collect();
        self.find_labels(connection, site, &mut missing).await?;
        let mut places: [Changes; Dimension::COUNT] = Default::default();
        for &(dimension, label) in used.keys() {
            let given = decided.label(dimension, label);
            let places = &mut places[dimension.index()];
            match self.labels.code(dimension, label) {
                Some(code) => places.put(code.into(), given, decided),
                None => places.lose(given, decided),
            }
        }
        for attempt in 0..=u8::MAX {
            if missing.is_empty() {
                break;
            }
            let (mut dimensions, mut codes) = (Vec::<i16>::new(), Vec::<i32>::new());
            let (mut labels, mut days) = (Vec::<&str>::new(), Vec::<i32>::new());
            let mut columns = PlaceColumns::default();
            for &(dimension, label) in &missing {
                let code = label_code(label, attempt);
                if code != NO_VALUE {
                    dimensions.push(dimension as i16);
                    codes.push(code.into());
                    labels.push(label);
                    days.push(used[&(dimension, label)]);
                    columns.push(decided.new_place(decided.label(dimension, label), label));
                }
            }
            query(
                "/* label.add */ insert into label (site_id, dimension, code, label, last_day, standing, network, \
                 since_day) select $1, u.* from unnest($2::smallint[], $3::integer[], $4::text[], $5::integer[], \
                 $6::smallint[], $7::smallint[], $8::integer[]) u on conflict do nothing",
            )
            .bind(site.0)
            .bind(dimensions)
            .bind(codes)
            .bind(labels)
            .bind(days)
            .bind(columns.standings)
            .bind(columns.networks)
            .bind(columns.since_days)
            .execute(&mut *connection)
            .await
            .map_err(failed(NAMING))?;
            self.find_labels(connection, site, &mut missing).await?;
        }
        if let Some((dimension, label)) = missing.first() {
            let dimension = dimension.name();
            return Err(damaged(
                NAMING,
                format_args!("the table of labels: every code of the {dimension} `{label}` is taken"),
            ));
        }
        let codes = used.iter().filter_map(|(&(dimension, label), &day)| {
            Some(((dimension, self.labels.code(dimension, label)?), day))
        });
        let later: BTreeMap<(Dimension, Code), i32> =
            codes.filter(|(code, day)| self.label_days.get(code).is_some_and(|known| known < day)).collect();
        let places = Dimension::LABELLED.into_iter().flat_map(|dimension| {
            places[dimension.index()].iter().map(move |(code, place)| (dimension, code, place))
        });
        let mut placed = (Vec::<i16>::new(), Vec::<i32>::new(), PlaceColumns::default());
        for (dimension, code, place) in places {
            placed.0.push(dimension as i16);
            placed.1.push(i32::try_from(code).unwrap_or_default());
            placed.2.push(place);
        }
        if later.is_empty() && placed.0.is_empty() {
            return Ok(());
        }
        let dimensions: Vec<i16> = later.keys().map(|&(dimension, _)| dimension as i16).collect();
        let codes: Vec<i32> = later.keys().map(|&(_, code)| code.into()).collect();
        query(
            "/* label.lock */ select code from label where site_id = $1 \
             and (dimension, code) in (select * from unnest($2::smallint[], $3::integer[])) \
             order by dimension, code for no key update",
        )
        .bind(site.0)
        .bind([dimensions.as_slice(), placed.0.as_slice()].concat())
        .bind([codes.as_slice(), placed.1.as_slice()].concat())
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
        if !placed.0.is_empty() {
            query(
                "/* label.place */ update label l set standing = u.standing, network = u.network, \
                 since_day = u.since_day from unnest($2::smallint[], $3::integer[], $4::smallint[], $5::smallint[], \
                 $6::integer[]) u (dimension, code, standing, network, since_day) \
                 where l.site_id = $1 and l.dimension = u.dimension and l.code = u.code",
            )
            .bind(site.0)
            .bind(placed.0)
            .bind(placed.1)
            .bind(placed.2.standings)
            .bind(placed.2.networks)
            .bind(placed.2.since_days)
            .execute(&mut *connection)
            .await
            .map_err(failed(NAMING))?;
        }
        query(
            "/* label.seen.later */ update label l set last_day = u.last_day \
             from unnest($2::smallint[], $3::integer[], $4::integer[]) u (dimension, code, last_day) \
             where l.site_id = $1 and l.dimension = u.dimension and l.code = u.code \
             and l.last_day < u.last_day",
        )
        .bind(site.0)
        .bind(dimensions)
        .bind(codes)
        .bind(later.values().copied().collect::<Vec<i32>>())
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
        self.label_days.extend(later);
        Ok(())
    }

    /// Finds labels, and removes them from `missing`.
    pub(crate) async fn find_labels(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        missing: &mut BTreeSet<(Dimension, &str)>,
    ) -> Result<Vec<(Dimension, String, Stored)>, StoreError> {
        let mut found = Vec::new();
        if missing.is_empty() {
            return Ok(found);
        }
        let dimensions: Vec<i16> = missing.iter().map(|&(dimension, _)| dimension as i16).collect();
        let labels: Vec<&str> = missing.iter().map(|&(_, label)| label).collect();
        let rows = query(
            "/* label.codes */ select dimension, label, code, last_day, standing, network, since_day \
             from label where site_id = $1 \
             and (dimension, label) in (select * from unnest($2::smallint[], $3::text[]))",
        )
        .bind(site.0)
        .bind(dimensions)
        .bind(labels)
        .fetch_all(connection)
        .await
        .map_err(failed(NAMING))?;
        for row in rows {
            let (dimension, label, code) = label(&row)?;
            let last_day = row.try_get(3).map_err(failed(NAMING))?;
            self.label_days.insert((dimension, code), last_day);
            self.labels.insert(dimension, label.clone(), code);
            found.push((dimension, label, Stored { key: code.into(), last_day, place: place(&row, 4)? }));
        }
        missing.retain(|(dimension, label)| self.labels.code(*dimension, label).is_none());
        Ok(found)
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
    fn of(places: impl Iterator<Item = Place>) -> Self {
        let mut columns = Self::default();
        places.for_each(|place| columns.push(place));
        columns
    }

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

async fn lock(
    connection: &mut PgConnection,
    sql: &'static str,
    site: SiteId,
    ids: &[i64],
) -> Result<(), StoreError> {
    query(sql).bind(site.0).bind(ids).execute(connection).await.map_err(failed(NAMING))?;
    Ok(())
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
