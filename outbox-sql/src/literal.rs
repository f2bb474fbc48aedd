use std::fmt::Write;

use crate::Value;

/// A statement for MySQL with its parameters as literals: `$1` is the first one. Text becomes a hexadecimal literal, so
/// that no setting of the server and no content can make it end early. One round trip, nothing to be prepared.
pub fn literals(sql: &str, params: &[Value]) -> String {
    let bytes = |value: &Value| if let Value::Bytes(bytes) = value { bytes.len() * 2 } else { 40 };
    let mut out = String::with_capacity(sql.len() + params.iter().map(bytes).sum::<usize>());
    let mut rest = sql;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        let digits = from[1..].find(|c: char| !c.is_ascii_digit()).map_or(from.len(), |n| n + 1);
        out.push_str(before);
        match from[1..digits].parse::<usize>().ok().and_then(|n| params.get(n.checked_sub(1)?)) {
            Some(value) => push(&mut out, value),
            None => out.push_str(&from[..digits]),
        }
        rest = &from[digits..];
    }
    out.push_str(rest);
    out
}

fn push(out: &mut String, value: &Value) {
    // Writing to a String cannot fail.
    match value {
        Value::Int(Some(n)) => _ = write!(out, "{n}"),
        Value::Int(None) | Value::Text(None) => out.push_str("null"),
        Value::Text(Some(text)) => {
            out.push_str("_utf8mb4 x'");
            text.bytes().for_each(|b| _ = write!(out, "{b:02x}"));
            out.push('\'');
        }
        Value::Uuid(id) => _ = write!(out, "x'{id:032x}'"),
        Value::Bytes(bytes) => {
            out.push_str("x'");
            bytes.iter().for_each(|b| _ = write!(out, "{b:02x}"));
            out.push('\'');
        }
        // An empty list matches nothing.
        Value::Ints(list) if list.is_empty() => out.push_str("null"),
        Value::Ints(list) => {
            for (i, n) in list.iter().enumerate() {
                _ = write!(out, "{}{n}", if i == 0 { "" } else { "," });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_becomes_a_literal() {
        let params = [1.into(), "o'\\".into(), Value::Text(None), Value::Uuid(255), Value::Ints(vec![3, 4])];
        assert_eq!(
            literals("a = $1 and b = $2 or c is $3 and d = $4 and e in ($5) and '$.x' = $12", &params),
            "a = 1 and b = _utf8mb4 x'6f275c' or c is null and d = x'000000000000000000000000000000ff' and e in (3,4) \
             and '$.x' = $12"
        );
        assert_eq!(literals("$1, $2", &[Value::Bytes(vec![0, 39]), Value::Bytes(Vec::new())]), "x'0027', x''");
        assert_eq!(literals("$1", &[Value::Ints(Vec::new())]), "null");
    }
}
