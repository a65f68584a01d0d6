-- Groups of a site's routes, as JSON: whether servers add them, their patterns, and the routes apart. Sites from before
-- have none, and get none unless somebody asks.
alter table site add column route_groups text not null default '{}';
