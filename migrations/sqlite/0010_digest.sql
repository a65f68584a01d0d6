-- The outbox of weekly digests: the last week of each site and channel.
create table digest (
    site_id integer not null,
    -- The name of a channel in the server's configuration.
    channel text not null,
    -- The Monday that begins the week, in days since 1970-01-01.
    week integer not null,
    attempts integer not null,
    -- Null: delivered, given up or under way.
    due_ms integer,
    sent_ms integer,
    error text,
    primary key (site_id, channel)
) strict, without rowid;

create index digest_due on digest (due_ms) where due_ms is not null;
