//! Retries: which calls are repeated, how often, after which wait, and which error is final, for every operation and
//! fault.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_keyring::{
    ErrorKind, Inject, ManualClock, Memory, NewKey, Operation, Outcome, Provider, ProviderExt, Retry, Throttle,
};
use chrono::{DateTime, Utc};
use tokio::net::{TcpListener, TcpSocket};

use crate::stub::{Answer, Stub};
use crate::support::{CREDENTIAL, SCOPE, Vendor, id, new_key, perform, perform_on, printed};

fn connect(vendor: Vendor, base_url: &str) -> Arc<dyn Provider> {
    vendor.connect(base_url, SCOPE, CREDENTIAL)
}

const ATTEMPTS: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const SEED: u64 = 11;

fn clock() -> ManualClock {
    ManualClock::new("2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap())
}

fn retry(clock: &ManualClock) -> Retry {
    Retry::new().max_attempts(ATTEMPTS).first_backoff(FIRST_BACKOFF).clock(clock.clone()).seed(SEED)
}

/// Returns the waits that the seed produces: between zero and 250 ms, then between zero and 500 ms.
fn jittered(waits: usize) -> Vec<Duration> {
    let mut random = fastrand::Rng::with_seed(SEED);
    (0..waits).map(|attempt| FIRST_BACKOFF.mul_f64(2_f64.powi(attempt as i32) * random.f64())).collect()
}

/// Returns whether repeating the operation does no harm, even if another key has got the id meanwhile.
fn is_harmless(operation: Operation) -> bool {
    !operation.is_write()
}

/// A fault of every request, and the expected error.
struct Row {
    fault: &'static str,
    answer: fn(Vendor) -> Answer,
    kind: ErrorKind,
    outcome: Outcome,
    /// Whether the call is repeated: first for harmless operations, then for all others.
    again: [bool; 2],
    /// The wait that the vendor asks for, if any.
    asks: Option<Duration>,
}

const NEVER: [bool; 2] = [false, false];
const HARMLESS: [bool; 2] = [true, false];
const ALWAYS: [bool; 2] = [true, true];

const TABLE: &[Row] = {
    use ErrorKind::*;
    use Outcome::{Rejected as No, Unknown};
    const fn row(
        fault: &'static str,
        answer: fn(Vendor) -> Answer,
        kind: ErrorKind,
        outcome: Outcome,
        again: [bool; 2],
    ) -> Row {
        Row { fault, answer, kind, outcome, again, asks: None }
    }
    &[
        row("hang up after the request", |_| Answer::hang_up(), Connection, Unknown, HARMLESS),
        row("reset after the request", |_| Answer::reset(), Connection, Unknown, HARMLESS),
        row("400", |v| failure(v, 400), Rejected, No, NEVER),
        row("401", |v| failure(v, 401), Unauthenticated, No, NEVER),
        row("403", |v| failure(v, 403), PermissionDenied, No, NEVER),
        row("404", |v| failure(v, 404), NotFound, No, NEVER),
        row("408", |v| failure(v, 408), Timeout, Unknown, HARMLESS),
        row("409", |v| failure(v, 409), Conflict, No, NEVER),
        row("422", |v| failure(v, 422), Rejected, No, NEVER),
        row("a gateway's 429", |_| Answer::text(429, "text/plain", "slow down"), Intermediary, Unknown, HARMLESS),
        row("a gateway's 404", |_| Answer::html(404), Intermediary, Unknown, HARMLESS),
        row("a gateway's 200", |_| Answer::html(200), Intermediary, Unknown, HARMLESS),
        Row {
            asks: Some(Duration::from_secs(7)),
            ..row("429, 7 s", |v| failure(v, 429).header("retry-after", "7"), RateLimited, No, ALWAYS)
        },
        Row {
            asks: Some(Duration::from_secs(9)),
            ..row("429, a date", |v| dated(failure(v, 429)), RateLimited, No, ALWAYS)
        },
        row("500", |v| failure(v, 500), Server, Unknown, NEVER),
        row("502", |v| failure(v, 502), Server, Unknown, HARMLESS),
        row("a gateway's 502", |_| Answer::html(502), Intermediary, Unknown, HARMLESS),
        row("503", |v| failure(v, 503), Server, Unknown, HARMLESS),
        Row {
            asks: Some(Duration::from_secs(7)),
            ..row("503, 7 s", |v| failure(v, 503).header("retry-after", "7"), Server, Unknown, HARMLESS)
        },
        row("504", |v| failure(v, 504), Server, Unknown, HARMLESS),
    ]
};

fn failure(vendor: Vendor, status: u16) -> Answer {
    Answer::json(status, &vendor.failure(status, "not now"))
}

fn dated(answer: Answer) -> Answer {
    let answer = answer.header("date", "Thu, 01 Jan 2026 00:00:00 GMT");
    answer.header("retry-after", "Thu, 01 Jan 2026 00:00:09 GMT")
}

/// Connects to the stub with a short timeout.
fn impatient(vendor: Vendor, base_url: &str) -> Arc<dyn Provider> {
    let limit = Duration::from_millis(250);
    match vendor {
        Vendor::Spartera => {
            let builder = api_keyring::Spartera::builder().company_id(SCOPE).api_key(CREDENTIAL).base_url(base_url);
            Arc::new(builder.transport(move |transport| transport.timeout(limit)).build().unwrap())
        }
        Vendor::Monad => {
            let builder = api_keyring::Monad::builder().organization_id(SCOPE).api_key(CREDENTIAL).base_url(base_url);
            Arc::new(builder.transport(move |transport| transport.timeout(limit)).build().unwrap())
        }
    }
}

#[tokio::test]
async fn every_operation_is_repeated_only_after_safe_faults() {
    for vendor in Vendor::ALL {
        let stub = Stub::start().await;
        let provider = vendor.connect(&stub.base_url(), SCOPE, CREDENTIAL);
        for &operation in vendor.operations() {
            for row in TABLE {
                check_cell(vendor, operation, row, &stub, &provider).await;
            }
        }
    }
}

#[tokio::test]
async fn every_operation_is_repeated_after_a_timeout_only_if_safe() {
    let row = Row {
        fault: "no answer in time",
        answer: |_| Answer::silence(),
        kind: ErrorKind::Timeout,
        outcome: Outcome::Unknown,
        again: HARMLESS,
        asks: None,
    };
    for vendor in Vendor::ALL {
        let mut calls = Vec::new();
        for &operation in vendor.operations() {
            let stub = Stub::start().await;
            let provider = impatient(vendor, &stub.base_url());
            calls.push((operation, stub, provider));
        }
        // Run them concurrently, because each waits for an answer that never comes.
        let checks =
            calls.iter().map(|(operation, stub, provider)| check_cell(vendor, *operation, &row, stub, provider));
        futures_util::future::join_all(checks).await;
    }
}

async fn check_cell(vendor: Vendor, operation: Operation, row: &Row, stub: &Stub, provider: &dyn Provider) {
    let context = format!("{vendor:?} {operation} {}", row.fault);
    stub.answer_all((row.answer)(vendor));
    let clock = clock();
    let reported = Arc::new(Mutex::new(Vec::new()));
    let observer = Arc::clone(&reported);
    let retry = retry(&clock).observe(move |retrying| {
        observer.lock().unwrap().push((retrying.call.operation, retrying.attempts, retrying.wait));
    });
    let error = perform(&provider.retrying(retry), operation).await.unwrap_err();
    let is_again = row.again[usize::from(!is_harmless(operation))];
    let attempts = if is_again { ATTEMPTS } else { 1 };
    assert_eq!(stub.requests().len(), attempts as usize, "{context}: number of requests");
    assert_eq!((error.kind(), error.outcome()), (row.kind, row.outcome), "{context}: {error}");
    assert_eq!(error.attempts(), attempts, "{context}");
    assert_eq!(error.retries_exhausted(), is_again, "{context}");
    assert_eq!(error.to_string().contains("(3 attempts)"), is_again, "{context}: {error}");
    // Spartera's documented 429 also has a wait in its body (17 s in the stub). The header takes precedence.
    let expected: Vec<_> = match row.asks {
        _ if !is_again => vec![],
        Some(wait) => vec![wait; 2],
        None => jittered(2),
    };
    assert_eq!(clock.waits(), expected, "{context}: waits");
    let reported = reported.lock().unwrap().clone();
    assert_eq!(reported.iter().map(|(_, _, wait)| *wait).collect::<Vec<_>>(), expected, "{context}: reported waits");
    assert!(
        reported.iter().zip(1..).all(|((reported, attempts, _), n)| (*reported, *attempts) == (operation, n)),
        "{context}"
    );
    assert!(!printed(&error).contains(CREDENTIAL), "{context}");
}

#[tokio::test]
async fn every_operation_is_repeated_after_a_refused_connection() {
    // The socket keeps the port to itself but does not listen.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base_url = format!("http://{}", socket.local_addr().unwrap());
    for vendor in Vendor::ALL {
        for &operation in vendor.operations() {
            let clock = clock();
            let provider = connect(vendor, &base_url).retrying(retry(&clock));
            let error = perform(&provider, operation).await.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connection, Outcome::NotSent), "{operation}");
            assert_eq!((error.attempts(), error.retries_exhausted()), (ATTEMPTS, true), "{vendor:?} {operation}");
            assert_eq!(clock.waits(), jittered(2), "{vendor:?} {operation}");
        }
    }
}

#[tokio::test]
async fn a_connection_reset_before_the_request_is_read_leaves_the_outcome_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            // The request has arrived, but nothing reads it.
            socket.readable().await.unwrap();
            socket.set_zero_linger().unwrap();
        }
    });
    for vendor in Vendor::ALL {
        let unclear = connect(vendor, &base_url);
        for &operation in vendor.operations() {
            accepted.store(0, Ordering::SeqCst);
            let clock = clock();
            let error = perform(&(&unclear).retrying(retry(&clock)), operation).await.unwrap_err();
            // The client cannot know whether the server read its request.
            assert_eq!(
                (error.kind(), error.outcome()),
                (ErrorKind::Connection, Outcome::Unknown),
                "{operation}: {error}"
            );
            let attempts = if is_harmless(operation) { ATTEMPTS } else { 1 };
            assert_eq!(accepted.load(Ordering::SeqCst), attempts, "{vendor:?} {operation}: connections");
            assert_eq!(clock.waits(), jittered(attempts as usize - 1), "{vendor:?} {operation}");
        }
    }
}

#[tokio::test]
async fn a_truncated_answer_is_requested_again_unless_it_holds_a_secret() {
    for vendor in Vendor::ALL {
        let stub = Stub::start().await;
        for &operation in vendor.operations() {
            let context = format!("{vendor:?} {operation}");
            let whole = vendor.success(operation).to_string();
            let answer = Answer::text(200, "application/json", &whole[..whole.len() - 1]).cut_short();
            stub.answer_all(answer);
            let clock = clock();
            let provider = connect(vendor, &stub.base_url()).retrying(retry(&clock));
            let error = perform(&provider, operation).await.unwrap_err();
            let attempts = if is_harmless(operation) { ATTEMPTS } else { 1 };
            assert_eq!(stub.requests().len(), attempts as usize, "{context}");
            assert_eq!(error.kind(), ErrorKind::Connection, "{context}: {error}");
            assert_eq!(error.unclaimed_secret().is_some(), operation.yields_secret(), "{context}");
        }
    }
}

#[tokio::test]
async fn a_success_after_failures_is_a_success() {
    for vendor in Vendor::ALL {
        let stub = Stub::start().await;
        for &operation in vendor.operations() {
            let mut answers =
                vec![Answer::json(200, &vendor.success(operation)), failure(vendor, 429), failure(vendor, 429)];
            stub.answer_with(move |_| if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() });
            let clock = clock();
            let provider = connect(vendor, &stub.base_url()).retrying(retry(&clock));
            perform(&provider, operation).await.unwrap_or_else(|error| panic!("{vendor:?} {operation}: {error}"));
            assert_eq!(clock.waits().len(), 2, "{vendor:?} {operation}");
        }
    }
}

#[tokio::test]
async fn the_longer_of_backoff_and_requested_wait_counts() {
    let stub = Stub::start().await;
    stub.answer_all(failure(Vendor::Spartera, 429));
    let clock = clock();
    let provider = connect(Vendor::Spartera, &stub.base_url()).retrying(retry(&clock));
    perform(&provider, Operation::Get).await.unwrap_err();
    assert_eq!(clock.waits(), [Duration::from_secs(17); 2]);

    stub.answer_all(failure(Vendor::Spartera, 429).header("retry-after", "0"));
    let clock = self::clock();
    let provider = connect(Vendor::Spartera, &stub.base_url()).retrying(retry(&clock));
    perform(&provider, Operation::Get).await.unwrap_err();
    assert_eq!(clock.waits(), jittered(2));
}

#[tokio::test]
async fn a_server_cannot_ask_for_a_longer_wait_than_allowed() {
    let stub = Stub::start().await;
    stub.answer_all(failure(Vendor::Monad, 429).header("retry-after", "3600"));
    let clock = clock();
    let provider = connect(Vendor::Monad, &stub.base_url()).retrying(retry(&clock));
    let error = perform(&provider, Operation::Get).await.unwrap_err();
    assert_eq!((error.attempts(), error.retries_exhausted()), (1, true));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(clock.waits(), []);

    // The default is one minute, even where the limit of all attempts leaves room for more.
    for (asked, attempts) in [("60", 2), ("61", 1)] {
        stub.answer_all(failure(Vendor::Monad, 429).header("retry-after", asked));
        let provider = connect(Vendor::Monad, &stub.base_url()).retrying(retry(&self::clock()).max_attempts(2));
        let error = perform(&provider, Operation::Get).await.unwrap_err();
        assert_eq!((error.attempts(), error.retries_exhausted()), (attempts, true), "{asked}");
    }

    // Three waits of 40 s exceed the limit of 100 s.
    stub.answer_all(failure(Vendor::Monad, 429).header("retry-after", "40"));
    let limited = retry(&clock).max_attempts(10).max_elapsed(Duration::from_secs(100));
    let provider = connect(Vendor::Monad, &stub.base_url()).retrying(limited);
    let error = perform(&provider, Operation::Get).await.unwrap_err();
    assert_eq!((error.attempts(), error.retries_exhausted()), (3, true));
    assert_eq!(clock.waits(), [Duration::from_secs(40); 2]);
}

#[tokio::test]
async fn backoffs_double_up_to_their_limit() {
    let clock = clock();
    let memory = Memory::new();
    let refused = (0..9).fold(Inject::new(), |inject, _| inject.refusing(Operation::Get));
    let retry = retry(&clock).max_attempts(10).max_backoff(Duration::from_secs(2));
    let provider = memory.failing(refused).retrying(retry);
    provider.get(&id("1")).await.unwrap();
    let mut random = fastrand::Rng::with_seed(SEED);
    let backoffs = [250, 500, 1000, 2000, 2000, 2000, 2000, 2000, 2000];
    let expected: Vec<_> = backoffs.map(|backoff| Duration::from_millis(backoff).mul_f64(random.f64())).to_vec();
    assert_eq!(clock.waits(), expected);
}

#[tokio::test]
async fn a_delete_whose_answer_is_lost_is_not_repeated_blindly() {
    let clock = clock();
    let memory = Memory::new();
    let issued = memory.create(&new_key()).await.unwrap();
    for operation in [Operation::Delete, Operation::Revoke] {
        let lost = memory.clone().failing(Inject::new().losing_answer(operation)).retrying(retry(&clock));
        let error = perform_on(&lost, operation, issued.id()).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome(), error.attempts()), (ErrorKind::Connection, Outcome::Unknown, 1));
        assert!(error.may_have_taken_effect());
    }
    assert_eq!(clock.waits(), []);

    // A repeated read does not make the outcome unknown.
    let lost = Inject::new().losing_answer(Operation::Get);
    let error = memory.clone().failing(lost).retrying(retry(&clock)).get(issued.id()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome(), error.attempts()), (ErrorKind::NotFound, Outcome::Rejected, 2));
}

#[tokio::test]
async fn a_mark_finds_the_key_of_an_unclear_create() {
    let memory = Memory::new();
    let clock = clock();
    let provider = memory.clone().failing(Inject::new().losing_answer(Operation::Create)).retrying(retry(&clock));
    let mark = api_keyring::Mark::random();
    let new = NewKey::new("ci").marked(&mark).role("3");
    let error = provider.create(&new).await.unwrap_err();
    assert_eq!((error.attempts(), error.outcome()), (1, Outcome::Unknown), "{error}");
    // A key with this mark is an orphan, because nobody has its secret.
    let orphans = provider.resolve(&mark).await.unwrap();
    assert_eq!(orphans.len(), 1);
    for orphan in orphans {
        provider.delete(orphan.id()).await.unwrap();
    }
    let issued = provider.create(&new.marked(&api_keyring::Mark::random())).await.unwrap();
    assert!(provider.accepts(issued.secret()).await.unwrap().is_accepted());
    assert_eq!(provider.find_by_name("ci").await.unwrap().len(), 0, "the name includes the mark");
    assert_eq!(provider.list_all(api_keyring::ListKeys::new()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_throttle_spaces_calls_and_holds_them_back_after_a_429() {
    let clock = clock();
    let throttle = Throttle::new().interval(Duration::from_millis(100)).clock(clock.clone());
    let slow_down = || {
        let error = api_keyring::Error::new(ErrorKind::RateLimited, Outcome::Rejected, "too many");
        error.with_retry_after(Duration::from_secs(5))
    };
    let memory = Memory::new().failing(Inject::new().before(Operation::Delete, slow_down)).throttled(throttle);
    for _ in 0..3 {
        memory.get(&id("1")).await.unwrap();
    }
    assert_eq!(clock.waits(), [Duration::from_millis(100); 2]);
    memory.delete(&id("1")).await.unwrap_err();
    memory.get(&id("1")).await.unwrap();
    assert_eq!(clock.waits()[2..], [Duration::from_millis(100), Duration::from_secs(5)]);

    // Gateways limit the rate as well.
    let clock = self::clock();
    let gateway = || {
        api_keyring::Error::new(ErrorKind::Intermediary, Outcome::Unknown, "429")
            .with_retry_after(Duration::from_secs(7))
    };
    let throttled = Throttle::new().clock(clock.clone());
    let memory = Memory::new().failing(Inject::new().before(Operation::Get, gateway)).throttled(throttled);
    memory.get(&id("1")).await.unwrap_err();
    memory.get(&id("1")).await.unwrap();
    assert_eq!(clock.waits(), [Duration::from_secs(7)]);
}
