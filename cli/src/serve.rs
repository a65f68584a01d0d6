//! `fieldvitals serve`: runs the server until a signal ends it.

mod monitoring;
mod tls;

use crate::interrupt::{INTERRUPTED, TERMINATED};
use crate::limits;
use crate::store_args::{PublicUrl, StoreArgs, current_key, script_tag};
use anyhow::{anyhow, ensure};
use clap::builder::BoolishValueParser;
use fieldvitals_server::administration::RetentionChange;
use fieldvitals_server::alert::Channels;
use fieldvitals_server::crux::CruxSource;
use fieldvitals_server::tls::Tls;
use fieldvitals_server::{
    Config, ConnectionLimits, FIRST_SITE, FirstToken, HeaderName, MadeToken, Server, http,
};
use fieldvitals_store::Retention;
use ipnet::IpNet;
use monitoring::Monitoring;
use reqwest::Url;
use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::time::Duration;
use tls::TlsArgs;
#[cfg(unix)]
use tokio::signal::unix;
use tokio::sync::{Mutex, oneshot};
use tracing_subscriber::EnvFilter;

/// Minimum length of a chosen token, in characters: 128 random bits in hexadecimal digits.
const ADMIN_TOKEN_BYTES_MIN: usize = 32;
/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;
/// Smallest spool: two group commits.
const SPOOL_MIB_MIN: u64 = 2 * fieldvitals_server::limits::COMMIT_BYTES_MAX as u64 / MIB;
/// Largest spool: 1 TiB.
const SPOOL_MIB_MAX: u64 = 1024 * 1024;
/// Largest memory for answers: 1 TiB.
const ANSWERS_MIB_MAX: u64 = 1024 * 1024;

/// Options of the server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on.
    #[arg(long, env = "FIELDVITALS_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR", value_parser = address)]
    listen: SocketAddr,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    public_url: PublicUrl,
    #[command(flatten)]
    tls: TlsArgs,
    /// A proxy whose X-Forwarded-For is trusted, as an address or network; may be repeated.
    #[arg(long = "trusted-proxy", env = "FIELDVITALS_TRUSTED_PROXIES", value_delimiter = ',', value_name = "CIDR", value_parser = network)]
    trusted_proxies: Vec<IpNet>,
    /// The header in which a trusted proxy sends the visitor's country, such as CF-IPCountry; without this option the
    /// country is unknown.
    #[arg(long, env = "FIELDVITALS_COUNTRY_HEADER", value_name = "NAME", value_parser = header)]
    country_header: Option<HeaderName>,
    /// Treatment of automated visits: crawlers, uptime checks, Lighthouse, headless and automated browsers.
    #[arg(long, env = "FIELDVITALS_BOTS", default_value = "filter", value_name = "WHAT")]
    bots: Bots,
    /// Beacons per second from one client network (IPv4 /24, IPv6 /56), with bursts of ten times as many; 0 for no
    /// limit. This machine itself is not limited.
    #[arg(long, env = "FIELDVITALS_CLIENT_RATE", default_value_t = 100, value_name = "N")]
    client_rate: u32,
    #[command(flatten)]
    connections: Connections,
    #[command(flatten)]
    keep: Keep,
    /// Seconds to wait at the start for an unreachable database; 0 to give up at once.
    #[arg(long, env = "FIELDVITALS_DATABASE_WAIT", default_value_t = limits::DATABASE_WAIT_MS / 1_000, value_name = "SECONDS")]
    database_wait: u64,
    /// Maximum size of the spool on this disk, in MiB; beacons above it are refused.
    #[arg(long, env = "FIELDVITALS_SPOOL_MAX_MIB", default_value_t = fieldvitals_server::limits::SPOOL_BYTES_MAX / MIB, value_name = "N",
          value_parser = clap::value_parser!(u64).range(SPOOL_MIB_MIN..=SPOOL_MIB_MAX))]
    spool_max_mib: u64,
    /// Maximum size of the answers kept in memory, in MiB; 0 to keep none.
    #[arg(long, env = "FIELDVITALS_ANSWERS_MIB", default_value_t = vitals::limits::ANSWERS_BYTES_MAX / MIB, value_name = "N",
          value_parser = clap::value_parser!(u64).range(..=ANSWERS_MIB_MAX))]
    answers_mib: u64,
    /// Seconds to keep serving after SIGTERM. Meanwhile /readyz answers 503 and answers close their connections, so
    /// that load balancers choose another server. A second signal ends the drain; Ctrl-C has no drain.
    #[arg(long, env = "FIELDVITALS_DRAIN", default_value_t = limits::DRAIN_S, value_name = "SECONDS")]
    drain: u64,
    #[command(flatten)]
    monitoring: Monitoring,
    /// File with the channels that alerts are sent to (docs/alerts.md).
    #[arg(long, env = "FIELDVITALS_ALERTS", value_name = "FILE")]
    alerts: Option<PathBuf>,
    #[command(flatten)]
    crux: Crux,
    /// Seconds between two looks at the budgets that are kept on the server.
    #[arg(long, env = "FIELDVITALS_STANDING_EVERY", default_value_t = limits::STANDING_EVERY_S, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=limits::STANDING_EVERY_S_MAX))]
    standing_every: u64,
    /// Do not serve the demo site under /demo/.
    #[arg(long, env = "FIELDVITALS_NO_DEMO", value_parser = BoolishValueParser::new())]
    no_demo: bool,
    /// Let `fieldvitals load` test this server; /healthz says so. Not for servers with real visitors.
    #[arg(long, env = "FIELDVITALS_ALLOW_LOAD_TEST", value_parser = BoolishValueParser::new())]
    allow_load_test: bool,
}

/// Google's CrUX API, whose records `report --crux` shows beside one's own.
#[derive(Debug, clap::Args)]
struct Crux {
    /// File with a key of Google's CrUX API (docs/crux.md); FIELDVITALS_CRUX_KEY has the key itself. Without a key, Google is
    /// never asked.
    #[arg(long, env = "FIELDVITALS_CRUX_KEY_FILE", value_name = "FILE")]
    crux_key_file: Option<PathBuf>,
    /// A stand-in of Google on this machine, for tests: http://127.0.0.1:PORT.
    #[arg(long, env = "FIELDVITALS_CRUX_URL", value_name = "URL", hide = true)]
    crux_url: Option<Url>,
}

impl Crux {
    fn source(&self) -> anyhow::Result<Option<CruxSource>> {
        let key = match &self.crux_key_file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| anyhow!("--crux-key-file {}: {error}", file.display()))?,
            None => std::env::var("FIELDVITALS_CRUX_KEY").unwrap_or_default(),
        };
        let key = key.trim();
        ensure!(
            key.bytes().all(|byte| byte.is_ascii_graphic()),
            "the key of the CrUX API has spaces or characters that a header cannot have"
        );
        ensure!(!key.is_empty() || self.crux_key_file.is_none(), "the file of --crux-key-file is empty");
        let source = CruxSource { key: key.to_owned(), stand_in: self.crux_url.clone() };
        Ok((!key.is_empty()).then_some(source))
    }
}

/// Bounds of connections.
#[derive(Debug, clap::Args)]
struct Connections {
    /// Maximum number of connections. Above it, the server closes the connections that have waited longest for their
    /// clients.
    #[arg(long, env = "FIELDVITALS_CONNECTIONS_MAX", default_value_t = fieldvitals_server::limits::CONNECTIONS_MAX, value_name = "N",
          value_parser = at_least(fieldvitals_server::limits::CONNECTIONS_MIN))]
    connections_max: usize,
    /// Maximum number of connections of one client network (IPv4 /24, IPv6 /56), enforced in the same way; 0 for no
    /// limit. Trusted proxies are not limited.
    #[arg(long, env = "FIELDVITALS_CLIENT_CONNECTIONS_MAX", default_value_t = limits::CLIENT_CONNECTIONS_MAX,
          value_name = "N")]
    client_connections_max: usize,
    /// Seconds to keep an idle connection. Must exceed the keep-alive of a load balancer in front, or the load
    /// balancer sends requests on connections that are being closed.
    #[arg(long, env = "FIELDVITALS_KEEP_ALIVE", default_value_t = limits::KEEP_ALIVE_S, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=limits::KEEP_ALIVE_S_MAX))]
    keep_alive: u64,
}

impl Connections {
    fn limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            all_max: self.connections_max,
            client_max: self.client_connections_max,
            keep_alive: Duration::from_secs(self.keep_alive),
        }
    }
}

fn at_least(least: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.parse() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(format!("expected a number of at least {least}")),
    }
}

/// Treatment of automated visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Bots {
    /// Refuse them, and count them by kind.
    Filter,
    /// Keep them like other visits, for your own tests.
    Keep,
}

/// Retention, in days. Any of these options keeps this server from following `fieldvitals retention set`; the others then
/// have their defaults. A shorter retention takes effect within a minute, and removed data do not come back.
#[derive(Debug, clap::Args)]
pub(crate) struct Keep {
    /// Days to keep page views. Gates, queries with several filters and queries of exact times read page views. 30, unless
    /// `fieldvitals retention set` says otherwise.
    #[arg(long = "keep-views-days", env = "FIELDVITALS_KEEP_VIEWS_DAYS", value_name = "N",
          value_parser = days(fieldvitals_server::limits::KEEP_VIEWS_DAYS_MIN))]
    views: Option<u32>,
    /// Days to keep hourly rollups; reports cover older days as a whole. 14, unless set otherwise.
    #[arg(long = "keep-hours-days", env = "FIELDVITALS_KEEP_HOURS_DAYS", value_name = "N", value_parser = days(1))]
    hours: Option<u32>,
    /// Days to keep daily rollups: the range of reports. 762, unless set otherwise.
    #[arg(long = "keep-rollups-days", env = "FIELDVITALS_KEEP_ROLLUPS_DAYS", value_name = "N",
          value_parser = days(fieldvitals_server::limits::KEEP_VIEWS_DAYS_MIN))]
    rollups: Option<u32>,
}

fn days(least: u32) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(least)..=i64::from(fieldvitals_server::limits::KEEP_DAYS_MAX))
}

impl Keep {
    /// Returns the retention of the options; `None` if there is none of them.
    pub(crate) fn retention(&self) -> anyhow::Result<Option<Retention>> {
        let change =
            RetentionChange { views_days: self.views, hours_days: self.hours, rollups_days: self.rollups };
        if change == RetentionChange::default() {
            return Ok(None);
        }
        let chosen = change.of(Retention::default());
        let Retention { raw_days, hourly_days, daily_days } = chosen;
        ensure!(
            daily_days >= raw_days && daily_days >= hourly_days,
            "--keep-rollups-days {daily_days} is less than --keep-views-days {raw_days} or --keep-hours-days \
             {hourly_days}: daily rollups are what reports of any past day are made of, so keep them at least as long",
        );
        Ok(Some(chosen))
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected ADDRESS:PORT, such as 127.0.0.1:8080 or 0.0.0.0:8080";
    text.to_socket_addrs()
        .map_err(|error| format!("{error}; {expected}"))?
        .next()
        .ok_or_else(|| format!("the name has no address; {expected}"))
}

fn header(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_| "expected the name of a header, such as CF-IPCountry".to_owned())
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "expected an address or network, such as 10.0.0.1 or 10.0.0.0/8".to_owned())
}

impl Args {
    /// Checks options against each other. Reads the files that they name, and changes nothing.
    ///
    /// # Errors
    /// If options contradict each other, or a file has a mistake.
    pub(crate) fn check(&self) -> anyhow::Result<Checked> {
        self.check_with(&|name| std::env::var(name).ok())
    }

    /// Checks options, with the environment variables of the file of channels from `variable`.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn check_with(&self, variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Checked> {
        let retention = self.keep.retention()?;
        self.store.check()?;
        self.monitoring.check()?;
        ensure!(
            self.country_header.is_none() || !self.trusted_proxies.is_empty(),
            "--country-header (or FIELDVITALS_COUNTRY_HEADER) is believed only from a proxy: name yours with \
             --trusted-proxy"
        );
        Ok(Checked {
            retention,
            tls: self.tls.open()?,
            first_token: first_token()?,
            alerts: channels(self.alerts.as_deref(), variable)?,
            crux: self.crux.source()?,
        })
    }

    /// The URL of the server for browsers: the public one, or that on this machine.
    fn base_url(&self, address: SocketAddr) -> String {
        let is_tls = self.tls.files().is_ok_and(|files| files.is_some());
        let local =
            || local_url(if is_tls { "https" } else { "http" }, address) + self.public_url.base_path.as_str();
        self.public_url.whole().unwrap_or_else(local)
    }
}

/// What the options name, read from files and variables.
pub(crate) struct Checked {
    retention: Option<Retention>,
    tls: Option<Arc<Tls>>,
    first_token: FirstToken,
    alerts: Channels,
    crux: Option<CruxSource>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Checked { retention, tls, first_token, alerts, crux } = args.check()?;
    args.monitoring.begin_log(log_filter(args.monitoring.log.as_deref()));
    args.tls.warn_of_loose_key();

    let mut signals = Signals::listen(tls.clone())?;
    let config = Config {
        listen: args.listen,
        data_dir: args.store.data_dir.clone(),
        database_url: args.store.database_url().map(str::to_owned),
        database_wait: Duration::from_secs(args.database_wait),
        demo: !args.no_demo,
        keep_bots: args.bots == Bots::Keep,
        load_test: args.allow_load_test,
        client_rate: args.client_rate,
        connections: args.connections.limits(),
        trusted_proxies: args.trusted_proxies.clone(),
        country_header: args.country_header.clone(),
        retention,
        spool_bytes: args.spool_max_mib * MIB,
        answers_bytes: args.answers_mib * MIB,
        thresholds: args.monitoring.thresholds.clone(),
        slow: args.monitoring.slow(),
        metrics_sites: args.monitoring.metrics_sites.clone(),
        first_token,
        alerts: Arc::new(alerts),
        crux,
        standing_every: Duration::from_secs(args.standing_every),
        public_url: args.public_url.whole(),
        tls,
        base_path: args.public_url.base_path.clone(),
    };
    let opened = tokio::select! {
        opened = Server::open(&config) => opened?,
        code = signals.next() => stopped_early(code),
    };
    let mut starting = pin!(Server::start(opened));
    let mut stopped = None;
    let server = tokio::select! {
        server = &mut starting => server?,
        code = signals.next() => {
            stopped = Some(code);
            // The first start is about to create a token and show it.
            match tokio::time::timeout(Duration::from_millis(limits::START_END_MS_MAX), starting).await {
                Ok(server) => server?,
                Err(_) => stopped_early(code),
            }
        }
    };
    greet(&args, &server);
    let (told, first) = oneshot::channel();
    let signals = Mutex::new(signals);
    let stop = async {
        let code = match stopped {
            Some(code) => code,
            None => signals.lock().await.next().await,
        };
        // Fails only if the receiver has stopped waiting.
        let _ = told.send(code);
    };
    let drain = Duration::from_secs(args.drain);
    let drained = async {
        if first.await == Ok(TERMINATED) && !drain.is_zero() {
            tracing::info!("draining for {} s: /readyz is 503, requests are served", args.drain);
            tokio::select! {
                () = tokio::time::sleep(drain) => {}
                _ = async { signals.lock().await.next().await } => {}
            }
        }
        tracing::info!("stopping: ending requests and emptying the spool");
    };
    server.run_until(stop, drained).await?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the channels of alerts; none without a file.
fn channels(file: Option<&Path>, variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Channels> {
    file.map_or_else(
        || Ok(Channels::default()),
        |file| Channels::read_with(file, variable).map_err(|error| anyhow!("--alerts: {error}")),
    )
}

/// Chooses how the owner receives the token of the first start. Output that a program reads often ends up in a log.
fn first_token() -> anyhow::Result<FirstToken> {
    let chosen = std::env::var("FIELDVITALS_ADMIN_TOKEN").unwrap_or_default();
    match chosen.trim() {
        "" if std::io::stdout().is_terminal() => Ok(FirstToken::Shown),
        "" => Ok(FirstToken::Written),
        chosen => {
            ensure!(
                chosen.len() >= ADMIN_TOKEN_BYTES_MIN && chosen.bytes().all(|byte| byte.is_ascii_graphic()),
                "FIELDVITALS_ADMIN_TOKEN has less than {ADMIN_TOKEN_BYTES_MIN} characters, or some that a header cannot \
                 have; `openssl rand -hex 32` makes a good one"
            );
            Ok(FirstToken::Chosen(chosen.to_owned()))
        }
    }
}

/// Chooses the visible log lines. Hides the lines of actix-http for malformed requests, because the server counts
/// them.
fn log_filter(given: Option<&str>) -> EnvFilter {
    let given = given.unwrap_or("info,sqlx=warn,actix_server=warn");
    EnvFilter::new(match given.contains("actix_http") {
        true => given.to_owned(),
        false => format!("{given},actix_http=off"),
    })
}

/// Ends a start that is not complete.
fn stopped_early(code: i32) -> ! {
    eprintln!("stopped before the start was complete; nothing was served");
    // Does not return, because the system may still be resolving the address of a database.
    process::exit(code)
}

/// Prints the addresses to standard output, which separates them from the log.
#[allow(clippy::print_stdout)]
fn greet(args: &Args, server: &Server) {
    let base_url = args.base_url(server.address);
    println!("fieldvitals {} takes beacons at {base_url}", env!("CARGO_PKG_VERSION"));
    if !http::assets::has_module() {
        println!(
            "  note: this binary has no wasm collector; v.js sends raw queues, which the server measures."
        );
        println!("        `cargo xtask dist` builds dist/fieldvitals with the collector in it.");
    }
    println!();
    match &server.first_start.token {
        Some(MadeToken::Secret(token)) => println!("  dashboard   {base_url}/#token={token}"),
        Some(MadeToken::File(path)) => {
            println!("  dashboard   {base_url}/");
            println!("  token       in {}", path.display());
        }
        Some(MadeToken::Chosen) | None => println!("  dashboard   {base_url}/"),
    }
    let host = base_url.split_once("://").map_or("", |(_, host)| host.split('/').next().unwrap_or(host));
    if !args.no_demo && http::demo::answers(&server.sites, host) {
        println!("  demo page   {base_url}/demo/");
    }
    let site = server.sites.iter().find(|site| site.name == FIRST_SITE).or_else(|| server.sites.first());
    if let Some(site) = site {
        println!("  script tag  {}", script_tag(&base_url, current_key(site)));
    }
    println!("  data        {}", args.store.data_dir.display());
    if let Some(site) = &server.first_start.site {
        println!();
        println!("There was no site yet, so `{}` was made. It takes beacons from any origin:", site.name);
        println!("`fieldvitals site update {} --origin https://YOUR-SITE` restricts it.", site.name);
    }
    match &server.first_start.token {
        Some(MadeToken::Secret(token)) => {
            println!();
            println!(
                "There was no API token yet, so one with the scope admin was made. It is shown this once;"
            );
            println!("`fieldvitals token add` makes others:");
            println!();
            println!("  token       {token}");
        }
        Some(MadeToken::File(path)) => tracing::info!(
            path = %path.display(),
            "the first token is in a file: keep it elsewhere, and remove the file"
        ),
        Some(MadeToken::Chosen) => tracing::info!("the first token is FIELDVITALS_ADMIN_TOKEN"),
        None => {}
    }
    println!();
}

/// The URL of the server on this machine. Replaces an unspecified address (all interfaces), which is no destination.
fn local_url(scheme: &str, address: SocketAddr) -> String {
    let reached = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("{scheme}://{}", SocketAddr::new(reached, address.port()))
}

/// The signals that end the server.
#[cfg(unix)]
struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Starts to listen for the signals. SIGHUP reads the certificate again, and nothing else: the server re-reads sites
    /// and tokens all the time, and options hold for the life of a process.
    fn listen(tls: Option<Arc<Tls>>) -> std::io::Result<Self> {
        use unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                match &tls {
                    Some(tls) => tls.reload_now(),
                    None => tracing::info!("SIGHUP changes nothing: restart the server for other options"),
                }
            }
        });
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for a signal. Returns the exit code by shell convention: 128 plus the signal's number.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => TERMINATED,
            _ = self.interrupt.recv() => INTERRUPTED,
        }
    }
}

/// The signals that end the server.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen(_: Option<Arc<Tls>>) -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> i32 {
        // Fails only if no handler can be installed; the server then stops at once.
        let _ = tokio::signal::ctrl_c().await;
        INTERRUPTED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        keep: Keep,
    }

    fn retention(args: &[&str]) -> Result<Option<Retention>, String> {
        let args = ["serve"].iter().chain(args);
        let command = Command::try_parse_from(args).map_err(|error| error.to_string())?;
        command.keep.retention().map_err(|error| error.to_string())
    }

    #[test]
    fn log_filter_leaves_out_lines_of_actix_http_unless_asked_for() {
        let shown = |given| log_filter(given).to_string();
        assert!(shown(None).contains("actix_http=off"));
        assert!(shown(Some("debug")).contains("actix_http=off"));
        assert!(!shown(Some("info,actix_http=error")).contains("off"));
    }

    #[test]
    fn retention_has_sane_bounds() {
        assert_eq!(retention(&[]), Ok(None), "the server follows the store");
        let views = Some(Retention { raw_days: 60, ..Retention::default() });
        assert_eq!(retention(&["--keep-views-days", "60"]), Ok(views));
        let given = ["--keep-views-days", "7", "--keep-hours-days", "3", "--keep-rollups-days", "90"];
        assert_eq!(retention(&given), Ok(Some(Retention { raw_days: 7, hourly_days: 3, daily_days: 90 })));
        for (option, wrong) in [
            ("--keep-views-days", "1"),
            ("--keep-views-days", "0"),
            ("--keep-hours-days", "0"),
            ("--keep-rollups-days", "100000"),
            ("--keep-rollups-days", "ever"),
        ] {
            assert!(
                retention(&[option, wrong]).is_err_and(|message| message.contains(option)),
                "{option} {wrong}"
            );
        }
        let turned = retention(&["--keep-views-days", "40", "--keep-rollups-days", "30"]);
        assert!(turned.is_err_and(|message| message.contains("--keep-rollups-days 30")));
    }
}
