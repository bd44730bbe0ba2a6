//! Lists that lag behind, pages that are not what was asked for, and quotas.

use api_keyring_emulator::Revision;
use serde_json::{Value, json};

use super::{count, with, with_builder};
use crate::client::{Api, builder, services, worlds};

/// The ids in a list, in its order.
async fn ids(api: &Api, query: &str) -> Vec<String> {
    let list = api.get(query).await.ok();
    let (rows, id) = if list.get("data").is_some() { ("data", "api_key_id") } else { ("api_keys", "id") };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    list[rows].as_array().unwrap().iter().map(|row| text(&row[id])).collect()
}

fn made(answer: &Value) -> String {
    let ids = ["/data/api_key_id", "/data/id", "/id"];
    let id = ids.iter().find_map(|id| answer.pointer(id)).unwrap();
    id.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_key_is_not_listed_at_once() {
    for revision in [Revision::Current, Revision::Documented] {
        let emulator = with_builder(builder().0.revision(revision), &["create:stale-list=2:2"]).await;
        for (api, body) in services(&emulator) {
            let id = made(&api.post("", body).await.ok());
            assert_eq!(ids(&api, "").await.len(), 1);
            api.get(&format!("/{id}")).await.ok();
            assert_eq!(ids(&api, "").await.len(), 1);
            assert_eq!(ids(&api, "").await.last(), Some(&id));
        }
        assert_eq!(count(&emulator), 4);
    }
}

#[tokio::test]
async fn a_deleted_key_is_still_listed_in_its_place() {
    let emulator = with(&["delete:stale-list=1"]).await;
    for (api, body) in services(&emulator) {
        let mut all = vec![ids(&api, "").await.remove(0)];
        for _ in 0..2 {
            all.push(made(&api.post("", body.clone()).await.ok()));
        }
        let gone = all[1].clone();
        api.delete(&format!("/{gone}")).await.ok();
        api.get(&format!("/{gone}")).await.refused(404);
        assert_eq!(ids(&api, "").await, all);
        all.remove(1);
        assert_eq!(ids(&api, "").await, all);
    }
}

#[tokio::test]
async fn a_replaced_key_is_listed_and_the_new_one_is_not() {
    let emulator = with_builder(builder().0.revision(Revision::Documented), &["regenerate:stale-list=1"]).await;
    let [_, (api, body)] = services(&emulator);
    let old = made(&api.post("", body).await.ok());
    let new = made(&api.send("POST", &format!("/{old}/regenerate"), None).await.ok());
    assert_eq!(ids(&api, "").await[1..], [old]);
    assert_eq!(ids(&api, "").await[1..], [new]);
}

#[tokio::test]
async fn a_key_that_no_list_has_shown_does_not_stay_in_one() {
    let emulator = with(&["*:stale-list=3"]).await;
    for (api, body) in services(&emulator) {
        let id = made(&api.post("", body).await.ok());
        api.delete(&format!("/{id}")).await.ok();
        for _ in 0..4 {
            assert_eq!(ids(&api, "").await.len(), 1);
        }
    }
}

/// The second pages of both services, with two rows each.
const SECOND: [&str; 2] = ["?page=2&limit=2", "?limit=2&offset=2"];
const FIRST: [&str; 2] = ["?page=1&limit=2", "?limit=2&offset=0"];

#[tokio::test]
async fn pages_repeat_or_are_empty_or_have_every_row_twice() {
    let emulator = with(&[]).await;
    emulator.spartera().add_keys(4);
    emulator.monad().add_keys(4);
    for (which, (api, _)) in services(&emulator).into_iter().enumerate() {
        let first = ids(&api, FIRST[which]).await;
        let second = ids(&api, SECOND[which]).await;
        assert_ne!(first, second);
        for fault in ["list:repeat-page:1", "list:empty-page:1", "list:duplicate-rows:1"] {
            emulator.inject(fault.parse::<api_keyring_emulator::Fault>().unwrap());
        }
        assert_eq!(ids(&api, SECOND[which]).await, first);
        assert_eq!(ids(&api, SECOND[which]).await, [""; 0]);
        let twice: Vec<_> = second.iter().flat_map(|id| [id.clone(), id.clone()]).collect();
        assert_eq!(ids(&api, SECOND[which]).await, twice);
        assert_eq!(ids(&api, SECOND[which]).await, second);
    }
}

#[tokio::test]
async fn an_empty_page_keeps_the_total() {
    let emulator = with(&["monad.list:empty-page:1@2"]).await;
    emulator.monad().add_keys(4);
    let [_, (api, _)] = services(&emulator);
    assert_eq!(ids(&api, "?limit=2").await.len(), 2);
    let expected = json!({"api_keys": [], "pagination": {"limit": 2, "offset": 2, "total": 5}});
    assert_eq!(api.get("?limit=2&offset=2").await.ok(), expected);
    assert_eq!(ids(&api, "?limit=2&offset=4").await.len(), 1);
}

#[tokio::test]
async fn a_quota_refuses_one_key_too_many() {
    for (revision, shape) in worlds() {
        let emulator = with_builder(builder().0.revision(revision).spartera_shape(shape), &["create:quota=2"]).await;
        let full = "has as many API keys as it may have";
        let spartera = match revision {
            Revision::Documented => {
                (400, json!({"code": 400, "message": "Invalid input", "errors": {"company_id": [full]}}))
            }
            _ => (409, json!({"code": 409, "message": "API key quota exceeded"})),
        };
        let monad = (400, json!(format!("Invalid JSON request body: organization_id {full}")));
        for ((api, body), (status, refused)) in services(&emulator).into_iter().zip([spartera, monad]) {
            let id = made(&api.post("", body.clone()).await.ok());
            assert_eq!(api.post("", body.clone()).await.refused(status), refused);
            api.delete(&format!("/{id}")).await.ok();
            api.post("", body.clone()).await.ok();
            api.post("", body).await.refused(status);
        }
        assert_eq!(count(&emulator), 4);
    }
}
