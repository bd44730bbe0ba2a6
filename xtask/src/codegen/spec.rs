//! Loading a spec, and refusing a wrong one with its file, the place in it, and the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use openapiv3::OpenAPI;
use regress::Regex;
use serde_json::Value;

use crate::providers::Provider;

/// What no id in a path may be.
const HOSTILE_IDS: [&str; 9] = ["", ".", "..", "a/b", "%2e%2e", "a?b", "a#b", "a\0", "a\r\n"];

/// A spec that has passed every check.
pub(super) struct Spec {
    /// Its path from the workspace's root.
    pub(super) path: PathBuf,
    /// Its bytes, for the fingerprint.
    pub(super) source: Vec<u8>,
    /// Its content without extensions, which are for readers and would only hide equal schemas from the generator.
    pub(super) document: OpenAPI,
    /// The ids of the operations whose body may be left out.
    pub(super) optional_bodies: BTreeSet<String>,
}

/// Reads and checks a provider's spec.
pub(super) fn load(root: &Path, provider: Provider) -> Result<Spec> {
    let path = provider.spec();
    let source = fs::read(root.join(&path)).with_context(|| format!("{}: cannot be read", path.display()))?;
    let (document, optional_bodies) =
        check(&source).map_err(|refusal| refusal.context(format!("{}: refused", path.display())))?;
    Ok(Spec { path, source, document, optional_bodies })
}

fn check(source: &[u8]) -> Result<(OpenAPI, BTreeSet<String>)> {
    // A parse error says its line and column.
    let mut yaml: serde_yaml_ng::Value = serde_yaml_ng::from_slice(source).context("not valid YAML")?;
    yaml.apply_merge().context("a merge key cannot be applied")?;
    let mut json: Value = serde_json::to_value(yaml).context("not a document that JSON could hold")?;

    check_version(&json)?;
    check_references(&json)?;
    check_provenance(&json)?;
    let optional_bodies = check_operations(&json)?;
    check_schemas(&json)?;

    strip_extensions(&mut json);
    let document = serde_path_to_error::deserialize(&json)
        .map_err(|error| anyhow!("{}: {}", pointer_of(error.path()), error.inner()))?;
    Ok((document, optional_bodies))
}

fn check_version(json: &Value) -> Result<()> {
    match json.get("openapi").and_then(Value::as_str) {
        Some(version) if version.starts_with("3.0.") => Ok(()),
        Some(version) => bail!("/openapi: version {version} is not supported; write OpenAPI 3.0.3"),
        None => bail!("/openapi: the version is missing; write OpenAPI 3.0.3"),
    }
}

fn check_references(json: &Value) -> Result<()> {
    walk(json, &mut |place, node| {
        let Some(reference) = node.get("$ref") else {
            return Ok(());
        };
        let Some(reference) = reference.as_str() else { bail!("{place}/$ref: has to be a text") };
        let Some(target) = reference.strip_prefix('#') else {
            bail!("{place}/$ref: {reference} leads out of this file");
        };
        if json.pointer(target).is_none() {
            bail!("{place}/$ref: there is no {reference}");
        }
        Ok(())
    })
}

/// Whatever says where it comes from, says so in words that `specs/README.md` explains.
fn check_provenance(json: &Value) -> Result<()> {
    walk(json, &mut |place, node| {
        let Some(provenance) = node.get("x-provenance") else {
            return Ok(());
        };
        let source = provenance.get("source").and_then(Value::as_str);
        if !matches!(source, Some("D" | "G" | "N" | "T" | "assumed")) {
            bail!("{place}/x-provenance/source: has to be D, G, N, T or assumed");
        }
        if provenance.get("note").and_then(Value::as_str).is_none_or(str::is_empty) {
            bail!("{place}/x-provenance/note: has to say why");
        }
        // A comma in a note without quotes begins a field of its own.
        let names = provenance.as_object().into_iter().flat_map(|fields| fields.keys());
        if let Some(odd) = names.into_iter().find(|name| !matches!(name.as_str(), "source" | "note")) {
            bail!("{place}/x-provenance: has a field {odd:?}; quote the note if it has a comma");
        }
        Ok(())
    })
}

/// Checks every operation, and returns the ids of those whose body may be left out.
fn check_operations(json: &Value) -> Result<BTreeSet<String>> {
    let mut seen = BTreeMap::new();
    let mut optional_bodies = BTreeSet::new();
    let Some(paths) = json.get("paths").and_then(Value::as_object) else { bail!("/paths: has to be an object") };
    for (path, item) in paths {
        let Some(item) = item.as_object() else { bail!("/paths/{}: has to be an object", escape(path)) };
        for (method, operation) in item {
            if !matches!(method.as_str(), "get" | "put" | "post" | "delete" | "patch" | "head" | "options" | "trace") {
                continue;
            }
            let place = format!("/paths/{}/{method}", escape(path));
            let Some(id) = operation.get("operationId").and_then(Value::as_str) else {
                bail!("{place}/operationId: is missing");
            };
            if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                bail!("{place}/operationId: {id:?} has to be snake_case, as the Rust method will be");
            }
            if let Some(first) = seen.insert(id.to_owned(), place.clone()) {
                bail!("{place}/operationId: {id} is taken by {first}");
            }
            if operation.get("x-vendor-operation").and_then(Value::as_str).is_none() {
                bail!("{place}/x-vendor-operation: has to name the vendor's own method");
            }
            check_errors(json, &place, operation)?;
            check_path_parameters(json, &place, path, item.get("parameters"), operation.get("parameters"))?;
            if operation.get("requestBody").is_some_and(|body| body.get("required") != Some(&Value::Bool(true))) {
                optional_bodies.insert(id.to_owned());
            }
        }
    }
    Ok(optional_bodies)
}

/// The generator takes a single error type an operation.
fn check_errors(json: &Value, place: &str, operation: &Value) -> Result<()> {
    let Some(responses) = operation.get("responses").and_then(Value::as_object) else {
        bail!("{place}/responses: are missing");
    };
    let mut first: Option<(&str, Option<&Value>)> = None;
    for (status, response) in responses {
        if status.starts_with('2') {
            continue;
        }
        let schema = resolve(json, response).pointer("/content/application~1json/schema");
        match first {
            None => first = Some((status, schema)),
            Some((other, expected)) if expected != schema => {
                bail!("{place}/responses/{status}: has another schema than {other}; one error type an operation");
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// An id that stands in a path is checked before a URL is built, so it needs a pattern and a length.
fn check_path_parameters(
    json: &Value,
    place: &str,
    path: &str,
    shared: Option<&Value>,
    own: Option<&Value>,
) -> Result<()> {
    let declared = [shared, own].into_iter().flatten().filter_map(Value::as_array).flatten();
    let declared: Vec<&Value> = declared.map(|parameter| resolve(json, parameter)).collect();
    for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
        let parameter = declared.iter().find(|parameter| {
            parameter.get("name").and_then(Value::as_str) == Some(name)
                && parameter.get("in").and_then(Value::as_str) == Some("path")
        });
        let Some(schema) = parameter.and_then(|parameter| parameter.get("schema")) else {
            bail!("{place}/parameters: {{{name}}} of the path is not declared");
        };
        let schema = resolve(json, schema);
        for limit in ["pattern", "minLength", "maxLength"] {
            if schema.get(limit).is_none() {
                bail!("{place}/parameters: {{{name}}} has no {limit}; an unchecked id can reach another path");
            }
        }
        let pattern = schema.get("pattern").and_then(Value::as_str).unwrap_or_default();
        let pattern = Regex::new(pattern).map_err(|why| anyhow!("{place}/parameters: {{{name}}}'s pattern: {why}"))?;
        if let Some(hostile) = HOSTILE_IDS.iter().find(|id| pattern.find(id).is_some()) {
            bail!("{place}/parameters: {{{name}}}'s pattern lets {hostile:?} through, which can reach another path");
        }
    }
    Ok(())
}

/// Secrets are texts, and what a client receives keeps the fields that nobody documented.
fn check_schemas(json: &Value) -> Result<()> {
    walk(json, &mut |place, node| {
        if node.get("format").and_then(Value::as_str) == Some("password")
            && (node.get("type").and_then(Value::as_str) != Some("string") || node.get("nullable").is_some())
        {
            bail!("{place}: a secret (format: password) has to be a plain string");
        }
        Ok(())
    })?;
    let mut seen = BTreeSet::new();
    walk(json, &mut |place, node| {
        let schema = node.pointer("/content/application~1json/schema");
        let is_response = place.rsplit('/').nth(1) == Some("responses");
        match schema.filter(|_| is_response) {
            Some(schema) => {
                let place = format!("{place}/content/application~1json/schema");
                check_received(json, &place, schema, &mut seen)
            }
            None => Ok(()),
        }
    })
}

/// Checks a schema that an answer may have, and all below it. `seen` are the references that were followed already.
fn check_received(json: &Value, place: &str, schema: &Value, seen: &mut BTreeSet<String>) -> Result<()> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = reference.trim_start_matches('#');
        return match json.pointer(target) {
            Some(schema) if seen.insert(reference.to_owned()) => check_received(json, target, schema, seen),
            _ => Ok(()),
        };
    }
    let is_object = schema.get("type").and_then(Value::as_str) == Some("object") || schema.get("properties").is_some();
    // The generator drops the unknown fields of `true` as it does those of `false`.
    if is_object && !schema.get("additionalProperties").is_some_and(Value::is_object) {
        bail!("{place}/additionalProperties: has to be a schema, so that unknown fields are kept");
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(schema) = schema.get(keyword) {
            check_received(json, &format!("{place}/{keyword}"), schema, seen)?;
        }
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for (at, schema) in schema.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate() {
            check_received(json, &format!("{place}/{keyword}/{at}"), schema, seen)?;
        }
    }
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        check_received(json, &format!("{place}/properties/{}", escape(name)), schema, seen)?;
    }
    Ok(())
}

fn resolve<'a>(json: &'a Value, node: &'a Value) -> &'a Value {
    let reference = node.get("$ref").and_then(Value::as_str);
    reference.and_then(|reference| json.pointer(reference.trim_start_matches('#'))).unwrap_or(node)
}

/// Calls `check` on every node with its JSON pointer.
fn walk(json: &Value, check: &mut impl FnMut(&str, &Value) -> Result<()>) -> Result<()> {
    fn step(place: &mut String, node: &Value, check: &mut impl FnMut(&str, &Value) -> Result<()>) -> Result<()> {
        check(place, node)?;
        let length = place.len();
        let named = node.as_object().into_iter().flatten().map(|(name, child)| (escape(name), child));
        let counted = node.as_array().into_iter().flatten().enumerate().map(|(at, child)| (at.to_string(), child));
        for (name, child) in named.chain(counted) {
            place.push('/');
            place.push_str(&name);
            step(place, child, check)?;
            place.truncate(length);
        }
        Ok(())
    }
    step(&mut String::new(), json, check)
}

fn strip_extensions(node: &mut Value) {
    match node {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.starts_with("x-"));
            for (name, child) in fields {
                match child {
                    // The names here are a schema's fields, whatever they begin with.
                    Value::Object(fields) if name == "properties" => fields.values_mut().for_each(strip_extensions),
                    child => strip_extensions(child),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip_extensions),
        _ => {}
    }
}

/// A name as it stands in a JSON pointer.
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escape(key)),
            Segment::Enum { variant } => format!("/{}", escape(variant)),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}
