use outbox_core::{StoreError, StoreErrorKind};

use crate::Dialect;

/// Where the tables are: a schema, and the first word of their names.
///
/// Both are checked, `[A-Za-z_][A-Za-z0-9_]*`, so no name can break out of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Names {
    schema: Option<String>,
    prefix: String,
}

impl Default for Names {
    /// `outbox_message`, `outbox_relay`, ... in the connection's default schema.
    fn default() -> Self {
        Self { schema: None, prefix: WORD.into() }
    }
}

const WORD: &str = "outbox";
/// So that every derived name stays within the 63 bytes of a Postgres identifier.
const MAX_PREFIX: usize = 40;

impl Names {
    /// Tables in this schema (Postgres). [`migrate`](crate::migrate) creates it.
    ///
    /// # Errors
    /// `Config`, for a name that is not of `[A-Za-z_][A-Za-z0-9_]{0,62}`.
    pub fn schema(mut self, schema: &str) -> Result<Self, StoreError> {
        check("schema", schema, 63)?;
        self.schema = Some(schema.to_owned());
        Ok(self)
    }

    /// Tables named `{prefix}_message` and so on, and the view `{prefix}`. Default `outbox`.
    ///
    /// # Errors
    /// `Config`, for a name that is not of `[A-Za-z_][A-Za-z0-9_]{0,39}`.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        check("table prefix", prefix, MAX_PREFIX)?;
        self.prefix = prefix.to_owned();
        Ok(self)
    }

    pub(crate) fn schema_name(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Puts the names into SQL text of one's own: every word that is `outbox` or begins with `outbox_` is replaced.
    /// Names are quoted as standard SQL does; for MySQL use [`render_for`](Self::render_for).
    pub fn render(&self, sql: &str) -> String {
        self.quoted(sql, '"')
    }

    /// As [`render`](Self::render), with the quotes of this database.
    pub fn render_for(&self, dialect: Dialect, sql: &str) -> String {
        self.quoted(sql, if dialect == Dialect::Mysql { '`' } else { '"' })
    }

    fn quoted(&self, sql: &str, q: char) -> String {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut out = String::with_capacity(sql.len() + 256);
        let mut rest = sql;
        while let Some(at) = rest.find(WORD) {
            let (before, from) = rest.split_at(at);
            let end = from.find(|c| !is_word(c)).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            out.push_str(before);
            let tail = &word[WORD.len()..];
            let inside = before.chars().next_back().is_some_and(is_word);
            if inside || !(tail.is_empty() || tail.starts_with('_')) {
                out.push_str(word);
            } else {
                if let Some(schema) = &self.schema {
                    out.push_str(&format!("{q}{schema}{q}."));
                }
                out.push_str(&format!("{q}{}{tail}{q}", self.prefix));
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

fn check(what: &str, name: &str, max: usize) -> Result<(), StoreError> {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if first && name.len() <= max && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::Config, "names").with_detail(format!(
        "the {what} {name:?} is not valid: use a letter or _, then letters, digits and _, at most {max} in all"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_in_and_nothing_else_is_touched() {
        let names = Names::default().schema("shop").unwrap().prefix("Events").unwrap();
        let sql = "select m.outbox_x, myoutbox, outboxes from outbox_message m, outbox, 'outbox_relay'::regclass";
        assert_eq!(
            names.render(sql),
            "select m.\"shop\".\"Events_x\", myoutbox, outboxes from \"shop\".\"Events_message\" m, \
             \"shop\".\"Events\", '\"shop\".\"Events_relay\"'::regclass"
        );
        assert_eq!(Names::default().render("from outbox_message"), "from \"outbox_message\"");
        assert_eq!(names.render_for(Dialect::Mysql, "from outbox_message"), "from `shop`.`Events_message`");
    }

    #[test]
    fn a_name_that_could_break_out_is_refused() {
        for bad in ["", "a\"b", "a'b", "a b", "1a", "a;", "ü", "a.b", &"x".repeat(41)] {
            let error = Names::default().prefix(bad).expect_err(bad);
            assert_eq!(error.kind(), StoreErrorKind::Config);
            assert!(error.to_string().contains("use a letter"), "{error}");
        }
        assert!(Names::default().schema("a\"; drop table x").is_err());
    }
}
