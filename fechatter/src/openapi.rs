//! The OpenAPI document of both servers together, as `openapi.json` keeps it.

use fechatter_server::docs;

/// The document, as JSON with line breaks.
///
/// # Errors
/// None in practice: the document is made of strings.
pub fn document() -> anyhow::Result<String> {
    let mut document = fechatter_server::routes::description();
    document.merge(notify_server::routes::description());
    Ok(docs::complete(document).to_pretty_json()?)
}
