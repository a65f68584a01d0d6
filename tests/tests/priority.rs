//! The priorities of the server's threads, as reported by the kernel.

#![cfg(target_os = "linux")]

use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::server::Server;
use serde_json::json;

/// Returns name and niceness of every thread of a process: fields 2 and 19 of `/proc/<pid>/task/<tid>/stat`
/// (proc_pid_stat(5)).
fn threads(pid: u32) -> Vec<(String, i32)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    // Skips threads that have ended since.
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats
        .map(|stat| {
            // Splits at the last bracket, because a name may contain brackets.
            let (head, rest) = stat.rsplit_once(')').expect("a name in brackets");
            let (_, name) = head.split_once('(').expect("a name in brackets");
            let fields: Vec<&str> = rest.split_whitespace().collect();
            (name.to_owned(), fields[16].parse().expect("a number"))
        })
        .collect()
}

#[tokio::test]
async fn loading_maintenance_and_questions_have_a_lower_priority_than_beacons() {
    let server = Server::start().await;
    let body = beacon(&server.key, view_id(0), "https://shop.example/p/1", &json!({"LCP": 1200.0}));
    assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
    server.settled().await;
    let threads = threads(server.pid());
    let niceness = |wanted: &str| -> Vec<i32> {
        let of = |(name, niceness): &(String, i32)| name.starts_with(wanted).then_some(*niceness);
        threads.iter().filter_map(of).collect()
    };
    for (name, expected) in
        [("background", 10), ("questions", 10), ("sqlx-sqlite", 10), ("actix", 0), ("spool writer", 0)]
    {
        let found = niceness(name);
        assert!(!found.is_empty() && found.iter().all(|&found| found == expected), "{name}: {threads:?}");
    }
}
