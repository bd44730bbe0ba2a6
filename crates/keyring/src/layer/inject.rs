//! A layer that makes calls fail on purpose.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{CallInfo, Layer, SendCall};
use crate::{Error, ErrorKind, Operation, Outcome, Result};

/// Makes calls fail, to test how a program handles failures. Each fault strikes once, in the order in which you add
/// them.
///
/// Clones share the faults, so you can add more while the provider is in use.
///
/// ```
/// use api_keyring::{Inject, Operation};
///
/// // The first create takes effect, but its answer is lost. The next delete is not sent.
/// let inject = Inject::new().losing_answer(Operation::Create).refusing(Operation::Delete);
/// assert_eq!(inject.left(), 2);
/// ```
#[derive(Clone, Default)]
pub struct Inject(Arc<Mutex<VecDeque<Fault>>>);

/// Whether a fault replaces the call or its answer.
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
    /// Creates a layer without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next call of this operation fail with this error. The call is not sent.
    #[must_use]
    pub fn before(self, operation: Operation, error: impl Fn() -> Error + Send + Sync + 'static) -> Self {
        self.push(Fault { operation, timing: Timing::Before, make: Box::new(error) })
    }

    /// Sends the next call of this operation and then makes it fail with this error, whatever the answer is.
    #[must_use]
    pub fn after(self, operation: Operation, error: impl Fn() -> Error + Send + Sync + 'static) -> Self {
        self.push(Fault { operation, timing: Timing::After, make: Box::new(error) })
    }

    /// Refuses the connection of the next call of this operation. Nothing is sent.
    #[must_use]
    pub fn refusing(self, operation: Operation) -> Self {
        self.before(operation, || {
            Error::new(ErrorKind::Connection, Outcome::NotSent, "connection refused. Nothing was sent")
        })
    }

    /// Sends the next call of this operation and cuts the connection before the answer arrives.
    #[must_use]
    pub fn losing_answer(self, operation: Operation) -> Self {
        self.after(operation, || {
            Error::new(ErrorKind::Connection, Outcome::Unknown, "the connection broke before the answer arrived")
        })
    }

    /// Returns the number of faults that have not struck yet.
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
