//! Emulates the API-key services of [Spartera](https://spartera.com) and [Monad](https://monad.com) in memory, over
//! real HTTP.
//!
//! Code that issues, rotates and revokes API keys should not be developed against a live account. This crate replaces
//! that account. It listens on a port of the loopback address and keeps state. It checks bodies, roles, expiry and
//! credentials, and it answers in the vendors' own forms. It uses no client code of either vendor and shares no types
//! with any client. If a client and this crate agree, two independent readings of the vendors' documentation agree.
//!
//! The crate is for tests and demonstrations. Its secrets come from a generator that is not cryptographically secure,
//! and it speaks plain HTTP.
//!
//! # In a test
//!
//! ```
//! # use std::error::Error;
//! use std::time::Duration;
//! use api_keyring_emulator::{Emulator, ManualClock, Operation, Revision};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::TcpStream;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn Error>> {
//! let clock = ManualClock::new("2026-01-01T00:00:00Z".parse()?);
//! let emulator = Emulator::builder().revision(Revision::Documented).clock(clock.clone()).start().await?;
//! let spartera = emulator.spartera();
//! let keys = spartera.add_keys(3);
//!
//! // Any client works. This one is the smallest: a hand-written request.
//! let mut socket = TcpStream::connect(emulator.address()).await?;
//! let request = format!(
//!     "GET /companies/{}/api-keys/{} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\nconnection: close\r\n\r\n",
//!     spartera.company_id(),
//!     keys[0].id,
//!     spartera.admin_key(),
//! );
//! socket.write_all(request.as_bytes()).await?;
//! let mut response = String::new();
//! socket.read_to_string(&mut response).await?;
//! assert!(response.starts_with("HTTP/1.1 200 OK"));
//!
//! // The emulator records every request.
//! let seen = emulator.requests();
//! assert_eq!(seen.len(), 1);
//! assert_eq!(seen[0].operation, Some(Operation::Get));
//! assert_eq!(seen[0].status, 200);
//!
//! // The test alone moves the clock.
//! clock.advance(Duration::from_secs(3600));
//! emulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Each emulator has its own port and its own state, so many tests can run at once. It runs on the test's own tokio
//! runtime. A client that blocks its thread needs the multi-threaded runtime; otherwise it deadlocks.
//!
//! A program under test finds both services through [`Emulator::environment`].
//!
//! # Faults
//!
//! Nothing goes wrong unless you inject a [`Fault`]. [`EmulatorBuilder::fault`] injects one from the start, and
//! [`Emulator::inject`] injects one at a later point. [`FaultKind`] lists all kinds. They include connection resets
//! before or after the service acts, secrets that work too late or for too long, and lists that lag behind.
//!
//! Some faults play what has lost keys in the field:
//!
//! | faults | what the client meets |
//! |---|---|
//! | [`gateway-404`, `gateway-403`, `waf`, `captive-portal`](Intermediary) and their like | an answer that is not the service's: its status says nothing about the key |
//! | [`unknown-is-403`](FaultKind::UnknownIs403) | a 403 that does not mean that the secret is valid |
//! | [`odd-row`](FaultKind::OddRow), [`odd-field`](FaultKind::OddField), [`zero-time`](FaultKind::ZeroTime) | one row or field that is not as documented, among others that are |
//! | [`odd-secret`](FaultKind::OddSecret) | a new secret that would set another variable of a dotenv file, or that no header can hold |
//! | [`encoded`](FaultKind::Encoded), [`media-type`](FaultKind::MediaType), [`no-media-type`](FaultKind::NoMediaType), [`bom`](FaultKind::ByteOrderMark), [`other-error`](FaultKind::OtherError) | the right answer in another wrapping |
//! | [`past-end-404`](FaultKind::PastEnd404) | a list whose end is an error |
//! | [`page-length`](FaultKind::PageLength) | pages of a length that nobody requested |
//! | [`held-up`](FaultKind::HeldUp) | a write that takes effect long after its connection broke |
//! | [`reuse-ids`](FaultKind::ReuseIds), or [`EmulatorBuilder::reuse_ids`] for every request | another key under the id of a deleted one |
//!
//! Afterwards the emulator reports what really happened, which may differ from what the client was told:
//!
//! - [`Emulator::requests`] returns each request with its answer, its faults, the authenticated key and the time.
//! - [`Emulator::changes`] returns what happened to the keys.
//! - [`Emulator::keys`] returns the keys that exist.
//!
//! For example, a client may create a key and lose the answer. It must neither repeat the create blindly nor leave the
//! lost key behind:
//!
//! ```
//! # use std::error::Error;
//! use api_keyring_emulator::{ChangeKind, Emulator, Fault, Operation, Provider};
//! # use std::io::ErrorKind;
//! # use api_keyring_emulator::SparteraHandle;
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # use tokio::net::TcpStream;
//!
//! # /// Stands in for the code under test. It returns the first error.
//! # async fn issue_key(spartera: &SparteraHandle) -> Result<String, ErrorKind> {
//! #     let host = spartera.base_url().replace("http://", "");
//! #     let body = format!(r#"{{"company_id": "{}", "role_id": 3}}"#, spartera.company_id());
//! #     let request = format!(
//! #         "POST /companies/{}/api-keys HTTP/1.1\r\nhost: {host}\r\nx-api-key: {}\r\nconnection: close\r\n\
//! #          content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
//! #         spartera.company_id(), spartera.admin_key(), body.len(),
//! #     );
//! #     let mut socket = TcpStream::connect(host).await.map_err(|error| error.kind())?;
//! #     socket.write_all(request.as_bytes()).await.map_err(|error| error.kind())?;
//! #     let mut response = String::new();
//! #     socket.read_to_string(&mut response).await.map_err(|error| error.kind())?;
//! #     Ok(response)
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn Error>> {
//! let emulator = Emulator::builder().fault("create:reset-after:1".parse::<Fault>()?).start().await?;
//!
//! // `issue_key` is the code under test. It returns the first error.
//! let outcome = issue_key(&emulator.spartera()).await;
//! assert_eq!(outcome, Err(ErrorKind::ConnectionReset));
//!
//! // The emulator received one create.
//! let requests = emulator.requests();
//! let creates = requests.iter().filter(|seen| seen.operation == Some(Operation::Create));
//! assert_eq!(creates.count(), 1);
//!
//! // The key exists nevertheless, and its secret works although the client never received it. The code under test has
//! // left an orphan.
//! let created: Vec<_> = emulator.changes().into_iter().filter(|change| change.kind == ChangeKind::Created).collect();
//! assert_eq!(created.len(), 1);
//! let keys = emulator.keys();
//! let orphan = keys.iter().find(|key| key.provider == Provider::Spartera && key.id == created[0].key_id);
//! assert_eq!(orphan.map(|key| key.live_secrets), Some(1));
//! # Ok(())
//! # }
//! ```
//!
//! A count or a [chance](Fault::chance) decides which requests a fault hits. With counts, or with a fixed
//! [seed](EmulatorBuilder::seed), a test sees the same faults in every run. Pauses follow tokio's time, so a test that
//! pauses that time does not wait.
//!
//! Before the service checks the credential, the emulator decides which faults hit a request of an operation. A request
//! with a wrong credential therefore counts as well. Two cases meet no fault: a request whose path or method belongs to
//! no operation, and a connection that sends no request.
//!
//! # From another language
//!
//! The command-line program `api-keyring` runs an emulator for any client. It prints the environment variables that
//! lead to the services, one per line, or as one JSON object with `--output json`. Then it serves until `SIGINT` or
//! `SIGTERM` stops it. It prints the lines once the port is open, so a test can start as soon as it has read all six.
//!
//! ```sh
//! api-keyring emulator --port 4010 --revision documented --fault 'create:reset-after:1' > emulator.env &
//! emulator=$!
//! until [ "$(wc -l < emulator.env)" -eq 6 ]; do sleep 0.1; done
//! . ./emulator.env     # SPARTERA_API_KEY, SPARTERA_COMPANY_ID, SPARTERA_BASE_URL, and the same for MONAD
//!
//! keys="$SPARTERA_BASE_URL/companies/$SPARTERA_COMPANY_ID/api-keys"
//! create() {
//!   curl --silent --show-error --header "x-api-key: $SPARTERA_API_KEY" \
//!     --json "{\"company_id\": \"$SPARTERA_COMPANY_ID\", \"role_id\": 3, \"name\": \"ci\"}" "$keys"
//! }
//! create               # curl: (56) Recv failure: Connection reset by peer
//! create               # {"message":"API key created","data":{"api_key_id":"1003","key":"sk_live_…"}}
//!
//! # The list has two keys beside the administrator's. The first create took effect, although its answer was lost.
//! curl --silent --header "x-api-key: $SPARTERA_API_KEY" "$keys"
//!
//! curl --silent --header "Authorization: Bearer $MONAD_API_KEY" "$MONAD_BASE_URL/v2/$MONAD_ORGANIZATION_ID/api_keys"
//!
//! kill "$emulator"
//! ```
//!
//! ## Over HTTP
//!
//! With `--control`, or [`EmulatorBuilder::control`], the emulator also answers below `/_emulator/`, on the same port:
//!
//! | | |
//! |---|---|
//! | `POST /_emulator/faults` | injects the faults in the body, one per line; returns the pending faults |
//! | `GET`, `DELETE /_emulator/faults` | returns the pending faults; clears them |
//! | `GET`, `DELETE /_emulator/requests` | returns the same as [`Emulator::requests`]; clears the record |
//! | `GET`, `DELETE /_emulator/changes` | returns the same as [`Emulator::changes`]; clears the record |
//! | `GET /_emulator/keys` | returns the same as [`Emulator::keys`] |
//!
//! Each path answers with a JSON list, whose objects have the fields of the Rust types. The answers contain no secret.
//! The paths need no credential: every program on this machine can use them. The emulator does not record these
//! requests, and no fault hits them.
//!
//! No web page can use them, even if a browser on this machine shows it and its name resolves to the loopback address.
//! The `Host` header must be `127.0.0.1`, `localhost` or `[::1]`, with the emulator's port. An `Origin` header must name
//! the same. Anything else gets 403.
//!
//! ```sh
//! curl --silent --data 'create:status=429,retry-after=2:1' "$SPARTERA_BASE_URL/_emulator/faults"
//! curl --silent "$SPARTERA_BASE_URL/_emulator/requests"
//! # [{"authenticated_as":"1001","faults":["reset-after"],"operation":"create","status":0, …}, …]
//! ```
//!
//! ## A log
//!
//! With `--log` the program writes one line per request to standard error. The line shows the time, the request, the
//! answer, the authenticated key and the faults. It masks secrets. In Rust, [`EmulatorBuilder::observe`] does the same.
//!
//! ```text
//! 2026-01-01T00:00:00Z spartera create POST /companies/c/api-keys -> reset by 1001 (reset-after)
//! ```
//!
//! ## State
//!
//! With `--state FILE` the emulator starts with the keys in the file, if the file exists. When it stops, it replaces
//! the file. Only its owner can read the file, because it contains every secret. You can also write the file by hand;
//! [`State`] describes the format. No HTTP path returns the state.
//!
//! ## Faults by flag
//!
//! You can repeat `--fault`. It takes the text form that [`Fault`] describes; quote it, because of the `*`. Two faults
//! are a good start. `--fault '*:rate-limit=5/10s'` accepts five requests at once and then one every two seconds.
//! `--fault 'create:late=2'` makes keys whose secret is refused twice before it works.
//!
//! # What there is
//!
//! Both services answer on one port: Spartera below `/companies`, Monad below `/api/v2`. A new emulator has one company
//! and one organization. Each has one key, `administrator`, which its list shows like any other.
//!
//! | | Spartera | Monad |
//! |---|---|---|
//! | credential | `x-api-key` | `x-api-key`, or `Authorization` with `Bearer` or `ApiKey` |
//! | may read, write, delete | role `1` | role `role-admin` |
//! | may read, write | role `2` | role `role-writer` |
//! | may read | role `3` | role `role-reader` |
//! | may do nothing | role `4` | role `role-none` |
//! | secret | `sk_live_…`, or `ep_…` with an `endpoint_id` | a JSON Web Token, signed with HS256 |
//!
//! [`Revision`] chooses between the SDK documentation and the current machine-readable descriptions.
//! [`SparteraShape`] chooses between the two forms in which the vendor documents Spartera's keys:
//!
//! | | [`Revision::Documented`] | [`Revision::Current`] |
//! |---|---|---|
//! | Spartera's list | every key, for any query | `page`, `limit` (20; 1 to 100), `sort_by`, `sort_order`, `search` |
//! | Spartera's stats | a list of one key | the key with `usage_count`, `last_used`, `failed_attempts` |
//! | Spartera's key, documented shape | the documented fields and the masked `key` | also `endpoint_id`, `mcp_deployment_id`, `key_type`, `is_system_generated`, `status`, `revocation_reason` |
//! | Spartera's key, guide's shape | the guide's fields | also `revocation_reason` |
//! | Monad's regenerate | a new key, with a new id, replaces the old one; a body is refused with 415 | the key keeps its id, `token_version` rises by one, a body may give a new `expiration_time`; 422 if the key has expired and the body gives none |
//! | Monad's update | `name` is required | `name` is optional |
//! | Monad's key | the documented fields | also `token_version`, `jwt_signing_key_id`, `last_used_at` |
//!
//! A service shows a secret once, when it creates it. Revoked, deleted, expired and superseded secrets stop working at
//! once. There are two exceptions: a fault can make a secret [linger](FaultKind::Linger), and with
//! [`expiry_lag`](EmulatorBuilder::expiry_lag), a secret still works for some time after its key expires.
//!
//! # Errors
//!
//! A service checks a request in this order and answers with the first failure:
//!
//! 1. the path (404) and the method (405, with `Allow`);
//! 2. the arrival of the body: broken off (400), too long (413), too slow (408);
//! 3. the credential (401);
//! 4. the company or organization of the path (403), then the key's role (403);
//! 5. the body: its content type (415), its syntax and its fields (400); or the query (400);
//! 6. the id of the key (404);
//! 7. the state of the key (409 or 422).
//!
//! Spartera answers with an object that has `code` and `message`. A 400 about the content of the body or the query also
//! has `errors`, with a list for each field. Monad answers with a JSON string, or with an object if you choose
//! [`MonadErrorShape::Object`].
//!
//! # Assumptions
//!
//! The vendors' documents leave open much of what a server has to decide, and the authors of this crate did not try
//! them out on either live service. This crate decides the following points itself. A client should depend on them as
//! little as possible:
//!
//! - **Roles**: this crate chooses which role ids exist and what each role may do. Revoking needs the right to delete.
//!   A key may create a key with more rights than its own. Spartera's `permissions` are stored and shown, but only the
//!   role counts.
//! - **Spartera's ids** are numbers in the documented shape. In the guide's shape they are opaque text such as
//!   `key_1a2b3c4d5e6f`.
//! - **Spartera's create in the guide's shape** returns the guide's key, with the secret in place of the masked one.
//!   The answer therefore has `id` and no `api_key_id`. Update, delete and revoke return `api_key_id`, as text, in both
//!   shapes.
//! - **Spartera's masked key** is in `key`, in both shapes.
//! - **Spartera's `status`**, which only the guide documents, is `active`, `revoked` or `expired`. The documented shape
//!   of the current revision has it too. No document mentions `revocation_reason`.
//! - **Stats** in the current revision have `usage_count`, `last_used` and `failed_attempts` beside the key.
//! - **Unset fields** are absent from Spartera's documented shape and from Monad's key. In the guide's shape they are
//!   null. There, a key without its own `rate_limit` shows 1000. A `rate_limit` is at least 1. A key without its own
//!   `permissions` shows those of its role. `description` is present only if it is set.
//! - **Deleting** on Spartera, which the vendor calls deactivating, removes the key from the list, and get answers 404.
//!   **Revoking** keeps the key in the list as `revoked`. Revoking again changes nothing, and the first reason stays.
//!   Updating a revoked key fails with 409, or with 400 in the documented revision, which has no 409.
//! - **Revoke and update of an unknown id** answer 404 on both services, although not every document lists that status.
//!   A request may name any text as an id. An id that no key could have also leads to a 404.
//! - **A company or organization** that is not the key's own leads to a 403, whether it exists or not.
//! - **Timestamps** in a body need an offset. Monad accepts only RFC 3339; Spartera also accepts a space for the `T`.
//!   Every operation that sets an expiry refuses one that is not in the future, with 400.
//! - **Two names for one expiry**: Spartera accepts `expiration_date_utc` and `expires_at`. If a body has both, the
//!   first counts. Both revisions accept the names of every document. The revision and the shape decide which names an
//!   answer has.
//! - **Unknown fields and parameters** are ignored. In Monad's update that includes `role_id` and `expiration_time`, of
//!   any type.
//! - **Spartera's revoke** checks its body against create's schema, but only `reason` has an effect. An expiry in that
//!   body may have passed.
//! - **Monad's `name`** must contain more than blanks. Spartera's may be any text.
//! - **`company_id` in a body** must be that of the path.
//! - **Spartera's list** is in creation order. `search` finds part of the name or description and ignores case. A page
//!   beyond the last is empty. `sort_by` is `api_key_id`, `id`, `name`, `user_id`, `role_id`, `date_created`,
//!   `created_at`, `last_updated`, `expiration_date_utc`, `expires_at` or `last_used`. `sort_order` is `asc` or `desc`.
//!   A wrong parameter leads to a 400. Only `meta` in the guide's shape shows the number of keys.
//! - **Monad's list** is in creation order. `limit` defaults to 50 and ranges from 1 to 1000. A wrong parameter leads
//!   to a 400.
//! - **Monad's replaced key** keeps the old expiry, so regenerating an expired key creates a key that has expired.
//! - **`last_used_at`** on Monad is renewed at most once a minute; Spartera's `last_used` is renewed at once. If
//!   Spartera refuses a request with the key's own secret (401), it counts the request as a failed attempt.
//! - **Spartera's `code`** is the HTTP status as a number. The messages are this crate's.
//! - **A path of neither service** leads to a 404 in Spartera's form.
//!
//! Some of the documented statuses occur only if a [`Fault`] causes them. These are 429 and 500, because nothing here
//! goes wrong without a fault. The others are Spartera's 404 for a list, 422 for create, update and revoke, and 409 for
//! create (a [quota](FaultKind::Quota)) and revoke, because no document says when they occur. An error from a fault has
//! the form of the service's other errors, with the status's usual name as its message.
//!
//! # Limits
//!
//! | limit | value | beyond it |
//! |---|---|---|
//! | body | 1 MiB | 413 |
//! | head | 64 KiB, 100 headers | 431 |
//! | time for a head, and idle time of a connection | 30 seconds | the connection closes |
//! | time for a body | 30 seconds | 408 |
//! | bodies of requests that have not arrived or that a delay or [`HeldUp`](FaultKind::HeldUp) holds back, and slow answers, together | 32 MiB | the oldest unfinished request gets 503, or the oldest slow answer's connection closes |
//! | delayed requests | 4 times the connections at once | 503 |
//! | held-up writes | 1000 | the service never receives them |
//! | connections at once ([`EmulatorBuilder::connection_limit`]) | 512 | the longest-idle connection closes |
//! | recorded requests and changes ([`EmulatorBuilder::record_limit`]) | 100,000 of each | the oldest are forgotten |
//!
//! A key stays until a request deletes or replaces it.

// docs.rs shows which feature each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod budget;
mod builder;
mod changes;
mod clock;
mod connection;
mod connection_gate;
mod control;
mod emulator;
mod fault;
mod fields;
mod freed_ids;
mod handle;
mod held_up;
mod http;
mod inventory;
mod monad;
mod origin;
mod parameters;
mod permission;
mod propagation;
mod record;
mod refusal;
mod route;
mod secret;
mod server;
mod service;
mod settings;
mod spartera;
mod state;
mod store;
mod timestamp;
mod url;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use builder::{EmulatorBuilder, StartError};
pub use changes::{ChangeKind, StateChange};
pub use clock::{Clock, ManualClock, SystemClock};
pub use emulator::Emulator;
pub use fault::{
    CaptivePortal, ContentCoding, ErrorStatus, Fault, FaultKind, GatewayForm, Intermediary, OddField, OddRow,
    OddSecret, ParseFaultError, RetryAfter, Waf, ZeroTime,
};
pub use handle::{MonadHandle, SeededKey, SparteraHandle};
pub use inventory::{ExistingKey, KeyStatus};
pub use record::SeenRequest;
pub use route::{Operation, Provider};
pub use settings::{MonadErrorShape, ReuseIds, Revision, SparteraShape};
pub use state::{ParseStateError, State};

/// Locks `mutex`, even after a panic in another thread, so that one failed request does not fail the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
