//! Answers that are almost as documented: one bad row, field or page hides nothing else.

use api_keyring::{
    ApiKey, Clock, Error, ErrorKind, KeyStatus, ListKeys, ListLimits, ManualClock, Operation, Outcome, Provider as _,
    ProviderExt as _, Regeneration,
};
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::stub::Answer;
use crate::support::{Fixture, SECRET, TOKEN, Vendor, assert_error, assert_readable, id, new_key, rows, sorted};

/// Returns a list of which the rows may be any bytes.
fn raw_list(vendor: Vendor, rows: &[&[u8]], rest: &str) -> Answer {
    let name = if vendor == Vendor::Spartera { "data" } else { "api_keys" };
    let body = [format!("{{\"{name}\":[").as_bytes(), &rows.join(&b","[..]), b"]", rest.as_bytes(), b"}"].concat();
    Answer::text(200, "application/json", body)
}

fn id_name(vendor: Vendor) -> &'static str {
    if vendor == Vendor::Spartera { "api_key_id" } else { "id" }
}

/// Returns a row with these fields after its id.
fn row(vendor: Vendor, id: &str, fields: &[u8]) -> Vec<u8> {
    [format!("{{\"{}\":\"{id}\",", id_name(vendor)).as_bytes(), fields, b"}"].concat()
}

/// Lists three rows, of which the second one is odd.
async fn list_around(fixture: &Fixture, odd: &[u8], rest: &str) -> Vec<Result<ApiKey, Error>> {
    let vendor = fixture.vendor;
    let [before, after] = ["k1", "k3"].map(|id| vendor.key(id).to_string());
    fixture.stub.answer_all(raw_list(vendor, &[before.as_bytes(), odd, after.as_bytes()], rest));
    rows(&*fixture.provider).await
}

fn deep(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[tokio::test]
async fn an_odd_value_costs_neither_its_row_nor_any_other() {
    let deep_field = format!("\"name\":\"ci\",\"x\":{}", deep(200));
    let deeper_role = format!("\"name\":\"ci\",\"role_id\":{}", deep(100_000));
    let fields: [&[u8]; 12] = [
        br#""name":"ci","x":"\ud800""#,
        br#""name":"ci","\udfff":1"#,
        br#""name":"ci","x":1e400"#,
        br#""name":"ci","role_id":1e400"#,
        b"\"name\":\"ci\",\"x\":\"\xff\"",
        b"\"name\":\"ci\",\"x\":\"a\tb\"",
        br#""name":"ci","x":"\q""#,
        br#""name":"ci","x":NaN"#,
        br#""name":"ci","x":1,"x":2"#,
        br#""name":"ci","created_at":[],"date_created":{}"#,
        deep_field.as_bytes(),
        deeper_role.as_bytes(),
    ];
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for field in fields {
            let context = format!("{vendor:?} {}", String::from_utf8_lossy(&field[..field.len().min(80)]));
            let list = list_around(&fixture, &row(vendor, "k2", field), "").await;
            let (ids, errors) = sorted(list);
            assert_eq!((ids, errors.len()), (vec!["k1".to_owned(), "k2".to_owned(), "k3".to_owned()], 0), "{context}");
        }
    }
}

#[tokio::test]
async fn a_field_of_another_type_is_in_extra_and_named() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for (field, value) in [
            ("name", json!(["ci"])),
            ("name", json!(5)),
            ("description", json!({"de": "Zweck"})),
            ("role_id", json!([3])),
            ("role_id", json!(true)),
            (if vendor == Vendor::Spartera { "company_id" } else { "organization_id" }, json!(7)),
        ] {
            let mut key = vendor.key("k2");
            key[field] = value.clone();
            let list = list_around(&fixture, key.to_string().as_bytes(), "").await;
            let key = list[1].as_ref().unwrap();
            let context = format!("{vendor:?} {field} {value}");
            assert_eq!((key.extra().get(field), key.unreadable_fields()), (Some(value), &[field][..]), "{context}");
            let shown = match field {
                "name" => key.name(),
                "description" => key.description(),
                "role_id" => key.role(),
                _ => key.scope(),
            };
            assert_eq!(shown, None, "{context}");
            assert!(list[0].as_ref().unwrap().unreadable_fields().is_empty(), "{context}");
        }
    }
}

/// A rotation finds its keys by the mark in the name.
#[tokio::test]
async fn a_broken_part_of_a_name_hides_no_mark() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for name in [&br#""a\ud800b""#[..], b"\"a\xffb\"", br#""a\qb""#] {
            let field = [&b"\"name\":"[..], name].concat();
            let list = list_around(&fixture, &row(vendor, "k2", &field), "").await;
            let key = list[1].as_ref().unwrap();
            assert!(key.name().unwrap().starts_with("a\u{fffd}"), "{vendor:?} {:?}", key.name());
            assert_eq!(key.unreadable_fields(), ["name"]);
        }
    }
}

#[tokio::test]
async fn a_row_that_is_no_key_is_one_error_that_names_it() {
    let deep_row = deep(200);
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        let repeated = row(vendor, "k2", br#""name":"a","name":"b""#);
        let repeated_id = row(vendor, "k2", format!("\"{}\":\"k9\"", id_name(vendor)).as_bytes());
        let broken_id = format!("{{\"{}\":\"\\ud800\",\"name\":\"ci\"}}", id_name(vendor));
        let other_id = format!("{{\"{}\":1.5,\"name\":\"ci\"}}", id_name(vendor));
        for (odd, named, says) in [
            (&b"null"[..], None, "null"),
            (b"\"a text\"", None, "a text"),
            (b"1e400", None, "a number"),
            (b"[]", None, "a list"),
            (deep_row.as_bytes(), None, "a list"),
            (b"{}", None, "no id"),
            (&repeated, Some("k2"), "`name` occurs more than once"),
            (&repeated_id, None, "occurs more than once"),
            (broken_id.as_bytes(), None, id_name(vendor)),
            (other_id.as_bytes(), None, id_name(vendor)),
        ] {
            let (ids, errors) = sorted(list_around(&fixture, odd, "").await);
            let context = format!("{vendor:?} {}", String::from_utf8_lossy(&odd[..odd.len().min(80)]));
            assert_eq!(ids, ["k1", "k3"], "{context}: {errors:?}");
            let [error] = &errors[..] else { panic!("{context}: {errors:?}") };
            assert_error(error, ErrorKind::UnexpectedAnswer, Outcome::Unknown, &context);
            assert_eq!(error.key(), named.map(id).as_ref(), "{context}");
            let line = error.to_string();
            assert!(line.contains(named.unwrap_or("row 2 of the list")) && line.contains(says), "{context}: {line}");
        }
    }
}

#[tokio::test]
async fn a_row_costs_no_other_row_its_total_or_its_page() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        let place = if vendor == Vendor::Spartera { "meta" } else { "pagination" };
        for (total, missing) in [
            ("5", true),
            ("\"5\"", true),
            ("3", false),
            ("-5", false),
            ("\"many\"", false),
            ("1e400", false),
            ("[5]", false),
            ("null", false),
        ] {
            for odd in [&b"null"[..], b"{\"name\":\"\xff\"}"] {
                let rest = format!(",\"{place}\":{{\"total\":{total},\"odd\":\"\\ud800\"}}");
                let (ids, errors) = sorted(list_around(&fixture, odd, &rest).await);
                let context = format!("{vendor:?} {total}: {errors:?}");
                assert_eq!(ids, ["k1", "k3"], "{context}");
                assert_eq!(errors.len(), 1 + usize::from(missing), "{context}");
                let says_missing = errors.iter().any(|error| error.to_string().contains("2 keys are missing"));
                assert_eq!(says_missing, missing, "{context}");
            }
        }
    }
}

/// Rows of another type must not become an empty list.
#[tokio::test]
async fn a_list_without_rows_is_an_error_that_names_the_field() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        let field = if vendor == Vendor::Spartera { "data" } else { "api_keys" };
        for rows in [json!("none"), json!({"0": {}}), json!(0)] {
            let error = fixture.error(Operation::List, Answer::json(200, &json!({field: rows}))).await;
            assert_error(&error, ErrorKind::Intermediary, Outcome::Unknown, field);
            assert!(error.to_string().contains(&format!("the field `{field}`")), "{error}");
        }
    }
}

#[tokio::test]
async fn a_get_survives_what_a_row_survives() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for fields in [&br#""name":"\ud800","x":"\ud800""#[..], br#""role_id":[],"x":1e400"#, b"\"name\":\"\xff\""] {
            let key = row(vendor, "7", fields);
            let body = match vendor {
                Vendor::Spartera => [&b"{\"message\":1e400,\"data\":"[..], &key, b"}"].concat(),
                Vendor::Monad => key,
            };
            fixture.stub.answer_all(Answer::text(200, "application/json", body));
            let key = fixture.provider.get(&id("7")).await.unwrap();
            assert_eq!((key.id(), key.unreadable_fields().len()), (&id("7"), 1), "{vendor:?}");
        }
        let error = fixture
            .error(
                Operation::Get,
                Answer::json(
                    200,
                    &match vendor {
                        Vendor::Spartera => json!({"data": {"api_key_id": [7]}}),
                        Vendor::Monad => json!({"id": [7]}),
                    },
                ),
            )
            .await;
        assert!(error.to_string().contains(id_name(vendor)), "{error}");
        assert_readable(&error, "an id that is a list");
    }
}

#[tokio::test]
async fn an_odd_field_costs_no_new_secret() {
    let fixture = Fixture::start(Vendor::Spartera).await;
    for beside in [
        json!({"name": 5, "role_id": [], "created_at": {}}).to_string(),
        r#"{"name":"\ud800","x":1e400,"description":"\udc00"}"#.to_owned(),
        r#"{"name":"a","name":"b","api_key_id":"7"}"#.to_owned(),
        format!("{{\"x\":{}}}", deep(5000)),
    ] {
        let inside = &beside[1..beside.len() - 1];
        let body = format!("{{\"message\":[1],\"data\":{{\"api_key_id\":\"7\",\"key\":\"{SECRET}\",{inside}}}}}");
        fixture.stub.answer_all(Answer::text(200, "application/json", body));
        let issued = fixture.provider.create(&new_key()).await.unwrap();
        assert_eq!((issued.id(), issued.secret().expose()), (&id("7"), SECRET));
    }
    let fixture = Fixture::start(Vendor::Monad).await;
    for beside in [
        r#""name":5,"role_id":[],"created_at":{}"#.to_owned(),
        r#""name":"\ud800","token_version":1e400"#.to_owned(),
        format!("\"x\":{}", deep(5000)),
    ] {
        let body = format!("{{\"id\":\"7\",\"token\":\"{TOKEN}\",{beside}}}");
        fixture.stub.answer_all(Answer::text(200, "application/json", body));
        let created = fixture.provider.create(&new_key()).await.unwrap();
        let regenerated = fixture.provider.regenerate(&id("7"), &Regeneration::new()).await.unwrap();
        for issued in [created, regenerated] {
            assert_eq!((issued.id(), issued.secret().expose()), (&id("7"), TOKEN));
        }
    }
}

#[tokio::test]
async fn a_role_and_an_id_may_be_numbers_or_texts() {
    let fixture = Fixture::start(Vendor::Spartera).await;
    for role in [json!(3), json!("3")] {
        let key = json!({"api_key_id": 7, "role_id": role}).to_string();
        let list = list_around(&fixture, key.as_bytes(), "").await;
        let key = list[1].as_ref().unwrap();
        assert_eq!((key.id().as_str(), key.role(), key.extra().len()), ("7", Some("3"), 0));
    }
    // An id that no integer type holds keeps its digits.
    let list = list_around(&fixture, br#"{"api_key_id":123456789012345678901234567890}"#, "").await;
    assert_eq!(list[1].as_ref().unwrap().id().as_str(), "123456789012345678901234567890");
}

#[tokio::test]
async fn what_looks_like_a_secret_is_masked_in_extra_wherever_it_is() {
    for (vendor, secret) in [(Vendor::Spartera, SECRET), (Vendor::Monad, TOKEN)] {
        let fixture = Fixture::start(vendor).await;
        let escaped = format!("\\u{:04x}{}", u32::from(secret.as_bytes()[0]), &secret[1..]);
        for field in [
            format!(r#""x":"{secret}""#),
            format!(r#""x":[{{"y":["{secret}"]}}]"#),
            format!(r#""x":"{escaped}""#),
            format!(r#""{secret}":1"#),
            format!(r#""x":{}"{secret}"{}"#, "[".repeat(1000), "]".repeat(1000)),
            format!(r#""name":["{secret}"]"#),
        ] {
            let list = list_around(&fixture, &row(vendor, "k2", field.as_bytes()), "").await;
            let key = list[1].as_ref().unwrap();
            let written = serde_json::to_string(key).unwrap();
            assert!(!format!("{key:?} {key:#?} {written}").contains(&secret[1..]), "{field}: {written}");
            assert!(written.contains("****"), "{field}: {written}");
        }
    }
}

/// Returns a key of each vendor with this expiry.
async fn with_expiry(vendor: Vendor, json: &str) -> ApiKey {
    let fixture = Fixture::start(vendor).await;
    let fields = match vendor {
        Vendor::Spartera => format!(r#""status":"active","expiration_date_utc":{json}"#),
        Vendor::Monad => format!(r#""expiration_time":{json}"#),
    };
    let mut list = list_around(&fixture, &row(vendor, "k2", fields.as_bytes()), "").await;
    list.remove(1).unwrap()
}

#[tokio::test]
async fn a_zero_time_as_an_expiry_is_never_where_keys_may_live_for_ever() {
    for json in [
        r#""0001-01-01T00:00:00Z""#,
        r#""0001-01-01T00:00:00""#,
        r#""0001-01-01T00:00:00.0000000+00:00""#,
        r#""0000-12-31T16:07:02-07:52""#,
        r#""0000-00-00 00:00:00""#,
        r#""""#,
        "null",
    ] {
        let key = with_expiry(Vendor::Spartera, json).await;
        assert!(key.never_expires() && key.expires_at().is_none(), "{json}");
        assert_eq!(key.status(), KeyStatus::Active, "{json}");
        // Each of Monad's keys expires, so this one's expiry is not known.
        let key = with_expiry(Vendor::Monad, json).await;
        assert!(!key.never_expires() && key.expires_at().is_none(), "{json}");
        assert_eq!(key.status(), KeyStatus::Unknown, "{json}");
    }
    for json in [r#""9999-12-31T23:59:59Z""#, r#""9999-12-31T23:59:59.9999999Z""#, r#""9999-12-31 23:59:59""#] {
        let key = with_expiry(Vendor::Spartera, json).await;
        assert!(key.never_expires(), "{json}");
        let key = with_expiry(Vendor::Monad, json).await;
        assert!(!key.never_expires() && key.expires_at().is_some(), "{json}");
        assert_eq!(key.status(), KeyStatus::Active, "{json}");
    }
}

#[tokio::test]
async fn an_expiry_that_cannot_be_read_never_becomes_never() {
    let long = format!("[{}]", "1,".repeat(1000) + "1");
    for json in [
        r#""1970-01-01T00:00:00Z""#,
        "0",
        "1743465600",
        "false",
        "[]",
        "{\"at\":\"2099-01-01T00:00:00Z\"}",
        "1e400",
        r#""\ud800""#,
        r#""next tuesday""#,
        &long,
    ] {
        for vendor in Vendor::ALL {
            let key = with_expiry(vendor, json).await;
            assert!(!key.never_expires(), "{vendor:?} {json}");
            assert!(key.expires_at().unwrap().as_str().len() <= 100, "{vendor:?} {json}");
            assert_eq!(key.status(), KeyStatus::Unknown, "{vendor:?} {json}");
        }
    }
    // The other name of the same field does not overrule one that cannot be read, but replaces a zero time.
    let fixture = Fixture::start(Vendor::Spartera).await;
    let later = r#""expires_at":"2099-01-01T00:00:00Z","expiration_date_utc":"#;
    let list = list_around(&fixture, &row(Vendor::Spartera, "k2", format!("{later}[]").as_bytes()), "").await;
    assert_eq!(list[1].as_ref().unwrap().status(), KeyStatus::Unknown);
    let list = list_around(&fixture, &row(Vendor::Spartera, "k2", format!("{later}\"\"").as_bytes()), "").await;
    assert!(list[1].as_ref().unwrap().expires_at().unwrap().utc().is_some());
}

#[tokio::test]
async fn a_zero_time_of_another_field_is_not_known() {
    for json in ["\"0001-01-01T00:00:00Z\"", "\"\"", "\"0000-00-00 00:00:00\"", "\"1970-01-01T00:00:00Z\"", "0", "null"]
    {
        for vendor in Vendor::ALL {
            let fixture = Fixture::start(vendor).await;
            let names = match vendor {
                Vendor::Spartera => ["date_created", "last_updated", "last_used"],
                Vendor::Monad => ["created_at", "updated_at", "last_used_at"],
            };
            let fields = names.map(|name| format!("\"{name}\":{json}")).join(",");
            let list = list_around(&fixture, &row(vendor, "k2", fields.as_bytes()), "").await;
            let key = list[1].as_ref().unwrap();
            let times = [key.created_at(), key.updated_at(), key.last_used_at()];
            assert!(times.iter().all(Option::is_none), "{vendor:?} {json}: {times:?}");
        }
    }
}

#[tokio::test]
async fn a_status_of_another_type_is_unknown() {
    let fixture = Fixture::start(Vendor::Spartera).await;
    for status in ["5", "[\"active\"]", "\"\\ud800\"", "{}"] {
        let fields = format!("\"status\":{status}");
        let list = list_around(&fixture, &row(Vendor::Spartera, "k2", fields.as_bytes()), "").await;
        let key = list[1].as_ref().unwrap();
        assert_eq!((key.status(), key.unreadable_fields()), (KeyStatus::Unknown, &["status"][..]), "{status}");
    }
}

fn all_keys(vendor: Vendor, count: usize) -> Vec<Value> {
    (0..count).map(|n| vendor.key(&format!("k{n:04}"))).collect()
}

/// Answers with pages of at most 100 rows, and with 404 for every page behind the last row.
fn pages_without_an_end(
    vendor: Vendor,
    all: Vec<Value>,
    total: Option<usize>,
) -> impl FnMut(&crate::stub::Request) -> Answer + Send + 'static {
    move |request| {
        let (start, limit) = match vendor {
            Vendor::Spartera => {
                let limit = request.query("limit").min(50);
                ((request.query("page") - 1) * limit, limit)
            }
            Vendor::Monad => (request.query("offset"), request.query("limit").min(50)),
        };
        if start >= all.len() {
            return Answer::json(404, &vendor.failure(404, "no such page"));
        }
        let rows: Vec<_> = all.iter().skip(start).take(limit).cloned().collect();
        let mut body = vendor.list(&rows);
        if let Some(total) = total {
            let place = if vendor == Vendor::Spartera { "meta" } else { "pagination" };
            body[place] = json!({"total": total});
        }
        Answer::json(200, &body)
    }
}

#[tokio::test]
async fn the_page_after_the_last_may_be_not_found() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for count in [1, 49, 50, 51, 100, 149, 150, 200] {
            for total in [None, Some(count)] {
                fixture.stub.answer_with(pages_without_an_end(vendor, all_keys(vendor, count), total));
                let (ids, errors) = sorted(rows(&*fixture.provider).await);
                assert!(errors.is_empty(), "{vendor:?} {count} {total:?}: {errors:?}");
                assert_eq!(ids.len(), count, "{vendor:?} {total:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_that_is_not_found_before_the_total_makes_the_list_incomplete() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        for count in [50, 100, 120] {
            fixture.stub.answer_with(pages_without_an_end(vendor, all_keys(vendor, count), Some(count + 30)));
            let (ids, errors) = sorted(rows(&*fixture.provider).await);
            assert_eq!((ids.len(), errors.len()), (count, 1), "{vendor:?}: {errors:?}");
            assert!(errors[0].to_string().contains("30 keys are missing"), "{vendor:?}: {}", errors[0]);
        }
        // The first page must exist.
        let answer = Answer::json(404, &vendor.failure(404, "no such company"));
        let error = fixture.error(Operation::List, answer).await;
        assert_error(&error, ErrorKind::NotFound, Outcome::Rejected, "the first page");
    }
}

/// Answers each request with the requested number of new keys.
fn endless(vendor: Vendor) -> impl FnMut(&crate::stub::Request) -> Answer + Send + 'static {
    move |request| {
        let limit = request.query("limit");
        let start = match vendor {
            Vendor::Spartera => (request.query("page") - 1) * limit,
            Vendor::Monad => request.query("offset"),
        };
        let rows: Vec<_> = (start..start + limit).map(|n| vendor.key(&format!("k{n}"))).collect();
        Answer::json(200, &vendor.list(&rows))
    }
}

/// Reads a list to its end, which must be one error.
async fn read_to_error(fixture: &Fixture, limits: ListLimits) -> (usize, Error) {
    let list: Vec<_> = fixture.provider.list(ListKeys::new().limits(limits)).collect().await;
    let (keys, mut errors) = sorted(list);
    assert_eq!(errors.len(), 1, "{errors:?}");
    (keys.len(), errors.remove(0))
}

#[tokio::test]
async fn an_endless_list_ends_at_each_limit_after_the_keys_before_it() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        fixture.stub.answer_with(endless(vendor));
        for keys in [0, 1, 99, 100, 101, 1000] {
            let (found, error) = read_to_error(&fixture, ListLimits::new().keys(keys)).await;
            assert_eq!(found as u64, keys, "{vendor:?}");
            assert!(error.to_string().contains(&format!("{keys} keys")), "{error}");
            assert!(error.to_string().contains("ListLimits::keys"), "{error}");
            assert_error(&error, ErrorKind::UnexpectedAnswer, Outcome::Applied, "keys");
        }
        let (found, error) = read_to_error(&fixture, ListLimits::new().bytes(100_000)).await;
        assert!((500..5000).contains(&found), "{vendor:?}: {found}");
        assert!(error.to_string().contains("100000 bytes"), "{error}");
        assert!(error.to_string().contains("ListLimits::bytes"), "{error}");
    }
}

/// A clock that is a minute later each time somebody reads it.
#[derive(Debug)]
struct Hasty(std::sync::atomic::AtomicU64);

impl Clock for Hasty {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn elapsed(&self) -> std::time::Duration {
        std::time::Duration::from_secs(60 * self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    fn sleep(&self, _: std::time::Duration) -> api_keyring::Sleep {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_list_ends_when_its_time_is_over() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        fixture.stub.answer_with(endless(vendor));
        let limits = ListLimits::new().time(std::time::Duration::from_secs(180)).clock(Hasty(0.into()));
        let (found, error) = read_to_error(&fixture, limits).await;
        assert_eq!(fixture.stub.requests().len(), 3, "each page takes a minute");
        assert!(found > 250, "{vendor:?}: {found}");
        assert!(error.to_string().contains("180 seconds") && error.to_string().contains("ListLimits::time"), "{error}");
        // A clock that stands still ends no list.
        fixture.stub.answer_all(Answer::json(200, &vendor.list(&all_keys(vendor, 3))));
        let limits = ListLimits::new().clock(ManualClock::new(Utc::now()));
        let (ids, errors) = sorted(fixture.provider.list(ListKeys::new().limits(limits)).collect().await);
        assert_eq!((ids.len(), errors.len()), (3, 0));
    }
}

#[tokio::test]
async fn a_complete_list_reaches_no_limit() {
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        fixture.stub.answer_all(Answer::json(200, &vendor.list(&all_keys(vendor, 10))));
        let limits = ListLimits::new().keys(10).bytes(1);
        let list: Vec<_> = fixture.provider.list(ListKeys::new().limits(limits)).collect().await;
        let (ids, _) = sorted(list);
        assert_eq!(ids.len(), 10, "{vendor:?}");
        let keyring = api_keyring::Keyring::builder().add_shared("one", fixture.provider.clone()).build().unwrap();
        let limited = keyring.list(ListKeys::new().limits(ListLimits::new().keys(4)));
        let (ids, errors) = sorted(limited.collect().await);
        assert_eq!((ids.len(), errors.len()), (4, 1), "a keyring's list has the limits as well");
        assert_eq!(errors[0].provider(), Some("one"));
    }
}

#[tokio::test]
async fn an_answer_of_countless_tiny_rows_is_cut_short_and_says_so() {
    let limit = (8 << 20) / 256;
    for vendor in Vendor::ALL {
        let fixture = Fixture::start(vendor).await;
        let tiny =
            (0..limit + 10).map(|n| format!("{{\"{}\":{n}}}", if vendor == Vendor::Spartera { "id" } else { "x" }));
        let tiny: Vec<_> = tiny.collect();
        let tiny: Vec<_> = tiny.iter().map(|row| row.as_bytes()).collect();
        fixture.stub.answer_all(raw_list(vendor, &tiny, ""));
        let (ids, errors) = sorted(rows(&*fixture.provider).await);
        let last = errors.last().unwrap().to_string();
        assert!(last.contains(&limit.to_string()) && last.contains("max_response_bytes"), "{last}");
        match vendor {
            Vendor::Spartera => assert_eq!((ids.len(), errors.len()), (limit, 1)),
            Vendor::Monad => assert_eq!((ids.len(), errors.len()), (0, limit + 1)),
        }
    }
}

#[tokio::test]
async fn stats_of_one_key_survive_odd_values() {
    let fixture = Fixture::start(Vendor::Spartera).await;
    for data in [
        r#"{"id":"7","usage_count":5,"failed_attempts":"\ud800","last_used":""}"#,
        r#"[{"id":"7","usage_count":5,"failed_attempts":[],"x":1e400}]"#,
    ] {
        fixture.stub.answer_all(Answer::text(200, "application/json", format!("{{\"data\":{data}}}")));
        let stats = fixture.provider.stats(&id("7")).await.unwrap();
        assert_eq!((stats.usage_count, stats.failed_attempts), (Some(5), None), "{data}");
    }
    for data in ["[]", r#"[{"id":"7"},{"id":"8"}]"#, r#"[null]"#] {
        fixture.stub.answer_all(Answer::text(200, "application/json", format!("{{\"data\":{data}}}")));
        assert!(fixture.provider.stats(&id("7")).await.is_err(), "{data}");
    }
}
