//! What a question must know before it can plan its reads: retention, the days that rollups cover, and names. One script
//! begins the question's transaction and reads all of them, in one round trip.

use crate::connection::Transaction;
use crate::error::failed;
use crate::sql::{self, Literal, Script};
use crate::{PostgresStore, names};
use fieldvitals_store::dimension::Labels;
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::rollup::{Coverage, Per};
use fieldvitals_store::{CellQuery, RetentionEdges, SiteId, StoreError};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

const READING: &str = "reading a report";

/// What is kept: one row.
const KEPT: &str = "/* kept.read */ select views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms from kept \
    where one = 1";
/// What is kept, and what the rollups of a site cover: one row, for [`coverage`].
pub(crate) const COVERAGE: &str = "/* kept.coverage */ select views_from_ms, hours_from_ms, site_hours_from_ms, \
    days_from_ms, (select before_day from rollup_lacking where site_id = $1) from kept where one = 1";
const CURSORS: &str = "/* cursor.all */ select spool, position from load_cursor where site_id = $1";
/// The number of columns distinguishes labels from routes.
const LABELS: &str = "/* label.read */ select dimension, label, code from label where site_id = $1";
const ROUTES: &str = "/* route.read */ select route_id, route from route where site_id = $1";
const ROUTE: &str = "/* route.id */ select route_id, route from route where site_id = $1 and route = $2";

/// The facts of a question about cells.
pub(crate) struct Facts {
    pub(crate) coverage: Coverage,
    /// The labels of the site, if the question needs any.
    pub(crate) labels: Labels,
    /// The route of the question, or all routes if the answer has a cell for each route.
    pub(crate) routes: HashMap<i64, String>,
}

/// Begins the transaction of a question, and reads its facts.
pub(crate) async fn begin(
    store: &PostgresStore,
    query: &CellQuery,
    per: Per,
) -> Result<(Transaction, Facts), StoreError> {
    let site = || Literal::Number(query.site.0);
    let mut script = Script::new(sql::READ).then(COVERAGE, &[site()]);
    if query.filters.dimensions().next().is_some() || matches!(per, Per::Value(_)) {
        script = script.then(LABELS, &[site()]);
    }
    if let Some(route) = &query.route {
        script = script.then(ROUTE, &[site(), Literal::Text(route)]);
    } else if per == Per::Route {
        script = script.then(ROUTES, &[site()]);
    }
    let (transaction, rows) = run(store, script, READING).await?;
    let mut rows = rows.iter();
    let mut facts = Facts {
        coverage: coverage(rows.next().ok_or_else(|| nothing(READING))?)?,
        labels: Labels::default(),
        routes: HashMap::default(),
    };
    for row in rows {
        facts.take_name(row)?;
    }
    Ok((transaction, facts))
}

impl Facts {
    /// Returns the id of the question's route, if the site has the route.
    pub(crate) fn route_id(&self, query: &CellQuery) -> Option<i64> {
        // The only route of the facts is that of the question.
        query.route.as_ref().and_then(|_| self.routes.keys().next().copied())
    }

    /// Adds a label or a route.
    fn take_name(&mut self, row: &PgRow) -> Result<(), StoreError> {
        if row.len() == 2 {
            let route = || Ok((row.try_get(0)?, row.try_get(1)?));
            let (id, route) = route().map_err(failed(READING))?;
            self.routes.insert(id, route);
        } else {
            let (dimension, label, code) = names::label(row)?;
            self.labels.insert(dimension, label, code);
        }
        Ok(())
    }
}

/// Begins a transaction that reads, and reads the retention edges.
pub(crate) async fn begin_retained(
    store: &PostgresStore,
    what: &'static str,
) -> Result<(Transaction, RetentionEdges), StoreError> {
    let (transaction, rows) = run(store, Script::new(sql::READ).then(KEPT, &[]), what).await?;
    let retained = retained(rows.first().ok_or_else(|| nothing(what))?)?;
    Ok((transaction, retained))
}

/// Reads the retention edges and the load cursors of a site.
pub(crate) async fn cursors(
    store: &PostgresStore,
    site: SiteId,
    what: &'static str,
) -> Result<(RetentionEdges, Vec<PgRow>), StoreError> {
    let script = Script::new(sql::READ).then(KEPT, &[]).then(CURSORS, &[Literal::Number(site.0)]);
    let (_, rows) = run(store, script, what).await?;
    let mut rows = rows.into_iter();
    let kept = retained(&rows.next().ok_or_else(|| nothing(what))?)?;
    Ok((kept, rows.collect()))
}

async fn run(
    store: &PostgresStore,
    script: Script,
    what: &'static str,
) -> Result<(Transaction, Vec<PgRow>), StoreError> {
    Transaction::begin_with(store.pools.own(), store.bounds.back, script).await.map_err(failed(what))
}

/// The error of a table without its one row.
fn nothing(what: &'static str) -> StoreError {
    failed(what)(sqlx::Error::RowNotFound)
}

/// What is kept, from the first four columns of a row.
pub(crate) fn retained(row: &PgRow) -> Result<RetentionEdges, StoreError> {
    let edge = |place: usize| row.try_get(place).map_err(failed(READING));
    Ok(RetentionEdges {
        views_from_ms: edge(0)?,
        hours_from_ms: edge(1)?,
        site_hours_from_ms: edge(2)?,
        days_from_ms: edge(3)?,
    })
}

/// The days that a site's rollups cover, from a row of [`COVERAGE`].
pub(crate) fn coverage(row: &PgRow) -> Result<Coverage, StoreError> {
    let retained = retained(row)?;
    let before: Option<i32> = row.try_get(4).map_err(failed(READING))?;
    Ok(before.map_or(Coverage::of(retained), |before| Coverage::lacking(retained, before)))
}
