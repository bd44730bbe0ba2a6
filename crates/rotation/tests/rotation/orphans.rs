//! Orphans: which keys a rotation leaves behind.

use api_keyring::{KeyId, ManualClock, Mark, Monad, NewKey, Provider as _, Regeneration};
use api_keyring_emulator::{Emulator, Revision};
use api_keyring_rotation::{MemoryJournal, MemorySink, RotateKey, Rotator, State, find_orphans};
use chrono::{TimeDelta, Utc};

use crate::fixture::monad;

/// A vendor that changes a key's id with each secret, and a key that was rotated there.
struct Fixture {
    // The emulator stops when it is dropped.
    _emulator: Emulator,
    provider: Monad,
    journal: MemoryJournal,
    rotator: Rotator,
    key: KeyId,
}

impl Fixture {
    async fn new() -> Self {
        let emulator = Emulator::builder().revision(Revision::Documented).start().await.unwrap();
        let provider = monad(&emulator);
        let old =
            provider.create(&NewKey::new("ci").role("role-reader").expires_in(TimeDelta::days(90))).await.unwrap();
        let journal = MemoryJournal::new();
        let rotator = Rotator::new(provider.clone(), MemorySink::holding(old.secret().clone()), journal.clone());
        let rotator = rotator.clock(ManualClock::new(Utc::now()));
        let record = rotator.rotate(&RotateKey::new(old.id().clone()).leaked()).await.unwrap();
        let State::Done { key, .. } = record.state else { panic!("{record:?}") };
        Fixture { _emulator: emulator, provider, journal, rotator, key }
    }

    async fn find_orphans(&self) -> Vec<(KeyId, bool)> {
        let orphans = find_orphans(&self.provider, &self.journal).await.unwrap();
        orphans.into_iter().map(|orphan| (orphan.key.id().clone(), orphan.rotation.is_some())).collect()
    }
}

#[tokio::test]
async fn a_key_whose_id_changed_with_its_secret_is_no_orphan() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.find_orphans().await, []);
    let record = fixture.rotator.rotate(&RotateKey::new(fixture.key.clone()).in_place()).await.unwrap();
    let State::Done { key, .. } = record.state else { panic!("{record:?}") };
    assert_ne!(key, fixture.key);
    assert_eq!(fixture.find_orphans().await, []);
    // The same holds if somebody changes the secret without a journal.
    let issued = fixture.provider.regenerate(&key, &Regeneration::new()).await.unwrap();
    assert_ne!(*issued.id(), key);
    assert_eq!(fixture.find_orphans().await, []);
}

#[tokio::test]
async fn a_second_key_with_the_same_mark_is_an_orphan_of_no_known_rotation() {
    let fixture = Fixture::new().await;
    let name = fixture.provider.get(&fixture.key).await.unwrap().name().unwrap().to_owned();
    let twin = NewKey::new(name).role("role-reader").expires_in(TimeDelta::days(90));
    let twin = fixture.provider.create(&twin).await.unwrap().id().clone();
    assert_eq!(fixture.find_orphans().await, [(twin, false)]);
}

#[tokio::test]
async fn a_key_of_an_aborted_rotation_is_an_orphan_of_that_rotation() {
    let fixture = Fixture::new().await;
    let next = RotateKey::new(fixture.key.clone()).grace(std::time::Duration::from_secs(3600));
    let second = fixture.rotator.rotate(&next).await.unwrap();
    let mark = second.marks[0].clone();
    fixture.rotator.abort(&second.id, "not today").await.unwrap();
    assert_eq!(fixture.find_orphans().await, []);
    // The key reappears, as it does when the vendor restores a backup.
    let late = NewKey::new("ci").marked(&mark).role("role-reader").expires_in(TimeDelta::days(90));
    let late = fixture.provider.create(&late).await.unwrap().id().clone();
    assert_eq!(fixture.find_orphans().await, [(late, true)]);
    let unknown = NewKey::new("ci").marked(&Mark::random()).role("role-reader").expires_in(TimeDelta::days(90));
    let unknown = fixture.provider.create(&unknown).await.unwrap().id().clone();
    assert!(fixture.find_orphans().await.contains(&(unknown, false)));
}
