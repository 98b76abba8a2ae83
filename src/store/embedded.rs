//! A private Postgres, from the installed binaries.
