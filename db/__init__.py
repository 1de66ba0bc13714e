"""The database: schema, engines, unit of work, queries, procedures, migrations, demo data. No SQL stands elsewhere."""
