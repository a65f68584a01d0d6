//! Answers series: each from one state of the store, in one short transaction.

use crate::query::{self, READING, coverage, labels_of_filters, read_views};
use crate::{PostgresStore, names, rows};
use fieldvitals_store::rollup::{Coverage, From, StepAnswers, StepPlans};
use fieldvitals_store::{CellQuery, SeriesQuery, SiteId, StepCells, StoreError, limits};
use sqlx::postgres::PgConnection;
use std::ops::Range;
use vitals::metric::{Metrics, Values};

pub(crate) async fn series(store: &PostgresStore, asked: &SeriesQuery) -> Result<Vec<StepCells>, StoreError> {
    let mut transaction = store.read(READING).await?;
    let connection = &mut *transaction;
    let views = &asked.views;
    let labels = match &asked.lines {
        None => labels_of_filters(connection, views).await?,
        Some(_) => names::labels(connection, views.site).await?,
    };
    let coverage = coverage(connection, views.site).await?;
    let from = From::question(views, asked.by());
    let retained = coverage.edges(views.route.is_none());
    let mut plans = StepPlans::new(asked, from, &retained);
    let route_id = match &views.route {
        None => None,
        Some(route) => match query::route_id(connection, views.site, route).await? {
            None => return Ok(plans.nothing(asked)),
            found => found,
        },
    };
    let nothing = plans.nothing(asked);
    match from {
        From::Rollups(_) => {
            let counts = count_views(connection, views, &plans.edges(), &coverage, route_id).await?;
            plans.count_edges(&counts, &retained);
            let views = plans.edge_views();
            if views > limits::SCAN_VIEWS_MAX {
                return Err(StoreError::TooManyViews { views, max: limits::SCAN_VIEWS_MAX });
            }
        }
        From::Views => query::bound(connection, views.site, &plans.period(), &coverage, route_id).await?,
    }
    let scans = plans.scans();
    let Some(mut answers) = StepAnswers::new(asked, plans, &coverage, route_id, &labels) else {
        return Ok(nothing);
    };
    read_rollups(connection, views.site, &coverage, &mut answers).await?;
    for range in scans {
        let count = |start_ms, route_id, code, weight, values: &Values| {
            answers.add_view(start_ms, route_id, code, weight, values);
        };
        read_views(connection, views, &range, route_id, (asked.by(), &labels), count).await?;
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

/// Adds the rollup rows and deltas of all steps.
async fn read_rollups(
    connection: &mut PgConnection,
    site: SiteId,
    coverage: &Coverage,
    answers: &mut StepAnswers,
) -> Result<(), StoreError> {
    let slots = answers.slots();
    for read in answers.plans().reads(answers.scope(), coverage) {
        rows::read(connection, site, &slots, read, |key, cells| answers.add_block(key, cells)).await?;
    }
    let deltas = answers.plans().deltas();
    if deltas.is_empty() {
        return Ok(());
    }
    rows::read_deltas(connection, site, deltas, |hour_ms, views| answers.add_delta(hour_ms, views)).await
}
