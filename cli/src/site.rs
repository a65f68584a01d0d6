//! `fieldvitals site`: administers sites.

mod erase;
mod routes;

use crate::names::nearest;
use crate::output::Terminal;
use crate::store_args::{HOST_PLACEHOLDER, PublicUrl, StoreArgs, current_key, find_site, script_tag};
use anyhow::{Context as _, ensure};
use clap::{Subcommand, ValueEnum};
use fieldvitals_server::{
    clock,
    intake::{origin, route},
    keys,
    report::time_text,
    routes::PresentReport,
    timeline,
};
use fieldvitals_store::limits;
use fieldvitals_store::{NewSite, RouteGroups, Site, Store};
use serde_json::{Value, json};
use std::process::ExitCode;

const HOUR_MS: i64 = 3_600_000;

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
        #[arg(long, value_name = "ZONE", value_parser = timezone)]
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
        #[arg(long, default_value_t = 24, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(0..=8760))]
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
    public_url: PublicUrl,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Add { name, origins, auto_routes, common } => {
            let name = check_name(&name)?;
            let origins = check_origins(&origins)?;
            let site = NewSite { name, key: keys::site_key()?, origins, created_ms: clock::now_ms() };
            let add = async |store: &dyn Store| switch(store, store.site_add(site).await?, auto_routes).await;
            show_one(&common, &common.store.with_new(add).await?);
        }
        Command::List { common } => {
            let sites = common.store.with(async |store: &dyn Store| Ok(store.sites().await?)).await?;
            show_all(&common, &sites);
        }
        Command::Update { name, origins, routes, no_routes, timezone, auto_routes, rename, common } => {
            ensure!(
                !origins.is_empty()
                    || !routes.is_empty()
                    || no_routes
                    || timezone.is_some()
                    || auto_routes.is_some()
                    || rename.is_some(),
                "nothing to change: give --origin, --route, --no-routes, --timezone, --auto-routes or --rename"
            );
            let new_routes = check_routes(&routes)?;
            let update = async |store: &dyn Store| {
                let site = find_site(store, &name).await?;
                let name = rename.as_deref().map_or(Ok(site.name.clone()), check_name)?;
                let origins = if origins.is_empty() { site.origins } else { check_origins(&origins)? };
                let routes = if routes.is_empty() && !no_routes { site.routes } else { new_routes };
                let mut updated = store.site_update(site.id, &name, &origins, &routes).await?;
                if let Some(timezone) = &timezone {
                    updated = store.site_timezone(site.id, timezone).await?;
                }
                match auto_routes {
                    Some(auto_routes) => switch(store, updated, auto_routes).await,
                    None => Ok(updated),
                }
            };
            show_one(&common, &common.store.with(update).await?);
        }
        Command::RotateKey { name, keep_old_hours, common } => {
            let now_ms = clock::now_ms();
            let until_ms = now_ms.saturating_add(i64::from(keep_old_hours) * HOUR_MS);
            let rotate = async |store: &dyn Store| {
                let site = find_site(store, &name).await?;
                Ok(store.site_rotate_key(site.id, &keys::site_key()?, now_ms, until_ms).await?)
            };
            show_one(&common, &common.store.with(rotate).await?);
        }
        Command::Routes(args) => return routes::run(args).await,
        Command::Erase(args) => return erase::run(args).await,
        Command::Delete { name, yes, common } => {
            let delete = async |store: &dyn Store| {
                let site = find_site(store, &name).await?;
                ensure!(
                    yes,
                    "this removes site `{name}` and everything measured on it, for good; say --yes to do it"
                );
                store.site_delete(site.id).await?;
                Ok(site)
            };
            let site = common.store.with(delete).await?;
            if common.json {
                print(&json!({"deleted": site.name}));
            } else {
                print_text(&format!("site `{}` is removed", site.name));
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

/// Switches the learning of route groups.
async fn switch(store: &dyn Store, site: Site, auto_routes: Switch) -> anyhow::Result<Site> {
    let auto = auto_routes == Switch::On;
    change_groups(store, &site, RouteGroups { auto, ..site.route_groups.clone() }).await
}

/// Replaces the route groups of a site.
async fn change_groups(store: &dyn Store, site: &Site, after: RouteGroups) -> anyhow::Result<Site> {
    if site.route_groups == after {
        return Ok(site.clone());
    }
    let changed = store.site_route_groups(site.id, &site.route_groups, &after).await?;
    ensure!(
        changed.route_groups == after,
        "the route groups of `{}` were changed meanwhile, by a server or another command; run the command again",
        site.name
    );
    Ok(changed)
}

fn check_name(name: &str) -> anyhow::Result<String> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    ensure!(
        !name.is_empty() && name.len() <= limits::SITE_NAME_BYTES_MAX && name.bytes().all(allowed),
        "`{name}` is not a site's name: expected 1 to {} lower-case letters, digits, `-`, `_` and `.`",
        limits::SITE_NAME_BYTES_MAX
    );
    ensure!(
        !name.bytes().all(|byte| byte.is_ascii_digit()),
        "`{name}` is not a site's name: it needs more than digits, or it would be taken for an id"
    );
    Ok(name.to_owned())
}

/// Parses the name of a time zone, in its usual spelling.
fn timezone(name: &str) -> Result<String, String> {
    let known = timeline::zone_names();
    let found = known.iter().find(|known| known.eq_ignore_ascii_case(name.trim()));
    found.cloned().ok_or_else(|| {
        format!("{} (an IANA name, such as Europe/Berlin)", nearest("time zone", name, &known))
    })
}

fn check_origins(origins: &[String]) -> anyhow::Result<Vec<String>> {
    ensure!(
        origins.len() <= limits::ORIGINS_PER_SITE_MAX,
        "at most {} origins are taken",
        limits::ORIGINS_PER_SITE_MAX
    );
    origins
        .iter()
        .map(|text| origin::check_pattern(text).map_err(anyhow::Error::msg).context("--origin"))
        .collect()
}

fn check_routes(patterns: &[String]) -> anyhow::Result<Vec<String>> {
    ensure!(
        patterns.len() <= limits::ROUTE_RULES_PER_SITE_MAX,
        "at most {} route patterns are taken",
        limits::ROUTE_RULES_PER_SITE_MAX
    );
    patterns
        .iter()
        .map(|text| route::check_rule(text).map_err(anyhow::Error::msg).context("--route"))
        .collect()
}

fn base_url(common: &Common) -> &str {
    common.public_url.public_url.as_deref().unwrap_or(HOST_PLACEHOLDER)
}

fn to_json(common: &Common, site: &Site) -> Value {
    let keys: Vec<Value> =
        site.keys.iter().map(|key| json!({"key": key.key, "until": key.until_ms.map(time_text)})).collect();
    json!({
        "id": site.id, "name": site.name, "key": current_key(site), "keys": keys, "origins": site.origins,
        "routes": site.routes, "auto_routes": site.route_groups.auto, "route_groups": PresentReport::from(site),
        "timezone": site.timezone, "created": time_text(site.created_ms), "script": script_tag(base_url(common), current_key(site)),
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
        script_tag(base_url(common), current_key(site))
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
    if common.public_url.public_url.is_none() {
        eprintln!(
            "note: {HOST_PLACEHOLDER} stands for the public address of your server; --public-url or \
             FIELDVITALS_PUBLIC_URL fills it in"
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

#[allow(clippy::print_stdout)]
pub(crate) fn print(value: &Value) {
    println!("{value:#}");
}

#[allow(clippy::print_stdout)]
pub(crate) fn print_text(text: &str) {
    println!("{text}");
}
