//! What a question must know before it can plan its reads: retention, the days and weeks that rollups cover, and names.
//! One script begins the question's transaction and reads all of them, in one round trip.

use crate::PostgresStore;
use crate::connection::Transaction;
use crate::error::{damaged, failed};
use crate::sql::{self, Literal, Script};
use fieldvitals_store::dimension::Labels;
use fieldvitals_store::hash::HashMap;
use fieldvitals_store::rollup::{Coverage, Per};
use fieldvitals_store::{CellQuery, Dimension, Filters, RetentionEdges, SiteId, StoreError};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

const READING: &str = "reading a report";

/// The number of columns tells the rows of the statements apart.
const COVERAGE: &str = "/* question.coverage */ select views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms, \
    (select before_day from rollup_lacking where site_id = $1), \
    (select before_week from rollup_week_built where site_id = $1) from kept where one = 1";
const LABELS: &str = "/* question.labels */ select dimension, label, code from label where site_id = $1";
const ROUTES: &str = "/* question.routes */ select route_id, route from route where site_id = $1";
const ROUTE: &str =
    "/* question.route */ select route_id, route from route where site_id = $1 and route = $2";

/// The facts of a question about cells.
pub(crate) struct Facts {
    pub(crate) coverage: Coverage,
    /// The labels of the site, if the question needs any.
    pub(crate) labels: Labels,
    /// The route of the question; all routes, if the answer has cells of routes.
    pub(crate) routes: HashMap<i64, String>,
}

/// Begins the transaction of a question, and reads its facts.
pub(crate) async fn begin(
    store: &PostgresStore,
    query: &CellQuery,
    per: Per,
) -> Result<(Transaction, Facts), StoreError> {
    let site = Literal::Number(query.site.0);
    let mut script = Script::new(sql::READ).then(COVERAGE, std::slice::from_ref(&site));
    if query.filters != Filters::NONE || matches!(per, Per::Value(_)) {
        script = script.then(LABELS, std::slice::from_ref(&site));
    }
    script = match &query.route {
        Some(route) => script.then(ROUTE, &[site, Literal::Text(route)]),
        None if per == Per::Route => script.then(ROUTES, &[site]),
        None => script,
    };
    let (transaction, rows) = run(store, script, READING).await?;
    let mut facts = Facts {
        coverage: Coverage::of(RetentionEdges::EVERYTHING),
        labels: Labels::default(),
        routes: HashMap::default(),
    };
    for row in &rows {
        facts.take(row)?;
    }
    Ok((transaction, facts))
}

impl Facts {
    /// Returns the id of the question's route, if it is about one that the site has.
    pub(crate) fn route_id(&self, query: &CellQuery) -> Option<i64> {
        // The only route of the facts is that of the question.
        query.route.as_ref().and_then(|_| self.routes.keys().next().copied())
    }

    fn take(&mut self, row: &PgRow) -> Result<(), StoreError> {
        let number = |place: usize| row.try_get::<Option<i32>, _>(place).map_err(failed(READING));
        let text = || row.try_get::<String, _>(1).map_err(failed(READING));
        match row.len() {
            6 => self.coverage = Coverage::new(retained(row)?, number(4)?, number(5)?),
            3 => {
                let dimension: i16 = row.try_get(0).map_err(failed(READING))?;
                let dimension = u8::try_from(dimension).ok().and_then(Dimension::from_number);
                let code = number(2)?.and_then(|code| u16::try_from(code).ok());
                let label = text()?;
                let (Some(dimension), Some(code)) = (dimension, code) else {
                    return Err(damaged(READING, format_args!("the label `{label}`")));
                };
                self.labels.insert(dimension, label, code);
            }
            _ => drop(self.routes.insert(row.try_get(0).map_err(failed(READING))?, text()?)),
        }
        Ok(())
    }
}

/// Begins a transaction that reads, and reads the retention edges.
pub(crate) async fn begin_retained(
    store: &PostgresStore,
    what: &'static str,
) -> Result<(Transaction, RetentionEdges), StoreError> {
    let script = Script::new(sql::READ).then(
        "/* kept.read */ select views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms from kept \
         where one = 1",
        &[],
    );
    let (transaction, rows) = run(store, script, what).await?;
    let row = rows.first().ok_or_else(|| failed(what)(sqlx::Error::RowNotFound))?;
    Ok((transaction, retained(row)?))
}

/// Reads the retention edges and the load cursors of a site.
pub(crate) async fn cursors(
    store: &PostgresStore,
    site: SiteId,
    what: &'static str,
) -> Result<(RetentionEdges, Vec<PgRow>), StoreError> {
    let script = Script::new(sql::READ)
        .then(
            "/* version.kept */ select views_from_ms, hours_from_ms, site_hours_from_ms, days_from_ms from kept \
             where one = 1",
            &[],
        )
        .then(
            "/* cursor.all */ select spool, position from load_cursor where site_id = $1",
            &[Literal::Number(site.0)],
        );
    let (_, mut rows) = run(store, script, what).await?;
    if rows.is_empty() {
        return Err(failed(what)(sqlx::Error::RowNotFound));
    }
    let kept = rows.remove(0);
    Ok((retained(&kept)?, rows))
}

async fn run(
    store: &PostgresStore,
    script: Script,
    what: &'static str,
) -> Result<(Transaction, Vec<PgRow>), StoreError> {
    Transaction::begin_with(store.pools.own(), store.bounds.back, script).await.map_err(failed(what))
}

/// What is kept, from a row of its four columns.
pub(crate) fn retained(row: &PgRow) -> Result<RetentionEdges, StoreError> {
    let edge = |place: usize| row.try_get(place).map_err(failed(READING));
    Ok(RetentionEdges {
        views_from_ms: edge(0)?,
        hours_from_ms: edge(1)?,
        site_hours_from_ms: edge(2)?,
        days_from_ms: edge(3)?,
    })
}
