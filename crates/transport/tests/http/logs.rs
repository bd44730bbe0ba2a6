//! What the HTTP libraries log, at their most talkative.

use std::sync::Mutex;

use api_keyring_transport::Credential;
use log::{LevelFilter, Log, Metadata, Record};

use crate::support::{Api, answer_once};

/// Keeps every record of this process. Other tests' records do no harm: they do not hold this test's credential.
struct Kept(Mutex<Vec<String>>);

static KEPT: Kept = Kept(Mutex::new(Vec::new()));

impl Log for Kept {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.target(), record.args());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

#[tokio::test]
async fn no_credential_and_no_answer_is_logged() {
    log::set_logger(&KEPT).unwrap();
    log::set_max_level(LevelFilter::Trace);
    for credential in [Credential::api_key("sk_log_canary"), Credential::bearer("sk_log_canary")] {
        let answer = "HTTP/1.1 200 OK\r\nset-cookie: sk_log_canary\r\ncontent-length: 15\r\n\r\n\"sk_log_canary\"";
        let (address, served) = answer_once(answer).await;
        let value = Api::with_credential(address, credential.unwrap()).create().await.unwrap();
        assert_eq!(*value, "sk_log_canary");
        served.finish().await;
    }
    let kept = KEPT.0.lock().unwrap();
    assert!(kept.iter().any(|line| line.starts_with("reqwest")), "the client does log: {kept:?}");
    let leaks: Vec<&String> = kept.iter().filter(|line| line.contains("sk_log_canary")).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
}
