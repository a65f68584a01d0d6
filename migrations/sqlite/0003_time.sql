-- The time zone in which a site counts its days and weeks: an IANA name.
alter table site add column timezone text not null default 'UTC';

-- Deploys of releases, as somebody marked them. A release has at most one mark.
create table deploy_mark (
    site_id integer not null,
    release text not null,
    at_ms integer not null,
    primary key (site_id, release)
) strict, without rowid;

-- Hourly rollups of the whole site are kept longer than those of its routes, which have been removed until here.
alter table kept add column site_hours_from_ms integer not null default 0;

update kept set site_hours_from_ms = hours_from_ms;

-- A new name: a process of the release before, which removes these rows, then fails to change rollups.
alter table rollup_change rename to rollup_state;
