//! A short run of `cargo xtask chaos`: kills of the server and of Postgres under load.

use fieldvitals_tests::chaos::{Backend, Kills, kills};

async fn run(backend: Backend, power_cut: bool) {
    let run = Kills { backend, kills: 6, power_cut, no_fsync: false, rate: 400, sites: 20 };
    let outcome = kills(run, |_| {}).await;
    assert!(outcome.is_right(), "{outcome:?}");
    assert_eq!(outcome.postgres_kills > 0, backend == Backend::Postgres);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_on_the_embedded_store() {
    run(Backend::Sqlite, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_on_postgres() {
    run(Backend::Postgres, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_on_postgres() {
    run(Backend::Postgres, true).await;
}
