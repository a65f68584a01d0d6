//! Finds or installs the toolchain of the module and the other required programs, or names the missing ones.

use crate::run::{find_program, output, root, run, say, succeeds_within};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The module's target.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// Flags of the module and of its standard library; all reduce size.
///
/// - A panic is one instruction and names no place in the source.
/// - `{:?}` writes nothing, so no text for a visitor may come from `Debug`.
/// - Without reference types, wasm-bindgen keeps JavaScript's values in its own array.
/// - The stack needs far less than the linker's 1 MiB.
/// - At level 3 LLVM simplifies more than at "z". The flags after the stack's prevent copies of code: a function is
///   inlined only if its body is no longer than the call, no loop is unrolled, peeled, split or vectorized, and no loop
///   gets further counters.
const RUSTFLAGS: [&str; 14] = [
    "-Zunstable-options",
    "-Zlocation-detail=none",
    "-Zfmt-debug=none",
    "-Cpanic=immediate-abort",
    "-Ctarget-feature=-reference-types",
    "-Clink-arg=-zstack-size=65536",
    "-Cllvm-args=-inline-threshold=5",
    "-Cllvm-args=-unroll-threshold=0",
    "-Cllvm-args=-unroll-allow-peeling=false",
    "-Cllvm-args=-unswitch-threshold=0",
    "-Cllvm-args=-enable-pre=false",
    "-Cllvm-args=-disable-lsr",
    "-Cno-vectorize-loops",
    "-Cno-vectorize-slp",
];

/// Timeout of rustup, so that a machine without a network fails soon.
const RUSTUP_TIME_MAX: Duration = Duration::from_secs(120);

/// Returns a `cargo rustc` for [`WASM`] with the toolchain that runs xtask; the caller adds the package. Builds the
/// standard library too, because the flags cannot change rustup's prebuilt one.
///
/// # Errors
/// If the sources of the standard library are missing and cannot be added.
pub(crate) fn wasm_build() -> Result<Command> {
    add_rust_src()?;
    let mut command = crate::run::cargo();
    command
        .args(["rustc", "--target", WASM])
        .args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"])
        // Permits `-Z` options on a stable toolchain.
        .env("RUSTC_BOOTSTRAP", "1")
        // Takes precedence over every other source of flags.
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"))
        // clippy and similar tools wrap the outer compiler, not this one.
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    Ok(command)
}

/// Adds the sources of the standard library to the toolchain, if missing.
fn add_rust_src() -> Result<()> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()))?;
    let sources = Path::new(&sysroot).join("lib/rustlib/src/rust/library");
    let has = || sources.join("Cargo.lock").is_file();
    if has() {
        return Ok(());
    }
    const NEED: &str =
        "the wasm module is built together with Rust's standard library, whose sources are missing";
    if find_program("rustup").is_none() {
        bail!(
            "{NEED}, and rustup is not installed to add them: install Rust with rustup (https://rustup.rs), or put \
             the sources of this compiler's version into {}",
            sources.display()
        );
    }
    say("adding the sources of Rust's standard library: `rustup component add rust-src`, some megabytes");
    let mut add = Command::new("rustup");
    add.args(["component", "add", "rust-src"]).env("RUSTUP_MAX_RETRIES", "0").current_dir(root());
    if succeeds_within(&mut add, RUSTUP_TIME_MAX) && has() {
        return Ok(());
    }
    bail!(
        "{NEED}, and `rustup component add rust-src` failed or took more than {} s: run it to see why (it needs a \
         network once), then try again",
        RUSTUP_TIME_MAX.as_secs()
    );
}

/// Returns the path of a program; installs its package if the program is missing.
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

/// Ensures that Postgres' programs are installed, for the tests of store-postgres. Debian installs them outside of the
/// search path, in one folder a version.
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

/// Ensures that the programs of the fault tests are installed: Postgres, PgBouncer, faketime for settable clocks, a C
/// compiler, and OpenSSL for certificates.
pub(crate) fn for_faults() -> Result<()> {
    postgres()?;
    program("openssl", "openssl")?;
    program("faketime", "faketime")?;
    program("cc", "gcc")?;
    // Debian installs it in /usr/sbin, which is on the search path of administrators only.
    if !Path::new("/usr/sbin/pgbouncer").is_file() {
        program("pgbouncer", "pgbouncer")?;
    }
    Ok(())
}

/// Ensures that the proxy of the tests is installed. Debian installs it in /usr/sbin, which is on the search path of
/// administrators only.
pub(crate) fn for_proxies() -> Result<()> {
    if !Path::new("/usr/sbin/nginx").is_file() {
        program("nginx", "nginx-light")?;
    }
    Ok(())
}

/// Ensures that the receivers of alerts are installed, for the tests of alerts: Alertmanager, and a mail server.
pub(crate) fn for_alerts() -> Result<()> {
    program("prometheus-alertmanager", "prometheus-alertmanager")?;
    program("aiosmtpd", "python3-aiosmtpd")?;
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
            // Standard output belongs to the caller, which may read JSON from it.
            .stdout(std::io::stderr());
        run(&mut command)
    };
    say(format!("installing {list} with apt-get; this can take a few minutes"));
    // Old package lists name versions that are gone, or browsers that lack what the tests measure. Without a network,
    // a local package may still be installed.
    if apt_get(&["update"]).is_err() {
        say("the package lists could not be renewed");
    }
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(&arguments)
}
