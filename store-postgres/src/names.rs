//! The names of a site: its routes and labels, under the ids and codes that rows have for them.
//!
//! They are read anew in every transaction, a statement a kind: nothing is remembered between loads, so
//! no other server can make it wrong. A name that was read stays until the transaction ends, as those that
//! write with it hold the row of `kept`, which whoever removes names waits for.

use crate::error::{damaged, failed};
use crate::sql::query;
use fieldvitals_store::dimension::{Code, Labels, NO_VALUE, Said, label_code};
use fieldvitals_store::hash::{HashMap, HashSet};
use fieldvitals_store::load::{self, Changed, LabelCounts};
use fieldvitals_store::rollup::{Grain, route_id};
use fieldvitals_store::{Dimension, Kept, SiteId, StoreError, ViewUpdate};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::{BTreeMap, BTreeSet};

const NAMING: &str = "reading or writing routes and labels";

/// Names that a transaction is about to use, each with the UTC day (since 1970) of the newest page view
/// that has it; `i32::MIN` where none does any more.
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

/// Names that are stored, as far as they were asked for.
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
    /// Finds the names that are used; new ones are added, each under the first of its ids or codes that no
    /// other has, and the day of each is moved forward.
    ///
    /// Servers that write the same names at once go through them in the same order, so that they do not
    /// wait in a circle.
    pub(crate) async fn use_all(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        used: &Used<'_>,
    ) -> Result<(), StoreError> {
        self.use_routes(connection, site, &used.routes).await?;
        self.use_labels(connection, site, &used.labels).await
    }

    async fn use_routes(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        used: &HashMap<&str, i32>,
    ) -> Result<(), StoreError> {
        let unknown = used.keys().filter(|route| !self.route_ids.contains_key(**route));
        let mut missing: BTreeSet<&str> = unknown.copied().collect();
        self.find_routes(connection, site, &mut missing).await?;
        for attempt in 0..=u8::MAX {
            if missing.is_empty() {
                break;
            }
            let (ids, routes): (Vec<i64>, Vec<&str>) =
                missing.iter().map(|&route| (route_id(route, attempt), route)).unzip();
            let days: Vec<i32> = missing.iter().map(|route| used[route]).collect();
            query(
                "/* route.add */ insert into route (site_id, route_id, route, last_day) \
                 select $1, u.* from unnest($2::bigint[], $3::text[], $4::integer[]) u on conflict do nothing",
            )
            .bind(site.0)
            .bind(ids)
            .bind(routes)
            .bind(days)
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
        if later.is_empty() {
            return Ok(());
        }
        let (ids, days): (Vec<i64>, Vec<i32>) = later.iter().map(|(&id, &day)| (id, day)).unzip();
        lock(
            connection,
            "/* route.lock */ select route_id from route where site_id = $1 and route_id = any($2) \
             order by route_id for no key update",
            site,
            &ids,
        )
        .await?;
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

    async fn find_routes(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        missing: &mut BTreeSet<&str>,
    ) -> Result<(), StoreError> {
        if missing.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = missing.iter().copied().collect();
        let rows = query(
            "/* route.ids */ select route, route_id, last_day from route \
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
            self.route_ids.insert(route, id);
        }
        Ok(())
    }

    async fn use_labels(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        used: &HashMap<(Dimension, &str), i32>,
    ) -> Result<(), StoreError> {
        let unknown = used.keys().filter(|(dimension, label)| self.labels.code(*dimension, label).is_none());
        let mut missing: BTreeSet<(Dimension, &str)> = unknown.copied().collect();
        self.find_labels(connection, site, &mut missing).await?;
        for attempt in 0..=u8::MAX {
            if missing.is_empty() {
                break;
            }
            let (mut dimensions, mut codes) = (Vec::<i16>::new(), Vec::<i32>::new());
            let (mut labels, mut days) = (Vec::<&str>::new(), Vec::<i32>::new());
            for &(dimension, label) in &missing {
                let code = label_code(label, attempt);
                if code != NO_VALUE {
                    dimensions.push(dimension as i16);
                    codes.push(code.into());
                    labels.push(label);
                    days.push(used[&(dimension, label)]);
                }
            }
            query(
                "/* label.add */ insert into label (site_id, dimension, code, label, last_day) \
                 select $1, u.* from unnest($2::smallint[], $3::integer[], $4::text[], $5::integer[]) u \
                 on conflict do nothing",
            )
            .bind(site.0)
            .bind(dimensions)
            .bind(codes)
            .bind(labels)
            .bind(days)
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
        if later.is_empty() {
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
        .bind(dimensions.as_slice())
        .bind(codes.as_slice())
        .execute(&mut *connection)
        .await
        .map_err(failed(NAMING))?;
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

    async fn find_labels(
        &mut self,
        connection: &mut PgConnection,
        site: SiteId,
        missing: &mut BTreeSet<(Dimension, &str)>,
    ) -> Result<(), StoreError> {
        if missing.is_empty() {
            return Ok(());
        }
        let dimensions: Vec<i16> = missing.iter().map(|&(dimension, _)| dimension as i16).collect();
        let labels: Vec<&str> = missing.iter().map(|&(_, label)| label).collect();
        let rows = query(
            "/* label.codes */ select dimension, label, code, last_day from label where site_id = $1 \
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
            self.label_days.insert((dimension, code), row.try_get(3).map_err(failed(NAMING))?);
            self.labels.insert(dimension, label, code);
        }
        missing.retain(|(dimension, label)| self.labels.code(*dimension, label).is_none());
        Ok(())
    }
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

fn three<A, B, C>(row: &PgRow) -> Result<(A, B, C), StoreError>
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

/// Holds the site's routes and labels to their bounds, which count the names that were seen within raw
/// retention. Servers that add the last ones at the same moment may pass a bound by what one batch holds.
///
/// Gives the names that were found.
pub(crate) async fn bound(
    connection: &mut PgConnection,
    site: SiteId,
    beacons: &mut [Vec<ViewUpdate>],
    kept: &Kept,
) -> Result<Names, StoreError> {
    let oldest = Grain::Day.step(kept.views_from_ms);
    let mut names = Names::default();
    let mut new_routes = load::routes(beacons).into_iter().collect();
    names.find_routes(connection, site, &mut new_routes).await?;
    let mut new_labels = load::labels(beacons).into_iter().collect();
    names.find_labels(connection, site, &mut new_labels).await?;
    // A name that was last seen before takes a place like a new one.
    let held = |day: Option<&i32>| day.is_some_and(|&day| day >= oldest);
    let (routes_new, labels_new) = (!new_routes.is_empty(), !new_labels.is_empty());
    if routes_new || names.route_days.values().any(|&day| day < oldest) {
        let known = names.route_ids.iter().filter(|(_, id)| held(names.route_days.get(id)));
        let known: HashSet<String> = known.map(|(route, _)| route.clone()).collect();
        let count: i64 =
            query("/* route.count */ select count(*) from route where site_id = $1 and last_day >= $2")
                .bind(site.0)
                .bind(oldest)
                .fetch_one(&mut *connection)
                .await
                .and_then(|row| row.try_get(0))
                .map_err(failed(NAMING))?;
        load::bound_routes(beacons, &known, usize::try_from(count).unwrap_or(usize::MAX));
    }
    if labels_new || names.label_days.values().any(|&day| day < oldest) {
        let mut known = Labels::default();
        for dimension in Dimension::LABELLED {
            for (code, label) in names.labels.names(dimension) {
                if held(names.label_days.get(&(dimension, code))) {
                    known.insert(dimension, label.to_owned(), code);
                }
            }
        }
        let rows = query(
            "/* label.count */ select dimension, count(*), count(*) filter (where last_day >= $2) from label \
             where site_id = $1 group by dimension",
        )
        .bind(site.0)
        .bind(oldest)
        .fetch_all(connection)
        .await
        .map_err(failed(NAMING))?;
        let mut counts = LabelCounts::default();
        for row in rows {
            let (dimension, all, seen): (i16, i64, i64) = three(&row)?;
            let dimension = u8::try_from(dimension).ok().and_then(Dimension::from_number);
            if let Some(place) = dimension.map(Dimension::index) {
                counts.all[place] = usize::try_from(all).unwrap_or(usize::MAX);
                counts.seen[place] = usize::try_from(seen).unwrap_or(usize::MAX);
            }
        }
        load::bound_labels(beacons, &known, &counts, kept);
    }
    Ok(names)
}
