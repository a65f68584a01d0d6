-- The same tables as in migrations/sqlite, under the rules that let them be distributed by site_id:
-- site_id comes first in every key and conflict target, ids of rows that a site owns are made by us and
-- by no sequence, and time partitions lie below. All times are UTC milliseconds. Texts that are sorted or
-- are keys sort by their bytes, whatever the database's collation.

-- Few rows: site, site_key, site_deleted, api_token, kept and lease are not distributed.

-- A sequence never gives an id again, so late beacons of a deleted site's last visitors cannot land in
-- another one.
create table site (
    site_id bigint generated always as identity primary key,
    name text collate "C" not null unique,
    -- A JSON array of origins; read and written whole.
    origins text not null,
    -- A JSON array of route patterns; read and written whole.
    routes text not null,
    created_ms bigint not null
);

create table site_key (
    site_id bigint not null references site (site_id),
    key text collate "C" not null unique,
    -- Tells which of two keys of one millisecond is newer.
    number bigint generated always as identity,
    -- Null: the current key.
    until_ms bigint,
    created_ms bigint not null,
    primary key (site_id, key)
);

-- Deleted sites whose rows are still being removed; maintenance goes on where a deletion was cut short.
create table site_deleted (
    site_id bigint primary key
);

create table api_token (
    token_id bigint generated always as identity primary key,
    name text not null,
    scope smallint not null,
    -- SHA-256 of the secret.
    hash bytea not null unique,
    created_ms bigint not null
);

-- A site's routes. The id is a hash of the text (store::rollup::route_id), not a sequence.
create table route (
    site_id bigint not null,
    route_id bigint not null,
    -- The UTC day, since 1970-01-01, of the newest page view seen.
    last_day integer not null,
    since_day integer not null default 0,
    -- How firmly it has its place, the network that brought it, the day on which it got or lost the place
    -- (store::Place).
    standing smallint not null default 0,
    network smallint,
    route text collate "C" not null,
    primary key (site_id, route_id),
    unique (site_id, route)
);

-- A site's browsers, countries, connections and releases. The code is a hash of the text
-- (store::dimension::label_code), never 0.
create table label (
    site_id bigint not null,
    -- As of a route.
    last_day integer not null,
    code integer not null,
    -- store::Dimension.
    dimension smallint not null,
    since_day integer not null default 0,
    standing smallint not null default 0,
    network smallint,
    label text collate "C" not null,
    primary key (site_id, dimension, code),
    unique (site_id, dimension, label)
);

-- One row a page view: the truth that rollups are made of. The first 48 bits of the id are the view's
-- start, so the key is also the order of time, a range of time is a range of ids, and a day is a
-- partition. Columns go from wide to narrow, so that no byte is lost to alignment.
create table page_view (
    site_id bigint not null,
    route_id bigint not null,
    received_ms bigint not null,
    -- The 32 bits of the number of our collector's snapshot; null where another library sent the view.
    seq integer,
    -- Millionths of the metric's unit; null: not measured.
    lcp integer,
    inp integer,
    cls integer,
    fcp integer,
    ttfb integer,
    fid integer,
    tti integer,
    -- How many page views it stands for, in thousandths (store::Weight); null: itself alone.
    weight integer,
    navigation_type smallint,
    -- store::dimension::device_code: 0 is an unknown device.
    device smallint not null,
    tti_gap smallint,
    -- vitals::view::Os.
    os smallint,
    id uuid not null,
    -- store::pack_url.
    url text not null,
    browser text,
    connection text,
    country text,
    release text,
    -- Seven 8-byte big-endian times, one a metric, when a foreign view's metrics were received.
    foreign_received bytea,
    -- What explains its values, tags, marks: packed (store::context), its texts as codes of context_text.
    context bytea,
    primary key (site_id, id)
) partition by range (id);

-- The texts that the contexts of a UTC day's page views name (store::context::texts). They go with the day.
create table context_text (
    site_id bigint not null,
    -- Days since 1970-01-01 UTC.
    day integer not null,
    -- 2 to 65535.
    code integer not null,
    -- store::context::texts::TextKind.
    kind smallint not null,
    -- No page view may come to name it: it is gone once it is known that none does.
    retired boolean not null default false,
    text text collate "C" not null,
    primary key (site_id, day, code)
);

create unique index context_text_known on context_text (site_id, day, kind, text) where not retired;

-- Days of which page views were erased: texts that only those had are still to be removed. That reads the day's
-- page views twice, some at a time: which texts they name, so that the others are retired; then, which of those
-- that are retired were named meanwhile.
create table context_text_doubt (
    site_id bigint not null,
    day integer not null,
    retired boolean not null default false,
    -- The last page view that was read; null at the start.
    place uuid,
    -- The codes that were met.
    used integer[] not null default '{}',
    primary key (site_id, day)
);

-- A gate asks for some routes over some days; the dashboard for the routes that exist. Few keys and many
-- rows each, so that the index keeps little more than a pointer a row; the days are partitions already.
create index page_view_route on page_view (site_id, route_id);

-- How far each spool is loaded, for each site; moved in the transaction that loads.
create table load_cursor (
    site_id bigint not null,
    spool uuid not null,
    position bigint not null,
    primary key (site_id, spool)
);

-- What one load changed in one hour: page views added and taken away, packed (store::rollup::deltas). Read
-- beside the rows until maintenance folds it into them.
create table rollup_delta (
    site_id bigint not null,
    hour_ms bigint not null,
    up_to bigint not null,
    spool uuid not null,
    views bytea not null,
    primary key (site_id, hour_ms, spool, up_to)
);

-- It is packed already, and short-lived.
alter table rollup_delta alter column views set storage external;

-- What was measured in an hour: for each slot, which is a dimension and a metric (store::rollup::slot), the packed
-- histograms of the dimension's values, route by route; routes are told apart into sixteen blocks
-- (store::rollup::block_of). A step counts hours since 1970-01-01 UTC. Blocks are packed already. A fold writes
-- those of today anew, which are few of all: their room is to be free again before the table grows by a fifth.
create table rollup_hour (
    site_id bigint not null,
    step integer not null,
    slot smallint not null,
    block smallint not null,
    cells bytea not null,
    primary key (site_id, slot, step, block)
) with (autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02);

alter table rollup_hour alter column cells set storage external;

-- The same for days.
create table rollup_day (
    site_id bigint not null,
    step integer not null,
    slot smallint not null,
    block smallint not null,
    cells bytea not null,
    primary key (site_id, slot, step, block)
) with (autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02);

alter table rollup_day alter column cells set storage external;

-- The first day of which each kind of row is kept (store::Kept); one row. A load holds it shared, so that
-- an edge never moves past page views that are being written.
create table kept (
    one smallint primary key check (one = 1),
    views_from_ms bigint not null,
    hours_from_ms bigint not null,
    days_from_ms bigint not null
);

insert into kept (one, views_from_ms, hours_from_ms, days_from_ms)
values (1, -9223372036854775808, -9223372036854775808, -9223372036854775808);

-- Who may do what only one server at a time may do, and until when. Each step renews it in its own
-- transaction, so a server that lost it cannot finish a step.
create table lease (
    name text primary key,
    holder uuid not null,
    until timestamptz not null
);

insert into lease (name, holder, until)
values ('maintenance', '00000000-0000-0000-0000-000000000000', '-infinity');

create table violation (
    site_id bigint not null,
    violation_id bigint not null,
    at_most bigint not null,
    measured bigint,
    n bigint not null,
    within bigint not null,
    opened_ms bigint not null,
    last_seen_ms bigint not null,
    -- Null: open.
    resolved_ms bigint,
    metric smallint not null,
    percentile smallint not null,
    -- store::dimension::device_code: 0 is every device.
    device smallint not null,
    budget_key text not null,
    route text not null,
    release text,
    primary key (site_id, violation_id)
);

create unique index violation_open on violation (site_id, budget_key) where resolved_ms is null;

-- The smallest id of a view that starts at or after a moment: 48 bits of milliseconds, then zeros.
create function page_view_first_id(start_ms bigint) returns uuid
language sql immutable strict as $$
    select (lpad(to_hex(start_ms), 12, '0') || repeat('0', 20))::uuid
$$;

-- The partition of a day, named by the days since 1970-01-01: page_view_20412 is 2025-11-20.
create function page_view_partition(day_ms bigint) returns text
language sql immutable strict as $$
    select 'page_view_' || (day_ms / 86400000)::text
$$;

-- The starts of the days that have a partition.
create function page_view_days() returns setof bigint
language sql stable as $$
    select substring(c.relname from '^page_view_([0-9]+)$')::bigint * 86400000
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'page_view'::regclass and c.relname ~ '^page_view_[0-9]+$'
$$;

-- Makes the partition of a day, if it is not there. Attaching an empty table waits neither for those who
-- read and write page views, nor they for it; `create table … partition of` would.
create function page_view_day_add(day_ms bigint) returns void
language plpgsql as $$
declare
    name text := page_view_partition(day_ms);
    last_ms bigint := 281474976710656;
begin
    if exists (select 1 from page_view_days() day where day = day_ms) then
        return;
    end if;
    -- One lock for all days, or two who make several would wait for each other. It ends with the
    -- transaction, so it needs no session. The number is fieldvitals' own.
    perform pg_advisory_xact_lock(736374510, 0);
    if exists (select 1 from page_view_days() day where day = day_ms) then
        return;
    end if;
    execute format('create table %I (like page_view including all)', name);
    if day_ms + 86400000 >= last_ms then
        execute format(
            'alter table page_view attach partition %I for values from (%L) to (maxvalue)',
            name, page_view_first_id(day_ms));
    else
        execute format(
            'alter table page_view attach partition %I for values from (%L) to (%L)',
            name, page_view_first_id(day_ms), page_view_first_id(day_ms + 86400000));
    end if;
end
$$;

-- Drops the partition of a day and returns how many page views were in it, up to a million: a larger one is
-- not read to its end, as dropping it must cost the same whatever is in it.
create function page_view_day_drop(day_ms bigint) returns bigint
language plpgsql as $$
declare
    name text := page_view_partition(day_ms);
    views bigint;
begin
    if not exists (select 1 from page_view_days() day where day = day_ms) then
        return 0;
    end if;
    execute format('select count(*) from (select 1 from %I limit 1000000) counted', name) into views;
    execute format('drop table %I', name);
    return views;
end
$$;
