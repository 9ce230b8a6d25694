//! What an engine folds under. The same log under the same setup gives the same alerts.

use std::sync::Arc;

use sigma::Rules;

use crate::error::Error;
use crate::settings::Settings;
use crate::snapshot::Under;

/// Thresholds and caps, and the rules in Sigma beside them.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    pub settings: Settings,
    /// Without any, the lane for rules in Sigma is not there.
    pub rules: Option<Arc<Rules>>,
}

impl From<Settings> for Setup {
    fn from(settings: Settings) -> Setup {
        Setup { settings, rules: None }
    }
}

impl Setup {
    /// Refuses settings out of range; rules that were loaded are good.
    pub fn validate(&self) -> Result<(), Error> {
        self.settings.validate()
    }

    /// Calls `then` with what a snapshot under this setup names.
    pub(crate) fn named<T>(&self, then: impl FnOnce(Under<'_>) -> T) -> T {
        let settings = self.settings.digest();
        then(Under { settings: &settings, rules: self.rules.as_deref().map(Rules::digest) })
    }
}
