-- What Grafana asks of a PostgreSQL data source: its tables, and the columns of one.
-- Begun from the list in the tests of datafusion-postgres (Apache-2.0).

SELECT
  CASE WHEN
  quote_ident(table_schema) IN (
  SELECT
  CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
  FROM
  generate_series(
  array_lower(string_to_array(current_setting('search_path'),','),1),
  array_upper(string_to_array(current_setting('search_path'),','),1)
  ) as i,
  string_to_array(current_setting('search_path'),',') s
  )
  THEN quote_ident(table_name)
  ELSE quote_ident(table_schema) || '.' || quote_ident(table_name)
  END AS "table"
  FROM information_schema.tables
  WHERE quote_ident(table_schema) NOT IN ('information_schema',
  'pg_catalog',
  '_timescaledb_cache',
  '_timescaledb_catalog',
  '_timescaledb_internal',
  '_timescaledb_config',
  'timescaledb_information',
  'timescaledb_experimental')
  ORDER BY CASE WHEN
  quote_ident(table_schema) IN (
  SELECT
  CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
  FROM
  generate_series(
  array_lower(string_to_array(current_setting('search_path'),','),1),
  array_upper(string_to_array(current_setting('search_path'),','),1)
  ) as i,
  string_to_array(current_setting('search_path'),',') s
  ) THEN 0 ELSE 1 END, 1;

SELECT quote_ident(column_name) AS "column", data_type AS "type"
  FROM information_schema.columns
  WHERE
  CASE WHEN array_length(parse_ident('public.events'),1) = 2
  THEN quote_ident(table_schema) = (parse_ident('public.events'))[1]
  AND quote_ident(table_name) = (parse_ident('public.events'))[2]
  ELSE quote_ident(table_name) = 'public.events'
  AND
  quote_ident(table_schema) IN (
  SELECT
  CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
  FROM
  generate_series(
  array_lower(string_to_array(current_setting('search_path'),','),1),
  array_upper(string_to_array(current_setting('search_path'),','),1)
  ) as i,
  string_to_array(current_setting('search_path'),',') s
  )
  END;

SELECT quote_ident(table_name) FROM information_schema.tables WHERE quote_ident(table_schema) = 'public';

SELECT current_setting('server_version_num')::int/100 AS version;

SELECT floor(extract(epoch from time)/3600)*3600 AS "time", count(*) AS n FROM events WHERE time BETWEEN '2026-11-21T00:00:00Z' AND '2026-11-22T00:00:00Z' GROUP BY 1 ORDER BY 1;
