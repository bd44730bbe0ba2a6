//! Runs `cargo xtask codegen` on a copy of the specs and the generated clients.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use tempfile::TempDir;

/// The files that code generation writes.
const GENERATED: [&str; 4] = [
    "crates/monad-raw/src/generated/client.rs",
    "crates/monad-raw/src/generated/httpmock.rs",
    "crates/spartera-raw/src/generated/client.rs",
    "crates/spartera-raw/src/generated/httpmock.rs",
];

const SPECS: [&str; 2] = ["specs/monad.yaml", "specs/spartera.yaml"];

/// A temporary workspace.
struct Workspace(TempDir);

impl Workspace {
    /// Copies the specs and generated files of this repository.
    fn copy() -> Self {
        let workspace = Self(TempDir::new().unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for file in SPECS.iter().chain(&GENERATED) {
            let path = workspace.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(root.join(file), path).unwrap();
        }
        workspace
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    /// Replaces this text, which the file must contain exactly once.
    #[track_caller]
    fn edit(&self, file: &str, old: &str, new: &str) {
        let text = self.read(file);
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {file}");
        fs::write(self.path(file), text.replacen(old, new, 1)).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("codegen").args(arguments).arg("--root").arg(self.0.path());
        // A backtrace would add lines to the output that the tests read.
        Run::new(command.env_remove("RUST_BACKTRACE").output().unwrap())
    }

    /// Returns every file of the workspace with its bytes and the time of its last change.
    fn snapshot(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let written = fs::metadata(&path).unwrap().modified().unwrap();
                let bytes = fs::read(&path).unwrap();
                files.insert(path, (bytes, written));
            }
        }
        files
    }
}

#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn assert_silent_success(&self) {
        assert_eq!((self.code, &*self.stdout, &*self.stderr), (Some(0), "", ""));
    }
}

#[test]
fn the_generated_files_match_the_specs() {
    let workspace = Workspace::copy();
    let before = workspace.snapshot();
    workspace.run(&["--check"]).assert_silent_success();
    assert_eq!(workspace.snapshot(), before);
}

#[test]
fn check_finds_a_changed_byte_in_every_file() {
    for file in GENERATED {
        let workspace = Workspace::copy();
        let text = workspace.read(file);
        let at = text.len() / 2;
        let at = (at..).find(|at| text.as_bytes()[*at].is_ascii_lowercase()).unwrap();
        let mut bytes = text.into_bytes();
        bytes[at] = bytes[at].to_ascii_uppercase();
        fs::write(workspace.path(file), bytes).unwrap();

        let before = workspace.snapshot();
        let run = workspace.run(&["--check"]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert_is_diff_of(&run, &[file]);
        // The diff removes one line and adds one.
        assert_eq!(changed_lines(&run.stdout, '-').len(), 1, "{}", run.stdout);
        assert_eq!(changed_lines(&run.stdout, '+').len(), 1, "{}", run.stdout);
        assert!(run.stderr.contains("run `cargo xtask codegen`"), "{}", run.stderr);
        assert_eq!(workspace.snapshot(), before, "--check must write nothing");
    }
}

#[test]
fn a_missing_file_is_reported_and_written() {
    let workspace = Workspace::copy();
    let expected = workspace.read(GENERATED[0]);
    fs::remove_dir_all(workspace.path(GENERATED[0]).parent().unwrap()).unwrap();
    let run = workspace.run(&["--check"]);
    assert_eq!(run.code, Some(1));
    assert_is_diff_of(&run, &GENERATED[..2]);
    assert!(!workspace.path(GENERATED[0]).exists());
    assert_eq!(workspace.run(&[]).code, Some(0));
    assert_eq!(workspace.read(GENERATED[0]), expected);
}

#[test]
fn a_new_field_in_a_spec_is_reported_and_written() {
    let workspace = Workspace::copy();
    let field = "        colour:\n          type: string\n          description: The key's colour.\n";
    let anchor = "        token_version:\n";
    workspace.edit(SPECS[0], anchor, &format!("{field}{anchor}"));
    let before = workspace.snapshot();
    let run = workspace.run(&["--check"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    // The mocks change, too, because their header contains the spec's fingerprint.
    assert_is_diff_of(&run, &GENERATED[..2]);
    let added = changed_lines(&run.stdout, '+');
    assert!(added.iter().any(|line| line.contains("pub colour:")), "{}", run.stdout);
    assert_eq!(workspace.snapshot(), before, "--check must write nothing");

    let run = workspace.run(&[]);
    assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
    let wrote = GENERATED[..2].iter().map(|file| format!("wrote {file}\n"));
    assert_eq!(run.stdout, wrote.collect::<String>());
    assert!(workspace.read(GENERATED[0]).contains("pub colour:"));
    workspace.run(&["--check"]).assert_silent_success();
}

#[test]
fn generating_again_changes_nothing() {
    let workspace = Workspace::copy();
    // Empty files, so that the first run has something to write.
    for file in GENERATED {
        fs::write(workspace.path(file), "").unwrap();
    }
    assert_eq!(workspace.run(&[]).code, Some(0));
    let first = workspace.snapshot();
    // Neither bytes nor times change, because a newer file would make cargo rebuild the crate.
    workspace.run(&[]).assert_silent_success();
    assert_eq!(workspace.snapshot(), first);
    let checked_in = Workspace::copy();
    for file in GENERATED {
        assert_eq!(workspace.read(file), checked_in.read(file), "{file}");
    }
}

#[test]
fn the_header_names_the_spec() {
    let workspace = Workspace::copy();
    for (file, spec) in GENERATED.iter().zip([SPECS[0], SPECS[0], SPECS[1], SPECS[1]]) {
        let text = workspace.read(file);
        let lines: Vec<&str> = text.lines().take(3).collect();
        assert!(lines[0].contains("Do not edit"), "{lines:?}");
        assert_eq!(lines[1], format!("// spec: {spec}"));
        let fingerprint = lines[2].strip_prefix("// sha256: ").unwrap();
        assert!(fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

#[test]
fn a_named_vendor_is_generated_alone() {
    let workspace = Workspace::copy();
    for file in GENERATED {
        fs::write(workspace.path(file), "// stale\n").unwrap();
    }
    // A broken spec of the other vendor must not matter.
    fs::write(workspace.path(SPECS[1]), "{").unwrap();
    let run = workspace.run(&["monad", "--check"]);
    assert_eq!(run.code, Some(1));
    assert_is_diff_of(&run, &GENERATED[..2]);
    let run = workspace.run(&["monad"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for file in &GENERATED[..2] {
        assert_ne!(workspace.read(file), "// stale\n", "{file}");
    }
    for file in &GENERATED[2..] {
        assert_eq!(workspace.read(file), "// stale\n", "{file}");
    }
}

#[test]
fn an_invalid_spec_leaves_the_other_client_unchanged() {
    let workspace = Workspace::copy();
    fs::write(workspace.path(GENERATED[0]), "// stale\n").unwrap();
    workspace.edit(SPECS[1], "openapi: 3.0.3", "openapi: 3.1.0");
    let before = workspace.snapshot();
    assert_eq!(workspace.run(&[]).code, Some(1));
    assert_eq!(workspace.snapshot(), before);
}

#[test]
fn an_unknown_vendor_is_a_usage_error() {
    let run = Workspace::copy().run(&["acme"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("monad") && run.stderr.contains("spartera"), "{}", run.stderr);
}

/// Invalid specs: the case, the text to replace, its replacement, the position in the error and the reason in the
/// error.
const INVALID: &[(&str, &str, &str, &str, &str)] = &[
    (
        "an unknown reference",
        "schema: {$ref: '#/components/schemas/ApiKeyList'}",
        "schema: {$ref: '#/components/schemas/ApiKeyLst'}",
        "/paths/~1v2~1{organization_id}~1api_keys/get/responses/200/content/application~1json/schema/$ref",
        "#/components/schemas/ApiKeyLst does not exist",
    ),
    (
        "a reference to another file",
        "schema: {$ref: '#/components/schemas/ApiKeyList'}",
        "schema: {$ref: 'other.yaml#/ApiKeyList'}",
        "/paths/~1v2~1{organization_id}~1api_keys/get/responses/200/content/application~1json/schema/$ref",
        "points to another file",
    ),
    (
        "a repeated operation id",
        "operationId: create_api_key",
        "operationId: list_api_keys",
        "/paths/~1v2~1{organization_id}~1api_keys/post/operationId",
        "/paths/~1v2~1{organization_id}~1api_keys/get already uses list_api_keys",
    ),
    (
        "an operation id that is not a method name",
        "operationId: create_api_key",
        "operationId: createApiKey",
        "/paths/~1v2~1{organization_id}~1api_keys/post/operationId",
        "snake_case",
    ),
    (
        "no operation id",
        "      operationId: create_api_key\n",
        "",
        "/paths/~1v2~1{organization_id}~1api_keys/post/operationId",
        "is missing",
    ),
    ("version 3.1", "openapi: 3.0.3", "openapi: 3.1.0", "/openapi", "3.1.0 is not supported"),
    ("version 2", "openapi: 3.0.3", "swagger: '2.0'", "/openapi", "is missing"),
    ("a version that is a number", "openapi: 3.0.3", "openapi: 3.0", "/openapi", "is missing"),
    ("broken YAML", "openapi: 3.0.3", "openapi: [3.0.3", "line ", "not valid YAML"),
    ("a tab for indentation", "\npaths:\n", "\npaths:\n\t/x: {}\n", "line ", "not valid YAML"),
    (
        "a repeated field",
        "operationId: create_api_key\n",
        "operationId: create_api_key\n      operationId: create_api_key\n",
        "line ",
        "duplicate",
    ),
    ("an unknown alias", "'403': &forbidden", "'402': *forbidn\n        '403': &forbidden", "line ", "not valid YAML"),
    (
        "a path id without a pattern",
        "      description: The id of an organization. It is safe in a path.\n      minLength: 1\n      maxLength: 255\n      pattern: '^[A-Za-z0-9_~-][A-Za-z0-9_.~-]*$'\n",
        "      description: The id of an organization. It is safe in a path.\n      minLength: 1\n      maxLength: 255\n",
        "/paths/~1v2~1{organization_id}~1api_keys/get/parameters",
        "{organization_id} has no pattern",
    ),
    (
        "a path id without a length",
        "      description: The id of an organization. It is safe in a path.\n      minLength: 1\n      maxLength: 255\n",
        "      description: The id of an organization. It is safe in a path.\n      minLength: 1\n",
        "/paths/~1v2~1{organization_id}~1api_keys/get/parameters",
        "{organization_id} has no maxLength",
    ),
    (
        "a path id that could reach another path",
        "      description: The id of an organization. It is safe in a path.\n      minLength: 1\n      maxLength: 255\n      pattern: '^[A-Za-z0-9_~-][A-Za-z0-9_.~-]*$'\n",
        "      description: The id of an organization. It is safe in a path.\n      minLength: 1\n      maxLength: 255\n      pattern: '^[^/]+$'\n",
        "/paths/~1v2~1{organization_id}~1api_keys/get/parameters",
        "accepts \".\"",
    ),
    (
        "a path id with an invalid pattern",
        "      description: The id of an organization. It is safe in a path.\n      minLength: 1\n      maxLength: 255\n      pattern: '^[A-Za-z0-9_~-][A-Za-z0-9_.~-]*$'\n",
        "      description: The id of an organization. It is safe in a path.\n      minLength: 1\n      maxLength: 255\n      pattern: '(['\n",
        "/paths/~1v2~1{organization_id}~1api_keys/get/parameters",
        "the pattern of {organization_id} is not valid",
    ),
    (
        "a path id that is not declared",
        "      - $ref: '#/components/parameters/OrganizationId'\n    get:\n      operationId: list_api_keys",
        "      - $ref: '#/components/parameters/ApiKeyId'\n    get:\n      operationId: list_api_keys",
        "/paths/~1v2~1{organization_id}~1api_keys/get/parameters",
        "the path's {organization_id} is not declared",
    ),
    (
        "no vendor operation",
        "      x-vendor-operation: v2_organization_id_api_keys_post\n",
        "",
        "/paths/~1v2~1{organization_id}~1api_keys/post/x-vendor-operation",
        "name the vendor's own method",
    ),
    (
        "two error schemas in one operation",
        "          description: The service could not list the keys.\n          content: *error\n",
        "          description: The service could not list the keys.\n          content:\n            application/json:\n              schema: {$ref: '#/components/schemas/ErrorObject'}\n",
        "/paths/~1v2~1{organization_id}~1api_keys/get/responses/500",
        "one error schema per operation",
    ),
    (
        "a failure without a schema",
        "          description: The service could not list the keys.\n          content: *error\n",
        "          description: The service could not list the keys.\n",
        "/paths/~1v2~1{organization_id}~1api_keys/get/responses/500",
        "one error schema per operation",
    ),
    (
        "an unknown source",
        "{source: N, note: \"Absent on older servers.\"}\n        jwt_signing_key_id",
        "{source: X, note: \"Absent on older servers.\"}\n        jwt_signing_key_id",
        "/components/schemas/ApiKey/properties/token_version/x-provenance/source",
        "must be D, G, N, T or assumed",
    ),
    (
        "a source without a note",
        "{source: N, note: \"Absent on older servers.\"}\n        jwt_signing_key_id",
        "{source: N}\n        jwt_signing_key_id",
        "/components/schemas/ApiKey/properties/token_version/x-provenance/note",
        "say why",
    ),
    (
        "a note that a comma cuts in two",
        r#"note: "Absent on older servers."}
        jwt_signing_key_id"#,
        r#"note: Absent, on older servers.}
        jwt_signing_key_id"#,
        "/components/schemas/ApiKey/properties/token_version/x-provenance",
        "quote the note",
    ),
    (
        "unknown fields that would be lost",
        "          description: The number of keys on all pages together.\n      additionalProperties: {$ref: '#/components/schemas/UnknownValue'}\n",
        "          description: The number of keys on all pages together.\n",
        "/components/schemas/Pagination/additionalProperties",
        "keeps unknown fields",
    ),
    (
        "unknown fields that the generator would drop",
        "          description: The number of keys on all pages together.\n      additionalProperties: {$ref: '#/components/schemas/UnknownValue'}\n",
        "          description: The number of keys on all pages together.\n      additionalProperties: true\n",
        "/components/schemas/Pagination/additionalProperties",
        "keeps unknown fields",
    ),
    (
        "a secret that is not a text",
        "          type: string\n          format: password\n",
        "          type: integer\n          format: password\n",
        "/components/schemas/ApiKeyWithToken/properties/token",
        "must be a plain string",
    ),
    (
        "a schema with an invalid type",
        "          description: The maximum number of keys on the page.\n          schema: {type: integer, format: int64}",
        "          description: The maximum number of keys on the page.\n          schema: {type: [], format: int64}",
        "/paths",
        "invalid type: sequence, expected a string",
    ),
];

#[test]
fn an_invalid_spec_is_rejected_with_position_and_reason() {
    for (case, old, new, place, reason) in INVALID {
        let workspace = Workspace::copy();
        workspace.edit(SPECS[0], old, new);
        assert_rejected(&workspace, case, &[SPECS[0], place, reason]);
    }
}

/// An object without a schema name could lose undocumented fields, too.
#[test]
fn an_unnamed_object_that_would_lose_fields_is_rejected() {
    for (case, old, new, place) in [
        (
            "an answer",
            "schema: {$ref: '#/components/schemas/ApiKeyList'}",
            "schema: {type: object, properties: {a: {type: string}}}",
            "/paths/~1v2~1{organization_id}~1api_keys/get/responses/200/content/application~1json/schema",
        ),
        (
            "a field",
            "          $ref: '#/components/schemas/Pagination'\n",
            "          type: object\n          properties: {total: {type: integer}}\n",
            "/components/schemas/ApiKeyList/properties/pagination",
        ),
        (
            "a list's item",
            "      items: {$ref: '#/components/schemas/ApiKey'}\n",
            "      items: {type: object, properties: {id: {type: string}}}\n",
            "/components/schemas/ApiKeyRows/items",
        ),
    ] {
        let workspace = Workspace::copy();
        workspace.edit(SPECS[0], old, new);
        assert_rejected(&workspace, case, &[SPECS[0], place, "unknown fields"]);
    }
}

/// These specs pass our checks, and the generator panics on them.
#[test]
fn a_spec_that_the_generator_panics_on_is_rejected() {
    for (case, old, new) in [
        ("a cookie", "        - name: offset\n          in: query\n", "        - name: offset\n          in: cookie\n"),
        (
            "two types of success",
            "              schema: {$ref: '#/components/schemas/ApiKeyList'}\n",
            "              schema: {$ref: '#/components/schemas/ApiKeyList'}\n        '201':\n          description: A page.\n          content:\n            application/json:\n              schema: {$ref: '#/components/schemas/ApiKey'}\n",
        ),
    ] {
        let workspace = Workspace::copy();
        workspace.edit(SPECS[0], old, new);
        assert_rejected(&workspace, case, &[SPECS[0], "the generator"]);
    }
}

#[test]
fn a_missing_or_unreadable_spec_is_rejected() {
    let workspace = Workspace::copy();
    fs::remove_file(workspace.path(SPECS[0])).unwrap();
    assert_rejected(&workspace, "missing", &[SPECS[0], "cannot read the spec"]);
    for (case, bytes) in [
        ("empty", &b""[..]),
        ("a plain text", b"hello"),
        ("a list", b"- a"),
        ("not UTF-8", b"openapi: \xff"),
        ("two documents", b"openapi: 3.0.3\n---\nopenapi: 3.0.3\n"),
        ("a key that is not a text", b"openapi: 3.0.3\npaths: {? [a] : b}\n"),
        ("no paths", b"openapi: 3.0.3\ninfo: {title: t, version: v}\n"),
        ("a path that is not an object", b"openapi: 3.0.3\ninfo: {title: t, version: v}\npaths: {/x: 1}\n"),
    ] {
        fs::write(workspace.path(SPECS[0]), bytes).unwrap();
        assert_rejected(&workspace, case, &[SPECS[0]]);
    }
}

/// Asserts that code generation, with and without `--check`, fails without a backtrace and writes nothing.
#[track_caller]
fn assert_rejected(workspace: &Workspace, case: &str, expected: &[&str]) {
    let before = workspace.snapshot();
    for arguments in [&["monad"][..], &["monad", "--check"]] {
        let run = workspace.run(arguments);
        assert_eq!((run.code, &*run.stdout), (Some(1), ""), "{case}: {run:?}");
        assert!(run.stderr.starts_with("error: "), "{case}: {}", run.stderr);
        assert!(!run.stderr.contains("panicked"), "{case}: {}", run.stderr);
        for part in expected {
            assert!(run.stderr.contains(part), "{case} does not say {part:?}: {}", run.stderr);
        }
    }
    assert_eq!(workspace.snapshot(), before, "{case}");
}

/// Asserts that standard output is a unified diff of exactly these files.
#[track_caller]
fn assert_is_diff_of(run: &Run, files: &[&str]) {
    let old: Vec<&str> = run.stdout.lines().filter_map(|line| line.strip_prefix("--- ")).collect();
    assert_eq!(old, files, "{}", run.stdout);
    let new: Vec<&str> = run.stdout.lines().filter_map(|line| line.strip_prefix("+++ ")).collect();
    assert!(new.len() == files.len() && new.iter().zip(files).all(|(new, file)| new.starts_with(file)));
    assert!(run.stdout.lines().any(|line| line.starts_with("@@ -")), "{}", run.stdout);
}

/// Returns the lines that a diff removes (`-`) or adds (`+`), without its header.
fn changed_lines(diff: &str, sign: char) -> Vec<&str> {
    let header: String = [sign; 3].iter().collect();
    diff.lines().filter(|line| line.starts_with(sign) && !line.starts_with(&header)).collect()
}
