-- The tables that telegraf.conf fills and grafana.json and grafana/ ask, for PostgreSQL 12 or later.
-- Telegraf makes tables and columns itself as they come, which is too late for a
-- dashboard: what no gateway has said yet would be an error there, as "full in so many
-- days" is while no disk fills up. Telegraf adds what is not here. Once, on the database's
-- machine:
--
--   sudo -u postgres createuser telegraf
--   sudo -u postgres createdb -O telegraf gateways
--   sudo -u postgres psql -d gateways -c 'SET ROLE telegraf' -f - <telegraf.sql
--
-- It changes nothing where the tables are there already, but for columns that are missing.

CREATE TABLE IF NOT EXISTS gateway_health (time timestamp NOT NULL, dinas text, gateway text);
ALTER TABLE gateway_health
  ADD COLUMN IF NOT EXISTS level text,
  ADD COLUMN IF NOT EXISTS level_code bigint,
  ADD COLUMN IF NOT EXISTS journal_pending double precision,
  ADD COLUMN IF NOT EXISTS journal_oldest_pending_s double precision,
  ADD COLUMN IF NOT EXISTS journal_commit_ms_p99 double precision,
  ADD COLUMN IF NOT EXISTS journal_free_bytes double precision,
  ADD COLUMN IF NOT EXISTS clock_state text,
  ADD COLUMN IF NOT EXISTS clock_unsynced_s double precision,
  ADD COLUMN IF NOT EXISTS pi_temp_c double precision,
  ADD COLUMN IF NOT EXISTS pi_undervoltage double precision,
  ADD COLUMN IF NOT EXISTS pi_disk_days_left double precision,
  ADD COLUMN IF NOT EXISTS pi_sd_errors double precision,
  ADD COLUMN IF NOT EXISTS journal_written_bytes_day double precision,
  ADD COLUMN IF NOT EXISTS mqtt_bytes_day double precision,
  ADD COLUMN IF NOT EXISTS mqtt_disconnected_s double precision;
CREATE INDEX IF NOT EXISTS gateway_health_by_gateway ON gateway_health (dinas, gateway, time);

CREATE TABLE IF NOT EXISTS gateway_status (time timestamp NOT NULL, dinas text, gateway text);
ALTER TABLE gateway_status
  ADD COLUMN IF NOT EXISTS state text,
  ADD COLUMN IF NOT EXISTS reason text,
  ADD COLUMN IF NOT EXISTS online_code bigint;
CREATE INDEX IF NOT EXISTS gateway_status_by_gateway ON gateway_status (dinas, gateway, time);

CREATE TABLE IF NOT EXISTS gateway_alert (time timestamp NOT NULL, dinas text, gateway text, code text);
ALTER TABLE gateway_alert ADD COLUMN IF NOT EXISTS value text;
CREATE INDEX IF NOT EXISTS gateway_alert_by_code ON gateway_alert (dinas, gateway, code, time);

CREATE TABLE IF NOT EXISTS gateway_reader (time timestamp NOT NULL, dinas text, gateway text, name text);
ALTER TABLE gateway_reader
  ADD COLUMN IF NOT EXISTS state text,
  ADD COLUMN IF NOT EXISTS taps double precision;
CREATE INDEX IF NOT EXISTS gateway_reader_by_gateway ON gateway_reader (dinas, gateway, time);

CREATE TABLE IF NOT EXISTS gateway_receiver (time timestamp NOT NULL, dinas text, gateway text, name text);
ALTER TABLE gateway_receiver
  ADD COLUMN IF NOT EXISTS state text,
  ADD COLUMN IF NOT EXISTS frames double precision;
CREATE INDEX IF NOT EXISTS gateway_receiver_by_gateway ON gateway_receiver (dinas, gateway, time);
