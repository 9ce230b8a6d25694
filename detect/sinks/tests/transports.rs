//! Transports against receivers that are strict about their protocols, and against peers that are not: each says what it has to of
//! every message, in bounded time and memory, and shows no credential.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "tests measure, and rotate files as other programs do")]

mod transports {
    /// `_bulk` against an index that is strict.
    mod bulk;
    /// Certificates of a test.
    mod certificates;
    /// Debian's rsyslog and syslog-ng.
    mod daemons;
    /// A strict index.
    mod elastic;
    /// Files and standard output.
    mod file;
    /// HEC against a collector that is strict.
    mod hec;
    /// Peers that answer forever, slowly, or nonsense.
    mod hostile;
    /// Standard Webhooks' own libraries, and the example receiver of the kill switch.
    mod interop;
    /// A broker.
    #[cfg(feature = "kafka")]
    mod kafka;
    /// An hour without a receiver, of each transport.
    mod outage;
    /// Credentials that change, and that nobody sees.
    mod secrets;
    /// An HTTP server that is strict and does as it is told.
    mod server;
    /// Tables of the configuration.
    mod settings;
    /// A strict collector.
    mod splunk;
    /// What the tests have in common.
    mod support;
    /// Syslog, read as its RFCs have it.
    mod syslog;
    /// Webhooks, verified by a check of our own.
    mod webhook;
}
