//! The signal source of production: host pages and queries together.
