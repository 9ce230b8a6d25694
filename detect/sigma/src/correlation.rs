//! A correlation, ready to be fed: the Sigma correlation rules specification 2.x, but for what a stream cannot tell.

use std::collections::BTreeSet;

use rsigma_parser::{ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, WindowMode};
use schemas::limits::{SIGMA_COUNT_MAX, SIGMA_STAGE_HITS_MAX, SIGMA_STAGES_MAX, SIGMA_TIMESPAN_S_MAX};

use crate::column::{Field, Shape};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    EventCount,
    ValueCount(Field),
    Temporal,
    TemporalOrdered,
}

#[derive(Debug, Clone)]
pub(crate) struct Correlation {
    pub kind: Kind,
    /// Rules that it joins, by their place in the set; their order is the order of `temporal_ordered`.
    pub stages: Vec<usize>,
    /// Names it groups by, and the column of each stage that holds the value.
    pub groups: Vec<(String, Vec<Field>)>,
    pub timespan_us: i64,
    /// What it joins is told by itself too.
    pub generate: bool,
    /// Inclusive bounds of the count.
    pub least: u64,
    pub most: u64,
}

impl Correlation {
    /// Compiles a correlation. `place` gives the place in the set of the rule of that id or name.
    pub fn compile(
        rule: &CorrelationRule,
        place: impl Fn(&str) -> Option<usize>,
    ) -> Result<Correlation, String> {
        if rule.window != WindowMode::Sliding || rule.gap.is_some() {
            return Err(
                "windows other than sliding are not supported: leave `window` and `gap` out".to_owned()
            );
        }
        let stages = stages(rule, place)?;
        let groups = rule.group_by.iter().map(|name| group(rule, name));
        let groups = groups.collect::<Result<Vec<_>, String>>()?;
        let seconds = rule.timespan.seconds;
        if !(1..=SIGMA_TIMESPAN_S_MAX).contains(&seconds) {
            return Err(format!(
                "a timespan of {}: from 1s to {}d",
                rule.timespan.original,
                SIGMA_TIMESPAN_S_MAX / 86_400
            ));
        }
        let timespan_us = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let CorrelationCondition::Threshold { predicates, field, .. } = &rule.condition else {
            return Err(
                "a condition over names of rules is not supported: use `temporal` with a count".to_owned()
            );
        };
        let (least, most) = bounds(predicates)?;
        let kind = kind(rule.correlation_type, field.as_deref().unwrap_or_default())?;
        let is_temporal = matches!(kind, Kind::Temporal | Kind::TemporalOrdered);
        let all = stages.len() as u64;
        // The parser writes `gte: 1` where a temporal correlation has no condition, and means all.
        let (least, most) = if is_temporal && predicates.as_slice() == [(ConditionOperator::Gte, 1)] {
            (all, all)
        } else {
            (least, most)
        };
        if is_temporal && (all < 2 || least > all || (kind == Kind::TemporalOrdered && least != all)) {
            return Err("a temporal correlation joins two or more rules, and all of them if ordered: leave `condition` out".to_owned());
        }
        Ok(Correlation { kind, stages, groups, timespan_us, generate: rule.generate, least, most })
    }

    /// The columns that it groups by and counts.
    pub fn columns(&self) -> BTreeSet<&'static str> {
        let counted = match self.kind {
            Kind::ValueCount(field) => Some(field),
            Kind::EventCount | Kind::Temporal | Kind::TemporalOrdered => None,
        };
        let grouped = self.groups.iter().flat_map(|(_, fields)| fields).copied();
        grouped.chain(counted).flat_map(Field::columns).copied().collect()
    }

    /// How many hits a group keeps: twice what it counts to, so that some may come in another order.
    pub fn hits_max(&self) -> usize {
        match self.kind {
            Kind::EventCount | Kind::ValueCount(_) => {
                let bound = if self.most > SIGMA_COUNT_MAX { self.least } else { self.most };
                usize::try_from(bound).unwrap_or(usize::MAX).saturating_mul(2).max(SIGMA_STAGE_HITS_MAX)
            }
            Kind::Temporal | Kind::TemporalOrdered => self.stages.len() * SIGMA_STAGE_HITS_MAX,
        }
    }
}

fn stages(rule: &CorrelationRule, place: impl Fn(&str) -> Option<usize>) -> Result<Vec<usize>, String> {
    let mut stages = Vec::new();
    for name in &rule.rules {
        match place(name) {
            Some(at) if stages.contains(&at) => {
                return Err(format!("rule `{name}` is joined twice: name it once"));
            }
            Some(at) => stages.push(at),
            None => return Err(format!("it joins `{name}`, and no rule has that id or name")),
        }
    }
    if stages.is_empty() || stages.len() > SIGMA_STAGES_MAX {
        return Err(format!("it joins {} rules: from 1 to {SIGMA_STAGES_MAX}", stages.len()));
    }
    Ok(stages)
}

fn kind(kind: CorrelationType, fields: &[String]) -> Result<Kind, String> {
    match (kind, fields) {
        (CorrelationType::ValueCount, [name]) => Field::of(name).map(Kind::ValueCount),
        (CorrelationType::ValueCount, _) => {
            Err("`value_count` needs one `field` in its condition".to_owned())
        }
        (_, [_, ..]) => Err("`field` belongs to `value_count`: leave it out".to_owned()),
        (CorrelationType::EventCount, []) => Ok(Kind::EventCount),
        (CorrelationType::Temporal, []) => Ok(Kind::Temporal),
        (CorrelationType::TemporalOrdered, []) => Ok(Kind::TemporalOrdered),
        (other, []) => {
            Err(format!("type `{}` is not supported: sums and averages are for baselines", other.as_str()))
        }
    }
}

fn group(rule: &CorrelationRule, name: &str) -> Result<(String, Vec<Field>), String> {
    let alias = rule.aliases.iter().find(|alias| alias.alias == name);
    let field = |stage: &String| match alias {
        None => Field::of(name),
        Some(alias) => match alias.mapping.get(stage) {
            Some(column) => Field::of(column),
            None => Err(format!("alias `{name}` has no column for `{stage}`: add one")),
        },
    };
    let fields = rule.rules.iter().map(field).collect::<Result<Vec<_>, String>>();
    let fields = fields.map_err(|what| format!("group-by `{name}`: {what}"))?;
    match fields.iter().find(|field| field.shape() == Shape::List) {
        Some(list) => {
            Err(format!("group-by `{name}`: `{}` holds lists: choose a column of single values", list.name()))
        }
        None => Ok((name.to_owned(), fields)),
    }
}

/// The inclusive bounds that all predicates together say.
fn bounds(predicates: &[(ConditionOperator, u64)]) -> Result<(u64, u64), String> {
    let (mut least, mut most) = (0, u64::MAX);
    for (operator, number) in predicates {
        if *number > SIGMA_COUNT_MAX {
            return Err(format!("it counts to {number}: at most {SIGMA_COUNT_MAX}"));
        }
        match operator {
            ConditionOperator::Gt => least = least.max(number.saturating_add(1)),
            ConditionOperator::Gte => least = least.max(*number),
            ConditionOperator::Lt => most = most.min(number.saturating_sub(1)),
            ConditionOperator::Lte => most = most.min(*number),
            ConditionOperator::Eq => (least, most) = (least.max(*number), most.min(*number)),
            ConditionOperator::Neq => {
                return Err("`neq` is true of almost everything: use gt, gte, eq".to_owned());
            }
        }
    }
    if least == 0 {
        return Err(
            "few or none can only be told when the time is over: give a lower bound with gt, gte or eq"
                .to_owned(),
        );
    }
    if least > most {
        return Err("no count is within these bounds".to_owned());
    }
    Ok((least, most))
}
