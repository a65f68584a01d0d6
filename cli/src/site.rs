//! `fieldvitals site`: administers sites.

mod erase;
mod routes;

use crate::client::RemoteArgs;
use crate::output::{self, Terminal};
use crate::store_args::{HOST_PLACEHOLDER, PublicUrl, StoreArgs, current_key, find_site, script_tag};
use anyhow::ensure;
use clap::{Subcommand, ValueEnum};
use fieldvitals_server::administration::{Administration, COMMAND_LINE, SiteChange, check};
use fieldvitals_server::routes::PresentReport;
use fieldvitals_server::{clock, report::time_text};
use fieldvitals_store::{Site, Store};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Sites of this server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a site and print its key and script tag.
    Add {
        /// The new site's name: lower-case letters, digits, `-`, `_` and `.`.
        name: String,
        /// An origin whose pages may send: https://shop.example, https://*.shop.example, http://localhost:*, or `*` for
        /// any; may be repeated.
        #[arg(long = "origin", required = true, value_name = "ORIGIN")]
        origins: Vec<String>,
        /// Whether servers group routes of very many small pages, such as /blog/:slug, by themselves.
        #[arg(long, value_name = "SWITCH", default_value = "on")]
        auto_routes: Switch,
        #[command(flatten)]
        common: Common,
    },
    /// List sites with their keys, origins and route patterns.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Change a site's origins, route patterns, time zone or name.
    Update {
        /// The site's name.
        name: String,
        /// The new origins, replacing the old ones; may be repeated.
        #[arg(long = "origin", value_name = "ORIGIN")]
        origins: Vec<String>,
        /// The new route patterns, replacing the old ones: `/product/:id`, `/blog/*`; may be repeated. The first
        /// pattern that matches a URL's path is its route; `:name` matches one segment, a final `*` matches all further
        /// segments.
        #[arg(long = "route", value_name = "PATTERN")]
        routes: Vec<String>,
        /// Remove all patterns: routes are derived from URLs.
        #[arg(long, conflicts_with = "routes")]
        no_routes: bool,
        /// The time zone in which days and weeks of reports over time begin: an IANA name such as Europe/Berlin.
        #[arg(long, value_name = "ZONE", value_parser = check::timezone)]
        timezone: Option<String>,
        /// Whether servers group routes of very many small pages, such as /blog/:slug, by themselves. Groups that are
        /// there stay.
        #[arg(long, value_name = "SWITCH")]
        auto_routes: Option<Switch>,
        /// The new name.
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Give a site a new key; the old keys stay valid for a while, because cached pages still use them.
    RotateKey {
        /// The site's name.
        name: String,
        /// Hours for which the old keys stay valid.
        #[arg(long, default_value_t = 24, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(0..=i64::from(fieldvitals_server::limits::KEEP_OLD_KEY_HOURS_MAX)))]
        keep_old_hours: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Group routes that have too few page views each: suggest, apply, list and remove groups.
    Routes(routes::Args),
    /// Erase measurements: all, those of a URL, or those of a time range.
    Erase(erase::Args),
    /// Remove a site and all its measurements.
    Delete {
        /// The site's name.
        name: String,
        /// Confirm: this cannot be undone.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    public_url: PublicUrl,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Add { name, origins, auto_routes, common } => {
            // Servers group routes of a new site by themselves.
            let auto_routes = (auto_routes == Switch::Off).then_some(false);
            let change = SiteChange { auto_routes, ..SiteChange::default() };
            let site = match common.remote.remote(&common.store)? {
                Some(remote) => {
                    let site = remote.site_add(&name, &origins).await?;
                    if change == SiteChange::default() {
                        site
                    } else {
                        remote.site_update(&name, change).await?
                    }
                }
                None => {
                    let add = async |store: &dyn Store| {
                        let site = here(store).site_add(&name, &origins).await?;
                        if change == SiteChange::default() {
                            return Ok(site);
                        }
                        Ok(here(store).site_update(&site, change).await?)
                    };
                    common.store.with_new(add).await?
                }
            };
            show_one(&common, &site);
        }
        Command::List { common } => {
            let sites = match common.remote.remote(&common.store)? {
                Some(remote) => remote.sites().await?,
                None => common.store.with(async |store: &dyn Store| Ok(store.sites().await?)).await?,
            };
            show_all(&common, &sites);
        }
        Command::Update { name, origins, routes, no_routes, timezone, auto_routes, rename, common } => {
            // Told before the site is looked for.
            check::routes(&routes).map_err(anyhow::Error::msg)?;
            let change = SiteChange {
                name: rename,
                origins: (!origins.is_empty()).then_some(origins),
                routes: (!routes.is_empty() || no_routes).then_some(routes),
                timezone,
                auto_routes: auto_routes.map(Switch::is_on),
            };
            ensure!(
                change != SiteChange::default(),
                "nothing to change: give --origin, --route, --no-routes, --timezone, --auto-routes or --rename"
            );
            let site = match common.remote.remote(&common.store)? {
                Some(remote) => remote.site_update(&name, change).await?,
                None => {
                    let update = async |store: &dyn Store| {
                        let site = find_site(store, &name).await?;
                        Ok(here(store).site_update(&site, change).await?)
                    };
                    common.store.with(update).await?
                }
            };
            show_one(&common, &site);
        }
        Command::RotateKey { name, keep_old_hours, common } => {
            let site = match common.remote.remote(&common.store)? {
                Some(remote) => remote.site_rotate_key(&name, keep_old_hours).await?,
                None => {
                    let rotate = async |store: &dyn Store| {
                        let site = find_site(store, &name).await?;
                        Ok(here(store).site_rotate_key(&site, keep_old_hours).await?)
                    };
                    common.store.with(rotate).await?
                }
            };
            show_one(&common, &site);
        }
        Command::Routes(args) => return routes::run(args).await,
        Command::Erase(args) => return erase::run(args).await,
        Command::Delete { name, yes, common } => {
            let confirmed = || -> anyhow::Result<()> {
                ensure!(
                    yes,
                    "this removes site `{name}` and everything measured on it, for good; say --yes to do it"
                );
                Ok(())
            };
            match common.remote.remote(&common.store)? {
                Some(remote) => {
                    confirmed()?;
                    remote.site_delete(&name).await?;
                }
                None => {
                    let delete = async |store: &dyn Store| {
                        let site = find_site(store, &name).await?;
                        confirmed()?;
                        Ok(here(store).site_delete(&site).await?)
                    };
                    common.store.with(delete).await?;
                }
            }
            if common.json {
                print(&json!({"deleted": name}));
            } else {
                print_text(&format!("site `{name}` is removed"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A switch of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Switch {
    fn is_on(self) -> bool {
        self == Self::On
    }
}

/// Changes settings on the store itself.
pub(crate) fn here(store: &dyn Store) -> Administration<'_> {
    Administration::new(store, COMMAND_LINE, clock::now_ms())
}

/// The address of the server for browsers: as given, else that of the server that answered.
fn base_url(common: &Common) -> String {
    let of_server = || {
        let server = common.remote.server(&common.store).ok()??;
        Some(server.as_str().trim_end_matches('/').to_owned())
    };
    let placeholder = || format!("{HOST_PLACEHOLDER}{}", common.public_url.base_path.as_str());
    common.public_url.whole().or_else(of_server).unwrap_or_else(placeholder)
}

fn to_json(common: &Common, site: &Site) -> Value {
    let keys: Vec<Value> =
        site.keys.iter().map(|key| json!({"key": key.key, "until": key.until_ms.map(time_text)})).collect();
    json!({
        "id": site.id, "name": site.name, "key": current_key(site), "keys": keys, "origins": site.origins,
        "routes": site.routes, "auto_routes": site.route_groups.auto, "route_groups": PresentReport::from(site),
        "timezone": site.timezone, "created": time_text(site.created_ms), "script": script_tag(&base_url(common), current_key(site)),
    })
}

fn to_text(common: &Common, site: &Site) -> String {
    let terminal = Terminal::of_stdout();
    // The tag is never wrapped, because it is copied.
    let mut text = format!(
        "{}\n  key      {}\n{}  script   {}",
        site.name,
        current_key(site),
        terminal.list("  origins  ", &site.origins),
        script_tag(&base_url(common), current_key(site))
    );
    if !site.routes.is_empty() {
        text.push_str(&format!("\n{}", terminal.list("  routes   ", &site.routes).trim_end()));
    }
    if !site.route_groups.groups.is_empty() {
        text.push_str(&format!("\n{}", terminal.list("  groups   ", &site.route_groups.groups).trim_end()));
    }
    if site.timezone != Site::TIMEZONE_DEFAULT {
        text.push_str(&format!("\n  timezone {}", site.timezone));
    }
    for key in &site.keys {
        if let Some(until_ms) = key.until_ms {
            text.push_str(&format!("\n  old key  {} until {}", key.key, time_text(until_ms)));
        }
    }
    text
}

fn show_one(common: &Common, site: &Site) {
    if common.json {
        print(&to_json(common, site));
    } else {
        print_text(&to_text(common, site));
        say_where(common);
    }
}

/// Explains the placeholder in the script tag. The store does not know at which address browsers reach the server.
fn say_where(common: &Common) {
    if base_url(common).starts_with(HOST_PLACEHOLDER) {
        eprintln!(
            "note: {HOST_PLACEHOLDER} stands for the public address of your server;\n  --public-url or FIELDVITALS_PUBLIC_URL \
             fills it in"
        );
    }
}

fn show_all(common: &Common, sites: &[Site]) {
    if common.json {
        print(&Value::Array(sites.iter().map(|site| to_json(common, site)).collect()));
    } else if sites.is_empty() {
        print_text("there is no site yet: `fieldvitals site add NAME --origin ORIGIN` adds one");
    } else {
        for site in sites {
            print_text(&to_text(common, site));
        }
        say_where(common);
    }
}

pub(crate) fn print(value: &Value) {
    print_text(&format!("{value:#}"));
}

pub(crate) fn print_text(text: &str) {
    output::print(&format!("{text}\n"));
}
