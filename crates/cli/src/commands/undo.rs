//! Finds and ends a new key whose secret nobody has.

use std::time::Duration;

use api_keyring::{
    ApiKey, Clock as _, Ended, Error, KeyId, ListKeys, Mark, NamedProvider, Provider as _, ProviderExt as _,
    SystemClock,
};
use futures_util::StreamExt as _;

use crate::cancellation::until_cancelled;
use crate::config::Account;
use crate::output;

/// The longest time to wait between two looks at the list.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Undoes a create.
pub(super) struct Undo<'a> {
    pub(super) account: &'a Account<NamedProvider>,
    /// The mark in the name of the new key. Without it, no list tells the new key from others.
    pub(super) mark: Option<&'a Mark>,
    /// The name under which the key was issued.
    pub(super) name: &'a str,
    /// How long a new key may be missing from the vendor's list.
    pub(super) settle: Duration,
}

impl Undo<'_> {
    /// Finds the keys of a create whose answer was lost, and ends them. Returns a sentence that says what became of
    /// them.
    pub(super) async fn after_lost_answer(&self, error: &Error) -> String {
        if let Some(id) = error.key() {
            return self.end_issued(id).await;
        }
        let Some(mark) = self.mark else { return self.name_candidates().await };
        if self.settle > Duration::ZERO {
            let settle = humantime::format_duration(self.settle);
            output::notice(&format!(
                "The vendor may have issued the key. Looking for it for up to {settle}, as long as a list may lag. \
                 Ctrl-C stops that."
            ));
        }
        let ended = until_cancelled(self.end_marked(mark)).await;
        ended.unwrap_or_else(|| format!("You stopped the search for the key. {}", self.how_to_find(mark)))
    }

    /// Looks for keys under the mark until one appears or the settle time is over, and ends all of them.
    async fn end_marked(&self, mark: &Mark) -> String {
        let begun = SystemClock.elapsed();
        let pause = (self.settle / 20).clamp(Duration::from_millis(1), LONGEST_PAUSE);
        let mut ended: Vec<(KeyId, String)> = Vec::new();
        loop {
            let is_last = SystemClock.elapsed().saturating_sub(begun) >= self.settle;
            let (found, problem) = self.marked(mark).await;
            let found: Vec<_> = found.into_iter().filter(|key| !ended.iter().any(|(id, _)| id == key.id())).collect();
            for key in &found {
                ended.push((key.id().clone(), self.end(key).await));
            }
            match problem {
                _ if !found.is_empty() => continue,
                _ if !ended.is_empty() => {
                    return ended.into_iter().map(|(_, what)| what).collect::<Vec<_>>().join(". ");
                }
                Some(problem) if is_last || !problem.is_transient() => {
                    return format!(
                        "The vendor may have issued the key, and reading the list to find it failed: {problem}. {}",
                        self.how_to_find(mark)
                    );
                }
                None if is_last => {
                    return format!(
                        "No key with the mark {mark} is in the vendor's list, so it seems that none was issued. {}",
                        self.how_to_find(mark)
                    );
                }
                _ => SystemClock.sleep(pause).await,
            }
        }
    }

    /// Returns the keys under the mark, and what prevents the list from being read completely.
    ///
    /// A row that cannot be read hides no other.
    async fn marked(&self, mark: &Mark) -> (Vec<ApiKey>, Option<Error>) {
        let (mut found, mut problem) = (Vec::new(), None);
        let mut keys = self.account.provider.list(ListKeys::new());
        while let Some(key) = keys.next().await {
            let key = match key {
                Ok(key) => self.account.provider.with_readable_name(key).await,
                error => error,
            };
            match key {
                Ok(key) if mark.is_on(&key) && !key.status().is_dead() => found.push(key),
                Ok(_) => {}
                Err(error) => problem = Some(error),
            }
        }
        (found, problem)
    }

    /// Ends a key that the vendor has just shown. Returns a sentence that says what became of it.
    async fn end(&self, key: &ApiKey) -> String {
        let name = format!("{}/{}", self.account.provider.name(), key.id());
        match self.account.provider.delete_and_confirm(key, &self.account.retry).await {
            Ok(Ended::Gone | Ended::Dead) => format!("api-keyring deleted the new key {name}"),
            Ok(_) => format!(
                "api-keyring deleted the new key {name}, but the vendor does not show whether it still works. Look at \
                 it with `api-keyring get {name}`"
            ),
            Err(error) => format!(
                "The key {name} may still exist, because deleting it failed: {error}. Nobody has its secret, so delete \
                 it with `api-keyring delete {name}`"
            ),
        }
    }

    /// Ends a key that was issued, if the key with its id still is that key.
    pub(super) async fn end_issued(&self, id: &KeyId) -> String {
        let name = format!("{}/{id}", self.account.provider.name());
        match self.account.provider.find(id).await {
            Ok(None) => format!("The vendor does not show the new key {name}. {}", self.how_to_end(id)),
            Ok(Some(key)) if self.is_new_key(&key) => self.end(&key).await,
            Ok(Some(_)) => format!("Another key has the id {name} by now, so api-keyring deleted nothing"),
            Err(error) => {
                format!("The key may still exist, because reading it failed: {error}. {}", self.how_to_end(id))
            }
        }
    }

    fn is_new_key(&self, key: &ApiKey) -> bool {
        match self.mark {
            Some(mark) => mark.is_on(key),
            None => key.name() == Some(self.name),
        }
    }

    fn how_to_end(&self, id: &KeyId) -> String {
        format!("Nobody has its secret, so delete it with `api-keyring delete {}/{id}`", self.account.provider.name())
    }

    fn how_to_find(&self, mark: &Mark) -> String {
        let provider = self.account.provider.name();
        format!("If the key appears later, its name ends in ~{mark}, and `api-keyring sweep {provider}` lists it")
    }

    /// Says which key may be the new one if nothing in its name tells it from others.
    async fn name_candidates(&self) -> String {
        let provider = self.account.provider.name();
        let mut named = Vec::new();
        let mut keys = self.account.provider.list(ListKeys::new());
        while let Some(key) = keys.next().await {
            named.extend(key.ok().filter(|key| self.is_new_key(key)).map(|key| format!("{provider}/{}", key.id())));
        }
        let look = format!("Look with `api-keyring list {provider}`");
        match &named[..] {
            [] => format!("A key named {:?} may appear, and nobody has its secret. {look}", self.name),
            keys => format!(
                "The new key may be {}. Without a mark in its name, nothing tells it from others. {look}, and delete it \
                 with `api-keyring delete`",
                keys.join(" or ")
            ),
        }
    }

    /// Says which key a saved answer may be about. The key stays, because the answer may hold its secret.
    pub(super) async fn keys_of_saved_answer(&self, error: &Error) -> String {
        let provider = self.account.provider.name();
        let found = match (error.key(), self.mark) {
            (Some(id), _) => vec![id.clone()],
            (None, Some(mark)) => self.marked(mark).await.0.iter().map(|key| key.id().clone()).collect(),
            (None, None) => Vec::new(),
        };
        let found: Vec<_> = found.iter().map(|id| format!("{provider}/{id}")).collect();
        match (&found[..], self.mark) {
            ([], Some(mark)) => self.how_to_find(mark),
            ([], None) => format!(
                "If the secret is not there, find the key named {:?} with `api-keyring list {provider}`, and delete it \
                 with `api-keyring delete`",
                self.name
            ),
            ([key], _) => format!("If the secret is not there, delete the key with `api-keyring delete {key}`"),
            (keys, _) => {
                format!("If the secret is not there, delete these keys with `api-keyring delete`: {}", keys.join(", "))
            }
        }
    }
}
