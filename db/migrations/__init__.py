"""Every version of the catalog's tables (see `db.migrate`)."""
