//! A private Postgres whose data stays, so that what took minutes to load is there the next time.

use anyhow::{Context as _, Result, bail};
use fieldvitals_store_postgres::testing;
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
        testing::give(&data).context("the folder of Postgres' data")?;
        let mut command = testing::unprivileged("sh");
        command.args(["-c", RUN, "sh"]).arg(testing::bin()).arg(&data);
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
            let mut command = Command::new(testing::bin().join(program));
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
