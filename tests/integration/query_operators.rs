//! Every operator on every type, with answers worked out by hand. Each case is asked of PostgreSQL
//! and, where one object is enough to answer it, of the evaluator in memory; each is also asked
//! inside `$or`, `$and` and `$nor`.

use parsimony::types::FieldType::{
    Array, Boolean, Bytes, Date, File, GeoPoint, Number, Object, Pointer, Polygon, String as Text,
};
use serde_json::{Value, json};

use crate::query_support::{Fixture, class, date, point, pointer, schema};

/// Ids: `a`, `b`, `c` hold values, `n` holds nothing.
async fn things() -> Fixture {
    let thing = schema(
        "Thing",
        &[
            ("text", Text),
            ("num", Number),
            ("flag", Boolean),
            ("at", Date),
            ("obj", Object),
            ("list", Array),
            ("loc", GeoPoint),
            ("file", File),
            ("bytes", Bytes),
            ("area", Polygon),
            ("owner", Pointer(class("Other"))),
        ],
    );
    let mut fixture = Fixture::new(vec![thing]).await;
    let square =
        |size: i32| json!({"__type": "Polygon", "coordinates": [[0, 0], [0, size], [size, size], [size, 0]]});
    fixture
        .insert(
            "Thing",
            &[
                json!({
                    "objectId": "a", "text": "Apple", "num": 1, "flag": true,
                    "at": date("2020-01-01T00:00:00.000Z"),
                    "obj": {"n": 1, "s": "x", "deep": {"k": [1, 2]}, "d": date("2020-01-01T00:00:00.000Z"),
                            "p": pointer("Other", "o1"), "nil": null},
                    "list": [1, "x", pointer("Other", "o1"), {"k": 1}], "loc": point(0.0, 0.0),
                    "file": {"__type": "File", "name": "one.txt"},
                    "bytes": {"__type": "Bytes", "base64": "AAA="}, "area": square(1),
                    "owner": pointer("Other", "o1"), "createdAt": "2019-01-01T00:00:00.000Z",
                }),
                json!({
                    "objectId": "b", "text": "apple pie\nsecond line", "num": 2, "flag": false,
                    "at": date("2021-06-01T12:00:00.500Z"),
                    "obj": {"n": 2, "s": "y", "deep": {"k": [2, 3]}},
                    "list": [2, "y", [1, 2], true], "loc": point(10.0, 20.0),
                    "file": {"__type": "File", "name": "two.txt"},
                    "bytes": {"__type": "Bytes", "base64": "BBB="}, "area": square(5),
                    "owner": pointer("Other", "o2"), "createdAt": "2021-01-01T00:00:00.000Z",
                }),
                json!({
                    "objectId": "c", "text": "Zebra 100% [x]", "num": -3.5,
                    "obj": {"n": "1", "s": 5}, "list": [], "loc": point(-45.0, 170.0),
                    "owner": pointer("Other", "o3"), "createdAt": "2022-01-01T00:00:00.000Z",
                }),
                json!({"objectId": "n", "createdAt": "2023-01-01T00:00:00.000Z"}),
            ],
        )
        .await;
    fixture
}

async fn check(fixture: &Fixture, cases: &[(Value, &str)]) {
    let objects = fixture.objects("Thing").await;
    for (query, expected) in cases {
        let complement: String =
            ["a", "b", "c", "n"].into_iter().filter(|id| !expected.contains(id)).collect();
        for (asked, wanted) in [
            (query.clone(), (*expected).to_owned()),
            (json!({"$or": [query, {"objectId": "none"}]}), (*expected).to_owned()),
            (json!({"$and": [query, {"createdAt": {"$exists": true}}]}), (*expected).to_owned()),
            (json!({"$nor": [query]}), complement),
        ] {
            let filter = fixture.parse("Thing", &asked, None);
            assert_eq!(fixture.sql_ids("Thing", &filter).await.concat(), wanted, "SQL: {asked}");
            assert_eq!(crate::query_support::evaluate(&objects, &filter).concat(), wanted, "memory: {asked}");
        }
    }
}

#[tokio::test]
async fn equality() {
    let fixture = things().await;
    check(
        &fixture,
        &[
            (json!({}), "abcn"),
            (json!({"text": "Apple"}), "a"),
            (json!({"text": "apple"}), ""),
            (json!({"text": 1}), ""),
            (json!({"text": null}), "n"),
            (json!({"text": {"$ne": null}}), "abc"),
            (json!({"text": {"$ne": "Apple"}}), "bcn"),
            (json!({"text": {"$ne": 5}}), "abcn"),
            (json!({"text": {"$eq": "Apple"}}), "a"),
            (json!({"text": "nul\u{0}"}), ""),
            (json!({"num": 1}), "a"),
            (json!({"num": -3.5}), "c"),
            (json!({"num": "1"}), ""),
            (json!({"num": true}), ""),
            (json!({"num": {"$ne": 1}}), "bcn"),
            (json!({"flag": true}), "a"),
            (json!({"flag": {"$ne": true}}), "bcn"),
            (json!({"flag": 1}), ""),
            (json!({"at": date("2020-01-01T00:00:00.000Z")}), "a"),
            (json!({"at": "2020-01-01T00:00:00.000Z"}), "a"),
            (json!({"at": {"$ne": date("2020-01-01T00:00:00.000Z")}}), "bcn"),
            (json!({"at": "soon"}), ""),
            (json!({"createdAt": date("2021-01-01T00:00:00.000Z")}), "b"),
            (json!({"createdAt": "2021-01-01T00:00:00.000Z"}), "b"),
            (json!({"objectId": "a"}), "a"),
            (json!({"owner": pointer("Other", "o2")}), "b"),
            (json!({"owner": "o2"}), "b"),
            (json!({"owner": pointer("Elsewhere", "o2")}), ""),
            (json!({"owner": {"$ne": pointer("Other", "o2")}}), "acn"),
            (json!({"file": {"__type": "File", "name": "one.txt"}}), "a"),
            (json!({"bytes": {"__type": "Bytes", "base64": "BBB="}}), "b"),
            (json!({"loc": point(10.0, 20.0)}), "b"),
            (json!({"loc": {"$ne": point(10.0, 20.0)}}), "acn"),
            (json!({"loc": 5}), ""),
            (
                json!({"area": {"__type": "Polygon", "coordinates": [[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]}}),
                "a",
            ),
            (json!({"obj": {"n": "1", "s": 5}}), "c"),
            (json!({"obj": {"s": 5, "n": "1"}}), "c"),
            (json!({"obj": {"s": 5}}), ""),
            (json!({"obj": {}}), ""),
            (json!({"obj": 5}), ""),
            (json!({"unknown": 1}), ""),
            (json!({"unknown": null}), "abcn"),
            (json!({"unknown": {"$ne": 1}}), "abcn"),
        ],
    )
    .await;
}

#[tokio::test]
async fn order_comparisons() {
    let fixture = things().await;
    check(
        &fixture,
        &[
            (json!({"num": {"$gt": 1}}), "b"),
            (json!({"num": {"$gte": 1}}), "ab"),
            (json!({"num": {"$lt": 0}}), "c"),
            (json!({"num": {"$lte": 1, "$gt": -3.5}}), "a"),
            (json!({"num": {"$gt": "1"}}), ""),
            (json!({"num": {"$lt": null}}), ""),
            (json!({"text": {"$gte": "B"}}), "bc"),
            (json!({"text": {"$lt": 5}}), ""),
            (json!({"at": {"$gt": date("2020-01-01T00:00:00.000Z")}}), "b"),
            (json!({"at": {"$lte": "2020-01-01T00:00:00.000Z"}}), "a"),
            (json!({"at": {"$lt": {"$relativeTime": "3 years ago"}}}), "a"),
            (json!({"at": {"$lt": {"$relativeTime": "now"}}}), "ab"),
            (json!({"createdAt": {"$gte": date("2022-01-01T00:00:00.000Z")}}), "cn"),
            (json!({"owner": {"$gt": "o1"}}), "bc"),
            (json!({"flag": {"$gt": false}}), "a"),
            (json!({"obj": {"$gt": 1}}), ""),
            (json!({"loc": {"$gt": 1}}), ""),
            (json!({"list": {"$gt": 1}}), "b"),
            (json!({"list": {"$gte": "y"}}), "b"),
        ],
    )
    .await;
}

#[tokio::test]
async fn sets() {
    let fixture = things().await;
    check(
        &fixture,
        &[
            (json!({"text": {"$in": ["Apple", "none"]}}), "a"),
            (json!({"text": {"$in": []}}), ""),
            (json!({"text": {"$in": [null]}}), "n"),
            (json!({"text": {"$in": ["Apple", null]}}), "an"),
            (json!({"text": {"$nin": ["Apple"]}}), "bcn"),
            (json!({"text": {"$nin": []}}), "abcn"),
            (json!({"text": {"$nin": ["Apple", null]}}), "bc"),
            (json!({"num": {"$in": [1, [2]]}}), "ab"),
            (json!({"num": {"$in": ["1", 2]}}), "b"),
            (json!({"num": {"$nin": [1, 2]}}), "cn"),
            (json!({"flag": {"$in": [false]}}), "b"),
            (json!({"at": {"$in": [date("2020-01-01T00:00:00.000Z"), 5]}}), "a"),
            (json!({"owner": {"$in": [pointer("Other", "o1"), pointer("Other", "o3")]}}), "ac"),
            (json!({"owner": {"$nin": [pointer("Other", "o1")]}}), "bcn"),
            (json!({"loc": {"$in": [point(0.0, 0.0), null]}}), "an"),
            (json!({"obj": {"$in": [{"n": "1", "s": 5}]}}), "c"),
            (json!({"file": {"$in": [{"__type": "File", "name": "two.txt"}]}}), "b"),
            (json!({"text": {"$exists": true}}), "abc"),
            (json!({"text": {"$exists": false}}), "n"),
            (json!({"unknown": {"$exists": false}}), "abcn"),
            (json!({"unknown": {"$exists": true}}), ""),
            (json!({"num": {"$all": [1]}}), "a"),
        ],
    )
    .await;
}

#[tokio::test]
async fn arrays() {
    let fixture = things().await;
    check(
        &fixture,
        &[
            (json!({"list": 1}), "a"),
            (json!({"list": "x"}), "a"),
            (json!({"list": "1"}), ""),
            (json!({"list": true}), "b"),
            (json!({"list": pointer("Other", "o1")}), "a"),
            (json!({"list": pointer("Other", "o2")}), ""),
            (json!({"list": {"k": 1}}), "a"),
            (json!({"list": {"k": 2}}), ""),
            (json!({"list": [1, 2]}), "b"),
            (json!({"list": []}), "c"),
            (json!({"list": [2, "y", [1, 2], true]}), "b"),
            (json!({"list": null}), "n"),
            (json!({"list": {"$ne": 1}}), "bcn"),
            (json!({"list": {"$in": ["x", "y"]}}), "ab"),
            (json!({"list": {"$in": [pointer("Other", "o1"), 2]}}), "ab"),
            (json!({"list": {"$in": []}}), ""),
            (json!({"list": {"$nin": ["x"]}}), "bcn"),
            (json!({"list": {"$nin": []}}), "abcn"),
            (json!({"list": {"$in": ["x", null]}}), "an"),
            (json!({"list": {"$all": [1, "x"]}}), "a"),
            (json!({"list": {"$all": [1, "y"]}}), ""),
            (json!({"list": {"$all": []}}), ""),
            (json!({"list": {"$all": [pointer("Other", "o1"), {"k": 1}]}}), "a"),
            (json!({"list": {"$all": [{"$regex": "^\\Qx\\E"}]}}), "a"),
            (json!({"list": {"$all": [{"$regex": "^\\Qx\\E"}, {"$regex": "^\\Qy\\E"}]}}), ""),
            (json!({"list": {"$containedBy": [2, "y", [1, 2], true, 9]}}), "bc"),
            (json!({"list": {"$containedBy": []}}), "c"),
            (json!({"list": {"$exists": true}}), "abc"),
            (json!({"list": {"$regex": "^[xy]$"}}), "ab"),
            (json!({"list": {"$lt": 2}}), "a"),
        ],
    )
    .await;
}

#[tokio::test]
async fn dotted_paths() {
    let fixture = things().await;
    check(
        &fixture,
        &[
            (json!({"obj.n": 1}), "a"),
            (json!({"obj.n": "1"}), "c"),
            (json!({"obj.n": {"$ne": 1}}), "bcn"),
            (json!({"obj.n": {"$gt": 1}}), "b"),
            (json!({"obj.n": {"$lte": 2}}), "ab"),
            (json!({"obj.n": {"$lte": "2"}}), "c"),
            (json!({"obj.s": {"$in": ["x", "y"]}}), "ab"),
            (json!({"obj.s": {"$in": ["x", 5]}}), "ac"),
            (json!({"obj.s": {"$nin": ["x"]}}), "bcn"),
            (json!({"obj.s": {"$in": [null, "x"]}}), "an"),
            (json!({"obj.deep": {"$exists": true}}), "ab"),
            (json!({"obj.deep": {"$exists": false}}), "cn"),
            (json!({"obj.deep.k": 2}), "ab"),
            (json!({"obj.deep.k": {"$in": [3, 4]}}), "b"),
            (json!({"obj.deep.k": {"$all": [1, 2]}}), "a"),
            (json!({"obj.deep.k": {"$gt": 2}}), "b"),
            (json!({"obj.deep.k": [2, 3]}), "b"),
            (json!({"obj.deep.k.0": 1}), "a"),
            (json!({"obj.deep": {"k": [1, 2]}}), "a"),
            (json!({"obj.deep.k": {"$containedBy": [1, 2]}}), "a"),
            (json!({"obj.s": {"$regex": "^[xz]"}}), "a"),
            (json!({"obj.s": null}), "n"),
            (json!({"obj.nil": null}), "abcn"),
            (json!({"obj.nil": {"$exists": true}}), "a"),
            (json!({"obj.d": date("2020-01-01T00:00:00.000Z")}), "a"),
            (json!({"obj.d": {"$lt": date("2021-01-01T00:00:00.000Z")}}), "a"),
            (json!({"obj.d": {"$gt": date("2021-01-01T00:00:00.000Z")}}), ""),
            (json!({"obj.p": pointer("Other", "o1")}), "a"),
            (json!({"list.0": 2}), "b"),
            (json!({"list.3.k": 1}), "a"),
            (json!({"text.x": 1}), ""),
            (json!({"text.x": {"$ne": 1}}), "abcn"),
            (json!({"obj.deep.k": {"$gt": {"x": 1}}}), ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn regular_expressions() {
    let fixture = things().await;
    let regex = |pattern: &str| json!({"text": {"$regex": pattern}});
    let with = |pattern: &str, options: &str| json!({"text": {"$regex": pattern, "$options": options}});
    check(
        &fixture,
        &[
            (regex("pple"), "ab"),
            (regex("^apple"), "b"),
            (with("^apple", "i"), "ab"),
            (regex("line$"), "b"),
            (regex("pie$"), ""),
            (with("pie$", "m"), "b"),
            (with("^second", "m"), "b"),
            (regex("pie.second"), ""),
            (with("pie.second", "s"), "b"),
            (regex("pie\\nsecond"), "b"),
            (with("p p l e # fruit", "x"), "ab"),
            (regex("\\d+%"), "c"),
            (regex("\\Q[x]\\E"), "c"),
            (regex("\\Q100% [\\E"), "c"),
            (regex("\\bpie\\b"), "b"),
            (regex("\\Bpie"), ""),
            (regex("[^a-zA-Z ]"), "bc"),
            (regex("(p)\\1"), "ab"),
            (regex("(?:A|Z)(?=[pe])"), "ac"),
            (regex("(?<!A)pple"), "b"),
            (regex("(?<c>p)\\k<c>"), "ab"),
            (regex("^.{5}$"), "a"),
            (regex("[\\s\\S]*line"), "b"),
            (regex("[\\W]x"), "c"),
            (regex("\\u0041pple"), "a"),
            (regex("a{,3}"), ""),
            (regex("[]"), ""),
            (with("APPLE\\sPIE", "iu"), "b"),
            (with("^\\Qzebra 100% [X]\\E$", "i"), "c"),
            (json!({"num": {"$regex": "1"}}), ""),
            (json!({"file": {"$regex": "^one"}}), "a"),
        ],
    )
    .await;
}

#[tokio::test]
async fn geography() {
    let fixture = things().await;
    let corners = json!([[-1, -1], [30, -1], [30, 30], [-1, 30]]);
    check(
        &fixture,
        &[
            (json!({"loc": {"$nearSphere": point(0.0, 0.0)}}), "abc"),
            (json!({"loc": {"$nearSphere": point(0.0, 0.0), "$maxDistance": 0.5}}), "ab"),
            (json!({"loc": {"$nearSphere": point(0.0, 0.0), "$maxDistance": 0.1}}), "a"),
            (json!({"loc": {"$nearSphere": point(0.0, 0.0), "$maxDistanceInKilometers": 2600}}), "ab"),
            (json!({"loc": {"$nearSphere": point(0.0, 0.0), "$maxDistanceInMiles": 1000}}), "a"),
            (json!({"loc": {"$nearSphere": point(0.0, 0.0), "$maxDistanceInRadians": 4}}), "abc"),
            // Across the date line: 170° and −170° are 20° apart.
            (json!({"loc": {"$nearSphere": point(-45.0, -170.0), "$maxDistance": 0.3}}), "c"),
            (json!({"loc": {"$geoWithin": {"$centerSphere": [point(0.0, 0.0), 0.5]}}}), "ab"),
            (json!({"loc": {"$geoWithin": {"$centerSphere": [[20, 10], 0.01]}}}), "b"),
            (json!({"loc": {"$within": {"$box": [point(-1.0, -1.0), point(11.0, 21.0)]}}}), "ab"),
            (
                json!({"loc": {"$geoWithin": {"$polygon": [point(-1.0, -1.0), point(-1.0, 1.0), point(1.0, 0.0)]}}}),
                "a",
            ),
            (json!({"loc": {"$geoWithin": {"$polygon": corners}}}), "ab"),
            (
                json!({"loc": {"$geoWithin": {"$polygon": {"__type": "Polygon", "coordinates":
                    [[19, 9], [21, 9], [21, 11], [19, 11]]}}}}),
                "b",
            ),
            (json!({"area": {"$geoIntersects": {"$point": point(3.0, 4.0)}}}), "b"),
            (json!({"area": {"$geoIntersects": {"$point": point(1.0, 1.0)}}}), "ab"),
            (json!({"text": {"$nearSphere": point(0.0, 0.0)}}), ""),
            (json!({"num": {"$geoWithin": {"$centerSphere": [point(0.0, 0.0), 0.5]}}}), ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn full_text() {
    let fixture = things().await;
    let text = |search: Value| json!({"text": {"$text": {"$search": search}}});
    check(
        &fixture,
        &[
            (text(json!({"$term": "zebra banana"})), "c"),
            (text(json!({"$term": "apple"})), "ab"),
            (text(json!({"$term": "apple -pie"})), "a"),
            (text(json!({"$term": "\"apple pie\""})), "b"),
            (text(json!({"$term": "Apple", "$caseSensitive": true})), "a"),
            (text(json!({"$term": "zebra", "$language": "none"})), "c"),
            (text(json!({"$term": "zebra", "$diacriticSensitive": false})), "c"),
            (text(json!({"$term": "' & | ! :*"})), ""),
            (json!({"num": {"$text": {"$search": {"$term": "1"}}}}), ""),
        ],
    )
    .await;
}
