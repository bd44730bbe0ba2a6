//! Makes generated types decode field by field.
//!
//! The code that serde derives decodes an object as a whole: it turns every undocumented field into a tree of values,
//! which needs up to a hundred times the memory of its text, and one value that it cannot turn costs the whole object.
//! This module replaces the derived code by calls of the macros in `api_keyring_transport`, whose types keep such
//! fields as text.

use anyhow::{Result, ensure};
use quote::{ToTokens as _, quote};
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Field, Fields, GenericArgument, Item, ItemEnum, ItemMod, ItemStruct, LitStr, Meta, Path, PathArguments,
    Token, Type, parse_quote,
};

/// Replaces the derived decoding of a client's types.
pub(super) fn rewire(file: &mut syn::File) -> Result<()> {
    let mut maps = KeepText { maps: 0 };
    maps.visit_file_mut(file);
    ensure!(maps.maps > 0, "cannot find where the generated types keep undocumented fields; adapt decoding.rs");
    let mut decode = Decode { objects: 0, error: None };
    decode.visit_file_mut(file);
    decode.error.map_or(Ok(()), Err)?;
    ensure!(decode.objects > 0, "cannot find the generated types of objects; adapt decoding.rs");
    Ok(())
}

/// Keeps undocumented fields in the mocks' types as well.
pub(super) fn keep_text(file: &mut syn::File) {
    KeepText { maps: 0 }.visit_file_mut(file);
}

/// Replaces maps of undocumented fields by types that keep their text.
struct KeepText {
    maps: usize,
}

impl VisitMut for KeepText {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        visit_mut::visit_type_mut(self, ty);
        let Some(value) = map_value(ty) else { return };
        *ty = match value.as_str() {
            "RawJson" => parse_quote!(::api_keyring_transport::RawFields),
            "SecretFields" => parse_quote!(::api_keyring_transport::SecretFields),
            _ => return,
        };
        self.maps += 1;
    }
}

/// Returns the name of a map's values.
fn map_value(ty: &Type) -> Option<String> {
    let Type::Path(path) = ty else { return None };
    let map = path.path.segments.last().filter(|last| last.ident == "BTreeMap")?;
    let PathArguments::AngleBracketed(arguments) = &map.arguments else { return None };
    match arguments.args.last()? {
        GenericArgument::Type(Type::Path(value)) => Some(value.path.segments.last()?.ident.to_string()),
        _ => None,
    }
}

struct Decode {
    objects: usize,
    error: Option<anyhow::Error>,
}

impl VisitMut for Decode {
    fn visit_item_mod_mut(&mut self, module: &mut ItemMod) {
        visit_mut::visit_item_mod_mut(self, module);
        let Some((_, items)) = &mut module.content else { return };
        let mut rewired = Vec::with_capacity(items.len());
        for mut item in std::mem::take(items) {
            let decoding = match &mut item {
                Item::Struct(object) => self.object(object),
                Item::Enum(forms) => one_of(forms),
                _ => None,
            };
            rewired.push(item);
            rewired.extend(decoding);
        }
        *items = rewired;
    }
}

impl Decode {
    /// Returns the decoding of an object that keeps undocumented fields.
    fn object(&mut self, object: &mut ItemStruct) -> Option<Item> {
        let Fields::Named(fields) = &object.fields else { return None };
        let extra = fields.named.iter().find(|field| has_serde(&field.attrs, "flatten"))?;
        let Type::Path(extra) = &extra.ty else { return None };
        let extra = &extra.path.segments.last()?.ident;
        if !takes_derive(&mut object.attrs, "Deserialize") {
            return None;
        }
        let (mut required, mut rows, mut secret, mut optional) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for field in fields.named.iter().filter(|field| !has_serde(&field.attrs, "flatten")) {
            let entry = match named(field) {
                Ok(entry) => entry,
                Err(error) => {
                    self.error = Some(error);
                    return None;
                }
            };
            let ty = field.ty.to_token_stream().to_string();
            let group = match () {
                () if !is_optional(field) => &mut required,
                () if ty.contains(":: Rows") => &mut rows,
                () if ty.contains(":: Secret") => &mut secret,
                () => &mut optional,
            };
            group.push(entry);
        }
        let name = &object.ident;
        let odd = if name.to_string().starts_with("Error") {
            quote!(Refused)
        } else if extra == "SecretFields" {
            quote!(AllKept)
        } else {
            quote!(Kept)
        };
        self.objects += 1;
        Some(parse_quote! {
            ::api_keyring_transport::decode_object! {
                #name, #odd, #extra,
                required { #(#required,)* }
                rows { #(#rows,)* }
                secret { #(#secret,)* }
                optional { #(#optional,)* }
            }
        })
    }
}

/// Returns the decoding of a value with several forms.
fn one_of(forms: &mut ItemEnum) -> Option<Item> {
    if !has_serde(&forms.attrs, "untagged") || !takes_derive(&mut forms.attrs, "Deserialize") {
        return None;
    }
    let name = &forms.ident;
    let variants = forms.variants.iter().map(|variant| {
        let (form, fields) = (&variant.ident, &variant.fields);
        quote!(#form #fields)
    });
    Some(parse_quote!(::api_keyring_transport::decode_one_of! { #name { #(#variants,)* } }))
}

/// Returns a field's name in JSON and in Rust, as the macros take it.
fn named(field: &Field) -> Result<proc_macro2::TokenStream> {
    let Some(ident) = &field.ident else { anyhow::bail!("a generated field has no name; adapt decoding.rs") };
    let mut name = ident.to_string();
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") {
                name = meta.value()?.parse::<LitStr>()?.value();
            } else if meta.input.peek(Token![=]) {
                meta.value()?.parse::<LitStr>()?;
            }
            Ok(())
        })?;
    }
    Ok(quote!(#name => #ident))
}

/// Returns whether a field may be missing. The generator marks a field that may be null but not missing.
fn is_optional(field: &Field) -> bool {
    let is_option = matches!(&field.ty, Type::Path(path) if last_is(&path.path, "Option"));
    (is_option && !has_serde(&field.attrs, "deserialize_with")) || has_serde(&field.attrs, "default")
}

fn last_is(path: &Path, name: &str) -> bool {
    path.segments.last().is_some_and(|last| last.ident == name)
}

/// Returns whether an item has this word in a `serde` attribute.
fn has_serde(attributes: &[Attribute], word: &str) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("serde")).any(|attribute| {
        let Ok(metas) = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else {
            return false;
        };
        metas.iter().any(|meta| meta.path().is_ident(word))
    })
}

/// Removes a trait from the derived ones. Returns whether it was there.
fn takes_derive(attributes: &mut [Attribute], name: &str) -> bool {
    for attribute in attributes.iter_mut().filter(|attribute| attribute.path().is_ident("derive")) {
        let Ok(derived) = attribute.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated) else {
            continue;
        };
        let kept: Vec<&Path> = derived.iter().filter(|path| !last_is(path, name)).collect();
        if kept.len() < derived.len() {
            *attribute = parse_quote!(#[derive(#(#kept),*)]);
            return true;
        }
    }
    false
}
