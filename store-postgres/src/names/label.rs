//! Finds and writes labels.

use super::{Found, NAMING, PlaceColumns, Using, label, of_site, place};
use crate::error::{damaged, failed};
use crate::sql::{Statement, alone, query};
use fieldvitals_store::dimension::{Code, NO_VALUE, label_code};
use fieldvitals_store::places::{Changes, Stored};
use fieldvitals_store::{Dimension, SiteId, StoreError};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::{BTreeMap, BTreeSet};

pub(super) async fn use_all(
    connection: &mut PgConnection,
    sites: &mut [Using<'_>],
) -> Result<(), StoreError> {
    let mut missing: BTreeSet<(SiteId, (Dimension, &str))> = BTreeSet::new();
    for Using { site, used, names, .. } in sites.iter() {
        let unknown =
            used.labels.keys().filter(|(dimension, label)| names.labels.code(*dimension, label).is_none());
        missing.extend(unknown.map(|&label| (*site, label)));
    }
    find_and_put(connection, sites, &mut missing).await?;
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
        add(connection, sites, &missing, attempt).await?;
        find_and_put(connection, sites, &mut missing).await?;
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
async fn add(
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

async fn find_and_put(
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
