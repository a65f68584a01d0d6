//! Builds the image and runs it as `docker run --read-only --cap-drop ALL` does, with a new volume for data.

use super::visit::Server;
use super::{Target, check_mounts, check_rights, field};
use crate::run::{find_program, output, root, run, say, succeeds_within, target_dir};
use crate::toolchain;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Largest image, in bytes.
const IMAGE_BYTES_MAX: u64 = 40_000_000;
/// The user of the image (`packaging/Dockerfile`).
const USER: &str = "65532";
/// The token of the tried server.
const TOKEN: &str = "fvt_0123456789abcdef0123456789abcdef";
/// The path of qemu in a container of another architecture.
const QEMU: &str = "/qemu";
/// The name of image, container and volume.
const NAME: &str = "fieldvitals-trial";
/// Timeout of the removal of an earlier run.
const REMOVAL_TIME_MAX: Duration = Duration::from_secs(30);

/// Builds the image of a target, checks its size, and runs it.
pub(super) fn trial(target: Target, dist: &Path, emulator: Option<&Path>) -> Result<()> {
    for program in ["buildah", "podman", "runc"] {
        toolchain::program(program, program)?;
    }
    let containers = Containers::new(target)?;
    let bytes = containers.build(&dist.join(format!("image-{}", target.debian())))?;
    say(format!("the image has {:.1} MB", bytes as f64 / 1e6));
    let mut container = containers.start(emulator)?;
    container.check()?;
    container.server.serve_one_visit()?;
    container.stop()?;
    ensure!(bytes <= IMAGE_BYTES_MAX, "the image has {bytes} bytes; at most {IMAGE_BYTES_MAX} are allowed");
    Ok(())
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

    /// The log of the server.
    fn log(&self) -> PathBuf {
        self.storage.join("log")
    }

    /// Removes container and storage, if any.
    fn remove(&self) {
        if self.storage.exists() && find_program("podman").is_some() {
            succeeds_within(self.podman().args(["rm", "--all", "--force", "--time", "0"]), REMOVAL_TIME_MAX);
        }
        // Ignores errors: mostly there is none, and a new storage reports its own.
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

    /// podman with runc, because crun refuses machines with both versions of control groups.
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
            .stdout(Stdio::null());
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
            .args(["--security-opt", "no-new-privileges", "--network", "host", "--stop-timeout", "60"])
            // podman would raise both, and not every root may.
            .args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"])
            .args(["--volume", &format!("{NAME}:/data")])
            .args(["--env", "FIELDVITALS_LISTEN=127.0.0.1:0", "--env", "FIELDVITALS_DRAIN=0"])
            .args(["--env", &format!("FIELDVITALS_ADMIN_TOKEN={TOKEN}")]);
        if let Some(emulator) = emulator {
            command.arg("--volume").arg(format!("{}:{QEMU}:ro", emulator.display()));
            command.args(["--entrypoint", &json!([QEMU, "/fieldvitals"]).to_string()]);
        }
        // An entrypoint of the command line replaces the image's command too.
        command.arg(NAME).args(emulator.is_some().then_some("serve"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(self.log())?);
        let mut child = command.spawn().context("cannot run podman")?;
        let server = greeted(&mut child).with_context(|| {
            format!("its log: {}", fs::read_to_string(self.log()).unwrap_or_default().trim())
        })?;
        let mut container = Container { containers: self, child, server };
        // Reports a server that ended before it is asked.
        if let Some(status) = container.child.try_wait()? {
            bail!("the image ended with {status}");
        }
        Ok(container)
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Reads address and site key from the greeting of the server.
fn greeted(child: &mut Child) -> Result<Server> {
    let stdout = child.stdout.take().context("standard output was asked for")?;
    let mut lines = BufReader::new(stdout).lines();
    let (mut address, mut key) = (None, None);
    while let Some(line) = lines.next() {
        let line = line?;
        if let Some((_, found)) = line.split_once("takes beacons at http://") {
            address = Some(found.to_owned());
        }
        if let Some((_, rest)) = line.split_once("data-site=\"") {
            key = rest.split('"').next().map(str::to_owned);
        }
        if let (Some(address), Some(key)) = (&address, &key) {
            let (network, token) = (Vec::new(), TOKEN.to_owned());
            let server = Server { network, address: address.clone(), key: key.clone(), token };
            // Reads later lines to the end, so that podman can write them.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(server);
        }
    }
    bail!("the image does not serve: {}", child.wait()?)
}

/// A running container.
struct Container<'a> {
    containers: &'a Containers,
    child: Child,
    server: Server,
}

impl Container<'_> {
    /// Checks the user, the rights and the mounts of the process.
    fn check(&self) -> Result<()> {
        let pid = output(self.containers.podman().args(["inspect", "--format", "{{.State.Pid}}", NAME]))?;
        let process = Path::new("/proc").join(pid);
        let status = fs::read_to_string(process.join("status"))?;
        check_rights(&status)?;
        for name in ["Uid", "Gid"] {
            let ids = field(&status, name)?;
            ensure!(ids == [USER; 4], "the image runs with {name} {ids:?}; expected {USER}");
        }
        check_mounts(&fs::read_to_string(process.join("mountinfo"))?, &[("/", "ro"), ("/data", "rw")])
    }

    /// Ends the server by the image's signal.
    fn stop(&mut self) -> Result<()> {
        output(self.containers.podman().args(["stop", NAME]))?;
        let status = self.child.wait()?;
        let log = fs::read_to_string(self.containers.log())?;
        ensure!(status.success(), "the image ended with {status} after a stop: {log}");
        // The server repairs a volume with the mode of a wrong folder in the image, and says so.
        ensure!(!log.contains("other users"), "the image's /data is not its owner's alone: {log}");
        Ok(())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // Ignores errors: the container may have ended, and the removal of its storage ends it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
