//! Loading gives way: the kernel's word on the server's threads.

#![cfg(target_os = "linux")]

use fieldvitals_tests::beacon::{beacon, view_id};
use fieldvitals_tests::eventually_within;
use fieldvitals_tests::server::Server;
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// `SCHED_OTHER` and `SCHED_IDLE`: sched(7).
const OTHER: &str = "0";
const IDLE: &str = "5";

/// Name, policy and niceness of every thread of a process: `/proc/<pid>/task/<tid>/stat`, fields 2, 41 and 19 of
/// proc_pid_stat(5).
fn threads(pid: u32) -> Vec<(String, String, i32)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    // A thread that has ended meanwhile is none.
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats
        .map(|stat| {
            // A name may have brackets.
            let (head, rest) = stat.rsplit_once(')').expect("a name in brackets");
            let (_, name) = head.split_once('(').expect("a name in brackets");
            let fields: Vec<&str> = rest.split_whitespace().collect();
            (name.to_owned(), fields[38].to_owned(), fields[16].parse().expect("a number"))
        })
        .collect()
}

#[tokio::test]
async fn what_loads_has_the_cores_that_others_leave() {
    let server = Server::start().await;
    let sent = AtomicU32::new(0);
    // What loads, and its connection to the store: once there was something to load after a moment without. Where cores
    // are short in that moment, a minute later.
    eventually_within(Duration::from_mins(4), || async {
        let id = view_id(sent.fetch_add(1, Ordering::Relaxed).into());
        let body = beacon(&server.key, id, "https://shop.example/p/1", &json!({"LCP": 1200.0}));
        assert_eq!(server.post("/v1/beacon", body.to_string()).await.0, 204);
        server.settled().await;
        let threads = threads(server.pid());
        let idle = |wanted: &str| {
            threads.iter().filter(|(name, policy, _)| name.starts_with(wanted) && policy == IDLE).count()
        };
        if idle("sqlx-sqlite") == 1 && idle("idle") > 0 { Ok(()) } else { Err(format!("{threads:?}")) }
    })
    .await;
    // Who answers is none of them, and maintenance, which is never to stand still, is nice.
    let threads = threads(server.pid());
    for (name, policy, nice) in &threads {
        match name.as_str() {
            "background" => assert_eq!((policy.as_str(), *nice), (OTHER, 10), "{threads:?}"),
            name if name.starts_with("actix") || name == "spool writer" => {
                assert_eq!((policy.as_str(), *nice), (OTHER, 0), "{threads:?}");
            }
            _ => {}
        }
    }
    let count = |wanted: &str| threads.iter().filter(|(name, ..)| name.starts_with(wanted)).count();
    assert!(count("actix") > 0 && count("background") > 0 && count("spool writer") == 1, "{threads:?}");
    // The connections of those who ask, and the one of others who write.
    let connections = |wanted: (&str, i32)| {
        let is_one = |(name, policy, nice): &&(String, String, i32)| {
            name.starts_with("sqlx-sqlite") && (policy.as_str(), *nice) == wanted
        };
        threads.iter().filter(is_one).count()
    };
    assert!(connections((OTHER, 0)) >= 4 && connections((OTHER, 10)) == 1, "{threads:?}");
}
