//! A private Postgres with a persistent data folder, so that a data set loaded once serves later runs.

use anyhow::{Context as _, Result, bail};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Shell script that runs Postgres on the data folder `$2` until standard input closes. `$1` is the folder of Postgres'
/// programs. Initializes a new data folder. Postgres listens on the port `$3` of 127.0.0.1, as databases are reached over
/// TCP. Puts the socket into a new folder, and prints that folder and the process id of the postmaster.
///
/// Every commit is synced (Postgres' default). docs/performance.md lists the memory settings.
const RUN: &str = r#"
set -eu
bin=$1
data=$2
port=$3
cd /
dir=$(mktemp -d /tmp/fieldvitals-bench.XXXXXX)
trap '"$bin/pg_ctl" -D "$data" -m fast -w stop >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP
[ -f "$data/PG_VERSION" ] || "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
"$bin/pg_ctl" -D "$data" -w -t 300 -l "$dir/log" -o "-k $dir -h 127.0.0.1 -p $port -c max_connections=100 -c shared_buffers=1GB -c work_mem=256MB -c maintenance_work_mem=512MB -c max_wal_size=8GB" start >/dev/null 2>&1 || { cat "$dir/log" >&2; exit 1; }
echo "$dir $(head -n 1 "$data/postmaster.pid")"
cat >/dev/null
"#;

/// Returns the folder of the newest installed Postgres' programs; falls back to the search path.
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
    // The owner of /proc/self is the user of this process.
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// A running Postgres. Dropping it stops the server and keeps the data.
pub(crate) struct Cluster {
    child: Child,
    /// Its port at 127.0.0.1.
    pub(crate) port: u16,
    /// The process id of the postmaster.
    pub(crate) pid: u32,
}

impl Cluster {
    /// Starts Postgres on the subfolder `postgres` of `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let data: PathBuf = folder.join("postgres");
        std::fs::create_dir_all(&data)?;
        let mut command = if is_root() {
            // Postgres refuses to run as root; the Debian package creates the user postgres.
            if !Command::new("chown").arg("-R").arg("postgres").arg(&data).status()?.success() {
                bail!("{} cannot be given to the user postgres", data.display());
            }
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        command.args(["-c", RUN, "sh"]).arg(bin()?).arg(&data).arg(port.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output is piped")?).read_line(&mut line)?;
        let Some((_, pid)) = line.trim().split_once(' ') else {
            bail!("a private Postgres did not start in {}; it said why above", data.display());
        };
        Ok(Self { child, port, pid: pid.parse()? })
    }

    /// Returns the URL of a database in this cluster.
    pub(crate) fn url(&self, database: &str) -> String {
        Self::url_at(database, self.port)
    }

    /// Returns the URL of a database at another port, of a proxy before this cluster.
    pub(crate) fn url_at(database: &str, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{database}")
    }

    /// Connects to a database in this cluster.
    pub(crate) async fn connect(&self, database: &str) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url(database)).await?)
    }

    /// Creates an empty database, dropping an existing one of that name, and returns its URL.
    pub(crate) fn empty(&self, database: &str) -> Result<String> {
        for (program, args) in [("dropdb", &["--if-exists", "--force"][..]), ("createdb", &[])] {
            let mut command = Command::new(bin()?.join(program));
            command
                .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"])
                .args(args)
                .arg(database);
            // Hides the notice of `--if-exists` about a missing database.
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
        // The script stops Postgres when its standard input closes.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
