-- What gateways sent, as they sent it, for the audit (scripts/city/audit), and chains that
-- part.

-- A gateway's streams in the order of the chain. A stream stands behind the one that its
-- start names. One whose predecessor is not known stands where the city first heard of it,
-- and so do those that name each other in a circle, which is a lie.
create function presence.chain_order(office text, id text)
returns table (place bigint, stream uuid, first_seen timestamptz, last_seen timestamptz)
language sql stable set search_path = presence, pg_temp as $$
  with recursive mine as materialized (
    select s.stream, s.previous, s.first_seen, s.last_seen, s.begun from stream s where (s.dinas, s.gateway) = (office, id)),
  placed as (
    select m.stream, m.first_seen as root_seen, m.stream as root, 1 as depth
      from mine m where not exists (select from mine p where p.stream = m.previous and p.stream <> m.stream)
    union all
    select m.stream, p.root_seen, p.root, p.depth + 1 from placed p join mine m on m.previous = p.stream and m.stream <> p.stream)
  select row_number() over (order by coalesce(p.root_seen, m.first_seen), coalesce(p.root, m.stream), p.depth, m.first_seen, m.stream), m.stream, m.first_seen, m.last_seen
  from mine m left join placed p on p.stream = m.stream where m.begun
$$;

-- An event as its gateway sent it: the same members with the same values. Of rev and the
-- times the newest are printed, and times in UTC: the link does not rest on them. What a
-- column cannot hold as it came, and null, lies in more (the recorder's decoder sees to it).
create function presence.as_sent(e presence.latest) returns jsonb
language sql stable as $$
  select jsonb_build_object('v', 1, 'id', e.stream || '-' || e.seq, 'gateway', e.gateway, 'dinas', e.dinas,
      'stream', e.stream, 'seq', e.seq, 'rev', e.rev, 'kind', e.kind,
      'time', to_char(e.at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'time_quality', e.quality, 'time_error_ms', e.error_ms)
    || jsonb_strip_nulls(jsonb_build_object(
      'time_min', to_char(e.at_min, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'time_max', to_char(e.at_max, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'badge', e.badge, 'tag', e.tag, 'zone', e.zone, 'lat', e.lat, 'lon', e.lon,
      'link', encode(e.link, 'hex')))
    -- A seal has the link of the event before it, which lies in more; the column has its own.
    || coalesce(e.more, '{}')
$$;

-- The events of a gateway in a span of time, each in a line as the audit reads it, in the
-- order of the chain. It begins with the last seal or start before the first of them and
-- ends with the first seal behind the last one, as far as there are such: so each event in
-- between can be proven. Of an erased event its place and its link are printed. An event
-- whose time is not known counts as of when it came. Null: without a bound.
create function presence.sent(dinas text, gateway text, since timestamptz default null, until timestamptz default null)
returns setof jsonb
language plpgsql stable security definer set search_path = presence, pg_temp
set timezone = 'UTC' set extra_float_digits = 1 as $$ -- or numbers would lose digits
#variable_conflict use_column
declare
  places uuid[];                 -- the gateway's streams in the order of the chain
  seen timestamptz[];
  heard timestamptz[];
  begins int; ends int;          -- in places
  first bigint; last bigint;     -- numbers in those streams; last null: to the end
  final int;                     -- place of the stream in which it ends
begin
  select array_agg(c.stream order by c.place), array_agg(c.first_seen order by c.place), array_agg(c.last_seen order by c.place)
    into places, seen, heard from chain_order(sent.dinas, sent.gateway) c;
  select (array_agg(x.place order by x.place, x.seq))[1], (array_agg(x.seq order by x.place, x.seq))[1],
      (array_agg(x.place order by x.place desc, x.seq desc))[1], (array_agg(x.seq order by x.place desc, x.seq desc))[1]
    into begins, first, ends, last
    from unnest(places, seen, heard) with ordinality s(stream, first_seen, last_seen, place), lateral (
      select e.seq, s.place from latest e where e.stream = s.stream and e.received between s.first_seen and s.last_seen
        and coalesce(e.at, e.at_min, e.received) >= coalesce(since, '-infinity') and coalesce(e.at, e.at_min, e.received) < coalesce(until, 'infinity')
      union all
      select r.seq, s.place from erased_event r where r.stream = s.stream
        and r.received >= coalesce(since, '-infinity') and r.received < coalesce(until, 'infinity')) x
    -- What was recorded in the span came later, but for a clock that was ahead.
    where s.last_seen >= coalesce(since, '-infinity') - interval '1 day';
  if begins is null then
    return;
  end if;
  first := coalesce((select max(e.seq) from event e where e.stream = places[begins] and e.received between seen[begins] and heard[begins] and e.seq <= first
    and e.kind in ('seal', 'start')), 1);
  final := ends;
  loop
    last := (select min(e.seq) from event e where e.stream = places[final] and e.received between seen[final] and heard[final] and e.seq > last and e.kind = 'seal');
    exit when last is not null or final = cardinality(places);
    final := final + 1;
    last := 0;
  end loop;
  for p in begins..final loop
    return query
    select x.line from (
      select e.seq, as_sent(e) as line from latest e where e.stream = places[p] and e.received between seen[p] and heard[p]
      union all
      select r.seq, jsonb_build_object('v', 1, 'id', r.stream || '-' || r.seq, 'gateway', sent.gateway, 'dinas', sent.dinas,
        'stream', r.stream, 'seq', r.seq, 'kind', 'erased', 'link', encode(r.link, 'hex')) from erased_event r where r.stream = places[p]) x
    where (p > begins or x.seq >= first) and (p < final or last is null or x.seq <= last) order by x.seq;
  end loop;
end $$;

-- Chains that part, which they do only where an older state of a gateway's storage was put
-- back, where it was copied, or where somebody else speaks for it. No row: none does, or the
-- gateway has learned of it and its gap journal-rolled-back has named what it had recorded
-- meanwhile.
create view presence.fork as
  select s.dinas, s.gateway, s.stream, s.first_seen as since, s.previous, s.previous_seq, 'the city has more of the stream before' as problem,
    lower(r) as "from", upper(r) - 1 as "to"
  from presence.stream s join presence.stream p on (p.stream, p.dinas, p.gateway) = (s.previous, s.dinas, s.gateway) and p.begun,
    lateral unnest(p.have * int8multirange(int8range(s.previous_seq + 1, null)) - p.named) r
  where s.begun and not s.branch and upper(p.have) > s.previous_seq + 1
  union all
  select s.dinas, s.gateway, s.stream, s.first_seen, s.previous, s.previous_seq, 'another stream follows the same event', null, null
  from presence.stream s
  where s.begun and not s.branch and exists (select from presence.stream o
    where (o.previous, o.previous_seq, o.dinas, o.gateway) = (s.previous, s.previous_seq, s.dinas, s.gateway) and o.begun and o.stream <> s.stream);

-- The auditor may read what was sent, and holds it against the gateways' seals.
do $$
begin
  if to_regrole('presence_auditor') is null then
    create role presence_auditor nologin;
  end if;
exception when duplicate_object or unique_violation then null; -- another database of this cluster was faster
end $$;
revoke execute on all functions in schema presence from public;
grant usage on schema presence to presence_auditor;
grant select on presence.schema_version, presence.hole, presence.loss, presence.gateway_state, presence.office, presence.fork to presence_auditor;
grant execute on function presence.last_known to presence_auditor;
grant execute on function presence.sent to presence_auditor, presence_analyst;
grant select on presence.fork to presence_recorder, presence_analyst, presence_personnel, presence_grafana;
