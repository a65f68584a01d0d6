-- The budget file of a site, by version. The oldest versions are dropped.
create table budget_file (
    site_id integer not null,
    -- From 1.
    version integer not null,
    text text not null,
    applied_ms integer not null,
    -- The name of a token.
    applied_by text not null,
    primary key (site_id, version)
) strict;

-- Routes that always have a place beside the route rules: those that the budget file names. A JSON array.
alter table site add column reserved text not null default '[]';

-- The state of a site's standing budgets: JSON of the server, read and written whole.
create table standing (
    site_id integer primary key,
    state text not null
) strict;

create table alert (
    site_id integer not null,
    alert_id integer not null,
    alert_key text not null,
    -- The start of the condition. One start has one alert, even if somebody resolves it early.
    since_ms integer not null,
    is_warning integer not null,
    summary text not null,
    -- JSON of the server.
    details text not null,
    opened_ms integer not null,
    acknowledged_ms integer,
    acknowledged_by text,
    snoozed_until_ms integer,
    -- Null: open.
    resolved_ms integer,
    -- Null: its condition ended.
    resolved_by text,
    primary key (site_id, alert_id),
    unique (site_id, alert_key, since_ms)
) strict, without rowid;

create unique index alert_open on alert (site_id, alert_key) where resolved_ms is null;

-- The outbox of notices: the last event of each alert and channel.
create table alert_notice (
    site_id integer not null,
    alert_id integer not null,
    -- The name of a channel in the server's configuration.
    channel text not null,
    -- store::AlertEvent.
    event integer not null,
    attempts integer not null,
    -- Null: nothing to deliver.
    due_ms integer,
    sent_ms integer,
    error text,
    primary key (site_id, alert_id, channel)
) strict, without rowid;

create index alert_notice_due on alert_notice (due_ms) where due_ms is not null;

-- Which process does a task, and until when.
create table task_lease (
    task text primary key,
    holder blob not null,
    until_ms integer not null
) strict, without rowid;
