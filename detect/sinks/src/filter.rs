//! Which items a sink is sent. Pure.

use crate::alert::{Alert, BudgetVerdict};
use crate::settings::Delivery;

impl Delivery {
    /// Whether the sink takes part in this tenant.
    pub(crate) fn wants_tenant(&self, tenant: &str) -> bool {
        self.tenants.is_empty() || self.tenants.iter().any(|wanted| wanted == tenant)
    }

    /// Whether it is sent this alert.
    pub(crate) fn wants(&self, alert: &Alert) -> bool {
        let is_named = |rules: &[String]| rules.contains(&alert.rule_id);
        alert.severity >= self.severity
            && (self.rules.is_empty() || is_named(&self.rules))
            && !is_named(&self.except_rules)
            && (self.states.is_empty() || self.states.contains(&alert.state))
            && (self.over_budget || alert.budget_verdict != Some(BudgetVerdict::Over))
    }
}
