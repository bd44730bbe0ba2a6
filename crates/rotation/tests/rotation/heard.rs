//! All that is told on this thread, so that it can be searched for secrets: spans, events, errors, plans.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    static HEARD: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Listens from now on, to nothing that was said before.
pub(crate) fn begin() {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| tracing::subscriber::set_global_default(Listener).unwrap());
    HEARD.with_borrow_mut(String::clear);
}

/// Adds what is not said to `tracing`.
pub(crate) fn add(what: &dyn Debug) {
    HEARD.with_borrow_mut(|heard| write!(heard, "{what:?}\n{what:#?}\n").unwrap());
}

/// Adds an error and its causes, as people and as programs see them.
pub(crate) fn add_error(error: &dyn Error) {
    let mut error = Some(error);
    while let Some(this) = error {
        HEARD.with_borrow_mut(|heard| write!(heard, "{this}\n{this:?}\n").unwrap());
        error = this.source();
    }
}

/// Whether this was said.
pub(crate) fn has(text: &str) -> bool {
    HEARD.with_borrow(|heard| heard.contains(text))
}

struct Listener;

struct Fields;

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        HEARD.with_borrow_mut(|heard| writeln!(heard, "{field}={value:?}").unwrap());
    }
}

impl Subscriber for Listener {
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
