//! Which requests a fault hits.

use api_keyring_emulator::{Fault, FaultKind, Operation, Provider};

use super::{recorded, with};
use crate::client::services;

#[tokio::test]
async fn faults_follow_each_other_until_they_are_used_up() {
    let emulator = with(&["create:status=503:2", "create:reset-after:1", "create:extra-fields:1"]).await;
    let [(api, body), _] = services(&emulator);
    for _ in 0..2 {
        api.post("", body.clone()).await.refused(503);
    }
    assert!(api.send_raw("POST", "", Some(body.clone())).await.reset);
    api.post("", body).await.ok();
    // A request that did not reach the service has not used up a fault inside the service.
    assert_eq!(recorded(&emulator), ["status=503", "status=503", "reset-after extra-fields", ""]);
}

#[tokio::test]
async fn a_fault_hits_only_its_service_and_operation() {
    let emulator = with(&[]).await;
    emulator.inject(Fault::new(FaultKind::EmptyBody).at(Provider::Monad).on(Operation::List).after(1).times(1));
    let [(spartera, _), (monad, _)] = services(&emulator);
    for _ in 0..3 {
        spartera.get("").await.ok();
        monad.get("").await;
    }
    assert_eq!(recorded(&emulator), ["", "", "", "empty", "", ""]);
    monad.get("/none").await.refused(404);
}

#[tokio::test]
async fn clear_faults_removes_all_faults() {
    let emulator = with(&["*:status=500", "*:extra-fields"]).await;
    let [(api, _), _] = services(&emulator);
    api.get("").await.refused(500);
    emulator.clear_faults();
    assert!(api.get("").await.ok().get("added_text").is_none());
}

#[tokio::test]
async fn requests_without_an_operation_meet_no_fault() {
    let emulator = with(&["*:status=500"]).await;
    let [(api, _), _] = services(&emulator);
    api.get("/").await.refused(404);
    api.send("PUT", "", None).await.refused(405);
    assert_eq!(recorded(&emulator), ["", ""]);
}

#[tokio::test]
async fn a_refused_request_uses_up_a_fault_too() {
    let emulator = with(&[]).await;
    for (api, body) in services(&emulator) {
        emulator.inject("create:late=1:1".parse::<Fault>().unwrap());
        api.post("", serde_json::json!({})).await.refused(400);
        let made = api.post("", body).await.ok();
        let secret = made.get("token").unwrap_or(&made["data"]["key"]).as_str().unwrap();
        assert!(api.accepts(secret).await, "the new secret is not late");
        emulator.clear_faults();
    }
}
