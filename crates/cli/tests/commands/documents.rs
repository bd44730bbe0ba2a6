//! Every command prints one JSON document with `--output json`. The environment is the only configuration.

use serde_json::{Value, json};

use crate::harness::{Emulator, program};

#[test]
fn every_command_prints_one_document() {
    let emulator = Emulator::start();

    let providers = emulator.json(&["providers"]);
    assert_eq!(providers[0]["name"], "monad");
    assert_eq!(providers[1]["capabilities"]["regenerate"]["support"], "unsupported");

    for (provider, role) in [("spartera", "3"), ("monad", "role-reader")] {
        let issued = emulator.json(&[
            "create",
            provider,
            "--name",
            "ci",
            "--role",
            role,
            "--expires-at",
            "2090-01-31T00:00:00Z",
            "--to",
            "-",
        ]);
        assert_eq!((&issued["provider"], &issued["delivered_to"]), (&json!(provider), &json!("-")));
        let secret = issued["secret"].as_str().unwrap();
        assert!(emulator.works(provider, secret));
        let key = format!("{provider}/{}", issued["id"].as_str().unwrap());

        let got = emulator.json(&["get", &key]);
        assert_eq!(got["name"], "ci");
        assert_eq!(got["role"], role);
        assert_eq!(got["expires_at"], "2090-01-31T00:00:00Z");
        assert_eq!(got["status"], "active");

        let listed = emulator.json(&["list", provider]);
        assert!(listed.as_array().unwrap().iter().any(|listed| listed["id"] == got["id"]));
        assert!(!listed.to_string().contains(secret));

        assert_eq!(emulator.json(&["update", &key, "--name", "renamed"])["name"], "renamed");
        if provider == "spartera" {
            assert!(emulator.json(&["stats", &key])["usage_count"].as_u64() > Some(0));
            let revoked = emulator.json(&["revoke", &key, "--reason", "test", "--yes"]);
            assert_eq!(revoked["done"], "revoked");
            assert_eq!(emulator.json(&["get", &key])["extra"]["revocation_reason"], "test");
        } else {
            let rotated = emulator.json(&["rotate", &key, "--in-place", "--even-own", "--to", "-", "--yes"]);
            assert!(emulator.works(provider, rotated["secret"].as_str().unwrap()));
        }
        assert!(!emulator.works(provider, secret));
        assert_eq!(emulator.json(&["delete", &key, "--yes"])["done"], "deleted");
    }
    let all = emulator.json(&["list"]);
    assert_eq!(all.as_array().unwrap().len(), 2, "only the two administrators are left: {all}");
}

#[test]
fn one_provider_needs_only_its_own_variables() {
    let emulator = Emulator::start();
    let spartera = emulator.variables.iter().filter(|(name, _)| name.starts_with("SPARTERA_"));
    let output = program().envs(spartera).args(["--output", "json", "list", "spartera"]).output().unwrap();
    let keys: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(keys.as_array().unwrap().len(), 1);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_bearer_token_is_accepted_in_place_of_an_api_key() {
    let emulator = Emulator::start();
    let mut command = emulator.client(&["list", "monad"]);
    command.env_remove("MONAD_API_KEY").env("MONAD_BEARER_TOKEN", &emulator.variables["MONAD_API_KEY"]);
    assert_eq!(command.output().unwrap().status.code(), Some(0));
}

#[test]
fn the_demo_succeeds_and_shows_no_secret() {
    let output = program().arg("demo").output().unwrap();
    let transcript = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{transcript}");
    for step in ["create", "list", "get", "update", "use", "rotate", "check", "renew", "stats", "revoke", "delete"] {
        assert!(transcript.lines().any(|line| line.trim_start().starts_with(step)), "{step}: {transcript}");
    }
    assert!(!transcript.contains("sk_live_") && !transcript.contains("eyJ"), "{transcript}");

    let output = program().args(["demo", "--output", "json"]).output().unwrap();
    let steps: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(steps.as_array().unwrap().len(), 19);
}
