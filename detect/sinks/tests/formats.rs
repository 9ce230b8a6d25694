//! What formats say, and that nothing in a record can make them say something else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "formats/fixture.rs"]
mod fixture;
#[path = "formats/golden.rs"]
mod golden;
#[path = "formats/guides.rs"]
mod guides;
#[path = "formats/hostile.rs"]
mod hostile;
#[path = "formats/pieces.rs"]
mod pieces;
#[path = "formats/rows.rs"]
mod rows;
