//! The table `redaction`: what is done with personal data, for all tenants and for each.
//!
//! ```toml
//! [redaction]
//! email = "pseudonymise"
//! card = "mask"
//!
//! [redaction.tenants.acme]
//! email = "drop"
//! ```

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use redact::{Class, Policies, Policy};
use serde::Deserialize;
use toml::Value;

use super::Configuration;

impl Configuration {
    /// What is done with personal data.
    pub fn redaction(&self) -> Result<PersonalData> {
        PersonalData::parse(&self.redaction).context("in table redaction of the configuration")
    }
}

/// The table in which tenants have their own.
const TENANTS: &str = "tenants";

/// Policies as they are written down; a class that is not named is as for all tenants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    email: Option<Policy>,
    phone: Option<Policy>,
    card: Option<Policy>,
    iban: Option<Policy>,
    national_id: Option<Policy>,
    ip_address: Option<Policy>,
}

impl Written {
    fn over(&self, policies: Policies) -> Policies {
        let policy = |class: Class| match class {
            Class::Email => self.email,
            Class::Phone => self.phone,
            Class::Card => self.card,
            Class::Iban => self.iban,
            Class::NationalId => self.national_id,
            Class::IpAddress => self.ip_address,
        };
        Class::ALL.into_iter().fold(policies, |policies, class| match policy(class) {
            Some(policy) => policies.with(class, policy),
            None => policies,
        })
    }
}

/// What is done with personal data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonalData {
    all: Policies,
    tenants: BTreeMap<String, Policies>,
}

impl PersonalData {
    /// Reads the table.
    pub(super) fn parse(table: &toml::Table) -> Result<PersonalData> {
        let mut table = table.clone();
        let own = table.remove(TENANTS).unwrap_or_else(|| Value::Table(toml::Table::new()));
        let written: Written = Value::Table(table).try_into()?;
        let all = written.over(Policies::default());
        let own: BTreeMap<String, Value> = own.try_into().context("redaction.tenants")?;
        let tenants = own
            .into_iter()
            .map(|(tenant, value)| {
                let written: Written =
                    value.try_into().with_context(|| format!("redaction.tenants.{tenant}"))?;
                Ok((tenant, written.over(all)))
            })
            .collect::<Result<_>>()?;
        Ok(PersonalData { all, tenants })
    }

    /// The policies of a tenant.
    pub fn policies(&self, tenant: &str) -> Policies {
        self.tenants.get(tenant).copied().unwrap_or(self.all)
    }
}
