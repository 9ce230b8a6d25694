//! The store on a disk with a power switch: everything runs on one thread, by seed.
//!
//! ```text
//! random operations ─► fault at the N-th disk operation ─► power cut, or a process that ends ─► recovery ─► check
//!        ▲                                                                                           │
//!        └───────────────────────────────── a few lives per seed ◄───────────────────────────────────┘
//! ```
//! Data, keys and copies may be on one disk: the fault matrix ([`matrix`]) takes every operation on them, in every way that it can
//! fail. The check is one for all tests ([`check`]): nothing acknowledged is lost, nothing shown is taken back, a retry is
//! recorded once, and the final image is clean to the verifier.
//! Replay one seed with `TACHO_SEED=<n> cargo test --release -p tachograph-store power_cut::cuts`; all of them with
//! `TACHO_FULL=1`.

mod check;
mod disk;
mod draft;
mod image;
mod model;
mod random;
mod rig;

mod cuts;
mod damage;
mod directed;
mod faults;
mod given_up;
mod home;
mod matrix;
mod mutation;
