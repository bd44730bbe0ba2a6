//! Ending a key: what counts as gone, and what is never repeated blindly.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_keyring::{
    Acceptance, ApiKey, Ended, Error, ErrorKind, Inject, ManualClock, Memory, Operation, Outcome, OwnCredential,
    Provider, ProviderExt, Retry, Revocation, Sameness, SecretProbe,
};
use api_keyring_emulator::{Emulator, Revision, SparteraShape};
use serde_json::{Value, json};

use crate::stub::{Answer, Request};
use crate::support::{Fixture, VARIANTS, Vendor, administrator, emulator, id, new_key, time};

fn retry() -> Retry {
    let clock = ManualClock::new(time("2026-01-01T00:00:00Z"));
    Retry::new().max_attempts(3).clock(clock).seed(1)
}

/// The answers of something between the client and the vendor.
fn foreign() -> Vec<Answer> {
    vec![
        Answer::html(404),
        Answer::json(404, &json!({"message": "no Route matched with those values"})),
        Answer::json(410, &json!({"code": 5, "message": "Not Found", "details": []})),
        Answer::text(404, "text/plain", "404 page not found"),
    ]
}

/// A vendor that answers a delete and the reads after it as a test says.
struct Script {
    /// The answers to deletes, in order. The last one repeats.
    deletes: Vec<Answer>,
    /// The answers to reads of the key, in order. The last one repeats.
    gets: Vec<Answer>,
    list: Value,
}

impl Script {
    fn start(self, fixture: &Fixture) -> Arc<Mutex<Vec<String>>> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let Self { mut deletes, mut gets, list } = self;
        fixture.stub.answer_with(move |request: &Request| {
            let next = |answers: &mut Vec<Answer>| match answers.len() {
                1 => answers[0].clone(),
                _ => answers.remove(0),
            };
            let is_list = request.target.contains('?');
            log.lock().unwrap().push(if is_list { "LIST".to_owned() } else { request.method.clone() });
            match request.method.as_str() {
                "GET" if is_list => Answer::json(200, &list),
                "GET" => next(&mut gets),
                _ => next(&mut deletes),
            }
        });
        seen
    }
}

/// Reads the key `7` as the vendor's documentation shows it.
async fn shown(fixture: &Fixture) -> ApiKey {
    fixture.stub.answer_all(Answer::json(200, &fixture.vendor.success(Operation::Get)));
    fixture.provider.get(&id("7")).await.unwrap()
}

/// A key that has the same id and was created later.
fn stranger(vendor: Vendor) -> Answer {
    let mut body = vendor.success(Operation::Get);
    match vendor {
        Vendor::Spartera => body["data"]["date_created"] = "2027-01-01T00:00:00Z".into(),
        Vendor::Monad => body["created_at"] = "2027-01-01T00:00:00Z".into(),
    }
    Answer::json(200, &body)
}

/// The key `7`, with the time of its creation.
fn ours(vendor: Vendor) -> Answer {
    let mut body = vendor.success(Operation::Get);
    match vendor {
        Vendor::Spartera => body["data"]["date_created"] = "2026-01-01 00:00:00+00:00".into(),
        Vendor::Monad => body["created_at"] = "2026-01-01T00:00:00Z".into(),
    }
    Answer::json(200, &body)
}

#[tokio::test]
async fn a_key_is_gone_only_if_it_is_seen_gone_twice() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        let own_404 = || Answer::json(404, &vendor.failure(404, "no such key"));
        let key = || Answer::json(200, &vendor.success(Operation::Get));
        let (with, without) = (vendor.list(&[vendor.key("7")]), vendor.list(&[vendor.key("8")]));
        let find = async |gets: Vec<Answer>, list: &Value| {
            let script = Script { deletes: vec![own_404()], gets, list: list.clone() };
            let seen = script.start(&fixture);
            let found = fixture.provider.find(&id("7")).await.map(|key| key.is_some());
            let seen = seen.lock().unwrap().join(" ");
            (found, seen)
        };
        let (found, seen) = find(vec![own_404()], &with).await;
        assert_eq!((found.unwrap(), &*seen), (false, "GET GET"), "{vendor:?}");
        let (found, _) = find(vec![own_404(), key()], &with).await;
        assert!(found.unwrap(), "{vendor:?}: the second look does not agree");
        for answer in foreign() {
            // The list decides, so that a vendor whose 404 has another form blocks nothing.
            let (found, seen) = find(vec![answer.clone()], &without).await;
            assert!(!found.unwrap(), "{vendor:?} {answer:?}");
            assert!(seen.starts_with("GET LIST"), "{vendor:?} {answer:?}: {seen}");
            let (found, _) = find(vec![answer.clone()], &with).await;
            assert!(found.unwrap(), "{vendor:?} {answer:?}: the list holds it");
            let (found, _) = find(vec![own_404(), answer.clone()], &with).await;
            assert!(found.unwrap(), "{vendor:?} {answer:?}: one look proves nothing");
        }
        let (found, _) = find(vec![Answer::html(502)], &without).await;
        assert_eq!(found.unwrap_err().kind(), ErrorKind::Intermediary, "{vendor:?}");
    }
}

#[tokio::test]
async fn a_delete_is_claimed_only_after_a_look() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        let key = shown(&fixture).await;
        let done = || Answer::json(200, &vendor.success(Operation::Delete));
        let own_404 = || Answer::json(404, &vendor.failure(404, "no such key"));
        let living = || Answer::json(200, &vendor.success(Operation::Get));
        let list = vendor.list(&[vendor.key("7")]);
        let delete = async |deletes: Vec<Answer>, gets: Vec<Answer>| {
            let seen = Script { deletes, gets, list: list.clone() }.start(&fixture);
            let ended = fixture.provider.delete_and_confirm(&key, &retry()).await;
            let seen = seen.lock().unwrap().join(" ");
            (ended, seen)
        };
        let (ended, seen) = delete(vec![done()], vec![own_404()]).await;
        assert_eq!((ended.unwrap(), &*seen), (Ended::Gone, "DELETE GET GET"), "{vendor:?}");
        let (ended, _) = delete(vec![own_404()], vec![own_404()]).await;
        assert_eq!(ended.unwrap(), Ended::Gone, "{vendor:?}");
        // A gateway fails, then another one answers 404: the key lives.
        for answer in foreign().into_iter().chain([Answer::html(502), Answer::html(200), Answer::hang_up()]) {
            let context = format!("{vendor:?} {answer:?}");
            let (ended, seen) = delete(vec![Answer::html(502), answer.clone()], vec![living()]).await;
            let error = ended.unwrap_err();
            assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 3), "{context}: {error}");
            assert_eq!(seen, "DELETE GET DELETE GET DELETE GET", "{context}");
            let (ended, seen) = delete(vec![answer.clone(), done()], vec![living(), own_404()]).await;
            assert_eq!((ended.unwrap(), &*seen), (Ended::Gone, "DELETE GET DELETE GET GET"), "{context}");
        }
        // The vendor's own refusal is final.
        for status in [400, 401, 403, 409] {
            let (ended, seen) = delete(vec![Answer::json(status, &vendor.failure(status, "no"))], vec![living()]).await;
            assert_eq!((ended.unwrap_err().outcome(), &*seen), (Outcome::Rejected, "DELETE"), "{vendor:?} {status}");
        }
        // If the look fails, the outcome stays unknown.
        let (ended, _) = delete(vec![done()], vec![Answer::html(502)]).await;
        let error = ended.unwrap_err();
        assert_eq!((error.outcome(), error.operation()), (Outcome::Unknown, Some(Operation::Delete)), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_got_the_id_of_a_deleted_one_is_left_alone() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        fixture.stub.answer_all(ours(vendor));
        let key = fixture.provider.get(&id("7")).await.unwrap();
        let script = Script { deletes: vec![Answer::hang_up()], gets: vec![stranger(vendor)], list: vendor.list(&[]) };
        let seen = script.start(&fixture);
        assert_eq!(fixture.provider.delete_and_confirm(&key, &retry()).await.unwrap(), Ended::Gone, "{vendor:?}");
        assert_eq!(seen.lock().unwrap().join(" "), "DELETE GET", "{vendor:?}: one delete, and none for the stranger");
    }
}

#[tokio::test]
async fn a_revoke_is_confirmed_in_every_form_of_the_vendors() {
    for (vendor, revision, shape) in VARIANTS {
        let emulator = emulator(revision, shape).await;
        let provider = administrator(&emulator, vendor);
        let issued = provider.create(&new_key().role(role(vendor))).await.unwrap();
        let key = provider.get(issued.id()).await.unwrap();
        let context = format!("{vendor:?} {revision:?} {shape:?}");
        if vendor == Vendor::Spartera {
            let ended = provider.revoke_and_confirm(&key, &Revocation::new().role("3"), &retry()).await.unwrap();
            // Older servers show no status in the documented shape.
            let shows_status = shape == SparteraShape::Guide || revision == Revision::Current;
            assert_eq!(ended, if shows_status { Ended::Dead } else { Ended::Acknowledged }, "{context}");
        }
        let ended = provider.delete_and_confirm(&key, &retry()).await.unwrap();
        assert!(matches!(ended, Ended::Gone | Ended::Dead | Ended::Acknowledged), "{context}: {ended:?}");
        assert!(provider.accepts(issued.secret()).await.unwrap().is_refused(), "{context}");
    }
}

fn role(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Spartera => "3",
        Vendor::Monad => "role-reader",
    }
}

#[tokio::test]
async fn a_key_that_stays_active_is_not_claimed_to_be_gone() {
    let memory = Memory::new();
    let issued = memory.create(&new_key()).await.unwrap();
    let key = memory.get(issued.id()).await.unwrap();
    // Three deletes are lost before they arrive, and the vendor's answers pretend success.
    let lost = (0..3).fold(Inject::new(), |inject, _| {
        inject.before(Operation::Delete, || Error::new(ErrorKind::Timeout, Outcome::Unknown, "injected"))
    });
    let error = memory.clone().failing(lost).delete_and_confirm(&key, &retry()).await.unwrap_err();
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 3));
    assert!(memory.exists(key.id()).await.unwrap());
}

#[tokio::test]
async fn a_refusal_does_not_hide_that_an_earlier_attempt_may_still_take_effect() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        let key = shown(&fixture).await;
        let living = || Answer::json(200, &vendor.success(Operation::Get));
        for lost in [Answer::hang_up(), Answer::html(502), Answer::html(404)] {
            for status in [400, 401, 403, 429] {
                let refused = Answer::json(status, &vendor.failure(status, "no"));
                let deletes = vec![lost.clone(), refused];
                Script { deletes, gets: vec![living()], list: vendor.list(&[vendor.key("7")]) }.start(&fixture);
                let error = fixture.provider.delete_and_confirm(&key, &retry()).await.unwrap_err();
                let context = format!("{vendor:?} {lost:?} {status}");
                assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 2), "{context}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_was_dead_before_does_not_show_that_a_lost_request_arrived() {
    let fixture = Fixture::start(Vendor::Spartera).await;
    let with = |field: &str, value: &str| {
        let mut body = Vendor::Spartera.success(Operation::Get);
        body["data"][field] = value.into();
        Answer::json(200, &body)
    };
    let (living, expired) = (with("status", "active"), with("expires_at", "2025-01-01T00:00:00Z"));
    let (revoked, inactive) = (with("status", "revoked"), with("status", "inactive"));
    for (before, after, ended) in [
        (&living, &revoked, Some(Ended::Dead)),
        (&living, &inactive, Some(Ended::Dead)),
        (&living, &expired, None),
        (&expired, &expired, None),
        (&revoked, &revoked, None),
    ] {
        let context = format!("{before:?} {after:?}");
        fixture.stub.answer_all(before.clone());
        let key = fixture.provider.get(&id("7")).await.unwrap();
        let end = async |deletes: Vec<Answer>| {
            let list = Vendor::Spartera.list(&[]);
            let seen = Script { deletes, gets: vec![after.clone()], list }.start(&fixture);
            let ended = fixture.provider.delete_and_confirm(&key, &retry()).await;
            let count = seen.lock().unwrap().iter().filter(|request| *request == "DELETE").count();
            (ended, count)
        };
        let (lost, count) = end(vec![Answer::hang_up()]).await;
        match ended {
            Some(ended) => assert_eq!((lost.unwrap(), count), (ended, 1), "{context}"),
            None => assert_eq!((lost.unwrap_err().outcome(), count), (Outcome::Unknown, 3), "{context}"),
        }
        let done = Answer::json(200, &Vendor::Spartera.success(Operation::Delete));
        let (ended, count) = end(vec![Answer::hang_up(), done]).await;
        assert_eq!(ended.unwrap(), Ended::Dead, "{context}");
        assert!(count <= 2, "{context}");
    }
}

#[tokio::test]
async fn identity_is_more_than_an_id() {
    let key = |created: &str, name: &str, masked: Option<&str>| {
        let key = ApiKey::builder("vault", id("7")).name(name).role("3");
        let key = if created.is_empty() { key } else { key.created_at(time(created)) };
        match masked {
            Some(masked) => key.masked_secret(masked).build(),
            None => key.build(),
        }
    };
    let (first, second) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z");
    for (ours, theirs, expected) in [
        (key(first, "ci", None), key(first, "ci", None), Sameness::Same),
        (key(first, "ci", None), key(second, "ci", None), Sameness::Another),
        (key(first, "ci", Some("sk_****1234")), key(first, "ci", Some("sk_****9999")), Sameness::Another),
        (key("", "ci", Some("sk_****1234")), key("", "ci", Some("sk_****9999")), Sameness::Another),
        (key(first, "ci", Some("sk_****1234")), key(first, "renamed", Some("sk_****1234")), Sameness::Same),
        (key(first, "ci", None), key(first, "renamed", None), Sameness::Unclear),
        (key("", "ci", None), key("", "renamed", None), Sameness::Unclear),
        (key("", "ci", None), key(first, "ci", None), Sameness::Same),
    ] {
        assert_eq!(ours.identity().compare(&theirs), expected, "{ours:?} {theirs:?}");
    }
}

/// Returns how a provider's answers to a secret are understood: the control secret is answered with `control`.
async fn probed(vendor: Vendor, tried: Answer, control: Answer) -> Result<Acceptance, ErrorKind> {
    let fixture = Fixture::start(vendor).await;
    let secret = "sk_live_0123456789abcdef0123";
    fixture.stub.answer_with(move |request: &Request| match request.header("x-api-key")[..] == [secret] {
        true => tried.clone(),
        false => control.clone(),
    });
    fixture.provider.accepts(&secret.into()).await.map_err(|error| error.kind())
}

#[tokio::test]
async fn a_403_counts_only_if_a_wrong_secret_is_answered_differently() {
    for vendor in Vendor::ALL {
        let own = |status| Answer::json(status, &vendor.failure(status, "no"));
        let gateway = || Answer::json(403, &json!({"message": "Forbidden"}));
        let list = || Answer::json(200, &vendor.list(&[]));
        let expect = [
            (list(), own(401), Ok(Acceptance::Accepted)),
            (own(401), own(401), Ok(Acceptance::Refused)),
            (own(403), own(401), Ok(Acceptance::NotPermitted)),
            (own(403), own(403), Ok(Acceptance::Unclear)),
            (own(403), list(), Ok(Acceptance::Unclear)),
            (own(403), gateway(), Err(ErrorKind::Intermediary)),
            (gateway(), gateway(), Err(ErrorKind::Intermediary)),
            (gateway(), own(401), Err(ErrorKind::Intermediary)),
            (Answer::html(401), own(401), Err(ErrorKind::Intermediary)),
        ];
        for (tried, control, expected) in expect {
            let context = format!("{vendor:?} {tried:?} {control:?}");
            assert_eq!(probed(vendor, tried, control).await, expected, "{context}");
        }
    }
}

#[tokio::test]
async fn a_probe_tries_the_wrong_secret_once() {
    let fixture = Fixture::start(Vendor::Spartera).await;
    fixture.stub.answer_all(Answer::json(403, &Vendor::Spartera.failure(403, "no")));
    let probe = SecretProbe::new();
    for _ in 0..3 {
        let answer = probe.clone().accepts(&fixture.provider, &"sk_live_0123456789abcdef0123".into()).await;
        assert_eq!(answer.unwrap(), Acceptance::Unclear);
    }
    assert_eq!(fixture.stub.requests().len(), 4);
}

#[tokio::test]
async fn a_provider_knows_its_own_key_where_anything_tells() {
    let memory = Memory::new();
    let other = memory.create(&new_key()).await.unwrap();
    let own = memory.get(&memory.whoami().await.unwrap()).await.unwrap();
    let other = memory.get(other.id()).await.unwrap();
    assert_eq!(memory.is_own_credential(&own, None).await.unwrap(), OwnCredential::Yes);
    assert_eq!(memory.is_own_credential(&other, None).await.unwrap(), OwnCredential::No);
    for (vendor, revision, shape) in VARIANTS {
        let emulator = emulator(revision, shape).await;
        let provider = administrator(&emulator, vendor);
        let secret = own_secret(&emulator, vendor).into();
        let context = format!("{vendor:?} {revision:?} {shape:?}");
        let other = provider.create(&new_key().role(role(vendor))).await.unwrap();
        for key in provider.list_all(api_keyring::ListKeys::new()).await.unwrap() {
            let is_own = provider.is_own_credential(&key, Some(&secret)).await.unwrap();
            let is_other = key.id() == other.id();
            let expected = match (vendor, is_other) {
                (_, false) => OwnCredential::Yes,
                (Vendor::Spartera, true) => OwnCredential::No,
                // The token names its own key. It says nothing about other keys.
                (Vendor::Monad, true) => OwnCredential::Unknown,
            };
            assert_eq!(is_own, expected, "{context}");
            let unknown = provider.is_own_credential(&key, None).await.unwrap();
            assert_eq!(unknown, OwnCredential::Unknown, "{context}");
        }
    }
}

fn own_secret(emulator: &Emulator, vendor: Vendor) -> String {
    match vendor {
        Vendor::Spartera => emulator.spartera().admin_key(),
        Vendor::Monad => emulator.monad().admin_key(),
    }
}

#[tokio::test]
async fn a_wait_between_two_deletes_follows_the_retrys_clock() {
    let clock = ManualClock::new(time("2026-01-01T00:00:00Z"));
    let retry = Retry::new().max_attempts(3).first_backoff(Duration::from_secs(1)).clock(clock.clone()).seed(1);
    let fixture = Fixture::start(Vendor::Monad).await;
    let key = shown(&fixture).await;
    let living = Answer::json(200, &Vendor::Monad.success(Operation::Get));
    Script { deletes: vec![Answer::html(502)], gets: vec![living], list: json!({"api_keys": []}) }.start(&fixture);
    fixture.provider.delete_and_confirm(&key, &retry).await.unwrap_err();
    assert_eq!(clock.waits().len(), 2);
}
