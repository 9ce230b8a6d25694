//! The messages in a response: its body, or those of an event stream.

use super::Exchange;

/// Each on its own.
pub fn messages(exchange: &Exchange) -> Vec<String> {
    let body = &exchange.response;
    if !exchange.is_stream {
        // A body that is no JSON belongs to HTTP: an error page, or nothing.
        let is_json = body.trim_start().starts_with(['{', '[']);
        return if is_json { vec![body.clone()] } else { Vec::new() };
    }
    let mut messages = Vec::new();
    let mut data: Vec<&str> = Vec::new();
    // The last event may lack its blank line where a stream was cut; what it has is read.
    for line in body.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).chain([""]) {
        if line.is_empty() {
            let message = data.join("\n");
            data.clear();
            if !message.trim().is_empty() {
                messages.push(message);
            }
        } else if let Some(rest) = line.strip_prefix("data:") {
            data.push(rest.strip_prefix(' ').unwrap_or(rest));
        }
    }
    messages
}
