//! Tests over fixed snapshots.
