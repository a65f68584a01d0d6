-- Rollup rows of weeks (Monday to Sunday, UTC): the sums of the rows of days, so that a question about months reads few
-- rows. Maintenance builds them (store::rollup::week).
create table rollup_week (
    site_id integer not null,
    slot integer not null,
    -- Weeks since Monday, 1969-12-29.
    step integer not null,
    block integer not null,
    cells blob not null,
    primary key (site_id, slot, step, block)
) strict, without rowid;

create table rollup_week_built (
    site_id integer primary key,
    -- The first week that is not built. Earlier weeks equal the sums of their days.
    before_week integer not null
) strict, without rowid;
