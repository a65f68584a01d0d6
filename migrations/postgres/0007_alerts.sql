-- The budget file of a site, by version. The oldest versions are dropped. This table and those below have few rows and
-- are not distributed.
create table budget_file (
    site_id bigint not null,
    -- From 1.
    version bigint not null,
    text text not null,
    applied_ms bigint not null,
    -- The name of a token.
    applied_by text not null,
    primary key (site_id, version)
);

-- Routes that always have a place beside the route rules: those that the budget file names. A JSON array.
alter table site add column reserved text not null default '[]';

-- The state of a site's standing budgets: JSON of the server, read and written whole.
create table standing (
    site_id bigint primary key,
    state text not null
);

create table alert (
    site_id bigint not null,
    alert_id bigint not null,
    alert_key text collate "C" not null,
    -- The start of the condition. One start has one alert, even if somebody resolves it early.
    since_ms bigint not null,
    is_warning boolean not null,
    summary text not null,
    -- JSON of the server.
    details text not null,
    opened_ms bigint not null,
    acknowledged_ms bigint,
    acknowledged_by text,
    snoozed_until_ms bigint,
    -- Null: open.
    resolved_ms bigint,
    -- Null: its condition ended.
    resolved_by text,
    primary key (site_id, alert_id),
    unique (site_id, alert_key, since_ms)
);

create unique index alert_open on alert (site_id, alert_key) where resolved_ms is null;

-- The outbox of notices: the last event of each alert and channel.
create table alert_notice (
    site_id bigint not null,
    alert_id bigint not null,
    -- The name of a channel in the server's configuration.
    channel text collate "C" not null,
    -- store::AlertEvent.
    event smallint not null,
    attempts integer not null,
    -- Null: nothing to deliver.
    due_ms bigint,
    sent_ms bigint,
    error text,
    primary key (site_id, alert_id, channel)
);

create index alert_notice_due on alert_notice (due_ms) where due_ms is not null;

-- Which server does a task, and until when.
create table task_lease (
    task text primary key,
    holder uuid not null,
    until timestamptz not null
);
