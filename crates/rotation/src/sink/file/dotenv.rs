//! Changing one variable of a dotenv file. All other bytes stay the same.

use std::ops::Range;

/// Where a file sets a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The lines that set the variable, up to and including the line break.
    lines: Range<usize>,
    /// The value, including its quotes.
    value: Range<usize>,
}

/// Returns whether a variable can have this name.
pub(super) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Finds where a file sets a variable.
///
/// # Errors
///
/// If different programs may read different values:
///
/// - The file sets the variable twice. Some programs use the first value, others the last.
/// - A quote is never closed.
/// - The value has several parts, or the program that reads the file computes it.
pub(super) fn find(text: &str, name: &str) -> Result<Option<Setting>, String> {
    let mut found = None;
    let mut start = 0;
    let mut line = 1;
    while start < text.len() {
        let Statement { name: set, setting } =
            read_statement(text, start).map_err(|problem| format!("line {line}: {problem}"))?;
        let lines = setting.lines.clone();
        if set == Some(name) {
            if !setting.is_plain(text) {
                return Err(format!(
                    "line {line}: the value of {name} has several parts or is computed. Write it literally"
                ));
            }
            if found.replace(setting).is_some() {
                return Err(format!("line {line}: {name} is set a second time. Remove one of the two settings"));
            }
        }
        start = lines.end;
        line += text[lines].matches('\n').count();
    }
    Ok(found)
}

/// Returns the names of the variables that a text sets, as far as it can be read.
pub(super) fn names(text: &str) -> impl Iterator<Item = &str> {
    let mut start = 0;
    std::iter::from_fn(move || {
        while start < text.len() {
            let Statement { name, setting } = read_statement(text, start).ok()?;
            start = setting.lines.end;
            if let Some(name) = name.filter(|name| is_name(name)) {
                return Some(name);
            }
        }
        None
    })
}

/// One or more lines of a file. `name` is `None` if they set no variable.
struct Statement<'a> {
    name: Option<&'a str>,
    setting: Setting,
}

/// Reads the statement that begins here. A quote may extend it over several lines.
fn read_statement(text: &str, start: usize) -> Result<Statement<'_>, &'static str> {
    let end_of_line = |from: usize| text[from..].find('\n').map_or(text.len(), |end| from + end + 1);
    let end = end_of_line(start);
    let line = &text[start..end];
    let nothing = |end| Statement { name: None, setting: Setting { lines: start..end, value: end..end } };
    let Some((left, _)) = line.split_once('=').filter(|_| !line.trim_start().starts_with('#')) else {
        return Ok(nothing(end));
    };
    // A file may begin with a byte order mark.
    let name = left.trim_start_matches('\u{feff}').trim();
    let name = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(name).trim();
    let after = start + left.len() + 1;
    let begin = after + text[after..end].find(|c: char| c != ' ' && c != '\t').unwrap_or(end - after);
    if begin > after && text[begin..end].starts_with('#') {
        // A comment follows instead of a value.
        return Ok(Statement { name: Some(name), setting: Setting { lines: start..end, value: after..after } });
    }
    let (value_end, lines_end) = match text.as_bytes().get(begin) {
        Some(&quote @ (b'"' | b'\'')) => {
            let close = closing(&text[begin + 1..], quote).ok_or("a quote is never closed")?;
            let value_end = begin + 1 + close + 1;
            (value_end, end_of_line(value_end))
        }
        _ => {
            let value = &text[begin.min(end)..end];
            // Only a # after a blank begins a comment. Any other # is part of the value.
            let comment = value.find(" #").or_else(|| value.find("\t#")).unwrap_or(value.len());
            (begin + value[..comment].trim_end().len(), end)
        }
    };
    Ok(Statement { name: Some(name), setting: Setting { lines: start..lines_end, value: begin..value_end } })
}

/// Returns the position of the quote that closes a value.
fn closing(text: &str, quote: u8) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if quote == b'"' => drop(bytes.next()),
            _ if byte == quote => return Some(at),
            _ => {}
        }
    }
    None
}

impl Setting {
    /// Returns the value without its quotes.
    pub(super) fn value(&self, text: &str) -> String {
        let value = &text[self.value.clone()];
        if let Some(inner) = value.strip_prefix('\'') {
            return inner.strip_suffix('\'').unwrap_or(inner).to_owned();
        }
        let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
        let inner = inner.strip_suffix('"').unwrap_or(inner);
        let mut plain = String::with_capacity(inner.len());
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            plain.push(match character {
                '\\' => match characters.next() {
                    Some('n') => '\n',
                    Some(other) => other,
                    None => '\\',
                },
                other => other,
            });
        }
        plain
    }

    /// Returns whether every program that reads the file finds the same value. Nothing but a comment may follow the
    /// value, and the value must not refer to anything else.
    fn is_plain(&self, text: &str) -> bool {
        let value = &text[self.value.clone()];
        let after = text[self.value.end..self.lines.end].trim_end();
        let ends = after.is_empty() || (after.starts_with([' ', '\t']) && after.trim_start().starts_with('#'));
        let computed = |text: &str| text.contains(['$', '`']);
        match value.as_bytes().first() {
            Some(b'\'') => ends,
            Some(b'"') => {
                // An escaped character is literal.
                let mut bare = value.split('\\');
                let first = bare.next().unwrap_or_default();
                ends && !computed(first) && !bare.any(|part| computed(part.get(1..).unwrap_or_default()))
            }
            _ => ends && !computed(value) && !value.contains(['"', '\'']),
        }
    }

    /// Returns the file's text without the lines that set the variable.
    pub(super) fn removed(&self, text: &str) -> String {
        [&text[..self.lines.start], &text[self.lines.end..]].concat()
    }
}

/// Returns the file's text with the variable set to this value.
pub(super) fn set(text: &str, name: &str, setting: Option<&Setting>, value: &str) -> String {
    let Some(Setting { value: range, .. }) = setting else {
        let is_dos = text.rfind('\n').is_some_and(|end| text[..end].ends_with('\r'));
        let line_end = if is_dos { "\r\n" } else { "\n" };
        let line_break = if text.is_empty() || text.ends_with('\n') { "" } else { line_end };
        return format!("{text}{line_break}{name}={}{line_end}", quoted(value, None));
    };
    let quote = text[range.clone()].chars().next().filter(|first| matches!(first, '"' | '\''));
    [&text[..range.start], &quoted(value, quote), &text[range.end..]].concat()
}

/// Returns the value as it is written in the file, in quotes of this kind if possible.
fn quoted(value: &str, quote: Option<char>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~+/=:@,%".contains(c);
    match quote {
        None if value.chars().all(is_plain) => value.to_owned(),
        None | Some('\'') if !value.contains('\'') => format!("'{value}'"),
        _ => {
            let mut quoted = String::from('"');
            for character in value.chars() {
                if matches!(character, '"' | '\\' | '$' | '`') {
                    quoted.push('\\');
                }
                quoted.push(character);
            }
            quoted.push('"');
            quoted
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "# KEY=no\r\n\nexport  OTHER = 'a\nKEY=inside'\t # tail\n KEY\t=  old_value   # KEY=comment\r\n\
                        LAST=\"x\\\"\nKEY=y\"";

    fn value(text: &str, name: &str) -> Option<String> {
        find(text, name).unwrap().map(|setting| setting.value(text))
    }

    #[test]
    fn only_the_statement_that_sets_a_variable_is_found() {
        assert_eq!(value(FILE, "KEY").as_deref(), Some("old_value"));
        assert_eq!(value(FILE, "OTHER").as_deref(), Some("a\nKEY=inside"));
        assert_eq!(value(FILE, "LAST").as_deref(), Some("x\"\nKEY=y"));
        assert_eq!(value(FILE, "KE"), None);
        assert_eq!(value("EMPTY=\nKEY=k", "EMPTY").as_deref(), Some(""));
        assert_eq!(value("EMPTY=\nKEY=k", "KEY").as_deref(), Some("k"));
        assert_eq!(value("KEY=a#b", "KEY").as_deref(), Some("a#b"));
        assert_eq!(value("exported=1\nexport KEY=2", "KEY").as_deref(), Some("2"));
        assert_eq!(value("", "KEY"), None);
        assert_eq!(value("KEY= # put it here\nA=1", "KEY").as_deref(), Some(""));
        assert_eq!(value("\u{feff}KEY=1", "KEY").as_deref(), Some("1"));
        assert_eq!(value("KEY=\"a\\$b\" # c", "KEY").as_deref(), Some("a$b"));
    }

    #[test]
    fn an_ambiguous_value_is_an_error() {
        assert_eq!(
            find("KEY=1\n\nKEY=2\n", "KEY").unwrap_err(),
            "line 3: KEY is set a second time. Remove one of the two settings"
        );
        assert_eq!(find("A=1\nB='x\n", "KEY").unwrap_err(), "line 2: a quote is never closed");
        for value in ["\"old\"def", "'a'b", "a\"b\"", "`cat x`", "$OTHER", "\"a$OTHER\"", "\"a\\\\`b`\"", "'a'#b"] {
            let why = find(&format!("KEY={value}\n"), "KEY").unwrap_err();
            assert_eq!(why, "line 1: the value of KEY has several parts or is computed. Write it literally", "{value}");
            // The values of other variables do not matter.
            assert_eq!(find(&format!("OTHER={value}\n"), "KEY"), Ok(None));
        }
    }

    #[test]
    fn only_the_value_changes() {
        let setting = find(FILE, "KEY").unwrap();
        assert_eq!(set(FILE, "KEY", setting.as_ref(), "new"), FILE.replace("old_value", "new"));
        assert_eq!(setting.unwrap().removed(FILE), FILE.replace(" KEY\t=  old_value   # KEY=comment\r\n", ""));
        assert_eq!(set("A=1", "KEY", None, "new"), "A=1\nKEY=new\n");
        assert_eq!(set("", "KEY", None, "a b"), "KEY='a b'\n");
        assert_eq!(set("A=1\r\nB=2", "KEY", None, "new"), "A=1\r\nB=2\r\nKEY=new\r\n");
        let empty = "KEY= # put it here\nA=1";
        assert_eq!(set(empty, "KEY", find(empty, "KEY").unwrap().as_ref(), "new"), "KEY=new # put it here\nA=1");
    }

    #[test]
    fn quotes_stay_the_same_if_possible() {
        let set = |text: &str, to| set(text, "KEY", find(text, "KEY").unwrap().as_ref(), to);
        assert_eq!(set("KEY=\"old\"", "new"), "KEY=\"new\"");
        assert_eq!(set("KEY='old' # c", "new"), "KEY='new' # c");
        assert_eq!(set("KEY='old'", "it's"), "KEY=\"it's\"");
        assert_eq!(set("KEY=old", "a$b"), "KEY='a$b'");
    }

    #[test]
    fn only_names_that_a_variable_can_have_are_accepted() {
        assert!(is_name("_A1") && is_name("key"));
        assert!(["", "1A", "A B", "A-B", "A=", "ä"].iter().all(|name| !is_name(name)));
    }

    proptest! {
        #[test]
        fn setting_a_value_changes_only_that_value(text in "[KEY=a'\"\\\\ #\n\r$]{0,40}", value in "[!-~]{1,30}") {
            // An ambiguous file is refused before anything is written.
            if let Ok(setting) = find(&text, "KEY") {
                let written = set(&text, "KEY", setting.as_ref(), &value);
                let again = find(&written, "KEY").unwrap().unwrap();
                prop_assert_eq!(again.value(&written), value);
                if let Some(setting) = setting {
                    prop_assert!(written.starts_with(&text[..setting.value.start]));
                    prop_assert!(written.ends_with(&text[setting.value.end..]));
                }
            }
        }

        #[test]
        fn any_text_can_be_read(text in any::<String>()) {
            drop(find(&text, "KEY"));
        }
    }
}
