/// Whether it is a URI-reference that is not empty (RFC 3986, section 4.1), as far as that can be told by its
/// characters; else what is wrong with it.
pub(super) fn check(source: &str) -> Result<(), &'static str> {
    if source.is_empty() {
        return Err("is empty");
    }
    let (hierarchy, fragment) = source.split_once('#').unwrap_or((source, ""));
    if !plain(hierarchy) || !plain(fragment) {
        return Err("has a character that has to be percent-encoded");
    }
    let first = hierarchy.split(['/', '?']).next().unwrap_or_default();
    match first.split_once(':') {
        Some((scheme, _)) if !is_scheme(scheme) => Err("has a colon in its first segment, before which is no scheme"),
        _ => Ok(()),
    }
}

/// Whether it is a URI with a scheme.
pub(super) fn is_absolute(uri: &str) -> bool {
    check(uri).is_ok() && uri.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme))
}

fn is_scheme(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(legal)
}

fn plain(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let legal = match b {
            b'%' => [bytes.next(), bytes.next()].iter().all(|b| b.is_some_and(|b| b.is_ascii_hexdigit())),
            _ => b.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=".contains(&b),
        };
        if !legal {
            return false;
        }
    }
    true
}
