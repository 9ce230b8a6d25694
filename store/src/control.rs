//! Rows that the recorder writes about itself.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use schemas::control::Control;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{CONTROL, EVENT_ID, SESSION_ID, SOURCE, TENANT, TIME};
use schemas::{Origin, Stream};

use crate::draft::Draft;
use crate::error::Result;

/// The stream in which others than the store itself may record this; none for the store's own kinds.
pub(crate) fn stream_of(control: &Control) -> Option<Stream> {
    use Control::{ClockRead, Configuration, TokenCreated, TokenRevoked, Verdict};
    match control {
        TokenCreated(_) | TokenRevoked(_) | Configuration(_) => Some(Stream::Access),
        ClockRead(_) | Verdict(_) => Some(Stream::Events),
        _ => None,
    }
}

/// The draft of one control entry at `index`.
pub(crate) fn control_draft(origin: &Origin, control: &Control, index: u64, now_us: i64) -> Result<Draft> {
    let stream = origin.stream();
    let row = Row::new()
        .text(EVENT_ID, &format!("control-{index}"))
        .int(TIME, now_us)
        .text(TENANT, origin.tenant())
        .text(6, Control::KIND)
        .text(SOURCE, "tachograph")
        .text(SESSION_ID, Control::SESSION)
        .text(9, "none")
        .text(10, "ok")
        .text(CONTROL, &control.to_text()?);
    let mut rows = RowsBuilder::drafts(stream);
    rows.push(&row)?;
    Ok(Draft {
        entries: rows.finish()?,
        payloads: no_payloads(stream, 1)?,
        idempotent: Vec::new(),
        scope: String::new(),
    })
}

/// A payload batch of `rows` rows without any payload.
pub(crate) fn no_payloads(stream: Stream, rows: usize) -> Result<RecordBatch> {
    let mut builder = RowsBuilder::payloads(stream);
    if stream.payload_columns().next().is_none() {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        return RecordBatch::try_new_with_options(Schema::empty().into(), Vec::new(), &options)
            .map_err(crate::prepare::arrow_error);
    }
    for _ in 0..rows {
        builder.push(&Row::new())?;
    }
    Ok(builder.finish()?)
}
