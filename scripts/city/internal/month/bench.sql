-- A month of 30,000 people in 200 offices, with a restart of each gateway a week, one tap
-- in 200 known only within an hour, and one in 500 corrected later; and as many reports of
-- tags. What it is made for is TestBenchRecapOfAWholeCity.
insert into presence.office (dinas, gateway, zone)
  select format('d%s', i % 20), format('o%s', i), (array['Asia/Jakarta', 'Asia/Makassar'])[1 + i % 2] from generate_series(0, 199) i;
do $$ begin
  for day in 1..31 loop
    execute format('create table presence.event_202403%s partition of presence.event for values from (%L) to (%L)',
      lpad(day::text, 2, '0'), date '2024-03-01' + day - 1, date '2024-03-01' + day);
  end loop;
end $$;
insert into people.person (nip, name, dinas, office) select format('19800101%s', lpad(i::text, 10, '0')), format('Orang %s', i), format('d%s', i % 200 % 20), format('o%s', i % 200) from generate_series(0, 29999) i;
insert into people.badge select format('o%s', i % 200), 'h:' || md5(i::text), format('19800101%s', lpad(i::text, 10, '0')), '(,)' from generate_series(0, 29999) i;
insert into people.rule (kind, from_s, percent, during) select k, s, p, '(,)' from (values ('late', 31, 0.5), ('late', 1801, 1), ('late', 3601, 1.25), ('late', 5401, 1.5),
  ('early', 31, 0.5), ('early', 1801, 1), ('early', 3601, 1.25), ('early', 5401, 1.5), ('absent', 0, 3)) v (k, s, p);

create temporary table shown as
  select i % 200 as office, d.day, 'h:' || md5(i::text) as badge,
    (d.day + case when morning then time '07:30' + (hashint4(i * 31 + extract(day from d.day)::int) % 1800 - 1000) * interval '1 s'
      else time '16:00' + (hashint4(i * 37 + extract(day from d.day)::int) % 2400 + 1800) * interval '1 s' end)
      at time zone (array['Asia/Jakarta', 'Asia/Makassar'])[1 + i % 200 % 2] as at, 'badge' as kind
  from generate_series(0, 29999) i, (select date '2024-03-01' + n as day from generate_series(0, 30) n where extract(isodow from date '2024-03-01' + n) < 6) d,
    unnest(array[true, false]) morning
  where hashint4(i * 41 + extract(day from d.day)::int) % 40 <> 0;
insert into shown select office, day, badge, at + interval '3 hours', 'tag' from shown;
insert into shown select o, date '2024-03-01' + w * 7, null, (date '2024-03-01' + w * 7 + time '05:00') at time zone 'Asia/Jakarta', 'start' from generate_series(0, 199) o, generate_series(0, 4) w;

create temporary table numbered as
  select *, format('0190c0de-%s-7000-8000-%s', lpad(week::text, 4, '0'), lpad(to_hex(office), 12, '0'))::uuid as stream,
    row_number() over (partition by office, week order by at, kind desc, badge) as seq
  from (select *, count(*) filter (where kind = 'start') over (partition by office order by at, kind desc) as week from shown) s;
insert into presence.event (received, seq, at, at_min, at_max, stream, rev, error_ms, kind, quality, badge, tag, more)
  select at + interval '1 s', seq, at, case when b then at - interval '30 min' end, case when b then at + interval '30 min' end, stream, 0, case when b then 1800000 else 12 end,
    kind, case when b then 'bounded' else 'synced' end, case when kind = 'badge' then badge end, case when kind = 'tag' then 'reyax:1' end,
    case kind when 'badge' then '{"reader":"door","card":"mifare-classic-1k","assurance":"uid","tag_check":{"tag":"reyax:1","state":"near","distance_m":12,"age_s":20}}'::jsonb when 'start' then '{"version":"1","previous":null}' end
  from (select *, kind = 'badge' and hashint8(seq + office) % 200 = 0 as b from numbered) n;
insert into presence.correction (stream, seq, rev, newest, at, error_ms, quality, received)
  select stream, seq, 1, true, at, 40, 'corrected', at + interval '1 hour' from presence.event where kind = 'badge' and quality = 'synced' and hashint8(seq) % 500 = 0;
insert into presence.stream (stream, dinas, gateway, begun, have, upto, first_seen, last_seen)
  select stream, format('d%s', min(office) % 20), format('o%s', min(office)), true, int8multirange(int8range(1, max(seq), '[]')), max(seq), min(at), max(at) from numbered group by stream;
update presence.stream s set next = n.stream, said_last = s.upto, clean = true from presence.stream n
  where n.gateway = s.gateway and n.stream::text = regexp_replace(s.stream::text, '-\d{4}-', format('-%s-', lpad((substr(s.stream::text, 10, 4)::int + 1)::text, 4, '0')));
analyze;
