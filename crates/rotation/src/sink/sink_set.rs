//! One secret in several places.

use std::sync::Arc;

use api_keyring::{Mark, Secret};
use async_trait::async_trait;

use super::{Sink, SinkError, parts_of};

/// SinkSet sinks that all get the new secret.
///
/// They do not all get it at once: when one of them fails, others may have it already. The rotation then stands still and can be
/// resumed, and the secret is taken from where it is to where it is missing.
#[derive(Clone, Debug)]
pub struct SinkSet(Vec<Arc<dyn Sink>>);

impl SinkSet {
    /// These sinks. At least one, or every call fails.
    pub fn new(sinks: impl IntoIterator<Item = Arc<dyn Sink>>) -> Self {
        Self(sinks.into_iter().collect())
    }

    /// Does the same with all of them, also after one has failed: the others need not wait for it to be mended.
    async fn each<'a, F>(&'a self, act: impl Fn(&'a Arc<dyn Sink>) -> F) -> Result<(), SinkError>
    where
        F: Future<Output = Result<(), SinkError>>,
    {
        let mut failed = self.0.is_empty().then(|| SinkError::new("there is no sink at all"));
        for sink in &self.0 {
            if let Err(error) = act(sink).await {
                failed.get_or_insert(error.at(sink));
            }
        }
        failed.map_or(Ok(()), Err)
    }
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

    async fn check(&self) -> Result<(), SinkError> {
        self.each(|sink| sink.check()).await
    }

    /// What all of them hold; an error where they do not hold the same.
    async fn current(&self) -> Result<Option<Secret>, SinkError> {
        let mut found: Option<(&Arc<dyn Sink>, Option<Secret>)> = None;
        for sink in &self.0 {
            let current = sink.current().await.map_err(|error| error.at(sink))?;
            match &found {
                Some((other, held)) if *held != current => {
                    let (other, this) = (other.name(), sink.name());
                    return Err(SinkError::new(format!("{other} and {this} do not hold the same secret")));
                }
                _ => found = Some((sink, current)),
            }
        }
        Ok(found.and_then(|(_, current)| current))
    }

    /// Puts it into all of them, and reads it back from each.
    async fn put(&self, mark: &Mark, secret: &Secret) -> Result<(), SinkError> {
        self.each(|sink| async move {
            sink.put(mark, secret).await?;
            match sink.pending(mark).await? {
                Some(held) if held == *secret => Ok(()),
                _ => Err(SinkError::new("what was put there is not what is read back")),
            }
        })
        .await
    }

    /// What the first one holds that has it.
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

    async fn promote(&self, mark: &Mark) -> Result<(), SinkError> {
        self.each(|sink| sink.promote(mark)).await
    }

    /// What was current before in the first one that has it.
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
