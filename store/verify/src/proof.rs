//! `tacho-verify proof`: one proof that left the building, from its file and the root log's verifier key alone.

use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use schemas::column::ColumnType;
use schemas::entry::EntryView;
use schemas::limits::PROOF_DOCUMENT_BYTES_MAX;
use schemas::note::VerifierKey;
use schemas::proof::{Before, Document, Proved};

use crate::command::{too_old, within_now};
use crate::remember::Remembered;
use crate::witnessed::{Age, Held, hold};

/// What a proof always says of itself.
const PROOF_LIMITS: [&str; 3] = [
    "Proves: this entry is at this place of a log of this root log's installation, and in the tree of that log that the root log names; both keys signed that.",
    "Does not prove what never reached the recorder, nor that an entry which is not here is not there; what the sender left out shows in no proof.",
    "Whoever holds the seed can sign another history, root log and all, which only a remembered checkpoint (--remember) or a witness shows; times are the recorder's.",
];

/// What is typed.
#[derive(Debug, Clone, clap::Args)]
pub struct ProofArguments {
    /// The proof, as `tacho prove` wrote it
    pub file: PathBuf,
    /// Verifier key of the root log, got from elsewhere than this proof
    #[arg(long, value_name = "VKEY")]
    pub key: VerifierKey,
    /// File of root checkpoints seen before, as a verification of a whole store wrote it: shows a log rolled back or forked
    #[arg(long, value_name = "FILE")]
    pub remember: Option<PathBuf>,
    /// Policy file (C2SP tlog-policy) of the witnesses that must have cosigned the root checkpoint
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// How long ago enough of these witnesses may have cosigned it at most, by their clocks: 90s, 10m, 1h, 7d
    #[arg(long, value_name = "DURATION", requires = "policy")]
    pub witnessed_within: Option<Age>,
    /// Print nothing but what is wrong
    #[arg(long)]
    pub quiet: bool,
}

/// What came of it.
#[expect(clippy::large_enum_variant, reason = "there is one of it in a whole run")]
enum Outcome {
    Proved(Proved),
    /// Exit code 1.
    Wrong(String),
    /// Exit code 2.
    Unknown(String),
}

/// Verifies a proof and prints what it proves; gives the exit code: 0 proved, 1 it does not hold, 2 could not run, or
/// whether it extends what is remembered is not told.
pub fn execute(arguments: &ProofArguments) -> u8 {
    let mut out = io::stdout().lock();
    let (printed, code) = match verify(arguments) {
        Outcome::Proved(_) if arguments.quiet => (Ok(()), 0),
        Outcome::Proved(proved) => (print(&proved, &mut out), 0),
        Outcome::Wrong(why) => (writeln!(out, "NOT PROVED: {}", why.escape_debug()), 1),
        Outcome::Unknown(why) => (writeln!(io::stderr(), "error: {why}"), 2),
    };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => 2,
        _ => code,
    }
}

fn verify(arguments: &ProofArguments) -> Outcome {
    let text = match read(&arguments.file) {
        Ok(text) => text,
        Err(error) => return Outcome::Unknown(format!("cannot read {}: {error}", arguments.file.display())),
    };
    let checked = Document::parse(&text).and_then(|document| {
        let proved = document.verify(&arguments.key)?;
        Ok((document, proved))
    });
    let (document, proved) = match checked {
        Ok(checked) => checked,
        Err(error) => return Outcome::Wrong(error.to_string()),
    };
    if let Some(path) = &arguments.policy
        && let Some(outcome) = witnessed(path, arguments, (&document, &proved))
    {
        return outcome;
    }
    let Some(path) = &arguments.remember else { return Outcome::Proved(proved) };
    match remembered(path, &document, &proved) {
        Ok(None) => Outcome::Proved(proved),
        Ok(Some(outcome)) => outcome,
        Err(error) => Outcome::Unknown(error.to_string()),
    }
}

/// At most one byte more than a document may have: the rest is not needed to refuse it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(PROOF_DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Holds the cosignatures of the root checkpoint against a policy; none where they are enough.
fn witnessed(
    path: &Path,
    arguments: &ProofArguments,
    (document, proved): (&Document, &Proved),
) -> Option<Outcome> {
    let note = match document.root_note(proved) {
        Ok(note) => note,
        Err(error) => return Some(Outcome::Wrong(error.to_string())),
    };
    match hold(path, &note, &arguments.key, arguments.witnessed_within.map(within_now)) {
        Ok(Held::Witnessed(held)) if held.is_too_old => {
            Some(Outcome::Unknown(format!("the root checkpoint: {}", too_old(&held))))
        }
        Ok(Held::Witnessed(_)) => None,
        Ok(Held::TooFew(count)) => Some(Outcome::Unknown(format!(
            "{}: {count} of its witnesses cosigned the root checkpoint, which is not enough: ask with --witnessed",
            path.display()
        ))),
        Ok(Held::Wrong(why)) => Some(Outcome::Wrong(why)),
        Err(error) => Some(Outcome::Unknown(error.to_string())),
    }
}

/// Holds the root checkpoint against the one that is remembered. What is remembered stays: it is of what a store had sealed,
/// and this may be past it.
fn remembered(path: &Path, document: &Document, proved: &Proved) -> Result<Option<Outcome>, crate::Error> {
    // Whoever names a file wants the proof held against it: one that remembers nothing of this log does not tell.
    if let Err(error) = fs::metadata(path) {
        return Ok(Some(Outcome::Unknown(format!("cannot read {}: {error}", path.display()))));
    }
    let remembered = Remembered::load(path)?;
    let now = &proved.root;
    let origin = now.origin.to_string();
    let Some((size, root)) = remembered.roots.get(&origin) else {
        let why = format!("{} remembers nothing of {origin}", path.display());
        return Ok(Some(Outcome::Unknown(why)));
    };
    if now.size < *size {
        let why = format!(
            "the proof is of the root log at size {}, and {size} is remembered: ask for a newer one",
            now.size
        );
        return Ok(Some(Outcome::Unknown(why)));
    }
    Ok(match document.extends(proved, *size, root) {
        Ok(true) => None,
        Ok(false) => Some(Outcome::Unknown(format!(
            "the proof does not go on from size {size} of the root log, which is remembered: ask with --since {size}"
        ))),
        Err(error) => {
            Some(Outcome::Wrong(format!("the root log is not the one remembered at size {size}: {error}")))
        }
    })
}

/// Prints what is proved, the fields of the entry, and what is not.
fn print(proved: &Proved, out: &mut impl Write) -> io::Result<()> {
    let Proved { checkpoint, root, before, round, entry } = proved;
    let Ok(view) = EntryView::parse(entry) else { return Ok(()) };
    writeln!(out, "PROVED: entry {} of log {}", view.index, checkpoint.origin)?;
    writeln!(out, "log checkpoint: size {} root {}", checkpoint.size, checkpoint.root.to_base64())?;
    writeln!(out, "root checkpoint: {} size {} root {}", root.origin, root.size, root.root.to_base64())?;
    for before in before.iter().rev() {
        let Before { checkpoint: older, successor, size, kept } = before;
        writeln!(
            out,
            "{successor} goes on from {}: size {} root {}",
            older.origin,
            older.size,
            older.root.to_base64()
        )?;
        if kept < size {
            writeln!(
                out,
                "  entries {kept} to {size} of {} are lost: what is here of it is tied to its successor by its key alone",
                older.origin
            )?;
        }
    }
    if let Some(size) = round {
        writeln!(out, "known to the root log: size {size} of the log, with this entry")?;
    }
    for (id, value) in view.fields().map_while(Result::ok) {
        let column = checkpoint.origin.stream().column_by_id(id);
        let name = column.map_or_else(|| format!("field {id}"), |column| column.name.to_string());
        writeln!(out, "  {name}: {}", shown(column.map(|column| column.kind), value))?;
    }
    PROOF_LIMITS.iter().try_for_each(|limit| writeln!(out, "{limit}"))
}

/// A value for people: text as it is but for what a terminal would obey, numbers in decimal, the rest in hex.
fn shown(kind: Option<ColumnType>, value: &[u8]) -> String {
    let number = <[u8; 8]>::try_from(value).map(i64::from_be_bytes);
    match (kind, std::str::from_utf8(value), number) {
        (Some(ColumnType::Utf8), Ok(text), _) => text.escape_debug().to_string(),
        (Some(ColumnType::Int64 | ColumnType::Timestamp), _, Ok(number)) => number.to_string(),
        _ => value.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
