//! The pending faults, and the choice of those that hit a request.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;

use super::bucket::TokenBucket;
use super::{
    ContentCoding, Effects, ErrorStatus, Fault, FaultKind, GatewayForm, Intermediary, OddField, OddSecret, PageFault,
    RetryAfter, Warmup, ZeroTime,
};
use crate::route::{Operation, Provider};

/// The pending faults, in the order of their injection.
#[derive(Debug)]
pub(crate) struct FaultSchedule {
    faults: Vec<ScheduledFault>,
    /// Decides which requests a chance hits.
    rng: Rng,
}

/// A pending fault.
#[derive(Debug)]
struct ScheduledFault {
    fault: Fault,
    bucket: Option<TokenBucket>,
}

impl From<Fault> for ScheduledFault {
    fn from(fault: Fault) -> Self {
        let bucket = match fault.kind {
            FaultKind::RateLimit { requests, per } => Some(TokenBucket::new(requests, per)),
            _ => None,
        };
        Self { fault, bucket }
    }
}

/// Faults of one group exclude each other. Faults of different groups hit a request together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Group {
    Delay,
    Exchange,
    Date,
    ExtraFields,
    UnknownEnum,
    OddField,
    OddSecret,
    ZeroTime,
    OtherError,
    UnknownIs403,
    ReuseIds,
    Warmup,
    Linger,
    StaleList,
    Page,
    OddRow,
    Quota,
}

/// Everything that goes wrong with one request.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) delay: Option<Duration>,
    pub(crate) exchange: Option<ExchangeFault>,
    pub(crate) effects: Effects,
    pub(crate) extra_fields: bool,
    pub(crate) unknown_enum: bool,
    pub(crate) odd_field: Option<OddField>,
    pub(crate) odd_secret: Option<OddSecret>,
    pub(crate) zero_time: Option<ZeroTime>,
    /// Whether errors have the vendor's other form.
    pub(crate) other_error: bool,
    /// The form in which a 403 replaces every 401. The inner `None` is the service's own form.
    pub(crate) unknown_is_403: Option<Option<GatewayForm>>,
    /// How far the `Date` header is ahead of the emulator's clock.
    pub(crate) clock_skew: Option<TimeDelta>,
    /// The faults that hit, for the record of requests.
    pub(crate) applied: Vec<FaultKind>,
}

/// A fault of the exchange as a whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ExchangeFault {
    ResetBefore,
    /// Resets the connection, and refuses all connections for this time.
    Refuse(Duration),
    StatusBefore(ErrorStatus),
    Redirect(String),
    /// Resets the connection. The service acts later.
    HeldUp(Duration),
    /// Something between the client and the service answers, and the service does not act.
    Intermediary(Intermediary),
    /// The service acts; then this fault changes the answer.
    After(AnswerFault),
}

/// A fault of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum AnswerFault {
    Reset,
    ResetBody,
    Status(ErrorStatus),
    Intermediary(Intermediary),
    Truncate,
    Empty,
    Html(Option<u16>),
    WrongType,
    Encoded(ContentCoding),
    /// `None` leaves the media type out.
    MediaType(Option<String>),
    ByteOrderMark,
    Endless,
    Slow(Duration),
}

impl FaultSchedule {
    pub(crate) fn new(faults: Vec<Fault>, rng: Rng) -> Self {
        Self { faults: faults.into_iter().map(ScheduledFault::from).collect(), rng }
    }

    pub(crate) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().map(|scheduled| &scheduled.fault)
    }

    pub(crate) fn inject(&mut self, fault: Fault) {
        self.faults.push(fault.into());
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    /// Chooses the faults that hit a request at `now`, and counts them as used.
    pub(crate) fn plan(&mut self, provider: Provider, operation: Operation, now: DateTime<Utc>) -> Plan {
        let mut plan = Plan::default();
        if self.faults.is_empty() {
            return plan;
        }
        let mut candidates = Vec::new();
        let rng = &mut self.rng;
        for (index, ScheduledFault { fault, bucket }) in self.faults.iter_mut().enumerate() {
            if !fault.matches(provider, operation) || fault.times == Some(0) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if fault.chance.is_some_and(|chance| rng.u8(0..100) >= chance) {
                continue;
            }
            // The seconds until the next token, if the bucket is empty.
            let wait = match bucket.as_mut().map(|bucket| bucket.take(now)) {
                Some(Ok(())) => continue,
                Some(Err(wait)) => Some(wait),
                None => None,
            };
            candidates.push((index, wait));
        }
        // The faults inside the service can hit only if the service acts.
        let acts = candidates
            .iter()
            .filter_map(|(index, _)| self.faults.get(*index))
            .find(|scheduled| scheduled.fault.kind.group() == Group::Exchange)
            .is_none_or(|scheduled| scheduled.fault.kind.lets_service_act());
        let mut used_groups = Vec::new();
        for (index, wait) in candidates {
            let Some(ScheduledFault { fault, .. }) = self.faults.get_mut(index) else { continue };
            let group = fault.kind.group();
            if used_groups.contains(&group) || !(acts || group.is_outside_service()) {
                continue;
            }
            used_groups.push(group);
            if let Some(times) = &mut fault.times {
                *times -= 1;
            }
            plan.add(&fault.kind, wait);
        }
        self.faults.retain(|scheduled| scheduled.fault.times != Some(0));
        plan
    }
}

impl Group {
    fn is_outside_service(self) -> bool {
        matches!(self, Self::Delay | Self::Exchange | Self::Date)
    }
}

impl FaultKind {
    fn group(&self) -> Group {
        match self {
            Self::Delay(_) => Group::Delay,
            Self::Refuse(_)
            | Self::ResetBefore
            | Self::ResetAfter
            | Self::ResetBody
            | Self::Status(_)
            | Self::RateLimit { .. }
            | Self::StatusAfter(_)
            | Self::Redirect(_)
            | Self::HeldUp(_)
            | Self::Intermediary(_)
            | Self::Truncate
            | Self::EmptyBody
            | Self::Html
            | Self::HtmlStatus(_)
            | Self::WrongType
            | Self::Encoded(_)
            | Self::MediaType(_)
            | Self::NoMediaType
            | Self::ByteOrderMark
            | Self::Endless
            | Self::SlowBody(_) => Group::Exchange,
            Self::ExtraFields => Group::ExtraFields,
            Self::UnknownEnum => Group::UnknownEnum,
            Self::OddField(_) => Group::OddField,
            Self::OddSecret(_) => Group::OddSecret,
            Self::ZeroTime(_) => Group::ZeroTime,
            Self::OtherError => Group::OtherError,
            Self::UnknownIs403(_) => Group::UnknownIs403,
            Self::ReuseIds(_) => Group::ReuseIds,
            Self::ClockAhead(_) | Self::ClockBehind(_) => Group::Date,
            Self::Late(_) | Self::Flaky => Group::Warmup,
            Self::Linger(_) => Group::Linger,
            Self::StaleList(_) => Group::StaleList,
            Self::RepeatPage | Self::EmptyPage | Self::DuplicateRows | Self::PastEnd404 | Self::PageLength(_) => {
                Group::Page
            }
            Self::OddRow(_) => Group::OddRow,
            Self::Quota(_) => Group::Quota,
        }
    }

    fn lets_service_act(&self) -> bool {
        match self {
            Self::Refuse(_) | Self::ResetBefore | Self::Status(_) | Self::RateLimit { .. } | Self::Redirect(_) => false,
            Self::Intermediary(intermediary) => intermediary.lets_service_act(),
            _ => true,
        }
    }
}

impl Plan {
    /// Adds a fault. `wait` is the number of seconds that a rate limit announces.
    fn add(&mut self, kind: &FaultKind, wait: Option<u64>) {
        match kind {
            FaultKind::Delay(span) => self.delay = Some(*span),
            FaultKind::Refuse(span) => self.exchange = Some(ExchangeFault::Refuse(*span)),
            FaultKind::ResetBefore => self.exchange = Some(ExchangeFault::ResetBefore),
            FaultKind::Status(error) => self.exchange = Some(ExchangeFault::StatusBefore(*error)),
            FaultKind::RateLimit { .. } => {
                let error = ErrorStatus::new(429).retry_after(RetryAfter::Seconds(wait.unwrap_or(1)));
                self.exchange = Some(ExchangeFault::StatusBefore(error));
            }
            FaultKind::Redirect(address) => self.exchange = Some(ExchangeFault::Redirect(address.clone())),
            FaultKind::HeldUp(span) => self.exchange = Some(ExchangeFault::HeldUp(*span)),
            FaultKind::Intermediary(intermediary) if intermediary.lets_service_act() => {
                self.answer(AnswerFault::Intermediary(*intermediary));
            }
            FaultKind::Intermediary(intermediary) => {
                self.exchange = Some(ExchangeFault::Intermediary(*intermediary));
            }
            FaultKind::ResetAfter => self.answer(AnswerFault::Reset),
            FaultKind::ResetBody => self.answer(AnswerFault::ResetBody),
            FaultKind::StatusAfter(error) => self.answer(AnswerFault::Status(*error)),
            FaultKind::Truncate => self.answer(AnswerFault::Truncate),
            FaultKind::EmptyBody => self.answer(AnswerFault::Empty),
            FaultKind::Html => self.answer(AnswerFault::Html(None)),
            FaultKind::HtmlStatus(status) => self.answer(AnswerFault::Html(Some(*status))),
            FaultKind::WrongType => self.answer(AnswerFault::WrongType),
            FaultKind::Encoded(coding) => self.answer(AnswerFault::Encoded(*coding)),
            FaultKind::MediaType(media_type) => self.answer(AnswerFault::MediaType(Some(media_type.clone()))),
            FaultKind::NoMediaType => self.answer(AnswerFault::MediaType(None)),
            FaultKind::ByteOrderMark => self.answer(AnswerFault::ByteOrderMark),
            FaultKind::Endless => self.answer(AnswerFault::Endless),
            FaultKind::SlowBody(pause) => self.answer(AnswerFault::Slow(*pause)),
            FaultKind::ExtraFields => self.extra_fields = true,
            FaultKind::UnknownEnum => self.unknown_enum = true,
            FaultKind::OddField(field) => self.odd_field = Some(*field),
            FaultKind::OddSecret(secret) => self.odd_secret = Some(*secret),
            FaultKind::ZeroTime(zero) => self.zero_time = Some(*zero),
            FaultKind::OtherError => self.other_error = true,
            FaultKind::UnknownIs403(form) => self.unknown_is_403 = Some(*form),
            FaultKind::ReuseIds(reuse) => self.effects.reuse_ids = Some(*reuse),
            FaultKind::ClockAhead(by) => self.clock_skew = Some(delta(*by)),
            FaultKind::ClockBehind(by) => self.clock_skew = Some(-delta(*by)),
            FaultKind::Late(uses) => self.effects.warmup = Some(Warmup::Late(*uses)),
            FaultKind::Flaky => self.effects.warmup = Some(Warmup::Flaky),
            FaultKind::Linger(uses) => self.effects.linger = *uses,
            FaultKind::StaleList(lists) => self.effects.stale_lists = *lists,
            FaultKind::RepeatPage => self.effects.page = Some(PageFault::Repeat),
            FaultKind::EmptyPage => self.effects.page = Some(PageFault::Empty),
            FaultKind::DuplicateRows => self.effects.page = Some(PageFault::Duplicate),
            FaultKind::PastEnd404 => self.effects.page = Some(PageFault::PastEnd),
            FaultKind::PageLength(keys) => self.effects.page = Some(PageFault::Length(keys.get())),
            FaultKind::OddRow(row) => self.effects.odd_row = Some(*row),
            FaultKind::Quota(keys) => self.effects.quota = Some(*keys),
        }
        self.applied.push(kind.clone());
    }

    fn answer(&mut self, fault: AnswerFault) {
        self.exchange = Some(ExchangeFault::After(fault));
    }
}

fn delta(span: Duration) -> TimeDelta {
    TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(faults: &[&str]) -> FaultSchedule {
        FaultSchedule::new(faults.iter().map(|fault| fault.parse().unwrap()).collect(), Rng::with_seed(7))
    }

    fn plan(script: &mut FaultSchedule, provider: Provider, operation: Operation) -> Plan {
        script.plan(provider, operation, DateTime::UNIX_EPOCH)
    }

    fn hits(script: &mut FaultSchedule, operation: Operation) -> String {
        let applied: Vec<_> =
            plan(script, Provider::Spartera, operation).applied.iter().map(ToString::to_string).collect();
        applied.join(" ")
    }

    #[test]
    fn exclusive_faults_follow_each_other() {
        let mut script = script(&["create:status=503:2", "create:reset-after:1", "create:delay=1ms:3"]);
        for expected in ["status=503 delay=1ms", "status=503 delay=1ms", "reset-after delay=1ms", ""] {
            assert_eq!(hits(&mut script, Operation::Create), expected);
        }
    }

    #[test]
    fn a_fault_hits_only_its_operation_and_service() {
        let mut script = script(&["monad.create:reset-after", "delete:reset-before:1", "*:late=1:1"]);
        assert_eq!(hits(&mut script, Operation::Get), "");
        assert_eq!(hits(&mut script, Operation::Delete), "reset-before");
        assert_eq!(hits(&mut script, Operation::Create), "late=1");
        assert_eq!(plan(&mut script, Provider::Monad, Operation::Create).applied, [FaultKind::ResetAfter]);
    }

    #[test]
    fn a_fault_skips_the_first_requests() {
        let mut script = script(&["list:empty-page:1@3"]);
        for expected in ["", "", "empty-page", ""] {
            assert_eq!(hits(&mut script, Operation::List), expected);
        }
    }

    #[test]
    fn faults_inside_the_service_stay_while_it_does_not_act() {
        let mut script = script(&["create:late=1:1", "create:reset-before:1"]);
        assert_eq!(hits(&mut script, Operation::Create), "reset-before");
        assert_eq!(hits(&mut script, Operation::Create), "late=1");
    }

    #[test]
    fn a_rate_limit_passes_requests_with_a_token_to_other_faults() {
        let mut script = script(&["*:rate-limit=2/1h", "*:reset-before:1"]);
        assert_eq!(hits(&mut script, Operation::List), "reset-before");
        for expected in ["", "rate-limit=2/1h", "rate-limit=2/1h"] {
            assert_eq!(hits(&mut script, Operation::Create), expected);
        }
    }

    #[test]
    fn the_seed_decides_what_a_chance_hits() {
        let run = |seed| {
            let faults = vec!["*%30:reset-before".parse().unwrap()];
            let mut script = FaultSchedule::new(faults, Rng::with_seed(seed));
            let mut hits = |_| !plan(&mut script, Provider::Monad, Operation::Get).applied.is_empty();
            (0..1000).map(&mut hits).collect::<Vec<bool>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let hit = run(7).into_iter().filter(|hit| *hit).count();
        assert!((250..350).contains(&hit), "{hit}");
        for (chance, expected) in [("%0", ""), ("%100", "reset-before")] {
            assert_eq!(hits(&mut script(&[&format!("*{chance}:reset-before")]), Operation::Get), expected);
        }
    }

    #[test]
    fn a_fault_with_zero_times_hits_nothing() {
        let never = Fault::new(FaultKind::ResetBefore).times(0);
        let mut script = FaultSchedule::new(vec![never], Rng::with_seed(7));
        assert_eq!(hits(&mut script, Operation::Get), "");
    }
}
