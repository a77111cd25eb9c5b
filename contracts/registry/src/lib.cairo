//! A registry of jaxstark proofs: recorded, not verified.
//!
//! Whoever calls `record` with a whole message gets an entry and an event which say that this
//! account published exactly this payload. That the proof in it holds is not checked here: fetch
//! the calldata of the transaction, unpack the proof, and verify it.

pub mod header;
pub mod interface;
pub mod registry;
pub mod sponge;

#[cfg(test)]
mod tests;
