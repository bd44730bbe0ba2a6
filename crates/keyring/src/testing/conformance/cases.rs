//! The cases of the suite.

use std::collections::BTreeSet;
use std::pin::Pin;

use api_keyring_transport::Secret;
use chrono::{TimeDelta, Utc};
use futures_util::future;

use super::fixture::{CheckResult, Fixture, check, check_eq, check_fails, later};
use crate::{
    ApiKey, Capability, ErrorKind, Expiry, KeyId, KeyStatus, KeyUpdate, ListKeys, Mark, NewKey, Operation, Outcome,
    PageRequest, Provider, ProviderExt, Regeneration, Revocation, SortKeys, Support,
};

type Run = for<'a> fn(&'a Fixture) -> Pin<Box<dyn Future<Output = CheckResult> + Send + 'a>>;

/// One requirement on a provider.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// The capabilities that the case needs.
    pub(super) needs: &'static [Capability],
    /// Whether the case needs a role that may not list keys.
    pub(super) needs_role_without_list: bool,
    pub(super) run: Run,
}

macro_rules! cases {
    ($($run:ident [$($need:ident)*] $($role:ident)? $name:literal)*) => {
        pub(super) const CASES: &[Case] = &[
            $(Case {
                name: $name,
                needs: &[$(Capability::$need),*],
                needs_role_without_list: cases!(@ $($role)?),
                run: |fixture| Box::pin($run(fixture)),
            }),*
        ];
    };
    (@) => { false };
    (@ role_without_list) => { true };
}

cases! {
    identity [] "the provider has a name, a vendor and a scope"
    listing [List] "the list holds every key once"
    page_limit [List] "a page holds at most the requested number of keys"
    creation [Create Get List] "a new key has an id and a secret, and can be read"
    issued_debug [Create] "an issued key does not print its secret"
    expiry [Create Get] "a new key has the requested expiry"
    no_expiry [Create CreateWithoutExpiry Get] "a new key without an expiry never expires"
    past_expiry [Create] "a past expiry is rejected before anything is sent"
    blank_name [Create] "a blank name is rejected before anything is sent"
    special_names [Create Get] "names keep special characters"
    owner [Create CreateWithOwner Get] "a new key has its owner"
    description [Create Description Get] "a new key has its description"
    status [Create Get] "a new key is active or has an unknown status"
    secret [Create List] "a new secret works, and a different one does not"
    not_permitted [Create List] role_without_list "a secret that may not list is told from an unknown one"
    whoami [Create Whoami] "a secret tells whose it is"
    wrong_secret [] "every operation rejects a wrong secret"
    many_at_once [Create List] "keys created concurrently all exist, each with its own secret"
    many_keys [Create List] "a list of several pages holds every key"
    unknown_key [Get] "reading an unknown key fails with NotFound"
    exists [Create Get] "a key exists after its create"
    find_by_name [Create List] "a key is found by its name"
    mark [Create List] "a key is found by its mark"
    name_filter [Create List] "a list can be filtered by name"
    search [Create List Search] "a search finds a key by its name"
    sort [Create List Sort] "a list can be sorted"
    expiring [Create List] "a list can be filtered by expiry"
    rename [Create Update Get] "a new name changes nothing else"
    update_role [Create UpdateRole Get] "a new role changes nothing else"
    update_expiry [Create UpdateExpiry Get] "a new expiry changes nothing else"
    update_owner [Create UpdateOwner Get] "a new owner changes nothing else"
    update_nothing [Create Update] "an empty update is rejected before anything is sent"
    update_unknown [Update] "updating an unknown key fails with NotFound"
    regenerate [Create Regenerate Get List] "a regenerate replaces the secret"
    regenerate_expiry [Create Regenerate Get] "a regenerate can set a new expiry"
    regenerate_unknown [Regenerate] "regenerating an unknown key fails with NotFound"
    revoke [Create Revoke List] "a revoked secret is rejected"
    revoke_twice [Create Revoke] "a second revoke does no harm"
    revoke_unknown [Revoke] "revoking an unknown key fails with NotFound"
    delete [Create Delete Get List] "a deleted key is gone, and its secret is rejected"
    delete_twice [Create Delete] "a second delete fails with NotFound"
    stats [Create Stats] "the statistics describe the requested key"
    unsupported [] "an unsupported operation sends nothing and names the alternative"
}

async fn identity(fixture: &Fixture) -> CheckResult {
    let provider = &fixture.provider;
    check(!provider.name().is_empty(), "the provider has a name")?;
    check(!provider.scope().is_empty(), "the provider has a scope")?;
    let vendor = provider.vendor();
    check(!vendor.is_empty() && vendor == vendor.to_lowercase(), "the vendor's name is in lower case")?;
    for capability in Capability::ALL {
        match provider.capabilities().support(capability) {
            Support::Emulated { difference: text } | Support::Unsupported { instead: text } => {
                check(!text.is_empty(), format!("the support of {capability} is explained"))?;
            }
            Support::Native => {}
        }
    }
    Ok(())
}

async fn listing(fixture: &Fixture) -> CheckResult {
    let keys = fixture.list().await?;
    let ids: BTreeSet<_> = keys.iter().map(ApiKey::id).collect();
    check_eq(ids.len(), keys.len(), "the number of different ids")?;
    for key in &keys {
        check_eq(key.provider(), fixture.provider.name(), "a key's provider")?;
    }
    Ok(())
}

async fn page_limit(fixture: &Fixture) -> CheckResult {
    let page = fixture.provider.list_page(&PageRequest::first(1)).await?;
    // A server without pages sends all keys.
    let total = fixture.list().await?.len();
    check(page.keys.len() <= 1 || page.keys.len() == total, "the page holds one key")
}

async fn creation(fixture: &Fixture) -> CheckResult {
    let new = fixture.new_key();
    let issued = fixture.create(&new).await?;
    check(!issued.secret().is_empty() && !issued.secret().is_masked(), "the secret is present and complete")?;
    let key = fixture.provider.get(issued.id()).await?;
    check_eq(key.id(), issued.id(), "the id of the read key")?;
    check_eq(key.name(), Some(new.name.as_str()), "the name")?;
    if shows_access(&key) {
        check_eq(key.role(), new.role.as_deref(), "the role")?;
    }
    if let Some(key) = issued.key() {
        check_eq(key.name(), Some(new.name.as_str()), "the name in the answer")?;
    }
    check_eq(fixture.times_listed(issued.id()).await?, 1, "how often the list holds the key")
}

/// Returns whether the vendor reports roles and owners. Every key of the suite has a role.
fn shows_access(key: &ApiKey) -> bool {
    key.role().is_some()
}

async fn issued_debug(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key()).await?;
    let printed = format!("{issued:?} {issued:#?}");
    check(!printed.contains(issued.secret().expose()), "the output hides the secret")
}

async fn expiry(fixture: &Fixture) -> CheckResult {
    let time = later(7);
    let issued = fixture.create(&fixture.new_key().expires_at(time)).await?;
    let key = fixture.provider.get(issued.id()).await?;
    check_eq(key.expires_at().and_then(|time| time.utc()), Some(time), "the expiry")?;
    check(!key.never_expires(), "the key expires")
}

async fn no_expiry(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key().expiry(Expiry::Never)).await?;
    let key = fixture.provider.get(issued.id()).await?;
    check(key.never_expires() && key.expires_at().is_none(), "the key never expires")
}

async fn past_expiry(fixture: &Fixture) -> CheckResult {
    let past = fixture.new_key().expires_at(Utc::now() - TimeDelta::days(1));
    let created = fixture.try_create(&*fixture.provider, &past).await;
    check_fails(created, ErrorKind::InvalidInput, Outcome::NotSent, "a past expiry").map(drop)
}

async fn blank_name(fixture: &Fixture) -> CheckResult {
    for name in ["", "  "] {
        let blank = NewKey { name: name.to_owned(), ..fixture.new_key() };
        let created = fixture.try_create(&*fixture.provider, &blank).await;
        check_fails(created, ErrorKind::InvalidInput, Outcome::NotSent, "a blank name")?;
    }
    Ok(())
}

async fn special_names(fixture: &Fixture) -> CheckResult {
    for name in ["ci/cd \"prod\" 'x' \\ <b>&amp;", "größe 鍵 🔑", "a%2Fb?c=d#e", "two\nlines\tand a tab"] {
        let issued = fixture.create(&NewKey { name: name.to_owned(), ..fixture.new_key() }).await?;
        check_eq(fixture.provider.get(issued.id()).await?.name(), Some(name), "the name")?;
    }
    Ok(())
}

async fn owner(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key().owner("user-7")).await?;
    let key = fixture.provider.get(issued.id()).await?;
    if shows_access(&key) { check_eq(key.owner(), Some("user-7"), "the owner") } else { Ok(()) }
}

async fn description(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key().description("builds")).await?;
    check_eq(fixture.provider.get(issued.id()).await?.description(), Some("builds"), "the description")
}

async fn status(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key()).await?;
    let key = fixture.provider.get(issued.id()).await?;
    check(
        matches!(key.status(), KeyStatus::Active | KeyStatus::Unknown),
        format!("the status {} is active or unknown", key.status()),
    )?;
    check_eq(key.status_at(later(365)), KeyStatus::Expired, "the status after the expiry")
}

async fn secret(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key()).await?;
    fixture.assert_works(issued.secret(), "the new secret").await?;
    let other = Secret::new(format!("{}x", issued.secret().expose()));
    fixture.assert_dead(&other, "a secret that was never issued").await
}

async fn not_permitted(fixture: &Fixture) -> CheckResult {
    let role = fixture.role_without_list.as_deref().unwrap_or_default();
    let issued = fixture.create(&fixture.new_key().role(role)).await?;
    let refused = fixture.provider.with_secret(issued.secret())?.list_page(&PageRequest::first(1)).await;
    check_fails(refused, ErrorKind::PermissionDenied, Outcome::Rejected, "a list without the permission")?;
    fixture.assert_works(issued.secret(), "a secret that may not list").await?;
    let unknown = Secret::new(format!("{}x", issued.secret().expose()));
    let accepted = fixture.provider.accepts(&unknown).await?;
    check(!accepted.is_accepted(), "a secret that was never issued does not count as working")
}

async fn whoami(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key()).await?;
    let own = fixture.provider.with_secret(issued.secret())?.whoami().await?;
    check_eq(&own, issued.id(), "the key of the new secret")
}

/// Calls an operation on a key with the smallest possible request.
async fn call(provider: &dyn Provider, operation: Operation, fixture: &Fixture, id: &KeyId) -> crate::Result<()> {
    match operation {
        Operation::List => provider.list_page(&PageRequest::first(1)).await.map(drop),
        Operation::Create => fixture.try_create(provider, &fixture.new_key()).await.map(drop),
        Operation::Get => provider.get(id).await.map(drop),
        Operation::Update => provider.update(id, &KeyUpdate::new().name("conformance")).await.map(drop),
        Operation::Regenerate => provider.regenerate(id, &Regeneration::new()).await.map(drop),
        Operation::Revoke => provider.revoke(id, &Revocation::new().role(&fixture.role)).await,
        Operation::Delete => provider.delete(id).await,
        Operation::Stats => provider.stats(id).await.map(drop),
        Operation::Whoami => provider.whoami().await.map(drop),
    }
}

/// Each operation and its capability.
const OPERATIONS: [(Operation, Capability); 9] = [
    (Operation::List, Capability::List),
    (Operation::Create, Capability::Create),
    (Operation::Get, Capability::Get),
    (Operation::Update, Capability::Update),
    (Operation::Regenerate, Capability::Regenerate),
    (Operation::Revoke, Capability::Revoke),
    (Operation::Delete, Capability::Delete),
    (Operation::Stats, Capability::Stats),
    (Operation::Whoami, Capability::Whoami),
];

async fn wrong_secret(fixture: &Fixture) -> CheckResult {
    let wrong = fixture.provider.with_secret(&Secret::new("no_such_secret_0123456789"))?;
    for (operation, capability) in OPERATIONS {
        if fixture.offers(capability) {
            let result = call(&*wrong, operation, fixture, &unknown_id()).await;
            let what = format!("{operation} with a wrong secret");
            let error = check_fails(result, ErrorKind::Unauthenticated, Outcome::Rejected, &what)?;
            check(!format!("{error} {error:?}").contains("no_such_secret"), "the error hides the wrong secret")?;
        }
    }
    Ok(())
}

async fn many_at_once(fixture: &Fixture) -> CheckResult {
    let wanted: Vec<_> = (0..8).map(|_| fixture.new_key()).collect();
    let issued = future::join_all(wanted.iter().map(|new| fixture.create(new))).await;
    let issued = issued.into_iter().collect::<CheckResult<Vec<_>>>()?;
    let ids: BTreeSet<_> = issued.iter().map(|issued| issued.id().clone()).collect();
    let secrets: BTreeSet<_> = issued.iter().map(|issued| issued.secret().expose()).collect();
    check_eq((ids.len(), secrets.len()), (8, 8), "the number of different ids and secrets")?;
    let listed = fixture.list().await?.into_iter().filter(|key| ids.contains(key.id())).count();
    check_eq(listed, 8, "the number of listed keys")
}

async fn many_keys(fixture: &Fixture) -> CheckResult {
    let before = fixture.list().await?.len();
    for _ in 0..25 {
        drop(fixture.create(&fixture.new_key()).await?);
    }
    check_eq(fixture.list().await?.len(), before + 25, "the number of keys")
}

/// Returns an id that every vendor accepts and no key has.
fn unknown_id() -> KeyId {
    KeyId::from_number(999_999_999)
}

async fn unknown_key(fixture: &Fixture) -> CheckResult {
    let error = check_fails(
        fixture.provider.get(&unknown_id()).await,
        ErrorKind::NotFound,
        Outcome::Rejected,
        "an unknown key",
    )?;
    check_eq(error.operation(), Some(Operation::Get), "the error's operation")?;
    check_eq(error.key(), Some(&unknown_id()), "the error's key")?;
    check_eq(error.provider(), Some(fixture.provider.name()), "the error's provider")
}

async fn exists(fixture: &Fixture) -> CheckResult {
    check(!fixture.provider.exists(&unknown_id()).await?, "an unknown key does not exist")?;
    let issued = fixture.create(&fixture.new_key()).await?;
    check(fixture.provider.exists(issued.id()).await?, "a new key exists")
}

async fn find_by_name(fixture: &Fixture) -> CheckResult {
    let new = fixture.new_key();
    let issued = fixture.create(&new).await?;
    let found = fixture.provider.find_by_name(&new.name).await?;
    check_eq(found.iter().map(ApiKey::id).collect(), vec![issued.id()], "the keys with this name")
}

async fn mark(fixture: &Fixture) -> CheckResult {
    let (mark, other) = (Mark::random(), Mark::random());
    check(fixture.provider.resolve(&mark).await?.is_empty(), "no key carries a new mark")?;
    let issued = fixture.create(&fixture.new_key().marked(&mark)).await?;
    drop(fixture.create(&fixture.new_key().marked(&other)).await?);
    let found = fixture.provider.resolve(&mark).await?;
    check_eq(found.iter().map(ApiKey::id).collect(), vec![issued.id()], "the keys with this mark")
}

async fn name_filter(fixture: &Fixture) -> CheckResult {
    let mark = Mark::random();
    let issued = fixture.create(&fixture.new_key().marked(&mark)).await?;
    let which = ListKeys::new().name_contains(mark.as_str().to_uppercase());
    let found = fixture.provider.list_all(which).await?;
    check_eq(found.iter().map(ApiKey::id).collect(), vec![issued.id()], "the keys with this text in their name")
}

async fn search(fixture: &Fixture) -> CheckResult {
    let mark = Mark::random();
    let issued = fixture.create(&fixture.new_key().marked(&mark)).await?;
    let found = fixture.provider.list_all(ListKeys::new().search(mark.as_str())).await?;
    check(found.iter().any(|key| key.id() == issued.id()), "the search finds the key")
}

async fn sort(fixture: &Fixture) -> CheckResult {
    let mark = Mark::random();
    for name in ["b", "c", "a"] {
        drop(fixture.create(&NewKey { name: format!("{name}{mark}"), ..fixture.new_key() }).await?);
    }
    let which = ListKeys::new().name_contains(mark.as_str()).sorted_by(SortKeys::Name);
    let first = |keys: &[ApiKey]| -> String { keys.iter().filter_map(|key| key.name()?.chars().next()).collect() };
    check_eq(first(&fixture.provider.list_all(which.clone()).await?).as_str(), "abc", "the ascending order")?;
    check_eq(first(&fixture.provider.list_all(which.descending()).await?).as_str(), "cba", "the descending order")
}

async fn expiring(fixture: &Fixture) -> CheckResult {
    let mark = Mark::random();
    let soon = fixture.create(&fixture.new_key().marked(&mark).expires_at(later(3))).await?;
    drop(fixture.create(&fixture.new_key().marked(&mark).expires_at(later(30))).await?);
    let which = ListKeys::new().name_contains(mark.as_str()).expiring_within(TimeDelta::days(14));
    let found = fixture.provider.list_all(which).await?;
    check_eq(found.iter().map(ApiKey::id).collect(), vec![soon.id()], "the keys that expire soon")
}

/// Updates a new key, and checks that only the requested fields change.
async fn update(fixture: &Fixture, update: &KeyUpdate) -> CheckResult {
    let issued = fixture.create(&fixture.new_key()).await?;
    let before = fixture.provider.get(issued.id()).await?;
    let updated = fixture.provider.update(issued.id(), update).await?;
    let after = fixture.provider.get(issued.id()).await?;
    check_eq(after.name(), update.name.as_deref().or(before.name()), "the name")?;
    if shows_access(&before) {
        check_eq(after.role(), update.role.as_deref().or(before.role()), "the role")?;
        check_eq(after.owner(), update.owner.as_deref().or(before.owner()), "the owner")?;
    }
    check_eq(after.description(), update.description.as_deref().or(before.description()), "the description")?;
    let expiry = |key: &ApiKey| key.expires_at().and_then(|time| time.utc());
    let asked = match update.expiry {
        Some(Expiry::At(time)) => Some(time),
        _ => expiry(&before),
    };
    check_eq(expiry(&after), asked, "the expiry")?;
    if let Some(updated) = updated {
        check_eq(updated.name(), after.name(), "the name in the answer")?;
    }
    if fixture.offers(Capability::List) {
        fixture.assert_works(issued.secret(), "the updated key's secret").await?;
    }
    Ok(())
}

async fn rename(fixture: &Fixture) -> CheckResult {
    update(fixture, &KeyUpdate::new().name("renamed")).await
}

async fn update_role(fixture: &Fixture) -> CheckResult {
    update(fixture, &KeyUpdate::new().role(&fixture.other_role)).await
}

async fn update_expiry(fixture: &Fixture) -> CheckResult {
    update(fixture, &KeyUpdate::new().expiry(Expiry::At(later(60)))).await
}

async fn update_owner(fixture: &Fixture) -> CheckResult {
    update(fixture, &KeyUpdate::new().owner("user-8")).await
}

async fn update_nothing(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key()).await?;
    let result = fixture.provider.update(issued.id(), &KeyUpdate::new()).await;
    check_fails(result, ErrorKind::InvalidInput, Outcome::NotSent, "an empty update").map(drop)
}

async fn not_found(fixture: &Fixture, operation: Operation) -> CheckResult {
    let result = call(&*fixture.provider, operation, fixture, &unknown_id()).await;
    check_fails(result, ErrorKind::NotFound, Outcome::Rejected, "an unknown key").map(drop)
}

async fn update_unknown(fixture: &Fixture) -> CheckResult {
    not_found(fixture, Operation::Update).await
}

async fn regenerate_unknown(fixture: &Fixture) -> CheckResult {
    not_found(fixture, Operation::Regenerate).await
}

async fn revoke_unknown(fixture: &Fixture) -> CheckResult {
    not_found(fixture, Operation::Revoke).await
}

async fn regenerate(fixture: &Fixture) -> CheckResult {
    let old = fixture.create(&fixture.new_key()).await?;
    let before = fixture.provider.get(old.id()).await?;
    let new = fixture.provider.regenerate(old.id(), &Regeneration::new()).await?;
    fixture.track(new.id());
    check(new.secret() != old.secret(), "the secret is new")?;
    fixture.assert_works(new.secret(), "the new secret").await?;
    fixture.assert_dead(old.secret(), "the old secret").await?;
    let after = fixture.provider.get(new.id()).await?;
    check_eq(after.name(), before.name(), "the name")?;
    check_eq(after.role(), before.role(), "the role")?;
    if new.id() != old.id() {
        check(!fixture.provider.exists(old.id()).await?, "the old key is gone")?;
    }
    check_eq(fixture.times_listed(new.id()).await?, 1, "how often the list holds the key")
}

async fn regenerate_expiry(fixture: &Fixture) -> CheckResult {
    let old = fixture.create(&fixture.new_key()).await?;
    let time = later(60);
    // Servers that replace the key with a new one accept no expiry.
    let new = match fixture.provider.regenerate(old.id(), &Regeneration::new().expiry(Expiry::At(time))).await {
        Err(error) if error.outcome() == Outcome::Rejected => return Ok(()),
        answered => answered?,
    };
    fixture.track(new.id());
    let key = fixture.provider.get(new.id()).await?;
    check_eq(key.expires_at().and_then(|time| time.utc()), Some(time), "the expiry")
}

async fn revoke(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key()).await?;
    let how = Revocation::new().reason("it leaked").role(&fixture.role);
    fixture.provider.revoke(issued.id(), &how).await?;
    fixture.assert_dead(issued.secret(), "the revoked secret").await?;
    match fixture.provider.get(issued.id()).await {
        Ok(key) => check(key.status() != KeyStatus::Active, "a revoked key is not active"),
        Err(error) => check(error.is_not_found(), format!("a revoked key can be read or is not found: {error}")),
    }
}

async fn revoke_twice(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key()).await?;
    let how = Revocation::new().role(&fixture.role);
    fixture.provider.revoke(issued.id(), &how).await?;
    match fixture.provider.revoke(issued.id(), &how).await {
        Ok(()) => Ok(()),
        Err(error) => check(error.outcome() == Outcome::Rejected, format!("the second revoke is rejected: {error}")),
    }
}

async fn delete(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key()).await?;
    fixture.provider.delete(issued.id()).await?;
    fixture.assert_dead(issued.secret(), "the deleted secret").await?;
    check_eq(fixture.times_listed(issued.id()).await?, 0, "how often the list holds the key")?;
    check_fails(fixture.provider.get(issued.id()).await, ErrorKind::NotFound, Outcome::Rejected, "a deleted key")
        .map(drop)
}

async fn delete_twice(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key()).await?;
    fixture.provider.delete(issued.id()).await?;
    let again = fixture.provider.delete(issued.id()).await;
    check_fails(again, ErrorKind::NotFound, Outcome::Rejected, "a second delete").map(drop)
}

async fn stats(fixture: &Fixture) -> CheckResult {
    let issued = fixture.create(&fixture.new_key()).await?;
    check_eq(fixture.provider.stats(issued.id()).await?.key.id(), issued.id(), "the key")?;
    not_found(fixture, Operation::Stats).await
}

async fn unsupported(fixture: &Fixture) -> CheckResult {
    let id = unknown_id();
    for (operation, capability) in OPERATIONS {
        if let Support::Unsupported { instead } = fixture.provider.capabilities().support(capability) {
            let result = call(&*fixture.provider, operation, fixture, &id).await;
            let error = check_fails(result, ErrorKind::Unsupported, Outcome::NotSent, &operation.to_string())?;
            check(error.to_string().contains(instead), format!("the error names the alternative: {error}"))?;
        }
    }
    let update = KeyUpdate::new().name("conformance");
    let options = [
        (Capability::UpdateRole, update.clone().role(&fixture.role)),
        (Capability::UpdateExpiry, update.clone().expiry(Expiry::At(later(60)))),
        (Capability::UpdateOwner, update.owner("user-7")),
    ];
    for (capability, update) in options {
        if !fixture.offers(capability) && fixture.offers(Capability::Update) {
            let result = fixture.provider.update(&id, &update).await;
            check_fails(result, ErrorKind::Unsupported, Outcome::NotSent, capability.name())?;
        }
    }
    let new = fixture.new_key();
    let options = [
        (Capability::CreateWithoutExpiry, new.clone().expiry(Expiry::Never)),
        (Capability::CreateWithOwner, new.owner("user-7")),
    ];
    for (capability, new) in options {
        if !fixture.offers(capability) && fixture.offers(Capability::Create) {
            let created = fixture.try_create(&*fixture.provider, &new).await;
            check_fails(created, ErrorKind::Unsupported, Outcome::NotSent, capability.name())?;
        }
    }
    Ok(())
}
