//! What the tests of all collectors that read begin with: a store, a door to it, and what is in it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use schemas::Stream;
use store::{Keys, Store};

use crate::http::{Ingest, Options};

/// The store of `dir`; it signs soon.
pub(crate) fn open(dir: &Path) -> Store {
    let keys = Keys::load_or_create(&dir.join("keys")).unwrap();
    let options = store::Options { sign_interval_us: 20_000, ..store::Options::default() };
    Store::open(&dir.join("data"), keys, options, Arc::new(store::clock::SystemClock::new())).unwrap()
}

pub(crate) fn ingest(store: &Store) -> Ingest {
    Ingest::new(store.clone(), Options::new(Arc::new(|_| [7; 32])))
}

/// Column `column` of the events whose `kind` is `kind`, in log order, as far as they are not sealed.
pub(crate) fn column(store: &Store, kind: &str, column: &str) -> Vec<String> {
    let Some(snapshot) = store.snapshot("default", Stream::Events) else { return Vec::new() };
    let mut found = Vec::new();
    for batch in &snapshot.unsealed {
        let text = |name: &str| batch.entries.column_by_name(name).unwrap().as_string::<i32>().clone();
        let (kinds, values) = (text("kind"), text(column));
        let rows = (0..kinds.len()).filter(|row| kinds.value(*row) == kind);
        found.extend(rows.map(|row| values.value(row).to_string()));
    }
    found
}
