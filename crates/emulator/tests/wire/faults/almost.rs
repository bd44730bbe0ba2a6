//! Answers that are almost as documented.

use std::time::Duration;

use api_keyring_emulator::{Fault, FaultKind, MonadErrorShape, Revision, SparteraShape};
use serde_json::{Value, json};

use super::{count, with, with_builder};
use crate::client::{Api, Reply, builder, services, variants};

async fn hit(emulator: &api_keyring_emulator::Emulator, api: &Api, fault: &str, path: &str) -> Reply {
    emulator.inject(format!("*:{fault}:1").parse::<Fault>().unwrap());
    let reply = api.get(path).await;
    emulator.clear_faults();
    reply
}

fn rows(list: &Value) -> &Vec<Value> {
    list.get("data").or(list.get("api_keys")).unwrap().as_array().unwrap()
}

#[tokio::test]
async fn an_encoded_body_contains_the_right_one_and_names_its_coding() {
    let emulator = with(&[]).await;
    for (api, body) in services(&emulator) {
        // The list changes when its own credential is used, so the tests look at an answer that does not.
        let usual = api.get("/none").await.refused(404).to_string();
        for (fault, coding, head, tail) in
            [("encoded", "gzip", 15, 8), ("encoded=deflate", "deflate", 7, 4), ("encoded=br", "br", 3, 1)]
        {
            let reply = hit(&emulator, &api, fault, "/none").await;
            assert_eq!((reply.status, reply.header("content-encoding")), (404, Some(coding)));
            assert!(reply.has_header("content-type: application/json"), "{}", reply.head);
            assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
            assert_eq!(&reply.body[head..reply.body.len() - tail], usual.as_bytes());
        }
        emulator.inject("create:encoded:1".parse::<Fault>().unwrap());
        assert_eq!(api.post("", body).await.header("content-encoding"), Some("gzip"));
    }
    assert_eq!(count(&emulator), 4, "the service has acted");
}

#[tokio::test]
async fn the_right_body_can_have_another_media_type_or_a_byte_order_mark() {
    let emulator = with(&[]).await;
    for (api, _) in services(&emulator) {
        let usual = api.get("/none").await.body;
        for media_type in ["text/plain", "application/octet-stream", "application/json; charset=latin1"] {
            let reply = hit(&emulator, &api, &format!("media-type={media_type}"), "/none").await;
            assert_eq!((reply.header("content-type"), &reply.body), (Some(media_type), &usual));
        }
        let reply = hit(&emulator, &api, "no-media-type", "/none").await;
        assert_eq!((reply.header("content-type"), &reply.body), (None, &usual));
        let reply = hit(&emulator, &api, "bom", "/none").await;
        assert_eq!(reply.body.strip_prefix(b"\xef\xbb\xbf"), Some(&usual[..]));
        emulator.inject(FaultKind::MediaType("text/plain\r\nset-cookie: a=b".to_owned()));
        let reply = api.get("/none").await;
        assert!(reply.header("content-type").is_none() && !reply.head.contains("cookie"), "{}", reply.head);
        emulator.clear_faults();
    }
}

#[tokio::test]
async fn one_row_in_the_middle_is_odd_and_the_others_are_whole() {
    for (revision, shape) in variants() {
        let emulator = with_builder(builder().0.revision(revision).spartera_shape(shape), &[]).await;
        emulator.spartera().add_keys(4);
        emulator.monad().add_keys(4);
        for (api, _) in services(&emulator) {
            // The first list uses the key that it shows, and so changes it.
            api.get("").await.ok();
            let usual = api.get("").await.ok();
            let mut texts: Vec<_> = rows(&usual).iter().map(Value::to_string).collect();
            let odd_id = crate::client::id_of(&rows(&usual)[2]);
            texts.remove(2);
            for (fault, part) in [
                ("odd-row", &br#""name":"\ud800""#[..]),
                ("odd-row=number", br#""weight":1e400"#),
                ("odd-row=type", br#","odd","#),
                ("odd-row=null", b",null,"),
                ("odd-row=empty", b",{},"),
                ("odd-row=id", br#"id":{"value":"#),
                ("odd-row=twice", br#""name":"odd"}"#),
                ("odd-row=latin1", b"\"name\":\"caf\xe9\""),
                ("odd-row=nan", br#""weight":NaN"#),
                ("odd-row=deep", "[".repeat(200).as_bytes()),
                ("odd-row=no-id", b"{"),
            ] {
                let reply = hit(&emulator, &api, fault, "").await;
                assert_eq!(reply.status, 200);
                assert!(reply.body.windows(part.len()).any(|window| window == part), "{fault}: {reply:?}");
                let text = String::from_utf8_lossy(&reply.body).into_owned();
                assert!(texts.iter().all(|row| same_fields(&text, row)), "{fault}: {text}");
                let shows_id = !["=type", "=null", "=empty", "=no-id"].iter().any(|none| fault.ends_with(none));
                assert_eq!(text.contains(&odd_id), shows_id, "{fault}: {text}");
            }
            assert_eq!(api.get("").await.ok(), usual);
        }
    }
}

/// Returns whether `list` contains a row with exactly the fields of `row`, in any order.
fn same_fields(list: &str, row: &str) -> bool {
    let wanted: Value = serde_json::from_str(row).unwrap();
    let starts = list.match_indices('{').map(|(at, _)| &list[at..]);
    starts
        .filter_map(|text| serde_json::Deserializer::from_str(text).into_iter::<Value>().next()?.ok())
        .any(|found| found == wanted)
}

#[tokio::test]
async fn an_odd_row_hits_short_and_empty_lists_too() {
    let emulator = with(&["list:odd-row=null"]).await;
    for (api, _) in services(&emulator) {
        assert_eq!(rows(&api.get("").await.ok()), &[Value::Null]);
        let empty = api.get("?page=9&offset=9").await.ok();
        assert_eq!(rows(&empty), &[] as &[Value]);
    }
}

#[tokio::test]
async fn side_fields_have_another_type() {
    for (revision, shape) in variants() {
        let emulator = with_builder(builder().0.revision(revision).spartera_shape(shape), &[]).await;
        for (api, mut body) in services(&emulator) {
            for name in ["expires_at", "expiration_time"] {
                body[name] = json!("2027-01-01T00:00:00Z");
            }
            let made = api.post("", body).await.ok();
            let id = crate::client::id_of(made.get("data").unwrap_or(&made));
            let path = format!("/{id}");
            let usual = api.get(&path).await.ok();
            let mut seen = 0;
            for fault in ["time", "expiry", "name", "role", "status", "total", "all"] {
                let reply = hit(&emulator, &api, &format!("odd-field={fault}"), &path).await.ok();
                let usual = usual.get("data").unwrap_or(&usual).as_object().unwrap();
                let odd = reply.get("data").unwrap_or(&reply).as_object().unwrap();
                assert_eq!(odd.len(), usual.len());
                let is_hit = |name: &str| match name {
                    "date_created" | "last_updated" | "created_at" | "updated_at" => {
                        Some(("time", json!(1_767_225_600)))
                    }
                    "expiration_date_utc" | "expires_at" | "expiration_time" => Some(("expiry", json!(1_798_761_600))),
                    "name" => Some(("name", json!({"text": "new"}))),
                    "role_id" if usual[name].is_number() => Some(("role", json!("3"))),
                    "role_id" => Some(("role", json!({"id": "role-reader"}))),
                    "status" | "key_type" => Some(("status", json!(1))),
                    _ => None,
                };
                for (name, value) in odd {
                    match is_hit(name).filter(|(field, _)| fault == "all" || fault == *field) {
                        Some((_, expected)) => {
                            assert_eq!(value, &expected, "{fault} {name}");
                            seen += 1;
                        }
                        None => assert_eq!(value, &usual[name], "{fault} {name}"),
                    }
                }
            }
            assert!(seen >= 8, "{revision:?} {shape:?}: {seen}");
            let list = hit(&emulator, &api, "odd-field=total", "").await.ok();
            let total = list.pointer("/pagination/total").or(list.pointer("/meta/total"));
            assert!(total.is_none_or(|total| *total == "2"), "{list}");
        }
    }
    // The secret is no side field.
    let emulator = with(&["create:odd-field"]).await;
    for (api, body) in services(&emulator) {
        let made = api.post("", body).await.ok();
        assert!(made.get("token").unwrap_or(&made["data"]["key"]).is_string(), "{made}");
    }
}

#[tokio::test]
async fn a_new_secret_has_a_form_that_no_header_can_hold() {
    for (fault, end) in
        [("line", "\nLD_PRELOAD=/tmp/theirs.so"), ("blank", " "), ("control", "\u{7}x"), ("letter", "\u{e4}")]
    {
        let emulator = with(&[&format!("create:odd-secret={fault}")]).await;
        for (api, body) in services(&emulator) {
            let made = api.post("", body).await.ok();
            let secret = made.get("token").unwrap_or(&made["data"]["key"]).as_str().unwrap();
            assert!(secret.ends_with(end), "{fault}: {secret:?}");
        }
    }
}

#[tokio::test]
async fn no_expiry_is_a_zero_time() {
    for (fault, spaced, rfc3339) in [
        ("zero-time", json!("0001-01-01 00:00:00+00:00"), json!("0001-01-01T00:00:00Z")),
        ("zero-time=0000", json!("0000-00-00 00:00:00"), json!("0000-00-00 00:00:00")),
        ("zero-time=1970", json!("1970-01-01 00:00:00+00:00"), json!("1970-01-01T00:00:00Z")),
        ("zero-time=9999", json!("9999-12-31 23:59:59+00:00"), json!("9999-12-31T23:59:59Z")),
        ("zero-time=empty", json!(""), json!("")),
        ("zero-time=0", json!(0), json!(0)),
    ] {
        for (revision, shape) in variants() {
            let emulator = with_builder(builder().0.revision(revision).spartera_shape(shape), &[]).await;
            let [(spartera, _), (monad, body)] = services(&emulator);
            let lasting = [emulator.spartera().add_keys(1).remove(0).id, emulator.monad().add_keys(1).remove(0).id];
            let one = hit(&emulator, &spartera, fault, &format!("/{}", lasting[0])).await.ok();
            let (name, expected) = match shape {
                SparteraShape::Guide => ("expires_at", &rfc3339),
                _ => ("expiration_date_utc", &spaced),
            };
            assert_eq!(&one["data"][name], expected, "{fault}");
            assert_eq!(one["data"].get("last_used"), (shape == SparteraShape::Guide).then_some(&rfc3339));
            let list = hit(&emulator, &spartera, fault, "").await.ok();
            assert!(rows(&list).iter().all(|row| &row[name] == expected), "{fault}: {list}");
            let one = hit(&emulator, &monad, fault, &format!("/{}", lasting[1])).await.ok();
            assert_eq!(one["expiration_time"], rfc3339, "{fault}");
            assert_eq!(one.get("last_used_at"), (revision == Revision::Current).then_some(&rfc3339));

            // A key with an expiry keeps it.
            let mut body = body.clone();
            body["expiration_time"] = json!("2027-01-01T00:00:00Z");
            let made = monad.post("", body).await.ok();
            let path = format!("/{}", made["id"].as_str().unwrap());
            let one = hit(&emulator, &monad, fault, &path).await.ok();
            assert_eq!(one["expiration_time"], "2027-01-01T00:00:00Z");
            let body = json!({"expires_at": "2027-01-01T00:00:00Z"});
            spartera.patch(&format!("/{}", lasting[0]), body).await.ok();
            let one = hit(&emulator, &spartera, fault, &format!("/{}", lasting[0])).await.ok();
            assert!(one["data"][name].as_str().unwrap().starts_with("2027-01-01"), "{one}");
        }
    }
}

#[tokio::test]
async fn the_page_after_the_last_is_missing() {
    let emulator = with(&["list:past-end-404"]).await;
    emulator.spartera().add_keys(3);
    emulator.monad().add_keys(3);
    let refused = [json!({"code": 404, "message": "Resource not found"}), json!("API key not found")];
    for ((api, _), refused) in services(&emulator).into_iter().zip(refused) {
        for (query, keys) in [("?page=1&limit=2", 2), ("?page=2&limit=2&offset=2", 2), ("?limit=9&offset=3", 4)] {
            let keys = if query.contains("offset=3") && api.keys.contains("/v2/") { 1 } else { keys };
            assert_eq!(rows(&api.get(query).await.ok()).len(), keys, "{query}");
        }
        for query in ["?page=3&limit=2&offset=4", "?page=99&limit=2&offset=99"] {
            assert_eq!(api.get(query).await.refused(404), refused, "{query}");
        }
    }
    // The first page of a list without keys is a page.
    let [(api, _), _] = services(&emulator);
    assert_eq!(rows(&api.get("?search=nobody").await.ok()).len(), 0);
    let emulator = with_builder(builder().0.revision(Revision::Documented), &["list:past-end-404"]).await;
    let [(api, _), _] = services(&emulator);
    assert_eq!(rows(&api.get("?page=9").await.ok()).len(), 1, "this revision has no pages");
}

#[tokio::test]
async fn pages_have_the_services_own_length() {
    let emulator = with(&["list:page-length=2"]).await;
    emulator.spartera().add_keys(4);
    emulator.monad().add_keys(4);
    let [(spartera, _), (monad, _)] = services(&emulator);
    for (query, keys) in
        [("", 2), ("?limit=1", 2), ("?limit=5", 2), ("?page=2&limit=4", 2), ("?page=3", 1), ("?page=4", 0)]
    {
        assert_eq!(rows(&spartera.get(query).await.ok()).len(), keys, "{query}");
    }
    for (query, keys) in [("", 2), ("?limit=1", 2), ("?limit=5&offset=1", 2), ("?offset=4", 1), ("?offset=5", 0)] {
        assert_eq!(rows(&monad.get(query).await.ok()).len(), keys, "{query}");
    }
}

#[tokio::test]
async fn errors_have_the_vendors_other_form() {
    for shape in [MonadErrorShape::Text, MonadErrorShape::Object] {
        let emulator = with_builder(builder().0.monad_error_shape(shape), &["*:other-error"]).await;
        let [(spartera, spartera_body), (monad, monad_body)] = services(&emulator);
        let expected = json!({"code": "not_found", "message": "Resource not found"});
        assert_eq!(spartera.get("/none").await.refused(404), expected);
        assert_eq!(
            monad.get("/none").await.refused(404),
            match shape {
                MonadErrorShape::Text => json!({
                    "error": "API key not found", "error_type": "not_found", "code": 404, "additional_details": null,
                }),
                _ => json!("API key not found"),
            }
        );
        // A success is no error, even if it is text.
        let made = spartera.post("", spartera_body).await.ok();
        assert!(made.get("code").is_none(), "{made}");
        let made = monad.post("", monad_body).await.ok();
        let deleted = monad.delete(&format!("/{}", made["id"].as_str().unwrap())).await.ok();
        assert_eq!(deleted, "API key deleted successfully");
    }
}

#[tokio::test]
async fn faults_of_several_groups_meet_on_one_answer() {
    let (builder, clock) = builder();
    let emulator =
        with_builder(builder, &["list:odd-row", "list:duplicate-rows", "list:encoded", "*:clock-ahead=5m"]).await;
    emulator.spartera().add_keys(2);
    clock.advance(Duration::from_secs(1));
    let [(api, _), _] = services(&emulator);
    let reply = api.get("").await;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(text.matches("\"api_key_id\":").count(), 6, "{text}");
    assert_eq!(text.matches(r"\ud800").count(), 1, "{text}");
    assert_eq!(reply.header("date"), Some("Thu, 01 Jan 2026 00:05:01 GMT"));
}
