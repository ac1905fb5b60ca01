//! What is asked of text, whatever the feature.

/// For garde: something besides white space.
pub(crate) fn not_blank<C>(text: &str, _: &C) -> garde::Result {
    if text.chars().all(char::is_whitespace) {
        return Err(garde::Error::new("must not be only white space"));
    }
    Ok(())
}
