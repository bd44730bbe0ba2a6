//! Lists that lag behind, distorted pages, and quotas.

use api_keyring_emulator::{Fault, Revision, SparteraShape};
use serde_json::{Value, json};

use super::{count, with, with_builder};
use crate::client::{Api, builder, id_of, services, variants};

/// Returns the ids in a list, in its order.
async fn ids(api: &Api, query: &str) -> Vec<String> {
    let list = api.get(query).await.ok();
    let rows = list.get("data").or(list.get("api_keys")).unwrap().as_array().unwrap();
    rows.iter().map(id_of).collect()
}

fn made(answer: &Value) -> String {
    id_of(answer.get("data").unwrap_or(answer))
}

#[tokio::test]
async fn a_new_key_is_not_listed_at_once() {
    for (revision, shape) in variants() {
        let builder = builder().0.revision(revision).spartera_shape(shape);
        let emulator = with_builder(builder, &["create:stale-list=2:2"]).await;
        for (api, body) in services(&emulator) {
            let id = made(&api.post("", body).await.ok());
            // Each page counts as a list, and the total counts only the keys that the list shows.
            for query in ["", "?page=2&offset=1"] {
                let list = api.get(query).await.ok();
                let total = list.pointer("/pagination/total").or(list.pointer("/meta/total"));
                assert!(total.is_none_or(|total| *total == 1), "{list}");
                assert!(!list.to_string().contains("\"new\""), "{list}");
            }
            api.get(&format!("/{id}")).await.ok();
            let list = api.get("").await.ok();
            let total = list.pointer("/pagination/total").or(list.pointer("/meta/total"));
            assert!(total.is_none_or(|total| *total == 2), "{list}");
            assert_eq!(ids(&api, "").await.last(), Some(&id));
        }
        assert_eq!(count(&emulator), 4);
    }
}

#[tokio::test]
async fn a_deleted_key_is_still_listed_in_its_place() {
    for (revision, shape) in variants() {
        let builder = builder().0.revision(revision).spartera_shape(shape);
        let emulator = with_builder(builder, &["delete:stale-list=1"]).await;
        for (api, body) in services(&emulator) {
            let mut all = vec![ids(&api, "").await.remove(0)];
            for _ in 0..2 {
                all.push(made(&api.post("", body.clone()).await.ok()));
            }
            let gone = all[1].clone();
            let before = api.get("").await.ok();
            api.delete(&format!("/{gone}")).await.ok();
            api.get(&format!("/{gone}")).await.refused(404);
            assert_eq!(api.get("").await.ok(), before, "{revision:?} {shape:?}");
            all.remove(1);
            assert_eq!(ids(&api, "").await, all);
        }
    }
}

#[tokio::test]
async fn a_stale_list_shows_the_replaced_key_instead_of_the_new_one() {
    let emulator = with_builder(builder().0.revision(Revision::Documented), &["regenerate:stale-list=1"]).await;
    let [_, (api, body)] = services(&emulator);
    let old = made(&api.post("", body).await.ok());
    let new = made(&api.send("POST", &format!("/{old}/regenerate"), None).await.ok());
    assert_eq!(ids(&api, "").await[1..], [old]);
    assert_eq!(ids(&api, "").await[1..], [new]);
}

#[tokio::test]
async fn a_deleted_key_that_no_list_has_shown_stays_hidden() {
    let emulator = with(&["*:stale-list=3"]).await;
    for (api, body) in services(&emulator) {
        let id = made(&api.post("", body).await.ok());
        api.delete(&format!("/{id}")).await.ok();
        for _ in 0..4 {
            assert_eq!(ids(&api, "").await.len(), 1);
        }
    }
}

/// The queries for the second page of each service, with two rows per page.
const SECOND: [&str; 2] = ["?page=2&limit=2", "?limit=2&offset=2"];
const FIRST: [&str; 2] = ["?page=1&limit=2", "?limit=2&offset=0"];

#[tokio::test]
async fn pages_repeat_or_are_empty_or_have_duplicate_rows() {
    let emulator = with(&[]).await;
    emulator.spartera().add_keys(4);
    emulator.monad().add_keys(4);
    for (which, (api, _)) in services(&emulator).into_iter().enumerate() {
        let first = ids(&api, FIRST[which]).await;
        let second = ids(&api, SECOND[which]).await;
        assert_ne!(first, second);
        for fault in ["list:repeat-page:1", "list:empty-page:1", "list:duplicate-rows:1"] {
            emulator.inject(fault.parse::<Fault>().unwrap());
        }
        assert_eq!(ids(&api, SECOND[which]).await, first);
        assert_eq!(ids(&api, SECOND[which]).await, [""; 0]);
        let twice: Vec<_> = second.iter().flat_map(|id| [id.clone(), id.clone()]).collect();
        assert_eq!(ids(&api, SECOND[which]).await, twice);
        assert_eq!(ids(&api, SECOND[which]).await, second);
    }
}

#[tokio::test]
async fn distorted_pages_of_the_guide_keep_their_total() {
    let emulator = with_builder(builder().0.spartera_shape(SparteraShape::Guide), &[]).await;
    emulator.spartera().add_keys(4);
    let [(api, _), _] = services(&emulator);
    let all = ids(&api, "").await;
    let twice: Vec<_> = all[2..4].iter().flat_map(|id| [id.clone(), id.clone()]).collect();
    for (fault, shown) in [("repeat-page", all[..2].to_vec()), ("empty-page", vec![]), ("duplicate-rows", twice)] {
        emulator.inject(format!("list:{fault}:2").parse::<Fault>().unwrap());
        assert_eq!(ids(&api, SECOND[0]).await, shown, "{fault}");
        assert_eq!(api.get(SECOND[0]).await.ok()["meta"], json!({"total": 5, "page": 2, "per_page": 2}), "{fault}");
    }
}

#[tokio::test]
async fn a_list_without_pages_can_be_empty_or_have_duplicate_rows() {
    for shape in [SparteraShape::Documented, SparteraShape::Guide] {
        let builder = builder().0.revision(Revision::Documented).spartera_shape(shape);
        let faults = ["list:repeat-page:1@2", "list:empty-page:1@3", "list:duplicate-rows:1@4"];
        let emulator = with_builder(builder, &faults).await;
        emulator.spartera().add_keys(1);
        let [(api, _), _] = services(&emulator);
        let all = ids(&api, "").await;
        assert_eq!(ids(&api, "").await, all, "the repeated first page is the only page");
        assert_eq!(ids(&api, "").await, [""; 0]);
        assert_eq!(ids(&api, "").await, [0, 0, 1, 1].map(|row: usize| all[row].clone()));
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
async fn a_quota_refuses_a_key_beyond_the_limit() {
    for (revision, shape) in variants() {
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
