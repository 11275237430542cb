//! Whether an element is a message of the protocol (RFC 4511 section 4.1.1).
//!
//! The LDAP library panics where a message is not as the protocol has it. Only the shape is looked
//! at here; what a message says is for the checks.

use lber::{
    common::TagClass,
    structure::{PL, StructureTag},
    universal::Types,
};

/// `SEQUENCE { messageID, operation, [0] controls OPTIONAL }`.
pub fn is_message(tag: &StructureTag) -> bool {
    match elements(tag) {
        Some([id, operation]) => is_universal(id, Types::Integer) && is_answer(operation),
        Some([id, operation, last]) => {
            is_universal(id, Types::Integer) && is_answer(operation) && is_controls_or_disconnection(last)
        }
        _ => false,
    }
}

/// The operations that servers send.
fn is_answer(operation: &StructureTag) -> bool {
    const BIND_RESPONSE: u64 = 1;
    const SEARCH_RESULT_ENTRY: u64 = 4;
    const SEARCH_RESULT_DONE: u64 = 5;
    const SEARCH_RESULT_REFERENCE: u64 = 19;
    const EXTENDED_RESPONSE: u64 = 24;
    const INTERMEDIATE_RESPONSE: u64 = 25;
    let Some(parts) = elements(operation).filter(|_| operation.class == TagClass::Application) else {
        return false;
    };
    match operation.id {
        BIND_RESPONSE | SEARCH_RESULT_DONE | EXTENDED_RESPONSE => is_result(parts),
        SEARCH_RESULT_REFERENCE => parts.iter().all(is_text),
        // Entries are read by this crate, and intermediate responses by nobody.
        SEARCH_RESULT_ENTRY | INTERMEDIATE_RESPONSE => true,
        _ => false,
    }
}

/// Result code, matched name, text; then what the operation adds.
fn is_result(parts: &[StructureTag]) -> bool {
    const REFERRAL: u64 = 3;
    const SERVER_CREDENTIALS: u64 = 7;
    const RESPONSE_NAME: u64 = 10;
    const RESPONSE_VALUE: u64 = 11;
    let [code, matched, text, rest @ ..] = parts else { return false };
    let is_addition = |part: &StructureTag| match part.id {
        REFERRAL => elements(part).is_some_and(|urls| urls.iter().all(is_text)),
        RESPONSE_NAME => is_text(part),
        SERVER_CREDENTIALS | RESPONSE_VALUE => bytes(part).is_some(),
        _ => true,
    };
    is_universal(code, Types::Enumerated) && is_text(matched) && is_text(text) && rest.iter().all(is_addition)
}

fn is_controls_or_disconnection(last: &StructureTag) -> bool {
    const CONTROLS: u64 = 0;
    // Active Directory puts the name of its notice of disconnection here.
    const MISPLACED_NAME: u64 = 10;
    last.class == TagClass::Context
        && match last.id {
            CONTROLS => elements(last).is_some_and(|controls| controls.iter().all(is_control)),
            MISPLACED_NAME => bytes(last).is_some(),
            _ => false,
        }
}

/// `SEQUENCE { controlType, criticality DEFAULT FALSE, controlValue OPTIONAL }`.
fn is_control(control: &StructureTag) -> bool {
    let is_value = |part: &StructureTag| part.id == Types::OctetString as u64 && bytes(part).is_some();
    match elements(control) {
        Some([name]) => is_text(name),
        Some([name, second]) => is_text(name) && (is_universal(second, Types::Boolean) || is_value(second)),
        Some([name, critical, value]) => {
            is_text(name) && is_universal(critical, Types::Boolean) && is_value(value)
        }
        _ => false,
    }
}

/// Whether it is of this type, and has a value.
fn is_universal(tag: &StructureTag, kind: Types) -> bool {
    let has_type = tag.class == TagClass::Universal && tag.id == kind as u64;
    has_type && bytes(tag).is_some_and(|value| !value.is_empty())
}

fn is_text(tag: &StructureTag) -> bool {
    bytes(tag).is_some_and(|value| std::str::from_utf8(value).is_ok())
}

fn elements(tag: &StructureTag) -> Option<&[StructureTag]> {
    match &tag.payload {
        PL::C(elements) => Some(elements),
        PL::P(_) => None,
    }
}

fn bytes(tag: &StructureTag) -> Option<&[u8]> {
    match &tag.payload {
        PL::P(bytes) => Some(bytes),
        PL::C(_) => None,
    }
}
