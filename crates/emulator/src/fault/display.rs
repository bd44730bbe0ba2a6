//! Writes faults as text.

use std::fmt;

use super::variant::written;
use super::{ErrorStatus, Fault, FaultKind, GatewayForm, RetryAfter, duration};

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(provider) = self.provider {
            write!(f, "{provider}.")?;
        }
        f.write_str(self.operation.map_or("*", |operation| operation.short_name()))?;
        if let Some(chance) = self.chance {
            write!(f, "%{chance}")?;
        }
        write!(f, ":{}", self.kind)?;
        if let Some(times) = self.times {
            write!(f, ":{times}")?;
        }
        match self.skip {
            0 => Ok(()),
            skip => write!(f, "@{}", skip.saturating_add(1)),
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(span) => write!(f, "delay={}", duration::format(*span)),
            Self::Refuse(span) => write!(f, "refuse={}", duration::format(*span)),
            Self::ResetBefore => f.write_str("reset-before"),
            Self::ResetAfter => f.write_str("reset-after"),
            Self::ResetBody => f.write_str("reset-body"),
            Self::Status(error) => write!(f, "status={error}"),
            Self::RateLimit { requests, per } => write!(f, "rate-limit={requests}/{}", duration::format(*per)),
            Self::StatusAfter(error) => write!(f, "status-after={error}"),
            Self::Redirect(address) => write!(f, "redirect={address}"),
            Self::HeldUp(span) => write!(f, "held-up={}", duration::format(*span)),
            Self::Intermediary(intermediary) => write!(f, "{intermediary}"),
            Self::Truncate => f.write_str("truncate"),
            Self::EmptyBody => f.write_str("empty"),
            Self::Html => f.write_str("html"),
            Self::HtmlStatus(status) => write!(f, "html={status}"),
            Self::WrongType => f.write_str("wrong-type"),
            Self::Encoded(coding) => f.write_str(&written("encoded", *coding)),
            Self::MediaType(media_type) => write!(f, "media-type={media_type}"),
            Self::NoMediaType => f.write_str("no-media-type"),
            Self::ByteOrderMark => f.write_str("bom"),
            Self::Endless => f.write_str("endless"),
            Self::SlowBody(span) => write!(f, "slow-body={}", duration::format(*span)),
            Self::ExtraFields => f.write_str("extra-fields"),
            Self::UnknownEnum => f.write_str("unknown-enum"),
            Self::OddField(field) => f.write_str(&written("odd-field", *field)),
            Self::OddSecret(secret) => f.write_str(&written("odd-secret", *secret)),
            Self::ZeroTime(zero) => f.write_str(&written("zero-time", *zero)),
            Self::OtherError => f.write_str("other-error"),
            Self::UnknownIs403(None) => f.write_str("unknown-is-403=own"),
            Self::UnknownIs403(Some(GatewayForm::Json)) => f.write_str("unknown-is-403"),
            Self::UnknownIs403(Some(form)) => write!(f, "unknown-is-403={}", form.as_str()),
            Self::ClockAhead(span) => write!(f, "clock-ahead={}", duration::format(*span)),
            Self::ClockBehind(span) => write!(f, "clock-behind={}", duration::format(*span)),
            Self::Late(uses) => write!(f, "late={uses}"),
            Self::Flaky => f.write_str("flaky"),
            Self::Linger(uses) => write!(f, "linger={uses}"),
            Self::StaleList(lists) => write!(f, "stale-list={lists}"),
            Self::ReuseIds(reuse) => f.write_str(&written("reuse-ids", *reuse)),
            Self::RepeatPage => f.write_str("repeat-page"),
            Self::EmptyPage => f.write_str("empty-page"),
            Self::DuplicateRows => f.write_str("duplicate-rows"),
            Self::PastEnd404 => f.write_str("past-end-404"),
            Self::PageLength(keys) => write!(f, "page-length={keys}"),
            Self::OddRow(row) => f.write_str(&written("odd-row", *row)),
            Self::Quota(keys) => write!(f, "quota={keys}"),
        }
    }
}

impl fmt::Display for ErrorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        match self.retry_after {
            None => Ok(()),
            Some(RetryAfter::Seconds(seconds)) => write!(f, ",retry-after={seconds}"),
            Some(RetryAfter::Date(ahead)) => write!(f, ",retry-after-date={}", duration::format(ahead)),
            Some(RetryAfter::Body(seconds)) => write!(f, ",retry-after-body={seconds}"),
        }
    }
}
