//! `demo` demonstrates a key's whole life at both vendors, on the built-in emulator.

use std::ffi::OsString;
use std::fmt::Arguments;

use api_keyring::{
    Capability, IssuedKey, KeyId, KeyUpdate, ListKeys, NamedProvider, NewKey, Provider, ProviderExt, Regeneration,
    Revocation, Secret, Support,
};
use api_keyring_emulator::Emulator;
use api_keyring_rotation::{Journal as _, MemoryJournal, MemorySink, RotateKey, Rotator, Sink as _, State, Timing};
use chrono::TimeDelta;
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};

use crate::arguments::Format;
use crate::failure::{Failure, Result};
use crate::{config, output};

pub(super) async fn run(format: Format) -> Result {
    let emulator = Emulator::start().await;
    let emulator = emulator.map_err(|error| Failure::Other(format!("the emulator cannot start: {error}")))?;
    let variables = emulator.environment();
    // The variables that `emulator` prints configure the providers, as they do for a user.
    let (keyring, _) = config::keyring(
        &|name| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| OsString::from(value)),
        None,
    )?;
    let mut transcript = Transcript { format, steps: Vec::new() };
    transcript.line(format_args!("The emulator serves both vendors at http://{}.", emulator.address()))?;
    for provider in keyring.providers() {
        transcript.line(format_args!(""))?;
        transcript.line(format_args!("{}, scope {}", provider.name(), provider.scope()))?;
        demonstrate(&mut transcript, &provider).await?;
    }
    emulator.shutdown().await;
    transcript.line(format_args!(""))?;
    transcript.line(format_args!("Every step succeeded."))?;
    transcript.end()
}

/// Prints the steps: line by line for people, all at once for programs.
struct Transcript {
    format: Format,
    steps: Vec<Value>,
}

impl Transcript {
    fn line(&self, line: Arguments<'_>) -> Result {
        if self.format == Format::Table { output::line(&line.to_string()) } else { Ok(()) }
    }

    fn step(&mut self, provider: &NamedProvider, name: &str, what: Arguments<'_>) -> Result {
        self.line(format_args!("  {name:<8}{what}"))?;
        self.steps.push(json!({"provider": provider.name(), "step": name, "result": what.to_string()}));
        Ok(())
    }

    fn end(self) -> Result {
        if self.format == Format::Json { output::json(&self.steps) } else { Ok(()) }
    }
}

/// Returns the emulator's weakest role that can still list keys.
fn role(provider: &NamedProvider) -> &'static str {
    if provider.vendor() == "spartera" { "3" } else { "role-reader" }
}

/// Takes one key through its whole life, and checks that no key is left at the end.
async fn demonstrate(transcript: &mut Transcript, provider: &NamedProvider) -> Result {
    let before = ids(provider).await?;
    let old = create(transcript, provider, &before).await?;
    read_and_update(transcript, provider, old.id()).await?;
    use_secret(transcript, provider, old.secret()).await?;
    let rotated = rotate(transcript, provider, &old).await?;
    let (id, secret) = renew(transcript, provider, rotated).await?;
    show_stats(transcript, provider, &id).await?;
    revoke(transcript, provider, &id, &secret).await?;
    delete(transcript, provider, &id, &secret).await?;
    if provider.exists(old.id()).await? {
        provider.delete(old.id()).await?;
    }
    ensure(ids(provider).await? == before, "no key is left behind")
}

async fn create(transcript: &mut Transcript, provider: &NamedProvider, before: &[KeyId]) -> Result<IssuedKey> {
    let new = NewKey::new("demo").role(role(provider)).expires_in(TimeDelta::days(90)).description("a demonstration");
    let issued = provider.create(&new).await?;
    let (name, masked) = (provider.name(), issued.secret().masked());
    transcript.step(provider, "create", format_args!("issued {name}/{} with the secret {masked}", issued.id()))?;

    let after = ids(provider).await?;
    ensure(after.len() == before.len() + 1 && after.contains(issued.id()), "the list contains the new key")?;
    transcript.step(provider, "list", format_args!("listed {} keys, including the new one", after.len()))?;
    Ok(issued)
}

async fn read_and_update(transcript: &mut Transcript, provider: &NamedProvider, id: &KeyId) -> Result {
    let key = provider.get(id).await?;
    ensure(
        key.name() == Some("demo") && key.expires_at().is_some(),
        "the key has the name and the expiry of the request",
    )?;
    transcript.step(
        provider,
        "get",
        format_args!("read the key: name {:?}, status {}", key.name().unwrap_or_default(), key.status()),
    )?;

    provider.update(id, &KeyUpdate::new().name("demo, renamed")).await?;
    let key = provider.get(id).await?;
    ensure(key.name() == Some("demo, renamed"), "the key has its new name")?;
    transcript.step(provider, "update", format_args!("renamed the key to {:?}", key.name().unwrap_or_default()))
}

async fn use_secret(transcript: &mut Transcript, provider: &NamedProvider, secret: &Secret) -> Result {
    ensure(provider.accepts(secret).await?.is_accepted(), "the vendor accepts the new secret")?;
    transcript.step(provider, "use", format_args!("the vendor accepts the new secret"))
}

/// Replaces the old key as `rotate` does, with a journal and with a sink that holds the old secret.
async fn rotate(transcript: &mut Transcript, provider: &NamedProvider, old: &IssuedKey) -> Result<(KeyId, Secret)> {
    let name = provider.name();
    let sink = MemorySink::holding(old.secret().clone());
    let journal = MemoryJournal::new();
    let rotator = Rotator::new(provider.clone(), sink.clone(), journal.clone());
    let mut timing = Timing::default();
    // The emulator answers at once, so there is no need to wait between two checks.
    timing.poll_millis = 1;
    let rotate = RotateKey::new(old.id().clone()).role(role(provider)).timing(timing).leaked().reason("rotated");
    let record = rotator.rotate(&rotate).await?;
    let State::Done { key, .. } = record.state else {
        return Err(Failure::Other(format!(
            "the rotation of {name}/{} ended in the state {:?}",
            old.id(),
            record.state.name()
        )));
    };
    let history = journal.history(&record.id).await?;
    let mut states: Vec<_> = history.iter().map(|record| record.state.name()).collect();
    states.dedup();
    transcript.step(
        provider,
        "rotate",
        format_args!("replaced {name}/{} with {name}/{key}: {}", old.id(), states.join(", ")),
    )?;
    let current = sink.current().await.map_err(|error| Failure::Other(error.to_string()))?;
    let secret = current.ok_or_else(|| Failure::Other("the sink holds no secret after the rotation".to_owned()))?;
    ensure(provider.accepts(old.secret()).await?.is_refused(), "the vendor refuses the old secret")?;
    ensure(provider.accepts(&secret).await?.is_accepted(), "the vendor accepts the new secret")?;
    transcript.step(
        provider,
        "check",
        format_args!("the vendor refuses the old secret and accepts the new one, {}", secret.masked()),
    )?;
    Ok((key, secret))
}

/// Gives the key a new secret in place, if the vendor supports that.
async fn renew(
    transcript: &mut Transcript,
    provider: &NamedProvider,
    (id, before): (KeyId, Secret),
) -> Result<(KeyId, Secret)> {
    if !supports(provider, Capability::Regenerate) {
        return Ok((id, before));
    }
    let issued = provider.regenerate(&id, &Regeneration::new()).await?;
    ensure(provider.accepts(&before).await?.is_refused(), "the vendor refuses the replaced secret")?;
    ensure(provider.accepts(issued.secret()).await?.is_accepted(), "the vendor accepts the regenerated secret")?;
    let name = provider.name();
    transcript.step(provider, "renew", format_args!("gave {name}/{} a new secret in place", issued.id()))?;
    Ok((issued.id().clone(), issued.secret().clone()))
}

async fn show_stats(transcript: &mut Transcript, provider: &NamedProvider, id: &KeyId) -> Result {
    if !supports(provider, Capability::Stats) {
        return Ok(());
    }
    let stats = provider.stats(id).await?;
    let requests = stats.usage_count.map_or("an unknown number of".to_owned(), |count| count.to_string());
    transcript.step(provider, "stats", format_args!("the vendor counts {requests} requests with the new secret"))
}

async fn revoke(transcript: &mut Transcript, provider: &NamedProvider, id: &KeyId, secret: &Secret) -> Result {
    if !supports(provider, Capability::Revoke) {
        return Ok(());
    }
    provider.revoke(id, &Revocation::new().reason("the demonstration is over")).await?;
    ensure(provider.accepts(secret).await?.is_refused(), "the vendor refuses the revoked secret")?;
    transcript.step(
        provider,
        "revoke",
        format_args!("revoked {}/{id}, whose secret the vendor now refuses", provider.name()),
    )
}

async fn delete(transcript: &mut Transcript, provider: &NamedProvider, id: &KeyId, secret: &Secret) -> Result {
    provider.delete(id).await?;
    ensure(provider.accepts(secret).await?.is_refused(), "the vendor refuses the secret of the deleted key")?;
    ensure(!provider.exists(id).await?, "the deleted key does not exist")?;
    transcript.step(provider, "delete", format_args!("deleted {}/{id}, which no longer exists", provider.name()))
}

fn supports(provider: &NamedProvider, capability: Capability) -> bool {
    !matches!(provider.capabilities().support(capability), Support::Unsupported { .. })
}

async fn ids(provider: &NamedProvider) -> Result<Vec<KeyId>> {
    let mut ids: Vec<_> = provider.list(ListKeys::new()).map_ok(|key| key.id().clone()).try_collect().await?;
    ids.sort_unstable();
    Ok(ids)
}

/// Fails the demonstration if a claim does not hold.
fn ensure(condition: bool, claim: &str) -> Result {
    if condition { Ok(()) } else { Err(Failure::Other(format!("the demonstration failed: expected that {claim}"))) }
}
