//! Several sinks that hold the same secret.

use std::sync::Arc;

use api_keyring::{Mark, Secret};
use async_trait::async_trait;

use super::{Room, Sink, SinkError, parts_of};
use crate::host::shown_name;

/// A set of sinks that all get the same secret.
///
/// They get it one after the other. If one of them fails, others may already have the new secret. The rotation then
/// stops, and you can resume it: it copies the secret from the sinks that have it to those that lack it.
#[derive(Clone, Debug)]
pub struct SinkSet(Vec<Arc<dyn Sink>>);

impl SinkSet {
    /// Returns a set of these sinks. Every call to an empty set fails.
    pub fn new(sinks: impl IntoIterator<Item = Arc<dyn Sink>>) -> Self {
        Self(sinks.into_iter().collect())
    }

    /// Calls `act` on every sink, even after one has failed, so that the failure of one does not delay the others.
    async fn each<'a, F>(&'a self, act: impl Fn(&'a Arc<dyn Sink>) -> F) -> Result<(), SinkError>
    where
        F: Future<Output = Result<(), SinkError>>,
    {
        let mut failed = self.0.is_empty().then(is_empty);
        for sink in &self.0 {
            if let Err(error) = act(sink).await {
                failed.get_or_insert(error.at(sink));
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

fn is_empty() -> SinkError {
    SinkError::new("no destination is named. Name at least one (`--to`)")
}

#[async_trait]
impl Sink for SinkSet {
    fn name(&self) -> String {
        self.names().join(" and ")
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().flat_map(|sink| sink.names()).collect()
    }

    fn parts(&self) -> Vec<Arc<dyn Sink>> {
        self.0.iter().flat_map(parts_of).collect()
    }

    /// Checks all sinks at once, because they may share a disk.
    async fn check(&self) -> Result<(), SinkError> {
        self.reserve().await.map(drop)
    }

    async fn reserve(&self) -> Result<Room, SinkError> {
        if self.0.is_empty() {
            return Err(is_empty());
        }
        let mut rooms = Vec::with_capacity(self.0.len());
        for sink in &self.0 {
            rooms.push(sink.reserve().await.map_err(|error| error.at(sink))?);
        }
        Ok(Box::new(rooms))
    }

    /// Returns the current secret, which all sinks must hold. Fails if they hold different secrets.
    async fn current(&self) -> Result<Option<Secret>, SinkError> {
        let mut found: Option<(&Arc<dyn Sink>, Option<Secret>)> = None;
        for sink in &self.0 {
            let current = sink.current().await.map_err(|error| error.at(sink))?;
            match &found {
                Some((other, held)) if *held != current => {
                    let (other, this) = (shown_name(&other.name()), shown_name(&sink.name()));
                    return Err(SinkError::new(format!(
                        "{other} and {this} do not hold the same secret. Write the key's secret to both, or adopt them \
                         (`adopt_sink`, `--adopt`)"
                    )));
                }
                _ => found = Some((sink, current)),
            }
        }
        Ok(found.and_then(|(_, current)| current))
    }

    /// Puts the secret into every sink and reads it back from each.
    async fn put(&self, mark: &Mark, secret: &Secret) -> Result<(), SinkError> {
        self.each(|sink| async move {
            sink.put(mark, secret).await?;
            match sink.pending(mark).await? {
                Some(held) if held == *secret => Ok(()),
                _ => Err(SinkError::new("the secret that was read back is not the one that was written")),
            }
        })
        .await
    }

    /// Returns the pending secret of the first sink that has one.
    async fn pending(&self, mark: &Mark) -> Result<Option<Secret>, SinkError> {
        let mut failed = None;
        for sink in &self.0 {
            match sink.pending(mark).await {
                Ok(Some(secret)) => return Ok(Some(secret)),
                Ok(None) => {}
                Err(error) => failed = Some(error.at(sink)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    fn expecting(&self, access: &[Option<String>]) -> Option<Arc<dyn Sink>> {
        let mut rest = access;
        let sinks: Vec<_> = self
            .0
            .iter()
            .map(|sink| {
                let (of_sink, others) = rest.split_at(parts_of(sink).len().min(rest.len()));
                rest = others;
                sink.expecting(of_sink).unwrap_or_else(|| Arc::clone(sink))
            })
            .collect();
        Some(Arc::new(Self(sinks)))
    }

    async fn promote(&self, mark: &Mark) -> Result<(), SinkError> {
        self.each(|sink| sink.promote(mark)).await
    }

    /// Returns the previous secret of the first sink that has one.
    async fn previous(&self, mark: &Mark) -> Result<Option<Secret>, SinkError> {
        for sink in &self.0 {
            if let Some(secret) = sink.previous(mark).await.map_err(|error| error.at(sink))? {
                return Ok(Some(secret));
            }
        }
        Ok(None)
    }

    async fn withdraw(&self, mark: &Mark) -> Result<(), SinkError> {
        self.each(|sink| sink.withdraw(mark)).await
    }

    async fn forget_previous(&self, mark: &Mark) -> Result<(), SinkError> {
        self.each(|sink| sink.forget_previous(mark)).await
    }
}
