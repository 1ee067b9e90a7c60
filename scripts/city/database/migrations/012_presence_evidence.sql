-- Taps as the gateway's JSON says them, for "prove" (scripts/city/BADGES.md): what a tap with
-- a badge that proves itself is checked by lies in more (assurance, proof, boot_ms) and in
-- columns. With the newest word on the time. received is there so that a question about a
-- few days looks into those days only.
create view presence.evidence as
  select l.received, l.at, l.dinas, l.gateway, l.stream, l.seq, l.badge, l.more->>'assurance' as assurance,
    coalesce(l.more, '{}') || jsonb_build_object('v', 1, 'id', l.stream || '-' || l.seq, 'gateway', l.gateway, 'dinas', l.dinas,
      'stream', l.stream, 'seq', l.seq, 'rev', l.rev, 'kind', l.kind, 'time', l.at, 'time_quality', l.quality, 'time_error_ms', l.error_ms,
      'badge', l.badge)
    || case when l.quality = 'bounded' then jsonb_build_object('time_min', l.at_min, 'time_max', l.at_max) else '{}' end as event
  from presence.latest l where l.kind = 'badge';

grant select on presence.evidence to presence_analyst, presence_personnel;
