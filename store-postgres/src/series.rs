//! Answers series: each from one state of the store, in one short transaction.

use crate::query::{self, read_views};
use crate::rows::{self, Found};
use crate::{PostgresStore, facts};
use fieldvitals_store::rollup::{Coverage, From, Per, StepAnswers, StepPlans};
use fieldvitals_store::{CellQuery, SeriesQuery, SiteId, StepCells, StoreError, limits};
use sqlx::postgres::PgConnection;
use std::ops::Range;
use vitals::metric::{Metrics, Values};

pub(crate) async fn series(store: &PostgresStore, asked: &SeriesQuery) -> Result<Vec<StepCells>, StoreError> {
    let views = &asked.views;
    let per = asked.by().map_or(Per::Total, Per::Value);
    let (mut transaction, facts) = facts::begin(store, views, per).await?;
    let connection = &mut *transaction;
    let (coverage, labels) = (&facts.coverage, &facts.labels);
    let from = From::question(views, asked.by());
    let retained = coverage.edges(views.route.is_none());
    let mut plans = StepPlans::new(asked, from, &retained);
    let nothing = plans.nothing(asked);
    let route_id = facts.route_id(views);
    if views.route.is_some() && route_id.is_none() {
        return Ok(nothing);
    }
    match from {
        From::Rollups(_) => {
            let counts = count_views(connection, views, &plans.edges(), coverage, route_id).await?;
            plans.count_edges(&counts, &retained);
            let views = plans.edge_views();
            if views > limits::SCAN_VIEWS_MAX {
                return Err(StoreError::TooManyViews { views, max: limits::SCAN_VIEWS_MAX });
            }
        }
        From::Views => query::bound(connection, views.site, &plans.period(), coverage, route_id).await?,
    }
    let scans = plans.scans();
    let Some(mut answers) = StepAnswers::new(asked, plans, coverage, route_id, labels) else {
        return Ok(nothing);
    };
    read_rollups(connection, views.site, coverage, &mut answers).await?;
    for range in scans {
        let count = |start_ms, route_id, code, weight, values: &Values| {
            answers.add_view(start_ms, route_id, code, weight, values);
        };
        read_views(connection, views, &range, route_id, (asked.by(), labels), count).await?;
    }
    Ok(answers.finish())
}

/// The page views of each range according to rollups. Ranges are rounded outwards to stored hours or days.
async fn count_views(
    connection: &mut PgConnection,
    query: &CellQuery,
    ranges: &[Range<i64>],
    coverage: &Coverage,
    route_id: Option<i64>,
) -> Result<Vec<i64>, StoreError> {
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    let query = CellQuery { metrics: Metrics::NONE, ..CellQuery::new(query.site, 0, 0) };
    let plans = StepPlans::of_rollups(&query, ranges, &coverage.edges(route_id.is_none()));
    let Some(mut answers) = StepAnswers::of_counts(&query, plans, coverage, route_id) else {
        return Ok(Vec::new());
    };
    read_rollups(connection, query.site, coverage, &mut answers).await?;
    Ok(answers.counts())
}

/// Adds the rollup rows and deltas of all steps, with one statement.
async fn read_rollups(
    connection: &mut PgConnection,
    site: SiteId,
    coverage: &Coverage,
    answers: &mut StepAnswers,
) -> Result<(), StoreError> {
    let reads = answers.plans().reads(answers.scope(), coverage);
    let (slots, deltas) = (answers.slots(), answers.plans().deltas());
    if reads.is_empty() && deltas.is_empty() {
        return Ok(());
    }
    rows::read_all(connection, site, &slots, &reads, &deltas, |found| match found {
        Found::Block(key, cells) => answers.add_block(key, cells),
        Found::Delta(hour_ms, views) => answers.add_delta(hour_ms, views),
    })
    .await
}
