//! Postgres for tests: the server in `DATABASE_URL`, else a private server that starts with the first test and ends
//! with the test program. Each test has its own database.

mod trips;

pub use trips::count_round_trips;

use crate::PostgresStore;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Shell script that creates a Postgres in a new folder, prints the folder, and executes commands from its input, one
/// word per line. It answers each command with `ok` or an error message. At the end of its input it stops Postgres and
/// removes the folder, even if the test program crashes. Postgres accepts connections at a port of 127.0.0.1 and on a
/// socket in the folder; only the user `guarded` needs a password. After `tls`, TCP connections must be encrypted, with
/// a certificate for `localhost`.
const RUN: &str = r#"
set -eu
bin=$1
port=$2
cd /
dir=$(mktemp -d /tmp/fieldvitals-postgres.XXXXXX)
# Killed processes lose nothing that they wrote, even without fsync; a power failure is not tested.
fast="-c fsync=off -c full_page_writes=off -c max_connections=300"
options="-k $dir -p $port -h 127.0.0.1 $fast"
local='local all guarded scram-sha-256\nlocal all all trust\n'
kill_all() {
    main=$(head -n 1 "$dir/data/postmaster.pid")
    kill -9 "$main" $(cat "/proc/$main/task/$main/children" 2>/dev/null) 2>/dev/null || true
}
begin() { "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" -o "$options" start >/dev/null 2>&1; }
# A Postgres that was killed is still being taken down for a moment.
start() { for try in 1 2 3 4 5 6 7 8 9; do begin && return; sleep 0.2; done; begin || tail -n 5 "$dir/log"; }
certify() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
        -addext "basicConstraints=critical,CA:TRUE" -keyout "$dir/$1.key" -out "$dir/$1.crt"
}
tls() {
    certify authority && certify stranger
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
        -keyout "$dir/server.key" -out "$dir/server.csr"
    printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >"$dir/server.ext"
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/authority.crt" -CAkey "$dir/authority.key" -CAcreateserial \
        -days 2 -extfile "$dir/server.ext" -out "$dir/server.crt"
    printf "${local}hostssl all all 127.0.0.1/32 trust\nhostssl all all ::1/128 trust\n" >"$dir/data/pg_hba.conf"
    options="-k $dir -p $port -h localhost,::1 $fast -c ssl=on -c ssl_cert_file=$dir/server.crt -c ssl_key_file=$dir/server.key"
}
stop() { "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true; }
trap 'stop; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP
"$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
printf "${local}host all guarded 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n" >"$dir/data/pg_hba.conf"
echo "$dir"
while read -r command; do
    case $command in
        start) said=$(start) ;;
        kill) said=$(kill_all) ;;
        # Not in a shell of its own: it changes the options.
        tls) tls >"$dir/said" 2>&1 && said= || said=$(cat "$dir/said") ;;
        *) said="no such command" ;;
    esac
    [ -z "$said" ] && echo ok || echo $said
done
"#;

/// The Postgres server of this test program.
struct Server {
    /// The folder of Postgres' programs.
    bin: PathBuf,
    /// The address of a database from which others can be created.
    url: String,
    /// The private server, which is removed when this value is dropped.
    private: Option<Cluster>,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let bin = bin();
        match std::env::var("DATABASE_URL") {
            Ok(url) if url.starts_with("postgres") => Server { bin, url, private: None },
            _ => {
                let cluster = Cluster::start();
                Server { bin, url: cluster.url(), private: Some(cluster) }
            }
        }
    })
}

/// The environment variable that names the folder of another server's programs, which may lack the clients.
const SERVER_BIN: &str = "FIELDVITALS_POSTGRES_BIN";

/// Finds the programs of the server to be started.
fn server_bin() -> PathBuf {
    std::env::var_os(SERVER_BIN).map_or_else(bin, PathBuf::from)
}

/// Finds the programs of the newest installed Postgres.
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

/// Creates a command that does not run as root, because Postgres and PgBouncer refuse root. Uses the user of the
/// Postgres package.
fn unprivileged(program: &str) -> Command {
    let user = Command::new("id").arg("-u").output().map(|output| output.stdout).unwrap_or_default();
    if user.trim_ascii() == b"0" {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", program]);
        command
    } else {
        Command::new(program)
    }
}

/// The ports of private servers: below the ports that systems give to outgoing connections, so that no such connection
/// takes the port of a killed server.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// Finds a free TCP port. Test programs that run at once begin at different ports.
fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let len = PORTS.end - PORTS.start;
    let first = std::process::id().wrapping_mul(97);
    for _ in 0..len {
        let place = first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + place % len).unwrap_or_default();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {PORTS:?} is free at 127.0.0.1");
}

/// A private Postgres, which tests may kill. Dropping this value removes the server.
pub struct Cluster {
    child: Child,
    answers: BufReader<ChildStdout>,
    dir: PathBuf,
    port: u16,
}

impl Cluster {
    /// Starts a server that accepts connections at a port of 127.0.0.1 and on a socket.
    ///
    /// # Panics
    /// If Postgres is missing or does not start.
    #[must_use]
    pub fn start() -> Self {
        let mut cluster = Self::prepare();
        cluster.tell("start");
        cluster
    }

    /// Starts a server that accepts only encrypted connections, at `localhost`, and those on its socket. Its folder has the certificate of its
    /// authority, `authority.crt`, and of an unrelated authority, `stranger.crt`.
    ///
    /// # Panics
    /// If Postgres or `openssl` is missing, or Postgres does not start.
    #[must_use]
    pub fn start_with_tls() -> Self {
        let mut cluster = Self::prepare();
        cluster.tell("tls");
        cluster.tell("start");
        cluster
    }

    fn prepare() -> Self {
        let port = free_port();
        let mut child = unprivileged("sh")
            .args(["-c", RUN, "sh"])
            .arg(server_bin())
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("a private Postgres cannot be started: {error}"));
        let Some(stdout) = child.stdout.take() else { panic!("its output is piped") };
        let mut answers = BufReader::new(stdout);
        let mut dir = String::new();
        let read = answers.read_line(&mut dir);
        assert!(matches!(read, Ok(1..)), "a private Postgres did not start; it said why above");
        Self { child, answers, dir: dir.trim().into(), port }
    }

    fn tell(&mut self, command: &str) {
        let Some(stdin) = self.child.stdin.as_mut() else { panic!("its input is piped") };
        let told = writeln!(stdin, "{command}").and_then(|()| stdin.flush());
        let mut answer = String::new();
        let read = told.and_then(|()| self.answers.read_line(&mut answer));
        assert!(read.is_ok() && answer.trim() == "ok", "{command} of a private Postgres: {answer}");
    }

    /// Kills all processes of the server at once, like a crash.
    ///
    /// # Panics
    /// If this fails.
    pub fn kill(&mut self) {
        self.tell("kill");
    }

    /// Starts a killed server.
    ///
    /// # Panics
    /// If Postgres does not start.
    pub fn start_again(&mut self) {
        self.tell("start");
    }

    /// The address of the database `postgres` over TCP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres:///postgres?host=127.0.0.1&port={}&user=postgres", self.port)
    }

    /// The address of the database `postgres` on the socket.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("postgres:///postgres?host={}&port={}&user=postgres", self.dir.display(), self.port)
    }

    /// The address of the database `postgres` over TCP at this host.
    #[must_use]
    pub fn url_at(&self, host: &str) -> String {
        format!("postgres://postgres@{host}:{}/postgres", self.port)
    }

    /// The server's port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Counts the TCP connections of this process to the server: all, and those that send at once (`TCP_NODELAY`).
    ///
    /// # Panics
    /// If the system does not allow it.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        let sockets = crate::nodelay::sockets(self.port).unwrap_or_else(|error| panic!("{error}"));
        let at_once = |socket: &&_| rustix::net::sockopt::tcp_nodelay(socket).unwrap_or(false);
        (sockets.len(), sockets.iter().filter(at_once).count())
    }

    /// The server's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of the server's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Runs SQL in the database `postgres`. Returns the output, one line per row.
    ///
    /// # Panics
    /// If the SQL fails.
    #[must_use]
    pub fn sql(&self, text: &str) -> String {
        psql(&self.socket_url(), text)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The end of the input stops the server. The wait ensures that the folder does not outlive the test.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A PgBouncer in transaction mode before Postgres. Dropping this value removes it.
pub struct Pooler {
    child: Child,
    dir: PathBuf,
}

impl Pooler {
    /// Starts a PgBouncer before the server of this test program.
    ///
    /// # Panics
    /// If PgBouncer is missing or does not start.
    #[must_use]
    pub fn start() -> Self {
        const RUN: &str = r#"
set -eu
dir=$(mktemp -d /tmp/fieldvitals-pgbouncer.XXXXXX)
child=
trap '[ -z "$child" ] || kill "$child"; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP
cat >"$dir/pgbouncer.ini" <<END
[databases]
* = $1
[pgbouncer]
unix_socket_dir = $dir
listen_port = 5432
pool_mode = transaction
auth_type = any
default_pool_size = 20
max_client_conn = 2000
server_reset_query_always = 0
ignore_startup_parameters =
logfile = $dir/log
END
PATH=$PATH:/usr/sbin pgbouncer -q "$dir/pgbouncer.ini" 2>&1 >/dev/null &
child=$!
while [ ! -S "$dir/.s.PGSQL.5432" ]; do kill -0 "$child" || { cat "$dir/log" >&2; exit 1; }; sleep 0.02; done
echo "$dir"
cat >/dev/null
"#;
        let Some(cluster) = &server().private else {
            panic!("PgBouncer is tested before the private Postgres: unset DATABASE_URL");
        };
        let mut child = unprivileged("sh")
            .args(["-c", RUN, "sh"])
            .arg(format!("host=127.0.0.1 port={} user=postgres", cluster.port))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("PgBouncer cannot be started: {error}"));
        let Some(stdout) = child.stdout.take() else { panic!("its output is piped") };
        let mut dir = String::new();
        let read = BufReader::new(stdout).read_line(&mut dir);
        assert!(
            matches!(read, Ok(1..)),
            "PgBouncer did not start; it said why above (`apt-get install pgbouncer` installs it)"
        );
        Self { child, dir: dir.trim().into() }
    }

    /// The address of a database through the pooler.
    #[must_use]
    pub fn url(&self, database: &Database) -> String {
        format!("postgres:///{}?host={}&user=postgres", database.name, self.dir.display())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A database of a test. Dropping this value drops the database.
pub struct Database {
    name: String,
    /// The database's address.
    pub url: String,
}

impl Database {
    /// Creates an empty database.
    ///
    /// # Panics
    /// If Postgres is missing or fails.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(&[])
    }

    /// Creates an empty database with another encoding.
    ///
    /// # Panics
    /// If Postgres is missing or fails.
    #[must_use]
    pub fn of_encoding(encoding: &str) -> Self {
        Self::new(&["--template", "template0", "--locale", "C", "--encoding", encoding])
    }

    /// Creates a database with fieldvitals' schema, as a copy of a template that is created once.
    ///
    /// # Panics
    /// If Postgres is missing or fails.
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

    /// The database's address for another user.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str) -> String {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{separator}user={user}&password={password}", self.url)
    }

    /// Runs SQL. Returns the output, one line per row.
    ///
    /// # Panics
    /// If the SQL fails.
    #[must_use]
    pub fn sql(&self, text: &str) -> String {
        psql(&self.url, text)
    }
}

fn psql(url: &str, text: &str) -> String {
    let mut psql = Command::new(bin().join("psql"));
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text]);
    loop {
        let output = psql.output().unwrap_or_else(|error| panic!("{psql:?}: {error}"));
        // A change of a table locks its partitions in another order than a load beside it. Postgres ends one of the two,
        // which then has changed nothing.
        let is_deadlock = String::from_utf8_lossy(&output.stderr).contains("deadlock detected");
        if !is_deadlock {
            return told(&psql, &output).trim().to_owned();
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let server = server();
        // If this fails, the database ends with the private server.
        let _ = Command::new(server.bin.join("dropdb"))
            .args(["--force", "--if-exists", "--maintenance-db", &server.url, &self.name])
            .output();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    told(command, &output)
}

fn told(command: &Command, output: &Output) -> String {
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
