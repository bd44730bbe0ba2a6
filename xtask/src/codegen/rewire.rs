//! Makes generated code call our runtime, and removes what a caller must not use.
//!
//! The generator writes code against `progenitor_client`, which has three faults:
//!
//! - Its error type prints a body that it cannot decode, even if that body holds a new key.
//! - Its constructors make HTTP clients that follow redirects.
//! - It has no optional bodies.
//!
//! This module fixes each fault at its place in the syntax tree. It fails if it does not find a place, so a new version
//! of the generator cannot silently remove a fix.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use quote::format_ident;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Expr, ExprCall, ExprMethodCall, FieldValue, ImplItem, ImplItemFn, Item, ItemImpl, Member, Path, UseTree,
    parse_quote,
};

/// Rewires a client. `optional_bodies` names the operations with an optional body.
pub(super) fn client(file: &mut syn::File, optional_bodies: &BTreeSet<String>) -> Result<()> {
    restrict_constructors(file)?;
    let mut rewire = Rewire { optional_bodies, operation: None, replaced: Replaced::default() };
    rewire.visit_file_mut(file);
    let Replaced { runtime_paths, undocumented, defaulted, bodies_left_out } = rewire.replaced;
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
        let Expr::Call(ExprCall { func, args, .. }) = expression else {
            return;
        };
        let Expr::Path(function) = &**func else { return };
        if function.path.segments.last().is_some_and(|last| last.ident == "UnexpectedResponse") {
            *expression = parse_quote!(Error::undocumented_status(#args).await);
            self.replaced.undocumented += 1;
        }
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
