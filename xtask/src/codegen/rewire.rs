//! Points generated code at our runtime, and closes what a caller must not reach.
//!
//! The generator writes against `progenitor_client`. Its error type prints undecodable bodies, a create's among them; its
//! constructors make HTTP clients that follow redirects; it knows no optional bodies. Each is mended at the one place in
//! the syntax tree where it shows, and a place that is not found is an error: a new generator version must not undo a
//! mend in silence.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use quote::format_ident;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Expr, ExprCall, ExprMethodCall, FieldValue, ImplItem, ImplItemFn, Item, ItemImpl, Member, Path, UseTree,
    parse_quote,
};

/// Rewires a client. `optional_bodies` names the operations whose body may be left out.
pub(super) fn client(file: &mut syn::File, optional_bodies: &BTreeSet<String>) -> Result<()> {
    seal_constructors(file)?;
    let mut rewire = Rewire { optional_bodies, operation: None, seen: Seen::default() };
    rewire.visit_file_mut(file);
    let Seen { runtime_paths, undocumented, defaulted, bodies_left_out } = rewire.seen;
    ensure!(runtime_paths >= 2, "the generated client does not import progenitor_client where it used to");
    ensure!(undocumented > 0, "the generated client does not answer undocumented statuses as it used to");
    ensure!(defaulted > 0, "the generated builders do not insist on unknown fields where they used to");
    ensure!(
        bodies_left_out == *optional_bodies,
        "the generated client does not send optional bodies as it used to: {optional_bodies:?}"
    );
    Ok(())
}

/// Rewires mocks: secrets in the values that they match and answer with are written in plain text.
pub(super) fn mocks(file: &mut syn::File) -> Result<()> {
    let mut expose = ExposeSecrets { exposed: 0 };
    expose.visit_file_mut(file);
    ensure!(expose.exposed > 0, "the generated mocks do not write values as they used to");
    Ok(())
}

/// Drops `Client::new`, which makes a redirecting HTTP client, and keeps `Client::new_with_client` inside the crate, whose
/// hand-written constructors hand it a hardened one.
fn seal_constructors(file: &mut syn::File) -> Result<()> {
    let mut sealed = 0;
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
                sealed += 1;
            }
        }
    }
    ensure!(sealed == 1, "the generated client has no `new_with_client` where it used to");
    Ok(())
}

struct Rewire<'a> {
    optional_bodies: &'a BTreeSet<String>,
    /// The operation, in PascalCase, whose builder is being visited.
    operation: Option<String>,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
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

    /// `use progenitor_client::{…}` becomes an import of our runtime.
    fn visit_use_tree_mut(&mut self, tree: &mut UseTree) {
        if let UseTree::Path(path) = tree
            && path.ident == "progenitor_client"
        {
            let names = &path.tree;
            *tree = parse_quote!(api_keyring_transport::runtime::#names);
            self.seen.runtime_paths += 1;
        }
    }

    /// `progenitor_client::QueryParam` becomes our runtime's.
    fn visit_path_mut(&mut self, path: &mut Path) {
        if path.segments.first().is_some_and(|first| first.ident == "progenitor_client") {
            let rest = path.segments.iter().skip(1);
            *path = parse_quote!(::api_keyring_transport::runtime #(::#rest)*);
        }
        visit_mut::visit_path_mut(self, path);
    }

    /// `Error::UnexpectedResponse(response)` keeps an unread answer; ours reads it, up to the limit.
    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        visit_mut::visit_expr_mut(self, expression);
        let Expr::Call(ExprCall { func, args, .. }) = expression else {
            return;
        };
        let Expr::Path(function) = &**func else { return };
        if function.path.segments.last().is_some_and(|last| last.ident == "UnexpectedResponse") {
            *expression = parse_quote!(Error::undocumented_status(#args).await);
            self.seen.undocumented += 1;
        }
    }

    /// A builder of a type that keeps unknown fields does not insist on being given some.
    fn visit_field_value_mut(&mut self, field: &mut FieldValue) {
        visit_mut::visit_field_value_mut(self, field);
        let Expr::Call(ExprCall { func, .. }) = &field.expr else { return };
        let fails = matches!(&**func, Expr::Path(function) if function.path.is_ident("Err"));
        if fails && matches!(&field.member, Member::Named(name) if name == "extra") {
            field.expr = parse_quote!(Ok(::std::default::Default::default()));
            self.seen.defaulted += 1;
        }
    }

    /// `.json(&body)` of an optional body sends none where there is nothing to say.
    fn visit_expr_method_call_mut(&mut self, call: &mut ExprMethodCall) {
        visit_mut::visit_expr_method_call_mut(self, call);
        if call.method == "json"
            && let Some(operation) = &self.operation
        {
            call.method = format_ident!("json_unless_empty");
            self.seen.bodies_left_out.insert(operation.clone());
        }
    }
}

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
