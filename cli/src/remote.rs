//! Settings over the network: the API's counterpart of a store's sites and tokens.

use crate::client::{Client, RemoteArgs};
use crate::exit::Failure;
use crate::moment::time;
use crate::names::unknown;
use crate::store_args::StoreArgs;
use fieldvitals_server::administration::SiteChange;
use fieldvitals_server::releases::Release;
use fieldvitals_store::{RouteGroups, Site, SiteId, SiteKey};
use reqwest::Method;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// A server whose settings are changed over the network.
pub(crate) struct Remote(Client);

impl RemoteArgs {
    /// The server; `None` if the command works on the store.
    pub(crate) fn remote(&self, store: &StoreArgs) -> Result<Option<Remote>, Failure> {
        Ok(self.client(store)?.map(Remote))
    }
}

/// A site in an answer.
#[derive(Deserialize)]
struct SiteAnswer {
    id: SiteId,
    name: String,
    keys: Vec<KeyAnswer>,
    origins: Vec<String>,
    routes: Vec<String>,
    route_groups: GroupsAnswer,
    auto_routes: bool,
    timezone: String,
    #[serde(deserialize_with = "millis")]
    created: i64,
}

#[derive(Deserialize)]
struct KeyAnswer {
    key: String,
    #[serde(default, deserialize_with = "some_millis")]
    until: Option<i64>,
}

#[derive(Deserialize)]
struct GroupsAnswer {
    groups: Vec<String>,
    apart: Vec<String>,
    removed: Vec<String>,
}

/// Reads a time, as UTC milliseconds.
fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    time(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads a time that may be absent.
fn some_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| time(&text)).transpose().map_err(D::Error::custom)
}

impl From<SiteAnswer> for Site {
    fn from(answer: SiteAnswer) -> Self {
        let key = |KeyAnswer { key, until }| SiteKey { key, until_ms: until };
        Self {
            id: answer.id,
            name: answer.name,
            keys: answer.keys.into_iter().map(key).collect(),
            origins: answer.origins,
            routes: answer.routes,
            route_groups: RouteGroups {
                auto: answer.auto_routes,
                groups: answer.route_groups.groups,
                apart: answer.route_groups.apart,
                removed: answer.route_groups.removed,
            },
            timezone: answer.timezone,
            created_ms: answer.created,
        }
    }
}

/// A release in an answer.
#[derive(Deserialize)]
struct ReleaseAnswer {
    release: String,
    #[serde(default, deserialize_with = "some_millis")]
    first_seen: Option<i64>,
    #[serde(default, deserialize_with = "some_millis")]
    last_seen: Option<i64>,
    views: i64,
    #[serde(default, deserialize_with = "some_millis")]
    deployed: Option<i64>,
}

impl From<ReleaseAnswer> for Release {
    fn from(answer: ReleaseAnswer) -> Self {
        Self {
            name: answer.release,
            seen: answer.first_seen.zip(answer.last_seen).map(|(first, last)| [first, last]),
            views: answer.views,
            deployed_ms: answer.deployed,
        }
    }
}

impl Remote {
    /// The named site, or the only one.
    pub(crate) async fn site_name(&self, named: Option<&str>) -> Result<String, Failure> {
        self.0.site(named).await
    }

    /// All sites that the token may know of.
    pub(crate) async fn sites(&self) -> Result<Vec<Site>, Failure> {
        let answer = self.0.get::<Value>(&["sites"], &[]).await?.0;
        let sites: Vec<SiteAnswer> = read(answer["sites"].clone())?;
        Ok(sites.into_iter().map(Into::into).collect())
    }

    pub(crate) async fn site_add(&self, name: &str, origins: &[String]) -> Result<Site, Failure> {
        let body = json!({"name": name, "origins": origins});
        self.site_of(Method::POST, &["sites"], &body).await
    }

    pub(crate) async fn site_update(&self, name: &str, change: SiteChange) -> Result<Site, Failure> {
        let SiteChange { name: new_name, origins, routes, timezone, auto_routes } = change;
        let mut body = json!({
            "name": new_name, "origins": origins, "routes": routes, "timezone": timezone, "auto_routes": auto_routes,
        });
        if let Some(body) = body.as_object_mut() {
            body.retain(|_, value| !value.is_null());
        }
        self.site_of(Method::PATCH, &["sites", name], &body).await
    }

    pub(crate) async fn site_rotate_key(&self, name: &str, keep_old_hours: u32) -> Result<Site, Failure> {
        let body = json!({"keep_old_hours": keep_old_hours});
        self.site_of(Method::POST, &["sites", name, "keys"], &body).await
    }

    /// Removes a site, given by its name.
    pub(crate) async fn site_delete(&self, name: &str) -> Result<(), Failure> {
        let query = [("confirm", Some(name))];
        self.0.change(Method::DELETE, &["sites", name], &query, None).await.map(drop)
    }

    async fn site_of(&self, method: Method, path: &[&str], body: &Value) -> Result<Site, Failure> {
        let answer: SiteAnswer = read(self.0.change(method, path, &[], Some(body)).await?)?;
        Ok(answer.into())
    }

    /// Marks a deploy, now if no time is given. Returns the answer: `site`, `release` and `deployed`.
    pub(crate) async fn deploy_mark(
        &self,
        site: &str,
        release: &str,
        deployed: Option<String>,
    ) -> Result<Value, Failure> {
        let body = match deployed {
            Some(deployed) => json!({"release": release, "deployed": deployed}),
            None => json!({"release": release}),
        };
        self.0.change(Method::POST, &["sites", site, "releases"], &[], Some(&body)).await
    }

    pub(crate) async fn releases(&self, site: &str, limit: u16) -> Result<Vec<Release>, Failure> {
        let limit = limit.to_string();
        let query = [("limit", Some(limit.as_str()))];
        let answer = self.0.get::<Value>(&["sites", site, "releases"], &query).await?.0;
        let releases: Vec<ReleaseAnswer> = read(answer["releases"].clone())?;
        Ok(releases.into_iter().map(Into::into).collect())
    }

    /// All tokens.
    pub(crate) async fn tokens<T: DeserializeOwned>(&self) -> Result<Vec<T>, Failure> {
        let answer = self.0.get::<Value>(&["tokens"], &[]).await?.0;
        read(answer["tokens"].clone())
    }

    /// Adds a token. The answer has its secret.
    pub(crate) async fn token_add<T: DeserializeOwned>(
        &self,
        name: &str,
        scope: &str,
        sites: &[String],
        rate: Option<u32>,
    ) -> Result<T, Failure> {
        let mut body = json!({"name": name, "scope": scope});
        if let Some(rate) = rate {
            body["rate"] = rate.into();
        }
        if !sites.is_empty() {
            self.known(sites).await?;
            body["sites"] = json!(sites);
        }
        read(self.0.change(Method::POST, &["tokens"], &[], Some(&body)).await?)
    }

    /// Names the nearest site, if one of these does not exist.
    async fn known(&self, names: &[String]) -> Result<(), Failure> {
        let known: Vec<String> = self.sites().await?.into_iter().map(|site| site.name).collect();
        match names.iter().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => Err(Failure::usage(unknown("site", name, " on the server", &known), "")),
        }
    }

    pub(crate) async fn token_revoke(&self, id: i64) -> Result<(), Failure> {
        self.0.change(Method::DELETE, &["tokens", &id.to_string()], &[], None).await.map(drop)
    }

    /// The retention of the server.
    pub(crate) async fn retention<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        read(self.0.get::<Value>(&["retention"], &[]).await?.0)
    }

    /// Sets the retention of all servers of the store; `null` keeps a value.
    pub(crate) async fn set_retention<T: DeserializeOwned>(&self, body: &Value) -> Result<T, Failure> {
        read(self.0.change(Method::PUT, &["retention"], &[], Some(body)).await?)
    }

    /// The latest entries of the audit log.
    pub(crate) async fn audit<T: DeserializeOwned>(&self, limit: u32) -> Result<Vec<T>, Failure> {
        let limit = limit.to_string();
        let answer = self.0.get::<Value>(&["audit"], &[("limit", Some(limit.as_str()))]).await?.0;
        read(answer["entries"].clone())
    }
}

/// Reads a part of an answer.
fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        Failure::usage(
            format!("the answer is not that of a fieldvitals server of this version: {error}"),
            "Does --server name a fieldvitals server, and does it run the same version as this command?",
        )
    })
}
