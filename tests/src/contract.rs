//! The contract: every answer that a test receives is one that the document describes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::{Draft, Validator};
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

/// What answers without being in the document: the document itself, its page, and the operators' endpoints.
const UNDOCUMENTED: [&str; 6] = [
    fechatter_server::routes::OPENAPI,
    fechatter_server::routes::DOCS,
    notify_server::routes::OPENAPI,
    "/livez",
    "/readyz",
    "/metrics",
];

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let document = fechatter::openapi::document().expect("a document");
    Contract::of(serde_json::from_str(&document).expect("JSON"))
});

/// Checks an answer against the document.
///
/// # Panics
/// When the document does not describe it.
#[track_caller]
pub fn check(request: &str, path: &str, status: u16, headers: &HeaderMap, body: &Body) {
    let method = request.split(' ').next().unwrap_or_default();
    assert!(
        !method.is_empty() && method.chars().all(|c| c.is_ascii_uppercase()),
        "the name of a request begins with its method: {request}"
    );
    if let Err(breach) = CONTRACT.check(method, path, status, headers, body) {
        panic!("{request}: answered {status}, which breaks openapi.json: {breach}");
    }
}

/// Checks the data of an event: a message on the stream is the one that REST shows, with its id named once more.
///
/// # Panics
/// When it is another.
#[track_caller]
pub fn check_event(event: &str, data: &Value) {
    if !["message", "message_update", "message_delete"].contains(&event) {
        return;
    }
    let mut message = data.clone();
    let message_id = message.as_object_mut().and_then(|fields| fields.remove("message_id"));
    assert_eq!(message_id.as_ref(), Some(&message["id"]), "{event}: {data}");
    let schema = json!({ "$ref": "#/components/schemas/Message" });
    if let Err(breach) = CONTRACT.judge(&schema, &message) {
        panic!("{event}: breaks openapi.json: {breach}");
    }
}

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// Read to its end.
    Whole(Vec<u8>),
    /// A stream, of which nothing has been read.
    Endless,
}

struct Contract {
    /// By path, with the most words first: `/members/me` goes before `/members/{user_id}`.
    paths: Vec<(Vec<String>, Map<String, Value>)>,
    schemas: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Contract {
    fn of(document: Value) -> Self {
        let paths = document["paths"].as_object().expect("paths");
        let mut paths: Vec<_> = paths
            .iter()
            .map(|(path, item)| {
                let parts = path.split('/').map(str::to_owned).collect();
                (parts, item.as_object().expect("operations").clone())
            })
            .collect();
        paths.sort_by_key(|(parts, _): &(Vec<String>, _)| {
            parts.iter().filter(|part| is_variable(part)).count()
        });
        let schemas = closed(document["components"]["schemas"].as_object().expect("schemas"));
        Self { paths, schemas, validators: Mutex::default() }
    }

    fn check(
        &self,
        method: &str,
        path: &str,
        status: u16,
        headers: &HeaderMap,
        body: &Body,
    ) -> Result<(), String> {
        if UNDOCUMENTED.iter().any(|known| path == *known || path.starts_with(&format!("{known}/"))) {
            return Ok(());
        }
        // HEAD is answered like GET, without the body (RFC 9110, section 9.3.2).
        let (method, is_head) = if method == "HEAD" { ("GET", true) } else { (method, false) };
        let mut there = self.paths.iter().filter(|(parts, _)| fits(parts, path)).peekable();
        let expected = if there.peek().is_some() { 405 } else { 404 };
        let Some(operation) = there.find_map(|(_, item)| item.get(&method.to_lowercase())) else {
            if status != expected {
                return Err("there is no such operation".into());
            }
            let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
            let answer = json!({ "content": { "application/problem+json": problem } });
            return self.check_body(&answer, headers, body);
        };
        let answer = &operation["responses"][status.to_string()];
        if !answer.is_object() {
            return Err("the status is not documented".into());
        }
        for name in answer["headers"].as_object().into_iter().flat_map(Map::keys) {
            if !headers.contains_key(name) {
                return Err(format!("the header {name} is missing"));
            }
        }
        match body {
            Body::Whole(bytes) if is_head && bytes.is_empty() => Ok(()),
            _ => self.check_body(answer, headers, body),
        }
    }

    fn check_body(&self, answer: &Value, headers: &HeaderMap, body: &Body) -> Result<(), String> {
        let Some(content) = answer["content"].as_object() else {
            return match body {
                Body::Whole(bytes) if bytes.is_empty() => Ok(()),
                _ => Err("it has a body".into()),
            };
        };
        let media_type =
            headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default();
        let bytes = content.get("*/*").filter(|_| !media_type.is_empty());
        let Some(documented) = content.get(media_type).or(bytes) else {
            return Err(format!("its type is {media_type:?}"));
        };
        let is_json = media_type.ends_with("json") && documented["schema"]["format"] != "binary";
        match (body, is_json) {
            (Body::Whole(bytes), true) => {
                let value = serde_json::from_slice(bytes).map_err(|error| format!("no JSON: {error}"))?;
                self.judge(&documented["schema"], &value)
            }
            (Body::Endless, false) => Ok(()),
            (Body::Whole(_), false) if documented["schema"]["format"] == "binary" => Ok(()),
            _ => Err("it is a stream in the one, and none in the other".into()),
        }
    }

    /// Checks a value by a schema of the document.
    fn judge(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let validator = {
            let mut validators = self.validators.lock().expect("no panic in here");
            Arc::clone(validators.entry(schema.to_string()).or_insert_with(|| Arc::new(self.compile(schema))))
        };
        let breaches: BTreeMap<_, _> = validator
            .iter_errors(value)
            .map(|error| (error.instance_path().to_string(), error.to_string()))
            .collect();
        if breaches.is_empty() { Ok(()) } else { Err(format!("{breaches:?} in {value}")) }
    }

    fn compile(&self, schema: &Value) -> Validator {
        let root = json!({ "allOf": [schema], "components": { "schemas": self.schemas } });
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&root)
            .unwrap_or_else(|error| panic!("{schema}: {error}"))
    }
}

/// The schemas with nothing left open: clients must bear fields that are not documented, but there shall be none.
fn closed(schemas: &Map<String, Value>) -> Value {
    let closed = schemas.iter().map(|(name, schema)| {
        let mut schema = schema.clone();
        // The parts of a flattened object do not know each other's fields.
        for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(name) = part["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
                *part = schemas[name].clone();
            }
        }
        let object = schema.as_object_mut().expect("a schema");
        if object.contains_key("properties") || object.contains_key("allOf") {
            object.insert("unevaluatedProperties".into(), false.into());
        }
        (name.clone(), schema)
    });
    Value::Object(closed.collect())
}

fn is_variable(part: &str) -> bool {
    part.starts_with('{')
}

fn fits(parts: &[String], path: &str) -> bool {
    let given: Vec<_> = path.split('/').collect();
    parts.len() == given.len()
        && parts
            .iter()
            .zip(given)
            .all(|(part, given)| if is_variable(part) { !given.is_empty() } else { part == given })
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    const WORKSPACES: &str = "/api/workspaces";

    fn breach(method: &str, path: &str, status: u16, headers: &[(&str, &str)], body: &str) -> String {
        let headers = headers.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        let body = Body::Whole(body.into());
        CONTRACT.check(method, path, status, &headers.collect(), &body).err().unwrap_or_default()
    }

    fn workspace(change: fn(&mut Value)) -> String {
        let mut workspace = json!({
            "id": "01970000-0000-7000-8000-000000000000", "name": "Acme", "description": null, "role": "Owner",
            "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00.5Z",
        });
        change(&mut workspace);
        breach("POST", WORKSPACES, 201, &[("content-type", "application/json")], &workspace.to_string())
    }

    #[test]
    fn what_is_documented_passes() {
        assert_eq!(workspace(|_| {}), "");
        let problem = json!({
            "type": "about:blank", "title": "-", "status": 404, "detail": "-", "code": "-", "request_id": "-",
        });
        let problem_type = [("content-type", "application/problem+json")];
        assert_eq!(breach("GET", "/api/nonsense", 404, &problem_type, &problem.to_string()), "");
        assert_eq!(breach("PUT", WORKSPACES, 405, &problem_type, &problem.to_string()), "");
        assert_eq!(breach("DELETE", "/api/chats/x/members/me", 204, &[], ""), "");
    }

    #[test]
    fn what_is_not_is_a_breach() {
        assert!(workspace(|it| it["id"] = json!("1")).contains("/id"));
        assert!(workspace(|it| it["created_at"] = json!("yesterday")).contains("/created_at"));
        assert!(workspace(|it| it["role"] = json!("King")).contains("/role"));
        assert!(workspace(|it| it["colour"] = json!("red")).contains("colour"));
        // What may be null must be there all the same.
        let without = workspace(|it| {
            it.as_object_mut().expect("an object").remove("description");
        });
        assert!(without.contains("description"), "{without}");
        assert!(breach("POST", WORKSPACES, 204, &[], "").contains("status"));
        assert!(breach("PUT", WORKSPACES, 404, &[], "").contains("operation"));
        assert!(breach("PUT", WORKSPACES, 405, &[], "").contains("type"));
        assert!(breach("GET", WORKSPACES, 200, &[], "").contains("X-Event-Id"));
        assert!(breach("POST", WORKSPACES, 201, &[("content-type", "text/plain")], "").contains("type"));
        assert!(breach("DELETE", "/api/chats/x", 204, &[], "x").contains("body"));
    }
}
