//! Paged lists.

use api_keyring_emulator::{Emulator, Revision, SparteraShape};
use serde_json::{Value, json};

use crate::client::{Api, builder, id_of};

fn names(keys: &Value) -> Vec<String> {
    let key_name = |key: &Value| key["name"].as_str().unwrap_or("-").to_owned();
    keys.as_array().unwrap().iter().map(key_name).collect()
}

#[tokio::test]
async fn current_spartera_numbers_pages_from_one() {
    for shape in [SparteraShape::Documented, SparteraShape::Guide] {
        let emulator = Emulator::builder().spartera_shape(shape).start().await.unwrap();
        let api = Api::spartera(&emulator);
        emulator.spartera().add_keys(44);
        let mut all = Vec::new();
        for (query, size) in [("", 20), ("?page=2", 20), ("?page=3&limit=20", 5), ("?page=4", 0)] {
            let listed = api.get(query).await.ok();
            assert_eq!(listed["data"].as_array().unwrap().len(), size, "{query}");
            all.extend(names(&listed["data"]));
        }
        let expected: Vec<_> =
            ["administrator".to_owned()].into_iter().chain((1..=44).map(|n| format!("seeded-{n:05}"))).collect();
        assert_eq!(all, expected);

        let hundred = api.get("?limit=100").await.ok();
        assert_eq!(hundred["data"].as_array().unwrap().len(), 45);
        let third = api.get("?limit=2&page=3").await.ok();
        assert_eq!(names(&third["data"]), ["seeded-00004", "seeded-00005"]);
        let meta = (shape == SparteraShape::Guide).then(|| json!({"total": 45, "page": 3, "per_page": 2}));
        assert_eq!(third.get("meta"), meta.as_ref());
        let far = api.get(&format!("?page={}&limit=100", usize::MAX)).await.ok();
        assert_eq!(far["data"], json!([]));
    }
}

#[tokio::test]
async fn documented_spartera_returns_every_key_for_any_query() {
    for shape in [SparteraShape::Documented, SparteraShape::Guide] {
        let emulator = Emulator::builder().revision(Revision::Documented).spartera_shape(shape).start().await.unwrap();
        let api = Api::spartera(&emulator);
        emulator.spartera().add_keys(150);
        let all = api.get("").await.ok();
        assert_eq!(all["data"].as_array().unwrap().len(), 151);
        for query in ["?page=2&limit=10", "?page=0", "?limit=many", "?search=nothing", "?sort_by=x&sort_order=y"] {
            let listed = api.get(query).await.ok();
            assert_eq!(names(&listed["data"]), names(&all["data"]), "{query}");
        }
    }
}

#[tokio::test]
async fn spartera_refuses_parameters_out_of_range() {
    let emulator = Emulator::start().await.unwrap();
    let api = Api::spartera(&emulator);
    let limit = "must be a whole number from 1 to 100";
    let page = "must be a whole number, at least 1";
    for (query, field, problem) in [
        ("?limit=0", "limit", limit),
        ("?limit=101", "limit", limit),
        ("?limit=-1", "limit", limit),
        ("?limit=", "limit", limit),
        ("?limit=ten", "limit", limit),
        ("?limit=99999999999999999999999", "limit", limit),
        ("?page=0", "page", page),
        ("?page=-1", "page", page),
        ("?page=1.5", "page", page),
        ("?sort_order=up", "sort_order", "must be one of asc, desc"),
    ] {
        let errors = json!({field: [problem]});
        let expected = json!({"code": 400, "message": "Invalid input", "errors": errors});
        assert_eq!(api.get(query).await.refused(400), expected, "{query}");
    }
    let refused = api.get("?sort_by=secret&page=0").await.refused(400);
    assert_eq!(refused["errors"].as_object().unwrap().len(), 2, "the answer names every problem");
}

#[tokio::test]
async fn spartera_sorts_and_searches() {
    for shape in [SparteraShape::Documented, SparteraShape::Guide] {
        sorts_and_searches(shape).await;
    }
}

async fn sorts_and_searches(shape: SparteraShape) {
    let (builder, clock) = builder();
    let emulator = builder.spartera_shape(shape).start().await.unwrap();
    let (api, company) = (Api::spartera(&emulator), emulator.spartera().company_id());
    let start: chrono::DateTime<chrono::Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut made = Vec::new();
    for (day, (name, role, user, expiry)) in
        [("beta", 3, "u2", "2026-08-01"), ("Alpha two", 2, "u3", "2026-07-01"), ("gamma", 1, "u1", "2026-09-01")]
            .into_iter()
            .enumerate()
    {
        clock.set(start + chrono::TimeDelta::days(i64::try_from(day).unwrap() + 1));
        let body = json!({
            "company_id": company,
            "role_id": role,
            "name": name,
            "user_id": user,
            "description": format!("the {name} & more"),
            "expiration_date_utc": format!("{expiry}T00:00:00Z"),
        });
        made.push(api.post("", body).await.ok()["data"].take());
    }
    // The oldest key is used and changed last. The administrator's key is used throughout, and by each list.
    clock.set(start + chrono::TimeDelta::days(9));
    api.with_key(made[0]["key"].as_str().unwrap()).get("").await.ok();
    let id = id_of(&made[0]);
    clock.set(start + chrono::TimeDelta::days(10));
    api.patch(&format!("/{id}"), json!({"user_id": "u2"})).await.ok();
    for (query, expected) in [
        ("?sort_by=name", ["Alpha two", "administrator", "beta", "gamma"]),
        ("?sort_by=name&sort_order=desc", ["gamma", "beta", "administrator", "Alpha two"]),
        ("?sort_by=date_created", ["administrator", "beta", "Alpha two", "gamma"]),
        ("?sort_by=created_at&sort_order=desc", ["gamma", "Alpha two", "beta", "administrator"]),
        ("?sort_by=api_key_id&sort_order=desc", ["gamma", "Alpha two", "beta", "administrator"]),
        ("?sort_by=user_id", ["administrator", "gamma", "beta", "Alpha two"]),
        ("?sort_by=expiration_date_utc", ["administrator", "Alpha two", "beta", "gamma"]),
        ("?sort_by=role_id", ["administrator", "gamma", "Alpha two", "beta"]),
        ("?sort_order=desc", ["gamma", "Alpha two", "beta", "administrator"]),
        ("?sort_by=id", ["administrator", "beta", "Alpha two", "gamma"]),
        ("?sort_by=name&sort_order=asc", ["Alpha two", "administrator", "beta", "gamma"]),
        ("?sort_by=expires_at&sort_order=desc", ["gamma", "beta", "Alpha two", "administrator"]),
        ("?sort_by=last_updated", ["administrator", "Alpha two", "gamma", "beta"]),
        ("?sort_by=last_used", ["Alpha two", "gamma", "beta", "administrator"]),
    ] {
        assert_eq!(names(&api.get(query).await.ok()["data"]), expected, "{query}");
    }
    for (query, expected) in [
        ("?search=ALPHA", vec!["Alpha two"]),
        ("?search=alpha%20two", vec!["Alpha two"]),
        ("?search=gamma+%26+more", vec!["gamma"]),
        ("?search=a&limit=2&page=2", vec!["Alpha two", "gamma"]),
        ("?search=nothing", vec![]),
        ("?search=", vec!["administrator", "beta", "Alpha two", "gamma"]),
    ] {
        let listed = api.get(query).await.ok();
        assert_eq!(names(&listed["data"]), expected, "{query}");
        if shape == SparteraShape::Guide && !query.contains("limit") {
            assert_eq!(listed["meta"], json!({"total": expected.len(), "page": 1, "per_page": 20}), "{query}");
        }
    }
    if shape == SparteraShape::Guide {
        for (query, meta) in [
            ("?search=a&limit=2&page=2", json!({"total": 4, "page": 2, "per_page": 2})),
            ("?search=a&limit=2&page=9", json!({"total": 4, "page": 9, "per_page": 2})),
        ] {
            assert_eq!(api.get(query).await.ok()["meta"], meta, "{query}");
        }
    }
}

#[tokio::test]
async fn monad_pages_by_offset_and_shows_the_total() {
    for revision in [Revision::Documented, Revision::Current] {
        let emulator = Emulator::builder().revision(revision).start().await.unwrap();
        let api = Api::monad(&emulator);
        emulator.monad().add_keys(119);
        for (query, limit, offset, size) in [
            ("", 50, 0, 50),
            ("?limit=10", 10, 0, 10),
            ("?limit=50&offset=100", 50, 100, 20),
            ("?offset=119", 50, 119, 1),
            ("?offset=120", 50, 120, 0),
            ("?limit=1000", 1000, 0, 120),
        ] {
            let listed = api.get(query).await.ok();
            assert_eq!(listed["api_keys"].as_array().unwrap().len(), size, "{query}");
            assert_eq!(listed["pagination"], json!({"limit": limit, "offset": offset, "total": 120}), "{query}");
        }
        let listed = api.get("?limit=2&offset=3").await.ok();
        assert_eq!(names(&listed["api_keys"]), ["seeded-00003", "seeded-00004"]);
        for (query, problem) in [
            ("?limit=0", "limit must be a whole number from 1 to 1000"),
            ("?limit=1001", "limit must be a whole number from 1 to 1000"),
            ("?limit=x", "limit must be a whole number from 1 to 1000"),
            ("?offset=-1", "offset must be a whole number, at least 0"),
        ] {
            assert_eq!(api.get(query).await.refused(400), json!(format!("Invalid query: {problem}")));
        }
    }
}
