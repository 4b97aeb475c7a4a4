"""Event log and read store on SQLite files, by the standard library's `sqlite3`."""
