//! The pages of a bundle for people: what it proves, how to check it, and the custody page. The same facts give the same text, so that a
//! verifier can hold each against what it found.

use std::fmt::Write as _;

use super::{Filter, Kind, Manifest};
use crate::layout::timestamp;

/// [`super::LIMITS`].
pub const LIMITS: &str = "\
# What this bundle proves, and what not

It proves, to whoever has the root log's verifier key from elsewhere than this bundle:

- that every entry in it is, byte for byte, in the log that it names, at its index, in the tree that the root log of that installation knows
  this log by, and that the root log opened it;
- that every payload value shown is what was recorded with its entry, and that every value withheld is fixed: it can be shown later and
  checked then, and cannot be exchanged;
- where the bundle says `complete`, that it holds all entries from its first to its last index: none in between was left out;
- that the tables (CSV, Parquet) say what the entries say.

It does not prove:

- what never reached the recorder. Gaps that a source's own numbering shows are on record as rows; what nobody sent leaves no trace;
- where the bundle does not say `complete`, that nothing else fits the question: it proves that what it holds is on the log, and not that
  nothing was left out;
- that the question in it (the SQL text, who asked, when, the sizes then) is the one that was asked: these are the exporter's words. The
  installation's access log has its own record of the export, under the query id that the custody page names;
- over a range of time: events that were recorded before its beginning (a source's clock was ahead) or later than the lateness that it
  allows. Where the log ended before that, as far as the root log knew, what came after is not in it;
- that the log was not cut at its end, or that there is no other history: a cut tail and a second history show only against a checkpoint that
  somebody remembered, or a witness. Whoever holds the installation's seed can sign another history;
- that the times are true: they are the recorder's and the sources' clocks, unless a witness says otherwise;
- that what was recorded is true.

Erased is not altered: a payload value that is erased from the store after this export is still proved by this bundle.
";

/// [`super::VERIFY`].
pub const VERIFY: &str = "\
# How to check this bundle

You need this bundle and the root log's verifier key, which you got from whoever runs the recorder, by a way that you trust, and not from
this bundle. No account, no network, no other file.

1. `unzip BUNDLE.zip -d bundle && cd bundle && sha256sum -c SHA256SUMS` shows that it arrived as it was packed. It shows nothing more: whoever
   changes a file can change the sum.
2. `tacho-verify BUNDLE.zip --key 'VERIFIER-KEY'` shows that it is true. It ends with VERIFIED and exit code 0; with TAMPERED, 1 and what is
   wrong, by log, index and file; or with 2 where it could not run or was given no key.
3. A second program by another path: `python3 evidence.py BUNDLE.zip --key 'VERIFIER-KEY'`, from the recorder's sources (tests/interop). It was
   written from the format's document (FORMAT.md section 13) and shares no code with the first.

What they check, in words, for whoever would write a third:

1. The signature of the root log's key under `root/checkpoint` and under the checkpoints in `log/opened.tlog-proof` and `log/round.tlog-proof`, which are
   the same text.
2. That the tree of that checkpoint has `log/opened.entry` (RFC 6962 inclusion), and that this entry names the log, its number and its key.
3. That it has `log/round.entry`, and which size and root that entry gives for this number.
4. For every entry in `log/entries` its hash, SHA-256 of a zero byte and the entry; with the hashes in `log/hashes` for all that lies between,
   they make that root. Each entry says in its first 41 bytes of which log and which index it is.
5. For every line of `log/payloads.ndjson` the commitment: of a value that is shown it is computed from value and salt, of one that is withheld it
   is there; together they make the entry's `payload_commitment`.
6. That bundle.json, the tables and the custody page say what the entries say.
";

/// What the bundle holds, in a sentence or two; the same in the custody page and from the verifier.
pub fn statement(manifest: &Manifest) -> String {
    let Manifest { first, last, entries, rows, .. } = manifest;
    let is_all = if manifest.complete {
        format!(
            "It holds all {entries} entries from index {first} to {}, none left out",
            last.saturating_sub(1)
        )
    } else {
        format!(
            "It proves that the {entries} entries in it are on the log, and not that nothing was left out; they lie from index {first} to {}",
            last.saturating_sub(1)
        )
    };
    let of = match &manifest.filter {
        Filter::All {} => String::new(),
        Filter::Session { session_id } => format!("; {rows} of them are of session {session_id:?}"),
        Filter::Time { from_us, to_us, lateness_us } => format!(
            "; {rows} of them happened from {} to before {} and were recorded at most {} s after that range",
            timestamp(*from_us),
            timestamp(*to_us),
            lateness_us / 1_000_000
        ),
    };
    let kind = match (manifest.kind, &manifest.filter) {
        (Kind::Sql, _) => "the entries that an SQL statement named",
        (Kind::Session, _) => "a session",
        (Kind::Range, Filter::Time { .. }) => "a range of time",
        (Kind::Range, _) => "a range of indices",
    };
    let withheld = match manifest.withheld.as_slice() {
        [] => String::new(),
        names => format!(" Withheld, and fixed all the same: {}.", names.join(", ")),
    };
    format!("The question was {kind}. {is_all}{of}.{withheld}")
}

/// The custody page; `sums` are name and SHA-256 of the files before it, in lower-case hex.
pub fn custody(manifest: &Manifest, sums: &[(String, String)]) -> String {
    let mut page = String::from("# Custody\n\n");
    let snapshot = manifest.snapshot;
    let lines = [
        ("Exported by", inline(&manifest.exported_by)),
        ("Role, door", format!("{}, {}", inline(&manifest.role), inline(&manifest.door))),
        ("Exported at, by the recorder's clock", timestamp(manifest.exported_at_us)),
        ("Query id in the access log", inline(&manifest.query_id)),
        ("Log", inline(&manifest.origin)),
        ("Log's verifier key", inline(&manifest.key)),
        ("Root log's verifier key, as the service says it", inline(&manifest.root_key)),
        ("Size of the signed tree", manifest.size.to_string()),
        (
            "Log sealed, signed, durable when asked",
            format!("{}, {}, {}", snapshot.sealed, snapshot.signed, snapshot.durable),
        ),
        ("Entries, rows", format!("{}, {}", manifest.entries, manifest.rows)),
    ];
    for (name, value) in lines {
        // Writing to a string cannot fail.
        writeln!(page, "- {name}: {value}").unwrap_or_default();
    }
    write!(page, "\n{}\n\n## SHA-256 of the files\n\n```\n", inline(&statement(manifest)))
        .unwrap_or_default();
    for (name, digest) in sums {
        page.push_str(&super::sums_line(digest, name));
    }
    page.push_str("```\n\n## Handed over\n\nOn paper, or in a copy outside the bundle: a changed page does not verify.\n\n");
    page.push_str(
        "| from | to | when | SHA-256 of the zip, first 16 digits | signature |\n|---|---|---|---|---|\n",
    );
    page.push_str(&"| | | | | |\n".repeat(5));
    page
}

/// A text in one line, whatever it is.
fn inline(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::manifest;

    #[test]
    fn the_page_says_who_and_when_and_what_is_not_proved() {
        let mut manifest = manifest();
        manifest.exported_by = "somebody\n# else".to_string();
        let page = custody(&manifest, &[("log/entries".to_string(), "00ff".to_string())]);
        assert!(page.contains("- Exported by: somebody # else\n"), "{page}");
        assert!(
            page.contains("2026-11-21T00:00:00.000000Z") && page.contains("00ff  log/entries\n"),
            "{page}"
        );
        assert!(
            page.contains("not that nothing was left out") && page.contains("Withheld, and fixed"),
            "{page}"
        );
        assert!(page.contains("| from | to |"), "{page}");
    }

    #[test]
    fn a_complete_range_of_time_says_its_lateness() {
        let mut manifest = manifest();
        (manifest.kind, manifest.complete) = (Kind::Range, true);
        manifest.filter = Filter::Time { from_us: 0, to_us: 1_000_000, lateness_us: 60_000_000 };
        let said = statement(&manifest);
        assert!(said.contains("none left out") && said.contains("at most 60 s after"), "{said}");
    }
}
