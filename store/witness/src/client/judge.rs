//! What a witness's answer means. Pure.
//!
//! | answer | asked from | means |
//! |---|---|---|
//! | 409, a smaller or larger size | | it is behind, or ahead of what we remember: ask from there |
//! | 409, the size asked from | another than ours | it contradicts itself: a failure |
//! | 409, the size asked from | ours | it holds another tree of our size: a fork |
//! | 422 | a size that it named | it holds another tree of that size: a fork |
//! | 422 | a size that we remembered | perhaps it lost its state: ask what it holds |
//!
//! A size over all that was ever signed here is a rollback, which [`super::submit`] knows: it has the log.

use std::time::Duration;

use axum::http::StatusCode;
use schemas::witness::parse_held_size;

use super::http::Answer;

/// What was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// The size that the proof begins at.
    pub(super) old: u64,
    /// Whether the witness itself has said in this exchange that it holds that size.
    pub(super) is_named: bool,
    /// The size of our checkpoint.
    pub(super) size: u64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It says that it has cosigned: to be checked.
    Cosigned,
    /// It holds this size.
    Holds(u64),
    /// Ask from 0, to learn what it holds.
    AskWhatItHolds,
    /// It holds another history than ours.
    Fork,
    /// It did not cosign.
    Failed { reason: String, wait: Option<Duration> },
}

/// Judges an answer.
pub(super) fn judge(asked: Asked, answer: &Answer) -> Verdict {
    let failed = |reason: String| Verdict::Failed { reason, wait: answer.retry_after };
    let told = answer.told();
    match answer.status {
        StatusCode::OK => Verdict::Cosigned,
        StatusCode::CONFLICT => match parse_held_size(&answer.body) {
            Ok(held) if held != asked.old => Verdict::Holds(held),
            Ok(held) if held == asked.size => Verdict::Fork,
            Ok(held) => {
                failed(format!("409 with size {held}, which it was asked from: it contradicts itself"))
            }
            Err(_) => failed(format!("409 without the size that it holds: {told}")),
        },
        StatusCode::UNPROCESSABLE_ENTITY if asked.old > 0 && asked.is_named => Verdict::Fork,
        StatusCode::UNPROCESSABLE_ENTITY if asked.old > 0 => Verdict::AskWhatItHolds,
        StatusCode::UNPROCESSABLE_ENTITY => failed(format!("422 to a first checkpoint: {told}")),
        StatusCode::NOT_FOUND => failed(format!(
            "404: it does not know this log, or its URL is not its submission prefix; give its operator the log's key \
             (`tacho keys show --root`): {told}"
        )),
        StatusCode::FORBIDDEN => failed(format!(
            "403: it knows another key for this log, or not this log; give its operator the log's key \
             (`tacho keys show --root`): {told}"
        )),
        status if status.is_redirection() => failed(format!(
            "{}: it leads elsewhere, which is not followed; give its new URL",
            status.as_u16()
        )),
        status => failed(format!("{}: {told}", status.as_u16())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn behind_normal_and_another_history_are_told_apart() {
        let asked = |old, is_named| Asked { old, is_named, size: 10 };
        for (old, is_named, status, body, expected) in [
            (7, false, 200, "", Some(Verdict::Cosigned)),
            (0, false, 409, "7\n", Some(Verdict::Holds(7))),
            (7, true, 409, "3\n", Some(Verdict::Holds(3))),
            (7, true, 409, "0\n", Some(Verdict::Holds(0))),
            (7, false, 409, "99\n", Some(Verdict::Holds(99))),
            (10, true, 409, "10\n", Some(Verdict::Fork)),
            (10, true, 422, "", Some(Verdict::Fork)),
            (7, true, 422, "bad proof", Some(Verdict::Fork)),
            (7, false, 422, "bad proof", Some(Verdict::AskWhatItHolds)),
            (0, true, 422, "bad proof", None),
            (7, true, 409, "7\n", None),
            (7, true, 409, "", None),
            (7, true, 409, "07\n", None),
            (7, true, 409, "<html>", None),
            (7, true, 404, "", None),
            (7, true, 403, "", None),
            (7, true, 400, "", None),
            (7, true, 301, "", None),
            (7, true, 429, "", None),
            (7, true, 500, "", None),
            (7, true, 204, "", None),
        ] {
            let verdict = judge(asked(old, is_named), &answer(status, body));
            match expected {
                Some(expected) => assert_eq!(verdict, expected, "{old} {is_named} {status} {body:?}"),
                None => {
                    assert!(matches!(verdict, Verdict::Failed { .. }), "{old} {is_named} {status} {body:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_witness_says_is_shown_short_and_without_control_characters() {
        let verdict = judge(
            Asked { old: 0, is_named: false, size: 1 },
            &answer(500, &format!("\x1b[31m{}", "x".repeat(9_999))),
        );
        let Verdict::Failed { reason, .. } = verdict else { panic!("{verdict:?}") };
        assert!(reason.len() < 600 && !reason.contains('\x1b'), "{reason}");
    }
}
