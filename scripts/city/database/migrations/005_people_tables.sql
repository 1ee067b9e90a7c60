-- Who a badge is, and what a department's hours and rules are: all that is needed to
-- make a month's recap of the taps in schema presence. Names stand in this schema only.
--
-- Nobody but people_owner reads these tables. The personnel office calls the functions
-- people.read_* and people.load_*, which write down who asked (people.access).
create schema people;

do $$ begin
  if not exists (select from pg_roles where rolname = 'people_owner') then create role people_owner nologin; end if;
  if not exists (select from pg_roles where rolname = 'presence_personnel') then create role presence_personnel nologin; end if;
end $$;
revoke all on schema people from public;
grant usage on schema people to presence_personnel;
grant usage, create on schema people to people_owner;

alter table presence.office add column if not exists zone text not null default 'Asia/Jakarta'; -- whose wall clock decides days and hours

create extension if not exists btree_gist; -- "no two at the same time" beside equality

create table people.person (
  nip       text primary key check (nip ~ '^[0-9A-Za-z._-]{1,32}$'), -- personnel number
  name      text not null check (name <> ''),
  dinas     text not null check (dinas ~ '^[a-z0-9-]{1,32}$'),
  office    text check (office ~ '^[a-z0-9-]{1,32}$'), -- the gateway of the usual place of work; null: any of the department
  joined_on date,
  left_on   date,                                      -- the last day
  check (left_on >= joined_on)
);
create index person_by_dinas on people.person (dinas);

-- Further gateways at which a person works: outages of those excuse as well.
create table people.post (
  nip     text not null references people.person on delete cascade,
  gateway text not null,
  primary key (nip, gateway)
);

-- A badge belongs to a person for a time: a lost one is replaced, and days before that
-- keep their owner. Each gateway calls a card by another name (it has a key of its own),
-- so a card has a row for each gateway.
create table people.badge (
  gateway text not null,
  badge   text not null check (badge ~ '^(h:[0-9a-f]{32}|([0-9A-F]{8}|[0-9A-F]{14}|[0-9A-F]{20}))$'),
  nip     text not null references people.person on delete cascade,
  during  tstzrange not null check (not isempty(during)),
  exclude using gist (gateway with =, badge with =, during with &&)
);
create index badge_by_name on people.badge (gateway, badge);
create index badge_by_person on people.badge (nip);

create table people.tag (
  tag     text not null check (tag ~ '^(mesh|idas|kenwood|reyax|waypoint):.+$'),
  nip     text not null references people.person on delete cascade,
  during  tstzrange not null check (not isempty(during)),
  exclude using gist (tag with =, during with &&)
);
create index tag_by_person on people.tag (nip);

-- What the personnel office itself knows of a person's day. cuti (leave), dinas-luar
-- (duty elsewhere), sakit (ill) and wfa (work from anywhere, PermenPAN-RB 4/2025) excuse
-- the whole day. manual-in and manual-out are times that a human has decided, in place
-- of what taps say. accepted: a human has looked at a day that says check, and decides
-- it for the better of what is possible.
create table people.note (
  nip     text not null references people.person on delete cascade,
  day     date not null,
  kind    text not null check (kind in ('cuti', 'dinas-luar', 'sakit', 'wfa', 'manual-in', 'manual-out', 'accepted')),
  at      time,                                        -- of manual-in and manual-out, by the office's clock
  by      text not null check (by <> ''),
  why     text not null check (why <> ''),
  written timestamptz not null default now(),
  primary key (nip, day, kind),
  check ((kind in ('manual-in', 'manual-out')) = (at is not null))
);
create index note_by_day on people.note (day);

-- Outages that are known from elsewhere than from events: the gateway's own sheet
-- ("gatewayd export --month") knows when a reader was deaf. They excuse like others.
create table people.outage (
  gateway text not null,
  during  tstzrange not null check (not isempty(during)),
  why     text not null check (why <> ''),
  by      text not null check (by <> ''),
  primary key (gateway, during)
);

-- The documents with hours that gateways get (keys of [hours], see hours_of). The
-- narrowest counts: of a gateway, of a department (gateway ''), of the city (both '').
-- Of several for the same, the newest that is in force on the day.
create table people.hours (
  dinas   text not null default '',
  gateway text not null default '' check (gateway = '' or dinas <> ''),
  since   date not null,
  body    jsonb not null,
  loaded  timestamptz not null default now(),
  by      text not null default session_user,
  primary key (dinas, gateway, since)
);

-- What the allowance loses, in percent: data with dates, never code. A rule of kind late
-- or early holds from so many whole seconds on, up to the next rule's; absent has
-- from_s 0. A department ('*': all) with rules of its own for a kind has none of '*'.
create table people.rule (
  dinas   text not null default '*',
  kind    text not null check (kind in ('late', 'early', 'absent')),
  from_s  int not null check (from_s >= 0 and (kind <> 'absent' or from_s = 0) and (kind = 'absent' or from_s > 0)),
  percent numeric(6,3) not null check (percent >= 0),
  during  daterange not null check (not isempty(during)),
  exclude using gist (dinas with =, kind with =, from_s with =, during with &&)
);

-- How a day is cut. One row for a time.
create table people.setting (
  during        daterange not null check (not isempty(during)),
  day_starts    interval not null default '0:00' check (day_starts >= '0' and day_starts < '12:00'), -- a tap before that is of the day before
  counts_before interval not null default '1:00', -- an outage so long before the hours can hide an arrival
  counts_after  interval not null default '3:00', -- and so long after them somebody's leaving
  simulated     boolean not null default false,         -- whether taps of mocked readers count
  exclude using gist (during with &&)
);
insert into people.setting (during) values ('(,)');

-- Who read names, and whose.
create table people.access (
  id       bigint generated always as identity primary key,
  at       timestamptz not null default clock_timestamp(),
  who      text not null default session_user,
  client   text default coalesce(host(inet_client_addr()), 'local'),
  what     text not null,
  dinas    text, nip text, from_day date, to_day date, why text
);
create index access_by_person on people.access (nip) where nip is not null;

-- Lines of a file that is being loaded, see load_*.
create table people.staging (
  load  uuid not null,
  line  int not null,
  cells jsonb not null,
  primary key (load, line)
);

-- Writes down that names are read. It also stands in the server's log, so that whoever
-- rolls a transaction back has not hidden it.
create function people.log_access(what text, dinas text, nip text, from_day date, to_day date, why text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into people.access (what, dinas, nip, from_day, to_day, why) values ($1, $2, $3, $4, $5, $6);
  raise log 'names read: % by %, department %, person %, % to %', $1, session_user, coalesce($2, 'all'), coalesce($3, 'all'), $4, $5;
end $$;
