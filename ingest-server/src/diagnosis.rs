//! Examines a deployment for `fieldvitals doctor`: the data folder, the spool and the store. Changes nothing.

use crate::backups::{self, LastBackup};
use crate::data_dir::{self, ADMIN_TOKEN};
use crate::health::{Backend, Check, Condition};
use crate::spool::{self, Examined};
use crate::telemetry::process::Disk;
use crate::{EMBEDDED_STORE, SPOOL, StoreUrl, store_url};
use fieldvitals_store::diagnosis::{Finding, Level, size_text};
use std::io::ErrorKind;
use std::path::Path;

/// Share of its limit from which the spool sheds the beacons of sites that fail alone.
const SPOOL_SHARE_MAX: u64 = 2;
/// Age of the newest backup from which an operator should look, in hours: one missed night.
const BACKUP_HOURS_MAX: i64 = 36;
const HOUR_MS: i64 = 3_600_000;

/// The examined deployment: options of `serve`.
#[derive(Clone, Debug)]
pub struct Deployment<'a> {
    /// Folder of the spool and the embedded store.
    pub data_dir: &'a Path,
    /// URL of the store; `None` for the embedded one.
    pub database_url: Option<&'a str>,
    /// Retention of page views by the server's options, in days; `None` for that of the store.
    pub kept_days: Option<u32>,
    /// Limit of the spool's backlog, in bytes.
    pub spool_bytes: u64,
    /// A folder or file of backups; `None` for the record of `fieldvitals backup`.
    pub backups: Option<&'a Path>,
}

impl Deployment<'_> {
    /// Examines the deployment.
    pub async fn diagnose(&self, now_ms: i64) -> Vec<Finding> {
        let mut findings = self.folder();
        findings.push(self.spool(now_ms));
        findings.extend(self.store(now_ms).await);
        findings.push(self.backups(now_ms));
        findings
    }

    fn folder(&self) -> Vec<Finding> {
        const RIGHTS: &str = "data.rights";
        let place = self.data_dir.display();
        if !self.data_dir.is_dir() {
            let found = format!("there is no folder {place}");
            let advice = "Name the server's folder with --data-dir or FIELDVITALS_DATA_DIR. The first \
                `fieldvitals serve` makes a folder.";
            return vec![Finding::problem("data.folder", found, advice)];
        }
        let mut findings = Vec::new();
        let loose = data_dir::loose(self.data_dir, self.database_url);
        findings.push(if loose.is_empty() {
            Finding::ok(RIGHTS, format!("only their owner may access {place} and its files"))
        } else {
            let names: Vec<String> = loose.iter().map(|path| path.display().to_string()).collect();
            Finding::problem(
                RIGHTS,
                format!("other users of this machine may access {}", names.join(", ")),
                format!("Page views are in these files: chmod -R go= {place}"),
            )
        });
        if self.data_dir.join(ADMIN_TOKEN).exists() {
            findings.push(Finding::warning(
                "data.token",
                format!(
                    "the first token, with the scope admin, is still in {}",
                    self.data_dir.join(ADMIN_TOKEN).display()
                ),
                "Keep it elsewhere, and remove the file.",
            ));
        }
        findings.extend(Disk::read(self.data_dir).map(judge_disk));
        findings
    }

    fn spool(&self, now_ms: i64) -> Finding {
        const CHECK: &str = "spool";
        match spool::examine(&self.data_dir.join(SPOOL)) {
            Ok(None) => Finding::ok(CHECK, "none yet; the first start of a server makes it"),
            Ok(Some(examined)) => judge_spool(&examined, now_ms, self.spool_bytes),
            Err(error) => Finding::problem(CHECK, error.to_string(), "No server starts on it as it is."),
        }
    }

    async fn store(&self, now_ms: i64) -> Vec<Finding> {
        let url = match self.database_url {
            None => StoreUrl::File(self.data_dir.join(EMBEDDED_STORE)),
            Some(text) => match StoreUrl::parse(text).unwrap_or_else(|| Err(store_url::NO_URL.to_owned())) {
                Ok(url) => url,
                Err(wrong) => {
                    let advice = "Expected postgres://USER:PASSWORD@HOST/NAME, sqlite://PATH, or no URL.";
                    return vec![Finding::problem("store.url", format!("--database-url: {wrong}"), advice)];
                }
            },
        };
        if let StoreUrl::File(path) = &url
            && !path.exists()
        {
            return vec![Finding::problem(
                "store.open",
                format!("there is no store {}", path.display()),
                "The first start of a server makes it. A Postgres store is named with --database-url or DATABASE_URL.",
            )];
        }
        url.diagnose(now_ms, self.kept_days).await
    }

    fn backups(&self, now_ms: i64) -> Finding {
        const CHECK: &str = "backups";
        if let Some(place) = self.backups {
            return match backups::newest_ms(place, !self.is_postgres()) {
                Some(newest_ms) => judge_backup(hours(newest_ms, now_ms), |age| {
                    format!("the newest backup in {} is {age}", place.display())
                }),
                None if self.is_postgres() => Finding::problem(
                    CHECK,
                    format!("there is no dump of the database at {}", place.display()),
                    "A `fieldvitals backup` beside Postgres holds the spool alone. Dump the database too (docs/backup.md).",
                ),
                None => Finding::problem(
                    CHECK,
                    format!("there is no whole backup at {}", place.display()),
                    "See why the last backup was not made.",
                ),
            };
        }
        let last = LastBackup::read(self.data_dir).and_then(|last| {
            let dated =
                last.map(|last| last.created_ms().map(|ms| (last.folder, ms)).ok_or(ErrorKind::InvalidData));
            Ok(dated.transpose()?)
        });
        match last {
            Ok(Some((folder, ms))) => {
                let gone = if folder.exists() { "" } else { ", and is no longer there" };
                let place = format!("in {}{gone}", folder.display());
                if self.is_postgres() {
                    return Finding::warning(
                        CHECK,
                        format!(
                            "no backup of the database is known; that of the spool is {} h old, {place}",
                            hours(ms, now_ms)
                        ),
                        "Name the folder or file of its dumps with --backups, so that their age is checked \
                         (docs/backup.md).",
                    );
                }
                judge_backup(hours(ms, now_ms), |age| format!("the last backup is {age}, {place}"))
            }
            Ok(None) => Finding::warning(
                CHECK,
                "no `fieldvitals backup` of this folder is known",
                "Make backups (docs/backup.md). If another program makes them, name their folder or file with \
                 --backups, so that their age is checked. Without backups, a lost disk is the end of all measurements.",
            ),
            Err(error) => Finding::warning(
                CHECK,
                format!("the record of the last backup cannot be read: {error}"),
                "Name the folder of the backups with --backups, or see who owns the file last-backup.json.",
            ),
        }
    }

    fn is_postgres(&self) -> bool {
        StoreUrl::backend(self.database_url) == Backend::Postgres
    }
}

/// Age of a backup, in hours.
fn hours(created_ms: i64, now_ms: i64) -> i64 {
    now_ms.saturating_sub(created_ms).max(0) / HOUR_MS
}

/// Judges a backup by its age; `found` describes a backup of an age.
fn judge_backup(hours: i64, found: impl FnOnce(&str) -> String) -> Finding {
    const CHECK: &str = "backups";
    let found = found(&format!("{hours} h old"));
    if hours > BACKUP_HOURS_MAX {
        Finding::warning(CHECK, found, "See why no backup was made since.")
    } else {
        Finding::ok(CHECK, found)
    }
}

fn judge_disk(disk: Disk) -> Finding {
    let percent = disk.used_percent();
    let found = format!("{percent:.0} % of the disk are used, {} are free", size_text(disk.free_bytes));
    let level = match Check::Disk.judge(percent, Check::Disk.default_limits()) {
        Condition::Ok => return Finding::ok("data.disk", found),
        Condition::Warning => Level::Warning,
        Condition::Critical => Level::Problem,
    };
    Finding { check: "data.disk", level, found, advice: Check::Disk.advice(Backend::Embedded).to_owned() }
}

fn judge_spool(examined: &Examined, now_ms: i64, bytes_max: u64) -> Finding {
    const CHECK: &str = "spool";
    let Examined { in_use, beacons, bytes, oldest_ms } = examined;
    let age_s = oldest_ms.map_or(0, |oldest_ms| now_ms.saturating_sub(oldest_ms).max(0) / 1_000);
    let server = if *in_use { "a server runs on it" } else { "no server runs on it" };
    let found = match beacons {
        0 => format!("no beacon waits; {server}"),
        _ => format!(
            "{beacons} beacons wait, {} of at most {}, the oldest for {age_s} s; {server}",
            size_text(*bytes),
            size_text(bytes_max)
        ),
    };
    let limits = Check::SpoolAge.default_limits();
    if !in_use && *beacons > 0 {
        return Finding::warning(
            CHECK,
            found,
            "They are safe, and the next start of a server on this folder loads them. Do not delete the folder.",
        );
    }
    if *bytes > bytes_max / SPOOL_SHARE_MAX {
        return Finding::problem(CHECK, found, Check::SpoolAge.advice(Backend::Embedded));
    }
    match Check::SpoolAge.judge(age_s as f64, limits) {
        Condition::Ok => Finding::ok(CHECK, found),
        Condition::Warning => Finding::warning(CHECK, found, Check::SpoolAge.advice(Backend::Embedded)),
        Condition::Critical => Finding::problem(CHECK, found, Check::SpoolAge.advice(Backend::Embedded)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spool_is_judged_by_age_room_and_server() {
        let examined = |in_use, beacons, bytes, oldest_ms| Examined { in_use, beacons, bytes, oldest_ms };
        let level = |examined| judge_spool(&examined, 1_000_000, 1_000).level;
        assert_eq!(level(examined(true, 0, 0, None)), Level::Ok);
        assert_eq!(level(examined(false, 0, 0, None)), Level::Ok);
        assert_eq!(level(examined(true, 5, 100, Some(950_000))), Level::Ok);
        assert_eq!(level(examined(true, 5, 100, Some(900_000))), Level::Warning);
        assert_eq!(level(examined(true, 5, 100, Some(100_000))), Level::Problem);
        assert_eq!(level(examined(true, 5, 501, Some(999_000))), Level::Problem);
        assert_eq!(level(examined(false, 5, 100, Some(999_000))), Level::Warning);
    }

    #[test]
    fn backup_is_judged_by_its_age_and_is_known_without_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = |backups| Deployment {
            data_dir: folder.path(),
            database_url: None,
            kept_days: None,
            spool_bytes: 1,
            backups,
        };
        let on_postgres = |backups| Deployment {
            database_url: Some("postgres://vitals@127.0.0.1/vitals"),
            ..deployment(backups)
        };
        let now_ms = 100 * HOUR_MS;
        let judge = |hours| {
            LastBackup::new(now_ms - hours * HOUR_MS, "/gone".into()).write(folder.path()).unwrap();
            deployment(None).backups(now_ms)
        };
        assert_eq!(deployment(None).backups(now_ms).level, Level::Warning, "none is known");
        let fresh = judge(36);
        assert_eq!(fresh.level, Level::Ok);
        assert_eq!(fresh.found, "the last backup is 36 h old, in /gone, and is no longer there");
        assert_eq!(judge(37).level, Level::Warning);
        judge(1);
        let spool_alone = on_postgres(None).backups(now_ms);
        let expected = "no backup of the database is known; that of the spool is 1 h old, in /gone, and is no longer there";
        assert_eq!((spool_alone.level, spool_alone.found.as_str()), (Level::Warning, expected));
        let dump = folder.path().join("vitals.dump");
        std::fs::write(&dump, "").unwrap();
        assert_eq!(
            on_postgres(Some(&dump)).backups(now_ms).level,
            Level::Ok,
            "newer than the clock of this case"
        );
        assert_eq!(deployment(Some(Path::new("/nowhere"))).backups(now_ms).level, Level::Problem);
    }
}
