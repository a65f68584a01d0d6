//! Installs the Debian package in a container with a systemd of its own, asks the service, and removes the package.
//!
//! Changes of the container are in memory, so each run begins with the same small Debian.

use super::visit::Server;
use super::{PATIENCE, Target, check_mounts, check_rights, field};
use crate::run::{output, run, say, succeeds_within, target_dir};
use crate::toolchain;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The release of Debian in the container.
const RELEASE: &str = "bookworm";
/// The packages that `debootstrap` adds to the smallest system: the dependency of ours.
const INCLUDED: &str = "systemd";
const UNIT: &str = "fieldvitals";
const CONFIG: &str = "/etc/fieldvitals/fieldvitals.toml";
const DATA: &str = "/var/lib/fieldvitals";
/// Timeout of a shutdown.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(90);

/// Installs, upgrades, removes and purges the package.
pub(super) fn trial(target: Target, dist: &Path) -> Result<()> {
    toolchain::program("debootstrap", "debootstrap")?;
    toolchain::program("systemd-nspawn", "systemd-container")?;
    let system = System::boot(&debian(target)?, dist)?;
    let package = format!("/dist/{}", super::super::debian::file_name(target));

    system.run(&["dpkg", "--install", &package])?;
    let server = system.server()?;
    server.serve_one_visit()?;
    system.check_service()?;
    system.run(&["systemctl", "reload", UNIT])?;
    let doctor = ["runuser", "--user", UNIT, "--", "fieldvitals", "doctor", "--config", CONFIG];
    let report = system.run(&doctor)?;
    ensure!(report.contains("store.integrity"), "the doctor does not examine the store: {report}");

    // An upgrade restarts the service, and keeps what an operator changed.
    system.run(&["sh", "-c", &format!("echo 'drain = 0' >> {CONFIG}")])?;
    let before = system.process()?;
    system.run(&["dpkg", "--install", &package])?;
    ensure!(system.process()? != before, "an upgrade does not restart the service");
    ensure!(system.run(&["cat", CONFIG])?.contains("drain = 0"), "an upgrade replaces the configuration");
    system.server()?.wait_for_report()?;

    system.run(&["dpkg", "--remove", UNIT])?;
    system.ensure_absent(&["/usr/bin/fieldvitals", "/usr/lib/systemd/system/fieldvitals.service"])?;
    let processes = system.run(&["sh", "-c", "cat /proc/[0-9]*/comm"])?;
    ensure!(!processes.contains(UNIT), "the server runs after its removal");
    system.run(&["test", "-s", &format!("{DATA}/store.db")]).context("a removal takes the data")?;
    system.run(&["dpkg", "--install", &package])?;
    system.server()?.wait_for_report().context("a service installed again lost its data")?;

    system.run(&["dpkg", "--purge", UNIT])?;
    let links = "/etc/systemd/system/multi-user.target.wants/fieldvitals.service";
    system.ensure_absent(&["/etc/fieldvitals", links, "/usr/share/doc/fieldvitals"])?;
    system.run(&["test", "-s", &format!("{DATA}/store.db")]).context("a purge takes the data")?;
    let failed = system.run(&["systemctl", "--failed", "--plain", "--no-legend"])?;
    ensure!(failed.is_empty(), "units failed: {failed}");
    Ok(())
}

/// Makes a small Debian, unless it is there; returns its folder.
fn debian(target: Target) -> Result<PathBuf> {
    let folder = target_dir().join("debian").join(format!("{RELEASE}-{}", target.debian()));
    if folder.exists() {
        return Ok(folder);
    }
    say(format!("fetching a small Debian {RELEASE} into {}", folder.display()));
    let part = folder.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    fs::create_dir_all(&part)?;
    let mut command = Command::new("debootstrap");
    command.args(["--variant=minbase", &format!("--include={INCLUDED}"), "--arch", target.debian(), RELEASE]);
    run(command.arg(&part).stdout(Stdio::null()))?;
    fs::rename(&part, &folder)?;
    Ok(folder)
}

/// A container with systemd as its first process.
struct System {
    child: Child,
    /// The first process.
    leader: String,
}

impl System {
    /// Boots a system, with a folder at `/dist`.
    fn boot(folder: &Path, dist: &Path) -> Result<Self> {
        let mut command = Command::new("systemd-nspawn");
        command
            // Not registered, because that needs a systemd on this machine.
            .args(["--register=no", "--keep-unit", "--quiet", "--volatile=overlay", "--private-network"])
            .arg(format!("--bind-ro={}:/dist", dist.display()))
            .arg("--directory")
            .arg(folder)
            .args(["--boot", "--console=pipe"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().context("cannot run systemd-nspawn")?;
        let mut system = Self { child, leader: String::new() };
        let children = format!("/proc/{0}/task/{0}/children", system.child.id());
        let started = Instant::now();
        loop {
            // The first child of nspawn is gone after a moment, and its second one is systemd.
            if let Some(leader) = fs::read_to_string(&children)?.split_ascii_whitespace().next() {
                leader.clone_into(&mut system.leader);
                let mut state = system.inside(&["systemctl", "is-system-running", "--wait"]);
                if succeeds_within(&mut state, PATIENCE) {
                    return Ok(system);
                }
            }
            if let Some(status) = system.child.try_wait()? {
                bail!("systemd-nspawn ended with {status}");
            }
            ensure!(started.elapsed() < PATIENCE, "the container does not boot");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// A command in the container.
    fn inside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.leader, "--"]).args(words);
        // apt's front ends ask nothing.
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        output(&mut self.inside(words))
    }

    /// The process of the service.
    fn process(&self) -> Result<String> {
        self.run(&["systemctl", "is-active", UNIT])?;
        self.run(&["systemctl", "show", "--property", "MainPID", "--value", UNIT])
    }

    /// The service, as an operator finds it after an installation.
    fn server(&self) -> Result<Server> {
        self.process()?;
        let list = ["fieldvitals", "site", "list", "--json", "--config", CONFIG];
        let sites = self.run(&[&["runuser", "--user", UNIT, "--"], &list[..]].concat())?;
        let sites: serde_json::Value = serde_json::from_str(&sites)?;
        let key = sites[0]["key"].as_str().with_context(|| format!("no key: {sites}"))?;
        Ok(Server {
            network: ["nsenter", "--net", "--target", &self.leader, "--"].map(str::to_owned).to_vec(),
            address: "127.0.0.1:8080".to_owned(),
            key: key.to_owned(),
            token: self.run(&["cat", &format!("{DATA}/admin-token")])?,
        })
    }

    /// Checks that systemd applied the unit's hardening.
    fn check_service(&self) -> Result<()> {
        let pid = self.process()?;
        let status = self.run(&["cat", &format!("/proc/{pid}/status")])?;
        check_rights(&status)?;
        let filter = field(&status, "Seccomp")?;
        ensure!(filter == ["2"], "the service runs without a filter of system calls: {filter:?}");
        let mounts = self.run(&["cat", &format!("/proc/{pid}/mountinfo")])?;
        check_mounts(&mounts, &[("/", "ro"), ("/home", "ro"), (DATA, "rw")])?;
        let modes = self.run(&["stat", "--format", "%a %U", DATA, CONFIG, &format!("{DATA}/store.db")])?;
        let expected = "700 fieldvitals\n640 root\n600 fieldvitals";
        ensure!(modes == expected, "rights of {DATA}, {CONFIG} and the store: {modes}; expected {expected}");
        Ok(())
    }

    fn ensure_absent(&self, paths: &[&str]) -> Result<()> {
        for path in paths {
            ensure!(self.run(&["test", "-e", path]).is_err(), "{path} is left");
        }
        Ok(())
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // The signal that asks nspawn for an orderly shutdown.
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let started = Instant::now();
        while asked.as_ref().is_ok_and(std::process::ExitStatus::success)
            && started.elapsed() < SHUTDOWN_TIME_MAX
            && matches!(self.child.try_wait(), Ok(None))
        {
            std::thread::sleep(Duration::from_millis(100));
        }
        // Ignores errors: mostly the container has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
