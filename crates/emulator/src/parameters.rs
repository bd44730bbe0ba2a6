//! Reads and checks a query string parameter by parameter. It collects all problems before it refuses the request.

use std::ops::RangeInclusive;

use crate::refusal::{Problems, Refusal};
use crate::url;

pub(crate) struct Parameters<'q> {
    query: &'q str,
    problems: Problems,
}

impl<'q> Parameters<'q> {
    pub(crate) fn new(query: Option<&'q str>) -> Self {
        Self { query: query.unwrap_or_default(), problems: Problems::new() }
    }

    /// Reads a number within `range`, or returns `default` if the parameter is missing.
    pub(crate) fn number(&mut self, name: &'static str, range: RangeInclusive<usize>, default: usize) -> usize {
        let Some(text) = self.text(name) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (least, most) = range.into_inner();
                let problem = match most {
                    usize::MAX => format!("must be a whole number, at least {least}"),
                    _ => format!("must be a whole number from {least} to {most}"),
                };
                self.refuse(name, problem);
                default
            }
        }
    }

    /// Reads one of `choices`, or returns `default` if the parameter is missing.
    pub(crate) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)], default: T) -> T {
        let Some(text) = self.text(name) else { return default };
        match choices.iter().find(|(known, _)| *known == text) {
            Some((_, chosen)) => *chosen,
            None => {
                let known: Vec<_> = choices.iter().map(|(known, _)| *known).collect();
                self.refuse(name, format!("must be one of {}", known.join(", ")));
                default
            }
        }
    }

    /// Returns the parameter as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        url::query_value(self.query, name)
    }

    /// Returns `value`, or all problems if any parameter was wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, Refusal> {
        if self.problems.is_empty() { Ok(value) } else { Err(Refusal::InvalidQuery(self.problems)) }
    }

    fn refuse(&mut self, name: &'static str, problem: String) {
        self.problems.entry(name).or_default().push(problem);
    }
}
