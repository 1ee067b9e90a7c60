-- The last number that a gateway has spoken of in any way.
create function presence.last_known(covered int8multirange, said_last bigint) returns bigint
language sql immutable parallel safe as $$
  select greatest(coalesce(said_last, 0), coalesce((select max(case when upper_inf(r) then lower(r) else upper(r) end) - 1
    from unnest(covered) r), 0))
$$;

-- How far a stream is complete, and since when there has been a hole and it has not got
-- on. upto and hole_since go in as they were. Where everything to the open end of a gap
-- is covered, it is complete up to the last number that is known.
create function presence.progress(have int8multirange, named int8multirange, said_last bigint, inout upto bigint, inout hole_since timestamptz)
language plpgsql stable set search_path = presence, pg_temp as $$
declare
  covered int8multirange := have + named;
  hull int8range := range_merge(covered);
  before bigint := upto;
  last bigint;
begin
  if covered = int8multirange(hull) and lower(hull) = 1 and not upper_inf(hull) then -- nearly always: no hole
    upto := upper(hull) - 1;
    last := greatest(upto, said_last);
  else
    upto := coalesce((select case when upper_inf(r) then greatest(upper(have) - 1, said_last, 0) else upper(r) - 1 end
      from unnest(covered) r where r @> 1::bigint), 0);
    last := last_known(covered, said_last);
  end if;
  hole_since := case when upto >= last then null when upto > before then now() else coalesce(hole_since, now()) end;
end $$;

-- Enters what the gaps and starts of a batch say of streams: which numbers are lost, and
-- which was the last one of the stream before. A gateway speaks of its own streams only:
-- what it says goes to its own row, whatever the stream is. Returns the streams named.
create function presence.enter_claims(
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
    end if;
  end loop;
  return claimed;
end $$;

-- Locks the streams of a batch, gives each that nobody owns yet to the gateway that came
-- first with an event of it, and puts into refused what other gateways sent under a
-- stream that is not theirs. Returns how many those are.
create function presence.enter_owners(
  streams uuid[], seqs bigint[], revs int[], kinds text[], departments text[], gateways text[],
  ats timestamptz[], qualities text[], badges text[], tags text[], mores jsonb[]) returns bigint
language plpgsql set search_path = presence, pg_temp as $$
declare
  s uuid[]; -- each stream, department and gateway of the batch once, in order of arrival
  d text[];
  g text[];
  n bigint := 0;
begin
  select array_agg(x.stream order by x.n), array_agg(x.dinas order by x.n), array_agg(x.gateway order by x.n) into s, d, g
    from (select b.stream, b.dinas, b.gateway, min(b.n) as n
      from unnest(streams, departments, gateways) with ordinality b(stream, dinas, gateway, n) group by 1, 2, 3) x;
  insert into stream (stream, dinas, gateway)
    select b.stream, b.dinas, b.gateway from unnest(s, d, g) b(stream, dinas, gateway)
    where not exists (select from stream o where (o.stream, o.dinas, o.gateway) = (b.stream, b.dinas, b.gateway))
    order by 1, 2, 3 on conflict do nothing;
  -- Two transactions that write to the same streams wait for each other here, always in
  -- the same order, so that the second sees what the first has stored.
  perform from stream o where o.stream = any(s) order by o.stream, o.dinas, o.gateway for update;
  update stream o set begun = true
    from (select distinct on (b.stream) b.* from unnest(s, d, g) with ordinality b(stream, dinas, gateway, n)
      where not exists (select from stream o where o.stream = b.stream and o.begun) order by b.stream, b.n) first
    where (o.stream, o.dinas, o.gateway) = (first.stream, first.dinas, first.gateway);
  if exists (select from unnest(s, d, g) b(stream, dinas, gateway)
      join stream o on o.stream = b.stream and o.begun and (o.dinas, o.gateway) <> (b.dinas, b.gateway)) then
    insert into refused (topic, reason, payload)
      select format('presence/v1/%s/%s/event/%s', b.dinas, b.gateway, b.kind),
        format('stream %s is that of %s/%s', b.stream, o.dinas, o.gateway),
        substring(convert_to(jsonb_strip_nulls(jsonb_build_object('stream', b.stream, 'seq', b.seq, 'rev', b.rev, 'kind', b.kind, 'time', b.at,
          'time_quality', b.quality, 'badge', b.badge, 'tag', b.tag, 'more', b.more))::text, 'UTF8') for 4096)
      from unnest(streams, seqs, revs, kinds, departments, gateways, ats, qualities, badges, tags, mores)
        b(stream, seq, rev, kind, dinas, gateway, at, quality, badge, tag, more)
      join stream o on o.stream = b.stream and o.begun and (o.dinas, o.gateway) <> (b.dinas, b.gateway);
    get diagnostics n = row_count;
  end if;
  return n;
end $$;

-- Stores the revisions above 0 of a batch, and each rev 0 that comes after a later
-- revision of its event: its time takes the place of that one's in presence.event.
-- Returns how many (id, rev) of each stream are new by that.
create function presence.enter_revisions(
  streams uuid[], seqs bigint[], revs int[], departments text[], gateways text[],
  ats timestamptz[], qualities text[], errors_ms real[], at_mins timestamptz[], at_maxs timestamptz[])
returns table (stream uuid, n bigint)
language plpgsql set search_path = presence, pg_temp as $$
#variable_conflict use_column
declare
  late_streams uuid[] := '{}'; -- events whose rev 0 comes now
  late_seqs bigint[] := '{}';
begin
  if exists (select from stream s where s.stream = any(streams) and s.begun and s.swapped <> '{}') then
    with late as (
      update event e set at = b.at, at_min = b.at_min, at_max = b.at_max, error_ms = b.error_ms, quality = b.quality, rev = 0
      from unnest(streams, seqs, revs, departments, gateways, ats, qualities, errors_ms, at_mins, at_maxs)
        b(stream, seq, rev, dinas, gateway, at, quality, error_ms, at_min, at_max)
      join stream s on s.stream = b.stream and s.begun and (s.dinas, s.gateway) = (b.dinas, b.gateway)
      where b.rev = 0 and b.seq <@ s.swapped and (e.stream, e.seq) = (b.stream, b.seq) and e.rev > 0 and e.received >= s.first_seen
      returning e.stream, e.seq)
    select coalesce(array_agg(l.stream), '{}'), coalesce(array_agg(l.seq), '{}') into late_streams, late_seqs from late l;
  end if;

  return query
  with batch as materialized (
    select b.*, s.have, s.erased, row_number() over (partition by b.stream, b.seq order by b.rev) as k
    from unnest(streams, seqs, revs, departments, gateways, ats, qualities, errors_ms, at_mins, at_maxs)
      b(stream, seq, rev, dinas, gateway, at, quality, error_ms, at_min, at_max)
    join stream s on s.stream = b.stream and s.begun and (s.dinas, s.gateway) = (b.dinas, b.gateway)),
  late as (select l.stream, l.seq from unnest(late_streams, late_seqs) l(stream, seq)),
  new_correction as (
    insert into correction (stream, seq, rev, newest, at, at_min, at_max, error_ms, quality, received)
    select distinct on (stream, seq, rev) stream, seq, rev, false, at, at_min, at_max, error_ms, quality, now()
    from batch where rev > 0 and not seq <@ erased order by 1, 2, 3
    on conflict do nothing
    returning stream),
  swapping as (
    update stream s set swapped = s.swapped + coalesce(x.awaited, '{}') - coalesce(x.came, '{}')
    from (select stream, range_agg(int8range(seq, seq + 1)) filter (where awaited) as awaited, range_agg(int8range(seq, seq + 1)) filter (where not awaited) as came
      from (select stream, seq, true as awaited from batch where k = 1 and rev > 0 and not seq <@ have
        union all select stream, seq, false from late) y group by 1) x
    where s.stream = x.stream and s.begun)
  select x.stream, count(*) from (select stream from late union all select stream from new_correction) x group by 1;

  update correction c set newest = false
    from (select c.stream, c.seq, max(c.rev) as rev from correction c
      where (c.stream, c.seq) in (select b.stream, b.seq from unnest(streams, seqs, revs) b(stream, seq, rev) where b.rev > 0)
      group by 1, 2) t
    where (c.stream, c.seq) = (t.stream, t.seq) and c.newest and c.rev <> t.rev;
  update correction c set newest = true
    from (select c.stream, c.seq, max(c.rev) as rev from correction c
      where (c.stream, c.seq) in (select b.stream, b.seq from unnest(streams, seqs, revs) b(stream, seq, rev) where b.rev > 0)
      group by 1, 2) t
    where (c.stream, c.seq, c.rev) = (t.stream, t.seq, t.rev) and not c.newest;
end $$;

-- The link of an event that came in an earlier batch. A statement that names all days
-- takes time for each of them, also where it looks at none: so it is apart.
create function presence.link_of(id uuid, n bigint, since timestamptz) returns bytea
language plpgsql stable set search_path = presence, pg_temp as $$
begin
  return (select e.link from event e where e.stream = id and e.seq = n and e.received >= since limit 1);
end $$;

-- Stores a batch: each (id, rev) once, and says for each stream what may be receipted.
-- All arrays have the same length; an element of each makes an event, in order of
-- arrival. What each means is said at the columns of presence.event.
--
-- upto: of that stream the city has every event from 1 to there, or a gap that the city
-- has names it; 0: not even the first. link: of the event upto, where it has one.
-- stored: (id, rev) that are new. doubled: those that were here. refused: events of a
-- stream that belongs to another gateway; they are in presence.refused.
create function presence.ingest(
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
      (select b.link from batch b where (b.stream, b.seq) = (m.stream, m.upto) limit 1),
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
    where a.upto <> a.upto_before
      and not exists (select from stream o where o.stream = a.stream and o.begun and (o.dinas, o.gateway) <> (a.dinas, a.gateway));
  end if;
end $$;

-- Puts messages that could not be read where somebody looks.
create function presence.refuse(topics text[], reasons text[], payloads bytea[]) returns void
language sql security definer set search_path = presence, pg_temp as $$
  insert into refused (topic, reason, payload)
  select left(topic, 1024), left(reason, 1024), substring(payload for 4096) from unnest(topics, reasons, payloads) r(topic, reason, payload)
$$;

-- Makes the caller the recorder that works, and returns its epoch. What the one before
-- has not committed by now it never will.
create function presence.take_over(who text) returns bigint
language sql security definer set search_path = presence, pg_temp as $$
  update leader set epoch = epoch + 1, who = take_over.who, since = now() returning epoch
$$;

-- Fails in a transaction of a recorder of which another one took over. Holds off who
-- wants to take over until the end of the transaction; should its process be frozen,
-- PostgreSQL ends the transaction after 3 s.
create function presence.lead(epoch bigint) returns void
language plpgsql security definer set search_path = presence, pg_temp as $$
declare
  now_leads leader;
begin
  select * into now_leads from leader for share;
  if now_leads.epoch is distinct from lead.epoch then
    raise exception 'another recorder took over: % since %', now_leads.who, now_leads.since
      using errcode = 'PG002', hint = format('its epoch is %s, this one''s %s', now_leads.epoch, lead.epoch);
  end if;
  perform set_config('idle_in_transaction_session_timeout', '3s', true);
end $$;
