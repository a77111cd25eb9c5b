//! Why a proof was not accepted, and how upstream's panics become such a reason.

use std::any::Any;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};

/// A rejection: the stage that found the fault, and the fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub stage: &'static str,
    pub message: String,
}

impl Reject {
    pub fn new(stage: &'static str, message: impl Into<String>) -> Self {
        Self {
            stage,
            message: message.into(),
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Upstream's messages may span lines; reports are one line each.
        let words: Vec<_> = self.message.split_whitespace().collect();
        write!(f, "{}: {}", self.stage, words.join(" "))
    }
}

/// Returns a rejection unless `condition` holds.
pub fn ensure(
    condition: bool,
    stage: &'static str,
    message: impl FnOnce() -> String,
) -> Result<(), Reject> {
    if condition {
        Ok(())
    } else {
        Err(Reject::new(stage, message()))
    }
}

/// Keeps caught panics out of stderr: their messages are in the rejections.
pub fn silence_panics() {
    panic::set_hook(Box::new(|_| {}));
}

/// Runs `f`; a panic in it is a rejection. Upstream asserts on some malformed proofs.
pub fn guarded<T>(f: impl FnOnce() -> Result<T, Reject>) -> Result<T, Reject> {
    panic::catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|payload| Err(Reject::new("panic", panic_message(&*payload))))
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_rejection_on_one_line() {
        let result: Result<(), _> = guarded(|| panic!("two\n  lines {}", 1));
        assert_eq!(result.unwrap_err().to_string(), "panic: two lines 1");
        let result: Result<(), _> = guarded(|| panic!("fixed"));
        assert_eq!(result.unwrap_err().message, "fixed");
        assert!(guarded(|| Ok(())).is_ok());
    }
}
