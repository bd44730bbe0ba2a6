//! The HTTP libraries log no secret, even at level trace.

use std::sync::Mutex;

use api_keyring_transport::Credential;
use log::{LevelFilter, Log, Metadata, Record};

use crate::support::{Api, answer_once};

/// Keeps every log record of this process. Records of other tests do not matter: they do not hold this test's
/// credential.
struct Records(Mutex<Vec<String>>);

static RECORDS: Records = Records(Mutex::new(Vec::new()));

impl Log for Records {
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
async fn neither_credential_nor_answer_is_logged() {
    log::set_logger(&RECORDS).unwrap();
    log::set_max_level(LevelFilter::Trace);
    for credential in [Credential::api_key("sk_log_canary"), Credential::bearer("sk_log_canary")] {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: sk_log_canary\r\ncontent-length: 15\r\n\r\n\"sk_log_canary\"";
        let (address, served) = answer_once(answer).await;
        let value = Api::with_credential(address, credential.unwrap()).create().await.unwrap();
        assert_eq!(*value, "sk_log_canary");
        served.finish().await;
    }
    let records = RECORDS.0.lock().unwrap();
    assert!(records.iter().any(|line| line.starts_with("reqwest")), "the client must log at all: {records:?}");
    let leaks: Vec<&String> = records.iter().filter(|line| line.contains("sk_log_canary")).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
}
