-- Numbers are complete from 1 up to this one. Where everything to the stream's open end
-- is covered, up to the last number that is known.
create function presence.contiguous(covered int8multirange, last bigint) returns bigint
language sql immutable parallel safe as $$
  select coalesce((select case when upper_inf(r) then greatest(last, 0) else upper(r) - 1 end
    from unnest(covered) r where r @> 1::bigint), 0)
$$;

-- The last number that a gateway has spoken of in any way.
create function presence.last_known(covered int8multirange, said_last bigint) returns bigint
language sql immutable parallel safe as $$
  select greatest(coalesce(said_last, 0), coalesce((select max(case when upper_inf(r) then lower(r) else upper(r) end) - 1
    from unnest(covered) r), 0))
$$;

-- Since when there has been a hole and the stream has not got on.
create function presence.hole_since(s presence.stream, upto bigint, last_known bigint) returns timestamptz
language sql stable as $$
  select case when upto >= last_known then null when upto > s.upto then now() else coalesce(s.hole_since, now()) end
$$;

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
        -- Numbers beyond 2^62 are nobody's, but no reason to refuse the gap.
        select g.stream, range_agg(int8range(greatest(least(g."from", 1::numeric * (1::bigint << 62)), 1)::bigint,
            least(g."to", 1::numeric * (1::bigint << 62))::bigint, case when g."to" is null then '[)' else '[]' end)) as numbers
        from jsonb_to_recordset(c.more->'ranges') g(stream uuid, "from" numeric, "to" numeric)
        where g.stream is not null and g."from" is not null group by 1
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

-- Gives each stream that nobody owns yet to the gateway that came first with an event of
-- it, and puts into refused what other gateways sent under a stream that is not theirs.
create function presence.enter_owners(
  streams uuid[], seqs bigint[], revs int[], kinds text[], departments text[], gateways text[],
  ats timestamptz[], qualities text[], badges text[], tags text[], mores jsonb[]) returns void
language sql set search_path = presence, pg_temp as $$
  insert into stream (stream, dinas, gateway)
    select distinct b.stream, b.dinas, b.gateway
    from unnest(streams, departments, gateways) b(stream, dinas, gateway) order by 1, 2, 3
    on conflict do nothing;
  -- Two transactions that write to the same streams wait for each other here, always in
  -- the same order, so that the second sees what the first has stored.
  select from stream s where s.stream = any(streams) order by s.stream, s.dinas, s.gateway for update;
  update stream s set begun = true
    from (select distinct on (b.stream) b.*
      from unnest(streams, departments, gateways) with ordinality b(stream, dinas, gateway, n)
      where not exists (select from stream o where o.stream = b.stream and o.begun)
      order by b.stream, b.n) first
    where (s.stream, s.dinas, s.gateway) = (first.stream, first.dinas, first.gateway);
  insert into refused (topic, reason, payload)
    select format('presence/v1/%s/%s/event/%s', b.dinas, b.gateway, b.kind),
      format('stream %s is that of %s/%s', b.stream, o.dinas, o.gateway),
      substring(convert_to(jsonb_strip_nulls(jsonb_build_object('stream', b.stream, 'seq', b.seq, 'rev', b.rev, 'kind', b.kind, 'time', b.at,
        'time_quality', b.quality, 'badge', b.badge, 'tag', b.tag, 'more', b.more))::text, 'UTF8') for 4096)
    from unnest(streams, seqs, revs, kinds, departments, gateways, ats, qualities, badges, tags, mores)
      b(stream, seq, rev, kind, dinas, gateway, at, quality, badge, tag, more)
    join stream o on o.stream = b.stream and o.begun and (o.dinas, o.gateway) <> (b.dinas, b.gateway)
$$;

-- Stores a batch: each (id, rev) once, and says for each stream what may be receipted.
-- All arrays have the same length; an element of each makes an event, in order of
-- arrival. What each means is said at the columns of presence.event.
--
-- upto: of that stream the city has every event from 1 to there, or a gap that the city
-- has names it; 0: not even the first. link: of the event upto, where it has one.
-- stored: (id, rev) that are new. doubled: those that were here. foreign: events of a
-- stream that belongs to another gateway; they are in presence.refused.
create function presence.ingest(
  streams uuid[], seqs bigint[], revs int[], kinds text[], departments text[], gateways text[],
  ats timestamptz[], qualities text[], errors_ms real[], at_mins timestamptz[], at_maxs timestamptz[],
  badges text[], tags text[], zones text[], lats double precision[], lons double precision[], links bytea[],
  mores jsonb[])
returns table (dinas text, gateway text, stream uuid, upto bigint, link bytea, stored bigint, doubled bigint, refused bigint)
language plpgsql security definer set search_path = presence, pg_temp as $$
#variable_conflict use_column
declare
  n int := cardinality(streams);
  claimed uuid[] := '{}'; -- streams of which a gap or a start of this batch speaks
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
  perform enter_owners(streams, seqs, revs, kinds, departments, gateways, ats, qualities, badges, tags, mores);
  if kinds && array['gap', 'start'] then
    claimed := enter_claims(streams, departments, gateways, kinds, mores);
  end if;

  return query
  with batch as materialized (
    select distinct on (b.stream, b.seq, b.rev) b.*, s.have, s.erased, s.swapped, s.first_seen
    from unnest(streams, seqs, revs, kinds, departments, gateways, ats, qualities, errors_ms, at_mins, at_maxs,
        badges, tags, zones, lats, lons, links, mores)
      b(stream, seq, rev, kind, dinas, gateway, at, quality, error_ms, at_min, at_max,
        badge, tag, zone, lat, lon, link, more)
    join stream s on (s.stream, s.dinas, s.gateway) = (b.stream, b.dinas, b.gateway) and s.begun
    order by b.stream, b.seq, b.rev),
  new_event as (
    insert into event (received, seq, at, at_min, at_max, lat, lon, stream, rev, error_ms, kind, quality, badge, tag, zone, link, more)
    select distinct on (stream, seq) now(), seq, at, at_min, at_max, lat, lon, stream, rev, error_ms, kind, quality, badge, tag, zone, link, more
    from batch where not seq <@ have order by stream, seq, rev
    returning stream, seq, rev),
  late_first as ( -- rev 0 after a later revision: its time takes the place of that one's
    update event e set at = b.at, at_min = b.at_min, at_max = b.at_max, error_ms = b.error_ms, quality = b.quality, rev = 0
    from batch b
    where b.rev = 0 and b.seq <@ b.swapped and (e.stream, e.seq) = (b.stream, b.seq) and e.rev > 0 and e.received >= b.first_seen
    returning e.stream, e.seq),
  new_correction as (
    insert into correction (stream, seq, rev, newest, at, at_min, at_max, error_ms, quality, received)
    select stream, seq, rev, false, at, at_min, at_max, error_ms, quality, now()
    from batch where rev > 0 and not seq <@ erased
    on conflict do nothing
    returning stream),
  stored as (
    select stream, count(*) n from (
      select stream from new_event where rev = 0 union all select stream from late_first union all select stream from new_correction) x
    group by 1),
  swapping as (
    select stream, range_agg(int8range(seq, seq + 1)) filter (where came) came, range_agg(int8range(seq, seq + 1)) filter (where not came) awaited from (
      select stream, seq, false came from new_event where rev > 0 union all select stream, seq, true from late_first) x
    group by 1),
  newest as (select distinct on (stream) stream, seq, rev, at, quality from batch order by stream, seq desc, rev),
  numbers as (select stream, range_agg(int8range(seq, seq + 1)) r, bool_or(link is not null) linked from batch group by 1),
  moved as (
    update stream s set have = m.have, upto = m.upto, last_seen = now(),
      swapped = s.swapped + coalesce(m.awaited, '{}') - coalesce(m.came, '{}'),
      hole_since = hole_since(s, m.upto, m.last_known), linked = s.linked or m.linked,
      last_seq = greatest(s.last_seq, m.seq),
      last_at = case when m.is_newest then m.at else s.last_at end,
      last_quality = case when m.is_newest then m.quality else s.last_quality end,
      last_delay_s = case when m.is_newest and m.rev = 0 then extract(epoch from now() - m.at) else s.last_delay_s end
    from (
      select o.stream, o.dinas, o.gateway, o.have + u.r as have, w.came, w.awaited, u.linked, e.*,
        coalesce(e.seq >= o.last_seq, true) as is_newest,
        contiguous(o.have + u.r + o.named, greatest(upper(o.have + u.r) - 1, o.said_last)) as upto,
        last_known(o.have + u.r + o.named, o.said_last) as last_known
      from numbers u join stream o on o.stream = u.stream and o.begun
      join newest e on e.stream = u.stream left join swapping w on w.stream = u.stream) m(stream, dinas, gateway, have, came, awaited, linked, stream2, seq, rev, at, quality, is_newest, upto, last_known)
    where (s.stream, s.dinas, s.gateway) = (m.stream, m.dinas, m.gateway)
    returning s.stream, s.dinas, s.gateway, s.upto, s.linked, s.first_seen),
  sent as (select b.stream, b.dinas, b.gateway, count(*) n from unnest(streams, departments, gateways) b(stream, dinas, gateway) group by 1, 2, 3)
  select t.dinas, t.gateway, t.stream, coalesce(m.upto, 0),
    case when m.linked then coalesce(
      (select b.link from batch b where (b.stream, b.seq) = (m.stream, m.upto) limit 1),
      (select e.link from event e where (e.stream, e.seq) = (m.stream, m.upto) and e.received >= m.first_seen limit 1)) end,
    coalesce(k.n, 0), case when m.stream is null then 0 else t.n - coalesce(k.n, 0) end, case when m.stream is null then t.n else 0 end
  from sent t left join moved m on (m.stream, m.dinas, m.gateway) = (t.stream, t.dinas, t.gateway)
    left join stored k on k.stream = m.stream;

  if exists (select from unnest(revs) r where r > 0) then
    update correction c set newest = (c.rev = t.rev)
      from (select c.stream, c.seq, max(c.rev) rev from correction c
        where (c.stream, c.seq) in (select b.stream, b.seq from unnest(streams, seqs, revs) b(stream, seq, rev) where b.rev > 0)
        group by 1, 2) t
      where (c.stream, c.seq) = (t.stream, t.seq) and c.newest <> (c.rev = t.rev);
  end if;

  -- Streams that are not in this batch, but of which it speaks.
  if claimed <> '{}' then
    return query
    update stream s set upto = m.upto, hole_since = hole_since(s, m.upto, m.last_known)
      from (select o.stream, o.dinas, o.gateway, o.upto as before,
          contiguous(o.have + o.named, greatest(upper(o.have) - 1, o.said_last)) as upto, last_known(o.have + o.named, o.said_last) as last_known
        from stream o where o.stream = any(claimed) and o.stream <> all(streams)
          and (o.dinas, o.gateway) in (select * from unnest(departments, gateways))) m
      where (s.stream, s.dinas, s.gateway) = (m.stream, m.dinas, m.gateway)
        and (m.upto <> s.upto or (m.last_known > m.upto) <> (s.hole_since is not null))
      returning s.dinas, s.gateway, s.stream, s.upto, null::bytea, 0::bigint, 0::bigint, 0::bigint;
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
    execute format('create table presence.%I (like presence.event including defaults including constraints)', 'event_' || to_char(d, 'YYYYMMDD'));
    execute format('with late as (delete from presence.event_default where received >= %L and received < %L returning *)
      insert into presence.%I select * from late', d, d + 1, 'event_' || to_char(d, 'YYYYMMDD'));
    execute format('alter table presence.event attach partition presence.%I for values from (%L) to (%L)',
      'event_' || to_char(d, 'YYYYMMDD'), d, d + 1);
    made := made + 1;
  end loop;
  return made;
end $$;
select presence.make_days();
