-- Where two streams follow the same one, since an old state of a gateway's storage was put
-- back: what follows the one stands before the other, as the audit expects it (015).

-- As in 015, but for that. Several streams behind the same one, and those whose predecessor
-- is not known, stand by their ids, in which the time is. The path of a stream is which way
-- its chain went wherever it parted.
create or replace function presence.chain_order(office text, id text)
returns table (place bigint, stream uuid, first_seen timestamptz, last_seen timestamptz)
language sql stable set search_path = presence, pg_temp as $$
  with recursive mine as materialized (
    select s.stream, s.previous, s.first_seen, s.last_seen, s.begun,
      row_number() over (partition by s.previous order by s.stream) as nth, count(*) over (partition by s.previous) as ways
    from stream s where (s.dinas, s.gateway) = (office, id)),
  placed as (
    select m.stream, m.stream as root, '{}'::bigint[] as path, 1 as depth
      from mine m where not exists (select from mine p where p.stream = m.previous and p.stream <> m.stream)
    union all
    select m.stream, p.root, case when m.ways > 1 then p.path || m.nth else p.path end, p.depth + 1
      from placed p join mine m on m.previous = p.stream and m.stream <> p.stream)
  select row_number() over (order by p.root is null, coalesce(p.root, m.stream), p.path, p.depth), m.stream, m.first_seen, m.last_seen
  from mine m left join placed p on p.stream = m.stream where m.begun
$$;

-- As in 015, but: a stream that its gateway has left makes no row for the one that the city
-- knows beside it, and a gap journal-rolled-back excuses only the stream that was left.
create or replace view presence.fork as
  select s.dinas, s.gateway, s.stream, s.first_seen as since, s.previous, s.previous_seq, 'the city has more of the stream before' as problem,
    lower(r) as "from", upper(r) - 1 as "to"
  from presence.stream s join presence.stream p on (p.stream, p.dinas, p.gateway) = (s.previous, s.dinas, s.gateway) and p.begun,
    lateral (select coalesce(range_agg(x.range), '{}') as numbers from presence.named n, unnest(n.numbers) x(range)
      where (n.stream, n.dinas, n.gateway) = (p.stream, p.dinas, p.gateway) and n.reason <> 'journal-rolled-back') named,
    lateral unnest(p.have * int8multirange(int8range(s.previous_seq + 1, null)) - named.numbers) r
  where s.begun and not s.branch and upper(p.have) > s.previous_seq + 1
  union all
  select s.dinas, s.gateway, s.stream, s.first_seen, s.previous, s.previous_seq, 'another stream follows the same event', null, null
  from presence.stream s
  where s.begun and not s.branch and exists (select from presence.stream o
    where (o.previous, o.previous_seq, o.dinas, o.gateway) = (s.previous, s.previous_seq, s.dinas, s.gateway) and o.begun and not o.branch and o.stream <> s.stream);
