//! The facade's public signatures hold no type of a raw crate: a vendor that changes its API must not change ours.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Fields, ImplItem, Item, ItemImpl, ItemUse, TraitItem, UseTree, Visibility};

#[test]
fn no_public_signature_of_the_facade_names_a_raw_crate() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("crates/keyring/src");
    let mut importing = 0;
    for path in rust_files(&source) {
        let found = Search::through(&fs::read_to_string(&path).unwrap());
        let at = path.strip_prefix(&source).unwrap();
        assert!(found.leaks.is_empty(), "{}: {:#?}", at.display(), found.leaks);
        if !found.raw.is_empty() {
            importing += 1;
            assert!(
                ["vendor/spartera", "vendor/monad"].iter().any(|adapter| at.starts_with(adapter)),
                "{}: only a vendor's adapter uses its raw crate",
                at.display()
            );
        }
    }
    assert!(importing >= 2, "a search that finds no adapter has found nothing out");
}

#[test]
fn the_search_finds_every_way_to_leak_a_type() {
    for leak in [
        "pub use acme_raw::types::Key;",
        "use acme_raw::types; pub use types::Key;",
        "pub fn key() -> acme_raw::Key { todo!() }",
        "use acme_raw::types; pub fn key(key: Option<&types::Key>) {}",
        "use acme_raw::types::{self as raw, Key as RawKey}; pub type Inner = RawKey;",
        "use acme_raw as raw; pub struct Key { pub inner: raw::Key }",
        "use acme_raw as raw; pub struct Key(pub raw::Key);",
        "use acme_raw as raw; pub enum Key { Acme(raw::Key) }",
        "use acme_raw as raw; pub const KEY: raw::Key = raw::KEY;",
        "use acme_raw as raw; pub trait Keys { fn key(&self) -> raw::Key; }",
        "use acme_raw as raw; pub trait Keys: Into<raw::Key> {}",
        "use acme_raw as raw; pub fn key<K: Into<raw::Key>>(key: K) {}",
        "use acme_raw as raw; struct Key; impl Key { pub fn inner(&self) -> raw::Key { todo!() } }",
        "use acme_raw as raw; struct Key; impl From<raw::Key> for Key { fn from(key: raw::Key) -> Self { Self } }",
        "use acme_raw as raw; struct Key; impl Deref for Key { type Target = raw::Key; }",
        "mod inner { use acme_raw as raw; pub fn key(key: raw::Key) {} }",
    ] {
        assert_eq!(Search::through(leak).leaks.len(), 1, "{leak}");
    }
    for fine in [
        "use acme_raw as raw; fn key() -> raw::Key { todo!() }",
        "use acme_raw as raw; pub(crate) fn key() -> raw::Key { todo!() }",
        "use acme_raw as raw; pub fn key() { raw::key(); }",
        "use acme_raw as raw; pub struct Key { inner: raw::Key }",
        "use acme_raw as raw; struct Key; impl Key { fn inner(&self) -> raw::Key { todo!() } }",
        "pub use acme::Key;",
    ] {
        assert_eq!(Search::through(fine).leaks, [""; 0], "{fine}");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// What of a file is public, and whether a raw crate shows in it.
#[derive(Default)]
struct Search {
    /// The names by which the file speaks of raw crates and what is in them.
    raw: BTreeSet<String>,
    /// Where a public signature uses such a name.
    leaks: Vec<String>,
}

impl Search {
    fn through(source: &str) -> Self {
        let file = syn::parse_file(source).unwrap();
        let mut search = Self::default();
        Imports(&mut search.raw).visit_file(&file);
        search.visit_file(&file);
        search
    }

    /// Reports `name` if `visit` comes upon a raw crate.
    fn check(&mut self, name: impl ToString, visit: impl FnOnce(&mut Paths<'_>)) {
        let mut paths = Paths { raw: &self.raw, found: false };
        visit(&mut paths);
        if paths.found {
            self.leaks.push(name.to_string());
        }
    }
}

impl<'ast> Visit<'ast> for Search {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Fn(item) if is_public(&item.vis) => self.check(&item.sig.ident, |p| p.visit_signature(&item.sig)),
            Item::Type(item) if is_public(&item.vis) => self.check(&item.ident, |p| p.visit_item_type(item)),
            Item::Const(item) if is_public(&item.vis) => self.check(&item.ident, |p| p.visit_type(&item.ty)),
            Item::Static(item) if is_public(&item.vis) => self.check(&item.ident, |p| p.visit_type(&item.ty)),
            Item::Enum(item) if is_public(&item.vis) => self.check(&item.ident, |p| p.visit_item_enum(item)),
            Item::Struct(item) if is_public(&item.vis) => self.check(&item.ident, |p| {
                p.visit_generics(&item.generics);
                p.visit_public_fields(&item.fields);
            }),
            Item::Trait(item) if is_public(&item.vis) => self.check(&item.ident, |p| {
                p.visit_generics(&item.generics);
                item.supertraits.iter().for_each(|bound| p.visit_type_param_bound(bound));
                for item in &item.items {
                    match item {
                        TraitItem::Fn(item) => p.visit_signature(&item.sig),
                        other => p.visit_trait_item(other),
                    }
                }
            }),
            Item::Use(item) if is_public(&item.vis) => self.check("use", |p| p.visit_use_tree(&item.tree)),
            Item::Impl(item) => self.visit_item_impl(item),
            Item::Mod(_) => visit::visit_item(self, item),
            _ => {}
        }
    }

    fn visit_item_impl(&mut self, block: &'ast ItemImpl) {
        if let Some((_, of, _)) = &block.trait_ {
            // A trait's implementation is as public as the type and the trait: taken for public.
            self.check(quote::quote!(#of), |p| {
                p.visit_path(of);
                for item in &block.items {
                    match item {
                        ImplItem::Fn(item) => p.visit_signature(&item.sig),
                        other => p.visit_impl_item(other),
                    }
                }
            });
            return;
        }
        for item in &block.items {
            match item {
                ImplItem::Fn(item) if is_public(&item.vis) => {
                    self.check(&item.sig.ident, |p| p.visit_signature(&item.sig));
                }
                ImplItem::Const(item) if is_public(&item.vis) => self.check(&item.ident, |p| p.visit_type(&item.ty)),
                _ => {}
            }
        }
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_raw_crate(name: &str) -> bool {
    name.ends_with("_raw")
}

/// Collects what a file imports from raw crates.
struct Imports<'a>(&'a mut BTreeSet<String>);

impl Imports<'_> {
    fn collect(&mut self, tree: &UseTree, within: Option<&str>) {
        match tree {
            UseTree::Path(path) if within.is_some() || is_raw_crate(&path.ident.to_string()) => {
                self.collect(&path.tree, Some(&path.ident.to_string()));
            }
            UseTree::Path(path) => self.collect(&path.tree, None),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.collect(tree, within)),
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                if let Some(module) = within {
                    self.0.insert(if name == "self" { module.to_owned() } else { name });
                }
            }
            UseTree::Rename(rename) if within.is_some() || is_raw_crate(&rename.ident.to_string()) => {
                self.0.insert(rename.rename.to_string());
            }
            UseTree::Rename(_) => {}
            UseTree::Glob(_) => assert!(within.is_none(), "a glob hides what comes from a raw crate"),
        }
    }
}

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.collect(&item.tree, None);
    }
}

/// Looks for paths into raw crates.
struct Paths<'a> {
    raw: &'a BTreeSet<String>,
    found: bool,
}

impl Paths<'_> {
    fn look_at(&mut self, first: &syn::Ident) {
        let first = first.to_string();
        self.found |= is_raw_crate(&first) || self.raw.contains(&first);
    }

    fn visit_public_fields(&mut self, fields: &Fields) {
        fields.iter().filter(|field| is_public(&field.vis)).for_each(|field| self.visit_type(&field.ty));
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Some(first) = path.segments.first() {
            self.look_at(&first.ident);
        }
        visit::visit_path(self, path);
    }

    fn visit_use_path(&mut self, path: &'ast syn::UsePath) {
        self.look_at(&path.ident);
    }

    fn visit_use_name(&mut self, name: &'ast syn::UseName) {
        self.look_at(&name.ident);
    }

    fn visit_use_rename(&mut self, rename: &'ast syn::UseRename) {
        self.look_at(&rename.ident);
    }
}
