-- Rollup rows of weeks (Monday to Sunday, UTC): the sums of the rows of days, so that a question about months reads few
-- rows. Maintenance builds them (store::rollup::week).
create table rollup_week (
    site_id bigint not null,
    -- Weeks since Monday, 1969-12-29.
    step integer not null,
    slot smallint not null,
    block smallint not null,
    cells bytea not null,
    primary key (site_id, slot, step, block)
) with (autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02);

alter table rollup_week alter column cells set storage external;

-- How far the weeks of each site are built. Few rows, not distributed.
create table rollup_week_built (
    site_id bigint primary key,
    -- The first week that is not built. Earlier weeks equal the sums of their days.
    before_week integer not null
);
