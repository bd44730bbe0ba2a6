//! Checks that no printed form of a value shows a secret.

use std::error::Error;
use std::fmt::Debug;

/// The secret that tests plant.
pub const CANARY: &str = "sk_live_canary_0123456789abcdef";

/// Asserts that a text shows no part of [`CANARY`]. Half of a secret is a leak, too.
#[track_caller]
pub fn assert_no_canary(text: &str) {
    assert!(!text.contains("canary"), "leaked: {text}");
    assert!(!text.contains("0123456789abcdef"), "leaked: {text}");
}

/// Asserts that neither form of a value's `Debug` shows [`CANARY`].
#[track_caller]
pub fn assert_debug_redacts(value: &impl Debug) {
    assert_no_canary(&format!("{value:?}"));
    assert_no_canary(&format!("{value:#?}"));
}

/// Asserts that no printed form of an error or of its sources shows [`CANARY`].
#[track_caller]
pub fn assert_error_redacts(error: &(dyn Error + 'static)) {
    let mut next = Some(error);
    while let Some(error) = next {
        for text in [format!("{error}"), format!("{error:#}"), format!("{error:?}"), format!("{error:#?}")] {
            assert_no_canary(&text);
        }
        next = error.source();
    }
}
