//! The fieldvitals server: takes beacons, keeps them, reports them.
//!
//! A beacon's way: [`http`] → [`intake`] → [`spool`] → the store; and back as [`report`] and [`gate`].

mod clock;
pub mod directory;
pub mod gate;
pub mod http;
pub mod intake;
pub mod keys;
pub mod maintenance;
pub mod outcome;
pub mod report;
pub mod spool;
mod store_url;

pub use http::client::HeaderName;
pub use store_url::StoreUrl;

use directory::Directory;
use fieldvitals_store::priority::Priority;
use fieldvitals_store::{NewSite, NewToken, Retention, Scope, Site, Store, StoreError};
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
    /// Beacons a second that one client network may send; 0 for no limit.
    pub client_rate: u32,
    /// Proxies whose word on a client's address is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// The header in which one of them names a client's country.
    pub country_header: Option<HeaderName>,
    /// How long what is kept.
    pub retention: Retention,
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
    /// The secret of an API token with the scope `admin`, to be shown once: it is kept nowhere.
    pub token: Option<String>,
}

/// The threads on which beacons are loaded and the store is maintained. They give way to those that answer.
struct Background {
    low: Handle,
    idle: Handle,
    runtimes: Vec<Runtime>,
}

impl Background {
    fn start() -> std::io::Result<Self> {
        let start = |name, threads, priority: Priority| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .thread_name(name)
                .on_thread_start(move || priority.take())
                .enable_all()
                .build()
        };
        let low = start("background", BACKGROUND_THREADS, Priority::Low)?;
        let idle = start("idle", 1, Priority::Idle)?;
        Ok(Self { low: low.handle().clone(), idle: idle.handle().clone(), runtimes: vec![low, idle] })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Not by their own drop, which waits for the threads, and is refused inside a task of another.
        self.runtimes.drain(..).for_each(Runtime::shutdown_background);
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
            std::fs::create_dir_all(data_dir)
                .map_err(|reason| ServeError::DataDir { path: data_dir.to_owned(), reason })?;
            StoreUrl::File(data_dir.join(EMBEDDED_STORE))
        }
        Some(text) => {
            let url = StoreUrl::parse(text).unwrap_or_else(|| Err(store_url::NO_URL.to_owned()));
            url.map_err(ServeError::DatabaseUrl)?
        }
    };
    Ok(url.open().await?)
}

/// Opens the store of a configuration; one that is away is waited for, one that refuses is not.
async fn await_store(config: &Config) -> Result<Arc<dyn Store>, ServeError> {
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
            tracing::warn!(error = reason, seconds_left = left.as_secs(), "waiting for the store");
            said = Some(reason);
        }
        tokio::time::sleep(left.min(STORE_RETRY)).await;
    }
}

impl Server {
    /// Opens store and spool, listens, and starts to serve and to load.
    ///
    /// # Errors
    /// With what is wrong and what to do; nothing is left running.
    pub async fn start(config: &Config) -> Result<Self, ServeError> {
        // The address first: a second server on the same folder should fail before it touches a file.
        let listener = TcpListener::bind(config.listen)
            .and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(listener)
            })
            .map_err(|reason| ServeError::Listen { address: config.listen, reason })?;
        let address =
            listener.local_addr().map_err(|reason| ServeError::Listen { address: config.listen, reason })?;
        std::fs::create_dir_all(&config.data_dir)
            .map_err(|reason| ServeError::DataDir { path: config.data_dir.clone(), reason })?;
        let store = await_store(config).await?;
        let first_start = first_start(store.as_ref()).await?;
        let directory = Arc::new(Directory::open(Arc::clone(&store)).await?);
        let (spool, loader) = spool::Spool::open(&config.data_dir.join(SPOOL), Arc::clone(&store)).await?;
        let sites = directory.current().sites().to_vec();

        let (stop_loader, stopped) = watch::channel(false);
        let background = Background::start().map_err(ServeError::Threads)?;
        let loader = background.low.spawn(loader.run(stopped, background.idle.clone()));
        let fresh = Arc::clone(&directory);
        let maintenance = Arc::new(Maintenance::new(Arc::clone(&store), spool.clone(), config.retention));
        let maintained = Arc::clone(&maintenance);
        let helpers = vec![
            tokio::spawn(async move { fresh.keep_fresh().await }),
            background.low.spawn(async move { maintained.run().await }),
        ];
        let state = http::State {
            store,
            spool: spool.clone(),
            directory,
            outcomes: outcome::Outcomes::default(),
            rejections: outcome::Rejections::default(),
            client_rate: http::client::ClientRate::new(config.client_rate, config.trusted_proxies.clone()),
            country_header: http::client::CountryHeader::new(
                config.country_header.clone(),
                config.trusted_proxies.clone(),
            ),
            explaining: tokio::sync::Mutex::default(),
            maintenance,
            demo: config.demo,
        };
        let http = http::serve(state, listener).map_err(ServeError::Http)?;
        Ok(Self {
            address,
            first_start,
            sites,
            http,
            spool,
            loader,
            helpers,
            _background: background,
            stop_loader,
        })
    }

    /// Serves until `stop` is done, then ends requests in flight, empties the spool into the store as
    /// far as it goes in a few seconds, and returns. What remains in the spool is loaded at the next
    /// start.
    ///
    /// # Errors
    /// Where the spool could not be written any more.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let failure = tokio::select! {
            () = stop => None,
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
        failure.map_or(Ok(()), |reason| Err(ServeError::SpoolFailed(reason)))
    }
}

/// Makes a site where there is none yet, and an admin token where there is no token.
async fn first_start(store: &dyn Store) -> Result<FirstStart, ServeError> {
    let created_ms = http::now_ms();
    let mut made = FirstStart::default();
    if store.sites().await?.is_empty() {
        let origins = vec!["*".to_owned()];
        let site = NewSite { name: FIRST_SITE.to_owned(), key: keys::site_key()?, origins, created_ms };
        made.site = Some(store.site_add(site).await?);
    }
    if store.tokens().await?.is_empty() {
        let secret = keys::token()?;
        let hash = directory::token_hash(&secret);
        let token = NewToken { name: "first start".to_owned(), scope: Scope::Admin, hash, created_ms };
        store.token_add(token).await?;
        made.token = Some(secret);
    }
    Ok(made)
}
