//! Starting and stopping emulators, and running many at once.

use std::collections::HashSet;
use std::error::Error as _;
use std::io::ErrorKind;
use std::time::Duration;

use api_keyring_emulator::{Emulator, Fault, Revision};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Api;

/// Starts and shuts down an emulator. Returns whether the port was free afterwards.
async fn frees_its_port() -> bool {
    let emulator = Emulator::start().await.unwrap();
    let address = emulator.address();
    Api::spartera(&emulator).get("").await.ok();
    emulator.shutdown().await;
    let refused = TcpStream::connect(address).await.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    let Ok(again) = Emulator::builder().port(address.port()).start().await else {
        return false;
    };
    assert_eq!(again.address(), address);
    Api::monad(&again).get("").await.ok();
    refused
}

#[tokio::test]
async fn shutdown_frees_the_port() {
    // Another test may get the port in between, but not five times in a row.
    for _ in 0..5 {
        if frees_its_port().await {
            return;
        }
    }
    panic!("the port is still in use");
}

#[tokio::test]
async fn shutdown_closes_idle_connections() {
    let emulator = Emulator::start().await.unwrap();
    let api = Api::spartera(&emulator);
    let mut silent = TcpStream::connect(emulator.address()).await.unwrap();
    // After this answer, the server has also accepted the silent connection, which came first.
    api.get("").await.ok();
    tokio::time::timeout(Duration::from_secs(4), emulator.shutdown())
        .await
        .expect("the shutdown does not wait for a silent connection");
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn dropping_frees_the_port_too() {
    let emulator = Emulator::start().await.unwrap();
    let address = emulator.address();
    // This request never ends. An orderly shutdown would wait for it.
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"POST /companies/c/api-keys HTTP/1.1\r\nContent-Length: 10\r\n\r\n{").await.unwrap();
    Api::spartera(&emulator).get("").await.ok();
    drop(emulator);
    let free = async {
        while TcpListener::bind(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), free).await.expect("the port is free");
    let mut byte = [0; 1];
    let end = tokio::time::timeout(Duration::from_secs(4), connection.read(&mut byte)).await;
    assert_eq!(end.expect("the connection ends at once").unwrap_or(0), 0);
}

#[tokio::test]
async fn a_port_in_use_is_an_error_with_its_address() {
    let emulator = Emulator::start().await.unwrap();
    let error = Emulator::builder().port(emulator.address().port()).start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(error.address(), emulator.address());
    assert!(error.to_string().contains(&emulator.address().to_string()), "{error}");
    assert!(error.source().is_some());
}

#[test]
fn starting_without_a_runtime_is_an_error() {
    let mut starting = std::pin::pin!(Emulator::start());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(started) = starting.as_mut().poll(&mut context) else { panic!("`start` waits") };
    assert!(started.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_emulators_at_once_are_independent() {
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            tokio::spawn(async move {
                let revision = if number % 2 == 0 { Revision::Current } else { Revision::Documented };
                let emulator = Emulator::builder().revision(revision).start().await.unwrap();
                let api = Api::spartera(&emulator);
                let company = emulator.spartera().company_id();
                for _ in 0..number {
                    let body = json!({"company_id": company, "role_id": 3});
                    api.post("", body).await.ok();
                }
                let monad = Api::monad(&emulator);
                monad.get("").await.ok();
                assert_eq!(emulator.requests().len(), number + 1);
                let listed = api.get("?limit=100").await.ok();
                assert_eq!(listed["data"].as_array().unwrap().len(), number + 1);
                let identity = (emulator.address(), company, emulator.spartera().admin_key());
                (identity, emulator)
            })
        })
        .collect();
    let mut seen = HashSet::new();
    let mut running = Vec::new();
    for task in tasks {
        let (identity, emulator) = task.await.unwrap();
        seen.insert(identity);
        running.push(emulator);
    }
    assert_eq!(seen.len(), 100, "no two emulators share an address, a company or a secret");
    for emulator in running {
        emulator.shutdown().await;
    }
}

#[tokio::test]
async fn the_same_seed_repeats_ids_and_secrets() {
    let identity = |emulator: &Emulator| {
        let mut all: Vec<_> = emulator.environment().into_iter().map(|(_, value)| value).collect();
        all.retain(|value| !value.starts_with("http"));
        all.extend(emulator.spartera().add_keys(2).into_iter().map(|key| key.secret));
        all.extend(emulator.monad().add_keys(2).into_iter().map(|key| key.id));
        all
    };
    let (builder, _) = crate::client::builder();
    let one = builder.clone().seed(7).start().await.unwrap();
    let two = builder.clone().seed(7).start().await.unwrap();
    let other = builder.clone().seed(8).start().await.unwrap();
    let random = builder.start().await.unwrap();
    let expected = identity(&one);
    assert_eq!(identity(&two), expected);
    for another in [identity(&other), identity(&random)] {
        assert!(another.iter().all(|value| !expected.contains(value)));
    }
}

#[tokio::test]
async fn the_environment_leads_to_both_services() {
    let emulator = Emulator::builder().start().await.unwrap();
    let environment = emulator.environment();
    let names: Vec<_> = environment.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "SPARTERA_API_KEY",
            "SPARTERA_COMPANY_ID",
            "SPARTERA_BASE_URL",
            "MONAD_API_KEY",
            "MONAD_ORGANIZATION_ID",
            "MONAD_BASE_URL",
        ]
    );
    let port = emulator.address().port();
    assert_eq!(environment[2].1, format!("http://127.0.0.1:{port}"));
    assert_eq!(environment[5].1, format!("http://127.0.0.1:{port}/api"));
    let api = Api {
        address: emulator.address(),
        keys: format!("/companies/{}/api-keys", environment[1].1),
        credential: format!("x-api-key: {}", environment[0].1),
    };
    api.get("").await.ok();
    let api = Api {
        address: emulator.address(),
        keys: format!("/api/v2/{}/api_keys", environment[4].1),
        credential: format!("x-api-key: {}", environment[3].1),
    };
    api.get("").await.ok();
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let emulator = Emulator::start().await.unwrap();
    let seeded = (emulator.spartera().add_keys(1), emulator.monad().add_keys(1));
    let shown = format!("{emulator:?} {:?} {:?} {seeded:?}", emulator.spartera(), emulator.monad());
    assert!(shown.contains(&seeded.0[0].id), "{shown}");
    for mark in ["sk_", "eyJ"] {
        assert!(!shown.contains(mark), "{shown}");
    }
}

#[tokio::test]
async fn a_seed_decides_which_requests_a_chance_hits() {
    let hits = async |seed: u64| -> Vec<bool> {
        let builder = Emulator::builder().seed(seed).fault("get%50:status=503".parse::<Fault>().unwrap());
        let emulator = builder.start().await.unwrap();
        let api = Api::spartera(&emulator);
        let mut hits = Vec::new();
        for _ in 0..40 {
            hits.push(api.get("/1001").await.status == 503);
        }
        hits
    };
    let first = hits(7).await;
    let many = first.iter().filter(|hit| **hit).count();
    assert!((8..=32).contains(&many), "{many} of 40");
    assert_eq!(hits(7).await, first);
    assert_ne!(hits(8).await, first);
}
