//! Finds and writes routes.

use super::{Found, NAMING, PlaceColumns, Using, of_site, place, three};
use crate::error::{damaged, failed};
use crate::sql::{alone, query};
use fieldvitals_store::places::{Changes, Stored};
use fieldvitals_store::rollup::route_id;
use fieldvitals_store::{SiteId, StoreError};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::{BTreeMap, BTreeSet};

pub(super) async fn use_all(
    connection: &mut PgConnection,
    sites: &mut [Using<'_>],
) -> Result<(), StoreError> {
    let mut missing: BTreeSet<(SiteId, &str)> = BTreeSet::new();
    for Using { site, used, names, .. } in sites.iter() {
        let unknown = used.routes.keys().filter(|route| !names.route_ids.contains_key(**route));
        missing.extend(unknown.map(|&route| (*site, route)));
    }
    find_and_put(connection, sites, &mut missing).await?;
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
        find_and_put(connection, sites, &mut missing).await?;
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

async fn find_and_put(
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
