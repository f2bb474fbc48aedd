use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};

/// SQL text with its parameters. diesel prepares every `sql_query` anew; this one is prepared once on a connection,
/// unless the connection's cache is switched off.
pub(crate) struct Statement<'f, DB: Backend> {
    sql: String,
    params: Vec<Box<dyn QueryFragment<DB> + Send + 'f>>,
    kept: bool,
}

impl<'f, DB: Backend> Statement<'f, DB> {
    pub(crate) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), params: Vec::new(), kept: true }
    }

    /// Of a text that does not come again.
    #[cfg(any(feature = "mysql", feature = "async-mysql"))]
    pub(crate) fn once(sql: &str) -> Self {
        Self { kept: false, ..Self::new(sql) }
    }

    pub(crate) fn bind<ST, V>(mut self, value: V) -> Self
    where
        DB: HasSqlType<ST>,
        V: ToSql<ST, DB> + Send + 'f,
        ST: Send + 'f,
    {
        self.params.push(Box::new(Param { value, as_type: PhantomData::<ST> }));
        self
    }
}

impl<DB: Backend> QueryFragment<DB> for Statement<'_, DB> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        if !self.kept {
            pass.unsafe_to_cache_prepared();
        }
        pass.push_sql(&self.sql);
        self.params.iter().try_for_each(|param| param.walk_ast(pass.reborrow()))
    }
}

/// Its place is in the text already.
struct Param<ST, V> {
    value: V,
    as_type: PhantomData<ST>,
}

impl<ST, V, DB> QueryFragment<DB> for Param<ST, V>
where
    DB: Backend + HasSqlType<ST>,
    V: ToSql<ST, DB>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        pass.push_bind_param_value_only(&self.value)
    }
}

impl<DB: Backend> QueryId for Statement<'_, DB> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<DB: Backend> Query for Statement<'_, DB> {
    type SqlType = Untyped;
}

impl<Conn: diesel::Connection> diesel::RunQueryDsl<Conn> for Statement<'_, Conn::Backend> {}
