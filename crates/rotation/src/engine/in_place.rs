//! A new secret for the same key: the old one ends when it is made, so whatever is lost has to be asked for again.

use api_keyring::{IssuedKey, KeyId, ListKeys, Mark, Provider, ProviderExt as _, Secret};
use futures_util::TryStreamExt as _;

use super::hand_over::Tried;
use super::issue::MAX_ISSUES;
use super::{Result, Run, Step};
use crate::plan::is_alive;
use crate::record::Issued;
use crate::{Fingerprint, JournalError, RotateError, SinkContent, State};

impl Run<'_> {
    /// Has the vendor replace the secret, and puts the new one into the sink.
    pub(super) async fn regenerate(&mut self) -> Result<Step> {
        if self.asked >= MAX_ISSUES {
            let why =
                format!("{MAX_ISSUES} new secrets have come to nothing: look at the key at the vendor, and resume");
            return self.stop(why).await;
        }
        self.rotator.sink.check().await.map_err(|error| self.rotator.sink_error(error))?;
        if let Some(new) = self.what_waits().await? {
            return self.go_to(State::Issued(new)).await;
        }
        let Some(key) = self.find_key(&*self.rotator.provider).await? else {
            let old = &self.record.plan.old.id;
            let why = format!("key {old} is gone, and no other of its name has taken its place: create one");
            return self.stop(why).await;
        };
        self.asked += 1;
        let mark = Mark::random();
        self.write(|record| {
            record.marks.push(mark.clone());
            record.state = State::Issuing { mark: mark.clone() };
        })
        .await?;
        let error = match self.rotator.provider.regenerate(&key, &self.record.plan.regeneration()).await {
            Ok(issued) => return self.keep(mark, issued).await,
            Err(error) => error,
        };
        if error.may_have_taken_effect() {
            return self.go_to(State::Lost { mark, abort: None }).await;
        }
        let is_first = self.record.marks.len() == 1;
        if error.is_not_found() && !is_first {
            // What was shown of the key was old: it has got another id with its last secret.
            return self.go_to(State::Lost { mark, abort: None }).await;
        }
        if self.has_ended_old().await? {
            return self.go_to(State::Lost { mark, abort: None }).await;
        }
        if error.is_transient() || is_first {
            // Nothing was done under the mark, and nothing ever will be.
            self.write(|record| {
                record.marks.pop();
                record.state = match error.is_transient() {
                    true => State::Planned,
                    false => State::Aborting { new: None, why: error.to_string() },
                };
            })
            .await?;
            return if error.is_transient() { Err(error.into()) } else { Ok(Step::On) };
        }
        self.stop(format!("the key's secret may be lost, and no other can be had: {error}")).await
    }

    /// Whether the secret that users have is refused, although the vendor has said that it did nothing.
    async fn has_ended_old(&self) -> Result<bool> {
        if self.record.plan.in_sink != SinkContent::OldSecret {
            return Ok(false);
        }
        let current = self.rotator.sink.current().await.map_err(|error| self.rotator.sink_error(error))?;
        let Some(current) = current else { return Ok(false) };
        Ok(!self.rotator.provider.accepts(&current).await?)
    }

    /// The secret that was asked for last, where it is in the sink and works, although nothing was written down of its answer.
    async fn what_waits(&self) -> Result<Option<Issued>> {
        let Some(mark) = self.record.marks.last() else { return Ok(None) };
        let Some(secret) = self.pending(mark).await? else { return Ok(None) };
        if !self.rotator.provider.accepts(&secret).await? {
            return Ok(None);
        }
        // The rotator's own credential may be the one that it has ended.
        let key = self.find_key(&*self.rotator.provider.with_secret(&secret)?).await?;
        Ok(key.map(|key| Issued { key, fingerprint: Fingerprint::of(mark, &secret), mark: mark.clone() }))
    }

    /// The key's id now. The vendor may have given it another one with its last secret, whose answer was lost.
    async fn find_key(&self, provider: &dyn Provider) -> Result<Option<KeyId>> {
        let plan = &self.record.plan;
        if is_alive(provider, &plan.old.id).await? {
            return Ok(Some(plan.old.id.clone()));
        }
        // Before any secret was asked for, one of its name is another key.
        if plan.old.name.is_none() || self.record.marks.is_empty() {
            return Ok(None);
        }
        let settled = self.in_a_while(plan.timing.settle_seconds);
        loop {
            let is_late = self.is_over(settled);
            let mut found = Vec::new();
            let mut keys = provider.list(ListKeys::new());
            while let Some(key) = keys.try_next().await? {
                let is_another = key.id() == &plan.old.id || plan.namesakes.contains(key.id());
                if key.name() == plan.old.name.as_deref() && !is_another && !key.status().is_dead() {
                    found.push(key.id().clone());
                }
            }
            // Of several, nobody can tell which it is; and a list may be old.
            if let [key] = &found[..]
                && is_alive(provider, key).await?
            {
                return Ok(found.pop());
            }
            if is_late {
                return Ok(None);
            }
            self.poll().await?;
        }
    }

    /// Writes the only secret that works down in the sink, and that there is one in the journal, whoever has taken the rotation
    /// over meanwhile. What fails now may not in a moment, and nobody else has the secret: a request to stop waits as well.
    async fn keep(&mut self, mark: Mark, issued: IssuedKey) -> Result<Step> {
        let new = Issued::of(mark, &issued);
        let end = self.in_a_while(self.record.plan.timing.verify_seconds);
        let mut written = self.write_issued(&new, issued.secret()).await;
        if let Err(RotateError::Journal(JournalError::LeaseLost)) = written {
            return written;
        }
        let mut put = self.rotator.sink.put(&new.mark, issued.secret()).await;
        loop {
            let is_late = self.is_over(end);
            match (&written, &put) {
                (Ok(_), Ok(())) => return self.read_back(new).await,
                (Err(_), _) if is_late => return written,
                (_, Err(_)) if is_late => {
                    return put.map(|()| Step::On).map_err(|error| self.rotator.sink_error(error));
                }
                _ => {}
            }
            // A lease that cannot be renewed now is taken over by whoever comes next.
            drop(self.rotator.journal.renew(&self.lease).await);
            self.rotator.clock.sleep(self.record.plan.timing.poll()).await;
            if written.is_err() {
                written = self.write_issued(&new, issued.secret()).await;
            }
            if put.is_err() {
                put = self.rotator.sink.put(&new.mark, issued.secret()).await;
            }
        }
    }

    async fn write_issued(&mut self, new: &Issued, secret: &Secret) -> Result<Step> {
        match self.go_to(State::Issued(new.clone())).await {
            Err(RotateError::Journal(JournalError::Changed)) => {
                // Perhaps by this process, whose write failed and was done all the same.
                match self.rotator.journal.load(&self.record.id).await? {
                    Some(record) if record.state == State::Issued(new.clone()) => {
                        self.record = record;
                        Ok(Step::On)
                    }
                    _ => self.take_over(new, secret).await,
                }
            }
            Err(RotateError::Journal(JournalError::LeaseLost)) => self.take_over(new, secret).await,
            written => written,
        }
    }

    /// Somebody else has gone on while this process's request was under way. If that has made the other's secret useless, this
    /// process has to go on, from whatever has become of the rotation.
    async fn take_over(&mut self, new: &Issued, secret: &Secret) -> Result<Step> {
        let timing = self.record.plan.timing;
        let end = self.in_a_while(timing.verify_seconds);
        while !self.is_over(end) {
            // The other one may have asked for a secret after this one, which then works no more.
            if let Ok(true) = self.rotator.provider.accepts(secret).await {
                match self.rotator.lease_of(&self.record.id).await {
                    Ok((lease, record)) => {
                        (self.lease, self.record) = (lease, record);
                        let (new, mark) = (new.clone(), new.mark.clone());
                        let written = self.write(|record| {
                            record.marks.push(mark);
                            record.state = State::Issued(new);
                        });
                        return written.await.map(|()| Step::On);
                    }
                    Err(RotateError::Journal(JournalError::Held { .. })) => {}
                    Err(error) => return Err(error),
                }
            }
            // Without a lease there is none to be kept meanwhile.
            self.rotator.clock.sleep(timing.poll()).await;
        }
        Err(RotateError::Journal(JournalError::LeaseLost))
    }

    /// Sees that the secret works which users find already: the old one ended before it.
    pub(super) async fn verify_in_place(&mut self, new: Issued) -> Result<Step> {
        let Some(secret) = self.current_of(&new).await? else {
            return self.ask_unless_in_use(new.mark).await;
        };
        let timing = self.record.plan.timing;
        let end = self.in_a_while(timing.verify_seconds);
        match self.try_for_a_while(&secret, timing.verify_successes, end).await? {
            Tried::Works => self.go_to(State::Retired { new, confirmed: None }).await,
            // Somebody's later request for a secret has ended this one.
            Tried::Refused => self.go_to(State::Lost { mark: new.mark, abort: None }).await,
        }
    }

    /// The new secret is nowhere to be found: another one has to be asked for, unless users find one that works.
    pub(super) async fn ask_unless_in_use(&mut self, mark: Mark) -> Result<Step> {
        let current = self.rotator.sink.current().await.map_err(|error| self.rotator.sink_error(error))?;
        if let Some(current) = current
            && self.rotator.provider.accepts(&current).await?
        {
            let why = "the sink holds another secret than the key's new one, which works: put the new one there, or waive the \
                       evidence if the key has been given that one since";
            return self.stop(why).await;
        }
        self.go_to(State::Lost { mark, abort: None }).await
    }

    /// Waits until a request whose answer was lost has surely ended, so that it does not end the next secret.
    pub(super) async fn ask_again(&mut self) -> Result<Step> {
        let settled = self.in_a_while(self.record.plan.timing.settle_seconds);
        while !self.is_over(settled) {
            self.poll().await?;
        }
        self.go_to(State::Planned).await
    }

    /// Whether every secret that was current before is refused, as far as the sink still has any; `None` where it has none.
    pub(super) async fn old_secrets_are_refused(&self, new: &Issued) -> Result<Option<bool>> {
        let mut seen = None;
        // What was there at first may not be the key's secret. What has come since was.
        let mut is_known = self.record.plan.in_sink == SinkContent::OldSecret;
        for mark in &self.record.marks {
            let Some(secret) = self.previous(mark).await?.filter(|secret| !self.is_of(new, Some(secret))) else {
                continue;
            };
            if !std::mem::replace(&mut is_known, true) {
                continue;
            }
            if self.rotator.provider.accepts(&secret).await? {
                return Ok(Some(false));
            }
            seen = Some(true);
        }
        Ok(seen)
    }
}
