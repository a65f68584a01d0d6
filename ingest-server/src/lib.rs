//! The fieldvitals server: takes beacons, keeps them, reports them.
//!
//! A beacon's way: [`http`] → [`intake`] → [`spool`] → the store; and back as [`report`] and [`gate`].

mod clock;
mod data_dir;
pub mod directory;
pub mod gate;
pub mod handles;
pub mod http;
pub mod intake;
pub mod keys;
pub mod maintenance;
pub mod outcome;
pub mod report;
pub mod spool;
mod store_url;

pub use http::client::HeaderName;
pub use http::connection::ConnectionLimits;
pub use store_url::StoreUrl;

use directory::Directory;
use fieldvitals_store::priority;
use fieldvitals_store::{NewSite, NewToken, Retention, Scope, Site, Store, StoreError};
use http::connection::Connections;
use http::proxies::Proxies;
use maintenance::Maintenance;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use vitals::limits;

/// The name of the site that the first start creates.
pub const FIRST_SITE: &str = "default";

/// The file of the embedded store in the data folder.
pub const EMBEDDED_STORE: &str = "store.db";

/// Time between two tries to open a store that is away.
const STORE_RETRY: Duration = Duration::from_millis(500);

/// The file of the spool in the data folder.
pub const SPOOL: &str = "spool.db";

/// Threads of the background: the loader's, and maintenance's.
const BACKGROUND_THREADS: usize = 2;

/// How a server is run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder of the spool and the embedded store.
    pub data_dir: PathBuf,
    /// Where the store is; the embedded one in `data_dir` when absent.
    pub database_url: Option<String>,
    /// How long the start waits for a database that is away.
    pub database_wait: Duration,
    /// Whether the demo site is served.
    pub demo: bool,
    /// Whether visits of programs (crawlers, checks, driven browsers) are kept.
    pub keep_bots: bool,
    /// Beacons a second that one client network may send; 0 for no limit.
    pub client_rate: u32,
    /// Bounds of connections.
    pub connections: ConnectionLimits,
    /// Proxies whose word on a client's address is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// The header in which one of them names a client's country.
    pub country_header: Option<HeaderName>,
    /// How long what is kept.
    pub retention: Retention,
    /// Bytes of beacons that may wait in the spool.
    pub spool_bytes: u64,
    /// How the owner comes by the token of the first start.
    pub first_token: FirstToken,
}

/// How the owner comes by the token of the first start.
#[derive(Clone)]
pub enum FirstToken {
    /// It is returned, to be shown.
    Shown,
    /// It is written to a file of the data folder, for its owner alone.
    Written,
    /// The owner chose its secret.
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
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file of the first token cannot be written.
    #[error("the first token cannot be written to {}: {reason}; choose a token with FIELDVITALS_ADMIN_TOKEN", path.display())]
    AdminToken {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The database URL is not one that this release can use.
    #[error(
        "--database-url: {0}; expected postgres://USER:PASSWORD@HOST/NAME, sqlite://PATH, or no URL for a file in the \
         data folder"
    )]
    DatabaseUrl(String),
    /// The threads that load and maintain cannot be started.
    #[error("threads cannot be started: {0}")]
    Threads(std::io::Error),
    /// The HTTP server failed.
    #[error("the HTTP server failed: {0}")]
    Http(std::io::Error),
    /// The system gave no random numbers for keys.
    #[error("the system gave no random numbers for keys")]
    Random(#[from] getrandom::Error),
    /// The spool's disk failed; what was acknowledged is safe, nothing more can be.
    #[error("the spool cannot be written any more ({0}); check the disk and start again")]
    SpoolFailed(String),
}

/// What a start made because there was none yet.
#[derive(Default)]
pub struct FirstStart {
    /// A site.
    pub site: Option<Site>,
    /// An API token with the scope `admin`.
    pub token: Option<MadeToken>,
}

/// Where the secret of a token is that a start made. The store keeps its hash alone.
pub enum MadeToken {
    /// Here, to be shown once.
    Secret(String),
    /// In this file.
    File(PathBuf),
    /// With the owner, who chose it.
    Chosen,
}

/// The threads that load beacons and maintain the store. Their priority is lower than that of the threads that answer.
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

/// A server that has what it needs, and serves nothing yet. The address is taken.
pub struct Opened {
    config: Config,
    address: SocketAddr,
    /// Answers 503 at the address.
    starting: http::starting::Starting,
    needs: Needs,
}

/// What of a server's start may take long, or fail.
struct Needs {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    spool: spool::Spool,
    loader: spool::Loader,
    background: Background,
}

impl Needs {
    async fn open(config: &Config, address: SocketAddr) -> Result<Self, ServeError> {
        data_dir::create(&config.data_dir)?;
        let store = await_store(config, address).await?;
        let opened = Self::open_on(config, Arc::clone(&store)).await;
        match opened {
            Ok(_) => data_dir::tighten(&config.data_dir, config.database_url.as_deref()),
            Err(_) => close_store(store.as_ref()).await,
        }
        opened
    }

    async fn open_on(config: &Config, store: Arc<dyn Store>) -> Result<Self, ServeError> {
        let directory = Arc::new(Directory::open(Arc::clone(&store)).await?);
        let bounds = spool::Bounds { spool_bytes: config.spool_bytes, ..spool::Bounds::default() };
        let path = config.data_dir.join(SPOOL);
        let (spool, loader) = spool::Spool::open_with(&path, Arc::clone(&store), bounds).await?;
        let background = Background::start().map_err(ServeError::Threads)?;
        Ok(Self { store, directory, spool, loader, background })
    }
}

/// A server that listens.
pub struct Server {
    /// Where it listens; the port is the real one if 0 was asked for.
    pub address: SocketAddr,
    /// What this start made because there was none yet.
    pub first_start: FirstStart,
    /// The sites as they are at the start.
    pub sites: Vec<Arc<Site>>,
    http: http::Running,
    store: Arc<dyn Store>,
    spool: spool::Spool,
    loader: tokio::task::JoinHandle<()>,
    helpers: Vec<tokio::task::JoinHandle<()>>,
    /// Ends when the server does.
    _background: Background,
    stop_loader: watch::Sender<bool>,
}

/// Opens the store that a configuration names.
///
/// # Errors
/// Where it cannot be opened, with what to do.
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

/// Closes a store, as far as that goes in a few seconds. One in a file is that file alone then: it can be copied.
pub async fn close_store(store: &dyn Store) {
    let time = Duration::from_millis(limits::STORE_CLOSE_MS_MAX);
    if tokio::time::timeout(time, store.close()).await.is_err() {
        tracing::warn!(
            "the store was not closed in time; nothing is lost, but a file of it has its log beside it"
        );
    }
}

/// Opens the store of a configuration; one that is away is waited for, one that refuses is not.
async fn await_store(config: &Config, address: SocketAddr) -> Result<Arc<dyn Store>, ServeError> {
    let began = Instant::now();
    let mut said = None;
    loop {
        let error = match open_store(&config.data_dir, config.database_url.as_deref()).await {
            Err(ServeError::Store(
                error @ (StoreError::Database { passing: true, .. } | StoreError::TooSlow { .. }),
            )) => error,
            done => return done,
        };
        let left = config.database_wait.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(error.into());
        }
        // The same is said once.
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
    /// Takes the address, and opens store and spool; a database that is away is waited for. Until that is done whoever
    /// asks is answered 503. It can be given up at any moment: nothing is made that is not there at the next start.
    ///
    /// # Errors
    /// With what is wrong and what to do; nothing is left running.
    pub async fn open(config: &Config) -> Result<Opened, ServeError> {
        // The address first: a second server on the same folder should fail before it touches a file.
        let refused = |reason| ServeError::Listen { address: config.listen, reason };
        let listener = TcpListener::bind(config.listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let starting = http::starting::serve(listener).map_err(ServeError::Http)?;
        match Needs::open(config, address).await {
            Ok(needs) => Ok(Opened { config: config.clone(), address, starting, needs }),
            Err(error) => {
                // What it says of the socket is of no use any more.
                let _ = starting.stop().await;
                Err(error)
            }
        }
    }

    /// Starts to serve and to load. What a first start makes comes after all that may fail: its token is shown once, and
    /// would be lost by who gives this up in the middle.
    ///
    /// # Errors
    /// As [`Server::open`].
    pub async fn start(opened: Opened) -> Result<Self, ServeError> {
        let Opened { config, address, starting, needs } = opened;
        let Needs { store, directory, spool, loader, background } = needs;
        // Looked at first: where both are there, a database that cannot be written now keeps nobody from starting.
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
        // Where that fails, they come with the next one.
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

        let maintenance = Arc::new(Maintenance::new(Arc::clone(&store), spool.clone(), config.retention));
        let proxies = Proxies::new(config.trusted_proxies);
        for network in proxies.wide() {
            tracing::warn!(
                "--trusted-proxy {network} holds clients too: each of them can claim any address in X-Forwarded-For; \
                 name the addresses of your proxies"
            );
        }
        let state = http::State {
            spool: spool.clone(),
            directory: Arc::clone(&directory),
            outcomes: outcome::Outcomes::default(),
            rejections: outcome::Rejections::default(),
            client_rate: http::client::ClientRate::new(config.client_rate, proxies.clone()),
            connections: Arc::new(Connections::new(within_handles(config.connections), proxies.clone())),
            country_header: http::client::CountryHeader::new(config.country_header, proxies),
            explaining: tokio::sync::Mutex::default(),
            maintenance: Arc::clone(&maintenance),
            demo: config.demo,
            keep_bots: config.keep_bots,
        };
        tokio::task::spawn_blocking(intake::bots::prepare);
        let http = http::serve(state, listener?).map_err(ServeError::Http)?;

        let (stop_loader, stopped) = watch::channel(false);
        let loader = background.handle.spawn(loader.run(stopped));
        let helpers = vec![
            tokio::spawn(async move { directory.keep_fresh().await }),
            background.handle.spawn(async move { maintenance.run().await }),
        ];
        Ok(Self {
            address,
            first_start,
            sites,
            http,
            store,
            spool,
            loader,
            helpers,
            _background: background,
            stop_loader,
        })
    }

    /// Serves until `stop` is done. Then serves on until `drained` is done, while `/healthz` is 503 and answers close
    /// their connections, so that balancers and clients go elsewhere. Then ends requests in flight, empties the spool
    /// into the store as far as it goes in a few seconds, closes both, and returns. What remains in the spool is loaded
    /// at the next start.
    ///
    /// # Errors
    /// Where the spool could not be written any more.
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
        self.http.stop(failure.is_none()).await;
        for helper in self.helpers {
            helper.abort();
        }
        // Both fail only when the loader has ended already.
        let _ = self.stop_loader.send(true);
        let _ = self.loader.await;
        if failure.is_none() {
            // What is loaded leaves the file too, so that a spool without a server tells what is not. Where
            // the disk hangs, the next start does it.
            let time = Duration::from_millis(limits::DRAIN_MS_MAX);
            if tokio::time::timeout(time, self.spool.close()).await.is_err() {
                tracing::warn!("the spool file was not closed in time; the next start goes on with it");
            }
        }
        close_store(self.store.as_ref()).await;
        failure.map_or(Ok(()), |reason| Err(ServeError::SpoolFailed(reason)))
    }
}

/// The limits of connections, as far as there are file handles for them.
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

/// Makes a site where there is none yet, and an admin token where there is no token.
async fn first_start(store: &dyn Store, config: &Config) -> Result<FirstStart, ServeError> {
    let created_ms = http::now_ms();
    let origins = vec!["*".to_owned()];
    let site = NewSite { name: FIRST_SITE.to_owned(), key: keys::site_key()?, origins, created_ms };
    let secret = match &config.first_token {
        FirstToken::Shown | FirstToken::Written => keys::token()?,
        FirstToken::Chosen(secret) => secret.clone(),
    };
    let hash = directory::token_hash(&secret);
    let token = NewToken { name: "first start".to_owned(), scope: Scope::Admin, hash, created_ms };
    // Before the store has it: a secret that is lost would leave a store that nobody can ask.
    let made = match config.first_token {
        FirstToken::Shown => MadeToken::Secret(secret),
        FirstToken::Written => MadeToken::File(data_dir::write_token(&config.data_dir, &secret)?),
        FirstToken::Chosen(_) => MadeToken::Chosen,
    };
    // Where that fails, the store may have the token all the same: the file stays, and a start that makes another
    // replaces it.
    let (site, token) = store.first_start(site, token).await?;
    if let (None, MadeToken::File(path)) = (&token, &made)
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::warn!(path = %path.display(), %error, "the file of a token that was not needed stays");
    }
    Ok(FirstStart { site, token: token.map(|_| made) })
}
