//! Runs the measured servers, each in its own process.

use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running server. Dropping this kills it.
pub(crate) struct Target {
    child: Child,
    /// The server's address.
    pub(crate) address: SocketAddr,
    /// The key of the first site, for fieldvitals only.
    pub(crate) key: String,
    /// An API token, for fieldvitals only.
    pub(crate) token: String,
}

impl Target {
    /// Starts `fieldvitals serve` on an empty data folder, or again on one, with further arguments. The log goes into the
    /// folder too.
    pub(crate) fn fieldvitals(data_dir: &Path, args: &[&str]) -> Result<Self> {
        let binary = match std::env::var_os("FIELDVITALS_BIN") {
            Some(binary) => PathBuf::from(binary),
            None => std::env::current_exe()?.with_file_name("fieldvitals"),
        };
        let log = File::create(data_dir.join("server.log"))?;
        let mut command = Command::new(&binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--no-demo", "--data-dir"])
            .arg(data_dir)
            .args(args);
        command.env_remove("DATABASE_URL").env("FIELDVITALS_BOTS", "keep").stderr(log);
        let (child, lines) = start(command)
            .with_context(|| format!("{} cannot be run; `cargo xtask bench` builds it", binary.display()))?;
        let find = |before: &str, end: char| {
            lines.iter().find_map(|line| line.split_once(before)?.1.split(end).next().map(str::to_owned))
        };
        let found = (find("takes beacons at http://", ' '), find("data-site=\"", '"'));
        let (Some(address), Some(key)) = found else {
            bail!("fieldvitals did not start; see {}", data_dir.join("server.log").display());
        };
        // The first start wrote the file.
        let token = std::fs::read_to_string(data_dir.join("admin-token"))?.trim().to_owned();
        Ok(Self { child, address: address.parse()?, key, token })
    }

    /// Starts a yardstick's server, with its arguments.
    pub(crate) fn yardstick(args: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("yardstick").args(args);
        let (child, lines) = start(command)?;
        let address = lines.iter().find_map(|line| line.strip_prefix("listening on "));
        let address = address.context("the yardstick did not start")?.parse()?;
        Ok(Self { child, address, key: String::new(), token: String::new() })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // The process may have ended already, and its data are not needed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server and reads its output, up to the last line needed: the line with the address or with the data
/// folder.
fn start(mut command: Command) -> Result<(Child, Vec<String>)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut output = BufReader::new(child.stdout.take().context("its output is piped")?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if output.read_line(&mut line)? == 0 {
            break;
        }
        let line = line.trim().to_owned();
        let last = line.starts_with("data ") || line.starts_with("listening on ");
        lines.push(line);
        if last {
            // Reads later output to its end, so that the process never blocks on a full pipe.
            std::thread::spawn(move || std::io::copy(&mut output.by_ref(), &mut std::io::sink()));
            break;
        }
    }
    Ok((child, lines))
}
