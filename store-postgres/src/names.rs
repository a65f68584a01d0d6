//! The names of a site: its routes and labels, with their ids and codes in rows.
//!
//! Every transaction reads names again, with one statement per kind. The store caches no names, so another server
//! cannot invalidate them. A name that a transaction has read stays until the transaction ends: writers hold a lock on
//! the row of `kept`, and the removal of names waits for that lock.

use crate::error::{damaged, failed};
use crate::sql::{Statement, alone, query};
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
    use_routes(connection, sites).await?;
    use_labels(connection, sites).await
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

async fn use_routes(connection: &mut PgConnection, sites: &mut [Using<'_>]) -> Result<(), StoreError> {
    let mut missing: BTreeSet<(SiteId, &str)> = BTreeSet::new();
    for Using { site, used, names, .. } in sites.iter() {
        let unknown = used.routes.keys().filter(|route| !names.route_ids.contains_key(**route));
        missing.extend(unknown.map(|&route| (*site, route)));
    }
    find_and_put_routes(connection, sites, &mut missing).await?;
    let mut placed = (Vec::<i64>::new(), Vec::<i64>::new(), PlaceColumns::default());
    for Using { site, used, decided, names } in sites.iter() {
        let mut places = Changes::default();
        for &route in used.routes.keys() {
            let given = decided.routes.get(route);
            match names.route_ids.get(route) {
                Some(&id) => places.put(id, given, decided),
                None => places.lose(given, decided),
            }
        }
        for (id, place) in places.iter() {
            placed.0.push(site.0);
            placed.1.push(id);
            placed.2.push(place);
        }
    }
    for attempt in 0..=u8::MAX {
        if missing.is_empty() {
            break;
        }
        let (mut ids, mut routes) = (Vec::<(i64, i64)>::new(), Vec::<&str>::new());
        let (mut days, mut columns) = (Vec::<i32>::new(), PlaceColumns::default());
        for &(site, route) in &missing {
            let Some(Using { used, decided, .. }) = of_site(sites, site) else { continue };
            ids.push((site.0, route_id(route, attempt)));
            routes.push(route);
            days.push(used.routes.get(route).copied().unwrap_or(i32::MIN));
            columns.push(decided.new_place(decided.routes.get(route), route));
        }
        let (of_sites, ids): (Vec<i64>, Vec<i64>) = ids.into_iter().unzip();
        query(
            "/* route.add */ insert into route (site_id, route_id, route, last_day, standing, network, since_day) \
             select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::integer[], $5::smallint[], \
             $6::smallint[], $7::integer[]) on conflict do nothing",
        )
        .bind(of_sites)
        .bind(ids)
        .bind(routes)
        .bind(days)
        .bind(columns.standings)
        .bind(columns.networks)
        .bind(columns.since_days)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
        find_and_put_routes(connection, sites, &mut missing).await?;
    }
    if let Some((_, route)) = missing.first() {
        return Err(damaged(NAMING, format_args!("the table of routes: every id of `{route}` is taken")));
    }
    let mut later: BTreeMap<(i64, i64), i32> = BTreeMap::new();
    for Using { site, used, names, .. } in sites.iter() {
        let ids = used.routes.iter().filter_map(|(route, &day)| Some((*names.route_ids.get(*route)?, day)));
        let later_ids = ids.filter(|(id, day)| names.route_days.get(id).is_some_and(|known| known < day));
        later.extend(later_ids.map(|(id, day)| ((site.0, id), day)));
    }
    if later.is_empty() && placed.0.is_empty() {
        return Ok(());
    }
    let mut locked: Vec<(i64, i64)> = later.keys().copied().collect();
    locked.extend(placed.0.iter().copied().zip(placed.1.iter().copied()));
    locked.sort_unstable();
    let (of_sites, ids): (Vec<i64>, Vec<i64>) = locked.into_iter().unzip();
    query(
        "/* route.lock */ select r.route_id from unnest($2::bigint[], $3::bigint[]) u (site_id, route_id) \
         cross join lateral (select r.route_id from route r where ($1::bigint is null or r.site_id = $1) \
         and r.site_id = u.site_id and r.route_id = u.route_id for no key update of r) r",
    )
    .bind(alone(&of_sites))
    .bind(of_sites)
    .bind(ids)
    .execute(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    if !placed.0.is_empty() {
        query(
            "/* route.place */ update route r set standing = u.standing, network = u.network, \
             since_day = u.since_day from unnest($2::bigint[], $3::bigint[], $4::smallint[], $5::smallint[], \
             $6::integer[]) u (site_id, route_id, standing, network, since_day) \
             where ($1::bigint is null or r.site_id = $1) and r.site_id = u.site_id and r.route_id = u.route_id",
        )
        .bind(alone(&placed.0))
        .bind(placed.0)
        .bind(placed.1)
        .bind(placed.2.standings)
        .bind(placed.2.networks)
        .bind(placed.2.since_days)
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
    }
    if later.is_empty() {
        return Ok(());
    }
    let (of_sites, ids): (Vec<i64>, Vec<i64>) = later.keys().copied().unzip();
    query(
        "/* route.seen.later */ update route r set last_day = u.last_day \
         from unnest($2::bigint[], $3::bigint[], $4::integer[]) u (site_id, route_id, last_day) \
         where ($1::bigint is null or r.site_id = $1) and r.site_id = u.site_id and r.route_id = u.route_id \
         and r.last_day < u.last_day",
    )
    .bind(alone(&of_sites))
    .bind(of_sites)
    .bind(ids)
    .bind(later.values().copied().collect::<Vec<i32>>())
    .execute(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    for ((site, id), day) in later {
        if let Some(using) = of_site(sites, SiteId(site)) {
            using.names.route_days.insert(id, day);
        }
    }
    Ok(())
}

async fn find_and_put_routes(
    connection: &mut PgConnection,
    sites: &mut [Using<'_>],
    missing: &mut BTreeSet<(SiteId, &str)>,
) -> Result<(), StoreError> {
    for Found { site, name, stored } in find_routes(connection, missing).await? {
        if let Some(using) = of_site(sites, site) {
            using.names.put_route(&name, &stored);
        }
    }
    missing.retain(|&(site, route)| {
        of_site(sites, site).is_some_and(|using| !using.names.route_ids.contains_key(route))
    });
    Ok(())
}

/// Finds the stored ones of these routes.
pub(crate) async fn find_routes(
    connection: &mut PgConnection,
    asked: &BTreeSet<(SiteId, &str)>,
) -> Result<Vec<Found<String>>, StoreError> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let (sites, texts): (Vec<i64>, Vec<&str>) = asked.iter().map(|&(site, text)| (site.0, text)).unzip();
    let rows = query(
        "/* route.ids */ select r.site_id, r.route, r.route_id, r.last_day, r.standing, r.network, r.since_day \
         from unnest($2::bigint[], $3::text[]) u (site_id, route) cross join lateral (select r.* from route r \
         where ($1::bigint is null or r.site_id = $1) and r.site_id = u.site_id and r.route = u.route offset 0) r",
    )
    .bind(alone(&sites))
    .bind(sites)
    .bind(texts)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    let found = |row: &PgRow| {
        let (site, name, key) = three(row)?;
        let last_day = row.try_get(3).map_err(failed(NAMING))?;
        Ok(Found { site: SiteId(site), name, stored: Stored { key, last_day, place: place(row, 4)? } })
    };
    rows.iter().map(found).collect()
}

async fn use_labels(connection: &mut PgConnection, sites: &mut [Using<'_>]) -> Result<(), StoreError> {
    let mut missing: BTreeSet<(SiteId, (Dimension, &str))> = BTreeSet::new();
    for Using { site, used, names, .. } in sites.iter() {
        let unknown =
            used.labels.keys().filter(|(dimension, label)| names.labels.code(*dimension, label).is_none());
        missing.extend(unknown.map(|&label| (*site, label)));
    }
    find_and_put_labels(connection, sites, &mut missing).await?;
    let mut placed = LabelKeys::default();
    let mut columns = PlaceColumns::default();
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
            for (code, place) in places[dimension.index()].iter() {
                placed.push((site.0, dimension as i16, i32::try_from(code).unwrap_or_default()));
                columns.push(place);
            }
        }
    }
    for attempt in 0..=u8::MAX {
        if missing.is_empty() {
            break;
        }
        add_labels(connection, sites, &missing, attempt).await?;
        find_and_put_labels(connection, sites, &mut missing).await?;
    }
    if let Some((_, (dimension, label))) = missing.first() {
        let dimension = dimension.name();
        return Err(damaged(
            NAMING,
            format_args!("the table of labels: every code of the {dimension} `{label}` is taken"),
        ));
    }
    let mut later: BTreeMap<(SiteId, Dimension, Code), i32> = BTreeMap::new();
    for Using { site, used, names, .. } in sites.iter() {
        let codes = used.labels.iter().filter_map(|(&(dimension, label), &day)| {
            Some(((dimension, names.labels.code(dimension, label)?), day))
        });
        let later_codes =
            codes.filter(|(code, day)| names.label_days.get(code).is_some_and(|known| known < day));
        later.extend(later_codes.map(|((dimension, code), day)| ((*site, dimension, code), day)));
    }
    if later.is_empty() && placed.sites.is_empty() {
        return Ok(());
    }
    let mut seen = LabelKeys::default();
    later.keys().for_each(|&(site, dimension, code)| seen.push((site.0, dimension as i16, code.into())));
    let mut locked: Vec<(i64, i16, i32)> = seen.iter().chain(placed.iter()).collect();
    locked.sort_unstable();
    let mut keys = LabelKeys::default();
    locked.into_iter().for_each(|key| keys.push(key));
    keys.bind(query(
        "/* label.lock */ select l.code from unnest($2::bigint[], $3::smallint[], $4::integer[]) \
         u (site_id, dimension, code) cross join lateral (select l.code from label l \
         where ($1::bigint is null or l.site_id = $1) and l.site_id = u.site_id and l.dimension = u.dimension \
         and l.code = u.code for no key update of l) l",
    ))
    .execute(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    if !placed.sites.is_empty() {
        placed
            .bind(query(
                "/* label.place */ update label l set standing = u.standing, network = u.network, \
                 since_day = u.since_day from unnest($2::bigint[], $3::smallint[], $4::integer[], $5::smallint[], \
                 $6::smallint[], $7::integer[]) u (site_id, dimension, code, standing, network, since_day) \
                 where ($1::bigint is null or l.site_id = $1) and l.site_id = u.site_id \
                 and l.dimension = u.dimension and l.code = u.code",
            ))
            .bind(columns.standings)
            .bind(columns.networks)
            .bind(columns.since_days)
            .execute(&mut *connection)
            .await
            .map_err(failed(NAMING))?;
    }
    if later.is_empty() {
        return Ok(());
    }
    seen.bind(query(
        "/* label.seen.later */ update label l set last_day = u.last_day \
         from unnest($2::bigint[], $3::smallint[], $4::integer[], $5::integer[]) u (site_id, dimension, code, last_day) \
         where ($1::bigint is null or l.site_id = $1) and l.site_id = u.site_id and l.dimension = u.dimension \
         and l.code = u.code and l.last_day < u.last_day",
    ))
    .bind(later.values().copied().collect::<Vec<i32>>())
    .execute(&mut *connection)
    .await
    .map_err(failed(NAMING))?;
    for ((site, dimension, code), day) in later {
        if let Some(using) = of_site(sites, site) {
            using.names.label_days.insert((dimension, code), day);
        }
    }
    Ok(())
}

/// Inserts labels under the codes of an attempt, if these are free.
async fn add_labels(
    connection: &mut PgConnection,
    sites: &mut [Using<'_>],
    missing: &BTreeSet<(SiteId, (Dimension, &str))>,
    attempt: u8,
) -> Result<(), StoreError> {
    let (mut of_sites, mut dimensions) = (Vec::<i64>::new(), Vec::<i16>::new());
    let (mut codes, mut labels) = (Vec::<i32>::new(), Vec::<&str>::new());
    let (mut days, mut columns) = (Vec::<i32>::new(), PlaceColumns::default());
    for &(site, (dimension, label)) in missing {
        let code = label_code(label, attempt);
        let Some(Using { used, decided, .. }) = of_site(sites, site).filter(|_| code != NO_VALUE) else {
            continue;
        };
        of_sites.push(site.0);
        dimensions.push(dimension as i16);
        codes.push(code.into());
        labels.push(label);
        days.push(used.labels.get(&(dimension, label)).copied().unwrap_or(i32::MIN));
        columns.push(decided.new_place(decided.label(dimension, label), label));
    }
    query(
        "/* label.add */ insert into label (site_id, dimension, code, label, last_day, standing, network, since_day) \
         select * from unnest($1::bigint[], $2::smallint[], $3::integer[], $4::text[], $5::integer[], \
         $6::smallint[], $7::smallint[], $8::integer[]) on conflict do nothing",
    )
    .bind(of_sites)
    .bind(dimensions)
    .bind(codes)
    .bind(labels)
    .bind(days)
    .bind(columns.standings)
    .bind(columns.networks)
    .bind(columns.since_days)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed(NAMING))
}

async fn find_and_put_labels(
    connection: &mut PgConnection,
    sites: &mut [Using<'_>],
    missing: &mut BTreeSet<(SiteId, (Dimension, &str))>,
) -> Result<(), StoreError> {
    for Found { site, name: (dimension, label), stored } in find_labels(connection, missing).await? {
        if let Some(using) = of_site(sites, site) {
            using.names.put_label(dimension, &label, &stored);
        }
    }
    missing.retain(|&(site, (dimension, label))| {
        of_site(sites, site).is_some_and(|using| using.names.labels.code(dimension, label).is_none())
    });
    Ok(())
}

/// Finds the stored ones of these labels.
pub(crate) async fn find_labels(
    connection: &mut PgConnection,
    asked: &BTreeSet<(SiteId, (Dimension, &str))>,
) -> Result<Vec<Found<(Dimension, String)>>, StoreError> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let (mut sites, mut dimensions) = (Vec::<i64>::new(), Vec::<i16>::new());
    let mut labels = Vec::<&str>::new();
    for &(site, (dimension, label)) in asked {
        sites.push(site.0);
        dimensions.push(dimension as i16);
        labels.push(label);
    }
    let rows = query(
        "/* label.codes */ select l.dimension, l.label, l.code, l.last_day, l.standing, l.network, l.since_day, \
         l.site_id from unnest($2::bigint[], $3::smallint[], $4::text[]) u (site_id, dimension, label) \
         cross join lateral (select l.* from label l where ($1::bigint is null or l.site_id = $1) \
         and l.site_id = u.site_id and l.dimension = u.dimension and l.label = u.label offset 0) l",
    )
    .bind(alone(&sites))
    .bind(sites)
    .bind(dimensions)
    .bind(labels)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))?;
    let found = |row: &PgRow| {
        let (dimension, label, code) = label(row)?;
        let last_day = row.try_get(3).map_err(failed(NAMING))?;
        let site = row.try_get(7).map_err(failed(NAMING))?;
        let stored = Stored { key: code.into(), last_day, place: place(row, 4)? };
        Ok(Found { site: SiteId(site), name: (dimension, label), stored })
    };
    rows.iter().map(found).collect()
}

/// Keys of labels as columns: site, dimension, code.
#[derive(Default)]
struct LabelKeys {
    sites: Vec<i64>,
    dimensions: Vec<i16>,
    codes: Vec<i32>,
}

impl LabelKeys {
    fn push(&mut self, (site, dimension, code): (i64, i16, i32)) {
        self.sites.push(site);
        self.dimensions.push(dimension);
        self.codes.push(code);
    }

    fn iter(&self) -> impl Iterator<Item = (i64, i16, i32)> {
        let keys = self.sites.iter().zip(&self.dimensions).zip(&self.codes);
        keys.map(|((&site, &dimension), &code)| (site, dimension, code))
    }

    /// Binds the site, if there is only one, and the columns.
    fn bind(self, statement: Statement) -> Statement {
        statement.bind(alone(&self.sites)).bind(self.sites).bind(self.dimensions).bind(self.codes)
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
