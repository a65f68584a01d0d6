-- Rollup rows of the whole site lie beside those of its routes, in a block of their own (store::rollup::Scope).
-- Sites from before have none: maintenance sums the rows of their routes, the latest day first.
create table rollup_lacking (
    site_id integer primary key,
    -- Days since 1970-01-01 UTC. Earlier days have rows of routes only. Without a row here, every day is complete.
    before_day integer not null
) strict, without rowid;

insert into rollup_lacking (site_id, before_day) select site_id, 2147483647 from site;

-- A new name: a process of the release before, which knows no rows of the site, then fails to change rollups.
alter table rollup_version rename to rollup_change;
