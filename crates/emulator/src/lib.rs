//! The API-key services of [Spartera](https://spartera.com) and [Monad](https://monad.com), in memory, over real HTTP.
//!
//! Nobody should develop the issuing, rotating and revoking of API keys against a live account. This crate stands in
//! for it: it listens on a port of the loopback address, keeps state, checks bodies, roles, expiry and credentials, and
//! answers in the vendors' own forms. It uses no client code of either vendor and shares no types with any, so a client
//! that agrees with it has read the vendors' documentation the same way twice, independently.
//!
//! It is for tests and demonstrations. Its secrets come from a generator that is not fit for protecting anything, and
//! it speaks plain HTTP.
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
//! // Any client will do. This is the smallest: a request by hand.
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
//! // What has the emulator seen?
//! let seen = emulator.requests();
//! assert_eq!(seen.len(), 1);
//! assert_eq!(seen[0].operation, Some(Operation::Get));
//! assert_eq!(seen[0].status, 200);
//!
//! // Time passes only when the test says so.
//! clock.advance(Duration::from_secs(3600));
//! emulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Each emulator has a port and a state of its own, so tests can run many at once. It runs on the test's own tokio
//! runtime: a client that blocks the thread needs the multi-threaded runtime, or it waits for itself.
//!
//! A program under test finds both services through [`Emulator::environment`].
//!
//! # When things go wrong
//!
//! Nothing does by itself. A [`Fault`] makes it: [`EmulatorBuilder::fault`] from the start, [`Emulator::inject`] from a
//! certain point on. [`FaultKind`] lists what there is, from a connection that is reset before or after the service
//! acted to secrets that work too late or for too long and lists that lag behind.
//!
//! Afterwards the emulator tells what really happened, whatever the client was told: [`Emulator::requests`] has what
//! arrived, how it was answered, which fault was in force and who was authenticated when; [`Emulator::changes`] what
//! has become of the keys, and [`Emulator::keys`] which of them exist. A client that asks for a key and loses the
//! answer, for instance, must neither ask again blindly nor leave the lost key behind:
//!
//! ```
//! # use std::error::Error;
//! use api_keyring_emulator::{ChangeKind, Emulator, Fault, Operation, Provider};
//! # use std::io::ErrorKind;
//! # use api_keyring_emulator::SparteraHandle;
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # use tokio::net::TcpStream;
//!
//! # /// Stands in for the code under test. It gives up at the first sign of trouble.
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
//! // `issue_key` is the code under test. This one gives up at the first sign of trouble.
//! let outcome = issue_key(&emulator.spartera()).await;
//! assert_eq!(outcome, Err(ErrorKind::ConnectionReset));
//!
//! // How many times did a create arrive?
//! let requests = emulator.requests();
//! let creates = requests.iter().filter(|seen| seen.operation == Some(Operation::Create));
//! assert_eq!(creates.count(), 1);
//!
//! // The key exists nevertheless, and so does a secret that nobody holds: the code under test has left an orphan.
//! let created: Vec<_> = emulator.changes().into_iter().filter(|change| change.kind == ChangeKind::Created).collect();
//! assert_eq!(created.len(), 1);
//! let keys = emulator.keys();
//! let orphan = keys.iter().find(|key| key.provider == Provider::Spartera && key.id == created[0].key_id);
//! assert_eq!(orphan.map(|key| key.live_secrets), Some(1));
//! # Ok(())
//! # }
//! ```
//!
//! Counts decide what is hit, or a [chance](Fault::chance) that a seed repeats, so a test sees the same in every run.
//! Pauses are in tokio's time: a test that pauses it does not wait. A fault hits the requests of an operation, before the
//! credential is looked at; a request whose path or method belongs to none, and a connection that sends no request, are
//! left alone.
//!
//! # From another language
//!
//! The command-line program `api-keyring` runs an emulator for any client. It prints the variables with which to reach
//! it, one a line, and with `--output json` as one JSON object; then it serves until it is told to stop (by `SIGINT` or
//! `SIGTERM`). The lines are there once the port is open, so a test reads six of them and can begin, without waiting
//! for anything else.
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
//! # Two keys beside the administrator's: the first create has done its work, though its answer was lost.
//! curl --silent --header "x-api-key: $SPARTERA_API_KEY" "$keys"
//!
//! curl --silent --header "Authorization: Bearer $MONAD_API_KEY" "$MONAD_BASE_URL/v2/$MONAD_ORGANIZATION_ID/api_keys"
//!
//! kill "$emulator"
//! ```
//!
//! ## Over HTTP
//!
//! With `--control`, or [`EmulatorBuilder::control`], the emulator answers below `/_emulator/` too, on the same port:
//!
//! | | |
//! |---|---|
//! | `POST /_emulator/faults` | injects the faults of the body, one a line; answers those still to come |
//! | `GET`, `DELETE /_emulator/faults` | those still to come; clears them |
//! | `GET`, `DELETE /_emulator/requests` | what [`Emulator::requests`] tells; forgets it |
//! | `GET`, `DELETE /_emulator/changes` | what [`Emulator::changes`] tells; forgets it |
//! | `GET /_emulator/keys` | what [`Emulator::keys`] tells |
//!
//! Each answers a JSON list, whose objects have the fields of the Rust types. There is no secret in any of them, and no
//! credential is asked for: whoever can reach the port can use them. These requests are not recorded, and no fault hits
//! them.
//!
//! ```sh
//! curl --silent --data 'create:status=429,retry-after=2:1' "$SPARTERA_BASE_URL/_emulator/faults"
//! curl --silent "$SPARTERA_BASE_URL/_emulator/requests"
//! # [{"authenticated_as":"1001","faults":["reset-after"],"operation":"create","status":0, …}, …]
//! ```
//!
//! ## A log
//!
//! With `--log` a line tells of each request on standard error: when it came, what it was, how it was answered, whose key
//! asked, and which faults were in force. Secrets are masked in it. In Rust, [`EmulatorBuilder::observe`] does the same.
//!
//! ```text
//! 2026-01-01T00:00:00Z spartera create POST /companies/c/api-keys -> reset by 1001 (reset-after)
//! ```
//!
//! ## State
//!
//! With `--state FILE` the emulator begins with the keys that are in the file, if there is one, and writes it anew when
//! it is told to stop: for its owner alone, since it holds every secret. It can be written by hand; [`State`] says how.
//! Over HTTP there is no way to it.
//!
//! ## Faults by flag
//!
//! `--fault` may be given several times, in the text form that [`Fault`] describes; quote it, for the `*`. Two that
//! suit a first look: `--fault '*:rate-limit=5/10s'` takes five requests at once and then one every two seconds, and
//! `--fault 'create:late=2'` makes keys whose secret is refused twice before it works.
//!
//! # What there is
//!
//! Both services answer on one port: Spartera below `/companies`, Monad below `/api/v2`. A fresh emulator has one company
//! and one organization, each with one key, `administrator`. That key is listed like any other.
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
//! [`Revision`] chooses between the SDK documentation and the current machine-readable descriptions, and
//! [`SparteraShape`] between the two forms in which Spartera's keys are documented:
//!
//! | | [`Revision::Documented`] | [`Revision::Current`] |
//! |---|---|---|
//! | Spartera's list | everything, whatever the query says | `page`, `limit` (20; 1 to 100), `sort_by`, `sort_order`, `search` |
//! | Spartera's stats | a list of one key | the key with `usage_count`, `last_used`, `failed_attempts` |
//! | Spartera's key, documented shape | the documented fields and the masked `key` | also `endpoint_id`, `mcp_deployment_id`, `key_type`, `is_system_generated`, `status`, `revocation_reason` |
//! | Spartera's key, guide's shape | the guide's fields | also `revocation_reason` |
//! | Monad's regenerate | a new key, with a new id, replaces the old one; a body is refused with 415 | the key keeps its id, `token_version` goes up, a body may give a new `expiration_time`; 422 if the key has expired and none is given |
//! | Monad's update | `name` is required | `name` is optional |
//! | Monad's key | the documented fields | also `token_version`, `jwt_signing_key_id`, `last_used_at` |
//!
//! A secret is shown once, when it is made. Revoked, deleted, expired and superseded secrets stop working at once, unless
//! a fault has them [linger](FaultKind::Linger), or for the expired ones
//! [`expiry_lag`](EmulatorBuilder::expiry_lag) is set.
//!
//! # Errors
//!
//! A request is checked in this order, and the first failure is the answer:
//!
//! 1. the path (404) and the method (405, with `Allow`);
//! 2. the arrival of the body: broken off (400), too long (413), too slow (408);
//! 3. the credential (401);
//! 4. the company or organization of the path (403), then the key's role (403);
//! 5. the body: its content type (415), its syntax and its fields (400); or the query (400);
//! 6. the id of the key (404);
//! 7. the state of the key (409 or 422).
//!
//! Spartera answers an object with `code` and `message`, and `errors` with a list for each field where a 400 is about
//! what the body or query says. Monad answers a JSON string, or an object if [`MonadErrorShape::Object`] is chosen.
//!
//! # What is assumed
//!
//! The vendors' documents are silent on much of what a server has to decide, and neither live service was asked. These
//! are decisions of this crate, and a client should not depend on them more than it must:
//!
//! - **Roles**: which ids there are, what each may do, and that revoking needs the right to delete. A key may make
//!   another that can do more than itself. Spartera's `permissions` are kept and shown, but only the role counts.
//! - **Spartera's ids**: numbers in the documented shape; in the guide's shape, opaque text such as `key_1a2b3c4d5e6f`.
//! - **Spartera's create in the guide's shape** answers the guide's key, with the secret in place of the masked one,
//!   and therefore `id` and no `api_key_id`. Update, delete and revoke answer `api_key_id`, as text, in both shapes.
//! - **Spartera's masked key** stands in `key`, in both shapes.
//! - **Spartera's `status`**, which the guide alone has, is `active`, `revoked` or `expired`, and stands in the
//!   documented shape of the current revision too. `revocation_reason` is in no document.
//! - **Stats** in the current revision have `usage_count`, `last_used` and `failed_attempts` beside the key.
//! - **Unset fields** are left out of Spartera's documented shape and of Monad's key; in the guide's shape they are
//!   null. A guide key without a `rate_limit` of its own, which is at least 1, shows 1000; one without `permissions` of
//!   its own those of its role; `description` is there only where there is one.
//! - **Deleting** on Spartera, which the vendor calls deactivating, takes the key out of the list, and get answers 404.
//!   **Revoking** leaves it there, as `revoked`. Revoking again changes nothing, and the first reason stays. A revoked key
//!   cannot be updated: 409, or 400 in the documented revision, which knows no 409.
//! - **Revoke and update of an unknown id** answer 404, on both services, though not every document lists it there. Any
//!   text may be asked for as an id: one that no key could have is not found, either.
//! - **A company or organization** that is not the key's own is answered with 403, whether there is such a one or not.
//! - **Timestamps** in a body need an offset; Monad accepts RFC 3339 only, Spartera also a space for the `T`. An expiry
//!   that is not in the future is refused with 400 by every operation that sets one.
//! - **Two names for one expiry**: Spartera takes `expiration_date_utc` or `expires_at`; given both, the first counts.
//!   The names of every document are accepted in both revisions, and shown as the revision and shape have them.
//! - **Unknown fields and parameters** are ignored. That goes for `role_id` and `expiration_time` in Monad's update, of
//!   whatever type they are.
//! - **Spartera's revoke** holds its body to create's schema, and then only `reason` has an effect; an expiry may have
//!   passed.
//! - **Monad's `name`** has something other than blanks in it; Spartera's may be anything.
//! - **`company_id` in a body** has to be that of the path.
//! - **Spartera's list** is in the order in which the keys were made; `search` looks for part of the name or
//!   description, whatever the case; a page beyond the last is empty. `sort_by` is `api_key_id`, `id`, `name`,
//!   `user_id`, `role_id`, `date_created`, `created_at`, `last_updated`, `expiration_date_utc`, `expires_at` or
//!   `last_used`; `sort_order` is `asc` or `desc`. A wrong parameter is answered with 400. Besides `meta` in the
//!   guide's shape, nothing tells how many keys there are.
//! - **Monad's list** is in the order in which the keys were made; `limit` is 50 unless given, and may be 1 to 1000. A
//!   wrong parameter is answered with 400.
//! - **Monad's replaced key** keeps the old expiry, so a regenerated expired key is born expired.
//! - **`last_used_at`** on Monad is renewed once a minute at most; Spartera's `last_used` at once. Spartera counts as
//!   failed attempts those with the key's own secret that were answered with 401.
//! - **Spartera's `code`** is the HTTP status as a number. The messages are this crate's.
//! - **A path of neither service** is answered with 404 in Spartera's form.
//!
//! Of the statuses that the vendors document, these are answered only where a [`Fault`] says so: 429 and 500, for
//! nothing goes wrong here by itself; and Spartera's 404 for a list, 422 for create, update and revoke, and 409 for
//! create (a [quota](FaultKind::Quota)) and revoke, for no document says when. A fault's error has the form of the service's other errors, and the status's
//! usual name as its message.
//!
//! # Limits
//!
//! A body of more than 1 MiB is answered with 413, a head of more than 64 KiB or 100 headers with 431. A head has 30
//! seconds to arrive, which is also how long a connection may stay idle, and a body another 30. 512 connections are
//! served at once; one more closes that which has been idle for longest ([`EmulatorBuilder::connection_limit`]). The
//! record keeps the latest 100,000 requests and changes ([`EmulatorBuilder::record_limit`]). Keys are kept until they
//! are deleted.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod builder;
mod changes;
mod clock;
mod connection;
mod connection_gate;
mod control;
mod emulator;
mod fault;
mod fields;
mod handle;
mod http;
mod inventory;
mod monad;
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
pub use fault::{ErrorStatus, Fault, FaultKind, ParseFaultError, RetryAfter};
pub use handle::{MonadHandle, SeededKey, SparteraHandle};
pub use inventory::{ExistingKey, KeyStatus};
pub use record::SeenRequest;
pub use route::{Operation, Provider};
pub use settings::{MonadErrorShape, Revision, SparteraShape};
pub use state::{ParseStateError, State};

/// Locks, even after a panic elsewhere: one failed request must not take the others with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
