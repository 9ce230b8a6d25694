//! The real program, started and asked as its users do. One binary; each module says what it shows.
//!
//! A seeded subset runs by default, all of it with `TACHO_FULL=1` (`tests/run --full`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "tests look at the clock to know when to give up")]

mod support;

mod suites {
    /// What the detector told, as people meet it.
    mod alerts;
    /// What a sender may send, and what it is told.
    mod bad_input;
    /// What must not be answered, asked of the real program.
    mod bypass;
    /// Clients that stall, flood, and send too much at once.
    mod clients;
    /// Commands and exit codes.
    mod commands;
    /// What every way in owes, asked of each in the same words.
    mod conformance;
    /// A real gateway that tells by its own exporters.
    mod contextforge;
    /// Countries of addresses, from a database of the operator's.
    mod countries;
    /// What earlier writers recorded: proofs and tiles of it, through rotations and adoptions.
    mod earlier;
    /// Evidence that leaves the building.
    mod evidence;
    /// An operator who turns against the record.
    mod evil;
    /// Recorded HTTP exchanges, event streams and archives.
    mod exchanges;
    /// Torn bodies, tiny ones, a full disk, odd lines in a file: one account at the end of each.
    mod faults;
    /// Go or no-go: the published script, unmodified, and the command.
    mod gates;
    /// An hour, sped up.
    mod hour;
    /// Who may come in, and what is on record of it.
    mod identity;
    /// Files of any form and size.
    mod import;
    /// A real broker, rebalances, poison.
    mod kafka;
    /// Proofs that outlive restarts, rotations, backups.
    mod lasting;
    /// Kills at random and at named points: nothing acknowledged is lost.
    mod loss;
    /// A disk that fails, a clock that steps.
    mod machine;
    /// S1's record, the samples, idempotency, redaction, latency of an answer.
    mod main_job;
    /// Other programs' records: the document's example, the command, a directory of one's own.
    mod mapping;
    /// What the metrics say is what the senders were told.
    mod metrics;
    /// What exporters of OpenTelemetry send, over HTTP and gRPC.
    mod otlp;
    /// The PostgreSQL port, asked by psql, psycopg, SQLAlchemy and pgjdbc.
    mod postgres;
    /// Proofs that leave the building.
    mod proofs;
    /// Generated secrets in every encoding, the policies for personal data, and the review of what was missed.
    mod redaction;
    /// What a search for secrets looks into, and that it sees.
    mod search;
    /// Secrets reach no file.
    mod secrets;
    /// Debian's log shippers, killed and rotated.
    mod shippers;
    /// Rules in Sigma in the running detector.
    mod sigma_rules;
    /// Sinks: what arrives where, through outages, kills, refusals and roles.
    mod sinks;
    /// Rotation, encryption, rollback, clones, backups: what goes on names what was, and nothing is forked.
    mod successors;
    /// Files that grow, are rotated and truncated, and a service that is killed meanwhile.
    mod tail;
    /// Every byte of a small store, flipped.
    mod tamper;
    /// A stdio server wrapped: as if nobody watched, and on record.
    mod tap;
    /// Generated secrets through every way in.
    mod ways_in;
    /// Witnesses: cosigned checkpoints, outages, copies that are found.
    mod witness;
}
