//! StarkWare's stwo verifier behind jaxstark's application prologue.
//!
//! Only the statement lives here: AIRs, the words that are absorbed before the library starts, and
//! the checks that an application owes (key, sizes, LogUp balance). Everything else is stwo's
//! published verifier as it is.

pub mod air;
pub mod batch;
pub mod format;
pub mod instance;
pub mod prologue;
pub mod reject;
pub mod verifier;
