//! Settings: flag over environment over file over default; unknown keys are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use query::{Gate, GateSettings, Policies, PolicySettings, Thresholds, Window};
use schemas::limits;
use toml::Value;

use crate::arguments::{
    Alerts, Cli, Command, Cursor, Export, Place, Redaction, Rules, Sinks, Token, Witness,
};
use crate::{collectors, identity};

mod custody;
mod gates;
mod redaction;
mod sinks;
mod witness;

use gates::GATES;
use sinks::SINKS;

/// Where a setting came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The program.
    Default,
    /// The configuration file.
    File,
    /// `TACHO_...`.
    Environment,
    /// The command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Default => "default",
            Source::File => "file",
            Source::Environment => "environment",
            Source::Flag => "flag",
        })
    }
}

/// Every key that may be set, with its default and what it means.
fn known() -> Vec<(&'static str, Value, &'static str)> {
    let integer = |value: u64| Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    let seconds = |us: i64| Value::Integer(us / 1_000_000);
    let text = |value: &str| Value::String(value.to_string());
    let roles = ["ingest", "detect", "query"].map(text).to_vec();
    let mut known = vec![
        ("data", text("./tacho-data"), "data directory"),
        ("keys", text(""), "directory of the keys; empty for <data>-keys"),
        ("listen", text("127.0.0.1:7420"), "address of the HTTP port"),
        ("pg", text(""), "address of the PostgreSQL port, such as 127.0.0.1:7432; empty for none"),
        ("otlp", text(""), "address of a port for OTLP/HTTP alone, such as 127.0.0.1:4318; empty for none"),
        ("otlp_grpc", text(""), "address of a port for OTLP/gRPC, such as 127.0.0.1:4317; empty for none"),
        ("allow_plaintext", text(""), "address beyond loopback to listen on without TLS"),
        ("tls.cert", text(""), "file of the certificate and its chain, PEM; empty for no TLS"),
        ("tls.key", text(""), "file of its key, PEM"),
        ("tls.client_ca", text(""), "file of the certificates that sign client certificates, PEM"),
        ("roles", Value::Array(roles), "what this process does"),
        ("log.format", text("text"), "text or json"),
        ("log.level", text(""), "tracing filter; empty for info in a service and warn elsewhere"),
        ("store.seal_rows", integer(limits::SEAL_ROWS), "rows at which a log is sealed"),
        ("store.seal_bytes", integer(limits::SEAL_BYTES), "bytes at which a log is sealed"),
        ("store.seal_age_s", seconds(limits::SEAL_AGE_US), "age at which a log is sealed, seconds"),
        ("store.seal_age_small_s", seconds(limits::SEAL_AGE_SMALL_US), "the same for a log with few rows"),
        ("store.wal_file_bytes", integer(limits::WAL_FILE_BYTES), "bytes of a write-ahead file"),
        ("store.queued_bytes_max", integer(limits::QUEUED_BYTES_MAX), "bytes queued for the disk"),
        ("store.unsealed_bytes_max", integer(limits::UNSEALED_BYTES_MAX), "bytes not yet sealed"),
        ("store.disk_free_bytes_min", integer(limits::DISK_FREE_BYTES_MIN), "free bytes kept for sealing"),
        ("store.clock_speed", integer(1), "how many times faster time passes, for soak tests"),
        ("ingest.body_bytes_max", integer(limits::BODY_BYTES_MAX as u64), "bytes of a request body as sent"),
        ("ingest.decompressed_bytes_max", integer(limits::DECOMPRESSED_BYTES_MAX as u64), "and decompressed"),
        ("ingest.admission_bytes", integer(limits::ADMISSION_BYTES as u64), "bytes of bodies in flight"),
        ("ingest.mappings", text(""), "directory of mapping files of your own; empty for none"),
        (
            "ingest.country_database",
            text(""),
            "file in MaxMind's format in which countries of addresses are looked up; empty for none",
        ),
        (
            "ingest.admission_tenant_bytes",
            integer(limits::ADMISSION_TENANT_BYTES as u64),
            "and of one tenant",
        ),
        (
            "ingest.rate_bytes_s",
            integer(0),
            "bytes of bodies a second of one credential, decompressed; 0: no limit",
        ),
        (
            "external_url",
            text(""),
            "link to an alert in what sinks send; {alert_id} and {tenant} stand for its own; empty for none",
        ),
        (
            "sigma.rules",
            text(""),
            "directory of rules of your own in Sigma; empty for the shipped ones alone",
        ),
        ("sigma.lists", text(""), "directory of the lists that rules name; empty for none"),
        ("sigma.disabled", Value::Array(Vec::new()), "ids or names of rules in Sigma that tell nothing"),
        ("query.deadline_ms", integer(limits::QUERY_DEADLINE_MS), "milliseconds one query may run"),
        ("query.memory_bytes", integer(limits::QUERY_MEMORY_BYTES as u64), "bytes one query may hold"),
        (
            "query.spill_bytes",
            integer(limits::QUERY_SPILL_BYTES as u64),
            "bytes on disk for what does not fit the memory of queries; one has half; 0: they fail instead",
        ),
        ("query.rows_max", integer(limits::QUERY_ROWS_MAX), "rows in one answer"),
        ("query.output_bytes_max", integer(limits::QUERY_OUTPUT_BYTES_MAX), "bytes in one answer"),
        (
            "query.at_once",
            integer(limits::QUERIES_AT_ONCE as u64),
            "queries running at once, of which one tenant has all but one",
        ),
    ];
    known.extend(witness::known());
    for (gate, [window, target, block]) in GATES {
        let Thresholds { window: usual, target: good, block: bad } = gate.thresholds();
        known.push((window, Value::Integer(usual.seconds()), "seconds that the gate looks back"));
        known.push((target, Value::Float(good), "up to this all is well"));
        known.push((block, Value::Float(bad), "above this the gate blocks"));
    }
    known.extend(custody::known());
    known
}

/// The table whose keys are the detector's own settings.
const DETECT: &str = "detect";
/// The table that says what roles may see.
const POLICY: &str = "policy";
/// The table that says what is done with personal data.
const REDACTION: &str = "redaction";

/// What is in force.
#[derive(Debug, Clone)]
pub struct Configuration {
    values: BTreeMap<&'static str, (Value, Source)>,
    detect: toml::Table,
    policy: toml::Table,
    identity: toml::Table,
    collectors: toml::Table,
    redaction: toml::Table,
    sinks: Vec<toml::Table>,
    file: Option<PathBuf>,
}

impl Configuration {
    /// Reads file, environment and flags.
    pub fn load(cli: &Cli) -> Result<Configuration> {
        let mut configuration = Configuration::from_file(cli.config.clone())?;
        configuration.overlay_environment(|name| std::env::var(name).ok())?;
        configuration.overlay_flags(cli);
        configuration.detect_settings()?;
        configuration.gate_settings()?;
        configuration.policies()?;
        configuration.identity_settings()?;
        configuration.collector_settings()?;
        configuration.redaction()?;
        configuration.sinks()?;
        configuration.witness_interval()?;
        Ok(configuration)
    }

    fn from_file(file: Option<PathBuf>) -> Result<Configuration> {
        let values = known().into_iter().map(|(key, value, _)| (key, (value, Source::Default))).collect();
        let mut configuration = Configuration {
            values,
            detect: toml::Table::new(),
            policy: toml::Table::new(),
            identity: toml::Table::new(),
            collectors: toml::Table::new(),
            redaction: toml::Table::new(),
            sinks: Vec::new(),
            file,
        };
        if let Some(path) = &configuration.file {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            let table: toml::Table = text.parse().with_context(|| format!("in {}", path.display()))?;
            let place = path.display().to_string();
            configuration.overlay_table("", table).with_context(|| format!("in {place}"))?;
        }
        Ok(configuration)
    }

    fn overlay_table(&mut self, prefix: &str, table: toml::Table) -> Result<()> {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match value {
                value if collectors::TABLES.contains(&key.as_str()) => {
                    drop(self.collectors.insert(key, value));
                }
                value if identity::TABLES.contains(&key.as_str()) => drop(self.identity.insert(key, value)),
                value if key == SINKS => {
                    self.sinks = value.try_into().context("sinks is no list: write each as [[sinks]]")?;
                }
                Value::Table(table) if key == DETECT => self.detect = table,
                Value::Table(table) if key == POLICY => self.policy = table,
                Value::Table(table) if key == REDACTION => self.redaction = table,
                Value::Table(table) => self.overlay_table(&key, table)?,
                value => self.set(&key, value, Source::File)?,
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: Value, source: Source) -> Result<()> {
        let Some((known, slot)) = self.values.iter_mut().find(|(known, _)| **known == key) else {
            bail!("unknown key {key}; `tacho config show` lists the known ones");
        };
        let value = match (value, &slot.0) {
            (Value::Integer(whole), Value::Float(_)) => Value::Float(whole as f64),
            (value, _) => value,
        };
        if !value.same_type(&slot.0) {
            bail!("{known} is {}, expected {}", value.type_str(), slot.0.type_str());
        }
        *slot = (value, source);
        Ok(())
    }

    fn overlay_environment(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<()> {
        let keys: Vec<&'static str> = self.values.keys().copied().collect();
        for key in keys {
            let name = format!("TACHO_{}", key.replace('.', "_").to_uppercase());
            let Some(text) = variable(&name) else { continue };
            let Some((old, _)) = self.values.get(key) else { continue };
            let value = match old {
                Value::Integer(_) => Value::Integer(
                    text.replace('_', "")
                        .parse()
                        .with_context(|| format!("{name}: {text:?} is no whole number"))?,
                ),
                Value::Float(_) => {
                    Value::Float(text.parse().with_context(|| format!("{name}: {text:?} is no number"))?)
                }
                Value::Array(_) => {
                    Value::Array(text.split(',').map(|item| Value::String(item.into())).collect())
                }
                _ => Value::String(text),
            };
            self.set(key, value, Source::Environment)?;
        }
        Ok(())
    }

    fn overlay_flags(&mut self, cli: &Cli) {
        let mut flag = |key: &'static str, value: Option<String>| {
            if let Some(value) = value {
                self.values.insert(key, (Value::String(value), Source::Flag));
            }
        };
        let place = match &cli.command {
            Command::Serve(serve) => {
                flag("listen", serve.listen.map(|addr| addr.to_string()));
                for (key, port) in [("pg", serve.pg), ("otlp", serve.otlp), ("otlp_grpc", serve.otlp_grpc)] {
                    flag(key, port.map(|addr| addr.to_string()));
                }
                flag("allow_plaintext", serve.allow_plaintext.map(|addr| addr.to_string()));
                let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
                flag("tls.cert", path(&serve.tls.tls_cert));
                flag("tls.key", path(&serve.tls.tls_key));
                flag("tls.client_ca", path(&serve.tls.client_ca));
                serve.place.clone()
            }
            Command::Ingest(ingest) => ingest.target.place.clone(),
            Command::Mark(mark) => mark.target.place.clone(),
            Command::Prove(prove) => prove.target.place.clone(),
            Command::Export(Export::Evidence(evidence)) => evidence.target.place.clone(),
            Command::Tap(tap) => tap.target.place.clone(),
            Command::Sql(sql) => sql.target.place.clone(),
            Command::Replay(replay) => replay.target.place.clone(),
            Command::Alerts(
                Alerts::List { target, .. } | Alerts::Show { target, .. } | Alerts::Verdict { target, .. },
            ) => target.place.clone(),
            Command::Sinks(
                Sinks::List { target, .. } | Sinks::Replay { target, .. } | Sinks::Discard { target, .. },
            ) => target.place.clone(),
            Command::Backtest(backtest) => backtest.place.clone(),
            Command::Gate(gate) => gate.target.place.clone(),
            Command::Rules(Rules::Reload { target, .. }) => target.place.clone(),
            Command::Verify(verify) => Place { data: verify.data.clone(), keys: None },
            Command::Redaction(Redaction::Sample { target, .. } | Redaction::Verdict { target, .. })
            | Command::Token(
                Token::Create { target, .. } | Token::List { target } | Token::Revoke { target, .. },
            ) => target.place.clone(),
            Command::Keys(command) => custody::place(command),
            Command::Adopt(adopt) => adopt.place.clone(),
            Command::Backup(backup) => Place { data: backup.data.clone(), keys: None },
            Command::Restore(to) => Place { data: Some(to.to.clone()), keys: to.keys.clone() },
            Command::Witness(Witness::Status { place, .. })
            | Command::Cursor(Cursor::List { place } | Cursor::Forget { place, .. }) => place.clone(),
            Command::Demo(_)
            | Command::Drill(_)
            | Command::Mapping(_)
            | Command::Rules(Rules::List { .. } | Rules::Test { .. })
            | Command::Config(_)
            | Command::Witness(_)
            | Command::Sinks(Sinks::Test { .. })
            | Command::Redaction(Redaction::Test { .. }) => Place::default(),
        };
        flag("data", place.data.map(|path| path.display().to_string()));
        flag("keys", place.keys.map(|path| path.display().to_string()));
        if let Command::Serve(serve) = &cli.command
            && let Some(roles) = &serve.roles
        {
            let roles = roles.iter().map(|role| Value::String(role.clone())).collect();
            self.values.insert("roles", (Value::Array(roles), Source::Flag));
        }
    }

    /// A setting that is text.
    pub fn text(&self, key: &str) -> &str {
        match self.values.get(key) {
            Some((Value::String(text), _)) => text,
            _ => "",
        }
    }

    /// A setting that is a list of texts.
    pub fn texts(&self, key: &str) -> BTreeSet<String> {
        match self.values.get(key) {
            Some((Value::Array(items), _)) => {
                let texts = items.iter().filter_map(Value::as_str).map(str::trim);
                texts.filter(|text| !text.is_empty()).map(str::to_owned).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    /// A setting that is a whole number, at least 0.
    pub fn number(&self, key: &str) -> Result<u64> {
        match self.values.get(key) {
            Some((Value::Integer(number), _)) => {
                u64::try_from(*number).map_err(|_| anyhow!("{key} is {number}, expected 0 or more"))
            }
            _ => bail!("{key} is not a whole number"),
        }
    }

    /// A setting that is a number.
    pub fn decimal(&self, key: &str) -> Result<f64> {
        match self.values.get(key) {
            Some((Value::Float(number), _)) => Ok(*number),
            _ => bail!("{key} is not a number"),
        }
    }

    /// The windows and thresholds of the gates.
    pub fn gate_settings(&self) -> Result<GateSettings> {
        let of = |gate: Gate| -> Result<Thresholds> {
            let keys = GATES.iter().find(|(named, _)| *named == gate).map(|(_, keys)| keys);
            let [window, target, block] = keys.context("a gate without keys")?;
            let window = Window::of_seconds(i64::try_from(self.number(window)?)?).context(*window)?;
            Ok(Thresholds { window, target: self.decimal(target)?, block: self.decimal(block)? })
        };
        let all = Gate::ALL.into_iter().map(|gate| Ok((gate, of(gate)?))).collect::<Result<_>>();
        GateSettings::new(all?).context("in table gates of the configuration")
    }

    /// The address to listen on.
    pub fn listen(&self) -> Result<SocketAddr> {
        let text = self.text("listen");
        text.parse().with_context(|| format!("listen: {text:?} is no address such as 127.0.0.1:7420"))
    }

    /// The address of a port that is only there when asked for: `pg`, `otlp`, `otlp_grpc`.
    pub fn port(&self, key: &str) -> Result<Option<SocketAddr>> {
        match self.text(key) {
            "" => Ok(None),
            text => text.parse().map(Some).with_context(|| format!("{key}: {text:?} is not IP:PORT")),
        }
    }

    /// What this process does.
    pub fn has_role(&self, role: &str) -> bool {
        match self.values.get("roles") {
            Some((Value::Array(roles), _)) => roles.iter().any(|found| found.as_str() == Some(role)),
            _ => false,
        }
    }

    /// Refuses roles that nobody knows.
    pub fn check_roles(&self) -> Result<()> {
        if let Some((Value::Array(roles), _)) = self.values.get("roles") {
            for role in roles {
                if !matches!(role.as_str(), Some("ingest" | "detect" | "query")) {
                    bail!("roles: {role} is not ingest, detect or query");
                }
            }
        }
        Ok(())
    }

    /// What roles may see.
    pub fn policies(&self) -> Result<Policies> {
        let settings: PolicySettings =
            Value::Table(self.policy.clone()).try_into().context("in table policy of the configuration")?;
        Policies::new(&settings).context("in table policy of the configuration")
    }

    /// The detector's settings.
    pub fn detect_settings(&self) -> Result<engine::Settings> {
        let settings: engine::Settings =
            Value::Table(self.detect.clone()).try_into().context("in table detect of the configuration")?;
        settings.validate().context("in table detect of the configuration")?;
        Ok(settings)
    }

    /// Who may come in but by token.
    pub fn identity_settings(&self) -> Result<identity::Settings> {
        identity::Settings::parse(&self.identity)
    }

    /// What is read besides what comes in by itself.
    pub fn collector_settings(&self) -> Result<collectors::Settings> {
        collectors::Settings::parse(&self.collectors)
    }

    /// The file that was read.
    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// Sets a value as a flag would.
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Configuration {
        self.values.insert(key, (value.into(), Source::Flag));
        self
    }

    /// One line a key: what is in force, where it came from, what it means. Holds no secret: secrets come by file.
    pub fn lines(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for (key, _, meaning) in known() {
            if let Some((value, source)) = self.values.get(key) {
                lines.push(format!("{key} = {value}  # {source}: {meaning}"));
            }
        }
        if !self.policy.is_empty() {
            let policy = toml::Table::from_iter([(POLICY.to_string(), Value::Table(self.policy.clone()))]);
            lines.push("\n# what roles may see, file".to_string());
            lines.extend(toml::to_string(&policy).context("policy")?.lines().map(str::to_string));
        }
        if !self.redaction.is_empty() {
            let table =
                toml::Table::from_iter([(REDACTION.to_string(), Value::Table(self.redaction.clone()))]);
            lines.push("\n# what is done with personal data, file".to_string());
            lines.extend(toml::to_string(&table).context(REDACTION)?.lines().map(str::to_string));
        }
        let detect = toml::to_string(&self.detect_settings()?).context("detector settings")?;
        lines.push(format!("\n# detector, {}", if self.detect.is_empty() { "default" } else { "file" }));
        let mut table = format!("[{DETECT}]");
        for line in detect.lines() {
            match line.strip_prefix('[') {
                Some(name) => table = format!("[{DETECT}.{name}"),
                None if line.is_empty() => continue,
                None => {
                    if !table.is_empty() {
                        lines.push(std::mem::take(&mut table));
                    }
                    lines.push(line.to_string());
                    continue;
                }
            }
        }
        let identity = toml::to_string(&self.identity_settings()?).context("identity settings")?;
        if !identity.is_empty() {
            lines.push(format!("\n# who may come in but by token, file\n{}", identity.trim_end()));
        }
        lines.extend(self.sink_lines()?);
        let collectors = toml::to_string(&self.collector_settings()?).context("collector settings")?;
        if !collectors.is_empty() {
            lines.push(format!("\n# what is read, file\n{}", collectors.trim_end()));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests;
