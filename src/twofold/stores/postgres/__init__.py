"""Event log and read store on PostgreSQL, by psycopg 3."""
