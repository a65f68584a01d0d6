-- The outbox of weekly digests: the last week of each site and channel. This table has few rows and is not distributed.
create table digest (
    site_id bigint not null,
    -- The name of a channel in the server's configuration.
    channel text collate "C" not null,
    -- The Monday that begins the week, in days since 1970-01-01.
    week integer not null,
    attempts integer not null,
    -- Null: delivered, given up or under way.
    due_ms bigint,
    sent_ms bigint,
    error text,
    primary key (site_id, channel)
);

create index digest_due on digest (due_ms) where due_ms is not null;
