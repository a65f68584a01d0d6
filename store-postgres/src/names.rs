//! The statements about names of sites: routes and labels, with their ids and codes.
//!
//! A name that a transaction has read stays until the transaction ends: writers hold a lock on the row of `kept`, and
//! the removal of names waits for that lock. Concurrent servers write the same names in the same order, so that they do
//! not deadlock.

use crate::PostgresStore;
use crate::error::{damaged, failed};
use crate::sql::{Statement, alone, query};
use async_trait::async_trait;
use fieldvitals_store::dimension::{Code, Labels};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::names::{Asked, Found, NameKey, NameTables, NewName, Table};
use fieldvitals_store::places::Stored;
use fieldvitals_store::{Dimension, Place, SiteId, StoreError};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

const NAMING: &str = "reading or writing routes and labels";

/// The tables of names, in the transaction of a connection.
pub(crate) struct Tables<'a>(pub(crate) &'a mut PgConnection);

/// Keys as columns. The dimension of a route is 0, and no statement reads it.
#[derive(Default)]
struct KeyColumns {
    sites: Vec<i64>,
    dimensions: Vec<i16>,
    keys: Vec<i64>,
}

impl KeyColumns {
    fn of(keys: impl IntoIterator<Item = NameKey>) -> Self {
        let mut columns = Self::default();
        for NameKey { site, dimension, key } in keys {
            columns.sites.push(site.0);
            columns.dimensions.push(number(dimension));
            columns.keys.push(key);
        }
        columns
    }

    /// Binds the site, if there is only one, and the columns.
    fn bind(self, statement: Statement) -> Statement {
        statement.bind(alone(&self.sites)).bind(self.sites).bind(self.dimensions).bind(self.keys)
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
    fn of(places: impl IntoIterator<Item = Place>) -> Self {
        let mut columns = Self::default();
        for (standing, network, since_day) in places.into_iter().map(Place::stored) {
            columns.standings.push(standing);
            columns.networks.push(network);
            columns.since_days.push(since_day);
        }
        columns
    }

    fn bind(self, statement: Statement) -> Statement {
        statement.bind(self.standings).bind(self.networks).bind(self.since_days)
    }
}

fn number(dimension: Option<Dimension>) -> i16 {
    dimension.map_or(0, |dimension| dimension as i16)
}

#[async_trait]
impl NameTables for Tables<'_> {
    async fn find(&mut self, table: Table, asked: &[Asked<'_>]) -> Result<Vec<Found>, StoreError> {
        let sql = match table {
            Table::Routes => {
                "/* route.ids */ select r.site_id, null::smallint, r.route, r.route_id, r.last_day, r.standing, \
                 r.network, r.since_day from unnest($2::bigint[], $3::smallint[], $4::text[]) \
                 u (site_id, dimension, route) cross join lateral (select r.* from route r \
                 where ($1::bigint is null or r.site_id = $1) and r.site_id = u.site_id and r.route = u.route offset 0) r"
            }
            Table::Labels => {
                "/* label.codes */ select l.site_id, l.dimension, l.label, l.code::bigint, l.last_day, l.standing, \
                 l.network, l.since_day from unnest($2::bigint[], $3::smallint[], $4::text[]) \
                 u (site_id, dimension, label) cross join lateral (select l.* from label l \
                 where ($1::bigint is null or l.site_id = $1) and l.site_id = u.site_id \
                 and l.dimension = u.dimension and l.label = u.label offset 0) l"
            }
        };
        let sites: Vec<i64> = asked.iter().map(|asked| asked.site.0).collect();
        let rows = query(sql)
            .bind(alone(&sites))
            .bind(sites)
            .bind(asked.iter().map(|asked| number(asked.dimension)).collect::<Vec<i16>>())
            .bind(asked.iter().map(|asked| asked.text).collect::<Vec<&str>>())
            .fetch_all(&mut *self.0)
            .await
            .map_err(failed(NAMING))?;
        rows.iter().map(found).collect()
    }

    async fn add(&mut self, table: Table, new: &[NewName<'_>]) -> Result<(), StoreError> {
        let sql = match table {
            Table::Routes => {
                "/* route.add */ insert into route (site_id, route_id, route, last_day, standing, network, since_day) \
                 select site_id, key, route, last_day, standing, network, since_day from unnest($2::bigint[], \
                 $3::smallint[], $4::bigint[], $5::text[], $6::integer[], $7::smallint[], $8::smallint[], \
                 $9::integer[]) u (site_id, dimension, key, route, last_day, standing, network, since_day) \
                 where ($1::bigint is null or site_id = $1) on conflict do nothing"
            }
            Table::Labels => {
                "/* label.add */ insert into label (site_id, dimension, code, label, last_day, standing, network, \
                 since_day) select * from unnest($2::bigint[], $3::smallint[], $4::bigint[]::integer[], $5::text[], \
                 $6::integer[], $7::smallint[], $8::smallint[], $9::integer[]) \
                 u (site_id, dimension, code, label, last_day, standing, network, since_day) \
                 where ($1::bigint is null or site_id = $1) on conflict do nothing"
            }
        };
        let statement = KeyColumns::of(new.iter().map(|new| new.key))
            .bind(query(sql))
            .bind(new.iter().map(|new| new.text).collect::<Vec<&str>>())
            .bind(new.iter().map(|new| new.last_day).collect::<Vec<i32>>());
        let statement = PlaceColumns::of(new.iter().map(|new| new.place)).bind(statement);
        statement.execute(&mut *self.0).await.map(drop).map_err(failed(NAMING))
    }

    async fn change(
        &mut self,
        table: Table,
        places: &[(NameKey, Place)],
        last_days: &[(NameKey, i32)],
    ) -> Result<(), StoreError> {
        let [lock, place, seen] = match table {
            Table::Routes => [
                "/* route.lock */ select r.route_id from unnest($2::bigint[], $3::smallint[], $4::bigint[]) \
                 u (site_id, dimension, route_id) cross join lateral (select r.route_id from route r \
                 where ($1::bigint is null or r.site_id = $1) and r.site_id = u.site_id \
                 and r.route_id = u.route_id for no key update of r) r",
                "/* route.place */ update route r set standing = u.standing, network = u.network, \
                 since_day = u.since_day from unnest($2::bigint[], $3::smallint[], $4::bigint[], $5::smallint[], \
                 $6::smallint[], $7::integer[]) u (site_id, dimension, route_id, standing, network, since_day) \
                 where ($1::bigint is null or r.site_id = $1) and r.site_id = u.site_id and r.route_id = u.route_id",
                "/* route.seen.later */ update route r set last_day = u.last_day from unnest($2::bigint[], \
                 $3::smallint[], $4::bigint[], $5::integer[]) u (site_id, dimension, route_id, last_day) \
                 where ($1::bigint is null or r.site_id = $1) and r.site_id = u.site_id and r.route_id = u.route_id \
                 and r.last_day < u.last_day",
            ],
            Table::Labels => [
                "/* label.lock */ select l.code from unnest($2::bigint[], $3::smallint[], $4::bigint[]::integer[]) \
                 u (site_id, dimension, code) cross join lateral (select l.code from label l \
                 where ($1::bigint is null or l.site_id = $1) and l.site_id = u.site_id \
                 and l.dimension = u.dimension and l.code = u.code for no key update of l) l",
                "/* label.place */ update label l set standing = u.standing, network = u.network, \
                 since_day = u.since_day from unnest($2::bigint[], $3::smallint[], $4::bigint[]::integer[], \
                 $5::smallint[], $6::smallint[], $7::integer[]) u (site_id, dimension, code, standing, network, \
                 since_day) where ($1::bigint is null or l.site_id = $1) and l.site_id = u.site_id \
                 and l.dimension = u.dimension and l.code = u.code",
                "/* label.seen.later */ update label l set last_day = u.last_day from unnest($2::bigint[], \
                 $3::smallint[], $4::bigint[]::integer[], $5::integer[]) u (site_id, dimension, code, last_day) \
                 where ($1::bigint is null or l.site_id = $1) and l.site_id = u.site_id \
                 and l.dimension = u.dimension and l.code = u.code and l.last_day < u.last_day",
            ],
        };
        let (placed, later) = (places.iter().map(|&(key, _)| key), last_days.iter().map(|&(key, _)| key));
        let mut locked: Vec<NameKey> = placed.clone().chain(later.clone()).collect();
        locked.sort_unstable();
        let statement = KeyColumns::of(locked).bind(query(lock));
        statement.execute(&mut *self.0).await.map_err(failed(NAMING))?;
        if !places.is_empty() {
            let statement = KeyColumns::of(placed).bind(query(place));
            let statement = PlaceColumns::of(places.iter().map(|&(_, place)| place)).bind(statement);
            statement.execute(&mut *self.0).await.map_err(failed(NAMING))?;
        }
        if !last_days.is_empty() {
            let days: Vec<i32> = last_days.iter().map(|&(_, day)| day).collect();
            let statement = KeyColumns::of(later).bind(query(seen)).bind(days);
            statement.execute(&mut *self.0).await.map_err(failed(NAMING))?;
        }
        Ok(())
    }

    async fn route_rules(&mut self, sites: &[SiteId]) -> Result<HashMap<SiteId, Vec<String>>, StoreError> {
        let rows = query(
            "/* route.rules */ select site_id, jsonb_array_elements_text(routes::jsonb \
             || coalesce(route_groups::jsonb -> 'groups', '[]'::jsonb) \
             || coalesce(route_groups::jsonb -> 'apart', '[]'::jsonb)) from site where site_id = any($1)",
        )
        .bind(sites.iter().map(|site| site.0).collect::<Vec<i64>>())
        .fetch_all(&mut *self.0)
        .await
        .map_err(failed(NAMING))?;
        let mut rules: HashMap<SiteId, Vec<String>> = sites.iter().map(|&site| (site, Vec::new())).collect();
        for row in &rows {
            let read = || Ok((row.try_get(0)?, row.try_get(1)?));
            let (site, rule): (i64, String) = read().map_err(failed(NAMING))?;
            rules.entry(SiteId(site)).or_default().push(rule);
        }
        Ok(rules)
    }

    async fn route_places(
        &mut self,
        sites: &[SiteId],
        from_day: i32,
    ) -> Result<HashMap<SiteId, Vec<Stored>>, StoreError> {
        let sites: Vec<i64> = sites.iter().map(|site| site.0).collect();
        let rows = query(
            "/* route.places */ select r.route_id, r.last_day, r.standing, r.network, r.since_day, r.site_id \
             from unnest($2::bigint[]) u (site_id) cross join lateral (select r.* from route r \
             where ($1::bigint is null or r.site_id = $1) and r.site_id = u.site_id and r.last_day >= $3 offset 0) r",
        )
        .bind(alone(&sites))
        .bind(sites)
        .bind(from_day)
        .fetch_all(&mut *self.0)
        .await
        .map_err(failed(NAMING))?;
        let mut seen: HashMap<SiteId, Vec<Stored>> = HashMap::default();
        for row in &rows {
            let site = row.try_get(5).map_err(failed(NAMING))?;
            seen.entry(SiteId(site)).or_default().push(stored(row, 0)?);
        }
        Ok(seen)
    }

    async fn label_places(
        &mut self,
        asked: &[(SiteId, Dimension)],
        from_day: i32,
    ) -> Result<HashMap<(SiteId, Dimension), (usize, Vec<Stored>)>, StoreError> {
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
        .fetch_all(&mut *self.0)
        .await
        .map_err(failed(NAMING))?;
        let mut places: HashMap<(SiteId, Dimension), (usize, Vec<Stored>)> = HashMap::default();
        for row in &counts {
            let (site, dimension, count): (i64, i16, i64) = three(row)?;
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            places.insert((SiteId(site), of_number(dimension)?), (count, Vec::new()));
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
        .fetch_all(&mut *self.0)
        .await
        .map_err(failed(NAMING))?;
        for row in &seen {
            let read = || Ok((row.try_get(5)?, row.try_get(6)?));
            let (site, dimension) = read().map_err(failed(NAMING))?;
            if let Some((_, seen)) = places.get_mut(&(SiteId(site), of_number(dimension)?)) {
                seen.push(stored(row, 0)?);
            }
        }
        Ok(places)
    }

    fn damaged(&self, which: &str) -> StoreError {
        damaged(NAMING, which)
    }
}

/// Reads site, dimension, text, key, last day and place.
fn found(row: &PgRow) -> Result<Found, StoreError> {
    let (site, dimension, text): (i64, Option<i16>, String) = three(row)?;
    let dimension = dimension.map(of_number).transpose()?;
    Ok(Found { site: SiteId(site), dimension, text, stored: stored(row, 3)? })
}

fn of_number(number: i16) -> Result<Dimension, StoreError> {
    let dimension = u8::try_from(number).ok().and_then(Dimension::from_number);
    dimension.ok_or_else(|| damaged(NAMING, format_args!("dimension {number} of a label")))
}

/// Reads key, last day and place, starting at a column.
fn stored(row: &PgRow, from: usize) -> Result<Stored, StoreError> {
    let read = || Ok((row.try_get(from)?, row.try_get(from + 1)?));
    let (key, last_day) = read().map_err(failed(NAMING))?;
    Ok(Stored { key, last_day, place: place(row, from + 2)? })
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
pub(crate) fn label(row: &PgRow) -> Result<(Dimension, String, Code), StoreError> {
    let (dimension, label, code): (i16, String, i32) = three(row)?;
    let code = Code::try_from(code).map_err(|_| damaged(NAMING, format_args!("the label `{label}`")))?;
    Ok((of_number(dimension)?, label, code))
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
