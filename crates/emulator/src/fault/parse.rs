//! Reads faults from text.

use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use hyper::header::HeaderValue;

use super::variant::read_variant;
use super::{ErrorStatus, Fault, FaultKind, GatewayForm, Intermediary, RetryAfter, duration};
use crate::route::{Operation, Provider};

/// The error for a text that is not a fault. Its message says which forms are valid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseFaultError(String);

impl fmt::Display for ParseFaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ParseFaultError {}

pub(super) type Result<T> = std::result::Result<T, ParseFaultError>;

pub(super) fn refuse<T>(problem: impl Into<String>) -> Result<T> {
    Err(ParseFaultError(problem.into()))
}

const FAULTS: &str = "delay=20ms, refuse=2s, reset-before, reset-after, reset-body, status=503, rate-limit=5/10s, \
    status-after=504, redirect=URL, held-up=1m, gateway-404, gateway-502=json, gateway-404-after, waf, \
    captive-portal, truncate, empty, html, html=502, wrong-type, encoded, media-type=text/plain, no-media-type, bom, endless, slow-body=10ms, extra-fields, \
    unknown-enum, odd-field, odd-secret, zero-time, other-error, unknown-is-403, clock-ahead=5m, clock-behind=5m, late=3, flaky, linger=2, stale-list=2, reuse-ids, repeat-page, \
    empty-page, duplicate-rows, past-end-404, page-length=250, odd-row, quota=10";

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self> {
        let Some((target, rest)) = text.split_once(':') else {
            return refuse("a fault is written OPERATION:FAULT[:COUNT], as in create:reset-after:1");
        };
        let (target, chance) = split_chance(target)?;
        let (provider, operation) = read_target(target)?;
        let (rest, skip) = split_nth(rest)?;
        let (kind, times) = split_count(rest)?;
        let kind: FaultKind = kind.parse()?;
        if let Some(operation) = operation {
            if !kind.can_hit(operation) {
                return refuse(format!("`{kind}` cannot hit `{}`", operation.short_name()));
            }
            if provider.is_some_and(|provider| !operation.is_offered_by(provider)) {
                return refuse(format!("`{target}`: that service has no such operation"));
            }
        }
        Ok(Self { kind, provider, operation, times, skip, chance })
    }
}

fn read_target(text: &str) -> Result<(Option<Provider>, Option<Operation>)> {
    let (provider, operation) = match text.split_once('.') {
        None => (None, text),
        Some(("spartera", operation)) => (Some(Provider::Spartera), operation),
        Some(("monad", operation)) => (Some(Provider::Monad), operation),
        Some((provider, _)) => return refuse(format!("`{provider}` is not a provider: use spartera or monad")),
    };
    if operation == "*" {
        return Ok((provider, None));
    }
    match Operation::ALL.into_iter().find(|known| known.short_name() == operation) {
        Some(operation) => Ok((provider, Some(operation))),
        None => {
            let names = Operation::ALL.map(Operation::short_name).join(", ");
            refuse(format!("`{operation}` is not an operation: use {names}, or * for all"))
        }
    }
}

/// Splits `%CHANCE` off the end.
fn split_chance(text: &str) -> Result<(&str, Option<u8>)> {
    let Some((target, chance)) = text.split_once('%') else { return Ok((text, None)) };
    match chance.parse() {
        Ok(chance @ 0..=100) => Ok((target, Some(chance))),
        _ => refuse(format!("`{chance}` is not a chance: use a percentage of requests, from 0 to 100")),
    }
}

/// Splits `@NTH` off the end. Returns how many requests come before the `NTH`.
fn split_nth(text: &str) -> Result<(&str, u64)> {
    // The address of a redirect may contain an @.
    match text.rsplit_once('@').filter(|(_, nth)| !nth.contains(['/', '.', ':'])) {
        None => Ok((text, 0)),
        Some((rest, nth)) => match nth.parse::<u64>() {
            Ok(nth) if nth > 0 => Ok((rest, nth - 1)),
            _ => refuse(format!("`{nth}` is not the number of a request: use 1 or more")),
        },
    }
}

/// Splits `:COUNT` off the end.
fn split_count(text: &str) -> Result<(&str, Option<u64>)> {
    let Some((kind, count)) = text.rsplit_once(':') else { return Ok((text, None)) };
    // This colon belongs to the address, not to a count.
    if text.starts_with("redirect=") && !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((text, None));
    }
    match count.parse::<u64>() {
        Ok(count) if count > 0 => Ok((kind, Some(count))),
        _ => refuse(format!("`{count}` is not a count of requests: use 1 or more")),
    }
}

impl FromStr for FaultKind {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        Ok(match (name, value) {
            ("delay", Some(span)) => Self::Delay(read_span(name, span)?),
            ("refuse", Some(span)) => Self::Refuse(read_span(name, span)?),
            ("reset-before", None) => Self::ResetBefore,
            ("reset-after", None) => Self::ResetAfter,
            ("reset-body", None) => Self::ResetBody,
            ("status", Some(error)) => Self::Status(error.parse()?),
            ("rate-limit", Some(limit)) => read_rate(name, limit)?,
            ("status-after", Some(error)) => Self::StatusAfter(error.parse()?),
            ("redirect", Some(address)) => Self::Redirect(read_address(address)?),
            ("held-up", Some(span)) => Self::HeldUp(read_span(name, span)?),
            ("truncate", None) => Self::Truncate,
            ("empty", None) => Self::EmptyBody,
            ("html", None) => Self::Html,
            ("html", Some(status)) => Self::HtmlStatus(read_status(status)?),
            ("wrong-type", None) => Self::WrongType,
            ("encoded", coding) => Self::Encoded(read_variant(name, coding)?),
            ("media-type", Some(media_type)) => Self::MediaType(read_media_type(media_type)?),
            ("no-media-type", None) => Self::NoMediaType,
            ("bom", None) => Self::ByteOrderMark,
            ("endless", None) => Self::Endless,
            ("slow-body", Some(span)) => Self::SlowBody(read_span(name, span)?),
            ("extra-fields", None) => Self::ExtraFields,
            ("unknown-enum", None) => Self::UnknownEnum,
            ("odd-field", field) => Self::OddField(read_variant(name, field)?),
            ("odd-secret", secret) => Self::OddSecret(read_variant(name, secret)?),
            ("zero-time", zero) => Self::ZeroTime(read_variant(name, zero)?),
            ("other-error", None) => Self::OtherError,
            ("unknown-is-403", Some("own")) => Self::UnknownIs403(None),
            ("unknown-is-403", Some(form)) => Self::UnknownIs403(Some(read_variant(name, Some(form))?)),
            ("unknown-is-403", None) => Self::UnknownIs403(Some(GatewayForm::Json)),
            ("clock-ahead", Some(span)) => Self::ClockAhead(read_span(name, span)?),
            ("clock-behind", Some(span)) => Self::ClockBehind(read_span(name, span)?),
            ("late", Some(uses)) => Self::Late(read_number(name, uses)?),
            ("flaky", None) => Self::Flaky,
            ("linger", Some(uses)) => Self::Linger(read_number(name, uses)?),
            ("stale-list", Some(lists)) => Self::StaleList(read_number(name, lists)?),
            ("reuse-ids", reuse) => Self::ReuseIds(read_variant(name, reuse)?),
            ("repeat-page", None) => Self::RepeatPage,
            ("empty-page", None) => Self::EmptyPage,
            ("duplicate-rows", None) => Self::DuplicateRows,
            ("past-end-404", None) => Self::PastEnd404,
            ("page-length", Some(keys)) => Self::PageLength(read_page_length(name, keys)?),
            ("odd-row", row) => Self::OddRow(read_variant(name, row)?),
            ("quota", Some(keys)) => Self::Quota(read_number(name, keys)?),
            _ => match Intermediary::read(name, value)? {
                Some(intermediary) => Self::Intermediary(intermediary),
                None => return refuse(format!("`{text}` is not a fault: use {FAULTS}")),
            },
        })
    }
}

impl FromStr for ErrorStatus {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self> {
        let Some((status, rest)) = text.split_once(',') else {
            return Ok(Self::new(read_status(text)?));
        };
        let error = Self::new(read_status(status)?);
        Ok(match rest.split_once('=') {
            Some((name @ "retry-after", seconds)) => {
                error.retry_after(RetryAfter::Seconds(read_number(name, seconds)?))
            }
            Some((name @ "retry-after-date", span)) => error.retry_after(RetryAfter::Date(read_span(name, span)?)),
            Some((name @ "retry-after-body", seconds)) => {
                error.retry_after(RetryAfter::Body(read_number(name, seconds)?))
            }
            _ => {
                return refuse(format!(
                    "`{rest}` cannot follow a status: use retry-after=2, retry-after-date=2s or retry-after-body=2"
                ));
            }
        })
    }
}

fn read_status(text: &str) -> Result<u16> {
    match text.parse() {
        Ok(status @ 400..=599) => Ok(status),
        _ => refuse(format!("`{text}` is not the status of an error: use 400 to 599")),
    }
}

fn read_span(name: &str, text: &str) -> Result<std::time::Duration> {
    match duration::parse(text) {
        Some(span) => Ok(span),
        None => refuse(format!("`{name}` needs a number with a unit, such as 20ms, 2s, 5m or 1h, not `{text}`")),
    }
}

fn read_rate(name: &str, text: &str) -> Result<FaultKind> {
    let Some((requests, per)) = text.split_once('/') else {
        return refuse(format!("`{name}` needs a number of requests and a time, such as 5/10s, not `{text}`"));
    };
    match read_number(name, requests)? {
        0_u64 => refuse(format!("`{name}` must allow at least one request")),
        requests => Ok(FaultKind::RateLimit { requests, per: read_span(name, per)? }),
    }
}

fn read_page_length(name: &str, text: &str) -> Result<NonZeroUsize> {
    match NonZeroUsize::new(read_number(name, text)?) {
        Some(keys) => Ok(keys),
        None => refuse(format!("`{name}` must be at least one key")),
    }
}

fn read_number<N: FromStr>(name: &str, text: &str) -> Result<N> {
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) => refuse(format!("`{name}` needs a whole number, not `{text}`")),
    }
}

fn read_media_type(text: &str) -> Result<String> {
    let is_type = text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    if !is_type || HeaderValue::from_str(text).is_err() {
        return refuse(format!("`media-type` needs a type, such as text/plain, not `{text}`"));
    }
    Ok(text.to_owned())
}

fn read_address(text: &str) -> Result<String> {
    let path_follows = match text.split_once("://") {
        Some((scheme, rest)) => !scheme.is_empty() && rest.find('/').is_some_and(|at| at > 0),
        None => text.starts_with('/'),
    };
    if !path_follows || HeaderValue::from_str(text).is_err() {
        return refuse(format!(
            "`redirect` needs a path, or an address with a path, such as http://127.0.0.1:8080/, not `{text}`"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::variant::Variant;
    use super::super::{CaptivePortal, ContentCoding, OddField, OddRow, OddSecret, Waf, ZeroTime};
    use super::*;
    use crate::settings::ReuseIds;

    #[test]
    fn every_fault_is_read_and_written() {
        for kind in FAULTS.split(", ").map(|kind| kind.replace("URL", "http://127.0.0.1:8080/a")) {
            for text in
                [format!("*:{kind}"), format!("monad.*:{kind}:3"), format!("*:{kind}:1@2"), format!("*%30:{kind}@9")]
            {
                let fault: Fault = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(fault.to_string(), text);
            }
        }
        for text in [
            "create:reuse-ids=lowest",
            "monad.regenerate:reuse-ids=name:1",
            "*:unknown-is-403=own",
            "get:unknown-is-403=html",
            "*:gateway-200",
            "list:media-type=application/json; charset=latin1:1",
            "delete:gateway-403-after=azure:2@3",
            "list:waf-after=f5:1",
            "*:captive-portal=511",
            "*:captive-portal-after=redirect",
            "create:status=429,retry-after=2:1",
            "create:status=429,retry-after-date=2s",
            "spartera.create:status-after=429,retry-after-body=2",
            "stats:redirect=/elsewhere:1",
            "get:redirect=http://user@host:1/:1",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn every_variant_is_read_and_written() {
        let variants = [
            ("gateway-404", variants::<GatewayForm>()),
            ("gateway-502-after", variants::<GatewayForm>()),
            ("unknown-is-403", variants::<GatewayForm>()),
            ("waf", variants::<Waf>()),
            ("captive-portal-after", variants::<CaptivePortal>()),
            ("reuse-ids", variants::<ReuseIds>()),
            ("encoded", variants::<ContentCoding>()),
            ("odd-row", variants::<OddRow>()),
            ("odd-field", variants::<OddField>()),
            ("odd-secret", variants::<OddSecret>()),
            ("zero-time", variants::<ZeroTime>()),
        ];
        for (name, variants) in variants {
            let plain: FaultKind = name.parse().unwrap();
            assert_eq!(plain.to_string(), name);
            let (mut all, mut defaults) = (Vec::new(), 0);
            for text in variants.iter().map(|variant| format!("{name}={variant}")) {
                let kind: FaultKind = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
                defaults += usize::from(kind == plain);
                assert_eq!(kind.to_string(), if kind == plain { name } else { &text });
                assert!(!all.contains(&kind), "{text}");
                all.push(kind);
            }
            assert_eq!(defaults, 1, "{name}");
            let error = format!("{name}=other").parse::<FaultKind>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}=other` is not a fault: after `{name}=`, use ")), "{error}");
        }
    }

    fn variants<V: Variant>() -> Vec<&'static str> {
        V::ALL.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn each_part_of_the_text_sets_its_field() {
        let fault: Fault = "spartera.revoke:delay=20ms:2@3".parse().unwrap();
        let delay = FaultKind::Delay(Duration::from_millis(20));
        assert_eq!(fault, Fault::new(delay).at(Provider::Spartera).on(Operation::Revoke).times(2).after(2));
        let fault: Fault = "*:redirect=http://127.0.0.1:8080/:1".parse().unwrap();
        assert_eq!(fault, Fault::new(FaultKind::Redirect("http://127.0.0.1:8080/".into())).times(1));
    }

    #[test]
    fn errors_name_the_valid_forms() {
        for (text, message) in [
            ("", "OPERATION:FAULT[:COUNT]"),
            ("reset-after", "OPERATION:FAULT[:COUNT]"),
            ("make:reset-after", "`make` is not an operation: use list, create"),
            ("acme.create:reset-after", "`acme` is not a provider"),
            ("monad.revoke:reset-after", "that service has no such operation"),
            ("spartera.regenerate:reset-after", "that service has no such operation"),
            ("create:explode", "`explode` is not a fault: use delay=20ms"),
            ("create:reset-after=1", "is not a fault"),
            ("create:delay", "is not a fault"),
            ("create:delay=20", "such as 20ms"),
            ("create:reset-after:0", "`0` is not a count"),
            ("create:reset-after:x", "`x` is not a count"),
            ("create:reset-after:-1", "`-1` is not a count"),
            ("create:reset-after:", "`` is not a count"),
            ("create:reset-after:1@0", "`0` is not the number of a request"),
            ("create:status=200", "use 400 to 599"),
            ("create:gateway-199", "use 200 to 599"),
            ("create:gateway-", "use 200 to 599"),
            ("create:gateway-404=yaml", "after `gateway-404=`, use html, json"),
            ("create:gateway", "is not a fault"),
            ("get:held-up=60s", "cannot hit `get`"),
            ("create:held-up=60", "with a unit"),
            ("create:past-end-404", "cannot hit `create`"),
            ("create:page-length=2", "cannot hit `create`"),
            ("list:page-length=0", "at least one key"),
            ("list:page-length=x", "whole number"),
            ("get:odd-row", "cannot hit `get`"),
            ("get:media-type=text", "needs a type, such as text/plain"),
            ("get:media-type", "is not a fault"),
            ("list:reuse-ids", "cannot hit `list`"),
            ("create:status=429,when=2", "`when=2` cannot follow a status"),
            ("create%:reset-after", "`` is not a chance"),
            ("create%101:reset-after", "from 0 to 100"),
            ("create:rate-limit=5", "such as 5/10s"),
            ("create:rate-limit=0/1s", "at least one request"),
            ("create:rate-limit=5/1", "with a unit"),
            ("create:late=x", "whole number"),
            ("create:redirect=http://127.0.0.1:8080", "an address with a path"),
            ("create:redirect=elsewhere", "an address with a path"),
            ("get:late=1", "`late=1` cannot hit `get`"),
            ("create:empty-page", "cannot hit"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
