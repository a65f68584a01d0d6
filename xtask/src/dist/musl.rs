//! Builds static binaries for Linux with musl.
//!
//! zig is the C compiler and the linker of both architectures, because it comes with musl and its headers. Neither needs a
//! system of the target.

use crate::run::{find_program, output, root, run, say, succeeds_within, target_dir};
use crate::serve::COLLECTOR_DIR;
use crate::toolchain;
use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// zig and its adapter for cargo, with the versions that the build was written with.
const ZIG: [&str; 2] = ["ziglang==0.17.1", "cargo-zigbuild==0.24.1"];

/// The target of a static binary.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// 64-bit x86.
    #[value(name = "x86_64-unknown-linux-musl")]
    X86,
    /// 64-bit ARM.
    #[value(name = "aarch64-unknown-linux-musl")]
    Arm,
}

impl Target {
    /// The name in Rust.
    pub(super) const fn triple(self) -> &'static str {
        match self {
            Self::X86 => "x86_64-unknown-linux-musl",
            Self::Arm => "aarch64-unknown-linux-musl",
        }
    }

    /// The name of the architecture in Rust and in qemu.
    pub(super) const fn architecture(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "aarch64",
        }
    }

    /// The name of the architecture in Debian and in images.
    pub(super) const fn debian(self) -> &'static str {
        match self {
            Self::X86 => "amd64",
            Self::Arm => "arm64",
        }
    }
}

/// Crates whose tests run on the target too: the figures and the store depend on the processor, the rest does not.
const TESTED: [&str; 2] = ["vitals", "fieldvitals-store-sqlite"];

/// Builds the server with this collector embedded; returns the path of the binary.
pub(super) fn build(target: Target, collector: &Path) -> Result<PathBuf> {
    let triple = target.triple();
    let mut build = zigbuild("zigbuild", target)?;
    say(format!("building the server for {triple}; it takes some minutes"));
    build
        .args(["--release", "--package", "fieldvitals"])
        .env(COLLECTOR_DIR, collector.canonicalize().context("the collector was built and is gone")?)
        .stdout(std::io::stderr());
    run(&mut build)?;
    Ok(target_dir().join(triple).join("release/fieldvitals"))
}

/// Runs the tests of some crates on the target, under qemu.
pub(super) fn test(target: Target, emulator: &Path) -> Result<()> {
    let mut test = zigbuild("test", target)?;
    say(format!("running tests of {} for {}", TESTED.join(" and "), target.triple()));
    let runner = format!("CARGO_TARGET_{}_RUNNER", target.triple().to_uppercase().replace('-', "_"));
    run(test.args(TESTED.iter().flat_map(|name| ["--package", name])).arg("--tests").env(runner, emulator))
}

/// A command of cargo for the target, with zig as compiler and linker of C.
fn zigbuild(subcommand: &str, target: Target) -> Result<Command> {
    add(target)?;
    let zig = zig()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(zig.clone()).chain(std::env::split_paths(&path)))?;
    let mut command = Command::new(zig.join("cargo-zigbuild"));
    command.args([subcommand, "--target", target.triple()]).current_dir(root()).env("PATH", path);
    Ok(command)
}

/// Adds the standard library of a target, if missing.
fn add(target: Target) -> Result<()> {
    let triple = target.triple();
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()))?;
    if Path::new(&sysroot).join("lib/rustlib").join(triple).is_dir() {
        return Ok(());
    }
    if find_program("rustup").is_none() {
        bail!("the standard library for {triple} is missing, and rustup is not installed to add it");
    }
    run(Command::new("rustup").args(["target", "add", triple]).current_dir(root()))
}

/// Installs zig into a virtual environment of its own, unless it is there; returns the folder of its programs.
fn zig() -> Result<PathBuf> {
    let environment = target_dir().join("zig").join(ZIG.join("_").replace("==", "-"));
    let programs = environment.join("bin");
    let runs = |command: &mut Command| succeeds_within(command, Duration::from_secs(30));
    if runs(Command::new(programs.join("cargo-zigbuild")).arg("--version")) {
        return Ok(programs);
    }
    if !runs(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        toolchain::install(&["python3-venv"])?;
    }
    say(format!("installing {} into {}", ZIG.join(" and "), environment.display()));
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    run(Command::new(programs.join("python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"])
        .args(ZIG)
        .stdout(std::io::stderr()))?;
    Ok(programs)
}
