//! Every provider passes the conformance suite, alone and under every layer. A broken one does not.

// A panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use api_keyring::conformance::{CaseResult, Report, Subject, run};
use api_keyring::{
    CallInfo, Capability, Error, ErrorKind, Inject, Keyring, Layer, ListKeys, Memory, Monad, NewKey, Operation,
    Outcome, Provider, ProviderExt, Result, Retry, SendCall, Spartera, Throttle,
};
use api_keyring_emulator::{Emulator, Revision, SparteraShape};

/// Returns the provider alone, behind every pointer, in a keyring, and under every layer.
fn wrapped(provider: Arc<dyn Provider>) -> Vec<(&'static str, Arc<dyn Provider>)> {
    let shared = || Arc::clone(&provider);
    let leaked: &'static dyn Provider = Box::leak(Box::new(shared()));
    let keyring = Keyring::builder().add_shared("named", shared()).build().unwrap();
    vec![
        ("as Arc", shared()),
        ("as Box", Arc::new(Box::new(shared()) as Box<dyn Provider>)),
        ("as &dyn", Arc::new(leaked)),
        ("named", Arc::new(keyring.provider("named").unwrap())),
        ("retrying", Arc::new(shared().retrying(Retry::new()))),
        ("traced", Arc::new(shared().traced())),
        ("throttled", Arc::new(shared().throttled(Throttle::new().concurrency(2).interval(Duration::from_nanos(1))))),
        ("failing", Arc::new(shared().failing(Inject::new()))),
        ("under all", Arc::new(shared().traced().throttled(Throttle::new()).retrying(Retry::new()).traced())),
    ]
}

/// The third role may not list keys. It is empty if there is none.
fn subject_of(provider: Arc<dyn Provider>, [role, other, unlisting]: [&str; 3]) -> Subject {
    let subject = Subject::new(provider, role, other);
    if unlisting.is_empty() { subject } else { subject.role_without_list(unlisting) }
}

async fn assert_conforms(subject: &str, provider: Arc<dyn Provider>, roles: [&str; 3]) {
    for (wrapping, wrapped) in wrapped(provider) {
        let report = run(&subject_of(wrapped, roles)).await;
        println!("{subject} {wrapping}: {report}");
        report.assert_passed();
    }
}

#[tokio::test]
async fn memory_conforms() {
    let roles = ["reader", "writer", ""];
    assert_conforms("memory", Arc::new(Memory::new()), roles).await;
    assert_conforms("memory, replacing", Arc::new(Memory::new().replacing_on_regenerate()), roles).await;
    assert_conforms("memory like Spartera", Arc::new(Memory::like_spartera()), roles).await;
    assert_conforms("memory like Monad", Arc::new(Memory::like_monad()), roles).await;
}

fn spartera(emulator: &Emulator) -> Arc<dyn Provider> {
    let service = emulator.spartera();
    let builder = Spartera::builder().company_id(service.company_id()).api_key(service.admin_key());
    Arc::new(builder.base_url(service.base_url()).build().unwrap())
}

fn monad(emulator: &Emulator) -> Arc<dyn Provider> {
    let service = emulator.monad();
    let builder = Monad::builder().organization_id(service.organization_id()).bearer(service.admin_key());
    Arc::new(builder.base_url(service.base_url()).build().unwrap())
}

#[tokio::test]
async fn spartera_conforms_in_every_revision_and_shape() {
    for revision in [Revision::Documented, Revision::Current] {
        for shape in [SparteraShape::Documented, SparteraShape::Guide] {
            let emulator = Emulator::builder().revision(revision).spartera_shape(shape).start().await.unwrap();
            assert_conforms(&format!("Spartera {revision:?} {shape:?}"), spartera(&emulator), ["3", "2", "4"]).await;
        }
    }
}

#[tokio::test]
async fn monad_conforms_in_every_revision() {
    for revision in [Revision::Documented, Revision::Current] {
        let emulator = Emulator::builder().revision(revision).start().await.unwrap();
        let roles = ["role-reader", "role-writer", "role-none"];
        assert_conforms(&format!("Monad {revision:?}"), monad(&emulator), roles).await;
    }
}

#[tokio::test]
async fn a_skipped_case_names_the_missing_capability() {
    let report = run(&Subject::new(Memory::like_monad(), "reader", "writer")).await;
    let skips = report.results().filter_map(|(_, result)| match result {
        CaseResult::Skipped(capability) => Some(*capability),
        _ => None,
    });
    let skipped: Vec<_> = skips.collect();
    assert!(skipped.contains(&Capability::Stats) && skipped.contains(&Capability::UpdateRole), "{report}");
    assert!(!skipped.contains(&Capability::Regenerate), "{report}");
    let whole = run(&Subject::new(Memory::new(), "reader", "writer")).await;
    assert_eq!(whole.passed(), whole.results().count(), "{whole}");
}

/// Breaks a provider in one way.
#[derive(Clone, Copy, Debug)]
enum Broken {
    /// Reports NotFound without sending the call.
    Skips(Operation),
    /// Turns every failure into a server failure.
    HidesKind,
    /// Sends every call twice.
    Repeats(Operation),
}

#[async_trait::async_trait]
impl Layer for Broken {
    async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> Result<T> {
        match self {
            Self::Skips(operation) if *operation == call.operation => {
                Err(Error::new(ErrorKind::NotFound, Outcome::Unknown, "the call was not sent"))
            }
            Self::Repeats(operation) if *operation == call.operation => {
                drop(send().await);
                send().await
            }
            Self::HidesKind => {
                send().await.map_err(|_| Error::new(ErrorKind::Server, Outcome::Unknown, "internal error"))
            }
            _ => send().await,
        }
    }
}

#[tokio::test]
async fn a_broken_provider_does_not_conform() {
    let report = async |broken: Broken| -> Report {
        run(&Subject::new(Memory::new().layered(broken), "reader", "writer")).await
    };
    for broken in [Broken::Skips(Operation::Delete), Broken::HidesKind, Broken::Repeats(Operation::Create)] {
        let report = report(broken).await;
        println!("{broken:?}: {report}");
        assert!(report.failed() > 0, "{broken:?}: {report}");
        assert!(std::panic::catch_unwind(|| report.assert_passed()).is_err());
    }
}

/// Issues a key even if the create should have been rejected.
#[derive(Clone, Debug)]
struct Careless(Memory);

#[async_trait::async_trait]
impl Layer for Careless {
    async fn around<T: Send>(&self, call: CallInfo<'_>, send: &SendCall<'_, T>) -> Result<T> {
        let answered = send().await;
        if call.operation == Operation::Create && answered.is_err() {
            let issued = self.0.create(&NewKey::new("careless")).await?;
            let lost = Error::new(ErrorKind::MissingSecret, Outcome::Applied, "the secret is lost");
            return Err(lost.about(Operation::Create, Some(issued.id())));
        }
        answered
    }
}

#[tokio::test]
async fn the_suite_deletes_keys_that_should_not_have_been_issued() {
    let memory = Memory::new();
    let careless = memory.clone().layered(Careless(memory.clone()));
    let report = run(&Subject::new(careless, "reader", "writer")).await;
    assert!(report.failed() >= 3, "{report}");
    assert_eq!(memory.list_all(ListKeys::new()).await.unwrap().len(), 1, "only the administrator's key is left");
    let lossy = memory.clone().failing(Inject::new().losing_answer(Operation::Create));
    assert!(run(&Subject::new(lossy, "reader", "writer")).await.failed() == 1);
    assert_eq!(memory.list_all(ListKeys::new()).await.unwrap().len(), 1, "only the administrator's key is left");
}

#[tokio::test]
async fn the_suite_deletes_its_keys() {
    let memory = Memory::new();
    run(&Subject::new(memory.clone(), "reader", "writer")).await.assert_passed();
    assert_eq!(memory.list_all(ListKeys::new()).await.unwrap().len(), 1, "only the administrator's key is left");
}
