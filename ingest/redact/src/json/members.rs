//! The members of a JSON object by where they end, to say where something was removed.

use super::escape::decode;
use super::tape::{Kind, Token};
use crate::edit::Edit;

/// Longest name of a member that is told, in bytes.
pub(super) const NAME_BYTES_MAX: usize = schemas::limits::REDACT_PLACE_BYTES_MAX;
/// What stands for a name that is not told: it is long, odd, or was itself redacted.
const OTHER: &str = "other";

/// The members of the outermost object.
#[derive(Debug, Default)]
pub(crate) struct Members(Vec<(usize, String)>);

impl Members {
    /// Of the object that the tape begins with; none of any other value.
    pub(super) fn of(json: &str, tape: &[Token], edits: &[Edit]) -> Members {
        let Some(object) = tape.first().filter(|token| token.kind == Kind::Object) else {
            return Members::default();
        };
        let mut members = Vec::new();
        let mut index = 1;
        while index + 1 < object.close() {
            let (Some(key), Some(value)) = (tape.get(index), tape.get(index + 1)) else { break };
            let end = tape.get(value.close()).map_or(value.end(), Token::end);
            let next = edits.partition_point(|edit| edit.end <= key.start());
            let is_redacted = edits.get(next).is_some_and(|edit| edit.start < key.end());
            let name = decode(key.inside(json));
            let is_told = !is_redacted
                && (1..=NAME_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte));
            members.push((end, if is_told { name.into_owned() } else { OTHER.to_owned() }));
            index = value.close() + 1;
        }
        Members(members)
    }

    /// The name of the member that lies around an offset.
    pub(crate) fn name_at(&self, offset: usize) -> Option<&str> {
        let next = self.0.partition_point(|(end, _)| *end <= offset);
        self.0.get(next).map(|(_, name)| name.as_str())
    }
}
