-- What the city keeps of its gateways' events. PostgreSQL 15 or later.
--
-- Everything that arrives is written by presence.ingest (002). Who reads what is said
-- in 004. Words: a stream is one run of a gateway's process, and seq its numbering of
-- events from 1; a revision is the time of an event as it was published once, rev its
-- number; a gap is the event in which a gateway names numbers that it has lost.

-- A row for each stream and each gateway that speaks of it: normally one. Only the
-- gateway that sent the first event of a stream owns it (begun); what others say of it
-- lies in rows of their own and changes nothing for the owner.
create table presence.stream (
  stream    uuid not null,
  dinas     text not null,
  gateway   text not null,
  begun     boolean not null default false,            -- this gateway has sent events of it
  have      int8multirange not null default '{}',      -- numbers that are stored, or were until retention or erasure
  named     int8multirange not null default '{}',      -- numbers that the gateway's gaps name, [n,) for "to the end"
  erased    int8multirange not null default '{}',      -- of have: erased on a person's request
  swapped   int8multirange not null default '{}',      -- of have: a later revision came first, rev 0 is still to come
  upto      bigint not null default 0,                 -- every number from 1 to here is in have or in named
  said_last bigint,                                    -- what the next stream's start says was the last number
  clean     boolean,                                   -- and whether this one was ended on purpose
  next      uuid,                                      -- that next stream
  boot      text, version text,                        -- of its start
  first_seen timestamptz not null default now(),
  last_seen  timestamptz not null default now(),
  linked    boolean not null default false,            -- its events carry a chain
  hole_since timestamptz,                              -- since when there has been a hole and upto has not moved
  last_seq  bigint, last_at timestamptz, last_quality text, -- of the newest event by number
  last_delay_s real,                                   -- how late that one came
  primary key (stream, dinas, gateway)
) with (fillfactor = 50); -- each batch updates its rows: room on the page spares the indexes
create unique index stream_owner on presence.stream (stream) where begun;
create index stream_by_gateway on presence.stream (dinas, gateway, first_seen);

-- Which numbers a gateway says are lost, and why. stream.named is the sum of it.
create table presence.named (
  stream  uuid not null,
  dinas   text not null,
  gateway text not null,
  reason  text not null,
  numbers int8multirange not null,
  primary key (stream, dinas, gateway, reason)
);

-- Each event once, by the UTC day on which it came first, so that old days are dropped
-- whole. Whose it is, its stream says. The time is that of rev 0; where another revision
-- came first, it is that one's until rev 0 comes. Eight-byte columns stand first: no
-- bytes are lost to alignment.
create table presence.event (
  received timestamptz not null,
  seq      bigint not null,
  at       timestamptz, at_min timestamptz, at_max timestamptz,
  lat      double precision, lon double precision,
  stream   uuid not null,
  rev      int not null,            -- whose time this is
  error_ms real,
  kind     text not null,
  quality  text not null,
  badge    text, tag text, zone text,
  link     bytea,
  more     jsonb                    -- what has no column; null where nothing is left
) partition by range (received);
-- No key can be unique over all days in PostgreSQL without the day in it. Each event is
-- stored once because ingest holds its stream's row and looks into have.
create index event_by_number on presence.event (stream, seq);
create index event_by_badge on presence.event (badge, at) where badge is not null;
create index event_by_arrival on presence.event using brin (received);
-- Catches what comes on a day that nobody has made a partition for. make_days moves it.
create table presence.event_default partition of presence.event default;

-- Revisions above 0. They may come long after their event, or before its rev 0.
create table presence.correction (
  stream   uuid not null,
  seq      bigint not null,
  rev      int not null check (rev > 0),
  newest   boolean not null,        -- the highest revision of its event
  at       timestamptz, at_min timestamptz, at_max timestamptz,
  error_ms real,
  quality  text not null,
  received timestamptz not null,
  primary key (stream, seq, rev)
);
create unique index correction_newest on presence.correction (stream, seq) where newest;
create index correction_by_arrival on presence.correction (received);

-- What could not be read: it stops nothing, and nobody overlooks it.
create table presence.refused (
  received timestamptz not null default now(),
  topic    text not null,
  reason   text not null,
  payload  bytea not null           -- its first 4 KiB
);
create index refused_by_arrival on presence.refused (received);

-- Which recorder works. The epoch is counted up by each that takes over.
create table presence.leader (
  only_one boolean primary key default true check (only_one),
  epoch    bigint not null,
  who      text not null,
  since    timestamptz not null
);
insert into presence.leader (epoch, who, since) values (0, 'nobody', now());

-- The gateways that there should be. The city's list of offices is loaded into it.
create table presence.office (
  dinas   text not null,
  gateway text not null,
  name    text not null default '',
  since   date not null default current_date,
  until   date,                                         -- the last day; null: still there
  silent_after interval not null default '3 days 12 hours', -- a weekend is not silence
  primary key (dinas, gateway)
);

-- How long events and refused messages are kept, in days. The DBA changes it; null: for
-- ever.
create table presence.retention (
  only_one     boolean primary key default true check (only_one),
  event_days   int default 400 check (event_days > 0), -- a year, and a month to dispute its last one
  refused_days int default 30 check (refused_days > 0)
);
insert into presence.retention default values;

-- Makes partitions for the days from yesterday to so many ahead, in UTC, and moves into
-- them what came while there were none. Returns how many it made. Waits 2 s at most for
-- who reads: the recorder calls it every hour, and what has no partition is caught by
-- event_default.
create function presence.make_days(ahead int default 7) returns int
language plpgsql security definer set search_path = presence, pg_temp set lock_timeout = '2s' set timezone = 'UTC' as $$
declare
  d date;
  made int := 0;
begin
  for d in
    select generate_series((now()::date - 1), now()::date + ahead, '1 day')::date
    union select distinct received::date from event_default order by 1
  loop
    continue when to_regclass('presence.event_' || to_char(d, 'YYYYMMDD')) is not null;
    lock table event_default in access exclusive mode; -- else more could come after what is there was moved
    execute format('create table presence.%I (like presence.event including defaults including constraints)', 'event_' || to_char(d, 'YYYYMMDD'));
    execute format('with late as (delete from presence.event_default where received >= %L and received < %L returning *)
      insert into presence.%I select * from late', d, d + 1, 'event_' || to_char(d, 'YYYYMMDD'));
    execute format('alter table presence.event attach partition presence.%I for values from (%L) to (%L)',
      'event_' || to_char(d, 'YYYYMMDD'), d, d + 1);
    made := made + 1;
  end loop;
  return made;
end $$;

-- Drops the days that ended more than so many days ago, with their revisions. Streams
-- stay, with the numbers that were there: what is dropped is no hole, and does not come
-- again when a gateway sends it once more. Returns how many days were dropped.
create function presence.drop_days(event_days int, refused_days int) returns int
language plpgsql security definer set search_path = presence, pg_temp set lock_timeout = '2s' set timezone = 'UTC' as $$
declare
  oldest timestamptz := now()::date - event_days; -- the first instant that is kept
  name text;
  dropped int := 0;
begin
  if event_days < 1 or refused_days < 1 then
    raise exception 'days to keep: at least 1' using errcode = 'invalid_parameter_value';
  end if;
  for name in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'presence.event'::regclass and c.relname ~ '^event_[0-9]{8}$'
      and to_date(right(c.relname, 8), 'YYYYMMDD') < oldest order by 1
  loop
    execute format('drop table presence.%I', name);
    dropped := dropped + 1;
  end loop;
  delete from event_default where received < oldest;
  delete from correction where received < oldest; -- none is older than its event
  delete from refused where received < now()::date - refused_days;
  return dropped;
end $$;

-- drop_days as presence.retention has it. The recorder calls it every hour.
create function presence.drop_old_days() returns int
language sql security definer set search_path = presence, pg_temp as $$
  select drop_days(event_days, refused_days) from retention
$$;

select presence.make_days();
