//! Bodies that are not what they should be.

use api_keyring_emulator::SparteraShape;
use serde_json::{Value, json};

use super::{count, with, with_builder};
use crate::client::{builder, services};

#[tokio::test]
async fn an_empty_body_says_that_it_is_empty() {
    let emulator = with(&["create:empty"]).await;
    for (api, body) in services(&emulator) {
        let reply = api.post("", body).await;
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert!(reply.has_header("content-length: 0"), "{}", reply.head);
    }
    assert_eq!(count(&emulator), 4);
}

#[tokio::test]
async fn html_comes_with_its_type_and_with_either_status() {
    let emulator = with(&["*:html:2", "*:html=502:2"]).await;
    for (round, status) in [200, 502].into_iter().enumerate() {
        for (api, body) in services(&emulator) {
            let reply = api.post("", body).await;
            assert_eq!(reply.status, status);
            assert!(reply.has_header("content-type: text/html; charset=utf-8"), "{}", reply.head);
            assert!(reply.body.starts_with(b"<!DOCTYPE html>"));
        }
        assert_eq!(count(&emulator), 2 + 2 * (round + 1));
    }
    assert_eq!(emulator.requests().last().unwrap().status, 502);
}

#[tokio::test]
async fn a_wrong_type_wraps_what_would_have_been_right() {
    let emulator = with(&["*:wrong-type"]).await;
    let [(spartera, spartera_body), (monad, monad_body)] = services(&emulator);
    let created = spartera.post("", spartera_body).await.ok();
    assert!(created[0]["data"]["key"].as_str().unwrap().starts_with("sk_live_"), "{created}");
    let created = monad.post("", monad_body).await.ok();
    let id = created[0]["id"].as_str().unwrap();
    let deleted = monad.delete(&format!("/{id}")).await.ok();
    assert_eq!(deleted, json!({"message": "API key deleted successfully"}));
    let missing = spartera.get("/1").await.refused(404);
    assert_eq!(missing, json!([{"code": 404, "message": "Resource not found"}]));
    assert_eq!(count(&emulator), 3);
}

#[tokio::test]
async fn extra_fields_stand_in_every_object_beside_the_usual_ones() {
    let emulator = with(&["list:extra-fields:1", "monad.list:extra-fields:1"]).await;
    for ((api, _), rows) in services(&emulator).into_iter().zip(["data", "api_keys"]) {
        let mut more = api.get("").await.ok();
        for object in [&more, &more[rows][0]] {
            assert_eq!(object["added_text"], "new", "{more}");
            assert_eq!(object["added_object"], json!({"nested": [1, null]}), "{more}");
        }
        let usual = api.get("").await.ok();
        remove_added(&mut more);
        // The list is itself a use of the key that it shows.
        assert_eq!(more, usual);
    }
}

fn remove_added(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|name, _| !name.starts_with("added_"));
            object.values_mut().for_each(remove_added);
        }
        Value::Array(rows) => rows.iter_mut().for_each(remove_added),
        _ => {}
    }
}

#[tokio::test]
async fn an_unknown_value_stands_where_there_is_an_enumeration() {
    for shape in [SparteraShape::Documented, SparteraShape::Guide] {
        let emulator = with_builder(builder().0.spartera_shape(shape), &["list:unknown-enum:1"]).await;
        let [(api, _), _] = services(&emulator);
        let strange = api.get("").await.ok();
        assert_eq!(strange["data"][0]["status"], "unheard_of", "{strange}");
        if shape == SparteraShape::Documented {
            assert_eq!(strange["data"][0]["key_type"], "unheard_of", "{strange}");
        }
        assert_eq!(api.get("").await.ok()["data"][0]["status"], "active");
    }
}
