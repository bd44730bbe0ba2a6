//! One way to issue, list, inspect, update, regenerate, revoke and delete the API keys of SaaS vendors.
//!
//! A [`Provider`] is one account at a vendor, reached with one credential. `Spartera` manages a company's keys, `Monad`
//! an organization's. A [`Keyring`] holds several providers under names that you choose.
//!
//! ```no_run
//! # #[cfg(all(feature = "spartera", feature = "monad"))]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # use api_keyring::Secret;
//! # async fn store(secret: &Secret) -> std::io::Result<()> { let _ = secret; Ok(()) }
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
//! // The vendor shows the secret only once: store it before you do anything else.
//! store(issued.secret()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **No new key is lost.** The crate sends a create or a regenerate once. If the answer is lost, the error's
//!   [`outcome`](Error::outcome) is [`Unknown`](Outcome::Unknown). If the answer arrives but cannot be read,
//!   [`unclaimed_secret`](Error::unclaimed_secret) returns what arrived.
//! - **No secret leaks.** A [`Secret`] never prints its value, and no error prints a secret.
//! - **The crate claims only what it checked.** A list that may be incomplete ends in an error. If the vendor does not
//!   report a key's status, the status is [`Unknown`](KeyStatus::Unknown). Before it sends anything, the provider
//!   refuses an operation that the vendor does not offer; [`capabilities`](Provider::capabilities) says which these
//!   are.
//!
//! # Layers
//!
//! [`ProviderExt`] puts layers around any provider. [`Retry`] repeats failed calls that are safe to repeat. [`Trace`]
//! opens a `tracing` span for every call. [`Throttle`] limits the rate of calls. [`Inject`] makes calls fail in tests.
//! You write your own [`Layer`] as one function. If a credential changes while the program runs, supply it from a
//! [`SecretSource`] such as [`SharedSecret`].
//!
//! # When the answer to a create is lost
//!
//! The vendors have no idempotency keys, so you must not send a create again until you know what became of the first
//! one. A [`Mark`] in the key's name lets you find out:
#![cfg_attr(feature = "memory", doc = "```")]
#![cfg_attr(not(feature = "memory"), doc = "```ignore")]
//! # async fn run() -> Result<(), api_keyring::Error> {
//! use api_keyring::{Inject, Mark, Memory, NewKey, Operation, Provider, ProviderExt};
//!
//! // The next create takes effect, but its answer is lost.
//! let provider = Memory::new().failing(Inject::new().losing_answer(Operation::Create));
//! let issued = loop {
//!     let mark = Mark::random();
//!     match provider.create(&NewKey::new("ci").marked(&mark).role("reader")).await {
//!         Err(error) if error.may_have_taken_effect() => {
//!             // Nobody has the secret of a key that carries this mark.
//!             for orphan in provider.resolve(&mark).await? {
//!                 provider.delete(orphan.id()).await?;
//!             }
//!         }
//!         answered => break answered?,
//!     }
//! };
//! assert!(provider.accepts(issued.secret()).await?.is_accepted());
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run()).unwrap();
//! ```
//!
//! The page [`failure`] describes every failure and what to do about it.
//!
//! # Examples
//!
//! The folder `examples` holds programs that run against the emulator. They call every operation at both vendors,
//! recover from a lost answer, replace a program's own key, and implement a provider for another vendor.
//!
//! # What it does not do
//!
//! The crate retries only if you add a [`Retry`]. It follows no redirects and stores no secrets. For an option that
//! only one vendor has, use that vendor's raw crate. The crate has no blocking API: a program without a runtime creates
//! one and blocks on it.
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
//! | feature | what it adds | default |
//! |---|---|---|
//! | `spartera`, `monad` | the vendors | yes |
//! | `rustls` | TLS by rustls | yes |
//! | `native-tls` | TLS by the system's library, even if `rustls` is also enabled | no |
//! | `memory` | a provider in memory and a manual clock, for your own tests | no |
//! | `conformance` | the test suite that every provider passes | no |
//! | `schema` | a [`schemars`](https://docs.rs/schemars) schema of every serialized type | no |

// docs.rs shows which feature each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
// With only one vendor enabled, some of the code that the adapters share is unused.
#![cfg_attr(not(all(feature = "monad", feature = "spartera")), allow(dead_code))]

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

/// Decodes a JSON text, such as a value in [`ApiKey::extra`].
pub use api_keyring_transport::json::lossy_text;
pub use api_keyring_transport::{
    BaseUrl, Credential, InvalidBaseUrl, InvalidCredential, InvalidEnvironment, RawFields, Secret, Timestamp,
    Transport, TransportBuilder, TransportError,
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
pub use list::limits::ListLimits;
pub use list::page::{Page, PageRequest, Paging};
pub use list::query::{ListKeys, SortKeys};
pub use model::capability::{Capabilities, Capability, Support};
pub use model::identity::{KeyIdentity, OwnCredential, Sameness};
pub use model::issued::IssuedKey;
pub use model::key::{ApiKey, KeyStatus};
pub use model::key_builder::ApiKeyBuilder;
pub use model::key_ref::{InvalidName, KeyId, KeyRef};
pub use model::mark::Mark;
pub use model::operation::Operation;
pub use model::request::{Expiry, KeyUpdate, NewKey, Regeneration, Revocation};
pub use model::stats::KeyStats;
pub use model::text::{find_secret, is_printable, printable, redact_secrets};
pub use provider::Provider;
pub use provider::acceptance::{Acceptance, SecretProbe};
pub use provider::ending::Ended;
pub use provider::extension::{KeyStream, ProviderExt};
pub use provider::keyring::{Keyring, KeyringBuilder, NamedProvider};
#[cfg(feature = "conformance")]
pub use testing::conformance;
#[cfg(feature = "memory")]
pub use testing::memory::Memory;
pub use vendor::VENDORS;
pub use vendor::credential::{SecretFn, SecretSource, SharedSecret};
#[cfg(feature = "monad")]
pub use vendor::monad::{Monad, MonadBuilder};
#[cfg(feature = "spartera")]
pub use vendor::spartera::{Spartera, SparteraBuilder};
