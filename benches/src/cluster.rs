//! A private Postgres whose data stays, so that what took minutes to load is there the next time.

use anyhow::{Context as _, Result, bail};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Starts a Postgres on a data folder (`$2`, made where there is none), with its socket in a new folder,
/// whose name it prints, and its own process id; ends it when its input ends.
///
/// Every commit is synced (the defaults); memory is that of docs/performance.md.
const RUN: &str = r#"
set -eu
bin=$1
data=$2
cd /
dir=$(mktemp -d /tmp/fieldvitals-bench.XXXXXX)
trap '"$bin/pg_ctl" -D "$data" -m fast -w stop >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP
[ -f "$data/PG_VERSION" ] || "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
"$bin/pg_ctl" -D "$data" -w -t 300 -l "$dir/log" -o "-k $dir -h '' -c max_connections=100 -c shared_buffers=1GB -c work_mem=256MB -c maintenance_work_mem=512MB -c max_wal_size=8GB" start >/dev/null 2>&1 || { cat "$dir/log" >&2; exit 1; }
echo "$dir $(head -n 1 "$data/postmaster.pid")"
cat >/dev/null
"#;

/// The folder of the programs of the newest Postgres that is installed.
fn bin() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, dir)| dir.join("initdb").is_file())
        .max();
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest
        .map(|(_, dir)| dir)
        .or_else(|| std::env::split_paths(&path).find(|dir| dir.join("initdb").is_file()))
        .context(
            "Postgres' programs are missing: install the package postgresql (`apt-get install postgresql`)",
        )
}

fn is_root() -> bool {
    // Our own folder in /proc belongs to whom we run as.
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// A running Postgres; ended with this, its data stays.
pub(crate) struct Cluster {
    child: Child,
    socket: String,
    /// The process id of the postmaster.
    pub(crate) pid: u32,
}

impl Cluster {
    /// Starts the one in this folder.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let data: PathBuf = folder.join("postgres");
        std::fs::create_dir_all(&data)?;
        let mut command = if is_root() {
            // Postgres refuses to be run by root; the package made a user for it.
            if !Command::new("chown").arg("-R").arg("postgres").arg(&data).status()?.success() {
                bail!("{} cannot be given to the user postgres", data.display());
            }
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        command.args(["-c", RUN, "sh"]).arg(bin()?).arg(&data);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output is piped")?).read_line(&mut line)?;
        let Some((socket, pid)) = line.trim().split_once(' ') else {
            bail!("a private Postgres did not start in {}; it said why above", data.display());
        };
        Ok(Self { child, socket: socket.to_owned(), pid: pid.parse()? })
    }

    /// The address of a database in it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=postgres", self.socket)
    }

    /// A connection to a database in it.
    pub(crate) async fn connect(&self, database: &str) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url(database)).await?)
    }

    /// Makes an empty database, in place of the one of this name, and gives its address.
    pub(crate) fn empty(&self, database: &str) -> Result<String> {
        for (program, args) in [("dropdb", &["--if-exists", "--force"][..]), ("createdb", &[])] {
            let mut command = Command::new(bin()?.join(program));
            command.args(["-h", &self.socket, "-U", "postgres"]).args(args).arg(database);
            // That there was none yet is no news.
            command.env("PGOPTIONS", "-c client_min_messages=warning");
            if !command.stderr(Stdio::inherit()).status()?.success() {
                bail!("{program} failed; it said why above");
            }
        }
        Ok(self.url(database))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The end of its input is what ends it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
