//! File descriptors: as many as the process may have, and how they are shared out.
//!
//! A store that gets none for its files stops until it is started again. So the network has half of them at most, whatever number of
//! ports it comes in by, and no port has all of that half.

use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use schemas::limits;
use tokio::sync::Semaphore;

/// Where connections of all ports have their places; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    /// How many that is.
    count: usize,
}

impl Places {
    /// Half of what the process may have.
    pub(crate) fn of_network() -> Places {
        let descriptors = getrlimit(Resource::Nofile).current;
        Places::new(
            descriptors.map_or(Semaphore::MAX_PERMITS, |all| usize::try_from(all / 2).unwrap_or(usize::MAX)),
        )
    }

    pub(crate) fn new(count: usize) -> Places {
        // More than the ports may have together is more than anyone asks for.
        let most = limits::HTTP_CONNECTIONS_MAX * 4;
        let count = count.clamp(1, most);
        Places { all: Arc::new(Semaphore::new(count)), count }
    }

    /// What all ports share.
    pub(crate) fn all(&self) -> Arc<Semaphore> {
        Arc::clone(&self.all)
    }

    /// How many of them one port may hold: half, and at most `most`.
    pub(crate) fn of_a_port(&self, most: usize) -> usize {
        (self.count / 2).clamp(1, most)
    }
}

/// Raises what the process may have to what it may raise it to: the usual 1,024 are kept that low for programs of another age.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!(?current, ?maximum, "the limit of file descriptors was raised"),
        Err(error) => {
            tracing::warn!(%error, ?current, ?maximum, "the limit of file descriptors could not be raised");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_has_all_places_and_all_have_no_more_than_there_are() {
        for (count, most, port, all) in [
            (512, 4096, 256, 512),
            (512, 100, 100, 512),
            (1, 4096, 1, 1),
            (0, 4096, 1, 1),
            (usize::MAX, 4096, 4096, 4 * 4096),
        ] {
            let places = Places::new(count);
            assert_eq!((places.of_a_port(most), places.all().available_permits()), (port, all), "{count}");
        }
    }
}
