//! What text SNS and SQS carry: the characters of XML 1.0.

/// Whether it arrives as it is.
pub(crate) fn is_carried(text: &str) -> bool {
    text.chars().all(is_carried_char)
}

pub(crate) fn is_carried_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// The JSON with what is not carried written as `\u....`. Outside of strings JSON has no such characters.
pub(crate) fn carried_json(json: String) -> String {
    if is_carried(&json) {
        return json;
    }
    let mut carried = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_carried_char(c) {
            carried.push(c);
        } else {
            carried.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    carried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_characters_of_xml_are_carried() {
        assert!(is_carried("a\t\r\n ü\u{7f}\u{feff}\u{fffd}\u{1F980}\u{10ffff}"));
        for c in ['\0', '\u{1}', '\u{b}', '\u{1f}', '\u{fffe}', '\u{ffff}'] {
            assert!(!is_carried(&c.to_string()), "{c:?}");
        }
    }

    #[test]
    fn json_with_any_character_is_carried() {
        let value = serde_json::json!({"a\u{fffe}": "\u{ffff}\u{1}\0ü"});
        let json = carried_json(value.to_string());
        assert!(is_carried(&json), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), value);
    }
}
