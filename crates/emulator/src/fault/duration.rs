//! Durations in a fault's text form: a whole number and a unit.

use std::time::Duration;

/// The units, longest first, so that `format` picks the largest unit that fits.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

pub(super) fn parse(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = UNITS.iter().find(|(known, _)| *known == unit)?;
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*factor)?))
}

/// Writes `span` with the largest unit that divides it. It drops fractions of a millisecond.
pub(super) fn format(span: Duration) -> String {
    let millis = span.as_millis();
    let fitting = UNITS.iter().find(|(_, factor)| millis > 0 && millis.is_multiple_of(u128::from(*factor)));
    match fitting {
        Some((unit, factor)) => format!("{}{unit}", millis / u128::from(*factor)),
        None => "0ms".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis) in [("20ms", 20), ("2s", 2000), ("90s", 90_000), ("5m", 300_000), ("1h", 3_600_000)] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse("0s"), Some(Duration::ZERO));
        assert_eq!(format(Duration::ZERO), "0ms");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "2", "s", "-2s", "1.5s", "2 s", "2d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
