-- Every table that grows starts its key with site_id, so that questions and deletions stay within one
-- site, and the Postgres schema, which must, can follow the same order. All times are UTC milliseconds.

create table site (
    -- autoincrement: the id of a deleted site is never given again, so that late beacons of its last
    -- visitors cannot land in another one.
    site_id integer primary key autoincrement,
    name text not null unique,
    -- A JSON array of origins; read and written whole.
    origins text not null,
    -- A JSON array of route patterns, in the order in which they are tried; read and written whole.
    routes text not null,
    created_ms integer not null
) strict;

create table site_key (
    site_id integer not null references site (site_id),
    key text not null unique,
    -- Null: the current key.
    until_ms integer,
    created_ms integer not null,
    primary key (site_id, key)
) strict;

-- Deleted sites whose rows are still being removed; maintenance goes on where a deletion was cut short.
create table site_deleted (
    site_id integer primary key
) strict;

create table api_token (
    token_id integer primary key autoincrement,
    name text not null,
    scope integer not null,
    -- SHA-256 of the secret.
    hash blob not null unique,
    created_ms integer not null
) strict;

-- A site's routes. The id is a hash of the text (store::rollup::route_id), not a sequence.
create table route (
    site_id integer not null,
    route_id integer not null,
    route text not null,
    -- The UTC day (since 1970) of the newest page view seen: names that were not seen lately leave their
    -- place to others, and those of which nothing is kept are removed.
    last_day integer not null,
    -- How firmly it has its place, the network that brought it, the day on which it got or lost the place
    -- (store::Place).
    standing integer not null default 0,
    network integer,
    since_day integer not null default 0,
    primary key (site_id, route_id),
    unique (site_id, route)
) strict, without rowid;

-- The texts of browsers, countries, connections and releases, under the codes that rollups have for them
-- (store::dimension::label_code).
create table label (
    site_id integer not null,
    -- store::Dimension.
    dimension integer not null,
    -- 1 to 65535.
    code integer not null,
    label text not null,
    -- As of a route.
    last_day integer not null,
    standing integer not null default 0,
    network integer,
    since_day integer not null default 0,
    primary key (site_id, dimension, code),
    unique (site_id, dimension, label)
) strict, without rowid;

-- One row a page view: the truth that rollups are made of. The first 48 bits of the id are the view's
-- start, so the key is also the order of time, and a range of time is a range of ids.
create table page_view (
    site_id integer not null,
    id blob not null,
    -- The number of our collector's snapshot; null where another library sent the view.
    seq integer,
    received_ms integer not null,
    -- Without what the route says (store::pack_url).
    url text not null,
    route_id integer not null,
    navigation_type integer,
    -- store::dimension::device_code: 0 is an unknown device.
    device integer not null,
    browser text,
    connection text,
    country text,
    release text,
    tti_gap integer,
    -- vitals::view::Os.
    os integer,
    -- Millionths of the metric's unit; null: not measured.
    lcp integer,
    inp integer,
    cls integer,
    fcp integer,
    ttfb integer,
    fid integer,
    tti integer,
    -- Seven 8-byte big-endian times, one a metric, when a foreign view's metrics were received.
    foreign_received blob,
    -- How many page views it stands for, in thousandths (store::Weight); null: itself alone.
    weight integer,
    -- What explains its values, tags, marks: packed (store::context), its texts as codes of context_text.
    context blob,
    primary key (site_id, id)
) strict, without rowid;

-- The texts that the contexts of a UTC day's page views name (store::context::texts). They go with the day.
create table context_text (
    site_id integer not null,
    -- Days since 1970-01-01 UTC.
    day integer not null,
    -- 2 to 65535.
    code integer not null,
    -- store::context::texts::TextKind.
    kind integer not null,
    text text not null,
    primary key (site_id, day, code),
    unique (site_id, day, kind, text)
) strict, without rowid;

-- Days of which page views were erased: texts that only those had are still to be removed.
create table context_text_doubt (
    site_id integer not null,
    day integer not null,
    primary key (site_id, day)
) strict, without rowid;

-- Questions about one route that rollups cannot answer, and which routes exist. Not the site first: nearly every
-- comparison of an insertion is decided by what is.
create index page_view_route on page_view (route_id, site_id, id);

-- How far each spool is loaded, for each site; moved in the transaction that loads.
create table load_cursor (
    site_id integer not null,
    spool blob not null,
    position integer not null,
    primary key (site_id, spool)
) strict, without rowid;

-- What one load changed in one hour: signed page views, packed (store::rollup::deltas). Read beside the
-- rollups until maintenance folds it into them.
create table rollup_delta (
    site_id integer not null,
    hour_ms integer not null,
    spool blob not null,
    up_to integer not null,
    views blob not null,
    primary key (site_id, hour_ms, spool, up_to)
) strict, without rowid;

-- What was measured in an hour (or day), of one dimension and one metric: a histogram for each route and value
-- of the dimension; routes are told apart into sixteen blocks (store::rollup::block_of). A question asks for one
-- dimension and one metric over some time: with both in front (store::rollup::slot), what it reads lies
-- together and what it does not ask for stays unread.
create table rollup_hour (
    site_id integer not null,
    slot integer not null,
    -- Hours since 1970-01-01 UTC.
    step integer not null,
    block integer not null,
    cells blob not null,
    primary key (site_id, slot, step, block)
) strict, without rowid;

create table rollup_day (
    site_id integer not null,
    slot integer not null,
    -- Days since 1970-01-01 UTC.
    step integer not null,
    block integer not null,
    cells blob not null,
    primary key (site_id, slot, step, block)
) strict, without rowid;

-- How often a site's rows above were changed: a fold makes its blocks before it takes the write lock, and sees by
-- this that they are still what it made them from.
create table rollup_version (
    site_id integer primary key,
    version integer not null
) strict, without rowid;

-- The first day of which each kind of row is kept (store::Kept); one row.
create table kept (
    one integer primary key check (one = 1),
    views_from_ms integer not null,
    hours_from_ms integer not null,
    days_from_ms integer not null
) strict;

create table violation (
    site_id integer not null,
    violation_id integer not null,
    budget_key text not null,
    route text not null,
    metric integer not null,
    percentile integer not null,
    at_most integer not null,
    -- store::dimension::device_code: 0 is every device.
    device integer not null,
    release text,
    measured integer,
    n integer not null,
    within integer not null,
    opened_ms integer not null,
    last_seen_ms integer not null,
    -- Null: open.
    resolved_ms integer,
    primary key (site_id, violation_id)
) strict, without rowid;

create unique index violation_open on violation (site_id, budget_key) where resolved_ms is null;
