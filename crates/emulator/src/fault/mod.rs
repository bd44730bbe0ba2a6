//! The faults that an emulator can inject, and when they hit.

mod body;
mod bucket;
mod display;
mod distort;
mod duration;
mod effects;
mod encoding;
mod failure;
mod gateway_answer;
mod intermediary;
mod odd_field;
mod odd_row;
mod odd_secret;
mod other_error;
mod parse;
mod schedule;
mod variant;
mod zero_time;

use std::num::NonZeroUsize;
use std::time::Duration;

pub(crate) use body::{Body, Delivery};
pub(crate) use effects::{Effects, PageFault, Warmup};
pub use encoding::ContentCoding;
pub(crate) use failure::{redirect, set_date};
pub(crate) use gateway_answer::gateway;
pub use intermediary::{CaptivePortal, GatewayForm, Intermediary, Waf};
pub use odd_field::OddField;
pub use odd_row::OddRow;
pub use odd_secret::OddSecret;
pub use parse::ParseFaultError;
pub(crate) use schedule::{AnswerFault, ExchangeFault, FaultSchedule, Plan};
pub use zero_time::ZeroTime;

use crate::route::{Operation, Provider};
use crate::settings::ReuseIds;

/// Describes what goes wrong, which requests it hits, and how often.
///
/// By default a fault hits every request of every operation of both services:
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
/// provider is `spartera` or `monad`. The operation is `list`, `create`, `get`, `update`, `regenerate`, `revoke`,
/// `delete`, `stats`, or `*` for all of them. `CHANCE` is the percentage of requests that the fault hits. `COUNT` is
/// the number of requests that it hits in all. `NTH` is the first matching request that it may hit. Each [`FaultKind`]
/// shows its form of `FAULT`.
///
/// # Several faults
///
/// Independent faults hit a request together, such as a delay and a reset. Some faults exclude each other. Then the
/// fault that was injected first applies until it is used up, and the next one follows. For example,
/// `create:status=503:2` and then `create:reset-after:1` make three creates fail: two with 503, one with a reset.
/// Within each of these groups, the faults exclude each other:
///
/// - all faults of the connection, the status and the body, from [`FaultKind::Refuse`] to [`FaultKind::SlowBody`] (a
///   rate limit only when it refuses a request);
/// - [`FaultKind::Late`] and [`FaultKind::Flaky`];
/// - [`FaultKind::ClockAhead`] and [`FaultKind::ClockBehind`];
/// - the faults of pages, from [`FaultKind::RepeatPage`] to [`FaultKind::PageLength`];
/// - two faults of the same kind.
///
/// A fault counts each request that it hits, even if the service refuses that request. If a fault stops the exchange
/// before the service acts, the faults inside the service stay for the next request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    kind: FaultKind,
    provider: Option<Provider>,
    operation: Option<Operation>,
    times: Option<u64>,
    /// How many matching requests pass before the first hit.
    skip: u64,
    /// In percent.
    chance: Option<u8>,
}

impl Fault {
    /// Creates a fault that hits every request that its kind can hit.
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, provider: None, operation: None, times: None, skip: 0, chance: None }
    }

    /// Limits the fault to `operation`.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Limits the fault to `provider`.
    #[must_use]
    pub fn at(mut self, provider: Provider) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Limits the fault to this number of requests.
    #[must_use]
    pub fn times(mut self, requests: u64) -> Self {
        self.times = Some(requests);
        self
    }

    /// Lets this number of matching requests pass before the first hit.
    #[must_use]
    pub fn after(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Hits each matching request with this chance, in percent. Values above 100 count as 100.
    ///
    /// [`EmulatorBuilder::seed`] decides which requests it hits: the same requests with the same seed meet the same
    /// faults.
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

    /// Returns what goes wrong.
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

/// The kinds of faults.
///
/// A fault that hits *before the service acts* leaves everything unchanged. The service creates, changes and deletes no
/// key, and does not check the credential. A fault that hits *after the service acted* changes only the answer: the
/// service has already performed or refused the operation. In both cases the emulator has received the whole request.
///
/// The text form is in parentheses. Durations count in tokio's time, unless the variant names the emulator's clock.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The service waits before it acts. (`delay=20ms`; the units are `ms`, `s`, `m` and `h`)
    Delay(Duration),
    /// The service is down, as during a restart. Before the service acts, the emulator resets the connection and ends
    /// all others. Then it refuses connections for this time, including those to its own paths. (`refuse=2s`)
    Refuse(Duration),
    /// The emulator resets the connection before the service acts. (`reset-before`)
    ResetBefore,
    /// The emulator resets the connection after the service acted, and sends nothing of the answer. (`reset-after`)
    ResetAfter,
    /// The emulator resets the connection after the head and half of the body. The service has acted. (`reset-body`)
    ResetBody,
    /// Before the service acts, it answers with an error in its own form. (`status=503`, `status=429,retry-after=2`,
    /// `status=429,retry-after-date=2s`, `status=429,retry-after-body=2`)
    Status(ErrorStatus),
    /// A token bucket limits the rate. A request that finds no token gets 429 with `Retry-After` in seconds, before the
    /// service acts. The bucket starts full and fills evenly, by the emulator's clock. Each matching request takes a
    /// token. (`rate-limit=5/10s`)
    RateLimit {
        /// The size of the bucket, which is also the number of requests per time; 0 counts as 1.
        requests: u64,
        /// The time in which an empty bucket fills.
        per: Duration,
    },
    /// The same as [`Status`](Self::Status), but after the service acted, as from a gateway that timed out.
    /// (`status-after=504`, and so on)
    StatusAfter(ErrorStatus),
    /// Before the service acts, it answers with a 307 to this address. An address that is not a valid header value is
    /// left out, so the answer has no `Location`. (`redirect=URL`; the URL needs a path, so that its port is not read
    /// as a count)
    Redirect(String),
    /// A write is stuck between the client and the service. The emulator resets the connection without an answer. After
    /// this time, by the emulator's clock, the service carries the request out: it checks the credential, the body and
    /// the key as they are then. Whatever looks at the service at that time or later sees the effect, with the time at
    /// which it was due. [`Emulator::clear_faults`](crate::Emulator::clear_faults) does not take the write back; a
    /// shutdown before that time does. It hits create, update, regenerate, revoke and delete. (`held-up=1m`)
    HeldUp(Duration),
    /// Something between the client and the service answers in its place: a gateway, a firewall or a captive portal.
    /// Each happens before the service acts, or after it acted. (`gateway-404`, `gateway-502=json`,
    /// `gateway-404-after`, `waf`, `captive-portal-after=511`; see [`Intermediary`])
    Intermediary(Intermediary),
    /// The connection closes after half of the announced body. The service has acted. (`truncate`)
    Truncate,
    /// The body is empty. The service has acted. (`empty`)
    EmptyBody,
    /// The body is an HTML page, and the answer keeps its status. The service has acted. (`html`)
    Html,
    /// The body is an HTML page with this status. A status that is not an error is sent as 500. The service has acted.
    /// (`html=502`)
    HtmlStatus(u16),
    /// The body has another JSON type: an object is wrapped in an array, a string in an object, and any other value
    /// becomes a string. The service has acted. (`wrong-type`)
    WrongType,
    /// The body has a content coding and the header that names it, whatever the client has asked for. The service has
    /// acted. (`encoded`, `encoded=br`, `encoded=deflate`)
    Encoded(ContentCoding),
    /// The answer has this media type, and is otherwise right. A type that is not a valid header value is left out. The
    /// service has acted. (`media-type=text/plain`)
    MediaType(String),
    /// The answer has no media type, and is otherwise right. The service has acted. (`no-media-type`)
    NoMediaType,
    /// The body begins with a byte-order mark. The service has acted. (`bom`)
    ByteOrderMark,
    /// The body is the start of a JSON array, followed by endless blanks. The service has acted. (`endless`)
    Endless,
    /// The body arrives byte by byte, with this pause before each byte. The service has acted. (`slow-body=10ms`)
    SlowBody(Duration),
    /// Each object of the answer, at every depth, has two undocumented fields. (`extra-fields`)
    ExtraFields,
    /// Each `status`, `key_type` and `error_type` in the answer has an undocumented value. (`unknown-enum`)
    UnknownEnum,
    /// Fields beside the id and the secret have another type than documented, at every depth of the answer.
    /// (`odd-field`, `odd-field=time`, and so on)
    OddField(OddField),
    /// A new secret has a form that no request can carry. The service has acted. (`odd-secret`, `odd-secret=long`, and so
    /// on)
    OddSecret(OddSecret),
    /// The answer has a time that stands for no time: a key that never expires gets it as its expiry, and a key that
    /// nobody has used gets it as its time of use. At Monad, where every key expires, this hits keys that live for more
    /// than 50 years. (`zero-time`, `zero-time=1970`, and so on)
    ZeroTime(ZeroTime),
    /// The service writes its errors in another form that its vendor documents. At Monad, the form is not that of
    /// [`MonadErrorShape`](crate::MonadErrorShape) but the other one. At Spartera, `code` is text. (`other-error`)
    OtherError,
    /// Whatever checks credentials answers an unknown, expired or ended secret with 403 instead of 401, in this form of a
    /// gateway. `None` is the service's own form. A count includes requests whose credential works.
    /// (`unknown-is-403` in the form `json`, `unknown-is-403=kong` and so on, `unknown-is-403=own`)
    UnknownIs403(Option<GatewayForm>),
    /// The `Date` header is ahead of the emulator's clock by this time, and so is the date of a `Retry-After`.
    /// (`clock-ahead=5m`)
    ClockAhead(Duration),
    /// The `Date` header is behind the emulator's clock by this time, and so is the date of a `Retry-After`.
    /// (`clock-behind=5m`)
    ClockBehind(Duration),
    /// The service refuses (401) this many uses of the secret that a create or regenerate makes, from the first on.
    /// (`late=3`)
    Late(u64),
    /// The service refuses every other use of the secret that a create or regenerate makes, starting with the first.
    /// (`flaky`)
    Flaky,
    /// The secret that a delete, revoke or regenerate ends still works this many times. (`linger=2`)
    Linger(u64),
    /// The next lists do not show the effect of a create, a delete or a regenerate that replaces the key. They omit the
    /// new key and still show the old one. Each page counts as a list. (`stale-list=2`)
    StaleList(u64),
    /// The key that a create makes gets the id of a deleted key, as with
    /// [`EmulatorBuilder::reuse_ids`](crate::EmulatorBuilder::reuse_ids). So does the key with which a regenerate
    /// replaces another. (`reuse-ids`, `reuse-ids=lowest`, `reuse-ids=name`)
    ReuseIds(ReuseIds),
    /// A list shows its first page, for any requested page. (`repeat-page`)
    RepeatPage,
    /// A list shows an empty page; the total beside it is unchanged. (`empty-page`)
    EmptyPage,
    /// A list shows each row twice. (`duplicate-rows`)
    DuplicateRows,
    /// A page after the last is a 404 in the service's own form, instead of an empty page. The first page never is. A
    /// list without pages is whole. (`past-end-404`)
    PastEnd404,
    /// A list's pages have this many keys, whatever limit the request sets, and a page number counts pages of that
    /// length. A list without pages is whole. (`page-length=250`)
    PageLength(NonZeroUsize),
    /// One row in the middle of a list is odd; the others are whole. Faults that change the fields of an answer do not
    /// change a list that is then not readable. (`odd-row`, `odd-row=deep`, and so on)
    OddRow(OddRow),
    /// The service refuses a create if this many keys exist, including the administrator's. Spartera answers 409, or
    /// 400 in the documented revision, which has no 409. Monad answers 400. (`quota=10`)
    Quota(u64),
}

impl FaultKind {
    /// Returns whether this kind of fault can affect `operation`.
    fn can_hit(&self, operation: Operation) -> bool {
        use Operation::{Create, Delete, List, Regenerate, Revoke, Update};
        match self {
            Self::HeldUp(_) => matches!(operation, Create | Update | Regenerate | Revoke | Delete),
            Self::Late(_) | Self::Flaky | Self::ReuseIds(_) => matches!(operation, Create | Regenerate),
            Self::Linger(_) => matches!(operation, Delete | Revoke | Regenerate),
            Self::StaleList(_) => matches!(operation, Create | Delete | Regenerate),
            Self::RepeatPage
            | Self::EmptyPage
            | Self::DuplicateRows
            | Self::PastEnd404
            | Self::PageLength(_)
            | Self::OddRow(_) => operation == List,
            Self::Quota(_) => operation == Create,
            _ => true,
        }
    }
}

/// The status of an error, from 400 to 599, and when to retry. Any other status is sent as 500.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ErrorStatus {
    status: u16,
    retry_after: Option<RetryAfter>,
}

impl ErrorStatus {
    /// Creates an error with this status, which does not say when to retry.
    pub fn new(status: u16) -> Self {
        Self { status, retry_after: None }
    }

    /// Adds when to retry.
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

/// How an error says when to retry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RetryAfter {
    /// A `Retry-After` header in seconds, and `retry_after` in Spartera's body. (`retry-after=2`)
    Seconds(u64),
    /// A `Retry-After` header with a date this far ahead of the `Date` header, which shows the emulator's clock.
    /// (`retry-after-date=2s`)
    Date(Duration),
    /// `retry_after` in Spartera's body, without a header. Monad's body has no such field. (`retry-after-body=2`)
    Body(u64),
}
