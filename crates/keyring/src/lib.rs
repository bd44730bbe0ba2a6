//! One way to issue, list, inspect, update, rotate, revoke and delete the API keys of SaaS vendors.
//!
//! A [`Provider`] is a vendor's keys within one scope, reached with one credential: `Spartera` for a company's keys,
//! `Monad` for an organization's. A [`Keyring`] holds several under names of your own.
//!
//! ```no_run
//! # #[cfg(all(feature = "spartera", feature = "monad"))]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use api_keyring::{Keyring, ListKeys, Monad, NewKey, Provider, ProviderExt, Retry, Spartera};
//! use chrono::TimeDelta;
//! use futures_util::TryStreamExt;
//!
//! let keys = Keyring::builder()
//!     .add("analytics", Spartera::builder().company_id("acme").api_key(std::env::var("SPARTERA_API_KEY")?).build()?)
//!     .add("siem", Monad::builder().organization_id("acme").bearer(std::env::var("MONAD_BEARER_TOKEN")?).build()?.retrying(Retry::new()))
//!     .build()?;
//!
//! let mut all = keys.list(ListKeys::new().expiring_within(TimeDelta::days(14)));
//! while let Some(key) = all.try_next().await? {
//!     println!("{}/{} {:?} {}", key.provider(), key.id(), key.name(), key.status());
//! }
//!
//! let new = NewKey::new("ci").role("role-reader").expires_in(TimeDelta::days(90));
//! let issued = keys.provider("siem")?.create(&new).await?;
//! // The only time that the secret is shown: store it before anything else.
//! std::fs::write("ci.key", issued.secret().expose())?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **No new key is lost.** Create and regenerate are sent once. When the answer is lost, the error's
//!   [`outcome`](Error::outcome) says that nobody can tell; when it is there and cannot be read, the error hands over
//!   what arrived, [`unclaimed_secret`](Error::unclaimed_secret).
//! - **No secret leaks.** A [`Secret`] is never printed, and no error holds one that it would print.
//! - **Nothing is claimed that was not checked.** A list that cannot be vouched for ends in an error; a status that the
//!   vendor does not tell is [`Unknown`](KeyStatus::Unknown); what a vendor does not offer is refused beforehand, as its
//!   [`capabilities`](Provider::capabilities) say.
//!
//! # Around a provider
//!
//! [`ProviderExt`] puts layers around any provider: [`Retry`] tries again what may be tried again, [`Trace`] has a
//! `tracing` span for every call, [`Throttle`] keeps calls apart, [`Inject`] has them fail in tests. A [`Layer`] of your own
//! is one function. A secret that changes comes from a [`SecretSource`], such as a [`SharedSecret`].
//!
//! # When a create is not answered
//!
//! No vendor has idempotency keys, so nobody can send a create again without knowing what became of the first. A [`Mark`] in
//! the name makes it known:
//!
#![cfg_attr(feature = "memory", doc = "```")]
#![cfg_attr(not(feature = "memory"), doc = "```ignore")]
//! # async fn run() -> Result<(), api_keyring::Error> {
//! use api_keyring::{Inject, Mark, Memory, NewKey, Operation, Provider, ProviderExt};
//!
//! // A provider whose next create does its work and loses its answer.
//! let provider = Memory::new().failing(Inject::new().losing_answer(Operation::Create));
//! let issued = loop {
//!     let mark = Mark::random();
//!     match provider.create(&NewKey::new("ci").marked(&mark).role("reader")).await {
//!         Err(error) if error.may_have_taken_effect() => {
//!             // Whatever exists under the mark is a key whose secret nobody has.
//!             for orphan in provider.resolve(&mark).await? {
//!                 provider.delete(orphan.id()).await?;
//!             }
//!         }
//!         answered => break answered?,
//!     }
//! };
//! assert!(provider.accepts(issued.secret()).await?);
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run()).unwrap();
//! ```
//!
//! [What can have happened, and what to do](failure) is a page of its own.
//!
//! # Examples
//!
//! The folder `examples` has programs that run against the emulator: every operation at both vendors, a create whose answer
//! is lost, a program that replaces its own key, and a provider for a vendor of your own.
//!
//! # What it does not do
//!
//! It retries nothing unasked, follows no redirects, and stores no secrets. A vendor's options that no other vendor has are left
//! to its raw crate. There is no blocking variant of it: a program without a runtime makes one and waits.
//!
//! ```no_run
//! # fn run(provider: impl api_keyring::Provider) -> Result<(), Box<dyn std::error::Error>> {
//! use api_keyring::{ListKeys, ProviderExt};
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! let keys = runtime.block_on(provider.list_all(ListKeys::new()))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! `spartera` and `monad` for the vendors, `rustls` for TLS: these are on by default. `native-tls` has the
//! system's library for it, also where `rustls` is there. `memory` has a provider in memory
//! and a clock for the tests of your own program, `conformance` the suite that every provider passes,
//! `schema` a [`schemars`](https://docs.rs/schemars) schema of what is serialized.

// What the adapters share may lack a user where one of them is left out.
#![cfg_attr(not(all(feature = "monad", feature = "spartera")), allow(dead_code))]

/// The README's example has to compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(any(doc, doctest))]
#[doc = include_str!("../docs/failure.md")]
pub mod failure {}

mod clock;
mod error;
mod layer;
mod list;
mod model;
mod provider;
mod testing;
mod vendor;

pub use api_keyring_transport::{
    BaseUrl, Credential, InvalidBaseUrl, InvalidCredential, Secret, Timestamp, Transport, TransportBuilder,
    TransportError,
};
#[cfg(feature = "memory")]
pub use clock::manual::ManualClock;
pub use clock::{Clock, Sleep, SystemClock};
pub use error::{Error, ErrorKind, FieldError, Outcome, Result};
pub use layer::inject::Inject;
pub use layer::retry::{Retry, Retrying};
pub use layer::throttle::Throttle;
pub use layer::trace::Trace;
pub use layer::{CallFuture, CallInfo, Layer, Layered, SendCall};
pub use list::page::{Page, PageRequest, Paging};
pub use list::query::{ListKeys, SortKeys};
pub use model::capability::{Capabilities, Capability, Support};
pub use model::issued::IssuedKey;
pub use model::key::{ApiKey, KeyStatus};
pub use model::key_builder::ApiKeyBuilder;
pub use model::key_ref::{InvalidName, KeyId, KeyRef};
pub use model::mark::Mark;
pub use model::operation::Operation;
pub use model::request::{Expiry, KeyUpdate, NewKey, Regeneration, Revocation};
pub use model::stats::KeyStats;
pub use model::text::printable;
pub use provider::Provider;
pub use provider::extension::{KeyStream, ProviderExt};
pub use provider::keyring::{Keyring, KeyringBuilder, NamedProvider};
#[cfg(feature = "conformance")]
pub use testing::conformance;
#[cfg(feature = "memory")]
pub use testing::memory::Memory;
pub use vendor::credential::{SecretFn, SecretSource, SharedSecret};
#[cfg(feature = "monad")]
pub use vendor::monad::{Monad, MonadBuilder};
#[cfg(feature = "spartera")]
pub use vendor::spartera::{Spartera, SparteraBuilder};
