//! Collects everything that a rotation shows on this thread, so that tests can search it for secrets.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    static OBSERVED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Starts to collect spans and events, and drops what was collected before.
pub(crate) fn begin() {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| tracing::subscriber::set_global_default(Collector).unwrap());
    OBSERVED.with_borrow_mut(String::clear);
}

/// Adds the `Debug` output of a value.
pub(crate) fn observe(what: &dyn Debug) {
    OBSERVED.with_borrow_mut(|observed| write!(observed, "{what:?}\n{what:#?}\n").unwrap());
}

/// Adds an error and its causes, both as text for people and as `Debug` output.
pub(crate) fn observe_error(error: &dyn Error) {
    let mut error = Some(error);
    while let Some(this) = error {
        OBSERVED.with_borrow_mut(|observed| write!(observed, "{this}\n{this:?}\n").unwrap());
        error = this.source();
    }
}

/// Returns whether the collected text contains this.
pub(crate) fn contains(text: &str) -> bool {
    OBSERVED.with_borrow(|observed| observed.contains(text))
}

struct Collector;

struct Fields;

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        OBSERVED.with_borrow_mut(|observed| writeln!(observed, "{field}={value:?}").unwrap());
    }
}

impl Subscriber for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut Fields);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
