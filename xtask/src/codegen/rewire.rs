//! Makes generated code call our runtime, and removes what a caller must not use.
//!
//! The generator writes code against `progenitor_client`, which has faults:
//!
//! - Its error type prints a body that it cannot decode, even if that body holds a new key.
//! - Its constructors make HTTP clients that follow redirects.
//! - It has no optional bodies.
//! - It sends a header `api-version`, which no vendor documents.
//! - It parses the base URL again for each request.
//!
//! This module fixes each fault at its place in the syntax tree. It fails if it does not find a place, so a new version
//! of the generator cannot silently remove a fix.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use quote::{ToTokens as _, format_ident};
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Block, Expr, ExprCall, ExprLit, ExprMacro, ExprMethodCall, FieldValue, ImplItem, ImplItemFn, Item, ItemImpl, Lit,
    LitStr, Local, Member, Pat, Path, Stmt, Token, UseTree, parse_quote,
};

/// Rewires a client. `optional_bodies` names the operations with an optional body.
pub(super) fn client(file: &mut syn::File, optional_bodies: &BTreeSet<String>) -> Result<()> {
    restrict_constructors(file)?;
    let mut rewire = Rewire { optional_bodies, operation: None, replaced: Replaced::default() };
    rewire.visit_file_mut(file);
    let Replaced { runtime_paths, undocumented, defaulted, bodies_left_out, urls, headers } = rewire.replaced;
    ensure!(urls > 0 && urls == headers, "cannot find where the generated client makes its requests; adapt rewire.rs");
    ensure!(runtime_paths >= 2, "cannot find where the generated client imports progenitor_client; adapt rewire.rs");
    ensure!(undocumented > 0, "cannot find where the generated client handles undocumented statuses; adapt rewire.rs");
    ensure!(defaulted > 0, "cannot find where the generated builders require unknown fields; adapt rewire.rs");
    ensure!(
        bodies_left_out == *optional_bodies,
        "cannot find where the generated client sends an optional body of {optional_bodies:?}; adapt rewire.rs"
    );
    Ok(())
}

/// Rewires mocks: they match and answer with values whose secrets are in plain text.
pub(super) fn mocks(file: &mut syn::File) -> Result<()> {
    let mut expose = ExposeSecrets { exposed: 0 };
    expose.visit_file_mut(file);
    ensure!(expose.exposed > 0, "cannot find where the generated mocks write values; adapt rewire.rs");
    Ok(())
}

/// Removes `Client::new`, whose HTTP client follows redirects, and makes `Client::new_with_client` private to the
/// crate.
///
/// The crate's hand-written constructors pass a hardened HTTP client to `new_with_client`.
fn restrict_constructors(file: &mut syn::File) -> Result<()> {
    let mut restricted = 0;
    for item in &mut file.items {
        let Item::Impl(ItemImpl { trait_: None, items, .. }) = item else {
            continue;
        };
        items.retain(|item| !matches!(item, ImplItem::Fn(function) if function.sig.ident == "new"));
        for item in items {
            if let ImplItem::Fn(ImplItemFn { sig, vis, .. }) = item
                && sig.ident == "new_with_client"
            {
                *vis = parse_quote!(pub(crate));
                restricted += 1;
            }
        }
    }
    ensure!(restricted == 1, "cannot find `new_with_client` in the generated client; adapt rewire.rs");
    Ok(())
}

struct Rewire<'a> {
    optional_bodies: &'a BTreeSet<String>,
    /// The operation whose builder the visitor is in, if its body is optional.
    operation: Option<String>,
    replaced: Replaced,
}

#[derive(Default)]
/// What the visitor has replaced so far.
struct Replaced {
    runtime_paths: usize,
    undocumented: usize,
    defaulted: usize,
    bodies_left_out: BTreeSet<String>,
    urls: usize,
    headers: usize,
}

impl VisitMut for Rewire<'_> {
    fn visit_item_impl_mut(&mut self, block: &mut ItemImpl) {
        let syn::Type::Path(name) = &*block.self_ty else {
            return visit_mut::visit_item_impl_mut(self, block);
        };
        let name = name.path.segments.last().map(|segment| segment.ident.to_string());
        self.operation = self.optional_bodies.iter().find(|id| Some(pascal_case(id)) == name).cloned();
        visit_mut::visit_item_impl_mut(self, block);
        self.operation = None;
    }

    /// Replaces `use progenitor_client::{…}` with an import of our runtime.
    fn visit_use_tree_mut(&mut self, tree: &mut UseTree) {
        if let UseTree::Path(path) = tree
            && path.ident == "progenitor_client"
        {
            let names = &path.tree;
            *tree = parse_quote!(api_keyring_transport::runtime::#names);
            self.replaced.runtime_paths += 1;
        }
    }

    /// Replaces paths such as `progenitor_client::QueryParam` with paths of our runtime.
    fn visit_path_mut(&mut self, path: &mut Path) {
        if path.segments.first().is_some_and(|first| first.ident == "progenitor_client") {
            let rest = path.segments.iter().skip(1);
            *path = parse_quote!(::api_keyring_transport::runtime #(::#rest)*);
        }
        visit_mut::visit_path_mut(self, path);
    }

    /// Replaces `Error::UnexpectedResponse(response)`, which keeps the answer unread. Ours reads it up to the limit.
    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        visit_mut::visit_expr_mut(self, expression);
        if let Some(replaced) = base_url_in(expression).or_else(|| headers_in(expression)) {
            *expression = replaced;
            return;
        }
        let Expr::Call(ExprCall { func, args, .. }) = expression else {
            return;
        };
        let Expr::Path(function) = &**func else { return };
        if function.path.segments.last().is_some_and(|last| last.ident == "UnexpectedResponse") {
            *expression = parse_quote!(Error::undocumented_status(#args).await);
            self.replaced.undocumented += 1;
        }
    }

    /// Removes the header `api-version`, and counts the places where a URL is made.
    fn visit_block_mut(&mut self, block: &mut Block) {
        let before = block.stmts.len();
        block.stmts.retain(|statement| !is_about_headers(statement));
        // The map is made, and the header is added.
        self.replaced.headers += usize::from(before - block.stmts.len() == 2);
        visit_mut::visit_block_mut(self, block);
        let is_url = |statement: &&Stmt| matches!(statement, Stmt::Local(local) if is_named(local, "url"));
        self.replaced.urls += block.stmts.iter().filter(is_url).count();
    }

    /// Gives unknown fields a default in the builders, which otherwise require them.
    fn visit_field_value_mut(&mut self, field: &mut FieldValue) {
        visit_mut::visit_field_value_mut(self, field);
        let Expr::Call(ExprCall { func, .. }) = &field.expr else { return };
        let fails = matches!(&**func, Expr::Path(function) if function.path.is_ident("Err"));
        if fails && matches!(&field.member, Member::Named(name) if name == "extra") {
            field.expr = parse_quote!(Ok(::std::default::Default::default()));
            self.replaced.defaulted += 1;
        }
    }

    /// Replaces `.json(&body)` of an optional body with a call that sends no empty object.
    fn visit_expr_method_call_mut(&mut self, call: &mut ExprMethodCall) {
        visit_mut::visit_expr_method_call_mut(self, call);
        if call.method == "json"
            && let Some(operation) = &self.operation
        {
            call.method = format_ident!("json_unless_empty");
            self.replaced.bodies_left_out.insert(operation.clone());
        }
    }
}

fn is_named(local: &Local, name: &str) -> bool {
    let pattern = match &local.pat {
        Pat::Type(typed) => &typed.pat,
        pattern => pattern,
    };
    matches!(pattern, Pat::Ident(pattern) if pattern.ident == name)
}

/// Returns whether a statement makes the map of headers, or adds the version to it.
fn is_about_headers(statement: &Stmt) -> bool {
    match statement {
        Stmt::Local(local) => is_named(local, "header_map"),
        Stmt::Expr(Expr::MethodCall(call), _) => {
            matches!(&*call.receiver, Expr::Path(path) if path.path.is_ident("header_map"))
                && call.args.to_token_stream().to_string().contains("\"api-version\"")
        }
        _ => false,
    }
}

/// Returns what replaces a URL that is made of the base URL and a path: only the path is new in each request.
fn base_url_in(expression: &Expr) -> Option<Expr> {
    let Expr::Macro(ExprMacro { mac, .. }) = expression else { return None };
    let arguments = mac.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated).ok()?;
    let mut arguments = arguments.into_iter();
    let Some(Expr::Lit(ExprLit { lit: Lit::Str(format), .. })) = arguments.next() else { return None };
    let path = format.value().strip_prefix("{}").map(|path| LitStr::new(path, format.span()))?;
    let is_base = arguments.next().is_some_and(|base| base.to_token_stream().to_string() == "client . baseurl");
    let ids = arguments.map(id_without_copy);
    is_base.then(|| parse_quote!(client.inner.url(&format!(#path, #(#ids),*))))
}

/// Turns `encode_path(&id.to_string())` into `encode_path(&id)`.
fn id_without_copy(mut expression: Expr) -> Expr {
    if let Expr::Call(ExprCall { args, .. }) = &mut expression
        && let Some(Expr::Reference(reference)) = args.first_mut()
        && let Expr::MethodCall(call) = &*reference.expr
        && call.method == "to_string"
    {
        reference.expr = call.receiver.clone();
    }
    expression
}

/// Returns a request without its map of headers.
fn headers_in(expression: &Expr) -> Option<Expr> {
    let Expr::MethodCall(ExprMethodCall { receiver, method, args, .. }) = expression else { return None };
    let is_map = matches!(args.first(), Some(Expr::Path(path)) if path.path.is_ident("header_map"));
    (method == "headers" && is_map).then(|| (**receiver).clone())
}

/// Replaces the calls that would fail because they serialize a secret.
struct ExposeSecrets {
    exposed: usize,
}

impl VisitMut for ExposeSecrets {
    fn visit_expr_method_call_mut(&mut self, call: &mut ExprMethodCall) {
        visit_mut::visit_expr_method_call_mut(self, call);
        if call.method == "json_body_obj" {
            let value = &call.args;
            call.args = parse_quote!(::api_keyring_transport::exposed_json(#value).expect("the value is valid JSON"));
            call.method = format_ident!("json_body");
            self.exposed += 1;
        }
    }
}

fn pascal_case(snake_case: &str) -> String {
    snake_case.split('_').filter_map(|word| Some((word.chars().next()?, word))).fold(
        String::new(),
        |mut name, (first, word)| {
            name.extend(first.to_uppercase());
            name.push_str(&word[first.len_utf8()..]);
            name
        },
    )
}
