"""The database: schema, engines, unit of work, queries, procedures, migrations and demo data. No SQL stands elsewhere."""
