//! Maintenance: folding deltas into cells, days' partitions made ahead and dropped, and the rows of deleted
//! sites removed.
//!
//! One server at a time does it, by a lease. Every step is a short transaction of its own that begins by
//! renewing the lease: whoever lost it meanwhile stops, and whoever wants it waits for the step to end.
//! Whoever else changes rollup rows locks the lease's table for as long ([`exclude`]).

use crate::compute::compute;
use crate::connection::Transaction;
use crate::error::{code, damaged, failed};
use crate::sql::{self, Statement, query};
use crate::{PostgresStore, copy, load, query as questions, rows, texts, view};
use fieldvitals_store::rollup::{Fold, Grain, Stored};
use fieldvitals_store::{Concern, Dimension, Kept, Maintained, Retention, Round, SiteId, StoreError};
use sqlx::Row;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;
use std::sync::atomic::Ordering;
use std::time::Duration;
use vitals::limits;

const LEASING: &str = "taking the lease of maintenance";
const FOLDING: &str = "folding rollups";
const REMOVING: &str = "removing what is past retention";
const DROPPING: &str = "dropping the partition of a day past retention";
const DELETING: &str = "removing the rows of a deleted site";

/// Delta rows that one transaction folds at most.
const FOLD_ROWS: i64 = 2_048;
/// Bytes of delta rows that one transaction reads, about: those of [`limits::FOLD_VIEWS_MAX`] page views.
const FOLD_BYTES: i64 = 24 * limits::FOLD_VIEWS_MAX as i64;
/// Bytes of replaced blocks after which there is a vacuum.
const VACUUM_BYTES: u64 = 16 * 1024 * 1024;
/// Page views that one transaction removes.
const REMOVE_VIEWS_MAX: i64 = 5_000;
/// Rollup blocks that one transaction removes.
pub(crate) const REMOVE_BLOCKS_MAX: i64 = 500;
/// Steps of removing a site's texts in one round.
const CLEAN_STEPS_MAX: u32 = 50;
/// How often a partition is tried to be dropped in one round; each try lets others wait for at most the
/// lock timeout of a step.
const DROP_TRIES: u32 = 3;
/// Time between two tries.
const DROP_PAUSE: Duration = Duration::from_millis(500);

/// The codes of a lock that was not had in time, and of two that waited for each other.
const LOCK_NOT_HAD: [&str; 2] = ["55P03", "40P01"];

fn not_had(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| LOCK_NOT_HAD.contains(&code.as_str()))
}

pub(crate) async fn maintain(
    store: &PostgresStore,
    now_ms: i64,
    retention: Retention,
) -> Result<Maintained, StoreError> {
    load::add_days_around(store, now_ms).await?;
    let Some(lease) = Lease::take(store).await? else {
        return Ok(Maintained { elsewhere: true, ..Maintained::default() });
    };
    let done = lease.round(now_ms, retention).await;
    // Where this fails the lease ends by itself, a minute later.
    let _ = lease.release().await;
    done
}

/// The right to maintain, for as long as each step renews it.
struct Lease<'a> {
    store: &'a PostgresStore,
    holder: Uuid,
}

impl<'a> Lease<'a> {
    /// Takes the lease, if nobody has it.
    async fn take(store: &'a PostgresStore) -> Result<Option<Self>, StoreError> {
        let mut holder = [0; 16];
        getrandom::fill(&mut holder).map_err(|error| StoreError::Database {
            what: LEASING,
            reason: format!("the system gave no random numbers ({error})"),
            passing: true,
        })?;
        let holder = Uuid::from_bytes(holder);
        let mut transaction = store.write(LEASING).await?;
        let taken = query(
            "/* lease.take */ update lease set holder = $1, until = clock_timestamp() + interval '1 minute' \
             where name = 'maintenance' and until < clock_timestamp()",
        )
        .bind(holder)
        .execute(&mut *transaction)
        .await
        .map_err(failed(LEASING))?;
        transaction.commit().await.map_err(failed(LEASING))?;
        Ok((taken.rows_affected() == 1).then_some(Self { store, holder }))
    }

    /// Begins a step. The lease cannot change hands before the step's transaction ends.
    async fn step(&self, what: &'static str) -> Result<Transaction, StoreError> {
        let mut transaction = self.store.begin(what, sql::MAINTAIN).await?;
        let renewed = query(
            "/* lease.renew */ update lease set until = clock_timestamp() + interval '1 minute' \
             where name = 'maintenance' and holder = $1",
        )
        .bind(self.holder)
        .execute(&mut *transaction)
        .await
        .map_err(failed(what))?;
        if renewed.rows_affected() == 1 {
            return Ok(transaction);
        }
        Err(StoreError::Database {
            what,
            reason: "another server has taken over maintenance, as this one was too slow".to_owned(),
            passing: true,
        })
    }

    async fn release(&self) -> Result<(), StoreError> {
        let mut transaction = self.store.write(LEASING).await?;
        query(
            "/* lease.release */ update lease set until = '-infinity' \
             where name = 'maintenance' and holder = $1",
        )
        .bind(self.holder)
        .execute(&mut *transaction)
        .await
        .map_err(failed(LEASING))?;
        transaction.commit().await.map_err(failed(LEASING))
    }

    async fn round(&self, now_ms: i64, retention: Retention) -> Result<Maintained, StoreError> {
        let kept = self.keep(now_ms, retention).await?;
        let mut round = Round::default();
        for site in self.sites("/* site.deleted.read */ select site_id from site_deleted").await? {
            round.part(Concern::Site(site), remove_site(self.store, site).await)?;
        }
        for site in self.sites("/* rollup.delta.sites */ select distinct site_id from rollup_delta").await? {
            let folded = self.fold_site(site, &kept).await;
            round.done.deltas_folded += round.part(Concern::Site(site), folded)?;
        }
        for site in self.sites("/* site.ids */ select site_id from site").await? {
            for (grain, from_ms) in [(Grain::Hour, kept.hours_from_ms), (Grain::Day, kept.days_from_ms)] {
                let removed = self.remove_rows(site, grain, from_ms).await;
                round.done.rows_removed += round.part(Concern::Site(site), removed)?;
            }
        }
        self.drop_days(&kept, &mut round).await?;
        for site in self.sites("/* site.ids */ select site_id from site").await? {
            for removed in [self.remove_names(site, &kept).await, self.remove_texts(site, &kept).await] {
                round.done.names_removed += round.part(Concern::Site(site), removed)?;
            }
        }
        // What an erasure that was cut short has left.
        for site in self.sites(texts::DOUBTED).await? {
            round.part(Concern::Site(site), self.clean_texts(site).await)?;
        }
        // Last, as it may take longer than the lease lasts.
        self.vacuum().await;
        Ok(round.done)
    }

    async fn sites(&self, sql: &'static str) -> Result<Vec<SiteId>, StoreError> {
        let mut transaction = self.store.read(FOLDING).await?;
        let rows = query(sql).fetch_all(&mut *transaction).await.map_err(failed(FOLDING))?;
        rows.iter().map(|row| row.try_get(0).map(SiteId).map_err(failed(FOLDING))).collect()
    }

    /// Moves the edges of what is kept, before anything is removed.
    async fn keep(&self, now_ms: i64, retention: Retention) -> Result<Kept, StoreError> {
        let mut transaction = self.step(REMOVING).await?;
        let before = questions::kept_now(&mut transaction).await?;
        let kept = before.after(now_ms, retention);
        if kept != before {
            // Waits for the loads that hold the row; they may be writing what is about to go.
            wait_little(&mut transaction).await?;
            if !hold_off_loads(&mut transaction).await? {
                // What is kept stays for now; folding does not wait for it.
                return Ok(before);
            }
            copy::move_kept(&mut transaction, &kept).await?;
            transaction.commit().await.map_err(failed(REMOVING))?;
        }
        Ok(kept)
    }

    async fn fold_site(&self, site: SiteId, kept: &Kept) -> Result<u64, StoreError> {
        // Rows that loads add meanwhile are for the next round, so a busy site cannot keep this one going.
        let mut transaction = self.store.read(FOLDING).await?;
        let mut left: i64 =
            query("/* rollup.delta.count */ select count(*) from rollup_delta where site_id = $1")
                .bind(site.0)
                .fetch_one(&mut *transaction)
                .await
                .and_then(|row| row.try_get(0))
                .map_err(failed(FOLDING))?;
        drop(transaction);
        let mut folded_total = 0;
        while left > 0 {
            let folded = self.fold_some(site, kept).await?;
            if folded == 0 {
                break;
            }
            folded_total += folded;
            left -= i64::try_from(folded).unwrap_or(left);
        }
        Ok(folded_total)
    }

    async fn fold_some(&self, site: SiteId, kept: &Kept) -> Result<u64, StoreError> {
        let mut transaction = self.step(FOLDING).await?;
        let connection = &mut *transaction;
        let rows = query(
            "/* rollup.delta.next */ select hour_ms, spool, up_to, views from (select d.*, \
             sum(octet_length(views)) over (order by hour_ms, spool, up_to) - octet_length(views) as before \
             from (select hour_ms, spool, up_to, views from rollup_delta where site_id = $1 \
             order by hour_ms, spool, up_to limit $2) d) d where before < $3 order by hour_ms, spool, up_to",
        )
        .bind(site.0)
        .bind(FOLD_ROWS)
        .bind(FOLD_BYTES)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed(FOLDING))?;
        let mut fold = Fold::default();
        let (mut hours, mut spools, mut ups) = (Vec::<i64>::new(), Vec::<Uuid>::new(), Vec::<i64>::new());
        for row in &rows {
            if fold.views() >= limits::FOLD_VIEWS_MAX {
                break;
            }
            let hour_ms: i64 = row.try_get(0).map_err(failed(FOLDING))?;
            let views: &[u8] = row.try_get(3).map_err(failed(FOLDING))?;
            fold.add_delta(hour_ms, views, kept).map_err(|_| damaged(FOLDING, "a rollup delta"))?;
            hours.push(hour_ms);
            spools.push(row.try_get(1).map_err(failed(FOLDING))?);
            ups.push(row.try_get(2).map_err(failed(FOLDING))?);
        }
        if hours.is_empty() {
            return Ok(0);
        }
        let count = hours.len() as u64;
        let rows = compute(move || fold.rows()).await?;
        let replaced = rows::write(connection, site, rows, Stored::Kept).await?;
        // These rows and no others: loads may have added some between them.
        let folded = query(
            "/* rollup.delta.folded */ delete from rollup_delta d \
             using unnest($2::bigint[], $3::uuid[], $4::bigint[]) u (hour_ms, spool, up_to) \
             where d.site_id = $1 and d.hour_ms = u.hour_ms and d.spool = u.spool and d.up_to = u.up_to",
        )
        .bind(site.0)
        .bind(hours)
        .bind(spools)
        .bind(ups)
        .execute(&mut *connection)
        .await
        .map_err(failed(FOLDING))?;
        if folded.rows_affected() != count {
            // The site is being deleted; what was added to its cells is rolled back.
            return Ok(0);
        }
        transaction.commit().await.map_err(failed(FOLDING))?;
        self.store.replaced_bytes.fetch_add(replaced, Ordering::Relaxed);
        Ok(count)
    }

    /// Makes room of what folds have replaced, once that is much: a fold writes whole blocks anew, and where
    /// much is caught up at once, the tables would double before Postgres' own vacuum comes round.
    async fn vacuum(&self) {
        if self.store.replaced_bytes.load(Ordering::Relaxed) < VACUUM_BYTES {
            return;
        }
        self.store.replaced_bytes.store(0, Ordering::Relaxed);
        // Where it fails, or somebody else does it just now, Postgres' own does it later.
        for sql in ["vacuum (skip_locked) rollup_hour", "vacuum (skip_locked) rollup_day"] {
            let _ = Transaction::alone(self.store.pools.own(), self.store.bounds.back, sql).await;
        }
    }

    /// Removes the blocks before a day and returns how many they were.
    async fn remove_rows(&self, site: SiteId, grain: Grain, from_ms: i64) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let mut transaction = self.step(REMOVING).await?;
            let steps = (grain, i32::MIN..grain.step(from_ms));
            let rows = rows::remove_steps(&mut transaction, site, steps, REMOVE_BLOCKS_MAX).await?;
            transaction.commit().await.map_err(failed(REMOVING))?;
            removed += rows;
            if rows < REMOVE_BLOCKS_MAX as u64 {
                return Ok(removed);
            }
        }
    }

    /// Removes routes and labels of which nothing is kept any more, and returns how many they were.
    async fn remove_names(&self, site: SiteId, kept: &Kept) -> Result<u64, StoreError> {
        let oldest = Grain::Day.step(kept.days_from_ms);
        let mut transaction = self.store.read(REMOVING).await?;
        let any: bool = query(
            "/* name.old */ select exists (select 1 from route where site_id = $1 and last_day < $2) \
             or exists (select 1 from label where site_id = $1 and last_day < $2)",
        )
        .bind(site.0)
        .bind(oldest)
        .fetch_one(&mut *transaction)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed(REMOVING))?;
        drop(transaction);
        if !any {
            return Ok(0);
        }
        let mut transaction = self.step(REMOVING).await?;
        wait_little(&mut transaction).await?;
        // Each of the next statements sees all that refers to a name. Where loads are too busy, another round does
        // it.
        if !hold_off_loads(&mut transaction).await? {
            return Ok(0);
        }
        // A page view that has a name is no newer than the name.
        let end = view::first_id(kept.days_from_ms);
        let routes = query(
            "/* route.remove.old */ delete from route r where r.site_id = $1 and r.last_day < $2 \
             and not exists (select 1 from page_view v where v.site_id = $1 and v.route_id = r.route_id \
             and v.id < $3)",
        )
        .bind(site.0)
        .bind(oldest)
        .bind(end)
        .execute(&mut *transaction)
        .await
        .map_err(failed(REMOVING))?;
        let mut removed = routes.rows_affected();
        for dimension in Dimension::LABELLED {
            let labels = query(
                "/* label.remove.old */ delete from label l where l.site_id = $1 and l.dimension = $2 \
                 and l.last_day < $3 and not exists (select 1 from page_view v where v.site_id = $1 \
                 and v.id < $4 and l.label = case $2::smallint when 1 then v.browser when 2 then v.country \
                 when 3 then v.connection when 5 then v.release end)",
            )
            .bind(site.0)
            .bind(dimension as i16)
            .bind(oldest)
            .bind(end)
            .execute(&mut *transaction)
            .await
            .map_err(failed(REMOVING))?;
            removed += labels.rows_affected();
        }
        transaction.commit().await.map_err(failed(REMOVING))?;
        Ok(removed)
    }

    /// Removes the texts of days whose page views are no longer kept, and returns how many they were.
    async fn remove_texts(&self, site: SiteId, kept: &Kept) -> Result<u64, StoreError> {
        let before = Grain::Day.step(kept.views_from_ms);
        let mut removed = 0;
        while texts::any_before(&mut *self.store.read(REMOVING).await?, site, before).await? {
            let mut transaction = self.step(REMOVING).await?;
            let texts = texts::remove_some(&mut transaction, site, before, REMOVE_VIEWS_MAX).await?;
            transaction.commit().await.map_err(failed(REMOVING))?;
            removed += texts;
        }
        Ok(removed)
    }

    /// Removes the texts that nobody has any more. What is left is for the next round: an erasure under way brings
    /// more as long as it lasts.
    async fn clean_texts(&self, site: SiteId) -> Result<(), StoreError> {
        for _ in 0..CLEAN_STEPS_MAX {
            if !texts::clean(self.step(REMOVING).await?, site).await? {
                break;
            }
        }
        Ok(())
    }

    /// Drops the partitions of days that are no longer kept.
    async fn drop_days(&self, kept: &Kept, round: &mut Round) -> Result<(), StoreError> {
        let mut transaction = self.store.read(REMOVING).await?;
        let rows =
            query("/* view.days.old */ select day from page_view_days() day where day < $1 order by day")
                .bind(kept.views_from_ms)
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed(REMOVING))?;
        drop(transaction);
        load::forget_days(self.store, kept.views_from_ms);
        let mut tries = DROP_TRIES;
        for row in rows {
            let day_ms: i64 = row.try_get(0).map_err(failed(REMOVING))?;
            match self.drop_day(day_ms, tries).await? {
                Ok(views) => round.done.views_removed += views,
                Err(why) => {
                    // Whoever is in the way of this one may be in that of the others too.
                    tries = 1;
                    round.leave(Concern::Day(day_ms), &why);
                }
            }
        }
        Ok(())
    }

    /// Drops a partition, which takes page_view for itself for a moment: where that moment does not come
    /// soon, or something of another owner depends on the partition, it is left to another round. Returns how
    /// many page views went, or why none did.
    async fn drop_day(&self, day_ms: i64, tries: u32) -> Result<Result<u64, StoreError>, StoreError> {
        for tried in 1.. {
            let mut transaction = self.step(REMOVING).await?;
            wait_little(&mut transaction).await?;
            let dropped = query("/* view.day.drop */ select page_view_day_drop($1)")
                .bind(day_ms)
                .fetch_one(&mut *transaction)
                .await
                .and_then(|row| row.try_get::<i64, _>(0));
            match dropped {
                Ok(views) => {
                    transaction.commit().await.map_err(failed(REMOVING))?;
                    return Ok(Ok(u64::try_from(views).unwrap_or(0)));
                }
                Err(error) if not_had(&error) && tried < tries => {
                    drop(transaction);
                    tokio::time::sleep(DROP_PAUSE).await;
                }
                // Said by Postgres about this one: the connection is there, and the next may go.
                Err(error) if error.as_database_error().is_some() => {
                    return Ok(Err(failed(DROPPING)(error)));
                }
                Err(error) => return Err(failed(DROPPING)(error)),
            }
        }
        Ok(Ok(0))
    }
}

/// Waits for the loads under way, and lets none begin before the transaction ends; whether that was had in time.
///
/// Loads share a lock on the one row of `kept`. A lock on the row would never be had where they follow each other
/// without a gap: who shares comes in past who waits. A lock on the table has a queue.
pub(crate) async fn hold_off_loads(connection: &mut PgConnection) -> Result<bool, StoreError> {
    match query("/* load.hold_off */ lock table kept in exclusive mode").execute(connection).await {
        Ok(_) => Ok(true),
        Err(error) if not_had(&error) => Ok(false),
        Err(error) => Err(failed(REMOVING)(error)),
    }
}

/// Lets the transaction wait for a lock only a little: loads would wait behind it.
pub(crate) async fn wait_little(connection: &mut PgConnection) -> Result<(), StoreError> {
    query("/* lock.little */ set local lock_timeout = '1s'")
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed(REMOVING))
}

/// Waits for the step of maintenance that is under way, and keeps others from beginning before the
/// transaction ends. It must be the transaction's first statement: locking a table takes no snapshot, so
/// what the next ones see is what that step left.
pub(crate) async fn exclude(connection: &mut PgConnection) -> Result<(), StoreError> {
    query("/* lease.exclude */ lock table lease in share row exclusive mode")
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed(LEASING))
}

/// `$2` is past every id.
const REMOVE_VIEWS: &str = "/* view.remove */ delete from page_view where site_id = $1 and id < \
    coalesce((select id from page_view where site_id = $1 order by id offset $3 limit 1), $2)";
const REMOVE_DELTAS: &str = "/* rollup.delta.remove */ delete from rollup_delta where site_id = $1";
/// The note that the site is to be removed goes last.
const REMOVE_REST: [&str; 7] = [
    "/* cursor.remove */ delete from load_cursor where site_id = $1",
    "/* route.remove */ delete from route where site_id = $1",
    "/* text.remove */ delete from context_text where site_id = $1",
    "/* text.doubt.remove */ delete from context_text_doubt where site_id = $1",
    "/* label.remove */ delete from label where site_id = $1",
    "/* violation.remove */ delete from violation where site_id = $1",
    "/* site.deleted.done */ delete from site_deleted where site_id = $1",
];

/// Removes the rows of a site that is deleted already; one that is interrupted is taken up again. It
/// needs no lease, as nobody else touches them but to remove them too.
pub(crate) async fn remove_site(store: &PostgresStore, site: SiteId) -> Result<(), StoreError> {
    // Deltas first: a fold of them, under way, either is waited for or finds them gone and gives up.
    remove_all(store, REMOVE_DELTAS, site).await?;
    for grain in [Grain::Hour, Grain::Day] {
        while remove_rows(store, site, grain).await? {}
    }
    while remove_some(store, query(REMOVE_VIEWS).bind(site.0).bind(view::first_id(i64::MAX))).await? {}
    for sql in REMOVE_REST {
        remove_all(store, sql, site).await?;
    }
    Ok(())
}

/// Removes at most [`REMOVE_BLOCKS_MAX`] rollup blocks; whether there may be more.
async fn remove_rows(store: &PostgresStore, site: SiteId, grain: Grain) -> Result<bool, StoreError> {
    let mut transaction = store.write(DELETING).await?;
    let steps = (grain, i32::MIN..i32::MAX);
    let removed = rows::remove_steps(&mut transaction, site, steps, REMOVE_BLOCKS_MAX).await?;
    transaction.commit().await.map_err(failed(DELETING))?;
    Ok(removed >= REMOVE_BLOCKS_MAX as u64)
}

/// Runs a statement that removes at most [`REMOVE_VIEWS_MAX`]; whether there may be more.
async fn remove_some(store: &PostgresStore, statement: Statement) -> Result<bool, StoreError> {
    let mut transaction = store.write(DELETING).await?;
    let removed =
        statement.bind(REMOVE_VIEWS_MAX).execute(&mut *transaction).await.map_err(failed(DELETING))?;
    transaction.commit().await.map_err(failed(DELETING))?;
    Ok(removed.rows_affected() >= REMOVE_VIEWS_MAX as u64)
}

async fn remove_all(store: &PostgresStore, sql: &'static str, site: SiteId) -> Result<(), StoreError> {
    let mut transaction = store.write(DELETING).await?;
    query(sql).bind(site.0).execute(&mut *transaction).await.map_err(failed(DELETING))?;
    transaction.commit().await.map_err(failed(DELETING))
}
