//! A Postgres for tests: one that `DATABASE_URL` names, else a private one that starts with the first test
//! that asks for it and ends with the test program. Each test has a database of its own.

use crate::PostgresStore;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Starts a Postgres in a new folder, prints the folder, and takes both away when its input ends, which it
/// does however the test program ends. Connections come by a socket in the folder; the user `guarded`
/// needs a password, all others none.
const RUN: &str = r#"
set -eu
bin=$1
cd /
dir=$(mktemp -d /tmp/fieldvitals-postgres.XXXXXX)
trap '"$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP
"$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
printf 'local all guarded scram-sha-256\nlocal all all trust\n' >"$dir/data/pg_hba.conf"
"$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" -o "-k $dir -h '' -c max_connections=300" start >/dev/null 2>&1 || { cat "$dir/log" >&2; exit 1; }
echo "$dir"
cat >/dev/null
"#;

/// The Postgres of this test program.
struct Server {
    /// The folder of Postgres' programs.
    bin: PathBuf,
    /// The address of a database from which others may be created.
    url: String,
    /// Holds the input whose end takes the private server away.
    _private: Option<Child>,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let bin = bin();
        match std::env::var("DATABASE_URL") {
            Ok(url) if url.starts_with("postgres") => Server { bin, url, _private: None },
            _ => {
                let (child, dir) = start(&bin);
                let url = format!("postgres:///postgres?host={dir}&user=postgres");
                Server { bin, url, _private: Some(child) }
            }
        }
    })
}

/// The folder of the newest Postgres that is installed.
fn bin() -> PathBuf {
    let has_initdb = |dir: &PathBuf| dir.join("initdb").is_file();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.filter_map(|entry| {
        Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
    });
    let newest = debian.filter(|(_, dir)| has_initdb(dir)).max().map(|(_, dir)| dir);
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest.or_else(|| std::env::split_paths(&path).find(has_initdb)).unwrap_or_else(|| {
        panic!("these tests need Postgres' programs: install the package postgresql (`apt-get install postgresql`)")
    })
}

fn start(bin: &Path) -> (Child, String) {
    let user = Command::new("id").arg("-u").output().map(|output| output.stdout).unwrap_or_default();
    // Postgres refuses to be run by root; the package made a user for it.
    let mut command = if user.trim_ascii() == b"0" {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let mut child = command
        .args(["-c", RUN, "sh"])
        .arg(bin)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("a private Postgres cannot be started: {error}"));
    let mut dir = String::new();
    let read = child.stdout.as_mut().map(|stdout| BufReader::new(stdout).read_line(&mut dir));
    assert!(matches!(read, Some(Ok(1..))), "a private Postgres did not start; it said why above");
    (child, dir.trim().to_owned())
}

/// A database of its own, dropped with this.
pub struct Database {
    name: String,
    /// Its address.
    pub url: String,
}

impl Database {
    /// An empty one.
    ///
    /// # Panics
    /// Where there is no Postgres, or it cannot make one.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(&[])
    }

    /// One with fieldvitals' schema, copied from one that is made once.
    ///
    /// # Panics
    /// Where there is no Postgres, or it cannot make one.
    pub async fn migrated() -> Self {
        static TEMPLATE: tokio::sync::OnceCell<Database> = tokio::sync::OnceCell::const_new();
        let template = TEMPLATE.get_or_init(|| async {
            let database = Self::empty();
            let store = PostgresStore::open(&database.url).await.unwrap_or_else(|error| panic!("{error}"));
            store.close().await;
            database
        });
        Self::new(&["--template", &template.await.name])
    }

    fn new(args: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fieldvitals_test_{}_{number}", std::process::id());
        let server = server();
        let (address, parameters) = server.url.split_once('?').unwrap_or((&server.url, ""));
        let host = address.find("://").map_or(0, |scheme| scheme + 3);
        let end = address[host..].find('/').map_or(address.len(), |slash| host + slash);
        let url = format!("{}/{name}?{parameters}", &address[..end]);
        run(Command::new(server.bin.join("createdb")).args(args).args([
            "--maintenance-db",
            &server.url,
            &name,
        ]));
        Self { name, url }
    }

    /// Its address for another user.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str) -> String {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{separator}user={user}&password={password}", self.url)
    }

    /// Runs SQL on it and gives its output, a row a line.
    ///
    /// # Panics
    /// Where it fails.
    #[must_use]
    pub fn sql(&self, text: &str) -> String {
        let mut psql = Command::new(server().bin.join("psql"));
        let output =
            psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url, "-c", text]);
        run(output).trim().to_owned()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let server = server();
        // Where it cannot be dropped, the private server takes it away in the end.
        let _ = Command::new(server.bin.join("dropdb"))
            .args(["--force", "--if-exists", "--maintenance-db", &server.url, &self.name])
            .output();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
