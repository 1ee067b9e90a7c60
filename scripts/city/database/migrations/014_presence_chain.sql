-- The chain of events: each event of a gateway follows the one before it by its link
-- (MESSAGES.md). What of that the city answers to gateways, shows to its people, and prints
-- for the audit.

alter table presence.stream
  add column previous uuid,             -- what its start says: the stream before,
  add column previous_seq bigint,       -- the number of that one's last event,
  add column previous_link bytea,       -- and its link
  add column branch boolean not null default false; -- a gap says that its gateway left it when it learned that it had been rolled back
update presence.stream s set previous = p.stream, previous_seq = p.said_last
  from presence.stream p where (p.next, p.dinas, p.gateway) = (s.stream, s.dinas, s.gateway);
create index stream_by_previous on presence.stream (previous, previous_seq) where previous is not null;

-- What stays of an event that was erased: its place and its link, so that what was not
-- erased can still be proven. Only of events that have a link.
create table presence.erased_event (
  received timestamptz not null,        -- when the event was
  stream   uuid not null,
  seq      bigint not null,
  link     bytea not null,
  primary key (stream, seq)
);
create index erased_by_arrival on presence.erased_event (received);

-- As in 002, and it notes what a stream follows, and which one was left.
create or replace function presence.enter_claims(
  streams uuid[], departments text[], gateways text[], kinds text[], mores jsonb[]) returns uuid[]
language plpgsql set search_path = presence, pg_temp as $$
declare
  c record;
  r record;
  claimed uuid[] := '{}';
begin
  for c in
    select b.stream, b.dinas, b.gateway, b.kind, b.more
    from unnest(streams, departments, gateways, kinds, mores) b(stream, dinas, gateway, kind, more)
    join stream s on (s.stream, s.dinas, s.gateway) = (b.stream, b.dinas, b.gateway) and s.begun
    where b.kind in ('gap', 'start') and jsonb_typeof(b.more) = 'object'
    order by b.stream
  loop
    if c.kind = 'start' then
      update stream s set boot = left(c.more->>'boot', 64), version = left(c.more->>'version', 64)
        where (s.stream, s.dinas, s.gateway) = (c.stream, c.dinas, c.gateway);
      if jsonb_typeof(c.more->'previous') = 'object' then
        update stream s set previous = p.stream, previous_seq = greatest(p.seq, 0),
            previous_link = case when p.link ~ '^[0-9a-f]{32}$' then decode(p.link, 'hex') end
          from jsonb_to_record(c.more->'previous') p(stream uuid, seq bigint, link text)
          where (s.stream, s.dinas, s.gateway) = (c.stream, c.dinas, c.gateway);
        insert into stream as s (stream, dinas, gateway, said_last, clean, next)
          select p.stream, c.dinas, c.gateway, greatest(p.seq, 0), p.clean, c.stream
          from jsonb_to_record(c.more->'previous') p(stream uuid, seq bigint, clean boolean)
        on conflict (stream, dinas, gateway) do update
          set said_last = greatest(s.said_last, excluded.said_last), clean = excluded.clean, next = excluded.next;
        claimed := claimed || (c.more#>>'{previous,stream}')::uuid;
      end if;
    elsif jsonb_typeof(c.more->'ranges') = 'array' then
      for r in
        -- Numbers beyond 2^62 are nobody's, but no reason to refuse the gap. A range that
        -- ends before it begins names nothing.
        select g.stream, range_agg(int8range(greatest(least(g."from", (1::bigint << 62)::numeric), 1)::bigint,
          case when g."to" is not null then least(g."to", (1::bigint << 62)::numeric)::bigint + 1 end)) as numbers
        from jsonb_to_recordset(c.more->'ranges') g(stream uuid, "from" numeric, "to" numeric)
        where g.stream is not null and g."from" is not null and (g."to" is null or g."to" >= greatest(g."from", 1)) group by 1
      loop
        insert into stream as s (stream, dinas, gateway, named) values (r.stream, c.dinas, c.gateway, r.numbers)
          on conflict (stream, dinas, gateway) do update set named = s.named + excluded.named;
        insert into named as o (stream, dinas, gateway, reason, numbers)
          values (r.stream, c.dinas, c.gateway, coalesce(left(c.more->>'reason', 64), ''), r.numbers)
          on conflict (stream, dinas, gateway, reason) do update set numbers = o.numbers + excluded.numbers;
        claimed := claimed || r.stream;
      end loop;
      if jsonb_typeof(c.more->'branch') = 'object' then
        update stream s set branch = true where (s.dinas, s.gateway) = (c.dinas, c.gateway) and s.stream::text = c.more#>>'{branch,stream}';
      end if;
    end if;
  end loop;
  return claimed;
end $$;

-- As in 002. The link of an erased event is still known.
create or replace function presence.link_of(id uuid, n bigint, since timestamptz) returns bytea
language plpgsql stable set search_path = presence, pg_temp as $$
begin
  return coalesce((select e.link from event e where e.stream = id and e.seq = n and e.received >= since limit 1),
    (select x.link from erased_event x where (x.stream, x.seq) = (id, n)));
end $$;

-- The newest stream of a gateway but the one that has just begun, of those that the city has
-- something of: how far it has that is what it answers to the start, so that a gateway whose
-- storage was put back or replaced learns what it has lost. Null where there is none.
create function presence.head_beside(started uuid, office text, id text) returns uuid
language sql stable set search_path = presence, pg_temp as $$
  select s.stream from stream s
  where (s.dinas, s.gateway) = (office, id) and s.begun and s.stream <> started and s.upto > 0 order by s.first_seen desc, s.stream desc limit 1
$$;

-- As in 002, with two differences. The link that is receipted is that of the event that is
-- stored, whatever came again under its number. And a start that is new is answered with
-- the head of its gateway's newest other stream as well, in a row that counts no event.
create or replace function presence.ingest(
  streams uuid[], seqs bigint[], revs int[], kinds text[], departments text[], gateways text[],
  ats timestamptz[], qualities text[], errors_ms real[], at_mins timestamptz[], at_maxs timestamptz[],
  badges text[], tags text[], zones text[], lats double precision[], lons double precision[], links bytea[],
  mores jsonb[])
returns table (dinas text, gateway text, stream uuid, upto bigint, link bytea, stored bigint, doubled bigint, refused bigint)
language plpgsql security definer set search_path = presence, pg_temp
-- A plan that was made while there were few streams, or before the first ANALYZE, would
-- read all of them for each batch.
set enable_seqscan = off as $$
#variable_conflict use_column
declare
  n int := cardinality(streams);
  foreigners bigint;          -- events of streams that are another gateway's
  claimed uuid[] := '{}';     -- streams of which a gap or a start of this batch speaks
  revised uuid[] := '{}';     -- streams that have more (id, rev) than new events
  revisions bigint[] := '{}'; -- and how many more
  heads uuid[] := '{}';       -- streams that are answered to starts
begin
  if exists (select from unnest(array[cardinality(seqs), cardinality(revs), cardinality(kinds), cardinality(departments),
      cardinality(gateways), cardinality(ats), cardinality(qualities), cardinality(errors_ms), cardinality(at_mins),
      cardinality(at_maxs), cardinality(badges), cardinality(tags), cardinality(zones), cardinality(lats),
      cardinality(lons), cardinality(links), cardinality(mores)]) length where length is distinct from n) then
    raise exception 'arrays of different lengths' using errcode = 'invalid_parameter_value';
  end if;
  if exists (select from unnest(seqs, revs) b(seq, rev) where (seq between 1 and 1::bigint << 62 and rev >= 0) is not true) then
    raise exception 'seq or rev out of range' using errcode = 'numeric_value_out_of_range';
  end if;
  foreigners := enter_owners(streams, seqs, revs, kinds, departments, gateways, ats, qualities, badges, tags, mores);
  if kinds && array['gap', 'start'] then
    claimed := enter_claims(streams, departments, gateways, kinds, mores);
    select coalesce(array_agg(distinct h.stream), '{}') into heads
      from unnest(streams, seqs, kinds, departments, gateways) b(stream, seq, kind, dinas, gateway)
      join stream s on s.stream = b.stream and s.begun and (s.dinas, s.gateway) = (b.dinas, b.gateway),
      head_beside(b.stream, b.dinas, b.gateway) h(stream)
      where b.kind = 'start' and not b.seq <@ s.have and h.stream <> all(streams); -- those have rows
  end if;
  if exists (select from unnest(revs) r where r > 0) or exists (select from stream s where s.stream = any(streams) and s.swapped <> '{}') then
    select coalesce(array_agg(r.stream), '{}'), coalesce(array_agg(r.n), '{}') into revised, revisions
      from enter_revisions(streams, seqs, revs, departments, gateways, ats, qualities, errors_ms, at_mins, at_maxs) r;
  end if;

  return query
  with batch as materialized (
    select b.*, s.first_seen,
      row_number() over (partition by b.stream, b.seq order by b.rev) = 1 and not b.seq <@ s.have as is_new
    from unnest(streams, seqs, revs, kinds, departments, gateways, ats, qualities, errors_ms, at_mins, at_maxs,
        badges, tags, zones, lats, lons, links, mores)
      b(stream, seq, rev, kind, dinas, gateway, at, quality, error_ms, at_min, at_max,
        badge, tag, zone, lat, lon, link, more)
    join stream s on s.stream = b.stream and s.begun and (s.dinas, s.gateway) = (b.dinas, b.gateway)),
  new_event as (
    insert into event (received, seq, at, at_min, at_max, lat, lon, stream, rev, error_ms, kind, quality, badge, tag, zone, link, more)
    select now(), seq, at, at_min, at_max, lat, lon, stream, rev, error_ms, kind, quality, badge, tag, zone, link, more
    from batch where is_new),
  touched as (
    select stream, range_agg(int8range(seq, seq + 1)) as numbers, count(*) as sent, count(*) filter (where is_new and rev = 0) as stored,
      bool_or(link is not null) as linked, max(seq) as seq,
      (array_agg(at order by seq desc, rev))[1] as at, (array_agg(quality order by seq desc, rev))[1] as quality,
      (array_agg(rev order by seq desc, rev))[1] as rev
    from batch group by 1),
  moved as (
    update stream s set have = s.have + t.numbers, last_seen = now(), linked = s.linked or t.linked,
      (upto, hole_since) = (select p.upto, p.hole_since from progress(s.have + t.numbers, s.named, s.said_last, s.upto, s.hole_since) p),
      last_seq = greatest(s.last_seq, t.seq),
      last_at = case when t.seq >= coalesce(s.last_seq, 0) then t.at else s.last_at end,
      last_quality = case when t.seq >= coalesce(s.last_seq, 0) then t.quality else s.last_quality end,
      last_delay_s = case when t.seq >= coalesce(s.last_seq, 0) and t.rev = 0 then extract(epoch from now() - t.at) else s.last_delay_s end
    from touched t where s.stream = t.stream and s.begun
    returning s.dinas, s.gateway, s.stream, s.upto, s.linked, s.first_seen, t.sent,
      t.stored + coalesce((select r.n from unnest(revised, revisions) r(stream, n) where r.stream = s.stream), 0) as stored)
  select m.dinas, m.gateway, m.stream, m.upto,
    case when m.linked then coalesce(
      (select b.link from batch b where (b.stream, b.seq) = (m.stream, m.upto) and b.is_new),
      link_of(m.stream, m.upto, m.first_seen)) end,
    m.stored, m.sent - m.stored, 0::bigint
  from moved m;

  if foreigners > 0 then
    return query
    select b.dinas, b.gateway, b.stream, 0::bigint, null::bytea, 0::bigint, 0::bigint, count(*)
    from unnest(streams, departments, gateways) b(stream, dinas, gateway)
    join stream o on o.stream = b.stream and o.begun and (o.dinas, o.gateway) <> (b.dinas, b.gateway) group by 1, 2, 3;
  end if;
  -- Streams of which this batch speaks without having an event of theirs.
  if claimed <> '{}' then
    return query
    with before as materialized (
      select o.stream, o.dinas, o.gateway, o.upto from stream o
      where o.stream = any(claimed) and (o.dinas, o.gateway) in (select * from unnest(departments, gateways))
        and not (o.begun and (o.stream, o.dinas, o.gateway) in (select * from unnest(streams, departments, gateways)))), -- those have moved
    after as (
      update stream s set (upto, hole_since) = (select p.upto, p.hole_since from progress(s.have, s.named, s.said_last, s.upto, s.hole_since) p)
      from before b where (s.stream, s.dinas, s.gateway) = (b.stream, b.dinas, b.gateway)
      returning s.dinas, s.gateway, s.stream, s.upto, b.upto as upto_before)
    select a.dinas, a.gateway, a.stream, a.upto, null::bytea, 0::bigint, 0::bigint, 0::bigint from after a
    where a.upto <> a.upto_before and a.stream <> all(heads)
      and not exists (select from stream o where o.stream = a.stream and o.begun and (o.dinas, o.gateway) <> (a.dinas, a.gateway));
  end if;
  return query
  select s.dinas, s.gateway, s.stream, s.upto, case when s.linked then link_of(s.stream, s.upto, s.first_seen) end, 0::bigint, 0::bigint, 0::bigint
  from stream s where s.stream = any(heads) and s.begun;
end $$;

-- As in 001, and with the days go the links of what was erased.
create or replace function presence.drop_days(event_days int, refused_days int) returns int
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
  delete from erased_event where received < oldest;
  delete from refused where received < now()::date - refused_days;
  return dropped;
end $$;

-- As in 003. Of an event that has a link, its place and its link stay.
create or replace function presence.erase(gateways text[], badges text[], tags text[], since timestamptz[], until timestamptz[]) returns bigint
language plpgsql security definer set search_path = presence, pg_temp as $$
declare
  n int := cardinality(gateways);
  ids text[];
  gone_streams uuid[];
  gone_seqs bigint[];
begin
  if (n > 0 and cardinality(badges) = n and cardinality(tags) = n and cardinality(since) = n and cardinality(until) = n) is not true then
    raise exception 'arrays of different lengths, or empty ones' using errcode = 'invalid_parameter_value';
  end if;
  if exists (select from unnest(badges, tags) x(badge, tag) where num_nonnulls(x.badge, x.tag) <> 1 or length(coalesce(x.badge, x.tag)) < 4) then
    raise exception 'each element: a badge or a tag, of at least 4 characters' using errcode = 'invalid_parameter_value';
  end if;
  select array_agg(distinct coalesce(x.badge, x.tag)) into ids from unnest(badges, tags) x(badge, tag);

  with mentioned as materialized (
    select e.received, e.stream, e.seq, s.gateway, e.badge, e.tag, e.more, coalesce(c.at, c.at_min, e.at, e.at_min, e.received) as at
    from event e join stream s on s.stream = e.stream and s.begun
    left join correction c on (c.stream, c.seq) = (e.stream, e.seq) and c.newest
    where e.badge = any(ids) or e.tag = any(ids) or (e.more is not null and mentions(e.more, ids))),
  gone as (
    delete from event e using mentioned m
    -- Not by its place (ctid), which changes when rev 0 comes late at this moment.
    where (e.received, e.stream, e.seq) = (m.received, m.stream, m.seq)
      and exists (select from unnest(gateways, badges, tags, since, until) a(gateway, badge, tag, since, until)
        where (a.gateway is null or a.gateway = m.gateway) and m.at >= coalesce(a.since, '-infinity') and m.at < coalesce(a.until, 'infinity')
          and (coalesce(m.badge = a.badge, false) or coalesce(m.tag = a.tag, false) or (m.more is not null and mentions(m.more, array[coalesce(a.badge, a.tag)]))))
    returning e.received, e.stream, e.seq, e.link),
  stubs as (
    insert into erased_event (received, stream, seq, link) select g.received, g.stream, g.seq, g.link from gone g where g.link is not null
    on conflict do nothing)
  select coalesce(array_agg(g.stream), '{}'), coalesce(array_agg(g.seq), '{}') into gone_streams, gone_seqs from gone g;

  -- Who stores at this moment has done so, or waits until this is committed.
  perform from stream s where s.stream = any(gone_streams) order by s.stream, s.dinas, s.gateway for update;
  update stream s set erased = s.erased + x.numbers, swapped = s.swapped - x.numbers
    from (select g.stream, range_agg(int8range(g.seq, g.seq + 1)) as numbers from unnest(gone_streams, gone_seqs) g(stream, seq) group by 1) x
    where s.stream = x.stream and s.begun;
  delete from correction c using unnest(gone_streams, gone_seqs) g(stream, seq) where (c.stream, c.seq) = (g.stream, g.seq);
  delete from refused r
    where exists (select from unnest(ids) id where strpos(r.topic, id) > 0 or strpos(r.reason, id) > 0 or position(convert_to(id, 'UTF8') in r.payload) > 0)
      -- encode writes a backslash for each byte that is not ASCII, and two for a backslash
      or ((strpos(encode(r.payload, 'escape'), '\') > 0 or length(r.payload) >= 4096 or r.topic like '%/event/batch')
        and exists (select from unnest(gateways) g where g is null or split_part(r.topic, '/', 4) = g));
  raise log 'presence: % events erased on request by %', cardinality(gone_seqs), session_user; -- not whose
  return cardinality(gone_seqs);
end $$;
