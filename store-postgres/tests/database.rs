//! Tests how the store opens and shares a database, and how it reports a faulty one.

#![allow(clippy::unwrap_used)]

use fieldvitals_store::conformance::{DAY0_MS, explained, load, releases_come_and_go, site, update};
use fieldvitals_store::limits;
use fieldvitals_store::rollup::{DAY_MS, HOUR_MS, Part, route_id, slot};
use fieldvitals_store::{
    CellQuery, Dimension, Erase, LoadBatch, Loading as _, MaintenancePart, Retention, Senders, SiteId,
    Source, SpoolId, Store, StoreError,
};
use fieldvitals_store_postgres::testing::{Cluster, Database};
use fieldvitals_store_postgres::{Bounds, PostgresStore};
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::time::Duration;
use vitals::metric::Metric;
use vitals::view::ViewId;

async fn open(url: &str) -> Arc<dyn Store> {
    Arc::new(PostgresStore::open(url).await.unwrap())
}

/// Opens the database, which must fail. Returns the error message and whether the error is passing.
async fn refused(url: &str) -> (String, bool) {
    match PostgresStore::open(url).await.err() {
        Some(error @ StoreError::Database { transient, .. }) => (error.to_string(), transient),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_open_a_new_database_at_once() {
    let database = Database::empty();
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let url = database.url.clone();
            tokio::spawn(async move { PostgresStore::open(&url).await.map(drop) })
        })
        .collect();
    for opened in opened {
        opened.await.unwrap().unwrap();
    }
    assert_eq!(database.sql("select count(*) from kept"), "1");
}

#[tokio::test]
async fn database_is_reached_over_its_socket_too() {
    let cluster = Cluster::start();
    let store = open(&cluster.socket_url()).await;
    let site = site(&store, "a").await;
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    assert_eq!(cluster.sql("select count(*) from page_view"), "1");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let database = Database::migrated().await;
    let _ = database.sql(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9999, 'of the future', true, '', 0)",
    );
    let refused = PostgresStore::open(&database.url).await.err();
    let Some(StoreError::NewerSchema { found: 9999, known }) = refused else { panic!("{refused:?}") };
    assert!(known < 9999);
}

#[tokio::test]
async fn a_database_of_somebody_else_is_left_as_it_was() {
    let database = Database::empty();
    let _ = database.sql("create table violation (id integer)");
    let (message, transient) = refused(&database.url).await;
    assert!(message.contains("a database of its own") && !transient, "{message}");
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    assert_eq!(database.sql(tables), "1", "nothing of the migration stays");
}

#[tokio::test]
async fn migrations_of_another_program_are_no_newer_schema() {
    for row in ["20230101000000, 'users'", "1, 'initial'"] {
        let database = Database::empty();
        let _ = database.sql(&format!(
            "create table _sqlx_migrations (version bigint primary key, description text not null, \
             installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null, \
             execution_time bigint not null); \
             insert into _sqlx_migrations values ({row}, now(), true, '', 0)"
        ));
        let (message, transient) = refused(&database.url).await;
        assert!(message.contains("another program's") && message.contains("of its own"), "{message}");
        assert!(!transient && !message.contains("newer release"), "{message}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    for encoding in ["WIN1252", "SQL_ASCII"] {
        let database = Database::of_encoding(encoding);
        let (message, transient) = refused(&database.url).await;
        assert!(
            message.contains(encoding) && message.contains("encoding 'UTF8' template template0"),
            "{message}"
        );
        assert!(!transient);
        assert_eq!(database.sql("select to_regclass('_sqlx_migrations') is null"), "t", "nothing is made");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let database = Database::empty();
    let (message, transient) = refused("postgres://nobody@127.0.0.1:1/vitals").await;
    assert!(message.contains("127.0.0.1:1") && message.contains("is Postgres running"), "{message}");
    assert!(transient);
    let (message, transient) = refused("postgres://[").await;
    assert!(message.contains("postgres://USER:PASSWORD@HOST:PORT/NAME") && !transient, "{message}");
    assert!(database.sql("drop schema public").is_empty());
    let (message, transient) = refused(&database.url).await;
    assert!(message.contains("create schema public") && !transient, "{message}");
    assert!(!message.contains("at line"), "{message}");
    let nowhere = database.url.replace("fieldvitals_test_", "fieldvitals_nowhere_");
    let (message, transient) = refused(&nowhere).await;
    assert!(message.contains("createdb") && !transient, "{message}");
}

#[tokio::test]
async fn a_wrong_password_and_missing_rights_are_told_apart() {
    let database = Database::empty();
    // The role `guarded` belongs to the whole server, and other tests may have created it.
    let _ = database.sql(
        "do $$ begin create user guarded password 'right'; \
         exception when duplicate_object or unique_violation then null; end $$; \
         revoke create on schema public from public",
    );
    let (message, transient) = refused(&database.url_of("guarded", "right")).await;
    assert!(message.contains("grant create on schema public") && !transient, "{message}");
    // An external server (DATABASE_URL) has its own rules for passwords.
    if std::env::var_os("DATABASE_URL").is_none() {
        let (message, transient) = refused(&database.url_of("guarded", "wrong-one")).await;
        assert!(message.contains("check user and password") && !transient, "{message}");
        assert!(!message.contains("wrong-one"), "{message}");
    }
}

/// A server whose clock is ahead of the database's clock removes nothing and does not block loads.
#[tokio::test]
async fn the_database_has_a_word_on_what_is_old() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let site = site(&store, "a").await;
    let now_ms: i64 = database.sql("select (extract(epoch from now()) * 1000)::bigint").parse().unwrap();
    load(&store, site, 1, vec![update(now_ms, 1, &[(Metric::Lcp, 400.0)])]).await.unwrap();
    let done = store.maintain(now_ms + 900 * DAY_MS, Retention::default()).await.unwrap();
    assert_eq!((done.views_removed, done.rows_removed), (0, 0));
    let retained = store.retention_edges().await.unwrap();
    assert!(retained.views_from_ms < now_ms, "{retained:?}");
    load(&store, site, 2, vec![update(now_ms, 2, &[(Metric::Lcp, 400.0)])]).await.unwrap();
    assert_eq!(database.sql("select count(*) from page_view"), "2");
}

/// Two servers with their own connections update the same views in different orders, while both fold deltas. The
/// rollups must equal a recomputation from the page views. The page views must hold the newest updates.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_servers_that_update_the_same_views_leave_rollups_right() {
    const VIEWS: i64 = 60;
    const ROUNDS: i64 = 30;
    let database = Database::migrated().await;
    let servers = [open(&database.url).await, open(&database.url).await];
    let site = site(&servers[0], "a").await;
    let start = |view: i64| DAY0_MS + view % 5 * 11 * HOUR_MS;
    let servers_at_work: Vec<_> = (0_i64..)
        .zip(servers.clone())
        .map(|(number, store)| {
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    // The servers go through the views in opposite orders. Nearly every update is newer than the
                    // stored one.
                    let updates = (0..VIEWS).filter(|view| (view + round) % 3 != 0).map(|view| {
                        let view = if number == 0 { view } else { VIEWS - 1 - view };
                        let seq = round * 2 + (view + number) % 2;
                        let lcp = (view * 100 + seq * 13) as f64;
                        let mut update = update(start(view), view as u128, &[(Metric::Lcp, lcp)]);
                        update.source = Source::Own { seq: seq as u32 };
                        update.route = format!("/{}", (view + seq) % 7);
                        update
                    });
                    load(&store, site, number as u8, updates.collect()).await.unwrap();
                    if round % 5 == number {
                        store.maintain(DAY0_MS + DAY_MS, Retention::default()).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for server in servers_at_work {
        server.await.unwrap();
    }
    assert_eq!(database.sql("select count(*) from page_view"), VIEWS.to_string());
    for folded in [false, true] {
        if folded {
            servers[1].maintain(DAY0_MS + DAY_MS, Retention::default()).await.unwrap();
            assert_eq!(database.sql("select count(*) from rollup_delta"), "0");
        }
        for day_ms in servers[0].view_days(site).await.unwrap() {
            let found = servers[0].verify_day(site, day_ms).await.unwrap();
            assert_eq!(found, [], "day {day_ms}, folded {folded}");
        }
    }
    // The stored page views must hold the newest updates.
    for view in 0..VIEWS {
        let id = ViewId::new(start(view).unsigned_abs(), view as u128);
        let stored = servers[0].view(site, id).await.unwrap().unwrap().update;
        let Source::Own { seq } = stored.source else { panic!("{stored:?}") };
        assert_eq!(stored.route, format!("/{}", (view + i64::from(seq)) % 7));
    }
    let counted: i64 = servers[0]
        .cells(&CellQuery::new(site, DAY0_MS, DAY0_MS + 3 * DAY_MS))
        .await
        .unwrap()
        .rows
        .iter()
        .map(|cell| cell.cell.views)
        .sum();
    assert_eq!(counted, VIEWS);
}

/// `verify_day` finds rows that were damaged by SQL, and `rebuild_day` repairs them from the page views.
#[tokio::test]
async fn damage_is_found_and_mended() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let site = site(&store, "a").await;
    let views = |first: u128| {
        (first..first + 9).map(move |i| {
            let mut view = update(DAY0_MS + i as i64 * HOUR_MS, i, &[(Metric::Lcp, i as f64 * 100.0)]);
            view.country = Some(format!("C{}", i % 3));
            view
        })
    };
    let verify = || store.verify_day(site, DAY0_MS);
    let lcp_by_country = slot(Dimension::Country, Part::Metric(Metric::Lcp));
    for damage in [
        format!("delete from rollup_day where slot = {lcp_by_country}"),
        "delete from rollup_hour where step % 2 = 0".to_owned(),
        "update rollup_day a set cells = b.cells from rollup_day b where a.slot = 0 and b.slot = 7"
            .to_owned(),
        "delete from rollup_delta".to_owned(),
        "update rollup_hour set cells = '\\xff'".to_owned(),
        "update rollup_day set cells = '\\xff'".to_owned(),
        "update rollup_delta set views = '\\xff'".to_owned(),
        format!("delete from page_view where id < page_view_first_id({})", DAY0_MS + HOUR_MS),
    ] {
        load(&store, site, 1, views(0).collect()).await.unwrap();
        store.maintain(DAY0_MS + DAY_MS, Retention::default()).await.unwrap();
        load(&store, site, 1, views(9).collect()).await.unwrap();
        assert_eq!(verify().await.unwrap(), [], "before: {damage}");
        let _ = database.sql(&damage);
        match verify().await {
            Ok(found) => {
                assert!(!found.is_empty() && !damage.contains("xff"), "{damage}");
                for one in &found {
                    let route = one.key.route_id.map(|_| "/");
                    assert_eq!(one.route.as_deref(), route, "{damage}: {found:?}");
                }
            }
            Err(error) => {
                assert!(error.to_string().contains("`fieldvitals rollup rebuild`"), "{damage}: {error}");
            }
        }
        let rebuilt = store.rebuild_day(site, DAY0_MS).await.unwrap();
        assert!(rebuilt.views >= 17 && rebuilt.rows > 0, "{damage}: {rebuilt:?}");
        assert_eq!(verify().await.unwrap(), [], "after: {damage}");
        let everything = Erase { site, from_ms: 0, to_ms: i64::MAX, url: None };
        while store.erase(&everything).await.unwrap().more {}
        store.maintain(DAY0_MS + DAY_MS, Retention::default()).await.unwrap();
        let left = "select (select count(*) from page_view) + (select count(*) from rollup_day) \
                    + (select count(*) from rollup_hour) + (select count(*) from rollup_delta)";
        assert_eq!(database.sql(left), "0", "{damage}");
    }
}

/// The existing partitions, as days relative to `DAY0_MS`.
fn days(database: &Database) -> Vec<i64> {
    let days = database.sql("select day from page_view_days() day order by day");
    days.lines().map(|day| (day.parse::<i64>().unwrap() - DAY0_MS) / DAY_MS).collect()
}

#[tokio::test]
async fn partitions_are_made_ahead_and_on_demand_and_dropped() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let site = site(&store, "a").await;
    assert!(days(&database).is_empty());
    load(&store, site, 1, vec![update(DAY0_MS - 5 * DAY_MS, 1, &[])]).await.unwrap();
    assert_eq!(days(&database), [-5]);
    store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    assert_eq!(days(&database), [-5, -2, -1, 0, 1, 2, 3]);
    let retention = Retention { raw_days: 1, ..Retention::default() };
    let done = store.maintain(DAY0_MS, retention).await.unwrap();
    assert_eq!((done.views_removed, days(&database)), (1, vec![-1, 0, 1, 2, 3]));
    // The store creates a partition again that another server dropped after a jump of its clock.
    let _ = database.sql(&format!("select page_view_day_drop({DAY0_MS})"));
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    assert_eq!(database.sql("select count(*) from page_view"), "1");
}

#[tokio::test]
async fn maintenance_is_of_one_server_at_a_time() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let site = site(&store, "a").await;
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    let lease = |until: &str| {
        database.sql(&format!(
            "update maintenance_claim set until = {until}, holder = '00000000-0000-0000-0000-000000000001'"
        ))
    };
    let _ = lease("now() + interval '1 hour'");
    let done = store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    assert!(done.elsewhere && done.deltas_folded == 0, "{done:?}");
    // The server of the lease died; the lease has expired.
    let _ = lease("now() - interval '1 second'");
    assert_eq!(store.maintain(DAY0_MS, Retention::default()).await.unwrap().deltas_folded, 1);
}

#[tokio::test]
async fn a_route_whose_id_is_taken_gets_the_next_one() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let site = site(&store, "a").await;
    let id = route_id("/", 0);
    let _ = database.sql(&format!(
        "insert into route (site_id, route_id, route, last_day) values ({}, {id}, '/squatter', 0)",
        site.0
    ));
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    assert_eq!(database.sql("select route_id from route where route = '/'"), route_id("/", 1).to_string());
}

#[tokio::test]
async fn a_deletion_that_was_cut_short_is_finished() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    assert_eq!(site(&store, "a").await, SiteId(1));
    load(&store, SiteId(1), 1, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    // The state that a server leaves when it dies after the first step of a deletion.
    let _ =
        database.sql("delete from site_key; delete from site; insert into site_deleted (site_id) values (1)");
    store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    let left = "select (select count(*) from page_view) + (select count(*) from route) \
                + (select count(*) from label) + (select count(*) from rollup_delta) + (select count(*) from load_cursor) \
                + (select count(*) from site_deleted)";
    assert_eq!(database.sql(left), "0");
}

#[tokio::test]
async fn texts_go_with_the_last_page_view_that_has_them() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let (site, gone) = (site(&store, "a").await, site(&store, "b").await);
    for (site, day, target) in [(site, 0, "#old"), (site, 5, "#p0"), (site, 5, "#p1"), (gone, 5, "#p0")] {
        let mut view = explained(DAY0_MS + day * DAY_MS, u128::from(target == "#p1"), target, "");
        view.url = format!("https://shop.example/{target}");
        load(&store, site, 1, vec![view]).await.unwrap();
    }
    let texts = |site: SiteId| {
        let sql = "select coalesce(string_agg(text, ' ' order by day, text), '') from context_text where site_id = ";
        database.sql(&format!("{sql}{}", site.0))
    };
    let rest = |targets: &str| format!("#buy {targets} click free https://shop.example/hero.avif plan ready");
    assert_eq!(texts(site), format!("{} {}", rest("#old"), rest("#p0 #p1")));
    let url = Some("https://shop.example/#p1".to_owned());
    let erase = Erase { site, from_ms: i64::MIN, to_ms: i64::MAX, url };
    assert_eq!(store.erase(&erase).await.unwrap().views, 1);
    assert!(!store.erase(&erase).await.unwrap().more, "texts go in one call, where that is short");
    assert_eq!(texts(site), format!("{} {}", rest("#old"), rest("#p0")));
    assert_eq!(database.sql("select count(*) from context_text_doubt"), "0");
    // Maintenance finishes an interrupted deletion.
    let _ = database.sql(&format!(
        "insert into context_text_doubt values ({0}, {1}); delete from page_view where site_id = {0}",
        gone.0,
        DAY0_MS / DAY_MS + 5
    ));
    let retention = Retention { raw_days: 3, ..Retention::default() };
    store.maintain(DAY0_MS + 6 * DAY_MS, retention).await.unwrap();
    assert_eq!((texts(site), texts(gone)), (rest("#p0"), String::new()));
    store.site_delete(site).await.unwrap();
    assert_eq!(texts(site), "");
}

#[tokio::test]
async fn maintenance_goes_on_past_a_site_that_fails() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let sites = [site(&store, "a").await, site(&store, "b").await];
    for start_ms in [DAY0_MS - 20 * DAY_MS, DAY0_MS] {
        // Maintenance folds the page views loaded before.
        store.maintain(DAY0_MS - 20 * DAY_MS, Retention::default()).await.unwrap();
        for site in sites {
            load(&store, site, 1, vec![update(start_ms, 1, &[(Metric::Lcp, 900.0)])]).await.unwrap();
        }
    }
    let _ =
        database.sql(&format!("update rollup_delta set views = '\\xffff' where site_id = {}", sites[0].0));
    let _ = database.sql(
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'refused by a trigger'; end $$; \
         create trigger refuse before delete on rollup_hour for each row when (old.site_id = 1) \
         execute function refuse()",
    );
    let done = store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    assert_eq!(done.deltas_folded, 1);
    assert!(done.rows_removed > 0, "{done:?}");
    assert_eq!(
        done.undone.iter().map(|undone| undone.part).collect::<Vec<_>>(),
        [MaintenancePart::Site(sites[0])]
    );
    assert!(done.undone[0].error.contains("a rollup delta"), "{:?}", done.undone);
    let old = |site: SiteId| {
        database.sql(&format!(
            // Rows of routes: those of the whole site are kept for longer.
            "select count(*) from rollup_hour where site_id = {} and block > -9 and step < {}",
            site.0,
            (DAY0_MS - 14 * DAY_MS) / HOUR_MS
        ))
    };
    assert!(old(sites[0]) != "0" && old(sites[1]) == "0");
}

#[tokio::test]
async fn a_load_that_takes_too_long_says_so_and_a_smaller_one_takes_place() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let site = site(&store, "a").await;
    // From the first new route on, a statement has 300 ms, and each page view takes 10 ms.
    let _ = database.sql(
        "create function soon() returns trigger language plpgsql as $$ begin \
         set local statement_timeout = '300ms'; return new; end $$; \
         create trigger soon before insert on route for each row execute function soon(); \
         create function slow() returns trigger language plpgsql as $$ begin \
         perform pg_sleep(0.01); return new; end $$; \
         create trigger slow before insert on page_view for each row execute function slow()",
    );
    let views = |count: u128| (0..count).map(|i| update(DAY0_MS, i, &[(Metric::Lcp, 900.0)])).collect();
    let slow = load(&store, site, 1, views(200)).await.err();
    let Some(StoreError::TooSlow { answered: true, .. }) = slow else { panic!("{slow:?}") };
    load(&store, site, 1, views(2)).await.unwrap();
    assert_eq!(database.sql("select count(*) from page_view"), "2");
    // A load also fails if the database does not answer within the time limit of the whole load.
    let bounds = Bounds { load: Duration::from_millis(200), ..Bounds::default() };
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open_with(&database.url, bounds).await.unwrap());
    let slow = load(&store, site, 1, views(200)).await.err();
    let Some(StoreError::TooSlow { answered: false, .. }) = slow else { panic!("{slow:?}") };
}

/// What the store reads of the catalog of Citus. The sites up to 10 are on one node, later ones on another. (Each needs a
/// database of its own: `tests/citus.rs` and docs/scaling.md use a real cluster.)
const CATALOG: &str = "set allow_system_table_mods = on; \
    create table pg_catalog.pg_dist_partition (logicalrelid regclass); \
    insert into pg_catalog.pg_dist_partition values ('page_view'); \
    create table pg_catalog.pg_dist_placement (shardid bigint, groupid integer); \
    insert into pg_catalog.pg_dist_placement values (1, 1), (2, 2); \
    create function get_shard_id_for_distribution_column(regclass, bigint) returns bigint language sql \
    as 'select case when $2 <= 10 then 1 else 2 end'";

#[tokio::test]
async fn sites_on_a_node_that_hangs_hold_up_no_other() {
    let database = Database::migrated().await;
    let whole = open(&database.url).await;
    let mut sites = Vec::new();
    for number in 0..12 {
        sites.push(site(&whole, &format!("site {number}")).await);
    }
    load(&whole, sites[11], 2, vec![update(DAY0_MS, 1, &[])]).await.unwrap();
    let _ = database.sql(CATALOG);
    let _ = database.sql(
        "create function hang() returns trigger language plpgsql as $$ begin \
         perform pg_sleep(3600); return new; end $$; \
         create trigger hang before insert on page_view for each row when (new.site_id <= 10) \
         execute function hang()",
    );
    let bounds = Bounds { node: Duration::from_secs(2), ..Bounds::default() };
    let store = PostgresStore::open_with(&database.url, bounds).await.unwrap();
    let batch = |&site: &SiteId| LoadBatch {
        site,
        spool: SpoolId([1; 16]),
        after: 0,
        up_to: 1,
        beacons: vec![vec![update(DAY0_MS, 2, &[])]],
        senders: Senders::Unknown,
    };
    let loaded = store.load_pass(sites.iter().map(batch).collect()).await.unwrap();
    // A pass begins eight loads. The node's other sites fail without a try of their own.
    let (tried, others) = loaded.split_at(8);
    assert!(
        tried.iter().all(|loaded| matches!(loaded, Err(StoreError::TooSlow { answered: true, .. }))),
        "{loaded:?}"
    );
    assert!(
        matches!(others, [Err(StoreError::Node { .. }), Err(StoreError::Node { .. }), Ok(_), Ok(_)]),
        "{loaded:?}"
    );
    // Nothing that asks all nodes waits longer.
    let bounds = Bounds { node: Duration::from_millis(200), ..Bounds::default() };
    let store = PostgresStore::open_with(&database.url, bounds).await.unwrap();
    let mut node: PgConnection = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("begin; lock table load_cursor").execute(&mut node).await.unwrap();
    let spool = SpoolId([1; 16]);
    let asked = [store.cursor_max(spool).await.map(drop), store.cursors_forget(spool).await];
    assert!(asked.iter().all(|asked| matches!(asked, Err(StoreError::Node { .. }))), "{asked:?}");
}

#[tokio::test]
async fn a_partition_that_cannot_be_dropped_is_told_and_the_rest_goes_on() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let site = site(&store, "a").await;
    for day in 0..4 {
        load(&store, site, 1, vec![update(DAY0_MS + day * DAY_MS, 1, &[])]).await.unwrap();
    }
    let partition = |day: i64| format!("page_view_{}", DAY0_MS / DAY_MS + day);
    let _ = database.sql(&format!("create view pinned as select id from {}", partition(1)));
    // The reader holds another partition open, but not the parent table.
    let mut reader: PgConnection = PgConnection::connect(&database.url).await.unwrap();
    let read = format!("begin; lock table {} in access share mode", partition(2));
    sqlx::raw_sql(sqlx::AssertSqlSafe(read)).execute(&mut reader).await.unwrap();
    let later = DAY0_MS + 40 * DAY_MS;
    let done = store.maintain(later, Retention::default()).await.unwrap();
    assert_eq!((done.views_removed, days(&database).iter().filter(|&&day| day < 4).count()), (2, 2));
    let undone: Vec<MaintenancePart> = done.undone.iter().map(|undone| undone.part).collect();
    assert_eq!(undone, [MaintenancePart::Day(DAY0_MS + DAY_MS), MaintenancePart::Day(DAY0_MS + 2 * DAY_MS)]);
    let depends = &done.undone[0].error;
    assert!(depends.contains(&partition(1)) && depends.contains("view pinned depends on"), "{depends}");
    assert!(done.undone[1].error.contains("lock timeout"), "{:?}", done.undone);
    reader.close().await.unwrap();
    let _ = database.sql("drop view pinned");
    let done = store.maintain(later, Retention::default()).await.unwrap();
    assert_eq!((done.views_removed, done.undone), (2, vec![]));
}

/// Removes the texts of a day with more page views than one step reads, beside loads that name a text to be removed.
#[tokio::test]
async fn texts_of_a_large_day_are_removed_in_steps_beside_loads() {
    let database = Database::migrated().await;
    // Each call does one step.
    let bounds = Bounds { clean: Duration::ZERO, ..Bounds::default() };
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open_with(&database.url, bounds).await.unwrap());
    let site = site(&store, "a").await;
    let erased = Some("https://shop.example/erased".to_owned());
    let view = |random: u128, target: &str, url: &Option<String>| {
        let mut view = explained(DAY0_MS, random, target, "");
        view.url.clone_from(url.as_ref().unwrap_or(&view.url.clone()));
        view
    };
    load(&store, site, 1, vec![view(100_000, "#kept", &None)]).await.unwrap();
    let _ = database.sql(
        "insert into page_view select (jsonb_populate_record(v, jsonb_build_object('id', \
         left(replace(v.id::text, '-', ''), 12) || '70008000' || lpad(to_hex(200000 + n), 12, '0')))).* \
         from page_view v, generate_series(1, 50000) n",
    );
    load(&store, site, 1, vec![view(1, "#again", &erased), view(2, "#gone", &erased)]).await.unwrap();
    let erase = Erase { site, from_ms: i64::MIN, to_ms: i64::MAX, url: erased };
    let until = async |state: &str| {
        while database.sql("select retired, place is not null from context_text_doubt") != state {
            assert!(store.erase(&erase).await.unwrap().more, "{state} never comes");
        }
    };
    // Behind the texts already read: first under the existing code, then under a new one.
    until("f|t").await;
    load(&store, site, 1, vec![view(3, "#again", &None)]).await.unwrap();
    until("t|f").await;
    load(&store, site, 1, vec![view(4, "#again", &None)]).await.unwrap();
    until("t|t").await;
    until("").await;
    for random in [3, 4] {
        let expected = view(random, "#again", &None);
        let stored = store.view(site, expected.id).await.unwrap().unwrap();
        assert_eq!(stored.update, expected);
    }
    let targets = || {
        database.sql("select text from context_text where text like '#%' and text <> '#buy' order by text")
    };
    assert_eq!(targets(), "#again\n#again\n#kept");
    let erase = Erase { url: None, ..erase };
    while store.erase(&erase).await.unwrap().more {}
    assert_eq!(database.sql("select count(*) from context_text"), "0");
}

/// An erasure locks the retention edges before it marks days as doubtful. The reverse order would deadlock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_loads_to_retire_texts_keeps_no_day_from_being_in_doubt() {
    let database = Database::migrated().await;
    let bounds = Bounds { clean: Duration::ZERO, ..Bounds::default() };
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open_with(&database.url, bounds).await.unwrap());
    let site = site(&store, "a").await;
    load(&store, site, 1, vec![explained(DAY0_MS, 1, "#gone", "")]).await.unwrap();
    let erase = Erase { site, from_ms: i64::MIN, to_ms: i64::MAX, url: None };
    // The first step erases the page view. The second one finds none left.
    for views in [1, 0] {
        assert_eq!(store.erase(&erase).await.unwrap().views, views);
    }
    let mut eraser: PgConnection = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("begin; set local lock_timeout = '100ms'; select * from kept for share")
        .execute(&mut eraser)
        .await
        .unwrap();
    let retiring = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.erase(&erase).await.map(drop) }
    });
    let waiting = "select count(*) from pg_locks where relation = 'kept'::regclass and not granted";
    while database.sql(waiting) == "0" && !retiring.is_finished() {}
    let doubt = "update context_text_doubt set retired = false, place = null, used = '{}'; commit";
    sqlx::raw_sql(doubt).execute(&mut eraser).await.unwrap();
    retiring.await.unwrap().unwrap();
    let erase = Erase { site, from_ms: i64::MIN, to_ms: i64::MAX, url: None };
    while store.erase(&erase).await.unwrap().more {}
    assert_eq!(database.sql("select count(*) from context_text"), "0");
}

#[tokio::test]
async fn maintenance_comes_to_an_end_however_many_days_are_in_doubt() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let site = site(&store, "a").await;
    let days = DAY0_MS / DAY_MS;
    let doubt = "insert into context_text_doubt select ";
    let _ = database.sql(&format!("{doubt}{}, {days} + n from generate_series(1, 20) n", site.0));
    let left = || database.sql("select count(*) from context_text_doubt");
    // A day takes four steps, because it is read twice.
    for expected in ["8", "0"] {
        store.maintain(DAY0_MS, Retention::default()).await.unwrap();
        assert_eq!(left(), expected);
    }
}

#[tokio::test]
async fn a_check_of_the_owners_own_is_no_missing_partition() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let site = site(&store, "a").await;
    let _ = database.sql("alter table page_view add constraint owners_own check (seq is distinct from 7)");
    let mut refused = update(DAY0_MS, 1, &[]);
    refused.source = Source::Own { seq: 7 };
    match load(&store, site, 1, vec![refused]).await {
        Err(StoreError::Database { transient: false, reason, .. }) => {
            assert!(reason.contains("owners_own"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn codes_of_releases_do_not_run_out() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    releases_come_and_go(store, |site, count, first, last| {
        let _ = database.sql(&format!(
            "insert into label (site_id, dimension, code, label, last_day) \
             select {}, {}, n, 'old-' || n, {first} + n * ({last} - {first}) / {count} from generate_series(1, {count}) n",
            site.0,
            Dimension::Release as u8
        ));
    })
    .await;
}

/// The day has more page views than one fold holds, on hundreds of thousands of cells.
#[tokio::test]
async fn a_large_day_is_verified_and_rebuilt_in_portions() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let site = site(&store, "a").await;
    let releases = limits::RELEASES_PER_SITE_MAX as u128;
    for load_number in 0..17_u128 {
        let views = (0..4_000_u128).map(|i| {
            let number = load_number * 4_000 + i;
            let mut view = update(DAY0_MS, number, &[(Metric::Lcp, (number % 997) as f64)]);
            view.release = Some(format!("r{}", number % releases));
            view.route = format!("/{}", number / releases);
            view
        });
        load(&store, site, 1, views.collect()).await.unwrap();
    }
    // Adds three times more page views, in their own deltas.
    let _ = database.sql(
        "insert into page_view select (jsonb_populate_record(v, jsonb_build_object('id', \
         left(replace(v.id::text, '-', ''), 16) || 'b' || n || right(replace(v.id::text, '-', ''), 14)))).* \
         from page_view v, generate_series(1, 3) n; \
         insert into rollup_delta select site_id, hour_ms, up_to + n * 1000000, spool, views \
         from rollup_delta, generate_series(1, 3) n",
    );
    assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
    store.maintain(DAY0_MS, Retention::default()).await.unwrap();
    assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
    assert_eq!(store.rebuild_day(site, DAY0_MS).await.unwrap().views, 272_000);
    assert_eq!(store.verify_day(site, DAY0_MS).await.unwrap(), []);
}

/// The runtime that opened a connection serves it. The runtimes of loading and maintenance have low priority. This
/// test blocks both of them; queries must not notice.
#[test]
fn questions_have_connections_of_their_own() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (front, background) = (runtime(), runtime());
    let database = front.block_on(Database::migrated());
    let (store, site) = front.block_on(async {
        let store = open(&database.url).await;
        let site = site(&store, "a").await;
        (store, site)
    });
    let loading = Arc::clone(&store);
    background.block_on(async move {
        load(&loading, site, 1, vec![update(DAY0_MS, 1, &[(Metric::Lcp, 900.0)])]).await.unwrap();
        loading.maintain(DAY0_MS, Retention::default()).await.unwrap();
    });
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let (standing, stands) = std::sync::mpsc::channel();
    background.spawn(async move {
        standing.send(()).unwrap();
        held.recv().unwrap();
    });
    stands.recv().unwrap();
    front.block_on(async {
        let query = CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS);
        let asked = (0..7).map(|_| store.cells(&query));
        for found in futures_util::future::join_all(asked).await {
            assert_eq!(found.unwrap().rows.len(), 1);
        }
    });
    go_on.send(()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn question_that_is_dropped_leaves_no_running_backend() {
    let database = Database::migrated().await;
    let store = open(&database.url).await;
    let site = site(&store, "a").await;
    load(&store, site, 1, vec![update(DAY0_MS, 1, &[(Metric::Lcp, 900.0)])]).await.unwrap();
    // The question waits for this lock, and Postgres' own timeout is 30 s.
    let mut holder = PgConnection::connect(&database.url).await.unwrap();
    let mut lock = holder.begin().await.unwrap();
    sqlx::query("lock table rollup_delta").execute(&mut *lock).await.unwrap();
    let asked = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.cells(&CellQuery::new(site, DAY0_MS, DAY0_MS + DAY_MS)).await }
    });
    let running = "select count(*) from pg_stat_activity where datname = current_database() \
        and wait_event_type = 'Lock' and state = 'active'";
    let becomes = async |count: &str| {
        let count = async {
            while database.sql(running) != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), count).await
    };
    becomes("1").await.expect("the question runs");
    asked.abort();
    becomes("0").await.expect("Postgres ends it");
    lock.rollback().await.unwrap();
}
