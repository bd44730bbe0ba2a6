//! From nothing to a new key whose secret is in the sink: with a lost answer, a key whose secret nobody has is found again.

use api_keyring::{IssuedKey, KeyId, ListKeys, Mark, Outcome, ProviderExt as _};
use futures_util::TryStreamExt as _;

use super::{Result, Run, Step};
use crate::record::{Discard, Issued};
use crate::{State, Strategy};

/// How many keys, or secrets in place, are issued at most before the rotation gives up.
pub(super) const MAX_ISSUES: usize = 5;

impl Run<'_> {
    /// Issues a key under a mark of its own, and puts its secret into the sink.
    pub(super) async fn issue(&mut self) -> Result<Step> {
        if self.record.marks.len() >= MAX_ISSUES {
            let why = format!("{MAX_ISSUES} creates have come to nothing");
            return self.go_to(State::Aborting { new: None, why }).await;
        }
        self.rotator.sink.check().await.map_err(|error| self.rotator.sink_error(error))?;
        if !self.record.marks.is_empty() {
            // What a create has left that acted later than anybody waited for.
            self.sweep(None).await?;
        }
        let mark = Mark::random();
        self.write(|record| {
            record.marks.push(mark.clone());
            record.state = State::Issuing { mark: mark.clone() };
        })
        .await?;
        let error = match self.rotator.provider.create(&self.record.plan.new_key(&mark)).await {
            Ok(issued) => return self.deliver(mark, issued).await,
            Err(error) => error,
        };
        if error.may_have_taken_effect() {
            // A secret that may be in the answer cannot be told to be whole: the key goes, and another is issued.
            let discard = error.key().map(|key| Discard { key: key.clone(), mark: mark.clone(), confirmed: None });
            self.write(|record| {
                record.discards.extend(discard);
                record.state = State::Lost { mark, abort: None };
            })
            .await?;
            return Ok(Step::On);
        }
        if error.is_transient() {
            // Nothing was issued under the mark, and nothing ever will be.
            self.write(|record| {
                record.marks.pop();
                record.state = State::Planned;
            })
            .await?;
            return Err(error.into());
        }
        let why = error.to_string();
        // What is not in the vendor's own words may be somebody else's between here and there, and the vendor may have acted.
        let is_certain = error.outcome() == Outcome::NotSent || error.vendor_message().is_some();
        self.go_to(match is_certain {
            true => State::Aborting { new: None, why },
            false => State::Lost { mark, abort: Some(why) },
        })
        .await
    }

    async fn deliver(&mut self, mark: Mark, issued: IssuedKey) -> Result<Step> {
        let new = Issued::of(mark, &issued);
        if let Err(error) = self.go_to(State::Issued(new.clone())).await {
            // Nobody else knows of the key: it goes now, or by its mark when the rotation is resumed.
            drop(self.end(&new.key).await);
            return Err(error);
        }
        let sink = &self.rotator.sink;
        let Err(error) = sink.put(&new.mark, issued.secret()).await else {
            return self.read_back(new).await;
        };
        let error = self.rotator.sink_error(error);
        match sink.pending(&new.mark).await {
            // Where there are several sinks, one has it, and the others get it from there when the rotation is resumed.
            Ok(pending) if self.is_of(&new, pending.as_ref()) => Err(error),
            _ => self.go_to(State::Aborting { new: Some(new), why: error.to_string() }).await,
        }
    }

    /// The secret was being put into the sink by a process that is gone: where it is, it is put there once more, in case that
    /// not all of the sink has got it.
    pub(super) async fn put_again(&mut self, new: Issued) -> Result<Step> {
        let pending = self.pending(&new.mark).await?;
        if let Some(secret) = pending.filter(|secret| self.is_of(&new, Some(secret))) {
            let put = self.rotator.sink.put(&new.mark, &secret).await;
            put.map_err(|error| self.rotator.sink_error(error))?;
        }
        self.read_back(new).await
    }

    /// A create was, or may have been, sent by a process that is gone.
    pub(super) async fn lose(&mut self, mark: Mark) -> Result<Step> {
        self.go_to(State::Lost { mark, abort: None }).await
    }

    /// Retires what exists under a mark, and starts over. One create was sent with it at most, so one key is all.
    ///
    /// Whoever resumes waits for the whole settle time again, since the clock of whoever was here before may have been another.
    pub(super) async fn find_what_was_lost(&mut self, mark: &Mark, abort: Option<String>) -> Result<Step> {
        let settled = self.in_a_while(self.record.plan.timing.settle_seconds);
        loop {
            let is_late = self.is_over(settled);
            for (key, mark) in self.living(std::slice::from_ref(mark)).await? {
                self.discard(&key, &mark).await?;
            }
            if is_late || self.record.discards.iter().any(|discard| discard.mark == *mark) {
                break;
            }
            self.poll().await?;
        }
        match abort {
            Some(why) => self.go_to(State::Aborting { new: None, why }).await,
            None => self.go_to(State::Planned).await,
        }
    }

    /// The keys under these marks that are not known to be dead, each with its mark.
    pub(super) async fn living(&self, marks: &[Mark]) -> Result<Vec<(KeyId, Mark)>> {
        let mut keys = self.rotator.provider.list(ListKeys::new());
        let mut living = Vec::new();
        while let Some(key) = keys.try_next().await? {
            if !key.status().is_dead() {
                living.extend(marks.iter().find(|mark| mark.is_on(&key)).map(|mark| (key.id().clone(), mark.clone())));
            }
        }
        Ok(living)
    }

    /// Goes on once the secret is read back; without it, the key is of no use.
    pub(super) async fn read_back(&mut self, new: Issued) -> Result<Step> {
        let pending = self.pending(&new.mark).await?;
        if self.is_of(&new, pending.as_ref()) {
            return self.go_to(State::Delivered(new)).await;
        }
        self.write(|record| {
            if record.plan.strategy == Strategy::Overlap {
                record.discards.push(Discard { key: new.key, mark: new.mark.clone(), confirmed: None });
            }
            record.state = State::Lost { mark: new.mark, abort: None };
        })
        .await?;
        Ok(Step::On)
    }
}
