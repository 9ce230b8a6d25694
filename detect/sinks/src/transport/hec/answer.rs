//! What the collector's answers mean.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::transport::Fate;
use crate::transport::http::Answer;

/// What was not taken.
#[derive(Debug)]
pub(super) enum Said {
    /// None of it.
    Fate(Fate),
    /// One event is at fault, by its place in the request.
    Event(usize, Fate),
    /// Some are, and not which.
    Some(Fate),
}

#[derive(Deserialize)]
struct Reply {
    code: u64,
    #[serde(rename = "invalid-event-number")]
    invalid_event_number: Option<u64>,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
}

#[derive(Deserialize)]
struct Acknowledgements {
    acks: BTreeMap<String, bool>,
}

/// The number of the acknowledgement, if there is to be one.
///
/// # Errors
/// What was not taken.
pub(super) fn taken(answer: &Answer, use_ack: bool) -> Result<Option<u64>, Said> {
    if let Some(fate) = answer.trouble() {
        return Err(Said::Fate(fate));
    }
    let reply: Option<Reply> = serde_json::from_slice(&answer.body).ok();
    if answer.status.is_success() {
        return match reply {
            Some(Reply { code: 0, ack_id: Some(number), .. }) if use_ack => Ok(Some(number)),
            Some(Reply { code: 0, .. }) if use_ack => Err(Said::Fate(
                answer.away(": without acknowledgement; switch it on for the token, or use_ack off"),
            )),
            Some(Reply { code: 0, .. }) => Ok(None),
            _ => Err(Said::Fate(answer.away(": not as a collector does; look at url"))),
        };
    }
    if answer.is_redirect() {
        return Err(Said::Fate(answer.away(": a redirect, which is not followed; look at url")));
    }
    if answer.status.as_u16() == 413 {
        return Err(Said::Some(answer.refused(": it is too large; raise max_content_length there")));
    }
    let Some(reply) = reply.filter(|_| answer.status.as_u16() == 400) else {
        return Err(Said::Fate(answer.away(": not as a collector does; look at url")));
    };
    let fault = match reply.code {
        5 => "no data",
        6 => "invalid data format",
        12 => "event field is required",
        13 => "event field cannot be blank",
        15 => "error in handling indexed fields",
        7 => return Err(Said::Fate(answer.away(": the token may not write to this index; look at index"))),
        10 | 11 => return Err(Said::Fate(answer.away(": it takes no channel; look at the token"))),
        14 => {
            return Err(Said::Fate(
                answer.away(": acknowledgement is off for the token; switch it on there"),
            ));
        }
        code => return Err(Said::Some(answer.refused(&format!("with code {code}")))),
    };
    let refused = answer.refused(&format!("with code {}, {fault}", reply.code));
    Err(match reply.invalid_event_number.map(usize::try_from) {
        Some(Ok(at)) => Said::Event(at, refused),
        _ => Said::Some(refused),
    })
}

/// Whether the request of this number is indexed.
///
/// # Errors
/// What keeps it from saying so, as the fate of what was sent.
pub(super) fn acknowledged(answer: &Answer, number: u64) -> Result<bool, Fate> {
    if let Some(fate) = answer.trouble() {
        return Err(fate);
    }
    let told = answer.status.is_success().then(|| serde_json::from_slice::<Acknowledgements>(&answer.body));
    match told {
        Some(Ok(told)) => Ok(told.acks.get(&number.to_string()).copied().unwrap_or_default()),
        _ => Err(answer.away("when asked for an acknowledgement: not as a collector does")),
    }
}
