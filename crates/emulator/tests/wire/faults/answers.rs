//! Distorted bodies.

use api_keyring_emulator::{Fault, FaultKind, MonadErrorShape, Revision, SparteraShape};
use serde_json::{Value, json};

use super::{count, with, with_builder};
use crate::client::{builder, id_of, monads_error, services, variants};

#[tokio::test]
async fn an_empty_body_announces_a_length_of_zero() {
    let emulator = with(&["create:empty"]).await;
    for (api, body) in services(&emulator) {
        let reply = api.post("", body).await;
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert!(reply.has_header("content-length: 0"), "{}", reply.head);
    }
    assert_eq!(count(&emulator), 4);
}

#[tokio::test]
async fn html_has_its_content_type_and_the_chosen_status() {
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
async fn a_wrong_type_wraps_the_right_answer() {
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
async fn a_refusal_is_distorted_like_any_answer() {
    let object = builder().0.monad_error_shape(MonadErrorShape::Object);
    let emulator = with_builder(object, &[]).await;
    let missing = json!({"code": 404, "message": "Resource not found"});
    let none = monads_error(MonadErrorShape::Object, 404, "API key not found", "not_found");
    for ((api, _), refused) in services(&emulator).into_iter().zip([missing, none]) {
        for fault in ["*:wrong-type:1", "*:html:1", "*:empty:1", "*:extra-fields:1"] {
            emulator.inject(fault.parse::<Fault>().unwrap());
        }
        // Faults of the body follow each other. Extra fields apply at once, inside the wrapped body.
        assert_eq!(api.get("/0").await.refused(404), json!([with_added(&refused)]));
        let html = api.get("/0").await;
        assert_eq!((html.status, html.body.starts_with(b"<!DOCTYPE html>")), (404, true));
        let empty = api.get("/0").await;
        assert_eq!((empty.status, empty.body.len()), (404, 0));
        assert_eq!(api.get("/0").await.refused(404), refused);
    }
    // A bare string has no fields, so the fault only wraps it in an object.
    let emulator = with(&["*:extra-fields", "*:wrong-type:1"]).await;
    let [_, (monad, _)] = services(&emulator);
    assert_eq!(monad.get("/0").await.refused(404), json!({"message": "API key not found"}));
    assert_eq!(monad.get("/0").await.refused(404), json!("API key not found"));
}

/// Returns the value with the undocumented fields in every object, at every depth.
fn with_added(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut object: serde_json::Map<_, _> =
                object.iter().map(|(name, value)| (name.clone(), with_added(value))).collect();
            object.insert("added_text".to_owned(), json!("new"));
            object.insert("added_object".to_owned(), json!({"nested": [1, null]}));
            Value::Object(object)
        }
        Value::Array(rows) => rows.iter().map(with_added).collect(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn every_object_has_the_extra_fields_beside_the_usual_ones() {
    for shape in [SparteraShape::Documented, SparteraShape::Guide] {
        let emulator = with_builder(builder().0.spartera_shape(shape), &[]).await;
        emulator.spartera().add_keys(1);
        emulator.monad().add_keys(1);
        for (api, _) in services(&emulator) {
            // The first list uses the key that it shows, and so changes it.
            api.get("").await.ok();
            let usual = api.get("").await.ok();
            let rows = usual.get("data").or(usual.get("api_keys")).unwrap();
            let path = format!("/{}", id_of(&rows[1]));
            let usual_key = api.get(&path).await.ok();
            let usual_refusal = api.patch(&path, json!({"name": 5})).await.refused(400);
            emulator.inject(FaultKind::ExtraFields);
            // The fields are in `meta`, in `pagination`, in every row, and in the outer object.
            assert_eq!(api.get("").await.ok(), with_added(&usual));
            assert_eq!(api.get(&path).await.ok(), with_added(&usual_key));
            assert_eq!(api.patch(&path, json!({"name": 5})).await.refused(400), with_added(&usual_refusal));
            let updated = api.patch(&path, json!({"name": "renamed"})).await.ok();
            assert_eq!(updated["added_text"], "new");
            emulator.clear_faults();
        }
    }
    let emulator = with(&["create:extra-fields"]).await;
    for (api, body) in services(&emulator) {
        let created = api.post("", body).await.ok();
        assert_eq!(created["added_text"], "new", "{created}");
        assert!(created.get("token").or(created["data"].get("key")).unwrap().is_string(), "{created}");
    }
}

#[tokio::test]
async fn every_enumeration_has_an_unknown_value() {
    for (revision, shape) in variants() {
        let emulator = with_builder(builder().0.revision(revision).spartera_shape(shape), &[]).await;
        let [(api, body), _] = services(&emulator);
        let id = emulator.spartera().add_keys(1)[0].id.clone();
        let asked = ["".to_owned(), format!("/{id}"), format!("/{id}/stats")];
        for path in &asked {
            api.get(path).await.ok();
            let usual = api.get(path).await.ok();
            emulator.inject(Fault::new(FaultKind::UnknownEnum).times(1));
            let mut expected = usual.clone();
            let rows = match &mut expected["data"] {
                Value::Array(rows) => rows.iter_mut().collect(),
                row => vec![row],
            };
            for row in rows {
                for name in ["status", "key_type"] {
                    if let Some(value) = row.get_mut(name) {
                        *value = json!("unheard_of");
                    }
                }
            }
            // The SDK documentation has no enumeration.
            let has_any = (revision, shape) != (Revision::Documented, SparteraShape::Documented);
            assert_eq!(expected != usual, has_any, "{revision:?} {shape:?} {path}");
            assert_eq!(api.get(path).await.ok(), expected, "{revision:?} {shape:?} {path}");
            assert_eq!(api.get(path).await.ok(), usual);
        }
        emulator.inject(FaultKind::UnknownEnum);
        let created = api.post("", body).await.ok();
        let status = (shape == SparteraShape::Guide).then(|| json!("unheard_of"));
        assert_eq!(created["data"].get("status"), status.as_ref());
        assert!(created["data"]["key"].as_str().unwrap().starts_with("sk_live_"));
    }
    let object = builder().0.monad_error_shape(MonadErrorShape::Object);
    let emulator = with_builder(object, &["monad.get:unknown-enum"]).await;
    let [_, (api, _)] = services(&emulator);
    assert_eq!(api.get("/0").await.refused(404)["error_type"], "unheard_of");
}
