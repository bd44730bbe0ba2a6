//! Lists: they hold every key once, whatever the server's pages look like, and one failure does not hide the rest.

use std::collections::BTreeSet;

use api_keyring::{
    ErrorKind, Keyring, ListKeys, Memory, NewKey, Operation, Outcome, Provider as _, ProviderExt as _, SortKeys,
};
use api_keyring_emulator::{Emulator, Fault, Revision, SparteraShape};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::stub::{Answer, Request};
use crate::support::{
    CREDENTIAL, Fixture, VARIANTS, Vendor, administrator, assert_error, assert_readable, emulator, keys, new_key, rows,
    sorted,
};

#[tokio::test]
async fn a_list_holds_every_key_of_every_server_once() {
    for (vendor, revision, shape) in VARIANTS {
        let emulator = emulator(revision, shape).await;
        let provider = administrator(&emulator, vendor);
        let mut expected: BTreeSet<String> = keys(&*provider).await.iter().map(|key| key.id().to_string()).collect();
        assert_eq!(expected.len(), 1, "only the administrator's key exists");
        for extra in [0, 1, 19, 20, 21, 99, 100, 101, 250, 10_000] {
            let more = extra + 1 - expected.len();
            let added = match vendor {
                Vendor::Spartera => emulator.spartera().add_keys(more),
                Vendor::Monad => emulator.monad().add_keys(more),
            };
            expected.extend(added.into_iter().map(|key| key.id));
            let (ids, errors) = sorted(rows(&*provider).await);
            let context = format!("{vendor:?} {revision:?} {shape:?} {extra}");
            assert!(errors.is_empty(), "{context}: {errors:?}");
            // A vector, unlike a set, would show a duplicate key.
            assert_eq!(ids, expected.iter().cloned().collect::<Vec<_>>(), "{context}");
        }
    }
}

/// Whether a server reports the total number of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Totals {
    Reported,
    Omitted,
}

/// Returns the value of a query parameter.
fn parameter(request: &Request, name: &str) -> usize {
    let query = request.target.split_once('?').unwrap().1;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.unwrap().parse().unwrap()
}

/// Answers with pages of at most `size` rows.
fn pages(
    vendor: Vendor,
    all: Vec<Value>,
    size: usize,
    totals: Totals,
) -> impl FnMut(&Request) -> Answer + Send + 'static {
    move |request| pages_of(vendor, &all, size.min(parameter(request, "limit")), totals, request)
}

/// Returns the requested page. It has `size` rows unless it is the last.
fn pages_of(vendor: Vendor, all: &[Value], size: usize, totals: Totals, request: &Request) -> Answer {
    let start = match vendor {
        Vendor::Spartera => (parameter(request, "page") - 1) * size,
        Vendor::Monad => parameter(request, "offset"),
    };
    let rows: Vec<_> = all.iter().skip(start).take(size).cloned().collect();
    let mut body = vendor.list(&rows);
    match (vendor, totals) {
        (_, Totals::Omitted) => {}
        (Vendor::Spartera, Totals::Reported) => body["meta"] = json!({"total": all.len(), "per_page": size}),
        (Vendor::Monad, Totals::Reported) => {
            body["pagination"] = json!({"total": all.len(), "limit": size, "offset": start})
        }
    }
    Answer::json(200, &body)
}

fn some_keys(vendor: Vendor, count: usize) -> (Vec<Value>, Vec<String>) {
    let ids: Vec<_> = (0..count).map(|n| format!("k{n:04}")).collect();
    (ids.iter().map(|id| vendor.key(id)).collect(), ids)
}

#[tokio::test]
async fn a_list_is_complete_for_any_page_size_and_without_a_total() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for count in [0, 1, 6, 7, 8, 14, 50] {
            for size in [1, 7, 20] {
                for (totals, obeys_limit) in [
                    (Totals::Omitted, false),
                    (Totals::Omitted, true),
                    (Totals::Reported, false),
                    (Totals::Reported, true),
                ] {
                    let (all, ids) = some_keys(vendor, count);
                    fixture.stub.answer_with(move |request| {
                        let requested = if obeys_limit { parameter(request, "limit") } else { size };
                        pages_of(vendor, &all, size.min(requested), totals, request)
                    });
                    let (found, errors) = sorted(rows(&*fixture.provider).await);
                    let context = format!("{vendor:?} {count} in pages of {size}, {totals:?}, {obeys_limit}");
                    assert!(errors.is_empty(), "{context}: {errors:?}");
                    assert_eq!(found, ids, "{context}");
                    let sent = fixture.stub.requests().len();
                    // It takes a few more requests to notice that a server ignores the limit, and some because pages
                    // overlap.
                    let most = count / size + if obeys_limit { count / size + 3 } else { 12 };
                    assert!(sent <= most, "{context}: {sent} requests");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_server_without_pages_is_detected() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for count in [1, 100, 250] {
            let (all, ids) = some_keys(vendor, count);
            fixture.stub.answer_all(Answer::json(200, &vendor.list(&all)));
            let (found, errors) = sorted(rows(&*fixture.provider).await);
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!(found, ids);
            assert_eq!(fixture.stub.requests().len(), 2, "{vendor:?} {count}");
        }
    }
}

#[tokio::test]
async fn a_list_that_ends_before_its_total_ends_in_an_error() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        let (all, ids) = some_keys(vendor, 3);
        let mut body = vendor.list(&all);
        let place = if vendor == Vendor::Spartera { "meta" } else { "pagination" };
        body[place] = json!({"total": 5});
        fixture.stub.answer_all(Answer::json(200, &body));
        let (found, errors) = sorted(rows(&*fixture.provider).await);
        assert_eq!(found, ids);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_error(&errors[0], ErrorKind::UnexpectedAnswer, Outcome::Applied, "a list that ends before its total");
        assert!(errors[0].to_string().contains("2 keys"), "{}", errors[0]);
    }
}

/// Rows that are not valid keys.
fn malformed_rows(vendor: Vendor) -> Vec<Value> {
    let id_name = if vendor == Vendor::Spartera { "api_key_id" } else { "id" };
    let mut malformed = vec![
        json!(null),
        json!("a text"),
        json!(["a list"]),
        json!({"name": "without an id"}),
        json!({id_name: 1.5, "name": "ci"}),
    ];
    for id in ["../x", "a/b", "..", "", "a b", "%2e", "k\r\n"] {
        malformed.push(json!({id_name: id, "name": "ci"}));
    }
    malformed.push(json!({id_name: {"nested": 1}}));
    malformed
}

#[tokio::test]
async fn a_malformed_row_is_one_error_and_hides_no_other_row() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for malformed in malformed_rows(vendor) {
            for position in 0..=3 {
                for knows_pages in [false, true] {
                    let (mut all, ids) = some_keys(vendor, 3);
                    all.insert(position, malformed.clone());
                    if knows_pages {
                        fixture.stub.answer_with(pages(vendor, all, 100, Totals::Reported));
                    } else {
                        fixture.stub.answer_all(Answer::json(200, &vendor.list(&all)));
                    }
                    let (found, errors) = sorted(rows(&*fixture.provider).await);
                    let context = format!("{vendor:?} {malformed} at {position}, {knows_pages}");
                    assert_eq!(found, ids, "{context}");
                    assert_eq!(errors.len(), 1, "{context}: {errors:?}");
                    assert_error(&errors[0], ErrorKind::UnexpectedAnswer, Outcome::Unknown, &context);
                    assert_eq!(errors[0].operation(), Some(Operation::List), "{context}");
                    assert!(!errors[0].may_have_taken_effect(), "{context}: a list changes nothing");
                }
            }
        }
    }
}

/// Pages of two rows: a malformed row beside a key, one alone on the last page, and a whole later page of them.
async fn assert_malformed_rows_are_reported_on_later_pages(totals: Totals) {
    let malformed = json!({"name": "without an id"});
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for (count, at, how_many) in [(5, 3, 1), (5, 2, 2), (6, 2, 2), (4, 4, 1)] {
            let (mut all, ids) = some_keys(vendor, count);
            for _ in 0..how_many {
                all.insert(at, malformed.clone());
            }
            fixture.stub.answer_with(pages(vendor, all, 2, totals));
            let (found, errors) = sorted(rows(&*fixture.provider).await);
            let context = format!("{vendor:?}, {count} keys, {how_many} malformed at {at}");
            assert_eq!(found, ids, "{context}: {errors:?}");
            assert_eq!(errors.len(), how_many, "{context}: {errors:?}");
        }
    }
}

#[tokio::test]
async fn a_malformed_row_on_a_later_page_is_reported_with_a_total() {
    assert_malformed_rows_are_reported_on_later_pages(Totals::Reported).await;
}

#[tokio::test]
async fn a_malformed_row_on_a_later_page_is_reported_without_a_total() {
    assert_malformed_rows_are_reported_on_later_pages(Totals::Omitted).await;
}

#[tokio::test]
async fn an_empty_list_is_not_an_error() {
    let fixture = Fixture::start(Vendor::Monad).await;
    for body in [
        json!({"api_keys": null}),
        json!({"api_keys": null, "pagination": {"limit": 100, "offset": 0, "total": 0}}),
        json!({"api_keys": [], "pagination": null}),
    ] {
        fixture.stub.answer_all(Answer::json(200, &body));
        let found = rows(&*fixture.provider).await;
        assert!(found.is_empty(), "{body}: {found:?}");
    }
    let fixture = Fixture::start(Vendor::Spartera).await;
    fixture.stub.answer_all(Answer::json(200, &json!({"data": []})));
    assert!(rows(&*fixture.provider).await.is_empty());
}

#[tokio::test]
async fn an_answer_without_rows_is_not_an_empty_list() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for body in [json!({}), json!({"message": "OK"}), json!({"status": "ok"}), json!({"pagination": {"total": 0}})]
        {
            fixture.stub.answer_all(Answer::json(200, &body));
            let found = rows(&*fixture.provider).await;
            assert!(matches!(&found[..], [Err(error)] if error.kind() == ErrorKind::Intermediary), "{body}: {found:?}");
            let missing = fixture.provider.find(&crate::support::id("7")).await;
            assert!(missing.is_err(), "{vendor:?} {body}: {missing:?}");
        }
    }
}

#[tokio::test]
async fn a_failed_page_ends_the_list_after_the_keys_before_it() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        let (all, ids) = some_keys(vendor, 100);
        let mut requests = 0;
        fixture.stub.answer_with(move |_| {
            requests += 1;
            match requests {
                1 => Answer::json(200, &vendor.list(&all)),
                _ => Answer::json(403, &vendor.failure(403, "denied")),
            }
        });
        let mut items = rows(&*fixture.provider).await;
        let error = items.pop().unwrap().unwrap_err();
        assert_error(&error, ErrorKind::PermissionDenied, Outcome::Rejected, "second page");
        let (found, errors) = sorted(items);
        assert_eq!((found, errors.len()), (ids, 0));
        assert_eq!(fixture.stub.requests().len(), 2);
    }
}

#[tokio::test]
async fn pages_are_requested_lazily_and_a_few_concurrently() {
    let fixture = Fixture::start(Vendor::Monad).await;
    let (all, _) = some_keys(Vendor::Monad, 1000);
    fixture.stub.answer_with(pages(Vendor::Monad, all, 100, Totals::Reported));
    let mut list = fixture.provider.list(ListKeys::new());
    assert_eq!(fixture.stub.requests().len(), 0);
    for _ in 0..100 {
        list.next().await.unwrap().unwrap();
    }
    assert_eq!(fixture.stub.requests().len(), 1);
    // The list now knows the total, so four page requests can run concurrently.
    list.next().await.unwrap().unwrap();
    assert!((2..=5).contains(&fixture.stub.requests().len()));
    for _ in 102..=900 {
        list.next().await.unwrap().unwrap();
    }
    let (ids, errors) = sorted(list.collect().await);
    assert_eq!((ids.len(), errors.len()), (100, 0));
    let mut sent: Vec<_> = fixture.stub.requests().iter().map(|request| parameter(request, "offset")).collect();
    sent.sort_unstable();
    assert_eq!(sent, [0, 99, 197, 296, 395, 494, 593, 692, 791, 890, 989], "every page overlaps the page before");
}

#[tokio::test]
async fn a_list_loses_no_key_while_others_are_deleted() {
    for (vendor, revision, shape) in VARIANTS {
        let emulator = emulator(revision, shape).await;
        let seeded = match vendor {
            Vendor::Spartera => emulator.spartera().add_keys(350),
            Vendor::Monad => emulator.monad().add_keys(350),
        };
        let provider = administrator(&emulator, vendor);
        let mut list = provider.list(ListKeys::new());
        let mut found = Vec::new();
        let mut gone = seeded.iter().step_by(7);
        while let Some(key) = list.next().await {
            found.push(key.unwrap().id().to_string());
            if found.len() % 40 == 0
                && let Some(key) = gone.next()
            {
                provider.delete(&key.id.parse().unwrap()).await.unwrap();
            }
        }
        let gone = seeded.iter().step_by(7).take(found.len() / 40).map(|key| key.id.clone()).collect::<BTreeSet<_>>();
        let unique: BTreeSet<_> = found.iter().cloned().collect();
        let context = format!("{vendor:?} {revision:?} {shape:?}");
        assert_eq!(unique.len(), found.len(), "{context}: the list holds a key twice");
        assert!(gone.len() >= 8, "{context}");
        let lost: Vec<_> = seeded.iter().filter(|key| !gone.contains(&key.id) && !unique.contains(&key.id)).collect();
        assert!(lost.is_empty(), "{context}: {lost:?}");
    }
}

#[tokio::test]
async fn pages_of_a_length_that_nobody_requested_lose_no_key() {
    for (vendor, revision, shape) in VARIANTS {
        for length in [1, 3, 99, 101, 150, 250, 1000] {
            let emulator = emulator(revision, shape).await;
            emulator.inject(format!("list:page-length={length}").parse::<Fault>().unwrap());
            match vendor {
                Vendor::Spartera => emulator.spartera().add_keys(320),
                Vendor::Monad => emulator.monad().add_keys(320),
            };
            let (ids, errors) = sorted(administrator(&emulator, vendor).list(ListKeys::new()).collect().await);
            let context = format!("{vendor:?} {revision:?} {shape:?} {length}: {errors:?}");
            assert_eq!((ids.len(), errors.len()), (321, 0), "{context}");
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 321, "{context}");
        }
    }
}

#[tokio::test]
async fn one_providers_failure_does_not_hide_the_others_keys() {
    for broken in Vendor::ALL {
        let emulator = emulator(Revision::Current, SparteraShape::Documented).await;
        emulator.spartera().add_keys(150);
        emulator.monad().add_keys(150);
        let keyring = keyring_with_a_bad_credential(&emulator, broken);
        let (ids, errors) = sorted(keyring.list(ListKeys::new()).collect().await);
        assert_eq!(ids.len(), 151, "{broken:?}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 151, "{broken:?}");
        assert_eq!(errors.len(), 1, "{broken:?}: {errors:?}");
        assert_error(&errors[0], ErrorKind::Unauthenticated, Outcome::Rejected, "bad credential");
        assert_eq!(errors[0].provider(), Some(name(broken)));
        assert!(errors[0].to_string().starts_with(name(broken)), "{}", errors[0]);
    }
}

fn name(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Spartera => "analytics",
        Vendor::Monad => "siem",
    }
}

fn keyring_with_a_bad_credential(emulator: &Emulator, broken: Vendor) -> Keyring {
    let providers = Vendor::ALL.map(|vendor| {
        let provider = administrator(emulator, vendor);
        let wrong = CREDENTIAL.into();
        let provider = if vendor == broken { provider.with_secret(&wrong).unwrap() } else { provider };
        (name(vendor), provider)
    });
    let builder =
        providers.into_iter().fold(Keyring::builder(), |builder, (name, provider)| builder.add_shared(name, provider));
    builder.build().unwrap()
}

#[tokio::test]
async fn a_keyring_filters_searches_and_sorts_over_all_of_its_providers() {
    // One vendor searches by itself; for the other, the crate searches.
    let providers = [("a", Memory::new()), ("b", Memory::like_monad())];
    for (provider, names) in providers.iter().map(|(_, provider)| provider).zip([["ci 3", "ci 1"], ["ci 2", "other"]]) {
        for name in names {
            drop(provider.create(&new_key_named(name)).await.unwrap());
        }
    }
    let builder = providers.into_iter().fold(Keyring::builder(), |builder, (name, memory)| builder.add(name, memory));
    let keyring = builder.build().unwrap();
    for which in [ListKeys::new().name_contains("CI"), ListKeys::new().search("Ci ")] {
        let sorted = keyring.list(which.sorted_by(SortKeys::Name)).map(Result::unwrap);
        let found: Vec<_> = sorted.map(|key| format!("{}/{}", key.provider(), key.name().unwrap())).collect().await;
        assert_eq!(found, ["a/ci 1", "b/ci 2", "a/ci 3"]);
    }
}

fn new_key_named(name: &str) -> NewKey {
    let mut new = new_key();
    new.name = name.to_owned();
    new
}

#[tokio::test]
async fn a_keyring_lists_the_keys_of_both_under_its_own_names() {
    let emulator = emulator(Revision::Current, SparteraShape::Guide).await;
    let mut expected = BTreeSet::new();
    for (vendor, seeded) in
        [(Vendor::Spartera, emulator.spartera().add_keys(120)), (Vendor::Monad, emulator.monad().add_keys(120))]
    {
        expected.extend(seeded.into_iter().map(|key| format!("{}/{}", name(vendor), key.id)));
    }
    let builder = Keyring::builder()
        .add_shared(name(Vendor::Spartera), administrator(&emulator, Vendor::Spartera))
        .add_shared(name(Vendor::Monad), administrator(&emulator, Vendor::Monad));
    let keyring = builder.build().unwrap();
    let items: Vec<_> = keyring.list(ListKeys::new()).collect().await;
    let found: Vec<_> = items
        .into_iter()
        .map(Result::unwrap)
        // Leave out the administrators' keys.
        .filter(|key| key.name() != Some("administrator"))
        .map(|key| key.reference().unwrap().to_string())
        .collect();
    assert_eq!(found.len(), 240);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    // A keyring without providers lists no keys.
    let empty = Keyring::builder().build().unwrap();
    assert_eq!(empty.list(ListKeys::new()).count().await, 0);
    let error = empty.provider("siem").unwrap_err();
    assert_error(&error, ErrorKind::InvalidInput, Outcome::NotSent, "no providers");
    let error = keyring.provider("sime").unwrap_err();
    assert_readable(&error, "unknown provider");
    assert!(error.to_string().contains("analytics, siem"), "{error}");
}
