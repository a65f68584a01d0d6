//! Stores sites, their keys, and API tokens.

use crate::PostgresStore;
use crate::error::{code, damaged, failed};
use crate::sql::query;
use fieldvitals_store::{
    NewSite, NewToken, RouteGroups, Scope, Site, SiteId, SiteKey, StoreError, Token, TokenId,
};
use sqlx::Row;
use sqlx::postgres::PgConnection;

const SITES: &str = "reading sites";
const CHANGING: &str = "changing a site";
const TOKENS: &str = "reading or changing API tokens";

const UNIQUE_VIOLATION: &str = "23505";

/// Creates the first site and the first token, if missing, in one transaction.
pub(crate) async fn first(
    store: &PostgresStore,
    site: NewSite,
    token: NewToken,
) -> Result<(Option<Site>, Option<Token>), StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    // Servers that start concurrently take turns. The numbers of the advisory lock are fieldvitals' own.
    query("/* site.first.lock */ select pg_advisory_xact_lock(736374510, -2)")
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    let row = query("/* site.any */ select exists (select 1 from site), exists (select 1 from access_token)")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    let there = |place| row.try_get::<bool, usize>(place).map_err(failed(CHANGING));
    let site = match there(0)? {
        true => None,
        false => add_in(&mut transaction, site).await.map(Some).or_else(|error| match error {
            // The command line takes no lock, and has added the site meanwhile.
            StoreError::SiteExists(_) => Ok(None),
            error => Err(error),
        })?,
    };
    let token = match there(1)? {
        true => None,
        false => Some(token_add_in(&mut transaction, token).await?),
    };
    transaction.commit().await.map_err(failed(CHANGING))?;
    Ok((site, token))
}

pub(crate) async fn add(store: &PostgresStore, site: NewSite) -> Result<Site, StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    let site = add_in(&mut transaction, site).await?;
    transaction.commit().await.map_err(failed(CHANGING))?;
    Ok(site)
}

async fn add_in(connection: &mut PgConnection, site: NewSite) -> Result<Site, StoreError> {
    let added = query(
        "/* site.add */ insert into site (name, origins, routes, created_ms, route_groups) \
         values ($1, $2, '[]', $3, $4) on conflict (name) do nothing returning site_id",
    )
    .bind(site.name.as_str())
    .bind(texts(&site.origins)?)
    .bind(site.created_ms)
    .bind(groups_text(&RouteGroups::of_new_site())?)
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed(CHANGING))?;
    let Some(added) = added else { return Err(StoreError::SiteExists(site.name)) };
    let id = SiteId(added.try_get(0).map_err(failed(CHANGING))?);
    add_key(connection, id, &site.key, site.created_ms).await?;
    one(connection, id).await
}

/// Adds a copy of a site from another store.
pub(crate) async fn put(store: &PostgresStore, site: &Site) -> Result<Site, StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    let added = query(
        "/* site.put */ insert into site (name, origins, routes, created_ms, timezone, route_groups) \
         values ($1, $2, $3, $4, $5, $6) on conflict (name) do nothing returning site_id",
    )
    .bind(site.name.as_str())
    .bind(texts(&site.origins)?)
    .bind(texts(&site.routes)?)
    .bind(site.created_ms)
    .bind(site.timezone.as_str())
    .bind(groups_text(&site.route_groups)?)
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed(CHANGING))?;
    let Some(added) = added else { return Err(StoreError::SiteExists(site.name.clone())) };
    let id = SiteId(added.try_get(0).map_err(failed(CHANGING))?);
    // `site.keys` is newest first; the number of the row gives their order here.
    for SiteKey { key, until_ms } in site.keys.iter().rev() {
        query(
            "/* site.key.put */ insert into site_key (site_id, key, until_ms, created_ms) \
             values ($1, $2, $3, $4)",
        )
        .bind(id.0)
        .bind(key.as_str())
        .bind(until_ms)
        .bind(site.created_ms)
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    }
    let site = one(&mut transaction, id).await?;
    transaction.commit().await.map_err(failed(CHANGING))?;
    Ok(site)
}

async fn add_key(
    connection: &mut PgConnection,
    site: SiteId,
    key: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    query("/* site.key.add */ insert into site_key (site_id, key, created_ms) values ($1, $2, $3)")
        .bind(site.0)
        .bind(key)
        .bind(now_ms)
        .execute(connection)
        .await
        .map_err(failed(CHANGING))?;
    Ok(())
}

/// Locks the site against concurrent changes.
pub(crate) async fn lock(connection: &mut PgConnection, site: SiteId) -> Result<(), StoreError> {
    query("/* site.lock */ select site_id from site where site_id = $1 for no key update")
        .bind(site.0)
        .fetch_optional(connection)
        .await
        .map_err(failed(CHANGING))?
        .map(drop)
        .ok_or(StoreError::NoSuchSite)
}

/// Encodes a list of texts for storage.
fn texts(texts: &[String]) -> Result<String, StoreError> {
    serde_json::to_string(texts).map_err(|error| damaged(CHANGING, error))
}

fn groups_text(groups: &RouteGroups) -> Result<String, StoreError> {
    serde_json::to_string(groups).map_err(|error| damaged(CHANGING, error))
}

pub(crate) async fn all(store: &PostgresStore) -> Result<Vec<Site>, StoreError> {
    let mut transaction = store.read(SITES).await?;
    read(&mut transaction, None).await
}

async fn one(connection: &mut PgConnection, site: SiteId) -> Result<Site, StoreError> {
    read(connection, Some(site)).await?.pop().ok_or(StoreError::NoSuchSite)
}

async fn read(connection: &mut PgConnection, site: Option<SiteId>) -> Result<Vec<Site>, StoreError> {
    let rows = query(
        "/* site.read */ select s.site_id, s.name, s.origins, s.created_ms, k.key, k.until_ms, s.routes, s.timezone, \
         s.route_groups from site s left join site_key k on k.site_id = s.site_id \
         where $1::bigint is null or s.site_id = $1 order by s.name, k.created_ms desc, k.number desc",
    )
    .bind(site.map(|site| site.0))
    .fetch_all(connection)
    .await
    .map_err(failed(SITES))?;
    let mut sites: Vec<Site> = Vec::new();
    for row in rows {
        let id = SiteId(row.try_get(0).map_err(failed(SITES))?);
        if sites.last().is_none_or(|site| site.id != id) {
            let list = |place, what| {
                let text: &str = row.try_get(place).map_err(failed(SITES))?;
                serde_json::from_str(text)
                    .map_err(|_| damaged(SITES, format_args!("the {what} of site {}", id.0)))
            };
            let groups: &str = row.try_get(8).map_err(failed(SITES))?;
            sites.push(Site {
                id,
                name: row.try_get(1).map_err(failed(SITES))?,
                keys: Vec::new(),
                origins: list(2, "origins")?,
                routes: list(6, "routes")?,
                route_groups: serde_json::from_str(groups)
                    .map_err(|_| damaged(SITES, format_args!("the route groups of site {}", id.0)))?,
                timezone: row.try_get(7).map_err(failed(SITES))?,
                created_ms: row.try_get(3).map_err(failed(SITES))?,
            });
        }
        let key: Option<String> = row.try_get(4).map_err(failed(SITES))?;
        if let (Some(site), Some(key)) = (sites.last_mut(), key) {
            site.keys.push(SiteKey { key, until_ms: row.try_get(5).map_err(failed(SITES))? });
        }
    }
    Ok(sites)
}

pub(crate) async fn update(
    store: &PostgresStore,
    site: SiteId,
    name: &str,
    origins: &[String],
    routes: &[String],
) -> Result<Site, StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    query("/* site.update */ update site set name = $1, origins = $2, routes = $3 where site_id = $4")
        .bind(name)
        .bind(texts(origins)?)
        .bind(texts(routes)?)
        .bind(site.0)
        .execute(&mut *transaction)
        .await
        .map_err(|error| match code(&error).as_deref() {
            Some(UNIQUE_VIOLATION) => StoreError::SiteExists(name.to_owned()),
            _ => failed(CHANGING)(error),
        })?;
    let site = one(&mut transaction, site).await?;
    transaction.commit().await.map_err(failed(CHANGING))?;
    Ok(site)
}

pub(crate) async fn set_timezone(
    store: &PostgresStore,
    site: SiteId,
    timezone: &str,
) -> Result<Site, StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    query("/* site.timezone */ update site set timezone = $1 where site_id = $2")
        .bind(timezone)
        .bind(site.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    let site = one(&mut transaction, site).await?;
    transaction.commit().await.map_err(failed(CHANGING))?;
    Ok(site)
}

/// Replaces the route groups if they are still `before`.
pub(crate) async fn set_route_groups(
    store: &PostgresStore,
    site: SiteId,
    before: &RouteGroups,
    after: &RouteGroups,
) -> Result<Site, StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    lock(&mut transaction, site).await?;
    let found = one(&mut transaction, site).await?;
    if found.route_groups != *before {
        return Ok(found);
    }
    query("/* site.groups */ update site set route_groups = $1 where site_id = $2")
        .bind(groups_text(after)?)
        .bind(site.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    let site = one(&mut transaction, site).await?;
    transaction.commit().await.map_err(failed(CHANGING))?;
    Ok(site)
}

pub(crate) async fn rotate_key(
    store: &PostgresStore,
    site: SiteId,
    new_key: &str,
    now_ms: i64,
    old_until_ms: i64,
) -> Result<Site, StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    lock(&mut transaction, site).await?;
    // Keys with an earlier end keep it, because a rotation must not revive a key.
    query(
        "/* site.key.end */ update site_key set until_ms = least(coalesce(until_ms, $2), $2) where site_id = $1",
    )
    .bind(site.0)
    .bind(old_until_ms)
    .execute(&mut *transaction)
    .await
    .map_err(failed(CHANGING))?;
    add_key(&mut transaction, site, new_key, now_ms).await?;
    let site = one(&mut transaction, site).await?;
    transaction.commit().await.map_err(failed(CHANGING))?;
    Ok(site)
}

/// Removes the site, so that loads fail at once. Its rows are removed later.
pub(crate) async fn delete(store: &PostgresStore, site: SiteId) -> Result<(), StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    // Waits for running loads, which lock the site's row. Later loads do not find the site.
    query("/* site.delete.lock */ select site_id from site where site_id = $1 for update")
        .bind(site.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    query("/* site.key.delete */ delete from site_key where site_id = $1")
        .bind(site.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    let deleted = query("/* site.delete */ delete from site where site_id = $1")
        .bind(site.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    if deleted.rows_affected() == 0 {
        return Err(StoreError::NoSuchSite);
    }
    query("/* site.deleted */ insert into site_deleted (site_id) values ($1)")
        .bind(site.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    transaction.commit().await.map_err(failed(CHANGING))
}

pub(crate) async fn token_add(store: &PostgresStore, token: NewToken) -> Result<Token, StoreError> {
    let mut transaction = store.write(TOKENS).await?;
    let token = token_add_in(&mut transaction, token).await?;
    transaction.commit().await.map_err(failed(TOKENS))?;
    Ok(token)
}

async fn token_add_in(connection: &mut PgConnection, token: NewToken) -> Result<Token, StoreError> {
    let added = query(
        "/* token.add */ insert into access_token (name, scope, hash, created_ms, sites, rate_per_s) \
         values ($1, $2, $3, $4, $5, $6) returning token_id",
    )
    .bind(token.name.as_str())
    .bind(token.scope as i16)
    .bind(token.hash.as_slice())
    .bind(token.created_ms)
    .bind(sites_text(token.sites.as_deref())?)
    .bind(token.rate_per_s.map(i32::try_from).transpose().map_err(|error| damaged(TOKENS, error))?)
    .fetch_one(connection)
    .await
    .and_then(|row| row.try_get(0))
    .map_err(failed(TOKENS))?;
    Ok(Token {
        id: TokenId(added),
        name: token.name,
        scope: token.scope,
        sites: token.sites,
        hash: token.hash,
        created_ms: token.created_ms,
        rate_per_s: token.rate_per_s,
    })
}

/// Encodes the sites of a token for storage.
fn sites_text(sites: Option<&[SiteId]>) -> Result<Option<String>, StoreError> {
    sites.map(serde_json::to_string).transpose().map_err(|error| damaged(TOKENS, error))
}

pub(crate) async fn tokens(store: &PostgresStore) -> Result<Vec<Token>, StoreError> {
    let mut transaction = store.read(TOKENS).await?;
    let rows = query(
        "/* token.read */ select token_id, name, scope, hash, created_ms, sites, rate_per_s from access_token \
         order by created_ms, token_id",
    )
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed(TOKENS))?;
    rows.iter()
        .map(|row| {
            let id: i64 = row.try_get(0).map_err(failed(TOKENS))?;
            let scope: i16 = row.try_get(2).map_err(failed(TOKENS))?;
            let hash: &[u8] = row.try_get(3).map_err(failed(TOKENS))?;
            let sites: Option<&str> = row.try_get(5).map_err(failed(TOKENS))?;
            let rate: Option<i32> = row.try_get(6).map_err(failed(TOKENS))?;
            let wrong = || damaged(TOKENS, format_args!("token {id}"));
            Ok(Token {
                id: TokenId(id),
                name: row.try_get(1).map_err(failed(TOKENS))?,
                scope: u8::try_from(scope).ok().and_then(Scope::from_number).ok_or_else(wrong)?,
                sites: sites.map(serde_json::from_str).transpose().map_err(|_| wrong())?,
                hash: hash.try_into().map_err(|_| wrong())?,
                created_ms: row.try_get(4).map_err(failed(TOKENS))?,
                rate_per_s: rate.map(u32::try_from).transpose().map_err(|_| wrong())?,
            })
        })
        .collect()
}

pub(crate) async fn token_revoke(store: &PostgresStore, token: TokenId) -> Result<(), StoreError> {
    let mut transaction = store.write(TOKENS).await?;
    let deleted = query("/* token.revoke */ delete from access_token where token_id = $1")
        .bind(token.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(TOKENS))?;
    if deleted.rows_affected() == 0 {
        return Err(StoreError::NoSuchToken);
    }
    transaction.commit().await.map_err(failed(TOKENS))
}
