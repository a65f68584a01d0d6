//! Tests how the store opens and shares a file, and how it reports a faulty one.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::{DAY0_MS, explained, load, releases_come_and_go, site, update};
use fieldvitals_store::dimension::label_code;
use fieldvitals_store::limits;
use fieldvitals_store::rollup::{
    DAY_MS, Difference, Grain, Part, Row, RowKey, Scope, Stored, blocks, from_slot, route_id, slot,
};
use fieldvitals_store::{
    AttributionMetric, CauseQuery, CellQuery, ContextProperty, Dimension, Erase, Erased, Filters, GroupBy,
    LoadBatch, MaintenancePart, Retention, Sample, Senders, SiteId, Source, SpoolId, Store, StoreError,
    ViewUpdate, Views, Weight,
};
use fieldvitals_store_sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use vitals::metric::Metric;

async fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path).await.unwrap())
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

#[tokio::test]
async fn a_file_is_created_with_its_folder_and_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let id = site(&(Arc::new(store) as Arc<dyn Store>), "a").await;
    let again = open(&path).await;
    assert_eq!(again.sites().await.unwrap()[0].id, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_open_a_new_file_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteStore::open(&path).await.map(drop) })
        })
        .collect();
    for opened in opened {
        opened.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_may_write_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let (server, command_line) = (open(&path).await, open(&path).await);
    let shop = site(&server, "shop").await;
    let loader = tokio::spawn(async move {
        for i in 0..50 {
            load(&server, shop, 1, vec![update(DAY0_MS + i, 1, &[])]).await.unwrap();
        }
        server
    });
    for i in 0..20 {
        site(&command_line, &format!("site-{i}")).await;
        command_line.maintain(DAY0_MS, Retention::default()).await.unwrap();
    }
    let server = loader.await.unwrap();
    assert_eq!(server.sites().await.unwrap().len(), 21);
    let query = CellQuery::new(shop, DAY0_MS, DAY0_MS + DAY_MS);
    assert_eq!(command_line.cells(&query).await.unwrap().rows[0].cell.views, 50);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    open(&path).await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9999, 'of the future', true, x'00', 0)",
    )
    .execute(&mut raw(&path).await)
    .await
    .unwrap();
    let refused = SqliteStore::open(&path).await.err();
    let Some(StoreError::NewerSchema { found: 9999, known }) = refused else { panic!("{refused:?}") };
    assert!(known < 9999);
    assert!(refused.unwrap().to_string().contains("install the newer release"));
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "These are not the pages of a database. ".repeat(100)).unwrap();
    let message = SqliteStore::open(&text).await.err().unwrap().to_string();
    assert!(message.contains("notes.txt") && message.contains("no store"), "{message}");
    let below_a_file = text.join("store.db");
    let message = SqliteStore::open(&below_a_file).await.err().unwrap().to_string();
    assert!(message.contains("notes.txt") && message.contains("directory"), "{message}");
}

#[tokio::test]
async fn a_route_whose_id_is_taken_gets_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    sqlx::query("insert into route (site_id, route_id, route, last_day) values (?, ?, '/squatter', 0)")
        .bind(site.0)
        .bind(route_id("/", 0))
        .execute(&mut raw(&path).await)
        .await
        .unwrap();
    let mut squatter = update(DAY0_MS, 2, &[]);
    squatter.route = "/squatter".to_owned();
    for seq in 0..2 {
        load(&store, site, seq, vec![update(DAY0_MS, 1, &[]), squatter.clone()]).await.unwrap();
        store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    }
    let found = store.cells(&CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS)).await.unwrap().rows;
    let found: Vec<_> = found.iter().map(|cell| (cell.route.as_str(), cell.cell.views)).collect();
    assert_eq!(found, [("/", 1), ("/squatter", 1)]);
    let ids: Vec<(i64,)> = sqlx::query_as("select route_id from route where route = '/'")
        .fetch_all(&mut raw(&path).await)
        .await
        .unwrap();
    assert_eq!(ids, [(route_id("/", 1),)]);
}

#[tokio::test]
async fn a_deletion_that_was_cut_short_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    let mut view = update(DAY0_MS, 1, &[]);
    view.country = Some("DE".to_owned());
    load(&store, site, 1, vec![view]).await.unwrap();
    // The state that a server leaves when it dies after the first step of a deletion.
    let mut raw = raw(&path).await;
    for sql in ["delete from site_key", "delete from site", "insert into site_deleted (site_id) values (1)"] {
        sqlx::query(sql).execute(&mut raw).await.unwrap();
    }
    assert_eq!(site, SiteId(1));
    store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from page_view) + (select count(*) from route) \
         + (select count(*) from label) + (select count(*) from rollup_delta) + (select count(*) from load_cursor) \
         + (select count(*) from site_deleted)",
    )
    .fetch_one(&mut raw)
    .await
    .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_transaction_that_sqlite_rolled_back_by_itself_does_no_further_harm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    // A full disk has the same effect on a transaction.
    sqlx::query(
        "create trigger full before insert on page_view begin select raise(rollback, 'disk full'); end",
    )
    .execute(&mut raw(&path).await)
    .await
    .unwrap();
    for _ in 0..3 {
        let refused = load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await;
        let Err(StoreError::Database { reason, .. }) = refused else { panic!("{refused:?}") };
        assert!(reason.contains("disk full"), "{reason}");
    }
    sqlx::query("drop trigger full").execute(&mut raw(&path).await).await.unwrap();
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    // Another connection sees the rows, so they are committed.
    let other = open(&path).await;
    let found = other.cells(&CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS)).await.unwrap().rows;
    assert_eq!(found[0].cell.views, 1);
}

#[tokio::test]
async fn folding_takes_any_number_of_deltas() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    // More page views than one transaction folds.
    const VIEWS: usize = limits::FOLD_VIEWS_MAX / 10;
    for hour in 0..12 {
        let at_ms = DAY0_MS + hour * 3_600_000;
        let updates = (0..VIEWS).map(|i| {
            let mut update = update(at_ms, i as u128, &[(Metric::Lcp, 1.0)]);
            update.route = format!("/{}", i % 7);
            update
        });
        load(&store, site, 1, updates.collect()).await.unwrap();
        load(&store, site, 1, vec![update(at_ms + 1, 0, &[])]).await.unwrap();
    }
    let query = CellQuery::new(site, DAY0_MS, DAY0_MS + 2 * DAY_MS);
    let before = store.cells(&query).await.unwrap().rows;
    let done = store.maintain(DAY0_MS + 2 * DAY_MS, Retention::default()).await.unwrap();
    assert_eq!(done.deltas_folded, 24);
    assert_eq!(store.cells(&query).await.unwrap().rows, before);
    assert_eq!(before.iter().map(|cell| cell.cell.views).sum::<i64>(), 12 * (VIEWS as i64 + 1));
    assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
}

#[tokio::test]
async fn a_label_whose_code_is_taken_gets_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    let country = Dimension::Country as u8;
    sqlx::query("insert into label (site_id, dimension, code, label, last_day) values (?, ?, ?, 'XX', 0)")
        .bind(site.0)
        .bind(country)
        .bind(label_code("DE", 0))
        .execute(&mut raw(&path).await)
        .await
        .unwrap();
    for (random, name) in [(1, "DE"), (2, "XX"), (3, "DE")] {
        let mut view = update(DAY0_MS, random, &[]);
        view.country = Some(name.to_owned());
        load(&store, site, 1, vec![view]).await.unwrap();
        store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    }
    let query = CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS);
    let found = store.breakdown(&query, GroupBy::Rolled(Dimension::Country)).await.unwrap().rows;
    let found: Vec<_> = found.iter().map(|one| (one.value.as_deref(), one.cell.views)).collect();
    assert_eq!(found, [(Some("DE"), 2), (Some("XX"), 1)]);
    let codes: Vec<(u16,)> = sqlx::query_as("select code from label where label = 'DE'")
        .fetch_all(&mut raw(&path).await)
        .await
        .unwrap();
    assert_eq!(codes, [(label_code("DE", 1),)]);
}

#[tokio::test]
async fn a_store_from_before_the_first_release_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    open(&path).await;
    sqlx::query("update _sqlx_migrations set checksum = x'00'").execute(&mut raw(&path).await).await.unwrap();
    let message = SqliteStore::open(&path).await.err().unwrap().to_string();
    assert!(message.contains("store.db") && message.contains("move the file away"), "{message}");
}

#[tokio::test]
async fn a_file_of_something_else_is_left_as_it_was() {
    for (journal, table) in [("wal", "spool_row"), ("delete", "site"), ("delete", "sqliteish")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut other = options.pragma("journal_mode", journal).connect().await.unwrap();
        let made = format!("create table {table} (position integer primary key)");
        sqlx::query(sql::checked(&made)).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let before = std::fs::read(&path).unwrap();
        let message = SqliteStore::open(&path).await.err().unwrap().to_string();
        assert!(message.contains("spool.db") && message.contains(&format!("a table `{table}`")), "{message}");
        assert!(message.contains("--database-url"), "{message}");
        assert!(std::fs::read(&path).unwrap() == before, "{journal} {table}");
    }
}

#[tokio::test]
async fn migrations_of_another_program_are_no_newer_schema() {
    for row in ["20230101000000, 'users'", "1, 'initial'"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let mut other =
            SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
        let made = format!(
            "create table _sqlx_migrations (version bigint primary key, description text not null, \
             success boolean not null, checksum blob not null, execution_time bigint not null); \
             insert into _sqlx_migrations values ({row}, true, x'00', 0)"
        );
        sqlx::raw_sql(sql::checked(&made)).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let before = std::fs::read(&path).unwrap();
        let message = SqliteStore::open(&path).await.err().unwrap().to_string();
        assert!(message.contains("app.db") && message.contains("another program's"), "{message}");
        assert!(!message.contains("newer release"), "{message}");
        assert!(std::fs::read(&path).unwrap() == before, "{row}");
    }
}

/// A store with a folded day of two routes and an hour that is not folded, after the damage by `sql`.
async fn damaged(path: &Path, sql: &str) -> (Arc<dyn Store>, SiteId, Vec<Difference>) {
    let store = open(path).await;
    let site = site(&store, "a").await;
    let mut views: Vec<_> =
        (0..5).map(|i| update(DAY0_MS + i, i as u128, &[(Metric::Lcp, i as f64)])).collect();
    views[0].route = "/b".to_owned();
    load(&store, site, 1, views).await.unwrap();
    store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    load(&store, site, 1, vec![update(DAY0_MS + 9, 9, &[(Metric::Lcp, 7.0)])]).await.unwrap();
    assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
    let done = sqlx::query(sql::checked(sql)).execute(&mut raw(path).await).await.unwrap();
    assert!(done.rows_affected() > 0, "{sql}");
    let found = store.verify_day(site, DAY0_MS).await.unwrap();
    assert_eq!(store.verify_day(site, DAY0_MS + DAY_MS).await.unwrap(), []);
    (store, site, found)
}

mod sql {
    /// Marks an SQL text as safe. These tests write all their texts themselves.
    pub(crate) fn checked(text: &str) -> sqlx::AssertSqlSafe<String> {
        sqlx::AssertSqlSafe(text.to_owned())
    }
}

#[tokio::test]
async fn damaged_rollups_are_found_and_mended() {
    let of_devices = slot(Dimension::Device, Part::Views);
    let of_lcp = slot(Dimension::Country, Part::Metric(Metric::Lcp));
    let block = |route| Scope::Route(route_id(route, 0)).block().unwrap();
    let b = block("/b");
    assert_ne!(b, block("/"));
    let spare = Scope::Routes.blocks().find(|spare| ![b, block("/")].contains(spare)).unwrap();
    let site_block = Scope::Site.block().unwrap();
    for (what, expected) in [
        // Deletes one page view with one LCP, at two grains in every dimension, from its route and from the site.
        ("delete from rollup_delta".to_owned(), 2 * 2 * (1 + Dimension::COUNT)),
        (format!("delete from rollup_day where slot = {of_lcp} and block = {b}"), 1),
        (format!("delete from rollup_day where slot = {of_lcp} and block = {site_block}"), 1),
        ("delete from rollup_hour".to_owned(), 6),
        // Gives the views of one route to the other one, and to the site.
        (
            format!(
                "update rollup_day set cells = (select cells from rollup_day where slot = {of_devices} \
                 and block = {b}) where slot = {of_devices} and block <> {b}"
            ),
            3,
        ),
        (
            format!(
                "insert into rollup_day select site_id, slot, step, {spare}, cells from rollup_day \
                 where block = {b}"
            ),
            2 * Dimension::COUNT,
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (store, site, found) = damaged(&directory.path().join("store.db"), &what).await;
        assert_eq!(found.len(), expected, "{what}: {found:?}");
        assert!(found.iter().all(|one| from_slot(one.key.slot).is_some() && one.stored != one.expected));
        if what.contains(&format!("{of_lcp}")) {
            let route = what.contains(&format!("block = {b}")).then_some("/b");
            assert_eq!((found[0].key.slot, found[0].route.as_deref()), (of_lcp, route));
            assert_eq!(found[0].key.route_id, route.map(|route| route_id(route, 0)));
            // One of the site's six page views is not folded.
            let counts = route.map_or((1, 6), |_| (0, 1));
            assert_eq!((found[0].stored, found[0].expected), counts);
        }
        let rebuilt = store.rebuild_day(site, DAY0_MS).await.unwrap();
        assert_eq!((rebuilt.views, rebuilt.rows), (6, 3 * 2 * (1 + Dimension::COUNT as u64)));
        assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), [], "{what}");
    }
}

#[tokio::test]
async fn rollups_that_cannot_be_read_say_how_they_are_mended() {
    for damage in [
        "update rollup_hour set cells = x'ff'",
        "update rollup_day set cells = x'ff'",
        "update rollup_delta set views = x'ff'",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let store = open(&path).await;
        let site = site(&store, "a").await;
        load(&store, site, 1, vec![update(DAY0_MS, 1, &[(Metric::Lcp, 7.0)])]).await.unwrap();
        store.maintain(DAY0_MS, Retention::default()).await.unwrap();
        load(&store, site, 1, vec![update(DAY0_MS + 9, 9, &[(Metric::Lcp, 7.0)])]).await.unwrap();
        sqlx::query(sql::checked(damage)).execute(&mut raw(&path).await).await.unwrap();
        let message = store.verify_day(site, DAY0_MS).await.unwrap_err().to_string();
        assert!(message.contains("`fieldvitals rollup rebuild`"), "{damage}: {message}");
        let query = CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS);
        if let Err(error) = store.cells(&query).await {
            assert!(error.to_string().contains("`fieldvitals rollup rebuild`"), "{damage}: {error}");
        }
        store.rebuild_day(site, DAY0_MS).await.unwrap();
        assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), [], "{damage}");
    }
}

#[tokio::test]
async fn a_scan_of_too_many_page_views_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    let exact = CellQuery { exact: true, ..CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS) };
    assert_eq!(store.cells(&exact).await.unwrap().rows.len(), 1);
    let count = limits::SCAN_VIEWS_MAX as i64 + 1;
    let many = Views { count, weight_milli: count * Weight::ONE_MILLI };
    let many = Row::Views(BTreeMap::from([(0, many)]));
    let slot = slot(Dimension::Device, Part::Views);
    let key =
        RowKey { grain: Grain::Day, slot, step: Grain::Day.step(DAY0_MS), route_id: Some(route_id("/", 0)) };
    let many = blocks(BTreeMap::from([(key, many)])).remove(0).encode(&[], Stored::Replaced).unwrap();
    sqlx::query("update rollup_day set cells = ? where slot = ?")
        .bind(many)
        .bind(slot)
        .execute(&mut raw(&path).await)
        .await
        .unwrap();
    // No visitor is from this country, so the store needs to read no page view.
    let filters = Filters { country: Some("DE".to_owned()), ..Filters::NONE };
    let nobody = CellQuery { filters, ..exact.clone() };
    assert_eq!(store.breakdown(&nobody, GroupBy::Rolled(Dimension::Browser)).await.unwrap().rows, []);
    for query in [exact.clone(), CellQuery { route: Some("/".to_owned()), ..exact.clone() }] {
        let refused = store.cells(&query).await;
        let Err(StoreError::TooManyViews { views, max }) = refused else { panic!("{refused:?}") };
        assert_eq!((views, max), (limits::SCAN_VIEWS_MAX + 1, limits::SCAN_VIEWS_MAX));
    }
    let split = store.split(&exact, &ContextProperty::Viewport).await;
    assert!(matches!(split, Err(StoreError::TooManyViews { .. })));
    // Causes are those of a sample.
    let (explained, limit, views_max) = (AttributionMetric::Lcp, 1, limits::SAMPLE_VIEWS_MAX);
    let causes = CauseQuery { views: exact.clone(), explained, limit, views_max };
    let sample = store.causes(&causes).await.unwrap().sample;
    assert_eq!(sample, Some(Sample { of: limits::SCAN_VIEWS_MAX + 1, max: views_max, is_cut: false }));
    // The store may read a shorter period.
    let hour = CellQuery { to_ms: DAY0_MS + 3_600_000, ..exact };
    assert_eq!(store.cells(&hour).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn erasing_goes_on_in_steps_and_leaves_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    let views = (0..4_500_i64).map(|i| {
        let mut view = update(DAY0_MS + i, 1, &[(Metric::Lcp, 1.0)]);
        view.route = "/p/:id".to_owned();
        view.url = format!("https://shop.example/p/{}", i % 2);
        view.context = explained(0, 0, &format!("#p{}", i % 2), "").context;
        view
    });
    load(&store, site, 1, views.collect()).await.unwrap();
    let erase =
        |url: Option<&str>| Erase { site, from_ms: i64::MIN, to_ms: i64::MAX, url: url.map(str::to_owned) };
    let of_url = erase(Some("https://shop.example/p/1"));
    let steps = [store.erase(&of_url).await.unwrap(), store.erase(&of_url).await.unwrap()];
    assert_eq!(steps.map(|step| (step.views, step.more)), [(2_000, true), (250, false)]);
    let query = CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS);
    assert_eq!(store.cells(&query).await.unwrap().rows[0].cell.views, 2_250);
    let texts = "select group_concat(text, ' ') from (select text from context_text order by text)";
    let left: String = sqlx::query_scalar(texts).fetch_one(&mut raw(&path).await).await.unwrap();
    assert_eq!(left, "#buy #p0 click free https://shop.example/hero.avif plan ready");
    store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    while store.erase(&erase(None)).await.unwrap().more {}
    store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from page_view) + (select count(*) from rollup_delta) \
         + (select count(*) from rollup_hour) + (select count(*) from rollup_day) \
         + (select count(*) from context_text) + (select count(*) from context_text_doubt)",
    )
    .fetch_one(&mut raw(&path).await)
    .await
    .unwrap();
    assert_eq!(left, 0);
    assert_eq!(store.erase(&erase(None)).await.unwrap(), Erased::default());
    let nobody = Erase { site: SiteId(999), ..erase(None) };
    assert!(matches!(store.erase(&nobody).await, Err(StoreError::NoSuchSite)));
}

#[tokio::test]
async fn texts_go_with_their_day_and_with_their_site() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let (site, gone) = (site(&store, "a").await, site(&store, "b").await);
    for (site, day) in [(site, 0), (site, 5), (gone, 5)] {
        let view = explained(DAY0_MS + day * DAY_MS, 1, "img", "");
        load(&store, site, 1, vec![view]).await.unwrap();
    }
    let days = async || -> Vec<(i64, i64)> {
        sqlx::query_as("select day, count(*) from context_text group by site_id, day order by site_id, day")
            .fetch_all(&mut raw(&path).await)
            .await
            .unwrap()
    };
    let day0 = DAY0_MS / DAY_MS;
    assert_eq!(days().await, [(day0, 7), (day0 + 5, 7), (day0 + 5, 7)]);
    store.site_delete(gone).await.unwrap();
    let retention = Retention { raw_days: 3, ..Retention::default() };
    let done = store.maintain(DAY0_MS + 6 * DAY_MS, retention).await.unwrap();
    assert_eq!((days().await, done.names_removed), (vec![(day0 + 5, 7)], 7));
}

#[tokio::test]
async fn maintenance_goes_on_past_a_site_that_fails() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let sites = [site(&store, "a").await, site(&store, "b").await, site(&store, "c").await];
    for site in sites {
        load(&store, site, 1, vec![update(DAY0_MS, 1, &[(Metric::Lcp, 900.0)])]).await.unwrap();
    }
    let mut raw = raw(&path).await;
    sqlx::query("update rollup_delta set views = x'ffff' where site_id = ?")
        .bind(sites[0].0)
        .execute(&mut raw)
        .await
        .unwrap();
    sqlx::query(
        "create trigger refuse before delete on page_view when old.site_id = 2 \
         begin select raise(abort, 'refused by a trigger'); end",
    )
    .execute(&mut raw)
    .await
    .unwrap();
    let done = store.maintain(DAY0_MS + 40 * DAY_MS, Retention::default()).await.unwrap();
    // The first site is not folded, but its old rows are removed. The second site is the reverse.
    assert_eq!((done.deltas_folded, done.views_removed), (2, 2));
    let undone: Vec<MaintenancePart> = done.undone.iter().map(|undone| undone.part).collect();
    assert_eq!(undone, [MaintenancePart::Site(sites[0]), MaintenancePart::Site(sites[1])]);
    assert!(done.undone[0].error.contains("a rollup delta"), "{:?}", done.undone);
    assert!(done.undone[1].error.contains("refused by a trigger"), "{:?}", done.undone);
    sqlx::query("drop trigger refuse").execute(&mut raw).await.unwrap();
    sqlx::query("delete from rollup_delta").execute(&mut raw).await.unwrap();
    let done = store.maintain(DAY0_MS + 40 * DAY_MS, Retention::default()).await.unwrap();
    assert_eq!((done.views_removed, done.undone), (1, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_of_releases_do_not_run_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    releases_come_and_go(store, |site, count, first, last| {
        let add = async {
            sqlx::query(
                "with recursive n (n) as (select 1 union all select n + 1 from n where n < ?3) \
                 insert into label (site_id, dimension, code, label, last_day) \
                 select ?1, ?2, n, 'old-' || n, ?4 + n * (?5 - ?4) / ?3 from n",
            )
            .bind(site.0)
            .bind(Dimension::Release as u8)
            .bind(count as i64)
            .bind(first)
            .bind(last)
            .execute(&mut raw(&path).await)
            .await
            .unwrap();
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(add));
    })
    .await;
}

/// `insert or fail` keeps the rows before the one that fails, so the store must roll the transaction back.
#[tokio::test]
async fn of_a_load_that_fails_in_the_middle_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = open(&path).await;
    let site = site(&store, "a").await;
    let views = |seq: u32, lcp: f64| {
        let view = |number| ViewUpdate {
            source: Source::Own { seq },
            ..update(DAY0_MS, number, &[(Metric::Lcp, lcp)])
        };
        (0..200).map(view).collect::<Vec<_>>()
    };
    // Stores every fourth view.
    load(&store, site, 1, views(1, 900.0).into_iter().step_by(4).collect()).await.unwrap();
    let mut raw = raw(&path).await;
    let refuse = format!(
        "create trigger refuse before insert on page_view when hex(new.id) = '{}' \
         begin select raise(fail, 'refused by a trigger'); end",
        views(1, 0.0)[101].id.to_string().replace('-', "").to_uppercase()
    );
    sqlx::query(sqlx::AssertSqlSafe(refuse)).execute(&mut raw).await.unwrap();
    let rows = async |raw: &mut SqliteConnection| -> Vec<(String, i64, Vec<u8>)> {
        sqlx::query_as(
            "select 'view', seq, id from page_view union all select 'cursor', position, spool from load_cursor \
             union all select 'delta', up_to, views from rollup_delta order by 1, 2, 3",
        )
        .fetch_all(raw)
        .await
        .unwrap()
    };
    let before = rows(&mut raw).await;
    assert_eq!(before.len(), 53);
    let error = load(&store, site, 1, views(2, 1_800.0)).await.unwrap_err().to_string();
    assert!(error.contains("refused by a trigger"), "{error}");
    assert_eq!(rows(&mut raw).await, before);
    for old in views(1, 900.0).into_iter().step_by(4) {
        assert_eq!(store.view(site, old.id).await.unwrap().unwrap().update, old);
    }
    sqlx::query("drop trigger refuse").execute(&mut raw).await.unwrap();
    let report = load(&store, site, 1, views(2, 1_800.0)).await.unwrap();
    assert_eq!((report.loaded, report.superseded), (200, 0));
    for new in views(2, 1_800.0) {
        assert_eq!(store.view(site, new.id).await.unwrap().unwrap().update, new);
    }
    let cells = store.cells(&CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS)).await.unwrap().rows;
    assert_eq!(cells.iter().map(|cell| cell.cell.views).sum::<i64>(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_and_other_writers_take_turns() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("store.db")).await;
    let site = site(&store, "a").await;
    let writing: Vec<_> = (0..8_u32)
        .map(|writer| {
            let (store, name) = (Arc::clone(&store), format!("writer {writer}"));
            tokio::spawn(async move {
                for _ in 0..200 {
                    store.site_update(site, &name, &[], &[]).await.unwrap();
                    store.cursors_forget(SpoolId([2; 16])).await.unwrap();
                }
            })
        })
        .collect();
    let mut up_to = 0;
    while writing.iter().any(|writing| !writing.is_finished()) {
        let batch = one_by_one(site, up_to, up_to + 1);
        up_to = batch.up_to;
        assert_eq!(store.load(batch).await.unwrap().loaded, 1);
    }
    for writing in writing {
        writing.await.unwrap();
    }
    assert_eq!(store.views(site, None, 10_000).await.unwrap().len() as u64, up_to);
}

/// A batch with one beacon per position, each for a view of its own.
fn one_by_one(site: SiteId, after: u64, up_to: u64) -> LoadBatch {
    let beacon = |position| vec![update(DAY0_MS, u128::from(position), &[(Metric::Lcp, 900.0)])];
    LoadBatch {
        site,
        spool: SpoolId([1; 16]),
        after,
        up_to,
        beacons: (after..up_to).map(beacon).collect(),
        senders: Senders::Unknown,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn load_dropped_at_any_moment_is_whole_or_undone_before_the_next_write() {
    const N: u64 = 400;
    const STEPS: u32 = 40;
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("store.db")).await;
    let site = site(&store, "a").await;
    let began = Instant::now();
    store.load(one_by_one(site, 0, N)).await.unwrap();
    let longest = began.elapsed();
    let (mut up_to, mut whole) = (N, 0);
    // From before the first moment until after the last one; the last load is not dropped.
    for step in 0..STEPS * 2 {
        let batch = || one_by_one(site, up_to, up_to + N);
        let moment = if step + 1 < STEPS * 2 { longest * step / STEPS } else { Duration::MAX };
        if let Ok(loaded) = timeout(moment, store.load(batch())).await {
            assert_eq!(loaded.unwrap().loaded, N);
        }
        store.site_update(site, &format!("step {step}"), &[], &[]).await.unwrap();
        let cursor = store.cursor(site, SpoolId([1; 16])).await.unwrap();
        if cursor == up_to {
            assert_eq!(store.load(batch()).await.unwrap().loaded, N);
        } else {
            assert_eq!(cursor, up_to + N);
            whole += 1;
        }
        up_to += N;
    }
    assert!(whole > 0);
    let cells = store.cells(&CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS)).await.unwrap().rows;
    assert_eq!(cells.iter().map(|cell| cell.cell.views).sum::<i64>() as u64, up_to);
    assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
}
