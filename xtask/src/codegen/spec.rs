//! Loads and checks a spec. An error names the file, the position in it and the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use openapiv3::OpenAPI;
use regress::Regex;
use serde_json::Value;

use crate::vendors::Vendor;

/// Ids that no pattern of an id in a path may accept.
const HOSTILE_IDS: [&str; 9] = ["", ".", "..", "a/b", "%2e%2e", "a?b", "a#b", "a\0", "a\r\n"];

/// A spec that has passed every check.
pub(super) struct Spec {
    /// The path, relative to the workspace.
    pub(super) path: PathBuf,
    /// The bytes, for the fingerprint.
    pub(super) source: Vec<u8>,
    /// The content without extensions, which would make equal schemas look different to the generator.
    pub(super) document: OpenAPI,
    /// The ids of the operations with an optional body.
    pub(super) optional_bodies: BTreeSet<String>,
}

/// Reads and checks a vendor's spec.
pub(super) fn load(root: &Path, vendor: Vendor) -> Result<Spec> {
    let path = vendor.spec();
    let source = fs::read(root.join(&path)).with_context(|| format!("{}: cannot read the spec", path.display()))?;
    let (document, optional_bodies) =
        check(&source).map_err(|error| error.context(format!("{}: the spec is not valid", path.display())))?;
    Ok(Spec { path, source, document, optional_bodies })
}

fn check(source: &[u8]) -> Result<(OpenAPI, BTreeSet<String>)> {
    // A parse error names its line and column.
    let mut yaml: serde_yaml_ng::Value = serde_yaml_ng::from_slice(source).context("not valid YAML")?;
    yaml.apply_merge().context("cannot apply a merge key")?;
    let mut json: Value = serde_json::to_value(yaml).context("not representable as JSON")?;

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
    walk(json, &mut |pointer, node| {
        let Some(reference) = node.get("$ref") else {
            return Ok(());
        };
        let Some(reference) = reference.as_str() else { bail!("{pointer}/$ref: must be a text") };
        let Some(target) = reference.strip_prefix('#') else {
            bail!("{pointer}/$ref: {reference} points to another file; define it in this file");
        };
        if json.pointer(target).is_none() {
            bail!("{pointer}/$ref: {reference} does not exist");
        }
        Ok(())
    })
}

/// Checks that every `x-provenance` has a note and a source that `specs/README.md` explains.
fn check_provenance(json: &Value) -> Result<()> {
    walk(json, &mut |pointer, node| {
        let Some(provenance) = node.get("x-provenance") else {
            return Ok(());
        };
        let source = provenance.get("source").and_then(Value::as_str);
        if !matches!(source, Some("D" | "G" | "N" | "T" | "assumed")) {
            bail!("{pointer}/x-provenance/source: must be D, G, N, T or assumed");
        }
        if provenance.get("note").and_then(Value::as_str).is_none_or(str::is_empty) {
            bail!("{pointer}/x-provenance/note: is missing; say why");
        }
        // In YAML, a comma in a note without quotes starts another field.
        let names = provenance.as_object().into_iter().flat_map(|fields| fields.keys());
        if let Some(unknown) = names.into_iter().find(|name| !matches!(name.as_str(), "source" | "note")) {
            bail!("{pointer}/x-provenance: has the unknown field {unknown:?}; quote the note if it has a comma");
        }
        Ok(())
    })
}

/// Checks every operation. Returns the ids of those with an optional body.
fn check_operations(json: &Value) -> Result<BTreeSet<String>> {
    let mut seen = BTreeMap::new();
    let mut optional_bodies = BTreeSet::new();
    let Some(paths) = json.get("paths").and_then(Value::as_object) else { bail!("/paths: must be an object") };
    for (path, item) in paths {
        let Some(item) = item.as_object() else { bail!("/paths/{}: must be an object", escape(path)) };
        for (method, operation) in item {
            if !matches!(method.as_str(), "get" | "put" | "post" | "delete" | "patch" | "head" | "options" | "trace") {
                continue;
            }
            let pointer = format!("/paths/{}/{method}", escape(path));
            let Some(id) = operation.get("operationId").and_then(Value::as_str) else {
                bail!("{pointer}/operationId: is missing");
            };
            if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                bail!("{pointer}/operationId: {id:?} must be snake_case, because it becomes the name of a Rust method");
            }
            if let Some(first) = seen.insert(id.to_owned(), pointer.clone()) {
                bail!("{pointer}/operationId: {first} already uses {id}");
            }
            if operation.get("x-vendor-operation").and_then(Value::as_str).is_none() {
                bail!("{pointer}/x-vendor-operation: is missing; name the vendor's own method");
            }
            check_errors(json, &pointer, operation)?;
            check_path_parameters(json, &pointer, path, item.get("parameters"), operation.get("parameters"))?;
            if operation.get("requestBody").is_some_and(|body| body.get("required") != Some(&Value::Bool(true))) {
                optional_bodies.insert(id.to_owned());
            }
        }
    }
    Ok(optional_bodies)
}

/// Checks that all failures of an operation have the same schema, because the generator takes only one.
fn check_errors(json: &Value, pointer: &str, operation: &Value) -> Result<()> {
    let Some(responses) = operation.get("responses").and_then(Value::as_object) else {
        bail!("{pointer}/responses: is missing");
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
                bail!("{pointer}/responses/{status}: differs from {other}; use one error schema per operation");
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Checks that every id in a path has a pattern and a length. Clients check the id before they build a URL.
fn check_path_parameters(
    json: &Value,
    pointer: &str,
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
            bail!("{pointer}/parameters: the path's {{{name}}} is not declared");
        };
        let schema = resolve(json, schema);
        for limit in ["pattern", "minLength", "maxLength"] {
            if schema.get(limit).is_none() {
                bail!("{pointer}/parameters: {{{name}}} has no {limit}; without it an id could reach another path");
            }
        }
        let pattern = schema.get("pattern").and_then(Value::as_str).unwrap_or_default();
        let pattern = Regex::new(pattern)
            .map_err(|why| anyhow!("{pointer}/parameters: the pattern of {{{name}}} is not valid: {why}"))?;
        if let Some(hostile) = HOSTILE_IDS.iter().find(|id| pattern.find(id).is_some()) {
            bail!(
                "{pointer}/parameters: the pattern of {{{name}}} accepts {hostile:?}, which could reach another path"
            );
        }
    }
    Ok(())
}

/// Checks that secrets are texts, and that every object in an answer keeps undocumented fields.
fn check_schemas(json: &Value) -> Result<()> {
    walk(json, &mut |pointer, node| {
        if node.get("format").and_then(Value::as_str) == Some("password")
            && (node.get("type").and_then(Value::as_str) != Some("string") || node.get("nullable").is_some())
        {
            bail!("{pointer}: a secret (format: password) must be a plain string");
        }
        Ok(())
    })?;
    let mut visited = BTreeSet::new();
    walk(json, &mut |pointer, node| {
        let schema = node.pointer("/content/application~1json/schema");
        let is_response = pointer.rsplit('/').nth(1) == Some("responses");
        match schema.filter(|_| is_response) {
            Some(schema) => {
                let pointer = format!("{pointer}/content/application~1json/schema");
                check_received(json, &pointer, schema, &mut visited)
            }
            None => Ok(()),
        }
    })
}

/// Checks a schema of an answer and all schemas inside it. `visited` holds the references that it has followed.
fn check_received(json: &Value, pointer: &str, schema: &Value, visited: &mut BTreeSet<String>) -> Result<()> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = reference.trim_start_matches('#');
        return match json.pointer(target) {
            Some(schema) if visited.insert(reference.to_owned()) => check_received(json, target, schema, visited),
            _ => Ok(()),
        };
    }
    let is_object = schema.get("type").and_then(Value::as_str) == Some("object") || schema.get("properties").is_some();
    // The generator drops unknown fields for `true` as well as for `false`.
    if is_object && !schema.get("additionalProperties").is_some_and(Value::is_object) {
        bail!("{pointer}/additionalProperties: must be a schema, so that the client keeps unknown fields");
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(schema) = schema.get(keyword) {
            check_received(json, &format!("{pointer}/{keyword}"), schema, visited)?;
        }
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for (at, schema) in schema.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate() {
            check_received(json, &format!("{pointer}/{keyword}/{at}"), schema, visited)?;
        }
    }
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        check_received(json, &format!("{pointer}/properties/{}", escape(name)), schema, visited)?;
    }
    Ok(())
}

fn resolve<'a>(json: &'a Value, node: &'a Value) -> &'a Value {
    let reference = node.get("$ref").and_then(Value::as_str);
    reference.and_then(|reference| json.pointer(reference.trim_start_matches('#'))).unwrap_or(node)
}

/// Calls `check` with every node and its JSON pointer.
fn walk(json: &Value, check: &mut impl FnMut(&str, &Value) -> Result<()>) -> Result<()> {
    fn step(pointer: &mut String, node: &Value, check: &mut impl FnMut(&str, &Value) -> Result<()>) -> Result<()> {
        check(pointer, node)?;
        let length = pointer.len();
        let named = node.as_object().into_iter().flatten().map(|(name, child)| (escape(name), child));
        let counted = node.as_array().into_iter().flatten().enumerate().map(|(at, child)| (at.to_string(), child));
        for (name, child) in named.chain(counted) {
            pointer.push('/');
            pointer.push_str(&name);
            step(pointer, child, check)?;
            pointer.truncate(length);
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
                    // These names are fields of a schema, even if one starts with `x-`.
                    Value::Object(fields) if name == "properties" => fields.values_mut().for_each(strip_extensions),
                    child => strip_extensions(child),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip_extensions),
        _ => {}
    }
}

/// Escapes a name for a JSON pointer.
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
