//! Loads the batches of a pass: page views, corrections and cursors of all its sites in one transaction.
//!
//! Statements that write are about many sites, because each costs a switch to the connection's thread and back.

use crate::bulk::{Sizes, sizes};
use crate::error::{damaged, failed};
use crate::names::{Tables, json};
use crate::{SqliteStore, bulk, query, texts, version, view};
use fieldvitals_store::context::texts::TextNames;
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::load::{self, Part, days_of, ids};
use fieldvitals_store::version::{last_load_of, load_number};
use fieldvitals_store::{
    LoadBatch, LoadReport, RetentionEdges, SiteId, SpoolId, StoreError, StoredView, names, rollup,
};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use std::fmt::Write;
use vitals::view::ViewId;

const LOADING: &str = "loading beacons";
const CURSOR: &str = "reading the load cursor";

/// Inserts delta rows.
const ADD_DELTAS: Sizes = sizes!(
    "/* rollup.delta */ insert or fail into rollup_delta (site_id, hour_ms, spool, up_to, views) values ",
    "(?, ?, ?, ?, ?)"
);

/// Reads the stored page views of a load.
pub(crate) const KNOWN: &str = concat!(
    "/* view.known */ select ",
    view::columns!(),
    ", v.site_id from json_each(?1) j \
     cross join page_view v on v.site_id = j.value ->> 0 and v.id = unhex(j.value ->> 1) \
     cross join route r on r.site_id = v.site_id and r.route_id = v.route_id"
);

/// The outcome of each batch of a pass.
type Loaded = Vec<Result<LoadReport, StoreError>>;

/// The rows to write of all sites.
#[derive(Default)]
struct Rows {
    /// Stored page views to remove.
    replaced: Vec<(SiteId, ViewId)>,
    views: Vec<ViewRow>,
    deltas: Vec<DeltaRow>,
    /// Site, spool and position.
    cursors: Vec<(i64, String, i64)>,
}

struct ViewRow {
    site: SiteId,
    view: Box<StoredView>,
    route_id: i64,
    context: Option<Vec<u8>>,
}

struct DeltaRow {
    site: SiteId,
    hour_ms: i64,
    spool: SpoolId,
    up_to: i64,
    views: Vec<u8>,
}

pub(crate) async fn load(store: &SqliteStore, pass: Vec<LoadBatch>) -> Result<Loaded, StoreError> {
    let mut transaction = store.write(LOADING).await?;
    let connection = &mut *transaction;
    let (retained, mut outcomes) = begin(connection, &pass).await?;
    let sites: Vec<SiteId> = pass.iter().map(|batch| batch.site).collect();
    let mut keys: Vec<(SiteId, ViewId)> = Vec::new();
    let mut parts: Vec<Part> = Vec::new();
    for (batch, _) in pass.into_iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()) {
        keys.extend(ids(&batch).into_iter().map(|id| (batch.site, id)));
        parts.push(Part::new(batch));
    }
    let mut known = known(connection, &keys).await?;
    load::bound(&mut Tables(connection), &mut parts, &retained).await?;
    texts::bound(connection, &mut parts).await?;
    let mut reports = HashMap::default();
    for part in &mut parts {
        part.merge(known.remove(&part.site).unwrap_or_default(), &retained);
        reports.insert(part.site, part.merged.report);
    }
    // Names are written site by site in order.
    parts.sort_unstable_by_key(|part| part.site);
    let mut using: Vec<_> = parts.iter_mut().map(Part::using).collect();
    names::use_all(&mut Tables(connection), &mut using).await?;
    texts::add(connection, &mut parts).await?;
    write(connection, parts).await?;
    transaction.commit().await.map_err(failed(LOADING))?;
    for (outcome, site) in outcomes.iter_mut().zip(sites) {
        if let (Ok(outcome), Some(report)) = (outcome, reports.remove(&site)) {
            *outcome = report;
        }
    }
    Ok(outcomes)
}

impl Rows {
    fn add(&mut self, part: Part) -> Result<(), StoreError> {
        let Part { site, spool, up_to, merged, names, texts, .. } = part;
        let up_to = position(up_to)?;
        let deltas = rollup::deltas(&merged.changed, &names.route_ids, &names.labels);
        let days = days_of(&merged.changed);
        let load = load_number(spool, up_to.unsigned_abs());
        self.deltas.extend(deltas.into_iter().map(|(hour_ms, views)| DeltaRow {
            site,
            hour_ms,
            spool,
            up_to,
            views,
        }));
        for changed in merged.changed {
            self.replaced.extend(changed.before.map(|before| (site, before.update.id)));
            if let Some(view) = changed.after {
                let route_id = names.route_ids.get(&view.update.route).copied().unwrap_or_default();
                let context = texts.encode(&view.update);
                self.views.push(ViewRow { site, view, route_id, context });
            }
        }
        self.cursors.push((site.0, hex(&spool.0), up_to));
        self.cursors.extend(days.into_iter().map(|day_ms| (site.0, hex(&last_load_of(day_ms).0), load)));
        Ok(())
    }
}

async fn write(connection: &mut SqliteConnection, parts: Vec<Part>) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    parts.into_iter().try_for_each(|part| rows.add(part))?;
    move_cursors(connection, &rows.cursors).await?;
    if !rows.replaced.is_empty() {
        sqlx::query(view::REMOVE)
            .bind(key_list(&rows.replaced))
            .execute(&mut *connection)
            .await
            .map_err(failed(LOADING))?;
    }
    bulk::write(connection, &view::PUT, rows.views, |statement, row| {
        view::bind(statement, row.site, *row.view, row.route_id, row.context)
    })
    .await
    .map_err(failed(LOADING))?;
    bulk::write(connection, &ADD_DELTAS, rows.deltas, |statement, row| {
        let statement = statement.bind(row.site.0).bind(row.hour_ms).bind(row.spool.0.to_vec());
        statement.bind(row.up_to).bind(row.views)
    })
    .await
    .map_err(failed(LOADING))
}

/// Moves cursors: site, spool and position.
async fn move_cursors(
    connection: &mut SqliteConnection,
    cursors: &[(i64, String, i64)],
) -> Result<(), StoreError> {
    sqlx::query(
        "/* cursor.move */ insert into load_cursor (site_id, spool, position) \
         select value ->> 0, unhex(value ->> 1), value ->> 2 from json_each(?) where true \
         on conflict (site_id, spool) do update set position = excluded.position",
    )
    .bind(json(cursors)?)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed(LOADING))
}

fn position(position: u64) -> Result<i64, StoreError> {
    i64::try_from(position).map_err(|_| damaged(LOADING, format_args!("spool position {position}")))
}

/// Checks which sites are there and have their cursor where the caller believes it; says what is kept.
async fn begin(
    connection: &mut SqliteConnection,
    pass: &[LoadBatch],
) -> Result<(RetentionEdges, Loaded), StoreError> {
    let asked: Vec<(i64, String)> = pass.iter().map(|batch| (batch.site.0, hex(&batch.spool.0))).collect();
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "/* load.begin */ select s.site_id, coalesce(c.position, 0) from json_each(?) j \
         cross join site s on s.site_id = j.value ->> 0 \
         left join load_cursor c on c.site_id = s.site_id and c.spool = unhex(j.value ->> 1)",
    )
    .bind(json(&asked)?)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed(LOADING))?;
    let cursors: HashMap<i64, i64> = rows.into_iter().collect();
    let outcome = |batch: &LoadBatch| {
        let at = *cursors.get(&batch.site.0).ok_or(StoreError::NoSuchSite)?;
        match u64::try_from(at).unwrap_or(0) {
            at if at == batch.after => Ok(LoadReport::default()),
            at => Err(StoreError::CursorMoved { at, expected: batch.after }),
        }
    };
    Ok((query::retention_edges(connection).await?, pass.iter().map(outcome).collect()))
}

/// The stored ones of these views, by site.
pub(crate) async fn known(
    connection: &mut SqliteConnection,
    keys: &[(SiteId, ViewId)],
) -> Result<HashMap<SiteId, Vec<StoredView>>, StoreError> {
    let mut known: HashMap<SiteId, Vec<StoredView>> = HashMap::default();
    if keys.is_empty() {
        return Ok(known);
    }
    let rows =
        sqlx::query(KNOWN).bind(key_list(keys)).fetch_all(&mut *connection).await.map_err(failed(LOADING))?;
    let site_of = |row: &SqliteRow| row.try_get(view::COLUMNS).map(SiteId).map_err(failed(LOADING));
    let texts = texts::of_sites(connection, &rows, site_of).await?;
    let none = TextNames::default();
    for row in &rows {
        let site = site_of(row)?;
        let view = view::read(row, Some(texts.get(&site).unwrap_or(&none)))?;
        known.entry(site).or_default().push(view);
    }
    Ok(known)
}

/// Sites and ids as the one value that a statement takes: JSON has no bytes, so they travel as hexadecimal digits.
pub(crate) fn key_list(keys: &[(SiteId, ViewId)]) -> String {
    let mut list = String::with_capacity(keys.len() * 45 + 2);
    for (site, id) in keys {
        let separator = if list.is_empty() { '[' } else { ',' };
        let number = u128::from_be_bytes(*id.as_bytes());
        // Writing to a String cannot fail.
        let _ = write!(list, "{separator}[{},\"{number:032x}\"]", site.0);
    }
    list.push_str(if list.is_empty() { "[]" } else { "]" });
    list
}

fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

pub(crate) async fn cursor(store: &SqliteStore, site: SiteId, spool: SpoolId) -> Result<u64, StoreError> {
    let at: Option<i64> = sqlx::query_scalar(
        "/* cursor.read */ select position from load_cursor where site_id = ? and spool = ?",
    )
    .bind(site.0)
    .bind(spool.0.as_slice())
    .fetch_optional(&store.readers)
    .await
    .map_err(failed(CURSOR))?;
    Ok(at.and_then(|at| u64::try_from(at).ok()).unwrap_or(0))
}

pub(crate) async fn cursor_max(store: &SqliteStore, spool: SpoolId) -> Result<u64, StoreError> {
    let at: Option<i64> =
        sqlx::query_scalar("/* cursor.max */ select max(position) from load_cursor where spool = ?")
            .bind(spool.0.as_slice())
            .fetch_one(&store.readers)
            .await
            .map_err(failed(CURSOR))?;
    Ok(at.and_then(|at| u64::try_from(at).ok()).unwrap_or(0))
}

pub(crate) async fn cursors_forget(store: &SqliteStore, spool: SpoolId) -> Result<(), StoreError> {
    const FORGETTING: &str = "forgetting load cursors";
    let mut transaction = store.write(FORGETTING).await?;
    version::count_forgotten(&mut transaction, spool).await?;
    sqlx::query("/* cursor.forget */ delete from load_cursor where spool = ?")
        .bind(spool.0.as_slice())
        .execute(&mut *transaction)
        .await
        .map_err(failed(FORGETTING))?;
    transaction.commit().await.map_err(failed(FORGETTING))
}
