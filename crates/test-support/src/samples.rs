//! Data that the tests of several crates use.

/// Statuses to try on every operation: successes, a redirect, and failures of the caller and of the service.
pub const STATUSES: [u16; 19] =
    [201, 202, 204, 206, 304, 400, 401, 402, 403, 404, 405, 409, 415, 418, 422, 429, 500, 502, 503];

/// A page such as a proxy in front of the service answers with.
pub const HTML: &str = "<!doctype html><html><body>Bad gateway</body></html>";

/// Returns ids that no vendor issues and that could change a request: its path, its query or its headers.
pub fn hostile_ids() -> Vec<String> {
    let mut ids: Vec<String> = [
        "",
        ".",
        "..",
        "...",
        ".hidden",
        "/",
        "a/b",
        "../b",
        "a/..",
        "\\",
        "a\\b",
        "%2e%2e",
        "%2E%2E",
        "%2f",
        "a%2fb",
        "\0",
        "a\0b",
        "\r\n",
        "a\r\nx-admin: 1",
        "a\r",
        "a\n",
        "\na",
        "é",
        "aé",
        "а",
        "\u{2024}\u{2024}",
        " ",
        "a b",
        " a",
        "a ",
        "\t",
        "?x",
        "a?x=1",
        "#x",
        "a#x",
        "a;b",
        "a:b",
        "a@b",
        "a&b",
        "{id}",
        "\u{7f}",
        "\u{202e}a",
    ]
    .map(str::to_owned)
    .to_vec();
    ids.push("a".repeat(256));
    ids.push("a".repeat(300));
    ids.push("é".repeat(200));
    ids
}
