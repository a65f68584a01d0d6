//! Changes settings: sites, their keys, tokens and deploy marks. The commands and the API change them here, so both check the
//! same rules and write the same audit log.

pub mod check;

use crate::directory::token_hash;
use crate::password::shown_name;
use crate::report::time_text;
use crate::{keys, limits};
use fieldvitals_store::{
    AuditEntry, DeployMark, NewSite, NewToken, Retention, RouteGroups, Scope, Site, SiteId, Store,
    StoreError, Token, TokenId,
};
use serde_json::{Value, json};

const HOUR_MS: i64 = 3_600_000;

/// The actor of changes by commands on the store itself.
pub const COMMAND_LINE: &str = "command line";

/// Why a setting was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    /// A value breaks a rule. The message says which one, and what is expected.
    #[error("{0}")]
    Invalid(String),
    /// Another token has the name.
    #[error("there is a token `{name}` already: id {id}, made {made}")]
    TokenExists {
        /// The name.
        name: String,
        /// The other token's id.
        id: i64,
        /// The time at which it was made.
        made: String,
    },
    /// The store refused the change.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no random numbers for a key or a token.
    #[error(transparent)]
    Random(#[from] getrandom::Error),
    /// The change took place, and its entry in the audit log could not be written.
    #[error("the change took place, but the audit log could not be written: {0}")]
    Unrecorded(StoreError),
}

/// New values of a site's settings; `None` keeps a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteChange {
    /// The name.
    pub name: Option<String>,
    /// The allowed origins, replacing the old ones.
    pub origins: Option<Vec<String>>,
    /// The route patterns, replacing the old ones.
    pub routes: Option<Vec<String>>,
    /// The time zone.
    pub timezone: Option<String>,
    /// Whether servers add route groups by themselves.
    pub auto_routes: Option<bool>,
}

/// A new retention of all servers of the store, in days; `None` keeps a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionChange {
    /// Of page views.
    pub views_days: Option<u32>,
    /// Of hourly rollups.
    pub hours_days: Option<u32>,
    /// Of daily rollups.
    pub rollups_days: Option<u32>,
}

impl RetentionChange {
    /// Returns the retention after this change.
    #[must_use]
    pub fn of(self, before: Retention) -> Retention {
        Retention {
            raw_days: self.views_days.unwrap_or(before.raw_days),
            hourly_days: self.hours_days.unwrap_or(before.hourly_days),
            daily_days: self.rollups_days.unwrap_or(before.daily_days),
        }
    }
}

/// Changes settings on behalf of somebody.
pub struct Administration<'a> {
    store: &'a dyn Store,
    actor: String,
    now_ms: i64,
}

impl<'a> Administration<'a> {
    /// `actor` stands in the audit log.
    #[must_use]
    pub fn new(store: &'a dyn Store, actor: impl Into<String>, now_ms: i64) -> Self {
        Self { store, actor: actor.into(), now_ms }
    }

    /// Adds a site with one key.
    ///
    /// # Errors
    /// If the name or an origin breaks a rule, or the name is taken.
    pub async fn site_add(&self, name: &str, origins: &[String]) -> Result<Site, AdministrationError> {
        let (name, origins) = (invalid(check::site_name(name))?, invalid(check::origins(origins))?);
        let site = NewSite { name, key: keys::site_key()?, origins, created_ms: self.now_ms };
        let site = self.store.site_add(site).await?;
        self.record("site.add", &site.name, None, Some(site_json(&site))).await?;
        Ok(site)
    }

    /// Changes settings of a site.
    ///
    /// # Errors
    /// If a value breaks a rule, or the name is taken.
    pub async fn site_update(&self, site: &Site, change: SiteChange) -> Result<Site, AdministrationError> {
        let SiteChange { name, origins, routes, timezone, auto_routes } = change;
        let name = name.map(|name| invalid(check::site_name(&name))).transpose()?;
        let origins = origins.map(|origins| invalid(check::origins(&origins))).transpose()?;
        let routes = routes.map(|routes| invalid(check::routes(&routes))).transpose()?;
        let timezone = timezone.map(|timezone| invalid(check::timezone(&timezone))).transpose()?;
        // The caller's site may be of a second ago, and what is not changed must stay as it is now.
        let before = self.store.sites().await?.into_iter().find(|known| known.id == site.id);
        let before = before.ok_or(StoreError::NoSuchSite)?;
        let mut changed = before.clone();
        let steps = async {
            if name.is_some() || origins.is_some() || routes.is_some() {
                let name = name.as_ref().unwrap_or(&before.name);
                let origins = origins.as_ref().unwrap_or(&before.origins);
                let routes = routes.as_ref().unwrap_or(&before.routes);
                changed = self.store.site_update(site.id, name, origins, routes).await?;
            }
            if let Some(timezone) = timezone {
                changed = self.store.site_timezone(site.id, &timezone).await?;
            }
            if let Some(auto) = auto_routes {
                let after = RouteGroups { auto, ..changed.route_groups.clone() };
                changed = self.swap_route_groups(&changed, &after).await?;
            }
            Ok::<(), AdministrationError>(())
        };
        let done = steps.await;
        // What an earlier step changed is in the log, although a later one failed.
        if done.is_ok() || changed != before {
            self.record("site.update", &before.name, Some(site_json(&before)), Some(site_json(&changed)))
                .await?;
        }
        done.map(|()| changed)
    }

    /// Replaces the route groups of a site, if they are still those of `site`.
    ///
    /// # Errors
    /// If somebody changed them meanwhile, or the site was deleted.
    pub async fn site_route_groups(
        &self,
        site: &Site,
        after: &RouteGroups,
    ) -> Result<Site, AdministrationError> {
        if site.route_groups == *after {
            return Ok(site.clone());
        }
        let changed = self.swap_route_groups(site, after).await?;
        let [before, after] = [&site.route_groups, after].map(|of| json!({"route_groups": of.groups}));
        self.record("site.route_groups", &site.name, Some(before), Some(after)).await?;
        Ok(changed)
    }

    /// Replaces the route groups of a site, if they are still those of `site`. Writes no audit log.
    async fn swap_route_groups(&self, site: &Site, after: &RouteGroups) -> Result<Site, AdministrationError> {
        let changed = self.store.site_route_groups(site.id, &site.route_groups, after).await?;
        if changed.route_groups == *after {
            return Ok(changed);
        }
        Err(AdministrationError::Invalid(format!(
            "the route groups of `{}` were changed meanwhile, by a server or somebody else; try again",
            site.name
        )))
    }

    /// Gives a site a new key. Its old keys stay valid for some hours.
    ///
    /// # Errors
    /// If the hours are more than a year, or the site was deleted.
    pub async fn site_rotate_key(
        &self,
        site: &Site,
        keep_old_hours: u32,
    ) -> Result<Site, AdministrationError> {
        let max = limits::KEEP_OLD_KEY_HOURS_MAX;
        if keep_old_hours > max {
            return Err(AdministrationError::Invalid(format!("old keys stay valid for at most {max} hours")));
        }
        let until_ms = self.now_ms.saturating_add(i64::from(keep_old_hours) * HOUR_MS);
        let key = keys::site_key()?;
        let changed = self.store.site_rotate_key(site.id, &key, self.now_ms, until_ms).await?;
        let after = json!({"key": key, "old_keys_until": time_text(until_ms)});
        self.record("site.rotate_key", &site.name, None, Some(after)).await?;
        Ok(changed)
    }

    /// Removes a site and all of its data.
    ///
    /// # Errors
    /// If the site was deleted already.
    pub async fn site_delete(&self, site: &Site) -> Result<(), AdministrationError> {
        self.store.site_delete(site.id).await?;
        self.record("site.delete", &site.name, Some(site_json(site)), None).await
    }

    /// Adds a token, limited to sites if there are any, and to requests a second. Returns it with its secret, which is stored
    /// nowhere.
    ///
    /// # Errors
    /// If the name is that of a password, of another token or too long, there are too many sites, or the rate is out of range.
    pub async fn token_add(
        &self,
        name: &str,
        scope: Scope,
        sites: Option<Vec<SiteId>>,
        rate_per_s: Option<u32>,
    ) -> Result<(Token, String), AdministrationError> {
        let name = invalid(check::token_name(name))?;
        let max = fieldvitals_store::limits::TOKEN_SITES_MAX;
        if sites.as_ref().is_some_and(|sites| sites.is_empty() || sites.len() > max) {
            return Err(AdministrationError::Invalid(format!(
                "a token is limited to 1 to {max} sites; without sites it is for all"
            )));
        }
        if rate_per_s.is_some_and(|rate| !(1..=limits::TOKEN_RATE_PER_S_MAX).contains(&rate)) {
            let max = limits::TOKEN_RATE_PER_S_MAX;
            return Err(AdministrationError::Invalid(format!(
                "a token has a rate of 1 to {max} requests a second"
            )));
        }
        if let Some(other) = self.store.tokens().await?.into_iter().find(|other| other.name == name) {
            let made = time_text(other.created_ms);
            return Err(AdministrationError::TokenExists { name, id: other.id.0, made });
        }
        let secret = keys::token()?;
        let hash = token_hash(&secret);
        let token = NewToken { name, scope, sites, hash, created_ms: self.now_ms, rate_per_s };
        let token = self.store.token_add(token).await?;
        self.record("token.add", &token_target(&token), None, Some(token_json(&token))).await?;
        Ok((token, secret))
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// If there is no such token.
    pub async fn token_revoke(&self, id: TokenId) -> Result<(), AdministrationError> {
        let token = self.store.tokens().await?.into_iter().find(|token| token.id == id);
        let token = token.ok_or(StoreError::NoSuchToken)?;
        self.store.token_revoke(id).await?;
        self.record("token.revoke", &token_target(&token), Some(token_json(&token)), None).await
    }

    /// Marks the deploy of a release; now if no time is given.
    ///
    /// # Errors
    /// If the name breaks a rule, or the site was deleted.
    pub async fn deploy_mark(
        &self,
        site: &Site,
        release: &str,
        at_ms: Option<i64>,
    ) -> Result<DeployMark, AdministrationError> {
        let release = invalid(check::release(release))?;
        let mark = DeployMark { release, at_ms: at_ms.unwrap_or(self.now_ms) };
        self.store.deploy_marks_put(site.id, std::slice::from_ref(&mark)).await?;
        let after = json!({"release": mark.release, "deployed": time_text(mark.at_ms)});
        self.record("release.mark", &site.name, None, Some(after)).await?;
        Ok(mark)
    }

    /// Sets the retention of all servers of the store that have none in their options. Servers follow within a minute, and
    /// remove what is older.
    ///
    /// # Errors
    /// If a value breaks a rule.
    pub async fn retention_set(&self, change: RetentionChange) -> Result<Retention, AdministrationError> {
        let before = self.store.retention().await?.unwrap_or_default();
        let after = invalid(check::retention(change.of(before)))?;
        self.store.set_retention(after).await?;
        let [was, is] = [before, after].map(retention_json);
        self.record("retention.set", "all sites", Some(was), Some(is)).await?;
        Ok(after)
    }

    async fn record(
        &self,
        action: &str,
        target: &str,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Result<(), AdministrationError> {
        let text = |settings: Option<Value>| settings.map(|settings| settings.to_string());
        let entry = AuditEntry {
            at_ms: self.now_ms,
            actor: self.actor.clone(),
            action: action.to_owned(),
            target: target.to_owned(),
            before: text(before),
            after: text(after),
        };
        self.store.audit_add(&entry).await.map_err(AdministrationError::Unrecorded)
    }
}

fn invalid<T>(checked: Result<T, String>) -> Result<T, AdministrationError> {
    checked.map_err(AdministrationError::Invalid)
}

/// Names a token in the audit log.
#[must_use]
pub fn token_target(token: &Token) -> String {
    format!("{} (token {})", shown_name(&token.name), token.id.0)
}

fn site_json(site: &Site) -> Value {
    json!({"name": site.name, "origins": site.origins, "routes": site.routes, "timezone": site.timezone,
           "auto_routes": site.route_groups.auto})
}

fn retention_json(retention: Retention) -> Value {
    let Retention { raw_days, hourly_days, daily_days } = retention;
    json!({"views_days": raw_days, "hours_days": hourly_days, "rollups_days": daily_days})
}

fn token_json(token: &Token) -> Value {
    json!({"scope": token.scope.name(), "sites": token.sites, "rate": token.rate_per_s})
}
