//! Ids of deleted keys that new keys get.

use api_keyring_emulator::{Emulator, EmulatorBuilder, Fault, ReuseIds, Revision, State};
use serde_json::{Value, json};

use crate::client::{Api, builder, id_of, services, variants};

async fn create(api: &Api, body: &Value, name: &str) -> (String, String) {
    let mut body = body.clone();
    body["name"] = json!(name);
    let made = api.post("", body).await.ok();
    let secret = made.get("token").unwrap_or(&made["data"]["key"]).as_str().unwrap().to_owned();
    (id_of(made.get("data").unwrap_or(&made)), secret)
}

async fn start(builder: EmulatorBuilder) -> Emulator {
    builder.start().await.unwrap()
}

#[tokio::test]
async fn no_id_is_reused_by_default() {
    for (revision, shape) in variants() {
        let emulator = start(builder().0.revision(revision).spartera_shape(shape)).await;
        for (api, body) in services(&emulator) {
            let (old, _) = create(&api, &body, "one").await;
            api.delete(&format!("/{old}")).await.ok();
            let (new, _) = create(&api, &body, "one").await;
            assert_ne!(old, new, "{revision:?} {shape:?}");
        }
    }
}

#[tokio::test]
async fn the_next_key_gets_the_id_of_the_key_that_was_deleted_last() {
    for (revision, shape) in variants() {
        let emulator = start(builder().0.revision(revision).spartera_shape(shape).reuse_ids(ReuseIds::Next)).await;
        for (api, body) in services(&emulator) {
            let mut ids = Vec::new();
            for name in ["a", "b", "c"] {
                ids.push(create(&api, &body, name).await.0);
            }
            for gone in [1, 0] {
                api.delete(&format!("/{}", ids[gone])).await.ok();
            }
            assert_eq!(create(&api, &body, "d").await.0, ids[0]);
            assert_eq!(create(&api, &body, "e").await.0, ids[1]);
            let fresh = create(&api, &body, "f").await.0;
            assert!(!ids.contains(&fresh));
            let list = api.get("").await.ok();
            let rows = list.get("data").or(list.get("api_keys")).unwrap().as_array().unwrap();
            let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
            assert_eq!(names, ["administrator", "c", "d", "e", "f"]);
        }
    }
}

#[tokio::test]
async fn the_lowest_free_number_comes_first() {
    let emulator = start(builder().0.reuse_ids(ReuseIds::LowestFree)).await;
    let [(api, body), _] = services(&emulator);
    emulator.spartera().add_keys(9);
    for id in ["1009", "1003", "1005"] {
        api.delete(&format!("/{id}")).await.ok();
    }
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        ids.push(create(&api, &body, name).await.0);
    }
    ids.extend(emulator.spartera().add_keys(2).into_iter().map(|key| key.id));
    assert_eq!(ids, ["1003", "1005", "1009", "1011"]);
}

#[tokio::test]
async fn a_name_can_be_the_id() {
    for (revision, shape) in variants() {
        let emulator = start(builder().0.revision(revision).spartera_shape(shape).reuse_ids(ReuseIds::Name)).await;
        for (api, body) in services(&emulator) {
            assert_eq!(create(&api, &body, "ci").await.0, "ci");
            assert_eq!(id_of_shown(&api, "ci").await, "ci");
            let other = create(&api, &body, "ci").await.0;
            assert_ne!(other, "ci", "the first key still has that id");
            api.delete("/ci").await.ok();
            assert_eq!(create(&api, &body, "ci").await.0, "ci");
            assert_eq!(create(&api, &body, "ci [7f]").await.0, "ci--7f-");
        }
    }
}

async fn id_of_shown(api: &Api, id: &str) -> String {
    let key = api.get(&format!("/{id}")).await.ok();
    id_of(key.get("data").unwrap_or(&key))
}

#[tokio::test]
async fn a_name_that_is_a_number_does_not_collide_with_the_next_id() {
    let emulator = start(builder().0.reuse_ids(ReuseIds::Name)).await;
    let [(api, body), _] = services(&emulator);
    assert_eq!(create(&api, &body, "1001").await.0, "1001");
    let mut unnamed = body.clone();
    unnamed.as_object_mut().unwrap().remove("name");
    assert_eq!(api.post("", unnamed).await.ok()["data"]["api_key_id"], "1002");
}

#[tokio::test]
async fn the_secret_of_the_deleted_key_does_not_open_the_new_one() {
    for reuse in [ReuseIds::Next, ReuseIds::LowestFree, ReuseIds::Name] {
        for revision in [Revision::Current, Revision::Documented] {
            let emulator = start(builder().0.revision(revision).reuse_ids(reuse)).await;
            for (api, body) in services(&emulator) {
                let (old, old_secret) = create(&api, &body, "ci").await;
                api.delete(&format!("/{old}")).await.ok();
                let (new, new_secret) = create(&api, &body, "ci").await;
                assert_eq!(old, new);
                assert!(!api.accepts(&old_secret).await && api.accepts(&new_secret).await, "{reuse:?} {revision:?}");
                // A third key with the same id is told from both.
                api.delete(&format!("/{new}")).await.ok();
                let (_, third) = create(&api, &body, "ci").await;
                for (secret, works) in [(old_secret, false), (new_secret, false), (third, true)] {
                    assert_eq!(api.accepts(&secret).await, works);
                }
            }
        }
    }
}

#[tokio::test]
async fn serials_tell_keys_with_the_same_id_apart() {
    let (builder, clock) = builder();
    let emulator = start(builder.reuse_ids(ReuseIds::Next).fault("delete:linger=9".parse::<Fault>().unwrap())).await;
    for (api, body) in services(&emulator) {
        emulator.clear_changes();
        let (id, old_secret) = create(&api, &body, "old").await;
        let find = || emulator.keys().into_iter().find(|key| key.id == id).unwrap();
        let old = find();
        api.delete(&format!("/{id}")).await.ok();
        clock.advance(std::time::Duration::from_secs(5));
        create(&api, &body, "new").await;
        let new = find();
        assert_eq!((old.serial, new.serial), (2, 3));
        assert_eq!((new.created - old.created).num_seconds(), 5);
        assert_eq!(emulator.changes().iter().map(|change| change.serial).collect::<Vec<_>>(), [2, 2, 3]);
        assert!(api.accepts(&old_secret).await, "the old secret lingers");
        assert_eq!(new.live_secrets, 1, "but it is not the new key's");
        assert_eq!(find().live_secrets, 1);
    }
}

#[tokio::test]
async fn a_replaced_keys_id_goes_to_the_key_after_the_new_one() {
    let emulator = start(builder().0.revision(Revision::Documented).reuse_ids(ReuseIds::Next)).await;
    let [_, (api, body)] = services(&emulator);
    let (old, _) = create(&api, &body, "ci").await;
    let replaced = api.send("POST", &format!("/{old}/regenerate"), None).await.ok();
    assert_ne!(id_of(&replaced), old);
    assert_eq!(create(&api, &body, "another").await.0, old);
}

#[tokio::test]
async fn a_fault_reuses_ids_for_single_requests() {
    let emulator = start(builder().0.fault("create:reuse-ids:2".parse::<Fault>().unwrap())).await;
    for (api, body) in services(&emulator) {
        let (id, _) = {
            let key = if api.keys.contains("companies") {
                emulator.spartera().add_keys(1).remove(0)
            } else {
                emulator.monad().add_keys(1).remove(0)
            };
            (key.id, key.secret)
        };
        api.delete(&format!("/{id}")).await.ok();
        assert_eq!(create(&api, &body, "a").await.0, id);
        api.delete(&format!("/{id}")).await.ok();
    }
    for (api, body) in services(&emulator) {
        let (id, _) = create(&api, &body, "b").await;
        assert!(emulator.changes().iter().filter(|change| change.key_id == id).count() == 1, "the fault is used up");
    }
}

#[tokio::test]
async fn freed_ids_and_their_tokens_survive_in_the_state() {
    let emulator = start(builder().0.reuse_ids(ReuseIds::Next)).await;
    let mut freed = Vec::new();
    for (api, body) in services(&emulator) {
        let (id, _) = create(&api, &body, "old").await;
        api.delete(&format!("/{id}")).await.ok();
        let (_, secret) = create(&api, &body, "new").await;
        let (other, _) = create(&api, &body, "other").await;
        api.delete(&format!("/{other}")).await.ok();
        freed.push((other, secret));
    }
    let state = emulator.into_state().await.to_json();
    let again = start(builder().0.reuse_ids(ReuseIds::Next).state(State::from_json(&state).unwrap())).await;
    for ((api, body), (id, secret)) in services(&again).into_iter().zip(freed) {
        assert!(api.accepts(&secret).await, "the token of a reused id still works");
        assert_eq!(create(&api, &body, "next").await.0, id);
    }
    // A state from before ids were reused has neither field.
    let before = state.lines().filter(|line| !line.contains("freed_ids")).count();
    assert!(before < state.lines().count());
    assert!(State::from_json(r#"{"spartera": {"freed_ids": ["a/b"]}}"#).is_err());
    assert!(State::from_json(r#"{"monad": {"freed_ids": [""]}}"#).is_err());
}
