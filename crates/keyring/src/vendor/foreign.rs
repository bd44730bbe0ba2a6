//! The text of an answer that is not the vendor's own, as far as a person can use it.

use api_keyring_transport::runtime::UndecodedResponse;

use super::call::whole_words;

/// The maximum number of bytes of an answer that are searched for text.
const SEARCHED: usize = 4096;

/// Returns the visible text of an answer: the body without its markup, on one line.
pub(crate) fn text(answer: &UndecodedResponse) -> String {
    // Longer than what is searched, so that the last word is known to be cut.
    visible(whole_words(&answer.start_without_credential(2 * SEARCHED), SEARCHED))
}

fn visible(body: &str) -> String {
    let is_markup = body.trim_start().starts_with('<');
    let mut text = String::new();
    let mut rest = body;
    while let Some(start) = rest.find('<').filter(|_| is_markup) {
        text.push_str(&rest[..start]);
        text.push(' ');
        let tag = &rest[start..];
        let is_hidden = |name: &str| tag.get(1..=name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
        let end = match ["script", "style"].into_iter().find(|name| is_hidden(name)) {
            Some(name) => tag.find(&format!("</{name}")).and_then(|end| Some(end + tag[end..].find('>')?)),
            None => tag.find('>'),
        };
        // A tag that does not end was cut off.
        rest = end.map_or("", |end| &tag[end + 1..]);
    }
    text.push_str(rest);
    text.split_whitespace().take(30).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn only_the_visible_text_of_a_page_is_left() {
        for (body, text) in [
            ("<html><head><title>404 Not Found</title></head>\r\n<body>nginx</body></html>", "404 Not Found nginx"),
            ("<style>a{b:c}</style><p>a</p><script>if (1 < 2) x()</script>b", "a b"),
            ("upstream connect error", "upstream connect error"),
            (r#"{"message":"a < b"}"#, r#"{"message":"a < b"}"#),
            ("<p>cut <a hre", "cut"),
            ("<script>cut", ""),
            ("", ""),
        ] {
            assert_eq!(visible(body), text, "{body}");
        }
    }
}
