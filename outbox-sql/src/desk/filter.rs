use outbox_core::admin::{DeadLetterFilter, DeadMessage};

use crate::like::exactly;
use crate::replay::micros;
use crate::{Dialect, Value};

/// Conditions with their parameters.
#[derive(Debug)]
pub(super) struct Where {
    dialect: Dialect,
    conditions: Vec<String>,
    pub(super) params: Vec<Value>,
}

impl Where {
    /// Those of a filter.
    pub(super) fn of(dialect: Dialect, filter: &DeadLetterFilter) -> Self {
        let mut all = Self { dialect, conditions: Vec::new(), params: Vec::new() };
        let key = if dialect == Dialect::Mysql { "d.`key`" } else { "d.key" };
        let texts = [
            ("d.relay", &filter.relay),
            ("d.topic", &filter.topic),
            (key, &filter.key),
            ("d.event_type", &filter.event_type),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                all.equals(column, text);
            }
        }
        if let Some(id) = filter.id {
            let id = all.param(id.as_uuid().simple().to_string().into());
            all.add(match dialect {
                Dialect::Postgres => format!("d.id = {id}::text::uuid"),
                Dialect::Mysql | Dialect::Sqlite => format!("d.id = unhex({id})"),
            });
        }
        if let Some(text) = &filter.reason {
            let text = all.param(text.as_str().into());
            all.add(match dialect {
                Dialect::Postgres => format!("strpos(lower(d.reason), lower({text}::text)) > 0"),
                Dialect::Mysql => format!("locate(lower({text}), lower(d.reason)) > 0"),
                Dialect::Sqlite => format!("instr(lower(d.reason), lower({text})) > 0"),
            });
        }
        for (than, time) in [(">=", filter.since), ("<", filter.until)] {
            if let Some(time) = time {
                let micros = all.param(micros(time).into());
                all.add(match dialect {
                    Dialect::Postgres => {
                        format!("d.died_at {than} timestamptz 'epoch' + {micros}::int8 * interval '1 us'")
                    }
                    Dialect::Mysql => format!(
                        "d.died_at {than} timestampadd(microsecond, {micros}, cast('1970-01-01' as datetime(6)))"
                    ),
                    Dialect::Sqlite => format!("d.died_at {than} {micros}"),
                });
            }
        }
        all
    }

    /// Behind this one, in the order of [`end`](Self::end).
    pub(super) fn behind(&mut self, dead: &DeadMessage) {
        self.behind_place(&dead.relay, dead.seq);
    }

    pub(super) fn behind_place(&mut self, relay: &str, seq: i64) {
        let (relay, seq) = (self.param(relay.into()), self.param(seq.into()));
        self.add(match self.dialect {
            // Of these conditions each has its plan for the primary key, and none for the other.
            Dialect::Postgres | Dialect::Sqlite => format!("(d.relay, d.seq) > ({relay}, {seq})"),
            Dialect::Mysql => format!("(d.relay > {relay} or d.relay = {relay} and d.seq > {seq})"),
        });
    }

    /// The end of the statement: conditions, order and limit.
    pub(super) fn end(&mut self, limit: usize) -> String {
        let limit = self.param(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let conditions = if self.conditions.is_empty() { "1 = 1".into() } else { self.conditions.join(" and ") };
        format!(" where {conditions} order by d.relay, d.seq limit {limit}")
    }

    fn equals(&mut self, column: &str, text: &str) {
        let condition = match self.dialect {
            // = would ignore spaces at the end.
            Dialect::Mysql => format!("{column} like {} escape '!'", self.param(exactly(text).into())),
            Dialect::Postgres | Dialect::Sqlite => format!("{column} = {}", self.param(text.into())),
        };
        self.add(condition);
    }

    fn add(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    fn param(&mut self, value: Value) -> String {
        self.params.push(value);
        format!("${}", self.params.len())
    }
}
