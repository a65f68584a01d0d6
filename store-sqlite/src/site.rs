//! Stores sites, their keys, and API tokens.

use crate::SqliteStore;
use crate::error::{damaged, failed};
use fieldvitals_store::{
    NewSite, NewToken, RouteGroups, Scope, Site, SiteId, SiteKey, StoreError, Token, TokenId,
};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

const SITES: &str = "reading sites";
const CHANGING: &str = "changing a site";
const TOKENS: &str = "reading or changing API tokens";

/// Creates the first site and the first token, if missing, in one transaction.
pub(crate) async fn first(
    store: &SqliteStore,
    site: NewSite,
    token: NewToken,
) -> Result<(Option<Site>, Option<Token>), StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    let (sites, tokens): (bool, bool) = sqlx::query_as(
        "/* site.any */ select exists (select 1 from site), exists (select 1 from access_token)",
    )
    .fetch_one(&mut *transaction)
    .await
    .map_err(failed(CHANGING))?;
    let site = match sites {
        true => None,
        false => Some(put_in(&mut transaction, &whole(site)).await?),
    };
    let token = match tokens {
        true => None,
        false => Some(token_add_in(&mut transaction, token).await?),
    };
    transaction.commit().await.map_err(failed(CHANGING))?;
    Ok((site, token))
}

pub(crate) async fn add(store: &SqliteStore, site: NewSite) -> Result<Site, StoreError> {
    put(store, &whole(site)).await
}

/// Completes a new site, except for its id.
fn whole(site: NewSite) -> Site {
    let NewSite { name, key, origins, created_ms } = site;
    let keys = vec![SiteKey { key, until_ms: None }];
    let timezone = Site::TIMEZONE_DEFAULT.to_owned();
    let route_groups = RouteGroups::of_new_site();
    Site { id: SiteId(0), name, keys, origins, routes: Vec::new(), route_groups, timezone, created_ms }
}

/// Adds a copy of a site under a new id.
pub(crate) async fn put(store: &SqliteStore, site: &Site) -> Result<Site, StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    let site = put_in(&mut transaction, site).await?;
    transaction.commit().await.map_err(failed(CHANGING))?;
    Ok(site)
}

async fn put_in(connection: &mut SqliteConnection, site: &Site) -> Result<Site, StoreError> {
    let added = sqlx::query(
        "/* site.add */ insert into site (name, origins, routes, route_groups, timezone, created_ms) \
         values (?, ?, ?, ?, ?, ?) on conflict (name) do nothing",
    )
    .bind(site.name.as_str())
    .bind(list_text(&site.origins)?)
    .bind(list_text(&site.routes)?)
    .bind(groups_text(&site.route_groups)?)
    .bind(site.timezone.as_str())
    .bind(site.created_ms)
    .execute(&mut *connection)
    .await
    .map_err(failed(CHANGING))?;
    if added.rows_affected() == 0 {
        return Err(StoreError::SiteExists(site.name.clone()));
    }
    let id = SiteId(added.last_insert_rowid());
    // Among keys of the same age, the key written last is the newest.
    for key in site.keys.iter().rev() {
        add_key(connection, id, key, site.created_ms).await?;
    }
    one(connection, id).await
}

/// Fails if the site does not exist.
pub(crate) async fn exists(connection: &mut SqliteConnection, site: SiteId) -> Result<(), StoreError> {
    let found: Option<i64> =
        sqlx::query_scalar("/* site.exists */ select site_id from site where site_id = ?")
            .bind(site.0)
            .fetch_optional(connection)
            .await
            .map_err(failed(SITES))?;
    found.map(|_| ()).ok_or(StoreError::NoSuchSite)
}

async fn add_key(
    connection: &mut SqliteConnection,
    site: SiteId,
    key: &SiteKey,
    now_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "/* site.key.add */ insert into site_key (site_id, key, until_ms, created_ms) values (?, ?, ?, ?)",
    )
    .bind(site.0)
    .bind(key.key.as_str())
    .bind(key.until_ms)
    .bind(now_ms)
    .execute(connection)
    .await
    .map_err(failed(CHANGING))?;
    Ok(())
}

fn list_text(list: &[String]) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|error| damaged(CHANGING, error))
}

fn groups_text(groups: &RouteGroups) -> Result<String, StoreError> {
    serde_json::to_string(groups).map_err(|error| damaged(CHANGING, error))
}

pub(crate) async fn all(store: &SqliteStore) -> Result<Vec<Site>, StoreError> {
    let mut transaction = store.read(SITES).await?;
    read(&mut transaction, None).await
}

async fn one(connection: &mut SqliteConnection, site: SiteId) -> Result<Site, StoreError> {
    read(connection, Some(site)).await?.pop().ok_or(StoreError::NoSuchSite)
}

async fn read(connection: &mut SqliteConnection, site: Option<SiteId>) -> Result<Vec<Site>, StoreError> {
    let rows = sqlx::query(
        "/* site.read */ select s.site_id, s.name, s.origins, s.routes, s.created_ms, k.key, k.until_ms, \
         s.timezone, s.route_groups \
         from site s left join site_key k on k.site_id = s.site_id \
         where ?1 is null or s.site_id = ?1 order by s.name, k.created_ms desc, k.rowid desc",
    )
    .bind(site.map(|site| site.0))
    .fetch_all(connection)
    .await
    .map_err(failed(SITES))?;
    let mut sites: Vec<Site> = Vec::new();
    for row in rows {
        let id = SiteId(row.try_get(0).map_err(failed(SITES))?);
        if sites.last().is_none_or(|site| site.id != id) {
            let list = |place: usize, what: &str| -> Result<Vec<String>, StoreError> {
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
                routes: list(3, "routes")?,
                route_groups: serde_json::from_str(groups)
                    .map_err(|_| damaged(SITES, format_args!("the route groups of site {}", id.0)))?,
                timezone: row.try_get(7).map_err(failed(SITES))?,
                created_ms: row.try_get(4).map_err(failed(SITES))?,
            });
        }
        let key: Option<String> = row.try_get(5).map_err(failed(SITES))?;
        if let (Some(site), Some(key)) = (sites.last_mut(), key) {
            site.keys.push(SiteKey { key, until_ms: row.try_get(6).map_err(failed(SITES))? });
        }
    }
    Ok(sites)
}

pub(crate) async fn update(
    store: &SqliteStore,
    site: SiteId,
    name: &str,
    origins: &[String],
    routes: &[String],
) -> Result<Site, StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    let taken: Option<i64> =
        sqlx::query_scalar("/* site.name */ select site_id from site where name = ? and site_id <> ?")
            .bind(name)
            .bind(site.0)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed(CHANGING))?;
    if taken.is_some() {
        return Err(StoreError::SiteExists(name.to_owned()));
    }
    sqlx::query("/* site.update */ update site set name = ?, origins = ?, routes = ? where site_id = ?")
        .bind(name)
        .bind(list_text(origins)?)
        .bind(list_text(routes)?)
        .bind(site.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    let site = one(&mut transaction, site).await?;
    transaction.commit().await.map_err(failed(CHANGING))?;
    Ok(site)
}

pub(crate) async fn set_timezone(
    store: &SqliteStore,
    site: SiteId,
    timezone: &str,
) -> Result<Site, StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    sqlx::query("/* site.timezone */ update site set timezone = ? where site_id = ?")
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
    store: &SqliteStore,
    site: SiteId,
    before: &RouteGroups,
    after: &RouteGroups,
) -> Result<Site, StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    let found = one(&mut transaction, site).await?;
    if found.route_groups != *before {
        return Ok(found);
    }
    sqlx::query("/* site.groups */ update site set route_groups = ? where site_id = ?")
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
    store: &SqliteStore,
    site: SiteId,
    new_key: &str,
    now_ms: i64,
    old_until_ms: i64,
) -> Result<Site, StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    one(&mut transaction, site).await?;
    // Keys with an earlier end keep it, because a rotation must not revive a key.
    sqlx::query(
        "/* site.key.end */ update site_key set until_ms = min(coalesce(until_ms, ?2), ?2) where site_id = ?1",
    )
    .bind(site.0)
    .bind(old_until_ms)
    .execute(&mut *transaction)
    .await
    .map_err(failed(CHANGING))?;
    let key = SiteKey { key: new_key.to_owned(), until_ms: None };
    add_key(&mut transaction, site, &key, now_ms).await?;
    let site = one(&mut transaction, site).await?;
    transaction.commit().await.map_err(failed(CHANGING))?;
    Ok(site)
}

/// Removes the site, so that loads fail at once. Its rows are removed later.
pub(crate) async fn delete(store: &SqliteStore, site: SiteId) -> Result<(), StoreError> {
    let mut transaction = store.write(CHANGING).await?;
    sqlx::query("/* site.key.delete */ delete from site_key where site_id = ?")
        .bind(site.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    let deleted = sqlx::query("/* site.delete */ delete from site where site_id = ?")
        .bind(site.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    if deleted.rows_affected() == 0 {
        return Err(StoreError::NoSuchSite);
    }
    sqlx::query("/* site.deleted */ insert into site_deleted (site_id) values (?)")
        .bind(site.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(CHANGING))?;
    transaction.commit().await.map_err(failed(CHANGING))
}

pub(crate) async fn token_add(store: &SqliteStore, token: NewToken) -> Result<Token, StoreError> {
    token_add_in(&mut *store.connection().await?, token).await
}

async fn token_add_in(connection: &mut SqliteConnection, token: NewToken) -> Result<Token, StoreError> {
    let added = sqlx::query(
        "/* token.add */ insert into access_token (name, scope, hash, created_ms, sites, rate_per_s) \
         values (?, ?, ?, ?, ?, ?)",
    )
    .bind(token.name.as_str())
    .bind(token.scope as i64)
    .bind(token.hash.as_slice())
    .bind(token.created_ms)
    .bind(sites_text(token.sites.as_deref())?)
    .bind(token.rate_per_s.map(i64::from))
    .execute(connection)
    .await
    .map_err(failed(TOKENS))?;
    Ok(Token {
        id: TokenId(added.last_insert_rowid()),
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

pub(crate) async fn tokens(store: &SqliteStore) -> Result<Vec<Token>, StoreError> {
    let rows = sqlx::query(
        "/* token.read */ select token_id, name, scope, hash, created_ms, sites, rate_per_s from access_token \
         order by created_ms, token_id",
    )
    .fetch_all(&store.readers)
    .await
    .map_err(failed(TOKENS))?;
    rows.iter()
        .map(|row| {
            let id: i64 = row.try_get(0).map_err(failed(TOKENS))?;
            let scope: i64 = row.try_get(2).map_err(failed(TOKENS))?;
            let hash: &[u8] = row.try_get(3).map_err(failed(TOKENS))?;
            let sites: Option<&str> = row.try_get(5).map_err(failed(TOKENS))?;
            let rate: Option<i64> = row.try_get(6).map_err(failed(TOKENS))?;
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

pub(crate) async fn token_revoke(store: &SqliteStore, token: TokenId) -> Result<(), StoreError> {
    let deleted = sqlx::query("/* token.revoke */ delete from access_token where token_id = ?")
        .bind(token.0)
        .execute(&mut *store.connection().await?)
        .await
        .map_err(failed(TOKENS))?;
    if deleted.rows_affected() == 0 { Err(StoreError::NoSuchToken) } else { Ok(()) }
}
