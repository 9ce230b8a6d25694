//! Elements of the tools called lately: the same few hundred are called all day, and each would else be named and hashed every time.

use super::collected::tool_key;
use crate::entity::IDENTIFIER_BYTES_MAX;
use crate::novelty::Element;

/// Places; a power of two.
const PLACES: usize = 512;

/// A table with one place for each remainder of a weak hash. Who makes tools collide in it makes himself pay the strong one; what it gives
/// follows from the names alone, so it is in no snapshot.
#[derive(Debug, Clone, Default)]
pub(super) struct Tools {
    /// None until the first tool.
    places: Vec<Option<Tool>>,
}

#[derive(Debug, Clone)]
struct Tool {
    server: String,
    capability: String,
    element: Element,
}

impl Tools {
    pub fn element(&mut self, server: &str, capability: &str) -> Element {
        let place = place(server, capability);
        if let Some(Some(tool)) = self.places.get(place)
            && tool.capability == capability
            && tool.server == server
        {
            return tool.element;
        }
        let element = Element::tool(&tool_key(server, capability));
        if server.len().saturating_add(capability.len()) > IDENTIFIER_BYTES_MAX {
            return element;
        }
        if self.places.is_empty() {
            self.places.resize(PLACES, None);
        }
        if let Some(at) = self.places.get_mut(place) {
            *at = Some(Tool { server: server.to_owned(), capability: capability.to_owned(), element });
        }
        element
    }
}

/// FNV-1a over the last bytes, where names differ most.
fn place(server: &str, capability: &str) -> usize {
    let bytes = capability.bytes().rev().take(16).chain(server.bytes().rev().take(8));
    let mixed = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (mixed >> 32) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_element_is_that_of_the_names_whatever_was_in_its_place() {
        let mut tools = Tools::default();
        let long = "x".repeat(IDENTIFIER_BYTES_MAX);
        for _ in 0..2 {
            for at in 0..4 * PLACES {
                let name = at.to_string();
                let of = [("a", name.as_str()), (name.as_str(), "a"), ("", &name), (&long, &name)];
                for (server, capability) in of {
                    assert_eq!(
                        tools.element(server, capability),
                        Element::tool(&tool_key(server, capability))
                    );
                }
            }
        }
        assert_eq!(tools.places.len(), PLACES);
    }
}
