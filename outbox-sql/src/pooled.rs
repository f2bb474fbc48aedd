use async_trait::async_trait;
use outbox_core::StoreError;

use crate::{Connection, Rows, Value};

/// A connection of Postgres through a pooler that gives every transaction another connection of the server's (PgBouncer
/// with `pool_mode = transaction`).
///
/// A session setting made there is gone in the next statement, and left behind for a stranger. So `set` statements are
/// remembered here instead, and made anew inside the transaction of every statement: three round trips instead of one.
/// A driver returns it from [`Driver::connect`](crate::Driver::connect) where it finds such a pooler.
#[derive(Debug)]
pub struct Pooled {
    conn: Box<dyn Connection>,
    /// Names and values, in the order in which they were first set.
    settings: Vec<(String, String)>,
    /// The caller has begun a transaction itself.
    open: bool,
}

impl Pooled {
    /// Over a connection that sends what it is told.
    pub fn new(conn: Box<dyn Connection>) -> Self {
        Self { conn, settings: Vec::new(), open: false }
    }

    /// Whether all of it are session settings; if so, remembers them.
    fn remember(&mut self, sql: &str) -> bool {
        let parts = sql.split(';').map(str::trim).filter(|part| !part.is_empty());
        let setting = |part: &str| {
            let (name, value) = part.strip_prefix("set ")?.split_once('=')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        let Some(found) = parts.map(setting).collect::<Option<Vec<_>>>() else { return false };
        for (name, value) in found {
            match self.settings.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => self.settings.push((name, value)),
            }
        }
        true
    }

    /// Read committed, so that each statement sees what was committed before it.
    fn begin(&self) -> String {
        let mut begin = "begin isolation level read committed".to_owned();
        for (name, value) in &self.settings {
            begin += &format!("; set local {name} = {value}");
        }
        begin
    }

    /// Ends the transaction of one statement.
    async fn end<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        match done {
            Ok(done) => self.conn.script("commit").await.map(|()| done),
            Err(e) => {
                // Where this fails too, the connection is of no use, as the error says already.
                _ = self.conn.script("rollback").await;
                Err(e)
            }
        }
    }
}

/// When a call was dropped half-way, the engine drops the connection: that ends what is open.
#[async_trait]
impl Connection for Pooled {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        if self.open {
            return self.conn.query(sql, params).await;
        }
        self.conn.script(&self.begin()).await?;
        let done = self.conn.query(sql, params).await;
        self.end(done).await
    }

    async fn messages(&mut self, sql: &str, params: &[Value], into: &mut Rows) -> Result<(), StoreError> {
        if self.open {
            return self.conn.messages(sql, params, into).await;
        }
        self.conn.script(&self.begin()).await?;
        let done = self.conn.messages(sql, params, into).await;
        self.end(done).await
    }

    async fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        match sql {
            _ if sql.starts_with("begin") && !sql.contains(';') => {
                self.conn.script(&self.begin()).await?;
                self.open = true;
            }
            "commit" | "rollback" => {
                self.conn.script(sql).await?;
                self.open = false;
            }
            _ if self.open => self.conn.script(sql).await?,
            _ if self.remember(sql) => {}
            _ => {
                self.conn.script(&self.begin()).await?;
                let done = self.conn.script(sql).await;
                self.end(done).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    #[async_trait]
    impl Connection for Log {
        async fn query(&mut self, sql: &str, _: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
            self.script(sql).await.map(|()| Vec::new())
        }

        async fn messages(&mut self, sql: &str, _: &[Value], _: &mut Rows) -> Result<(), StoreError> {
            self.script(sql).await
        }

        async fn script(&mut self, sql: &str) -> Result<(), StoreError> {
            self.0.lock().unwrap().push(sql.to_owned());
            Ok(())
        }
    }

    /// What the server is told.
    async fn told(scripts: &[&str], query: &str) -> Vec<String> {
        let log = Log::default();
        let mut conn = Pooled::new(Box::new(log.clone()));
        for script in scripts {
            conn.script(script).await.unwrap();
        }
        conn.query(query, &[]).await.unwrap();
        log.0.lock().unwrap().clone()
    }

    const BEGIN: &str = "begin isolation level read committed";

    #[tokio::test]
    async fn no_setting_ever_reaches_the_session() {
        let settings = ["set jit = off; set synchronous_commit = on", "set synchronous_commit = off"];
        let begin = format!("{BEGIN}; set local jit = off; set local synchronous_commit = off");
        assert_eq!(told(&settings, "select 1").await, [&begin, "select 1", "commit"]);
        let begin = format!("{BEGIN}; set local jit = off");
        assert_eq!(told(&["set jit = off", "drop x"], "q").await[..3], [&begin, "drop x", "commit"]);
        // Every setting of the engine's own statements has this form.
        let sql = crate::statements::Sql::new(crate::Dialect::Postgres, &crate::Names::default());
        for setup in [&sql.setup_fetch, &sql.setup_settle, &sql.durable, &sql.lazy] {
            let told = told(&[setup], "q").await;
            assert_eq!(told.len(), 3, "{told:?}");
            assert_eq!(told[0].matches("set ").count(), told[0].matches("set local ").count(), "{told:?}");
        }
    }

    #[tokio::test]
    async fn a_transaction_of_the_caller_stays_one() {
        let told = told(&["set jit = off", "begin", "create x", "commit"], "q").await;
        let begin = format!("{BEGIN}; set local jit = off");
        assert_eq!(told, [&begin, "create x", "commit", &begin, "q", "commit"]);
    }
}
