//! Pages of lists.

/// Items in a page, when the request does not say.
#[must_use]
pub fn default_limit() -> i64 {
    50
}

/// Cuts what was read, one item more than asked for, to `limit` items; tells whether there was one more.
#[must_use]
pub fn cut<T>(items: &mut Vec<T>, limit: i64) -> bool {
    let limit = usize::try_from(limit).unwrap_or_default();
    let more = items.len() > limit;
    items.truncate(limit);
    more
}
