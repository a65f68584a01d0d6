//! Tests the requirements on every backend, with cases that take any [`Store`].
//!
//! A backend's tests call [`crate::conformance!`] with a function that opens a fresh, empty store; each case becomes
//! a test of its own. The last case compares random histories with the [`model`].

// This is test code, although another crate calls it.
#![allow(clippy::unwrap_used)]

mod alerts;
mod cases;
mod causes;
mod conditions;
mod contexts;
mod deploy_marks;
mod faults;
mod history;
mod model;
mod names;
mod passes;
mod periods;
mod routes;
mod scans;
mod series;
mod slow;
pub mod upgrade;
mod version;

pub use cases::releases_come_and_go;
pub use contexts::explained;
pub use faults::FaultyStore;
pub use history::random_histories;
pub use model::Model;

use crate::{
    Context, LoadBatch, LoadReport, NewSite, Senders, SiteId, Source, SpoolId, Store, StoreError, ViewUpdate,
    Weight,
};
use std::any::Any;
use std::sync::Arc;
use vitals::metric::{Metric, Value, Values};
use vitals::view::ViewId;

/// A fresh, empty store of the backend under test.
pub struct Fresh {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Resources that must outlive the store: a temporary folder, a schema that is dropped at the end.
    pub keep: Box<dyn Any + Send>,
}

/// Makes some cases of the suite tests of the calling crate: `conformance_cases!(open: tokens,)`. `open` is an `async
/// fn() -> Fresh`, or returns an `Option<Fresh>`; tests are skipped on `None`.
#[macro_export]
macro_rules! conformance_cases {
    ($fresh:path: $($case:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fresh: ::core::option::Option<$crate::conformance::Fresh> = $fresh().await.into();
                if let Some(fresh) = fresh {
                    $crate::conformance::$case(std::sync::Arc::clone(&fresh.store)).await;
                }
            }
        )+
    };
}

/// Registers cases by module: exports them, and defines `conformance!`, which makes each of them a test. The compiler
/// reports a case that is not registered as unused.
macro_rules! register {
    // `$d` is a dollar sign, for the macro that this one defines.
    (($d:tt) $($module:ident: $($case:ident),+;)+) => {
        $(pub use $module::{$($case),+};)+

        /// Makes every case of the suite a test of the calling crate: `conformance!(open)`, with an `open` of
        /// [`crate::conformance_cases!`].
        #[macro_export]
        macro_rules! conformance {
            ($d fresh:path) => {
                $crate::conformance_cases!($d fresh: $($($case,)+)+);

                #[test]
                fn random_histories() {
                    $crate::conformance::random_histories(64, || async {
                        let fresh = ::core::option::Option::<$crate::conformance::Fresh>::from($d fresh().await);
                        fresh.into_iter().collect()
                    });
                }
            };
        }
    };
}

register! {
    ($)
    alerts:
        alerts_open_once_and_end, budget_files_are_kept_by_version, digest_of_a_week_is_due_once, notices_are_due_until_delivered,
        routes_of_budgets_have_reserved_places, task_has_one_holder;
    cases:
        a_batch_of_many_views_is_read_back, a_copy_answers_as_the_original,
        a_deleted_site_takes_everything_with_it, a_load_takes_place_whole_or_not,
        a_question_beside_loads_and_maintenance_sees_one_state, a_stale_cursor_is_refused,
        a_tally_has_every_value_by_half_hours, audit_entries_are_kept_in_order, a_view_that_changes_route_leaves_its_old_cell,
        an_answer_counts_the_period_that_it_states, cells_past_retention_are_gone, concurrent_loaders_agree,
        foreign_metrics_are_joined_over_loads, labels_have_a_bound, loading_again_changes_nothing,
        odd_ranges_are_answered, releases_are_told_apart, retention_is_set_for_all_servers, rollups_are_rebuilt_beside_erasures,
        rollups_are_rebuilt_beside_loads, routes_are_any_text,
        routes_have_a_bound, servers_that_start_together_make_one_beginning, sites_and_keys, systems_are_told_apart,
        tallies_are_exact, the_page_views_of_a_route_are_found, the_same_view_on_two_sites_is_two_views, tokens,
        tokens_of_sites, updates_past_retention_change_nothing, values_are_found_by_class, violations_open_and_close;
    conditions: conditions_explain_ttfb_and_go_with_their_page_view;
    contexts:
        contexts_are_those_of_the_last_snapshot, sampled_page_views_count_as_those_they_stand_for, texts_have_a_bound;
    deploy_marks: deploy_marks_are_kept_once_a_release, time_zone_of_a_site_is_kept;
    names: copy_of_a_crowded_site_has_the_same_names, flood_of_names_keeps_no_other_name_out;
    passes:
        pass_loads_all_sites_but_those_that_it_names, pass_of_many_sites_equals_loads_of_each,
        pass_with_a_fault_changes_nothing;
    periods: parts_of_hours_are_counted_from_page_views;
    routes:
        groups_of_routes_are_kept_and_have_places, page_views_are_counted_by_url,
        page_views_get_other_routes_with_their_counts;
    scans:
        known_names_and_texts_are_listed, page_views_are_selected_by_their_context,
        sample_of_page_views_is_bounded_and_even, sample_that_reaches_its_limit_is_cut, slow_page_views_are_found_whole;
    series: steps_of_a_series_are_single_answers;
    version: what_changes_an_answer_makes_a_new_version;
}

/// The day of the cases: Thursday, 2025-11-20, 00:00 UTC.
pub const DAY0_MS: i64 = 1_763_596_800_000;

/// Adds a named site with one key.
///
/// # Panics
/// If the store refuses the site.
pub async fn site(store: &Arc<dyn Store>, name: &str) -> SiteId {
    let site = NewSite {
        name: name.to_owned(),
        key: format!("key-of-{name}"),
        origins: vec!["*".to_owned()],
        created_ms: DAY0_MS,
    };
    store.site_add(site).await.unwrap().id
}

/// Returns an update of our own collector, `seq` 1, of a view with this start, with values in the metrics' units.
#[must_use]
pub fn update(start_ms: i64, random: u128, values: &[(Metric, f64)]) -> ViewUpdate {
    let mut measured = Values::EMPTY;
    for &(metric, number) in values {
        measured.set(metric, Value::new(metric, number).ok());
    }
    ViewUpdate {
        id: ViewId::new(start_ms.unsigned_abs(), random),
        source: Source::Own { seq: 1 },
        received_ms: start_ms,
        url: "https://shop.example/".to_owned(),
        route: "/".to_owned(),
        navigation_type: None,
        device: None,
        browser: None,
        os: None,
        connection: None,
        country: None,
        release: None,
        values: measured,
        tti_gap: None,
        weight: Weight::ONE,
        context: Context::NONE,
    }
}

/// Loads beacons of one update each, from the spool with this number, at the next positions of its cursor.
///
/// # Errors
/// Those of the store.
pub async fn load(
    store: &Arc<dyn Store>,
    site: SiteId,
    spool: u8,
    updates: Vec<ViewUpdate>,
) -> Result<LoadReport, StoreError> {
    load_from(store, site, spool, updates, Senders::Unknown).await
}

/// Does the same as [`load`], with known senders.
///
/// # Errors
/// Those of the store.
pub async fn load_from(
    store: &Arc<dyn Store>,
    site: SiteId,
    spool: u8,
    updates: Vec<ViewUpdate>,
    senders: Senders,
) -> Result<LoadReport, StoreError> {
    let spool = SpoolId([spool; 16]);
    let after = store.cursor(site, spool).await?;
    let up_to = after + updates.len() as u64;
    let beacons = updates.into_iter().map(|update| vec![update]).collect();
    store.load(LoadBatch { site, spool, after, up_to, beacons, senders }).await
}

/// Returns a percentile by nearest rank; 0 if `numbers` is empty.
fn percentile(numbers: &[u32], percent: usize) -> u32 {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.get((numbers.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0)
}
