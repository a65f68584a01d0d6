//! The fieldvitals server: receives beacons, stores them and reports on them.
//!
//! Path of a beacon: [`http`] → [`intake`] → [`spool`] → the store. [`report`] and [`gate`] read from the store.

pub mod administration;
pub mod advice;
pub mod alert;
pub mod answers;
pub mod backups;
pub mod clock;
pub mod closed_days;
pub mod comparison;
pub mod crux;
mod data_dir;
pub mod diagnosis;
pub mod digest;
pub mod directory;
pub mod egress;
pub mod gate;
pub mod grant;
pub mod handles;
pub mod health;
pub mod http;
pub mod intake;
pub mod keys;
pub mod limits;
pub mod live;
pub mod maintenance;
pub mod outcome;
pub mod password;
pub mod proportion;
pub mod questions;
pub mod releases;
pub mod report;
pub mod retention;
pub mod routes;
pub mod site_vitals;
pub mod spool;
pub mod standing;
mod store_url;
pub mod telemetry;
pub mod timeline;
pub mod tls;

pub use data_dir::RESTORING;
pub use http::base_path::BasePath;
pub use http::client::HeaderName;
pub use http::connection::ConnectionLimits;
pub use store_url::StoreUrl;

use alert::{Channels, Outbox};
use answers::Answers;
use closed_days::ClosedDays;
use digest::Digests;
use directory::Directory;
use fieldvitals_store::priority;
use fieldvitals_store::{NewSite, NewToken, Retention, Scope, Site, Store, StoreError};
use health::Health;
use http::connection::Connections;
use http::proxies::Proxies;
use maintenance::Maintenance;
use questions::Questions;
use retention::Keeping;
use site_vitals::SiteVitals;
use socket2::SockRef;
use standing::Watch;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::Telemetry;
use telemetry::process::Disk;
use tls::Tls;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

/// The name of the site that the first start creates.
pub const FIRST_SITE: &str = "default";

/// The file of the embedded store in the data folder.
pub const EMBEDDED_STORE: &str = "store.db";

/// Pause between two attempts to connect to an unreachable store.
const STORE_RETRY: Duration = Duration::from_millis(500);

/// The file of the spool in the data folder.
pub const SPOOL: &str = "spool.db";

/// Background threads: one for the loader, one for maintenance.
const BACKGROUND_THREADS: usize = 2;

/// Configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder of the spool and the embedded store.
    pub data_dir: PathBuf,
    /// URL of the store; `None` for the embedded store in `data_dir`.
    pub database_url: Option<String>,
    /// Timeout of the start for an unreachable database.
    pub database_wait: Duration,
    /// Whether the demo site is served.
    pub demo: bool,
    /// Keeps page views of bots (crawlers, uptime checks, automated browsers).
    pub keep_bots: bool,
    /// Says in `/healthz` that load tests may send to this server.
    pub load_test: bool,
    /// Rate limit of one client network, in beacons per second; 0 for no limit.
    pub client_rate: u32,
    /// Limits on connections.
    pub connections: ConnectionLimits,
    /// Networks of trusted proxies. The server believes their `X-Forwarded-For` and country header.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// The header in which a trusted proxy names the client's country.
    pub country_header: Option<HeaderName>,
    /// Retention of stored data; `None` follows what was set for all servers of the store.
    pub retention: Option<Retention>,
    /// Maximum size of the spool's backlog, in bytes.
    pub spool_bytes: u64,
    /// Maximum size of the answers kept in memory, in bytes.
    pub answers_bytes: u64,
    /// The file with the limits of the server's checks; `None` for those of the API.
    pub thresholds: Option<PathBuf>,
    /// Duration from which requests and questions are logged as slow; zero logs none.
    pub slow: Duration,
    /// Sites whose vitals `/metrics` has.
    pub metrics_sites: Vec<String>,
    /// Delivery of the first start's token to the owner.
    pub first_token: FirstToken,
    /// The channels of alerts.
    pub alerts: Arc<Channels>,
    /// The key of Google's CrUX API; without it, Google is not asked.
    pub crux: Option<crux::CruxSource>,
    /// Pause between two looks at standing budgets.
    pub standing_every: Duration,
    /// The address of the dashboard in notices of alerts; `None` if unknown.
    pub public_url: Option<String>,
    /// The certificate; `None` for http.
    pub tls: Option<Arc<Tls>>,
    /// The path that a proxy passes on before those of the server.
    pub base_path: BasePath,
}

/// Delivery of the first start's token to the owner.
#[derive(Clone)]
pub enum FirstToken {
    /// The start returns the token, for display.
    Shown,
    /// The start writes the token to a file in the data folder that only its owner can read.
    Written,
    /// The owner chose the secret.
    Chosen(String),
}

impl std::fmt::Debug for FirstToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Shown => "Shown",
            Self::Written => "Written",
            Self::Chosen(_) => "Chosen",
        })
    }
}

/// Why a server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The spool cannot be used.
    #[error("the spool cannot be used")]
    Spool(#[from] spool::SpoolError),
    /// The data folder cannot be made.
    #[error("the data folder {} cannot be made: {reason}; choose another with --data-dir", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// A restore of the data folder has not ended.
    #[error(
        "the restore of {} has not ended; run the same `fieldvitals restore` again, which begins anew", path.display()
    )]
    Restoring {
        /// The folder.
        path: PathBuf,
    },
    /// The file of the first token cannot be written.
    #[error("the first token cannot be written to {}: {reason}; choose a token with FIELDVITALS_ADMIN_TOKEN", path.display())]
    AdminToken {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        reason: std::io::Error,
    },
    /// This release does not support the database URL.
    #[error(
        "--database-url: {0}; expected postgres://USER:PASSWORD@HOST/NAME, sqlite://PATH, or no URL for a file in the \
         data folder"
    )]
    DatabaseUrl(String),
    /// The limits of the server's checks cannot be read.
    #[error("{0}")]
    Thresholds(String),
    /// The background threads cannot be started.
    #[error("threads cannot be started: {0}")]
    Threads(std::io::Error),
    /// The HTTP server failed.
    #[error("the HTTP server failed: {0}")]
    Http(std::io::Error),
    /// The connections to Google's CrUX API cannot be set up.
    #[error("Google's CrUX API cannot be asked: {0}")]
    Crux(egress::EgressError),
    /// The connections for alerts cannot be set up.
    #[error(
        "alerts cannot be delivered: {0}; the system's certificates are needed (on Debian: apt-get install ca-certificates)"
    )]
    Alerts(#[from] egress::EgressError),
    /// The system gave no random numbers for keys.
    #[error("the system gave no random numbers for keys")]
    Random(#[from] getrandom::Error),
    /// The spool's disk failed. Acknowledged beacons are safe; the spool accepts no more.
    #[error("the spool cannot be written any more ({0}); check the disk and start again")]
    SpoolFailed(String),
}

/// Site and token that a start created because the store had none.
#[derive(Default)]
pub struct FirstStart {
    /// The created site.
    pub site: Option<Site>,
    /// The created API token with the scope `admin`.
    pub token: Option<MadeToken>,
}

/// Location of a created token's secret. The store keeps only its hash.
pub enum MadeToken {
    /// The secret itself, for display once.
    Secret(String),
    /// The secret is in this file.
    File(PathBuf),
    /// The owner chose the secret.
    Chosen,
}

/// The threads that load beacons and maintain the store. Their priority is lower than that of the HTTP threads.
struct Background {
    handle: Handle,
    /// `None` once dropped.
    runtime: Option<Runtime>,
}

impl Background {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(BACKGROUND_THREADS)
            .thread_name("background")
            .on_thread_start(priority::lower)
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Dropping a runtime waits for its threads, and panics inside a task of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A server with open store and spool. It listens, but answers only 503.
pub struct OpenServer {
    config: Config,
    address: SocketAddr,
    /// Answers 503 at the address.
    starting: http::starting::Starting,
    needs: Needs,
}

/// Parts of a server whose opening may be slow or fail.
struct Needs {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    spool: spool::Spool,
    loader: spool::Loader,
    background: Background,
    questions: Questions,
    outbox: Arc<Outbox>,
    /// Identifies this server among those that share tasks.
    holder: [u8; 16],
    health: Health,
    disk: Option<Disk>,
}

impl Needs {
    async fn open(config: &Config, address: SocketAddr) -> Result<Self, ServeError> {
        data_dir::create(&config.data_dir)?;
        data_dir::whole(&config.data_dir)?;
        let store = await_store(config, address).await?;
        let opened = Self::open_on(config, Arc::clone(&store)).await;
        match opened {
            Ok(_) => data_dir::tighten(&config.data_dir, config.database_url.as_deref()),
            Err(_) => close_store(store.as_ref()).await,
        }
        opened
    }

    async fn open_on(config: &Config, store: Arc<dyn Store>) -> Result<Self, ServeError> {
        let (first, disk) = http::watch::first(&config.data_dir);
        let backend = StoreUrl::backend(config.database_url.as_deref());
        let health = Health::open(&config.data_dir, backend, config.thresholds.as_deref(), first);
        let health = health.map_err(ServeError::Thresholds)?;
        let directory = Arc::new(Directory::open(Arc::clone(&store)).await?);
        let bounds = spool::Bounds { spool_bytes: config.spool_bytes, ..spool::Bounds::default() };
        let path = config.data_dir.join(SPOOL);
        let (spool, loader) = spool::Spool::open_with(&path, Arc::clone(&store), bounds).await?;
        let background = Background::start().map_err(ServeError::Threads)?;
        let questions = Questions::start().map_err(ServeError::Threads)?;
        let holder = data_dir::holder(&config.data_dir)?;
        let parts = (Arc::clone(&store), Arc::clone(&directory));
        let outbox = Outbox::new(parts, Arc::clone(&config.alerts), config.public_url.clone(), holder)?;
        let outbox = Arc::new(outbox);
        Ok(Self { store, directory, spool, loader, background, questions, outbox, holder, health, disk })
    }
}

/// A server that listens.
pub struct Server {
    /// Address of the listener, with the real port if the configured port is 0.
    pub address: SocketAddr,
    /// Site and token that this start created.
    pub first_start: FirstStart,
    /// The sites at the start.
    pub sites: Vec<Arc<Site>>,
    http: http::Running,
    store: Arc<dyn Store>,
    spool: spool::Spool,
    loader: tokio::task::JoinHandle<()>,
    helpers: Vec<tokio::task::JoinHandle<()>>,
    /// Weekly digests, whose deliveries end before the server does.
    digests: (Arc<Digests>, tokio::task::JoinHandle<()>),
    /// Drops with the server.
    _background: Background,
    stop_loader: watch::Sender<bool>,
}

/// Opens the store that a configuration names.
///
/// # Errors
/// If the store cannot be opened. The error says what to do.
pub async fn open_store(data_dir: &Path, database_url: Option<&str>) -> Result<Arc<dyn Store>, ServeError> {
    let url = match database_url {
        None => {
            data_dir::create(data_dir)?;
            StoreUrl::File(data_dir.join(EMBEDDED_STORE))
        }
        Some(text) => {
            let url = StoreUrl::parse(text).unwrap_or_else(|| Err(store_url::NO_URL.to_owned()));
            url.map_err(ServeError::DatabaseUrl)?
        }
    };
    Ok(url.open().await?)
}

/// Closes a store, with a timeout of a few seconds. A closed embedded store is a single file that can be copied.
pub async fn close_store(store: &dyn Store) {
    let time = Duration::from_millis(limits::STORE_CLOSE_MS_MAX);
    if tokio::time::timeout(time, store.close()).await.is_err() {
        tracing::warn!(
            "the store was not closed in time; nothing is lost, but a file of it has its log beside it"
        );
    }
}

/// Opens the configured store. Retries while the store is unreachable, up to `database_wait`; returns other errors at
/// once.
async fn await_store(config: &Config, address: SocketAddr) -> Result<Arc<dyn Store>, ServeError> {
    let began = Instant::now();
    let mut said = None;
    loop {
        let error = match open_store(&config.data_dir, config.database_url.as_deref()).await {
            Err(ServeError::Store(
                error @ (StoreError::Database { transient: true, .. } | StoreError::TooSlow { .. }),
            )) => error,
            done => return done,
        };
        let left = config.database_wait.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(error.into());
        }
        // Logs a reason again only after another reason.
        let reason = error.to_string();
        if said.as_ref() != Some(&reason) {
            let seconds_left = left.as_secs();
            tracing::warn!(
                error = reason,
                seconds_left,
                "waiting for the store; {address} answers 503 meanwhile"
            );
            said = Some(reason);
        }
        tokio::time::sleep(left.min(STORE_RETRY)).await;
    }
}

impl Server {
    /// Binds the address and opens the store and the spool. Waits for an unreachable database; clients receive 503
    /// meanwhile. The caller can cancel the future at any point: a later start reuses everything that this one
    /// created.
    ///
    /// # Errors
    /// The error says what is wrong and what to do. Nothing keeps running.
    pub async fn open(config: &Config) -> Result<OpenServer, ServeError> {
        // Binds the address first, so that a second server on the same folder fails before it touches a file.
        let refused = |reason| ServeError::Listen { address: config.listen, reason };
        let listener = TcpListener::bind(config.listen).map_err(refused)?;
        // The standard library asks for 128.
        SockRef::from(&listener).listen(limits::CONNECTIONS_WAITING_MAX).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let tls = config.tls.as_ref().map(|tls| tls.acceptor().clone());
        let starting = http::starting::serve(listener, tls).map_err(ServeError::Http)?;
        match Needs::open(config, address).await {
            Ok(needs) => Ok(OpenServer { config: config.clone(), address, starting, needs }),
            Err(error) => {
                // The start failed already; an error of the socket adds nothing.
                let _ = starting.stop().await;
                Err(error)
            }
        }
    }

    /// Starts the HTTP server and the loader. Creates the first site and token only after [`Server::open`] has
    /// succeeded: the token is shown once, and a canceled start would lose it.
    ///
    /// # Errors
    /// As [`Server::open`].
    pub async fn start(opened: OpenServer) -> Result<Self, ServeError> {
        let OpenServer { config, address, starting, needs } = opened;
        let Needs { store, directory, spool, loader, background, questions, outbox, holder, health, disk } =
            needs;
        // Skips the write if the site and the token exist, so that a read-only database does not prevent the start.
        let first_start = match directory.current().is_set_up() {
            true => Ok(FirstStart::default()),
            false => first_start(store.as_ref(), &config).await,
        };
        let listener = starting.stop().await.map_err(ServeError::Http);
        let first_start = match first_start {
            Ok(made) => made,
            Err(error) => {
                close_store(store.as_ref()).await;
                return Err(error);
            }
        };
        // On failure, the next refresh of the directory reads the sites and tokens.
        directory.read_again().await;
        if let FirstToken::Chosen(secret) = &config.first_token
            && directory.current().scope(secret).is_none()
        {
            tracing::warn!(
                "the store knows no token that is FIELDVITALS_ADMIN_TOKEN: only a first start takes it, and there were \
                 tokens already; `fieldvitals token add` makes others"
            );
        }
        let mut sites = directory.current().sites().to_vec();
        if sites.is_empty() {
            sites.extend(first_start.site.clone().map(Arc::new));
        }

        let keeping = Arc::new(Keeping::new(config.retention));
        let maintenance = Arc::new(Maintenance::new(Arc::clone(&store), spool.clone(), Arc::clone(&keeping)));
        let proxies = Proxies::new(config.trusted_proxies);
        for network in proxies.wide() {
            tracing::warn!(
                "--trusted-proxy {network} holds clients too: each of them can claim any address in X-Forwarded-For; \
                 name the addresses of your proxies"
            );
        }
        let telemetry = Arc::new(Telemetry::new(config.slow));
        telemetry.set_disk(disk);
        let site_vitals = SiteVitals::new(config.metrics_sites);
        for name in site_vitals.unknown(&directory) {
            tracing::warn!(name, "--metrics-site names no site; /metrics has its vitals once there is one");
        }
        for (by, site) in unknown_sites(&config.alerts, &sites) {
            tracing::warn!(by, site, "the file of channels names a site that there is not");
        }
        let watch = Watch::new(
            (Arc::clone(&store), Arc::clone(&directory)),
            spool.clone(),
            Arc::clone(&config.alerts),
            config.standing_every,
            Arc::clone(&keeping),
            holder,
        );
        let closed_days = Arc::new(ClosedDays::new(config.answers_bytes / 2));
        let digests = Digests::new(
            (Arc::clone(&store), Arc::clone(&directory)),
            Arc::clone(&closed_days),
            Arc::clone(&outbox),
            (Arc::clone(&keeping), {
                let spool = spool.clone();
                Box::new(move |site| spool.is_behind(site))
            }),
            holder,
        );
        let google_crux = config.crux.map(crux::GoogleCrux::new).transpose().map_err(ServeError::Crux)?;
        let google_crux = google_crux.map(Arc::new);
        let state = http::State {
            spool: spool.clone(),
            directory: Arc::clone(&directory),
            outcomes: outcome::Outcomes::default(),
            rejections: outcome::Rejections::default(),
            client_rate: http::client::ClientRate::new(config.client_rate, proxies.clone()),
            connections: Arc::new(Connections::new(within_handles(config.connections), proxies.clone())),
            country_header: http::client::CountryHeader::new(config.country_header, proxies),
            questions,
            answers: Answers::new(config.answers_bytes / 2),
            closed_days,
            live: Arc::new(live::Live::new(Handle::current())),
            sign_ins: http::sign_in::SignIns::default(),
            token_rates: http::token_rate::TokenRates::default(),
            maintenance: Arc::clone(&maintenance),
            telemetry,
            health,
            site_vitals,
            data_dir: config.data_dir,
            started_ms: clock::now_ms(),
            outbox: Arc::clone(&outbox),
            keeping,
            google_crux,
            demo: config.demo,
            keep_bots: config.keep_bots,
            load_test: config.load_test,
            tls: config.tls,
            base_path: config.base_path,
        };
        tokio::task::spawn_blocking(intake::bots::prepare);
        let http = http::serve(state, listener?).map_err(ServeError::Http)?;

        let (stop_loader, stopped) = watch::channel(false);
        let loader = background.handle.spawn(loader.run(stopped));
        let helpers = vec![
            tokio::spawn(async move { directory.keep_fresh().await }),
            background.handle.spawn(async move { maintenance.run().await }),
            background.handle.spawn(async move { watch.run().await }),
            tokio::spawn(async move { outbox.run().await }),
        ];
        let digests = Arc::new(digests);
        let sending = Arc::clone(&digests);
        let digests = (digests, background.handle.spawn(async move { sending.run().await }));
        Ok(Self {
            address,
            first_start,
            sites,
            http,
            store,
            spool,
            loader,
            helpers,
            digests,
            _background: background,
            stop_loader,
        })
    }

    /// Serves until `stop` completes, then drains until `drained` completes: `/healthz` answers 503 and each response
    /// closes its connection, so that balancers and clients go to another server. Then ends the requests in flight,
    /// loads the spool into the store within a few seconds, closes both, and returns. The next start loads the
    /// remaining backlog.
    ///
    /// # Errors
    /// If the spool could not be written any more.
    pub async fn run_until(
        self,
        stop: impl Future<Output = ()>,
        drained: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let stopped = async {
            stop.await;
            self.http.drain();
            drained.await;
        };
        let failure = tokio::select! {
            () = stopped => None,
            reason = self.spool.failed() => Some(reason),
        };
        let (digests, mut sending) = self.digests;
        digests.stop();
        self.http.stop(failure.is_none()).await;
        if tokio::time::timeout(Duration::from_millis(limits::DIGESTS_STOP_MS), &mut sending).await.is_err() {
            tracing::warn!("deliveries of weekly digests did not end in time; they are not repeated");
            sending.abort();
        }
        for helper in self.helpers {
            helper.abort();
        }
        // Both fail only if the loader has ended already.
        let _ = self.stop_loader.send(true);
        let _ = self.loader.await;
        if failure.is_none() {
            // Closing removes loaded rows from the file, so that the file of a stopped server holds only beacons that
            // are not loaded. If the disk hangs, the next start removes the rows.
            let time = Duration::from_millis(limits::DRAIN_MS_MAX);
            if tokio::time::timeout(time, self.spool.close()).await.is_err() {
                tracing::warn!("the spool file was not closed in time; the next start goes on with it");
            }
        }
        close_store(self.store.as_ref()).await;
        failure.map_or(Ok(()), |reason| Err(ServeError::SpoolFailed(reason)))
    }
}

/// Returns the sites that the file of channels names and that there are not, each with what names it.
fn unknown_sites<'a>(
    channels: &'a Channels,
    sites: &'a [Arc<Site>],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    channels.named_sites().filter(|(_, name)| sites.iter().all(|site| site.name != *name))
}

/// Reduces the limit of connections to the available file handles.
fn within_handles(mut connections: ConnectionLimits) -> ConnectionLimits {
    let Some(handles) = handles::raise() else { return connections };
    let workers = http::workers() as u64;
    let reserved = limits::FILE_HANDLES_RESERVED + workers * limits::FILE_HANDLES_PER_WORKER;
    let left = usize::try_from(handles.saturating_sub(reserved)).unwrap_or(usize::MAX);
    if left < connections.all_max {
        let asked = connections.all_max;
        connections.all_max = left.max(limits::CONNECTIONS_MIN).min(asked);
        tracing::warn!(
            "at most {} connections instead of --connections-max {asked}: the process may have {handles} files open; \
             raise its limit (ulimit -n, LimitNOFILE) to {}",
            connections.all_max,
            asked as u64 + reserved
        );
    }
    connections
}

/// Creates the first site and the first admin token, if missing.
async fn first_start(store: &dyn Store, config: &Config) -> Result<FirstStart, ServeError> {
    let created_ms = clock::now_ms();
    let origins = vec!["*".to_owned()];
    let site = NewSite { name: FIRST_SITE.to_owned(), key: keys::site_key()?, origins, created_ms };
    let secret = match &config.first_token {
        FirstToken::Shown | FirstToken::Written => keys::token()?,
        FirstToken::Chosen(secret) => secret.clone(),
    };
    let hash = directory::token_hash(&secret);
    let name = "first start".to_owned();
    let token = NewToken { name, scope: Scope::Admin, sites: None, hash, created_ms, rate_per_s: None };
    // Writes the secret before the store has the token: without the secret, the API of the store would be
    // inaccessible.
    let made = match config.first_token {
        FirstToken::Shown => MadeToken::Secret(secret),
        FirstToken::Written => MadeToken::File(data_dir::write_token(&config.data_dir, &secret)?),
        FirstToken::Chosen(_) => MadeToken::Chosen,
    };
    // After an error, the store may have the token all the same. So the file stays; a start that creates another token
    // replaces the file.
    let (site, token) = store.first_start(site, token).await?;
    if let (None, MadeToken::File(path)) = (&token, &made)
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::warn!(path = %path.display(), %error, "the file of a token that was not needed stays");
    }
    Ok(FirstStart { site, token: token.map(|_| made) })
}
