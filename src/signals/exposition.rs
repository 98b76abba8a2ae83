//! Prometheus text exposition: one pass, only the families asked for.
