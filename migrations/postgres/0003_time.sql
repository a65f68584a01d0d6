-- The time zone in which a site counts its days and weeks: an IANA name.
alter table site add column timezone text not null default 'UTC';

-- Deploys of releases, as somebody marked them. A release has at most one mark. Few rows, not distributed.
create table deploy_mark (
    site_id bigint not null,
    release text collate "C" not null,
    at_ms bigint not null,
    primary key (site_id, release)
);

-- Hourly rollups of the whole site are kept longer than those of its routes, which have been removed until here.
alter table kept add column site_hours_from_ms bigint not null default 0;

update kept set site_hours_from_ms = hours_from_ms;

-- A new name: a server of the release before, which removes these rows, then does no maintenance. It goes on loading.
alter table maintenance_lease rename to maintenance_claim;
