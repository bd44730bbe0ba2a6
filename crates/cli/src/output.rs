//! Prints results, for people or for programs.
//!
//! Everything that the program prints passes this module, which cleans it. Only a secret for `--to -` does not.

mod json;
#[allow(clippy::disallowed_methods)]
mod stream;

use std::borrow::Cow;

use api_keyring::{ApiKey, KeyStats, Timestamp, lossy_text, printable};
use chrono::{DateTime, Utc};
use comfy_table::{ColumnConstraint, Table, Width, presets};

pub(crate) use self::json::{StreamedArray, json};
pub(crate) use self::stream::{ask, failure, help, is_error_terminal, line, notice, usage};
use crate::failure::Result;

/// The number of rows that share their widths before a [`StreamedTable`] prints them.
const BLOCK: usize = 500;

/// The maximum number of characters in a cell of a [`StreamedTable`], apart from the first column.
const MAX_CELL: usize = 80;

/// A table that prints its rows while they arrive, and does not hold them.
///
/// It prints the rows in blocks. Each block has at least the column widths of the blocks before it.
pub(crate) struct StreamedTable<const N: usize> {
    header: Option<[&'static str; N]>,
    /// The rows of this block, a line each, with tabs between their cells. Thousands of small texts would outlive a page
    /// of the list, and keep the next page from using its memory.
    block: String,
    rows: usize,
    widths: [u16; N],
}

impl<const N: usize> StreamedTable<N> {
    pub(crate) fn new(header: [&'static str; N]) -> Self {
        Self { header: Some(header), block: String::new(), rows: 0, widths: [0; N] }
    }

    /// Adds a row. Cuts its cells, apart from the first one, which identifies the row.
    pub(crate) fn add(&mut self, row: [String; N]) -> Result {
        for (at, cell) in row.iter().enumerate() {
            // A printable text has neither tabs nor line ends.
            let cell = printable(cell);
            self.block.push_str(if at == 0 { "" } else { "\t" });
            self.block.push_str(&if at == 0 { cell } else { cut(&cell) });
        }
        self.block.push('\n');
        self.rows += 1;
        if self.rows < BLOCK { Ok(()) } else { self.print() }
    }

    /// Prints the rows that are left. Without any rows, prints only the header.
    pub(crate) fn end(mut self) -> Result {
        if self.rows == 0 && self.header.is_none() { Ok(()) } else { self.print() }
    }

    fn print(&mut self) -> Result {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if let Some(header) = self.header.take() {
            table.set_header(header);
        }
        table.add_rows(self.block.lines().map(|row| row.split('\t')));
        for (width, content) in self.widths.iter_mut().zip(table.column_max_content_widths()) {
            *width = content.max(*width);
        }
        // A column has a blank on either side.
        let bound = |width: &u16| ColumnConstraint::LowerBoundary(Width::Fixed(width.saturating_add(2)));
        table.set_constraints(self.widths.iter().map(bound));
        (self.block, self.rows) = (String::new(), 0);
        print_lines(&table)
    }
}

/// Cuts a text to the size of a cell.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_CELL) {
        None => text.to_owned(),
        Some(_) => text.chars().take(MAX_CELL - 1).chain(['…']).collect(),
    }
}

/// Prints rows below a header.
pub(crate) fn table<Row: IntoIterator<Item = String>>(
    header: impl IntoIterator<Item = impl Into<String>>,
    rows: impl IntoIterator<Item = Row>,
) -> Result {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.into_iter().map(|name| printable(&name.into())));
    for row in rows {
        table.add_row(row.into_iter().map(|cell| printable(&cell)));
    }
    print_lines(&table)
}

/// Prints one line for each name that has a value.
pub(crate) fn fields(fields: impl IntoIterator<Item = (impl AsRef<str>, Option<String>)>) -> Result {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in fields {
        if let Some(value) = value {
            table.add_row([printable(name.as_ref()), printable(&value)]);
        }
    }
    print_lines(&table)
}

fn print_lines(table: &Table) -> Result {
    stream::lines(table.lines().map(|line| line.trim().to_owned()))
}

/// The header above rows of [`key_row`].
pub(crate) const KEY_HEADER: [&str; 6] = ["KEY", "NAME", "STATUS", "ROLE", "EXPIRES", "SECRET"];

/// Returns a key as a row of a table.
pub(crate) fn key_row(key: &ApiKey) -> [String; 6] {
    let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
    [
        format!("{}/{}", key.provider(), key.id()),
        text(key.name()),
        key.status().to_string(),
        text(key.role()),
        expiry(key),
        text(key.masked_secret()),
    ]
}

/// Returns the fields of a key, in the order in which people read them.
pub(crate) fn key_fields(key: &ApiKey) -> Vec<(Cow<'_, str>, Option<String>)> {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let fields = [
        ("key", Some(format!("{}/{}", key.provider(), key.id()))),
        ("name", text(key.name())),
        ("description", text(key.description())),
        ("status", Some(key.status().to_string())),
        ("scope", text(key.scope())),
        ("role", text(key.role())),
        ("owner", text(key.owner())),
        ("kind", text(key.kind())),
        ("secret", text(key.masked_secret())),
        ("created", key.created_at().map(timestamp)),
        ("updated", key.updated_at().map(timestamp)),
        ("expires", Some(expiry(key))),
        ("last used", key.last_used_at().map(timestamp)),
    ];
    let extra = key.extra().iter().map(|(name, value)| (name, Some(plain(value))));
    fields.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).chain(extra).collect()
}

/// Returns what the vendor shows about the use of a key.
pub(crate) fn stats_fields(stats: &KeyStats) -> [(&'static str, Option<String>); 5] {
    let number = |number: Option<u64>| Some(number.map_or("unknown".to_owned(), |number| number.to_string()));
    [
        ("key", Some(format!("{}/{}", stats.key.provider(), stats.key.id()))),
        ("name", stats.key.name().map(str::to_owned)),
        ("requests", number(stats.usage_count)),
        ("refused", number(stats.failed_attempts)),
        ("last used", Some(stats.last_used_at.as_ref().map_or("unknown".to_owned(), timestamp))),
    ]
}

fn expiry(key: &ApiKey) -> String {
    match key.expires_at() {
        Some(expiry) => timestamp(expiry),
        None if key.never_expires() => "never".to_owned(),
        None => "unknown".to_owned(),
    }
}

/// Formats a time alike for all vendors. Returns the vendor's text if it is not a time.
fn timestamp(timestamp: &Timestamp) -> String {
    timestamp.utc().map_or_else(|| timestamp.to_string(), utc)
}

/// Formats a time for people, to the second.
pub(crate) fn utc(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Returns a text without its quotes, and any other value as JSON.
fn plain(json: &str) -> String {
    lossy_text(json).map_or_else(|| json.to_owned(), Cow::into_owned)
}
