//! Seeing that a secret is in no printed form of a value.

use std::error::Error;
use std::fmt::Debug;

/// The secret that tests plant.
pub const CANARY: &str = "sk_live_canary_0123456789abcdef";

/// Asserts that a text shows no part of [`CANARY`]: a secret that was cut off is a leak, too.
#[track_caller]
pub fn assert_unseen(text: &str) {
    assert!(!text.contains("canary"), "leaked: {text}");
    assert!(!text.contains("0123456789abcdef"), "leaked: {text}");
}

/// Asserts that neither form of a value's `Debug` shows [`CANARY`].
#[track_caller]
pub fn assert_hidden(value: &impl Debug) {
    assert_unseen(&format!("{value:?}"));
    assert_unseen(&format!("{value:#?}"));
}

/// Asserts that no printed form of an error, nor of anything that it says it was caused by, shows [`CANARY`].
#[track_caller]
pub fn assert_error_hidden(error: &(dyn Error + 'static)) {
    let mut next = Some(error);
    while let Some(error) = next {
        for text in [format!("{error}"), format!("{error:#}"), format!("{error:?}"), format!("{error:#?}")] {
            assert_unseen(&text);
        }
        next = error.source();
    }
}
