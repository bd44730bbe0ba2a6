//! What goes wrong, and when: the faults that an emulator can be told to make.

mod body;
mod bucket;
mod display;
mod distort;
mod duration;
mod effects;
mod failure;
mod parse;
mod schedule;

use std::time::Duration;

pub(crate) use body::{Body, Delivery};
pub(crate) use effects::{Effects, PageFault, Warmup};
pub(crate) use failure::{redirect, set_date};
pub use parse::ParseFaultError;
pub(crate) use schedule::{AnswerFault, ExchangeFault, FaultSchedule, Plan};

use crate::route::{Operation, Provider};

/// Something that goes wrong, at which requests, and how often.
///
/// It hits every operation of both services, every time, unless told otherwise:
///
/// ```
/// use api_keyring_emulator::{Fault, FaultKind, Operation, Provider};
///
/// let fault = Fault::new(FaultKind::ResetAfter).on(Operation::Create).at(Provider::Monad).times(1);
/// assert_eq!(fault, "monad.create:reset-after:1".parse()?);
/// # Ok::<(), api_keyring_emulator::ParseFaultError>(())
/// ```
///
/// # As text
///
/// `[PROVIDER.]OPERATION[%CHANCE]:FAULT[:COUNT][@NTH]`, as in `create:reset-after:1` or `list:empty-page:1@2`. The
/// provider is `spartera` or `monad`; the operation `list`, `create`, `get`, `update`, `regenerate`, `revoke`,
/// `delete`, `stats`, or `*` for all of them. `CHANCE` is how many of a hundred requests are hit, `COUNT` how many are
/// in all, `NTH` the first of the matching requests that may be. The forms of `FAULT` are listed at each [`FaultKind`].
///
/// # Several faults
///
/// Faults that have nothing to do with each other hit a request together: a delay, say, and a reset. Of those that
/// exclude each other the one injected first is used up before the next begins, so `create:status=503:2` followed by
/// `create:reset-after:1` makes three creates fail, each in its way. Those that exclude each other are: all faults of
/// the connection, the status and the body, from [`FaultKind::Refuse`] to [`FaultKind::SlowBody`] (a rate limit
/// only where it refuses); [`FaultKind::Late`] and [`FaultKind::Flaky`]; the three faults of pages; and any kind with
/// itself.
///
/// A fault is used by a request of its operation, whatever becomes of that request otherwise; but where the connection fails
/// before the service acts, what would have happened in the service is kept for the next one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    kind: FaultKind,
    provider: Option<Provider>,
    operation: Option<Operation>,
    times: Option<u64>,
    skip: u64,
    /// Of a hundred.
    chance: Option<u8>,
}

impl Fault {
    /// A fault that hits every request that it can.
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, provider: None, operation: None, times: None, skip: 0, chance: None }
    }

    /// Hits this operation alone.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Hits this service alone.
    #[must_use]
    pub fn at(mut self, provider: Provider) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Hits so many requests, and no more.
    #[must_use]
    pub fn times(mut self, requests: u64) -> Self {
        self.times = Some(requests);
        self
    }

    /// Lets so many matching requests by before the first is hit.
    #[must_use]
    pub fn after(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Hits so many of a hundred matching requests; which ones is the choice of [`EmulatorBuilder::seed`], so the same
    /// requests with the same seed meet the same faults. More than 100 are as good as 100.
    ///
    /// ```
    /// use api_keyring_emulator::{Fault, FaultKind};
    ///
    /// let fault = Fault::new(FaultKind::ResetBefore).chance(20);
    /// assert_eq!(fault, "*%20:reset-before".parse()?);
    /// # Ok::<(), api_keyring_emulator::ParseFaultError>(())
    /// ```
    ///
    /// [`EmulatorBuilder::seed`]: crate::EmulatorBuilder::seed
    #[must_use]
    pub fn chance(mut self, percent: u8) -> Self {
        self.chance = Some(percent.min(100));
        self
    }

    /// What goes wrong.
    pub fn kind(&self) -> &FaultKind {
        &self.kind
    }

    fn matches(&self, provider: Provider, operation: Operation) -> bool {
        self.provider.is_none_or(|wanted| wanted == provider)
            && self.operation.is_none_or(|wanted| wanted == operation)
            && self.kind.can_hit(operation)
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self::new(kind)
    }
}

/// What goes wrong.
///
/// A fault that strikes *before the service acts* leaves everything as it was: no key is made, changed or deleted, and
/// the credential is not even looked at. One that strikes *after the service acted* changes the answer alone: whatever
/// was asked for has been done, or refused. Either way the request has been received in full.
///
/// The text form stands in brackets.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The service waits, in tokio's time, before it acts. (`delay=20ms`; the units are `ms`, `s`, `m` and `h`)
    Delay(Duration),
    /// The service is gone, as when it starts anew: before it acts the connection is reset, all others end, and for so
    /// long, in tokio's time, connections are refused, those to the emulator's own paths included. (`refuse=2s`)
    Refuse(Duration),
    /// The connection is reset before the service acts. (`reset-before`)
    ResetBefore,
    /// The connection is reset after the service acted; nothing of the answer is sent. (`reset-after`)
    ResetAfter,
    /// The connection is reset after the head and half of the body; the service has acted. (`reset-body`)
    ResetBody,
    /// An error in the service's own form, before the service acts. (`status=503`, `status=429,retry-after=2`,
    /// `status=429,retry-after-date=2s`, `status=429,retry-after-body=2`)
    Status(ErrorStatus),
    /// A token bucket: 429 with the seconds of `Retry-After`, before the service acts, to whatever comes faster than so
    /// many requests in the time. The bucket is full at first and fills evenly, by the emulator's clock; each request
    /// that matches takes from it. (`rate-limit=5/10s`)
    RateLimit {
        /// How many requests there may be at once, and in the time; 0 is as good as 1.
        requests: u64,
        /// The time.
        per: Duration,
    },
    /// As [`Status`](Self::Status), but after the service acted: a gateway that gave up waiting, say.
    /// (`status-after=504`, and so on)
    StatusAfter(ErrorStatus),
    /// 307 to this address, before the service acts. What cannot stand in a header is sent without `Location`.
    /// (`redirect=URL`; the URL needs a path, lest its port be taken for a count)
    Redirect(String),
    /// The body is half as long as announced, and then the connection closes; the service has acted. (`truncate`)
    Truncate,
    /// The body is empty; the service has acted. (`empty`)
    EmptyBody,
    /// The body is a page of HTML, the status that of the answer; the service has acted. (`html`)
    Html,
    /// The body is a page of HTML with this status; the service has acted. What is no error's status is sent as 500.
    /// (`html=502`)
    HtmlStatus(u16),
    /// The body is of another JSON type: an object comes in an array, a string in an object, anything else as a string.
    /// The service has acted. (`wrong-type`)
    WrongType,
    /// The body is the start of a JSON array, and then blanks without end; the service has acted. (`endless`)
    Endless,
    /// The body arrives byte by byte, with this pause, in tokio's time, before each; the service has acted.
    /// (`slow-body=10ms`)
    SlowBody(Duration),
    /// Each object of the answer, at every depth, has two fields more than documented. (`extra-fields`)
    ExtraFields,
    /// Where the answer has a `status`, `key_type` or `error_type`, its value is one that nobody has heard of.
    /// (`unknown-enum`)
    UnknownEnum,
    /// The `Date` header is the emulator's time, ahead by so much, and so is the date of a `Retry-After`.
    /// (`clock-ahead=5m`)
    ClockAhead(Duration),
    /// The `Date` header is the emulator's time, behind by so much, and so is the date of a `Retry-After`.
    /// (`clock-behind=5m`)
    ClockBehind(Duration),
    /// The secret that a create or regenerate makes is refused (401) the first so many times it is used. (`late=3`)
    Late(u64),
    /// The secret that a create or regenerate makes works on every second use only; the first is refused. (`flaky`)
    Flaky,
    /// The secret that a delete, revoke or regenerate ends still works so many times. (`linger=2`)
    Linger(u64),
    /// What a create, delete or regenerate by replacement has done is not seen in the next so many lists: the new key
    /// is not there yet, the old one still is. Each page counts as a list. (`stale-list=2`)
    StaleList(u64),
    /// A list shows its first page, whichever was asked for. (`repeat-page`)
    RepeatPage,
    /// A list shows an empty page; a total beside it stays as it is. (`empty-page`)
    EmptyPage,
    /// A list shows each row twice. (`duplicate-rows`)
    DuplicateRows,
    /// A create is refused where there are this many keys already, the administrator's included: by Spartera with 409,
    /// or 400 in the documented revision, which knows no 409; by Monad with 400. (`quota=10`)
    Quota(u64),
}

impl FaultKind {
    /// Whether there is anything about this operation that could go wrong in this way.
    fn can_hit(&self, operation: Operation) -> bool {
        use Operation::{Create, Delete, List, Regenerate, Revoke};
        match self {
            Self::Late(_) | Self::Flaky => matches!(operation, Create | Regenerate),
            Self::Linger(_) => matches!(operation, Delete | Revoke | Regenerate),
            Self::StaleList(_) => matches!(operation, Create | Delete | Regenerate),
            Self::RepeatPage | Self::EmptyPage | Self::DuplicateRows => operation == List,
            Self::Quota(_) => operation == Create,
            _ => true,
        }
    }
}

/// An error's status, from 400 to 599, and when to try again. Any other status is sent as 500.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ErrorStatus {
    status: u16,
    retry_after: Option<RetryAfter>,
}

impl ErrorStatus {
    /// An error with this status.
    pub fn new(status: u16) -> Self {
        Self { status, retry_after: None }
    }

    /// The same, with a word about when to try again.
    #[must_use]
    pub fn retry_after(mut self, retry_after: RetryAfter) -> Self {
        self.retry_after = Some(retry_after);
        self
    }
}

impl From<u16> for ErrorStatus {
    fn from(status: u16) -> Self {
        Self::new(status)
    }
}

/// How an error says when to try again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RetryAfter {
    /// `Retry-After` with a number of seconds; and `retry_after` in Spartera's body. (`retry-after=2`)
    Seconds(u64),
    /// `Retry-After` with a date so far from the emulator's time, which the `Date` tells. (`retry-after-date=2s`)
    Date(Duration),
    /// `retry_after` in Spartera's body, and no header. Monad's body has no such field. (`retry-after-body=2`)
    Body(u64),
}
