//! Proofs of what earlier writers recorded: under the root log of their time, and with what leads from each root log since
//! back to it, so that whoever has the key of any of them can check them.

use std::sync::Arc;

use schemas::origin::ROOT_TENANT;
use schemas::proof::{Consistency, Document, Opened, Successor};
use schemas::tree::Hash;
use schemas::{Origin, Stream};

use super::{LogTree, Result, rounds};
use crate::earlier::{Earlier, Following};
use crate::entries::ReadError;
use crate::state::{LogState, lock};
use crate::{SignedLog, Store};

impl Store {
    /// The log of this tenant, stream and writer, be it the present one or an earlier; none where it is not here or cannot be
    /// read.
    pub fn of_writer(&self, tenant: &str, stream: Stream, writer: &str) -> Option<SignedLog> {
        if let Some(log) = self.existing(tenant, stream).filter(|log| log.origin().writer() == writer) {
            return Some(log.0);
        }
        let earlier = self.shared.earlier.iter().find(|earlier| earlier.writer == writer)?;
        earlier.logs.get(&(tenant.to_string(), stream)).map(|state| self.signed_log(state))
    }

    /// The greatest size of the root logs that a proof of an entry of this log leads over.
    pub fn root_size_max(&self, log: &SignedLog) -> u64 {
        let since = self.since(log.origin().writer());
        let roots = since.iter().filter_map(|earlier| earlier.root());
        let sizes = roots.map(|root| lock(&root.view).signed);
        let now = self.existing(ROOT_TENANT, Stream::Root).map(|root| root.snapshot().signed);
        sizes.chain(now).max().unwrap_or(0)
    }

    pub(crate) fn signed_log(&self, state: &Arc<LogState>) -> SignedLog {
        SignedLog { shared: Arc::clone(&self.shared), state: Arc::clone(state) }
    }

    /// The earlier writers from this one on, oldest first.
    fn since(&self, writer: &str) -> &[Earlier] {
        let at = self.shared.earlier.iter().position(|earlier| earlier.writer == writer);
        at.and_then(|at| self.shared.earlier.get(at..)).unwrap_or_default()
    }

    /// As [`Store::prove_under`], of a log of an earlier writer; `present` is of the present root log.
    pub(super) fn prove_earlier(
        &self,
        log: &SignedLog,
        index: u64,
        since: Option<u64>,
        present: LogTree,
    ) -> Result<Option<Document>> {
        let writers = self.since(log.origin().writer());
        let Some(own) = writers.first() else {
            return Err(not(log, "it is of no writer that these keys know".to_string()));
        };
        let mut roots = Vec::with_capacity(writers.len() + 1);
        for writer in writers {
            let root = writer.root().ok_or_else(|| {
                not(log, format!("the root log of writer {} cannot be read here", writer.writer))
            })?;
            roots.push(self.signed_log(root).tree()?);
        }
        let Some(oldest) = roots.first() else { return Ok(None) };
        let Some(mut document) = self.prove_in(log, index, own, oldest)? else { return Ok(None) };
        document.consistency = consistency(oldest, since)?;
        let key = present.verifier_key();
        roots.push(present);
        for (at, pair) in roots.windows(2).enumerate() {
            let [older, newer] = pair else { break };
            let proven = Some((log, index)).filter(|_| at == 0 && log.origin() != older.origin());
            let Some(successor) = self.goes_on(log, (older, newer, writers.get(at + 1)), proven)? else {
                return Ok(None);
            };
            let consistency = consistency(newer, since)?;
            document.successors.push(Successor { consistency, ..successor });
        }
        // From the newest key down to the entry, by the code of those who will check it.
        match document.verify(&key) {
            Ok(_) => Ok(Some(document)),
            Err(error) => Err(ReadError::Damaged {
                log: log.origin().to_string(),
                detail: format!("what is here leads to no proof: {error}"),
            }),
        }
    }

    /// The document under the root log of the entry's own time.
    fn prove_in(
        &self,
        log: &SignedLog,
        index: u64,
        own: &Earlier,
        root: &LogTree,
    ) -> Result<Option<Document>> {
        if log.origin() == root.origin() {
            let proved = root.prove(index)?;
            return Ok(proved.map(|(entry, proof)| Document::new(log.origin(), &entry, &proof, None)));
        }
        let tree = log.tree()?;
        let Some((entry, proof)) = tree.prove(index)? else { return Ok(None) };
        let unknown = || root.damaged(format!("it does not open {}", log.origin()));
        let told = own.told(&self.shared)?;
        let opening = told.opened.get(&log.origin().to_string()).ok_or_else(unknown)?;
        let round = told.rounds.get(&opening.number);
        let Some(round) = round.filter(|round| round.size > index) else {
            let size = round.map_or(0, |round| round.size);
            let ended = format!(
                "as far as its root log is here, it knew {size} entries at its end: entry {index} is not among them"
            );
            return Err(not(log, ended));
        };
        let (opened, opened_proof) = root.prove(opening.index)?.ok_or_else(unknown)?;
        let covered = rounds::covered(opening.number, root, &tree, (round.index, index))?;
        let in_root = Some((Opened::new(&opened, &opened_proof), covered));
        Ok(Some(Document::new(log.origin(), &entry, &proof, in_root)))
    }

    /// How a newer root log, of that earlier writer or the present one, goes on from an older one, with what it says of the proved
    /// log where that is to be said. None where it is not signed, or not cosigned, so far yet.
    fn goes_on(
        &self,
        log: &SignedLog,
        (older, newer, writer): (&LogTree, &LogTree, Option<&Earlier>),
        proven: Option<(&SignedLog, u64)>,
    ) -> Result<Option<Successor>> {
        let by = newer.origin();
        let follows = |origin: &Origin| {
            let found = self.follows(writer, &origin.to_string())?;
            found.ok_or_else(|| not(log, format!("{by} names nothing that goes on from {origin}")))
        };
        let Following { index, size, kept } = follows(older.origin())?;
        if older.size() > kept {
            let of = older.origin();
            return Err(not(log, format!("{kept} of {size} entries of {of} are kept, says {by}")));
        }
        let opened = |index: u64| -> Result<Option<Opened>> {
            let found = newer.prove(index)?;
            Ok(found.map(|(entry, proof): (Vec<u8>, _)| Opened::new(&entry, &proof)))
        };
        let goes_on = match proven {
            None => None,
            Some((proved, at)) => {
                let Following { index, size, kept } = follows(proved.origin())?;
                if at >= kept {
                    let lost = format!("{kept} of {size} entries are kept, says {by}, and the entry is {at}");
                    return Err(not(log, lost));
                }
                let Some(opened) = opened(index)? else { return Ok(None) };
                Some(opened)
            }
        };
        let Some(opened) = opened(index)? else { return Ok(None) };
        // Where entries are lost nobody can lead to what was signed over them.
        let hashes = if kept == size { older.consistency(older.size(), size)? } else { Vec::new() };
        let hashes = hashes.into_iter().map(Hash::to_base64).collect();
        Ok(Some(Successor { opened, log: goes_on, hashes, consistency: None }))
    }

    /// What the root log of that writer, or the present one, says of the log that goes on from `origin`.
    fn follows(&self, writer: Option<&Earlier>, origin: &str) -> Result<Option<Following>> {
        if let Some(writer) = writer {
            return Ok(writer.told(&self.shared)?.successors.get(origin).copied());
        }
        let numbers = lock(&self.shared.numbers);
        let found = numbers.values().find_map(|known| {
            let before = known.predecessor.as_ref().filter(|before| before.origin == origin)?;
            Some(Following { index: known.root_index, size: before.size, kept: before.kept })
        });
        Ok(found)
    }
}

fn not(log: &SignedLog, detail: String) -> ReadError {
    ReadError::Unprovable { log: log.origin().to_string(), detail }
}

/// From the older size that was asked for, where this root log had come so far.
fn consistency(root: &LogTree, since: Option<u64>) -> Result<Option<Consistency>> {
    let Some(old) = since.filter(|old| *old <= root.size()) else { return Ok(None) };
    let hashes = root.consistency(old, root.size())?.into_iter().map(Hash::to_base64).collect();
    Ok(Some(Consistency { old, hashes }))
}
