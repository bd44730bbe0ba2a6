//! Checks ids without an engine for regular expressions.
//!
//! The generator compiles each pattern when a program first uses it. An id is checked before every request, and its
//! pattern is simple: a class of characters, or one for the first character and one for the rest. This module turns such
//! a pattern into a comparison of bytes. It refuses any other.

use anyhow::{Result, anyhow};
use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Expr, Item, Lit, Stmt, parse_quote};

/// Replaces every pattern of a client.
pub(super) fn rewire(file: &mut syn::File) -> Result<()> {
    let mut patterns = Patterns { check: None, error: None };
    patterns.visit_file_mut(file);
    patterns.error.map_or(Ok(()), Err)
}

struct Patterns {
    /// What the pattern of the current block compares.
    check: Option<TokenStream>,
    error: Option<anyhow::Error>,
}

impl VisitMut for Patterns {
    fn visit_block_mut(&mut self, block: &mut Block) {
        let is_pattern =
            |statement: &Stmt| matches!(statement, Stmt::Item(Item::Static(item)) if item.ident == "PATTERN");
        if let Some(at) = block.stmts.iter().position(is_pattern) {
            let pattern = literal(block.stmts.remove(at).into_token_stream());
            let check = pattern.ok_or_else(|| anyhow!("cannot find the pattern of an id; adapt ids.rs"));
            match check.and_then(|pattern| comparison(&pattern)) {
                Ok(check) => self.check = Some(check),
                Err(error) => self.error = Some(error),
            }
        }
        visit_mut::visit_block_mut(self, block);
        self.check = self.check.take().filter(|_| !block.stmts.iter().any(is_pattern));
    }

    /// Replaces `PATTERN.find(value).is_none()`.
    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        visit_mut::visit_expr_mut(self, expression);
        let Expr::MethodCall(is_none) = expression else { return };
        let Expr::MethodCall(find) = &*is_none.receiver else { return };
        let is_pattern = matches!(&*find.receiver, Expr::Path(path) if path.path.is_ident("PATTERN"));
        if is_none.method == "is_none"
            && find.method == "find"
            && is_pattern
            && let Some(check) = self.check.take()
        {
            *expression = parse_quote!(!(#check));
        }
    }
}

/// Returns the first text in some code.
fn literal(code: TokenStream) -> Option<String> {
    code.into_iter().find_map(|token| match token {
        TokenTree::Literal(literal) => match Lit::new(literal) {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        TokenTree::Group(group) => literal(group.stream()),
        _ => None,
    })
}

/// Turns a pattern into a comparison of the bytes of `value`.
fn comparison(pattern: &str) -> Result<TokenStream> {
    let unsupported = || {
        anyhow!(
            "the pattern {pattern:?} of an id is not supported: write ^[CLASS]+$ or ^[CLASS][CLASS]*$, or adapt ids.rs"
        )
    };
    let inside = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).ok_or_else(unsupported)?;
    let (first, rest) = class(inside).ok_or_else(unsupported)?;
    if rest == "+" {
        return Ok(quote!(!value.is_empty() && value.bytes().all(|byte| matches!(byte, #first))));
    }
    let (others, rest) = class(rest).ok_or_else(unsupported)?;
    if rest != "*" {
        return Err(unsupported());
    }
    Ok(quote! {
        value.bytes().next().is_some_and(|byte| matches!(byte, #first))
            && value.bytes().skip(1).all(|byte| matches!(byte, #others))
    })
}

/// Reads a class of ASCII characters at the start of a pattern. Returns it as a Rust pattern, and the rest.
fn class(pattern: &str) -> Option<(TokenStream, &str)> {
    let (class, rest) = pattern.strip_prefix('[')?.split_once(']')?;
    if class.is_empty() || class.starts_with('^') || class.contains('\\') || !class.is_ascii() {
        return None;
    }
    let bytes = class.as_bytes();
    let (mut at, mut parts) = (0, Vec::new());
    while let Some(&from) = bytes.get(at) {
        // A hyphen at either end of a class stands for itself.
        match (bytes.get(at + 1), bytes.get(at + 2)) {
            (Some(b'-'), Some(&to)) if from != b'-' => {
                let (from, to) = (byte(from), byte(to));
                parts.push(quote!(#from..=#to));
                at += 3;
            }
            _ => {
                let from = byte(from);
                parts.push(quote!(#from));
                at += 1;
            }
        }
    }
    Some((quote!(#(#parts)|*), rest))
}

fn byte(byte: u8) -> TokenStream {
    syn::LitByte::new(byte, proc_macro2::Span::call_site()).into_token_stream()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_pattern_becomes_a_comparison() {
        let shown = |pattern| comparison(pattern).unwrap().to_string();
        assert_eq!(
            shown("^[a-zA-Z0-9_-]+$"),
            "! value . is_empty () && value . bytes () . all (| byte | matches ! (byte , b'a' ..= b'z' | b'A' ..= b'Z' | \
             b'0' ..= b'9' | b'_' | b'-'))"
        );
        assert!(shown("^[A-Z~-][a.]*$").contains("matches ! (byte , b'A' ..= b'Z' | b'~' | b'-')"));
    }

    #[test]
    fn any_other_pattern_is_refused() {
        for pattern in
            ["", "abc", "^abc$", "^[a-z]$", "^[^a]+$", "^[a-z]+", "^[a-z]+|x$", "^[\\w]+$", "^[a][b]?$", "^[ä]+$"]
        {
            assert!(comparison(pattern).is_err(), "{pattern}");
        }
    }
}
