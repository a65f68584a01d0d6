//! Faults of the disk under a real server: full, failing, without power, damaged, read-only.

#![allow(clippy::unwrap_used)]

use fieldvitals_store_postgres::testing::Cluster;
use fieldvitals_tests::disk::Disk;
use fieldvitals_tests::eventually;
use fieldvitals_tests::load::{Load, Verdict};
use fieldvitals_tests::proxy::Proxy;
use fieldvitals_tests::server::{Launch, Server, run_to_the_end};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

/// A server with the embedded store on a disk that simulates faults.
async fn server() -> (Server, Disk) {
    let folder = TempDir::new().unwrap();
    let disk = Disk::new(folder.path());
    let launch = disk.under(Launch::default());
    (Server::launch_on(folder, launch).await, disk)
}

/// The health check's status and body.
async fn health(server: &Server) -> (u16, String) {
    let answer = server.http.get(format!("{}/healthz", server.url)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn judge(load: &mut Load, server: &Server) -> Verdict {
    load.finish().await;
    server.settled().await;
    load.judge(server, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_loses_nothing() {
    let (mut server, disk) = server().await;
    let mut load = Load::start(&server, 400, 16);
    for killed in [false, true] {
        load.more(300).await;
        disk.full(true);
        let refused = load.refused();
        eventually(|| async {
            if load.refused() > refused + 50 { Ok(()) } else { Err("nothing is refused".to_owned()) }
        })
        .await;
        let refusal = load.refusal();
        assert!(refusal.starts_with("503 ") && refusal.contains("the spool cannot be written"), "{refusal}");
        assert!(refusal.contains("free some space on the disk"), "{refusal}");
        eventually(|| async {
            let (code, said) = health(&server).await;
            let told = code == 503 && said.contains("free some space on the disk");
            if told { Ok(()) } else { Err(format!("{code} {said}")) }
        })
        .await;
        eventually(|| async {
            let status = server.get("status").await?;
            let refused = &status["spool"]["refused"];
            if refused["beacons"].as_u64() > Some(0) { Ok(()) } else { Err(refused.to_string()) }
        })
        .await;
        if killed {
            server.kill().await;
            disk.full(false);
            server.start_again().await;
            load.redirect(Some(&server));
        } else {
            disk.full(false);
            eventually(|| async {
                if server.log().contains("the spool takes beacons again") {
                    Ok(())
                } else {
                    Err(server.log())
                }
            })
            .await;
        }
        assert_eq!(health(&server).await, (200, "ok\n".to_owned()));
    }
    load.more(300).await;
    judge(&mut load, &server).await.must_be_clean();
    let log = server.log();
    assert_eq!(log.matches("the spool refuses beacons").count(), 2, "once a time: {log}");
    assert_eq!(log.matches("the spool takes beacons again").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_to_sync_ends_the_server_and_loses_nothing() {
    let (mut server, disk) = server().await;
    let mut load = Load::start(&server, 400, 16);
    load.more(300).await;
    disk.broken(true);
    assert_eq!(server.ended().await, Some(2));
    let log = server.log();
    assert!(log.contains("the spool cannot be written any more"), "{log}");
    assert!(log.contains("check the disk and start again"), "{log}");
    disk.broken(false);
    // Writes that were not synced may be lost.
    disk.cut_power();
    server.start_again().await;
    load.redirect(Some(&server));
    load.more(300).await;
    judge(&mut load, &server).await.must_be_clean();
}

/// Cuts the power several times under load. Returns the verdict on the beacons.
async fn power_cuts(lying: &[&str]) -> Verdict {
    let (mut server, disk) = server().await;
    let mut load = Load::start(&server, 400, 16);
    load.more(200).await;
    if !lying.is_empty() {
        server.kill().await;
        disk.lies_about(lying);
        server.start_again().await;
        load.redirect(Some(&server));
    }
    for _ in 0..5 {
        load.more(200).await;
        server.kill().await;
        disk.cut_power();
        server.start_again().await;
        load.redirect(Some(&server));
    }
    load.more(200).await;
    judge(&mut load, &server).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_lose_nothing_that_was_acknowledged() {
    power_cuts(&[]).await.must_be_clean();
}

/// Proves that the test above detects losses: on a disk that ignores fsync, beacons are lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_without_fsync_do_lose() {
    let verdict = power_cuts(&["spool.db", "spool.db-wal"]).await;
    assert!(verdict.lost > 0, "{verdict:?}");
    assert_eq!(verdict.duplicates, 0, "{verdict:?}");
}

/// Copies a folder with its files.
fn copy(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_that_cannot_be_read_is_named_and_not_guessed_at() {
    let cluster = Cluster::start();
    let proxy = Proxy::start(&cluster.socket()).await;
    let launch = Launch::with(&["--database-url", &proxy.url()]);
    let mut server = Server::launch(launch.clone()).await;
    let mut load = Load::start(&server, 400, 4);
    load.more(20).await;
    proxy.cut();
    load.more(100).await;
    load.finish().await;
    // The store is unreachable, so the beacons stay in the spool, whose file is closed.
    assert_eq!(server.terminate().await, Some(0));
    proxy.pass();
    let left = server.data_dir().to_owned();
    assert!(!left.join("spool.db-wal").exists());

    let spool = std::fs::read(left.join("spool.db")).unwrap();
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let folder = copy(&left);
        let mut bytes = spool.clone();
        change(&mut bytes);
        std::fs::write(folder.path().join("spool.db"), bytes).unwrap();
        folder
    };
    let url = b"https://shop.example/";
    // Some of the beacons are in pages that are free by now.
    let beacons: Vec<usize> = (0..spool.len()).filter(|&place| spool[place..].starts_with(url)).collect();
    assert!(!beacons.is_empty());
    // Byte 60 of SQLite's header is the user version, here the spool's format
    // (https://www.sqlite.org/fileformat.html).
    let cases: [(&str, &[&str], TempDir); 5] = [
        ("cut off", &["is damaged", "move it away"], damaged(&|bytes| bytes.truncate(bytes.len() * 2 / 3))),
        ("no SQLite file", &["is damaged", "move it away"], damaged(&|bytes| bytes[..64].fill(b'x'))),
        ("emptied of pages", &["is damaged"], damaged(&|bytes| bytes[4_096..].fill(0))),
        (
            "a flipped bit in a beacon",
            &["its checksum is wrong", "move it away"],
            damaged(&|bytes| beacons.iter().for_each(|&place| bytes[place] ^= 1)),
        ),
        (
            "of another release",
            &["in format 9", "start the release that wrote it"],
            damaged(&|bytes| bytes[63] = 9),
        ),
    ];
    for (what, words, folder) in cases {
        let (code, log) = run_to_the_end(folder.path(), &launch).await;
        assert_eq!(code, Some(2), "{what}: {log}");
        assert!(log.contains("spool.db") && words.iter().all(|word| log.contains(word)), "{what}: {log}");
        assert!(!log.contains("panicked"), "{what}: {log}");
    }
    // The original file is undamaged.
    server.start_again().await;
    server.settled().await;
    load.judge(&server, None).await.must_be_clean();
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let parent = TempDir::new().unwrap();
    let (new, used) = (parent.path().join("new"), parent.path().join("used"));
    let launch = Launch::default().unprivileged();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    // A folder with a store and a spool becomes read-only.
    let mut server = Server::start().await;
    assert_eq!(server.terminate().await, Some(0));
    std::fs::create_dir(&used).unwrap();
    for entry in std::fs::read_dir(server.data_dir()).unwrap() {
        let entry = entry.unwrap();
        let to = used.join(entry.file_name());
        std::fs::copy(entry.path(), &to).unwrap();
        mode(&to, 0o444);
    }
    mode(&used, 0o555);
    mode(parent.path(), 0o555);
    let (code, log) = run_to_the_end(&new, &launch).await;
    assert!(log.contains("cannot be made") && log.contains("--data-dir"), "{log}");
    assert_eq!(code, Some(2), "{log}");
    let (code, log) = run_to_the_end(&used, &launch).await;
    assert!(log.contains("store.db") && log.contains("read-only here"), "{log}");
    assert_eq!(code, Some(2), "{log}");
    // With the store elsewhere, the spool is the file that cannot be written.
    let store = TempDir::new().unwrap();
    mode(store.path(), 0o777);
    let url = format!("sqlite://{}/store.db", store.path().display());
    let (code, log) = run_to_the_end(&used, &Launch::with(&["--database-url", &url]).unprivileged()).await;
    assert!(log.contains("spool.db") && log.contains("check who may write"), "{log}");
    assert_eq!(code, Some(2), "{log}");
    mode(&used, 0o755);
    mode(parent.path(), 0o755);
}
