//! `delete` and `revoke` end the right key, claim only what was seen, and spare your own credential.

use std::process::Command;

use api_keyring_emulator::{Emulator, Fault};
use serde_json::{Value, json};

use crate::harness::{Run, in_process, program};

struct Fixture(Emulator);

impl Fixture {
    fn new() -> Self {
        Self(in_process(Emulator::builder().seed(9)))
    }

    fn inject(&self, fault: &str) {
        self.0.inject(fault.parse::<Fault>().unwrap());
    }

    fn client(&self) -> Command {
        let mut command = program();
        command.envs(self.0.environment());
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.client().args(["--output", "json"]).args(arguments).output().unwrap().into()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let run = self.run(arguments);
        assert_eq!((run.code, &*run.stderr), (0, ""), "{arguments:?}");
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// Returns the administrator's key at this provider.
    fn own(&self, provider: &str) -> String {
        let keys = self.0.keys();
        let own = keys.iter().find(|key| key.provider.to_string() == provider).unwrap();
        format!("{provider}/{}", own.id)
    }

    fn add(&self, provider: &str) -> String {
        let added = if provider == "spartera" { self.0.spartera().add_keys(1) } else { self.0.monad().add_keys(1) };
        format!("{provider}/{}", added[0].id)
    }

    fn is_alive(&self, key: &str) -> bool {
        let keys = self.0.keys();
        keys.iter().any(|found| format!("{}/{}", found.provider, found.id) == key && found.live_secrets > 0)
    }

    fn writes(&self) -> usize {
        self.0.requests().iter().filter(|seen| seen.method != "GET").count()
    }
}

#[test]
fn your_own_credential_is_refused_without_even_own() {
    for (provider, commands) in [("spartera", &["delete", "revoke"][..]), ("monad", &["delete"])] {
        for command in commands {
            let fixture = Fixture::new();
            let own = fixture.own(provider);
            let refused = fixture.run(&[command, &own, "--yes"]);
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.stderr.contains("is your own credential"), "{refused:?}");
            assert!(refused.stderr.contains("--even-own") && refused.stderr.contains("Nothing was changed"));
            assert!(fixture.is_alive(&own) && fixture.writes() == 0);
            // The vendor refuses every look after that, which proves it as well.
            let done = fixture.json(&[command, &own, "--even-own", "--yes"]);
            assert_eq!((&done["confirmed"], &done["own_credential"]), (&json!("refused"), &json!(true)));
            assert!(!fixture.is_alive(&own));
            assert_eq!(fixture.run(&[command, &own, "--even-own", "--yes"]).code, 4);
            // Another key needs no such permission.
            let fixture = Fixture::new();
            let other = fixture.add(provider);
            let done = fixture.json(&[command, &other, "--yes"]);
            let expected = if *command == "delete" { "deleted" } else { "revoked" };
            assert!(done["done"] == expected && done["confirmed"].is_string(), "{done}");
            assert!(!fixture.is_alive(&other));
        }
    }
}

#[test]
fn your_own_credential_is_recognized_as_a_bearer_token() {
    let fixture = Fixture::new();
    let own = fixture.own("monad");
    let mut command = fixture.client();
    let token = fixture.0.monad().admin_key();
    command.env_remove("MONAD_API_KEY").env("MONAD_BEARER_TOKEN", token).args(["delete", &own, "--yes"]);
    let refused: Run = command.output().unwrap().into();
    assert!(refused.code == 2 && refused.stderr.contains("is your own credential"), "{refused:?}");
    assert!(fixture.is_alive(&own));
}

#[test]
fn a_key_that_is_already_gone_is_told_from_one_that_was_deleted() {
    for provider in ["spartera", "monad"] {
        let fixture = Fixture::new();
        let key = fixture.add(provider);
        assert_eq!(fixture.json(&["delete", &key, "--yes"])["done"], "deleted");
        let again = fixture.run(&["delete", &key, "--yes"]);
        assert_eq!((again.code, &*again.stdout), (5, ""), "{again:?}");
        assert!(again.stderr.contains("already gone") && again.stderr.contains("Nothing was changed"), "{again:?}");
    }
}

#[test]
fn a_delete_behind_a_gateway_is_never_claimed_without_a_look() {
    // The gateway gives up on the delete, and then on everything.
    for provider in ["spartera", "monad"] {
        for (delete, then) in [
            ("gateway-502", "gateway-404"),
            ("gateway-404", "gateway-404"),
            ("gateway-404=json", "gateway-404=json"),
            ("gateway-200", "gateway-404"),
            ("reset-before", "gateway-404=kong"),
        ] {
            let fixture = Fixture::new();
            let key = fixture.add(provider);
            fixture.inject(&format!("delete:{delete}"));
            // The look before the delete succeeds.
            fixture.inject(&format!("get:{then}@2"));
            fixture.inject(&format!("list:{then}"));
            let run = fixture.run(&["delete", &key, "--yes"]);
            assert!(run.code == 1 && run.stdout.is_empty(), "{provider}, {delete}, {then}: {run:?}");
            assert!(fixture.is_alive(&key));
        }
    }
}

#[test]
fn a_delete_whose_answer_is_lost_is_confirmed_by_a_look() {
    for provider in ["spartera", "monad"] {
        for fault in ["reset-after", "gateway-502-after", "gateway-404-after", "html", "truncate", "status-after=504"] {
            let fixture = Fixture::new();
            let key = fixture.add(provider);
            fixture.inject(&format!("delete:{fault}:1"));
            let done = fixture.json(&["delete", &key, "--yes"]);
            assert_eq!((&done["done"], done["confirmed"].is_string()), (&json!("deleted"), true), "{fault}");
            assert!(!fixture.is_alive(&key));
            let deletes = fixture.0.requests().iter().filter(|seen| seen.method == "DELETE").count();
            assert_eq!(deletes, 1, "{provider}, {fault}: it is not repeated");
        }
    }
}
