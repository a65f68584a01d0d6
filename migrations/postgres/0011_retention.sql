-- The retention that the API or a command has set for all servers of the store, in days. No row: the defaults.
create table retention (
    one integer primary key check (one = 1),
    views_days integer not null,
    hours_days integer not null,
    rollups_days integer not null
);
