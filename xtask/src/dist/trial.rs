//! Tries the files of a release: `cargo xtask dist --test`.
//!
//! Builds the image and runs it as `docker run --read-only --cap-drop ALL` would: as the image's user, with a volume for
//! data. A beacon goes in, a report comes out. An image of another architecture runs under qemu, and so do the tests of
//! the crates that compute and store.

use super::{Target, debian, musl};
use crate::run::{find_program, output, root, run, say, seconds, succeeds_within, target_dir};
use crate::toolchain;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Largest image, in bytes.
const IMAGE_BYTES_MAX: u64 = 40_000_000;
/// The user of the image (`packaging/Dockerfile`).
const USER: &str = "65532";
/// The token of the tried server.
const TOKEN: &str = "fvt_0123456789abcdef0123456789abcdef";
/// Path of qemu in a container of another architecture.
const QEMU: &str = "/qemu";
/// The name of image, container and volume.
const NAME: &str = "fieldvitals-trial";
/// Timeout of one answer, and of a beacon's way into the report. A server under qemu is some ten times slower.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries the image and the package of a target.
pub(super) fn trial(target: Target, dist: &Path) -> Result<()> {
    let started = Instant::now();
    ensure!(
        output(Command::new("id").arg("-u"))? == "0",
        "`dist --test` starts containers, and needs root for it: run it as root, or leave --test out"
    );
    for program in ["buildah", "podman", "runc"] {
        toolchain::program(program, program)?;
    }
    let emulator = emulator(target)?;
    debian::check(target, dist)?;
    let containers = Containers::new(target)?;
    let bytes = containers.build(&dist.join(format!("image-{}", target.debian())))?;
    ensure!(bytes <= IMAGE_BYTES_MAX, "the image has {bytes} bytes; at most {IMAGE_BYTES_MAX} are allowed");
    let mut container = containers.start(emulator.as_deref())?;
    container.check_rights()?;
    container.serve_one_visit()?;
    container.stop()?;
    say(format!(
        "the image for {} has {:.1} MB, runs without rights and reports a beacon ({})",
        target.debian(),
        bytes as f64 / 1e6,
        seconds(started.elapsed())
    ));
    if let Some(emulator) = emulator {
        musl::test(target, &emulator)?;
    }
    Ok(())
}

/// qemu's static program for the target; `None` on the architecture of this machine.
fn emulator(target: Target) -> Result<Option<PathBuf>> {
    if std::env::consts::ARCH == target.architecture() {
        return Ok(None);
    }
    let name = format!("qemu-{}-static", target.architecture());
    toolchain::program(&name, "qemu-user-static").map(Some)
}

/// The containers of a target, in a storage of their own.
struct Containers {
    target: Target,
    storage: PathBuf,
}

impl Containers {
    fn new(target: Target) -> Result<Self> {
        let storage = target_dir().join("containers").join(target.debian());
        let containers = Self { target, storage: std::path::absolute(storage)? };
        containers.remove();
        fs::create_dir_all(&containers.storage)?;
        Ok(containers)
    }

    /// Removes the container of an earlier run, and the storage. Ignores errors: mostly there is none.
    fn remove(&self) {
        if self.storage.exists() && find_program("podman").is_some() {
            let limit = Duration::from_secs(30);
            succeeds_within(self.podman().args(["rm", "--all", "--force", "--time", "0"]), limit);
        }
        let _ = fs::remove_dir_all(&self.storage);
    }

    /// A program on the storage. The driver vfs copies files, and needs nothing of the machine's file system.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command
            .args(["--storage-driver", "vfs", "--root"])
            .arg(self.storage.join("root"))
            .arg("--runroot")
            .arg(self.storage.join("run"));
        command
    }

    /// runc, because crun refuses machines with both versions of control groups.
    fn podman(&self) -> Command {
        let mut command = self.program("podman");
        command.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
        command
    }

    /// Builds the image of `packaging/Dockerfile` from a folder. Returns its size in bytes.
    fn build(&self, context: &Path) -> Result<u64> {
        let mut build = self.program("buildah");
        build
            .args(["bud", "--quiet", "--isolation", "chroot", "--arch", self.target.debian(), "--tag", NAME])
            .arg("--file")
            .arg(root().join("packaging/Dockerfile"))
            .arg(context)
            .stdout(std::io::stderr());
        run(&mut build)?;
        let size = output(self.podman().args(["image", "inspect", "--format", "{{.Size}}", NAME]))?;
        size.parse().with_context(|| format!("podman tells the size of the image as {size:?}"))
    }

    /// Starts the image as the documentation does, on a new volume and a free port of this machine.
    fn start(&self, emulator: Option<&Path>) -> Result<Container<'_>> {
        let mut command = self.podman();
        command
            .args(["run", "--rm", "--name", NAME, "--arch", self.target.debian(), "--pull", "never"])
            .args(["--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL"])
            .args(["--security-opt", "no-new-privileges", "--network", "host"])
            // podman would raise both, and not every root may.
            .args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"])
            .args(["--volume", &format!("{NAME}:/data"), "--stop-timeout", "60"])
            .args(["--env", "FIELDVITALS_LISTEN=127.0.0.1:0", "--env", "FIELDVITALS_DRAIN=0"])
            .args(["--env", &format!("FIELDVITALS_ADMIN_TOKEN={TOKEN}")]);
        if let Some(emulator) = emulator {
            command.arg("--volume").arg(format!("{}:{QEMU}:ro", emulator.display()));
            command.args(["--entrypoint", &json!([QEMU, "/fieldvitals"]).to_string()]);
        }
        // An entrypoint of the command line takes the image's command away.
        command.arg(NAME).args(emulator.is_some().then_some("serve"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run podman")?;
        Container { containers: self, child, url: String::new(), key: String::new() }.greeted()
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A running server.
struct Container<'a> {
    containers: &'a Containers,
    child: Child,
    /// `127.0.0.1:PORT`.
    url: String,
    key: String,
}

impl Container<'_> {
    /// Reads address and site key from the greeting.
    fn greeted(mut self) -> Result<Self> {
        let stdout = self.child.stdout.take().context("standard output was asked for")?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next() {
            let line = line?;
            if let Some((_, url)) = line.split_once("takes beacons at http://") {
                self.url = url.to_owned();
            }
            if let Some((_, rest)) = line.split_once("data-site=\"") {
                self.key = rest.split('"').next().unwrap_or_default().to_owned();
            }
            if !self.url.is_empty() && !self.key.is_empty() {
                // Later lines are read to the end, so that podman can write them.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(self);
            }
        }
        bail!("the image does not serve: {}", self.child.wait()?)
    }

    /// Checks the user, the capabilities and the root of the process.
    fn check_rights(&self) -> Result<()> {
        let pid = output(self.containers.podman().args(["inspect", "--format", "{{.State.Pid}}", NAME]))?;
        let process = Path::new("/proc").join(pid);
        let status = fs::read_to_string(process.join("status"))?;
        let field = |name: &str| -> Result<Vec<&str>> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            Ok(line.with_context(|| format!("the system tells no {name}"))?.split_ascii_whitespace().collect())
        };
        for name in ["Uid", "Gid"] {
            let ids = field(name)?;
            ensure!(ids == [USER; 4], "the image runs with {name} {ids:?}; expected {USER}");
        }
        for name in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let capabilities = field(name)?;
            ensure!(capabilities == ["0000000000000000"], "the image runs with {name} {capabilities:?}");
        }
        ensure!(field("NoNewPrivs")? == ["1"], "the image may gain rights");
        let mounts = fs::read_to_string(process.join("mountinfo"))?;
        for (place, expected) in [("/", "ro"), ("/data", "rw")] {
            let options = mounts.lines().rev().find_map(|line| {
                let mut fields = line.split(' ').skip(4);
                (fields.next() == Some(place)).then(|| fields.next().unwrap_or_default())
            });
            let options = options.with_context(|| format!("nothing is mounted at {place}"))?;
            ensure!(
                options.split(',').any(|option| option == expected),
                "{place} is mounted {options}; expected {expected}"
            );
        }
        Ok(())
    }

    /// Asks for the server's health, sends a beacon, and waits for its page in the report.
    fn serve_one_visit(&self) -> Result<()> {
        let (status, body) = self.ask("GET", "/healthz", "")?;
        ensure!(status == 200, "/healthz answers {status}: {body}");
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let start_ms = now_ms - 1_000;
        // A UUID of version 7: the start of the view, and a number.
        let id = format!("{:08x}-{:04x}-7000-8000-000000000001", start_ms >> 16, start_ms & 0xffff);
        let beacon = json!({
            "v": 1, "site": self.key, "seq": 1, "url": "https://shop.example/cart", "device": "desktop",
            "views": [{"id": id, "nav": "navigate", "values": {"LCP": 900.0}}],
        });
        let (status, body) = self.ask("POST", "/v1/beacon", &beacon.to_string())?;
        ensure!(status == 204, "the beacon is answered {status}: {body}");
        let started = Instant::now();
        loop {
            let (status, body) = self.ask("GET", "/api/v1/sites/default/pages?period=24h&min_n=1", "")?;
            ensure!(status == 200, "the report is answered {status}: {body}");
            let report: Value = serde_json::from_str(&body).with_context(|| format!("no JSON: {body}"))?;
            let page = &report["pages"][0];
            if page["route"] == "/cart" && page["metrics"]["LCP"].is_object() {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "the beacon is not in the report: {report}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a request. Returns the status and the body of the answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.url)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // HTTP/1.0 has no chunks, and ends at the end of the connection.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: \
             text/plain\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 \
             Firefox/140.0\r\nContent-Length: {}\r\n\r\n{body}",
            self.url,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.with_context(|| format!("an answer without a status: {head}"))?, body.to_owned()))
    }

    /// Ends the server by the image's signal.
    fn stop(&mut self) -> Result<()> {
        let name = output(self.containers.podman().args(["stop", NAME]))?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{name} ended with {status} after a stop");
        Ok(())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // Ignores errors: the container may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
