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
