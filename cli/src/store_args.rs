//! The store of the commands that work on it directly.

use crate::names::unknown;
use crate::store::place::Place;
use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use fieldvitals_server::{BasePath, EMBEDDED_STORE, StoreUrl, close_store, open_store};
use fieldvitals_store::{Site, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The store of sites, tokens and measurements. The commands work with and without a running server.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    /// Configuration file (TOML) with options by their names: listen = "0.0.0.0:8080". Flags and environment win over
    /// it.
    #[arg(long, env = "FIELDVITALS_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the spool and the embedded store.
    #[arg(long, env = "FIELDVITALS_DATA_DIR", default_value = DATA_DIR, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Store in another place: postgres://USER:PASSWORD@HOST/NAME or sqlite://PATH. The default is a file in the data
    /// folder.
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// File that contains this URL. Other users of the machine can see arguments, but not the file's content.
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE", value_parser = url_file)]
    database_url_file: Option<FileUrl>,
}

/// The default folder.
const DATA_DIR: &str = "fieldvitals-data";

/// A database URL read from a file.
#[derive(Clone)]
struct FileUrl(String);

impl std::fmt::Debug for FileUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileUrl")
    }
}

fn url_file(path: &str) -> Result<FileUrl, String> {
    let url = std::fs::read_to_string(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let url = url.trim();
    if url.is_empty() {
        Err("it is empty; expected a URL in it".to_owned())
    } else {
        Ok(FileUrl(url.to_owned()))
    }
}

impl StoreArgs {
    /// Opens an existing store.
    async fn open(&self) -> anyhow::Result<Arc<dyn Store>> {
        if let Some(file) = self.file()
            && let Err(error) = file.try_exists()
        {
            bail!(
                "{} cannot be read: {error}; run the command as the user of the server, such as \
                 `sudo -u fieldvitals fieldvitals …`",
                file.display()
            );
        }
        ensure!(
            !self.is_new(),
            "there is no store in {}; {}, and the first `fieldvitals serve`, `site add` or `token add` makes a store",
            self.new_place(),
            match self.database_url() {
                Some(_) => "--database-url (or DATABASE_URL) names a store's file",
                None => "--data-dir (or FIELDVITALS_DATA_DIR) names the server's folder",
            }
        );
        self.open_or_create().await
    }

    /// Runs an action on the store, then closes the store even if the action fails. After the close, a store's file
    /// holds all data.
    pub(crate) async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&dyn Store) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        closing(self.open().await?, work).await
    }

    /// Like [`Self::with`], but creates a missing store.
    pub(crate) async fn with_new<T>(
        &self,
        work: impl AsyncFnOnce(&dyn Store) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        closing(self.open_or_create().await?, work).await
    }

    /// Opens the store. Creates a missing store and prints a note.
    async fn open_or_create(&self) -> anyhow::Result<Arc<dyn Store>> {
        self.check()?;
        if self.is_new() {
            eprintln!("note: making a new store in {}", self.new_place());
        }
        Ok(open_store(&self.data_dir, self.database_url()).await?)
    }

    /// Refuses a URL that is given twice.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.given_url().is_none() || self.database_url_file.is_none(),
            "--database-url (or DATABASE_URL) and --database-url-file (or DATABASE_URL_FILE) both name a store; leave \
             one out"
        );
        Ok(())
    }

    /// Whether a store other than that of the default folder is named.
    pub(crate) fn is_named(&self) -> bool {
        self.database_url().is_some() || self.data_dir != Path::new(DATA_DIR)
    }

    /// The URL given directly. An empty URL counts as absent, because scripts pass unset variables as empty.
    fn given_url(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.trim().is_empty())
    }

    /// The URL, given directly or in a file.
    pub(crate) fn database_url(&self) -> Option<&str> {
        self.given_url().or_else(|| self.database_url_file.as_ref().map(|file| file.0.as_str()))
    }

    /// The address of the store: the given URL, or the file in the data folder.
    pub(crate) fn url(&self) -> anyhow::Result<StoreUrl> {
        let Some(url) = self.database_url() else {
            return Ok(StoreUrl::File(self.data_dir.join(EMBEDDED_STORE)));
        };
        let url = StoreUrl::parse(url).context("--database-url is no URL")?;
        url.map_err(|wrong| anyhow!("--database-url: {wrong}"))
    }

    /// The place of the store, as the user gave it.
    pub(crate) fn place(&self) -> Place {
        match self.database_url() {
            // Opening the store refuses an invalid URL.
            Some(url) => Place::parse(url).unwrap_or_else(|_| Place::Postgres(url.to_owned())),
            None => Place::Folder(self.data_dir.clone()),
        }
    }

    /// The file of a store in a file. Opening the store reports an invalid URL.
    fn file(&self) -> Option<PathBuf> {
        match self.database_url().map(StoreUrl::parse) {
            None => Some(self.data_dir.join(EMBEDDED_STORE)),
            Some(Some(Ok(StoreUrl::File(path)))) => Some(path),
            Some(_) => None,
        }
    }

    fn is_new(&self) -> bool {
        self.file().is_some_and(|file| !file.exists())
    }

    /// The folder or the file for a new store.
    fn new_place(&self) -> String {
        let file = self.database_url().and_then(|_| self.file());
        file.as_ref().unwrap_or(&self.data_dir).display().to_string()
    }
}

async fn closing<T>(
    store: Arc<dyn Store>,
    work: impl AsyncFnOnce(&dyn Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let done = work(store.as_ref()).await;
    close_store(store.as_ref()).await;
    done
}

/// Finds the site of this name.
pub(crate) async fn find_site(store: &dyn Store, name: &str) -> anyhow::Result<Site> {
    site_named(&store.sites().await?, name).cloned()
}

/// Finds the site of this name among all sites of a store.
pub(crate) fn site_named<'a>(sites: &'a [Site], name: &str) -> anyhow::Result<&'a Site> {
    sites.iter().find(|site| site.name == name).with_context(|| {
        let names: Vec<String> = sites.iter().map(|site| site.name.clone()).collect();
        unknown("site", name, " in this store", &names)
    })
}

/// The named site, or the only one.
pub(crate) async fn site_of(store: &dyn Store, named: Option<&str>) -> anyhow::Result<Site> {
    if let Some(name) = named {
        return find_site(store, name).await;
    }
    let mut sites = store.sites().await?;
    match sites.len() {
        1 => Ok(sites.remove(0)),
        0 => bail!("the store has no site: `fieldvitals site add NAME --origin ORIGIN` adds one"),
        count => {
            let names: Vec<String> = sites.into_iter().map(|site| site.name).collect();
            bail!("the store has {count} sites; say which one with --site: {}", names.join(", "))
        }
    }
}

/// The public address of the server, for the script tag.
#[derive(Debug, Clone, Args)]
pub(crate) struct PublicUrl {
    /// The URL of this server for browsers, such as https://vitals.example.com or https://shop.example/vitals; used in
    /// the script tag.
    #[arg(long, env = "FIELDVITALS_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// Path under which a proxy shows the server, such as /vitals for https://shop.example/vitals. The proxy may pass it
    /// on or remove it.
    #[arg(long, env = "FIELDVITALS_BASE_PATH", default_value = "/", value_name = "PATH")]
    pub(crate) base_path: BasePath,
}

impl PublicUrl {
    /// The URL with the path behind the proxy, unless its own path ends with that.
    pub(crate) fn whole(&self) -> Option<String> {
        let (url, path) = (self.public_url.as_deref()?, self.base_path.as_str());
        let has_path = url::Url::parse(url).is_ok_and(|url| url.path().trim_end_matches('/').ends_with(path));
        Some(if has_path { url.to_owned() } else { format!("{url}{path}") })
    }
}

fn public_url(text: &str) -> Result<String, String> {
    let expected = "expected https://HOST, or https://HOST/PATH behind a proxy";
    let url = url::Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    let is_bare = url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_bare {
        return Err(expected.to_owned());
    }
    let path: BasePath = url.path().parse().map_err(|_| expected.to_owned())?;
    Ok(url.origin().ascii_serialization() + path.as_str())
}

/// Stands for the server's address in a script tag if the command does not know the address.
pub(crate) const HOST_PLACEHOLDER: &str = "https://YOUR-HOST";

/// The script tag of a site.
pub(crate) fn script_tag(base_url: &str, key: &str) -> String {
    format!(r#"<script async src="{base_url}/v.js" data-site="{key}"></script>"#)
}

/// The site's current key.
pub(crate) fn current_key(site: &Site) -> &str {
    site.keys.iter().find(|key| key.until_ms.is_none()).map_or("", |key| key.key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_url_gets_the_base_path_once() {
        for (url, base_path, whole) in [
            ("https://vitals", "/vitals", "https://vitals/vitals"),
            ("https://shop.example/vitals/", "/vitals", "https://shop.example/vitals"),
            ("https://shop.example/a/vitals", "/vitals", "https://shop.example/a/vitals"),
            ("https://shop.example/old-vitals", "/vitals", "https://shop.example/old-vitals/vitals"),
            ("https://shop.example", "/", "https://shop.example"),
            ("https://shop.example/vitals", "/", "https://shop.example/vitals"),
        ] {
            let public_url = Some(public_url(url).unwrap());
            let args = PublicUrl { public_url, base_path: base_path.parse().unwrap() };
            assert_eq!(args.whole().as_deref(), Some(whole), "{url} {base_path}");
        }
    }
}
