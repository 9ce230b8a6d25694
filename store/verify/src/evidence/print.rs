//! The report of a bundle, for people and as JSON.

use std::io::{self, Write};

use super::BundleReport;
use crate::command::{print_all, print_too_old, print_witnessed};

/// Prints the report as one line of JSON.
///
/// # Errors
/// When `out` cannot be written to.
pub(crate) fn print_json(report: &BundleReport, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    writeln!(out)
}

/// Prints the report for people; `quiet` leaves out all but findings.
///
/// # Errors
/// When `out` cannot be written to.
pub(crate) fn print_text(report: &BundleReport, quiet: bool, out: &mut impl Write) -> io::Result<()> {
    if !quiet {
        print_all("note", &report.notes, out)?;
    }
    print_all("FINDING", &report.findings, out)?;
    if quiet {
        return Ok(());
    }
    let whence = if report.key_from_bundle { "taken from the bundle itself" } else { "given from outside" };
    writeln!(out, "root key: {} ({whence})", report.root_key.as_deref().unwrap_or("none").escape_debug())?;
    if let (Some(origin), Some(size)) = (&report.origin, report.size) {
        writeln!(out, "log {}: known to the root log at size {size}", origin.escape_debug())?;
    }
    if let Some(witnessed) = &report.witnessed {
        print_witnessed(witnessed, out)?;
    }
    let (entries, rows) = (report.entries, report.rows);
    match report.exit_code() {
        0 => {
            let complete = if report.complete { ", complete from first to last" } else { "" };
            writeln!(out, "VERIFIED: {entries} entries, {rows} rows{complete}")?;
        }
        1 => writeln!(out, "TAMPERED: {} findings", report.findings.len())?,
        _ if report.identity_established => {
            writeln!(out, "CONSISTENT, NOT WITNESSED: {entries} entries, {rows} rows")?;
            match &report.witnessed {
                Some(witnessed) => print_too_old(witnessed, out)?,
                None => writeln!(
                    out,
                    "its root checkpoint has not the cosignatures that the policy asks for: export it with --witnessed"
                )?,
            }
        }
        _ => {
            writeln!(out, "CONSISTENT, IDENTITY NOT ESTABLISHED: {entries} entries, {rows} rows")?;
            writeln!(out, "give the root log's key with --key, or --trust-store-key to trust the one above")?;
        }
    }
    if let Some(statement) = &report.statement {
        writeln!(out, "{}", statement.escape_debug())?;
    }
    report.limits.iter().try_for_each(|limit| writeln!(out, "{limit}"))
}
