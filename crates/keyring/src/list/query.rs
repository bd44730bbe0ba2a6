//! Queries: which keys to list, and in which order.

use std::cmp::Ordering;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, StreamExt};

use crate::model::key::End;
use crate::{ApiKey, KeyStatus, KeyStream, ListLimits, Result};

/// Which keys to list, and in which order. The default is all keys, in the vendor's order.
///
/// Except for [`search`](Self::search), this crate filters and sorts the keys itself. A filter therefore means the same
/// for every vendor and server, and no server can hide a key by reading a filter differently.
///
/// ```
/// use api_keyring::{KeyStatus, ListKeys, SortKeys};
/// use chrono::TimeDelta;
///
/// let which = ListKeys::new().expiring_within(TimeDelta::days(14)).sorted_by(SortKeys::ExpiresAt);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ListKeys {
    pub(crate) search: Option<String>,
    pub(crate) limits: ListLimits,
    name_contains: Option<String>,
    status: Option<KeyStatus>,
    expiring_within: Option<TimeDelta>,
    now: Option<DateTime<Utc>>,
    sort: Option<SortKeys>,
    direction: Direction,
}

/// The direction of a sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Direction {
    #[default]
    Ascending,
    Descending,
}

/// The field to sort keys by. Keys without this field come last. Keys with the same value are sorted by provider, then
/// by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SortKeys {
    /// The name.
    Name,
    /// When the key was created.
    CreatedAt,
    /// When the key stops working. Keys that never expire come last.
    ExpiresAt,
    /// When the key was last used.
    LastUsedAt,
}

impl ListKeys {
    /// Selects all keys, in the vendor's order.
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects keys whose name contains `part`, ignoring case.
    pub fn name_contains(mut self, part: impl Into<String>) -> Self {
        self.name_contains = Some(part.into().to_lowercase());
        self
    }

    /// Selects keys with this status now.
    pub fn status(mut self, status: KeyStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Selects keys that may still work and that expire within this time. This includes a key whose expiry this crate
    /// cannot read, because that key may expire within it as well.
    pub fn expiring_within(mut self, time: TimeDelta) -> Self {
        self.expiring_within = Some(time);
        self
    }

    /// Selects the keys that the vendor finds for `text`. **The vendor decides which fields it searches and how.**
    /// Spartera has a search of its own. For a vendor that cannot search
    /// ([`Capability::Search`](crate::Capability::Search)), this selects keys whose name or description contains
    /// `text`.
    pub fn search(mut self, text: impl Into<String>) -> Self {
        self.search = Some(text.into());
        self
    }

    /// Sorts the keys. The stream reads the whole list before it yields the first key.
    pub fn sorted_by(mut self, sort: SortKeys) -> Self {
        self.sort = Some(sort);
        self
    }

    /// Sorts in descending order. Keys without the sort field still come last.
    pub fn descending(mut self) -> Self {
        self.direction = Direction::Descending;
        self
    }

    /// Sets the time that [`status`](Self::status) and [`expiring_within`](Self::expiring_within) use instead of this
    /// machine's.
    pub fn at(mut self, now: DateTime<Utc>) -> Self {
        self.now = Some(now);
        self
    }

    /// Limits the list as a whole. [`ListLimits`] has the defaults.
    pub fn limits(mut self, limits: ListLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Keeps only the search and the limits, which apply to each provider. The keyring filters and sorts across all
    /// providers.
    pub(crate) fn search_only(&self) -> Self {
        Self { search: self.search.clone(), limits: self.limits.clone(), ..Self::default() }
    }

    /// Filters and sorts keys. In a sorted list, errors come after all keys.
    pub(crate) fn apply<'a>(self, all: KeyStream<'a>) -> KeyStream<'a> {
        let now = self.now.unwrap_or_else(Utc::now);
        let sort = self.sort.map(|sort| (sort, self.direction));
        let is_filter = self.name_contains.is_some() || self.status.is_some() || self.expiring_within.is_some();
        let wanted: KeyStream<'a> = if is_filter {
            Box::pin(all.filter(move |row| {
                let wanted = row.as_ref().map_or(true, |key| self.wants(key, now));
                std::future::ready(wanted)
            }))
        } else {
            all
        };
        match sort {
            None => wanted,
            Some((sort, direction)) => {
                let sorted = async move {
                    let mut rows: Vec<Result<ApiKey>> = wanted.collect().await;
                    rows.sort_by(|a, b| match (a, b) {
                        (Ok(a), Ok(b)) => sort.compare(a, b, direction),
                        (Ok(_), Err(_)) => Ordering::Less,
                        (Err(_), Ok(_)) => Ordering::Greater,
                        (Err(_), Err(_)) => Ordering::Equal,
                    });
                    stream::iter(rows)
                };
                Box::pin(stream::once(sorted).flatten())
            }
        }
    }

    fn wants(&self, key: &ApiKey, now: DateTime<Utc>) -> bool {
        self.name_contains.as_deref().is_none_or(|part| contains(key.name(), part))
            && self.status.is_none_or(|status| key.status_at(now) == status)
            && self.expiring_within.is_none_or(|time| expires_within(key, now, time))
    }
}

impl SortKeys {
    fn compare(self, a: &ApiKey, b: &ApiKey, direction: Direction) -> Ordering {
        let time = |time: Option<&crate::Timestamp>| time.and_then(crate::Timestamp::utc);
        let order = match self {
            Self::Name => compare_missing_last(a.name(), b.name(), direction),
            Self::CreatedAt => compare_missing_last(time(a.created_at()), time(b.created_at()), direction),
            Self::ExpiresAt => compare_missing_last(time(a.expires_at()), time(b.expires_at()), direction),
            Self::LastUsedAt => compare_missing_last(time(a.last_used_at()), time(b.last_used_at()), direction),
        };
        order.then_with(|| a.provider().cmp(b.provider())).then_with(|| a.id().cmp(b.id()))
    }
}

fn compare_missing_last<T: Ord>(a: Option<T>, b: Option<T>, direction: Direction) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if direction == Direction::Descending => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

fn expires_within(key: &ApiKey, now: DateTime<Utc>, time: TimeDelta) -> bool {
    let may_work = matches!(key.status_at(now), KeyStatus::Active | KeyStatus::Unknown);
    may_work
        && match key.end() {
            End::At(expiry) => expiry > now && expiry - now <= time,
            // A vendor that shows no expiry at all would otherwise select every key.
            End::NotKnown => key.expires_at().is_some(),
            End::Never => false,
        }
}

fn contains(text: Option<&str>, lowercase_part: &str) -> bool {
    text.is_some_and(|text| text.to_lowercase().contains(lowercase_part))
}

/// Returns whether the name or the description contains the text.
pub(crate) fn matches_text(name: Option<&str>, description: Option<&str>, lowercase_part: &str) -> bool {
    contains(name, lowercase_part) || contains(description, lowercase_part)
}

/// Selects keys whose name or description contains `text`, ignoring case. It stands in for the search that such a
/// vendor does not offer.
pub(crate) fn filter_by_text<'a>(all: KeyStream<'a>, text: &str) -> KeyStream<'a> {
    let part = text.to_lowercase();
    Box::pin(all.filter(move |row| {
        let found = |key: &ApiKey| matches_text(key.name(), key.description(), &part);
        std::future::ready(row.as_ref().map_or(true, found))
    }))
}

impl fmt::Display for SortKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::CreatedAt => "created-at",
            Self::ExpiresAt => "expires-at",
            Self::LastUsedAt => "last-used-at",
        })
    }
}
