//! What builds the module, and what else must be on the machine: found, or installed, or named.

use crate::run::{find_program, output, root, run, say, succeeds_within};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The target of the module.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// Flags for every module. It needs far less stack than the linker's 1 MiB.
const RUSTFLAGS: &str = "-Clink-arg=-zstack-size=65536";

/// Flags where the standard library is built too. A panic is one instruction; and without reference types
/// the module is smaller, and binaryen 108 can be trusted with it. (They cannot be left out of a standard
/// library that comes built: wasm-bindgen takes none or all.)
const RUSTFLAGS_WITH_STD: &str =
    "-Zunstable-options -Zlocation-detail=none -Cpanic=immediate-abort -Ctarget-feature=-reference-types";

/// How long rustup may try; without a network it must not hold up the build.
const RUSTUP_TIME_MAX: Duration = Duration::from_secs(60);

/// A compiler to choose.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// The toolchain that runs us, with rustup's standard library for wasm.
    Rustup,
    /// Debian's compiler: the packages rustc-web, cargo-web and rust-web-src.
    Debian,
}

/// A compiler that can build the module.
pub(crate) enum Toolchain {
    /// The toolchain that runs us, with rustup's standard library for wasm.
    Rustup,
    /// Debian's compiler, which builds the standard library from its sources. Smaller: a panic is one
    /// instruction there, in the standard library too.
    Debian {
        /// What links.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// The one of choice, else one that is there, else one that can be installed.
    pub(crate) fn find(choice: Option<Choice>) -> Result<Self> {
        let debian = choice != Some(Choice::Rustup);
        let rustup = choice != Some(Choice::Debian);
        if debian
            && has_debian()
            && let Some(linker) = linker()
        {
            return Ok(Self::Debian { linker });
        }
        if rustup && has_rustup_target() {
            return Ok(Self::Rustup);
        }
        if rustup && find_program("rustup").is_some() {
            say(format!("trying `rustup target add {WASM}`"));
            let mut add = Command::new("rustup");
            add.args(["target", "add", WASM]).env("RUSTUP_MAX_RETRIES", "0").current_dir(root());
            if succeeds_within(&mut add, RUSTUP_TIME_MAX) && has_rustup_target() {
                return Ok(Self::Rustup);
            }
            say("that did not work");
        }
        if !debian {
            bail!("rustup has no {WASM} and could not add it; `rustup target add {WASM}` says why");
        }
        let why = install(&["rustc-web", "cargo-web", "rust-web-src"]).err();
        if linker().is_none() {
            // Its absence is told below, together with what else is missing.
            let _ = install(&["lld"]);
        }
        match (has_debian(), linker()) {
            (true, Some(linker)) => Ok(Self::Debian { linker }),
            (has_compiler, linker) => bail!(
                "nothing here can build the wasm module. Either of these is needed:\n  \
                 - with rustup: `rustup target add {WASM}`, and a network{}\n  \
                 - on Debian: the packages rustc-web, cargo-web and rust-web-src{}{}",
                if find_program("rustup").is_some() { "" } else { " (rustup is not installed)" },
                if has_compiler { "" } else { " (not installed)" },
                match (linker, why) {
                    (None, _) =>
                        "; and a linker: the package lld, or rustup's rust-lld (neither found)".to_owned(),
                    (Some(_), Some(why)) => format!("; installing them failed: {why:#}"),
                    (Some(_), None) => String::new(),
                },
            ),
        }
    }

    /// A cargo that builds for [`WASM`], all but its arguments set.
    pub(crate) fn cargo_build(&self) -> Command {
        let mut command = match self {
            Self::Rustup => {
                let mut command = crate::run::cargo();
                command.arg("build");
                command.env("RUSTFLAGS", RUSTFLAGS);
                command
            }
            Self::Debian { linker } => {
                let mut command = Command::new("/usr/bin/cargo");
                command
                    .current_dir(root())
                    .args(["build", "-Zbuild-std=std,panic_abort"])
                    .arg("-Zbuild-std-features=optimize_for_size")
                    // Building the standard library is not stable; this says that we know.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                    .env("RUSTFLAGS", format!("{RUSTFLAGS_WITH_STD} {RUSTFLAGS}"))
                    // `cargo run` points it at its own toolchain's libraries.
                    .env_remove("LD_LIBRARY_PATH");
                command
            }
        };
        // clippy and the like wrap the outer compiler, not this one.
        command.args(["--target", WASM]).env_remove("RUSTC_WORKSPACE_WRAPPER");
        command
    }

    /// What it is called in messages.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Rustup => "rustup's toolchain",
            Self::Debian { .. } => "Debian's compiler",
        }
    }
}

fn has_rustup_target() -> bool {
    let Ok(sysroot) = output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root())) else {
        return false;
    };
    Path::new(&sysroot).join("lib/rustlib").join(WASM).join("lib").is_dir()
}

fn has_debian() -> bool {
    let sources = output(Command::new("/usr/bin/rustc").args(["--print", "sysroot"]))
        .map(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/std").is_dir());
    Path::new("/usr/bin/cargo").is_file() && sources.unwrap_or(false)
}

fn linker() -> Option<PathBuf> {
    let in_toolchain = || {
        let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root())).ok()?;
        let host = output(Command::new("rustc").args(["--print", "host-tuple"]).current_dir(root())).ok()?;
        let file = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/rust-lld");
        file.is_file().then_some(file)
    };
    in_toolchain().or_else(|| find_program("rust-lld")).or_else(|| find_program("wasm-ld"))
}

/// The file of a program, whose package is installed where it is missing.
pub(crate) fn program(name: &str, package: &str) -> Result<PathBuf> {
    if let Some(file) = find_program(name) {
        return Ok(file);
    }
    install(&[package])?;
    match find_program(name) {
        Some(file) => Ok(file),
        None => bail!("`{name}` is not on the search path, though the package {package} is installed"),
    }
}

/// Makes sure of Postgres' programs, which the tests of store-postgres run. Debian keeps them apart from the
/// search path, in a folder for each version.
pub(crate) fn postgres() -> Result<()> {
    let has = || {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        versions.map(|version| version.path().join("bin/initdb")).any(|file| file.is_file())
            || find_program("initdb").is_some()
    };
    if has() {
        return Ok(());
    }
    install(&["postgresql"])?;
    if !has() {
        bail!("there is no `initdb` under /usr/lib/postgresql, though the package postgresql is installed");
    }
    Ok(())
}

/// Makes sure of what the tests of faults run besides Postgres: PgBouncer, a clock that can be set, a C compiler
/// and certificates.
pub(crate) fn for_faults() -> Result<()> {
    postgres()?;
    program("openssl", "openssl")?;
    program("faketime", "faketime")?;
    program("cc", "gcc")?;
    // Debian keeps it where only administrators' search path looks.
    if !Path::new("/usr/sbin/pgbouncer").is_file() {
        program("pgbouncer", "pgbouncer")?;
    }
    Ok(())
}

/// Installs Debian packages, as root or through sudo without a password.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let Some(apt) = find_program("apt-get") else {
        bail!("{list} cannot be installed, as there is no apt-get here; install what corresponds to it");
    };
    let is_root = output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    let sudo = || {
        find_program("sudo")
            .filter(|sudo| succeeds_within(Command::new(sudo).args(["-n", "true"]), Duration::from_secs(5)))
    };
    let apt_get = |arguments: &[&str]| -> Result<()> {
        let mut command = if is_root {
            Command::new(&apt)
        } else if let Some(sudo) = sudo() {
            let mut command = Command::new(sudo);
            command.args(["-n", "DEBIAN_FRONTEND=noninteractive"]).arg(&apt);
            command
        } else {
            bail!("{list} must be installed first, and we are not root: `sudo apt-get install {list}`");
        };
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
            .args(arguments)
            .stdin(Stdio::null())
            // Standard output is the caller's, who may be reading JSON from it.
            .stdout(std::io::stderr());
        run(&mut command)
    };
    say(format!("installing {list} with apt-get; this can take a few minutes"));
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    if apt_get(&arguments).is_ok() {
        return Ok(());
    }
    say("that did not work; trying again with fresh package lists");
    apt_get(&["update"])?;
    apt_get(&arguments)
}
