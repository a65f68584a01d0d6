//! Route groups: what a site's page views suggest, and what servers add by themselves. In reading order:
//!
//! - `tree`: pages as a tree of path segments
//! - `learn`: finds the groups, without IO
//! - this file: reads pages from the store
//! - `report`: the suggestions as JSON
//! - `preview`: what route rules would name
//! - `auto`: adds certain groups during maintenance
//! - `rebuild`: gives past page views the routes of the present

pub mod auto;
pub mod learn;
mod preview;
pub mod rebuild;
mod report;
mod tree;

pub use preview::{PreviewReport, RuleReport, preview};
pub use report::{ApartReport, GroupReport, PresentReport, SuggestionsReport};
pub use tree::Page;

use crate::intake::page_url::PageUrl;
use crate::intake::{route, site_route};
use crate::limits;
use fieldvitals_store::dimension::OTHER;
use fieldvitals_store::rollup::{DAY_MS, day_of};
use fieldvitals_store::scan::Scanned;
use fieldvitals_store::{Name, Site, Standing, Store, StoreError, UrlCount};
use learn::{Known, Lesson, learn};
use std::collections::HashMap;
use std::ops::Range;

/// What the page views of a site teach.
#[derive(Clone, Debug)]
pub struct Study {
    /// The period, and the sample if one was read.
    pub scanned: Scanned,
    /// Page views read.
    pub views: u64,
    /// Page views read that have the route `(other)`.
    pub other: u64,
    /// The groups.
    pub lesson: Lesson,
}

/// Returns the period that is studied: the last 30 days, which end with today.
#[must_use]
pub fn period(now_ms: i64) -> Range<i64> {
    let end_ms = day_of(now_ms).saturating_add(DAY_MS);
    end_ms.saturating_sub(limits::ROUTES_STUDIED_DAYS * DAY_MS)..end_ms
}

/// Learns from the page views of a site.
///
/// # Errors
/// Those of the store.
pub async fn study(store: &dyn Store, site: &Site, now_ms: i64) -> Result<Study, StoreError> {
    let known = known(store.names(site.id).await?);
    study_with(store, site, &known, now_ms).await
}

async fn study_with(
    store: &dyn Store,
    site: &Site,
    known: &[Known],
    now_ms: i64,
) -> Result<Study, StoreError> {
    let counts = store.urls(site.id, period(now_ms)).await?;
    let views = counts.rows.iter().map(|row| row.views).sum();
    let other = counts.rows.iter().filter(|row| row.route == OTHER).map(|row| row.views).sum();
    let lesson = learn(&pages(&counts.rows, site), views, known, &site.route_groups);
    Ok(Study { scanned: counts.scanned, views, other, lesson })
}

/// The routes that have a place, and who brought them.
fn known(names: Vec<Name>) -> Vec<Known> {
    let routes = names.into_iter().filter(|name| {
        name.dimension.is_none() && name.place.standing > Standing::None && name.text != OTHER
    });
    let known = |name: Name| Known {
        network: name.place.network.filter(|_| name.place.standing < Standing::Earned),
        route: name.text,
    };
    routes.map(known).collect()
}

/// The pages whose route follows from their URL and from no rule of the site.
fn pages(rows: &[UrlCount], site: &Site) -> Vec<Page> {
    let mut views: HashMap<String, u64> = HashMap::new();
    for row in rows {
        let Some(url) = PageUrl::read(&row.url) else { continue };
        let is_named = row.route != OTHER && !site_route::follows_from_url(&url, &row.route, site);
        if !is_named && !route::has_rule(&url, &site.routes) {
            *views.entry(route::of_path(&url)).or_default() += row.views;
        }
    }
    views.into_iter().map(|(route, views)| Page { route, views }).collect()
}
