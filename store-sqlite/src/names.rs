//! The statements about names of sites: routes and labels, with their ids and codes.

use crate::SqliteStore;
use crate::error::{damaged, failed};
use async_trait::async_trait;
use fieldvitals_store::dimension::{DimensionValue, Labels};
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::names::{Asked, Found, NameKey, NameTables, NewName, Table};
use fieldvitals_store::places::Stored;
use fieldvitals_store::rollup::Grain;
use fieldvitals_store::{Dimension, Filters, Place, RetentionEdges, SiteId, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Sqlite;
use sqlx::query::QueryScalar;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use std::collections::BTreeSet;

const NAMING: &str = "reading or writing routes and labels";

/// The tables of names, in the transaction of a connection.
pub(crate) struct Tables<'a>(pub(crate) &'a mut SqliteConnection);

/// A row to insert: site, dimension, key, text, last day, standing, network, day of the standing.
type NewRow<'a> = (i64, Option<u8>, i64, &'a str, i32, i16, Option<i16>, i32);
/// A changed place: site, dimension, key, standing, network, day of the standing.
type PlaceRow = (i64, Option<u8>, i64, i16, Option<i16>, i32);
/// A stored name: site, dimension, text, key, last day, standing, network, day of the standing.
type FoundRow = (i64, Option<u8>, String, i64, i32, i16, Option<i16>, i32);

fn number(dimension: Option<Dimension>) -> Option<u8> {
    dimension.map(|dimension| dimension as u8)
}

impl Tables<'_> {
    /// Reads a text of each row that belongs to one of the sites.
    async fn texts(
        &mut self,
        asked: &'static str,
        sites: &[SiteId],
    ) -> Result<HashMap<SiteId, Vec<String>>, StoreError> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as(asked).bind(json(sites)?).fetch_all(&mut *self.0).await.map_err(failed(NAMING))?;
        let mut texts: HashMap<SiteId, Vec<String>> = sites.iter().map(|&site| (site, Vec::new())).collect();
        for (site, text) in rows {
            texts.entry(SiteId(site)).or_default().push(text);
        }
        Ok(texts)
    }
}

#[async_trait]
impl NameTables for Tables<'_> {
    async fn find(&mut self, table: Table, asked: &[Asked<'_>]) -> Result<Vec<Found>, StoreError> {
        let sql = match table {
            Table::Routes => {
                "/* route.known */ select json_group_array(json_array(r.site_id, null, r.route, r.route_id, \
                 r.last_day, r.standing, r.network, r.since_day)) from json_each(?1) j \
                 cross join route r on r.site_id = j.value ->> 0 and r.route = j.value ->> 2"
            }
            Table::Labels => {
                "/* label.known */ select json_group_array(json_array(l.site_id, l.dimension, l.label, l.code, \
                 l.last_day, l.standing, l.network, l.since_day)) from json_each(?1) j cross join label l \
                 on l.site_id = j.value ->> 0 and l.dimension = j.value ->> 1 and l.label = j.value ->> 2"
            }
        };
        let asked: Vec<(i64, Option<u8>, &str)> =
            asked.iter().map(|asked| (asked.site.0, number(asked.dimension), asked.text)).collect();
        let rows: Vec<FoundRow> = packed(self.0, sqlx::query_scalar(sql).bind(json(&asked)?)).await?;
        let found = |(site, dimension, text, key, last_day, standing, network, since_day): FoundRow| Found {
            site: SiteId(site),
            dimension: dimension.and_then(Dimension::from_number),
            text,
            stored: Stored { key, last_day, place: Place::from_stored(standing, network, since_day) },
        };
        Ok(rows.into_iter().map(found).collect())
    }

    async fn add(&mut self, table: Table, new: &[NewName<'_>]) -> Result<(), StoreError> {
        let sql = match table {
            Table::Routes => {
                "/* route.add */ insert into route (site_id, route_id, route, last_day, standing, network, since_day) \
                 select value ->> 0, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7 \
                 from json_each(?) where true on conflict (site_id, route_id) do nothing"
            }
            Table::Labels => {
                "/* label.add */ insert into label (site_id, dimension, code, label, last_day, standing, network, \
                 since_day) select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
                 value ->> 6, value ->> 7 from json_each(?) where true \
                 on conflict (site_id, dimension, code) do nothing"
            }
        };
        let row = |&NewName { key: NameKey { site, dimension, key }, text, last_day, place }| -> NewRow<'_> {
            let (standing, network, since_day) = place.stored();
            (site.0, number(dimension), key, text, last_day, standing, network, since_day)
        };
        run(self.0, sql, &new.iter().map(row).collect::<Vec<_>>()).await
    }

    async fn change(
        &mut self,
        table: Table,
        places: &[(NameKey, Place)],
        last_days: &[(NameKey, i32)],
    ) -> Result<(), StoreError> {
        let [place, seen] = match table {
            Table::Routes => [
                "/* route.place */ update route set standing = j.value ->> 3, network = j.value ->> 4, \
                 since_day = j.value ->> 5 from json_each(?) j \
                 where route.site_id = j.value ->> 0 and route.route_id = j.value ->> 2",
                "/* route.seen */ update route set last_day = j.value ->> 3 from json_each(?) j \
                 where route.site_id = j.value ->> 0 and route.route_id = j.value ->> 2 \
                 and route.last_day < j.value ->> 3",
            ],
            Table::Labels => [
                "/* label.place */ update label set standing = j.value ->> 3, network = j.value ->> 4, \
                 since_day = j.value ->> 5 from json_each(?) j where label.site_id = j.value ->> 0 \
                 and label.dimension = j.value ->> 1 and label.code = j.value ->> 2",
                "/* label.seen */ update label set last_day = j.value ->> 3 from json_each(?) j \
                 where label.site_id = j.value ->> 0 and label.dimension = j.value ->> 1 \
                 and label.code = j.value ->> 2 and label.last_day < j.value ->> 3",
            ],
        };
        let place_row = |&(NameKey { site, dimension, key }, place): &(NameKey, Place)| -> PlaceRow {
            let (standing, network, since_day) = place.stored();
            (site.0, number(dimension), key, standing, network, since_day)
        };
        run(self.0, place, &places.iter().map(place_row).collect::<Vec<_>>()).await?;
        let day_row =
            |&(NameKey { site, dimension, key }, day): &(NameKey, i32)| (site.0, number(dimension), key, day);
        run(self.0, seen, &last_days.iter().map(day_row).collect::<Vec<_>>()).await
    }

    async fn reserved_routes(
        &mut self,
        sites: &[SiteId],
    ) -> Result<HashMap<SiteId, Vec<String>>, StoreError> {
        self.texts(
            "/* route.reserved */ with s as (select s.* from json_each(?) a cross join site s on s.site_id = a.value) \
             select s.site_id, j.value from s cross join json_each(s.routes) j \
             union all select s.site_id, j.value from s cross join json_each(s.reserved) j \
             union all select s.site_id, j.value from s cross join json_each(s.route_groups, '$.groups') j \
             union all select s.site_id, j.value from s cross join json_each(s.route_groups, '$.apart') j",
            sites,
        )
        .await
    }

    async fn deployed(&mut self, sites: &[SiteId]) -> Result<HashMap<SiteId, Vec<String>>, StoreError> {
        self.texts(
            "/* deploy_mark.releases */ select d.site_id, d.release from json_each(?) a \
             cross join deploy_mark d on d.site_id = a.value",
            sites,
        )
        .await
    }

    async fn route_places(
        &mut self,
        sites: &[SiteId],
        from_day: i32,
    ) -> Result<HashMap<SiteId, Vec<Stored>>, StoreError> {
        let rows: Vec<(i64, i64, i32, i16, Option<i16>, i32)> = packed(
            self.0,
            sqlx::query_scalar(
                "/* route.places */ select json_group_array(json_array(r.site_id, r.route_id, r.last_day, \
                 r.standing, r.network, r.since_day)) \
                 from json_each(?1) a cross join route r on r.site_id = a.value and r.last_day >= ?2",
            )
            .bind(json(sites)?)
            .bind(from_day),
        )
        .await?;
        let mut seen: HashMap<SiteId, Vec<Stored>> = HashMap::default();
        for (site, key, last_day, standing, network, since_day) in rows {
            let place = Place::from_stored(standing, network, since_day);
            seen.entry(SiteId(site)).or_default().push(Stored { key, last_day, place });
        }
        Ok(seen)
    }

    async fn label_places(
        &mut self,
        asked: &[(SiteId, Dimension)],
        from_day: i32,
    ) -> Result<HashMap<(SiteId, Dimension), (usize, Vec<Stored>)>, StoreError> {
        type Row = (i64, u8, i64, i32, i16, Option<i16>, i32);
        let asked: Vec<(i64, u8)> =
            asked.iter().map(|&(site, dimension)| (site.0, dimension as u8)).collect();
        let asked = json(&asked)?;
        let counts: Vec<(i64, u8, i64)> = packed(
            self.0,
            sqlx::query_scalar(
                "/* label.count */ select json_group_array(json_array(a.value ->> 0, a.value ->> 1, (select count(*) \
                 from label l where l.site_id = a.value ->> 0 and l.dimension = a.value ->> 1))) \
                 from json_each(?) a",
            )
            .bind(&asked),
        )
        .await?;
        let mut places: HashMap<(SiteId, Dimension), (usize, Vec<Stored>)> = HashMap::default();
        for (site, number, count) in counts {
            if let Some(dimension) = Dimension::from_number(number) {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                places.insert((SiteId(site), dimension), (count, Vec::new()));
            }
        }
        let rows: Vec<Row> = packed(
            self.0,
            sqlx::query_scalar(
                "/* label.places */ select json_group_array(json_array(l.site_id, l.dimension, l.code, l.last_day, \
                 l.standing, l.network, l.since_day)) from json_each(?1) a cross join label l \
                 on l.site_id = a.value ->> 0 and l.dimension = a.value ->> 1 and l.last_day >= ?2",
            )
            .bind(&asked)
            .bind(from_day),
        )
        .await?;
        for (site, number, key, last_day, standing, network, since_day) in rows {
            let dimension = Dimension::from_number(number);
            let of_dimension = dimension.and_then(|dimension| places.get_mut(&(SiteId(site), dimension)));
            if let Some((_, seen)) = of_dimension {
                let place = Place::from_stored(standing, network, since_day);
                seen.push(Stored { key, last_day, place });
            }
        }
        Ok(places)
    }

    fn damaged(&self, which: &str) -> StoreError {
        damaged(NAMING, which)
    }
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

/// The ids of some routes, without those that the site lacks.
pub(crate) async fn route_ids(
    connection: &mut SqliteConnection,
    site: SiteId,
    routes: &BTreeSet<String>,
) -> Result<Vec<i64>, StoreError> {
    sqlx::query_scalar(
        "/* route.ids */ select r.route_id from json_each(?2) j \
         cross join route r on r.site_id = ?1 and r.route = j.value",
    )
    .bind(site.0)
    .bind(json(routes)?)
    .fetch_all(connection)
    .await
    .map_err(failed(NAMING))
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
