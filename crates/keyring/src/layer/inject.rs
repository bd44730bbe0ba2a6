//! Failing on purpose.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{CallInfo, Layer, SendCall};
use crate::{Error, ErrorKind, Operation, Outcome, Result};

/// Has calls fail, each fault once and in their order: to see in a test what a program makes of it.
///
/// Clones share the faults, so that more can be added while the provider is in use.
///
/// ```
/// use api_keyring::{Inject, Operation};
///
/// // The first create does its work and its answer is lost; the next delete never gets there.
/// let inject = Inject::new().losing_answer(Operation::Create).refusing(Operation::Delete);
/// assert_eq!(inject.left(), 2);
/// ```
#[derive(Clone, Default)]
pub struct Inject(Arc<Mutex<VecDeque<Fault>>>);

/// When a fault strikes, relative to the call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timing {
    Before,
    After,
}

struct Fault {
    operation: Operation,
    timing: Timing,
    make: Box<dyn Fn() -> Error + Send + Sync>,
}

impl Inject {
    /// No fault yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next call of this operation is not made, and fails like this.
    #[must_use]
    pub fn before(self, operation: Operation, error: impl Fn() -> Error + Send + Sync + 'static) -> Self {
        self.push(Fault { operation, timing: Timing::Before, make: Box::new(error) })
    }

    /// The next call of this operation is made, and fails like this whatever the answer is.
    #[must_use]
    pub fn after(self, operation: Operation, error: impl Fn() -> Error + Send + Sync + 'static) -> Self {
        self.push(Fault { operation, timing: Timing::After, make: Box::new(error) })
    }

    /// The next call of this operation finds nobody at the other end: nothing is sent.
    #[must_use]
    pub fn refusing(self, operation: Operation) -> Self {
        self.before(operation, || Error::new(ErrorKind::Connection, Outcome::NotSent, "the connection was refused"))
    }

    /// The next call of this operation is carried out, and the connection cut before its answer.
    #[must_use]
    pub fn losing_answer(self, operation: Operation) -> Self {
        self.after(operation, || Error::new(ErrorKind::Connection, Outcome::Unknown, "the connection was cut"))
    }

    /// How many faults are still to come.
    pub fn left(&self) -> usize {
        self.faults().len()
    }

    fn push(self, fault: Fault) -> Self {
        self.faults().push_back(fault);
        self
    }

    fn take(&self, operation: Operation) -> Option<Fault> {
        let mut faults = self.faults();
        let position = faults.iter().position(|fault| fault.operation == operation)?;
        faults.remove(position)
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, VecDeque<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inject").field("left", &self.left()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Layer for Inject {
    async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> Result<T> {
        let Some(fault) = self.take(call.operation) else {
            return send().await;
        };
        if fault.timing == Timing::After {
            drop(send().await);
        }
        Err((fault.make)().about(call.operation, call.key).under(call.provider))
    }
}
