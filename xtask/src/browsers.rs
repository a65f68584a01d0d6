//! The three-engine tests: what they need on the machine, and running them.

use crate::run::{cargo, find_program, output, run, say, target_dir};
use crate::serve::build_server;
use crate::{collector, toolchain};
use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A program and the Debian package that it is in.
type Program = (&'static str, &'static str);

/// What drives Chromium, and what fetches the reference library.
pub(crate) const CHROMIUM: [Program; 3] =
    [("chromium", "chromium"), ("chromedriver", "chromium-driver"), ("npm", "npm")];
/// What the other engines need.
const OTHERS: [Program; 3] =
    [("firefox-esr", "firefox-esr"), ("WebKitWebDriver", "webkit2gtk-driver"), ("Xvfb", "xvfb")];
/// The driver of Firefox, which Debian does not have; built where none is installed.
const GECKODRIVER: &str = "0.37.1";
/// The reference library and the SHA-256 of its package.
const WEB_VITALS: &str = "web-vitals@6.2.3";
const WEB_VITALS_SHA256: &str = "0345c05eceae57e921485b0696ab979ef559f3c3dda56abad6ad8145e399a262";

/// Installs those that are missing.
pub(crate) fn install(programs: &[Program]) -> Result<()> {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| find_program(program).is_none())
        .map(|&(_, package)| package)
        .collect();
    if !missing.is_empty() {
        toolchain::install(&missing)?;
    }
    for (program, package) in programs {
        toolchain::program(program, package)?;
    }
    Ok(())
}

/// Installs what is missing and gives the command that runs the tests.
pub(crate) fn tests() -> Result<Command> {
    install(&CHROMIUM)?;
    install(&OTHERS)?;
    let geckodriver = geckodriver()?;
    let library = web_vitals()?;
    let collector = collector::build()?;
    let server = build_server(&collector.dir, false)?;
    let mut tests = cargo();
    tests
        .args(["test", "--package", "fieldvitals-tests", "--test", "browsers", "--"])
        .env("FIELDVITALS_BIN", server.canonicalize().context("the server was built and is gone")?)
        .env("FIELDVITALS_GECKODRIVER", geckodriver.canonicalize()?)
        .env("FIELDVITALS_WEB_VITALS", library.canonicalize()?);
    Ok(tests)
}

fn geckodriver() -> Result<PathBuf> {
    if let Some(program) = find_program("geckodriver") {
        return Ok(program);
    }
    let root = target_dir().join("tools");
    let program = root.join("bin").join("geckodriver");
    if output(Command::new(&program).arg("--version")).is_ok_and(|text| text.contains(GECKODRIVER)) {
        return Ok(program);
    }
    say(format!(
        "building geckodriver {GECKODRIVER} into {}; this takes a few minutes, once",
        root.display()
    ));
    run(cargo()
        .args([
            "install",
            "--quiet",
            "--locked",
            "--debug",
            "--version",
            GECKODRIVER,
            "geckodriver",
            "--root",
        ])
        .arg(&root)
        .arg("--target-dir")
        .arg(root.join("build")))
    .context("geckodriver could not be built; `cargo install --locked geckodriver` may say more")?;
    // Nobody needs it again; staying costs no more than the room.
    let _ = fs::remove_dir_all(root.join("build"));
    Ok(program)
}

/// The script of the reference library, from its package; that with attribution lies beside it.
pub(crate) fn web_vitals() -> Result<PathBuf> {
    let dir = target_dir().join("web-vitals");
    let file = dir.join(format!("{}.tgz", WEB_VITALS.replace('@', "-")));
    let intact =
        || fs::read(&file).is_ok_and(|bytes| collector::hex(&Sha256::digest(bytes)) == WEB_VITALS_SHA256);
    if !intact() {
        say(format!("fetching {WEB_VITALS}"));
        fs::create_dir_all(&dir)?;
        run(Command::new("npm")
            .args(["pack", "--silent", WEB_VITALS, "--pack-destination"])
            .arg(&dir)
            .stdin(Stdio::null())
            .stdout(std::io::stderr()))?;
        if !intact() {
            bail!("{} is not the package {WEB_VITALS} that the tests compare with", file.display());
        }
    }
    run(Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(&dir))?;
    Ok(dir.join("package/dist/web-vitals.iife.js"))
}
